/* SPDX-License-Identifier: Apache-2.0 */
#include "sql_token.h"

#include <string.h>

void sql_reader_start(
    struct sql_reader *reader, enum sql_dialect dialect, const uint8_t *text, size_t length)
{
    *reader = (struct sql_reader){0};
    sql_source_start(&reader->source, dialect, text, length);
}

static bool is_sign_of(const struct sql_token *token, const char *signs)
{
    return token->kind == SQL_SIGN && token->sign != '\0' &&
           memchr(signs, token->sign, strlen(signs)) != NULL;
}

/* A value follows these, hardly ever a name. */
static bool precedes_value(enum sql_word word)
{
    static const uint8_t words[] = {WORD_BETWEEN, WORD_DEFAULT, WORD_ELSE, WORD_ESCAPE, WORD_GLOB,
        WORD_ILIKE, WORD_LIKE, WORD_LIMIT, WORD_MATCH, WORD_OFFSET, WORD_REGEXP, WORD_SIMILAR,
        WORD_THEN};
    return memchr(words, word, sizeof(words)) != NULL;
}

/* A value or a name. */
static bool precedes_expression(enum sql_word word)
{
    static const uint8_t words[] = {WORD_ALL, WORD_AND, WORD_BY, WORD_CASE, WORD_CONTENT,
        WORD_DISTINCT, WORD_DOCUMENT, WORD_HAVING, WORD_OR, WORD_PASSING, WORD_RETURN,
        WORD_RETURNING, WORD_SELECT, WORD_VARIADIC, WORD_WHEN, WORD_WHERE};
    return precedes_value(word) || memchr(words, word, sizeof(words)) != NULL;
}

/* Not in IS TRUE, IS NOT NULL, SET NULL, `name text NULL`, AS true: these are syntax, and names. */
static bool is_constant(const struct sql_reader *reader, enum sql_word word)
{
    enum sql_word before = reader->last.word, further = reader->last_but_one.word;
    if (word == WORD_TRUE || word == WORD_FALSE) {
        return before != WORD_IS && before != WORD_AS &&
               !(before == WORD_NOT && further == WORD_IS);
    }
    if (word != WORD_NULL || reader->verb == WORD_COPY) {
        return false;
    }
    if (before == WORD_ON) { /* a join's condition, but not NULL ON NULL */
        return further != WORD_NULL && further != WORD_ABSENT && further != WORD_CALLED;
    }
    return precedes_expression(before) || (before == WORD_FROM && further == WORD_DISTINCT) ||
           is_sign_of(&reader->last, "([,:=<>+-*/%|!~&^");
}

/* SET x = word, word; but not SET TRANSACTION words, words. */
static bool is_set_value(const struct sql_reader *reader)
{
    enum sql_word before = reader->last.word;
    return reader->is_set &&
           (before == WORD_TO || sql_is_sign(&reader->last, '=') ||
               (sql_is_sign(&reader->last, ',') && reader->last_but_one.kind == SQL_LITERAL) ||
               (reader->verb == WORD_SET && (before == WORD_ROLE || before == WORD_AUTHORIZATION)));
}

/* Where a name in double quotes makes no sense, or hardly: what is compared, inserted, listed. */
static bool is_doubtful(const struct sql_reader *reader, const struct sql_token *token)
{
    const struct sql_source *source = &reader->source;
    bool is_name = (source->rules & RULE_DOUBLE_DOUBT) == 0 || source->text[token->from] != '"' ||
                   (token->to < source->length && source->text[token->to] == '.') ||
                   is_sign_of(&reader->last, ".");
    return !is_name && (reader->list != WORD_UNKNOWN || is_sign_of(&reader->last, "=<>!~") ||
                           precedes_value(reader->last.word));
}

static bool is_value(const struct sql_reader *reader, const struct sql_token *token)
{
    if (token->kind == SQL_QUOTED) {
        return is_set_value(reader) || is_doubtful(reader, token);
    }
    return token->kind == SQL_WORD &&
           (is_constant(reader, token->word) ||
               (token->word != WORD_DEFAULT && token->word != WORD_TO && is_set_value(reader)));
}

/* Statements that hold passwords, and the word behind which they do. What follows could be a word
 * (Oracle's IDENTIFIED BY tiger), or something that we do not know. */
static bool hides(const struct sql_reader *reader, enum sql_word word)
{
    enum sql_word verb = reader->verb, object = reader->object;
    bool defines = verb == WORD_CREATE || verb == WORD_ALTER;
    switch (word) {
    case WORD_IDENTIFIED:
        return defines || verb == WORD_GRANT || verb == WORD_SET;
    case WORD_PASSWORD:
        return (verb == WORD_SET && reader->last.word == WORD_SET) ||
               (defines && (object == WORD_USER || object == WORD_ROLE || object == WORD_GROUP ||
                               object == WORD_LOGIN || object == WORD_DATABASE));
    case WORD_OPTIONS:
        return (defines || verb == WORD_IMPORT) &&
               (object == WORD_SERVER || object == WORD_USER || object == WORD_FOREIGN);
    case WORD_CONNECTION:
        return defines && object == WORD_SUBSCRIPTION;
    case WORD_KEY:
        return verb == WORD_PRAGMA || verb == WORD_ATTACH;
    case WORD_HEXKEY:
    case WORD_HEXREKEY:
    case WORD_REKEY:
    case WORD_TEXTKEY:
    case WORD_TEXTREKEY:
        return verb == WORD_PRAGMA;
    default:
        return false;
    }
}

/* A statement of its own, or a clause where routines and accounts are made. */
static void remember_set(struct sql_reader *reader, enum sql_word word)
{
    bool defines = reader->verb == WORD_CREATE || reader->verb == WORD_ALTER;
    bool is_clause = defines && reader->object != WORD_TABLE && reader->object != WORD_FOREIGN;
    if (word == WORD_SET) {
        reader->is_set = reader->verb == WORD_SET || is_clause;
    } else if (reader->verb != WORD_SET && (word == WORD_AS || word == WORD_BEGIN)) {
        reader->is_set = false;
    }
}

static void remember_word(struct sql_reader *reader, enum sql_word word)
{
    if (!reader->has_verb) {
        reader->has_verb = true;
        reader->verb = word;
    } else if (!reader->has_object && word != WORD_OR && word != WORD_REPLACE &&
               word != WORD_PUBLIC) {
        reader->has_object = true;
        reader->object = word;
    }
    reader->is_hidden = hides(reader, word);
    if ((reader->source.rules & RULE_SET_VALUES) != 0) {
        remember_set(reader, word);
    }
    if (word == WORD_VALUES || word == WORD_IN) {
        reader->list = word;
    } else if (word == WORD_SELECT || word == WORD_ON || word == WORD_RETURNING ||
               word == WORD_FROM || word == WORD_WHERE) {
        reader->list = WORD_UNKNOWN;
    }
}

static void remember(struct sql_reader *reader, const struct sql_token *token)
{
    if (sql_is_sign(token, ';')) {
        reader->has_verb = reader->has_object = reader->is_set = reader->is_hidden = false;
        reader->verb = reader->object = reader->list = WORD_UNKNOWN;
    } else if (token->kind == SQL_WORD) {
        remember_word(reader, token->word);
    } else if (sql_is_sign(token, ')') && reader->list == WORD_IN) {
        reader->list = WORD_UNKNOWN;
    }
    reader->last_but_one = reader->last;
    reader->last = *token;
}

static bool is_significant(const struct sql_token *token)
{
    return token->kind > SQL_COMMENT;
}

/* Everything up to the end of the statement. */
static size_t statement_end(struct sql_source *source, size_t at)
{
    for (;;) {
        struct sql_token token = sql_lex(source, at);
        if (token.kind == SQL_END || sql_is_sign(&token, ';')) {
            return token.from;
        }
        at = token.to;
    }
}

struct sql_token sql_next(struct sql_reader *reader)
{
    struct sql_token token = sql_lex(&reader->source, reader->at);
    if (is_significant(&token)) {
        if (is_sign_of(&reader->last, ".") && reader->verb != WORD_PRAGMA) {
            token.word = WORD_UNKNOWN; /* a.key is a name */
        }
        if (reader->is_hidden && !sql_is_sign(&token, ';')) {
            token.kind = SQL_LITERAL;
            token.to = statement_end(&reader->source, token.to);
        } else if (is_value(reader, &token)) {
            token.kind = SQL_LITERAL;
        }
        if (token.kind == SQL_LITERAL) {
            token.word = WORD_UNKNOWN;
        }
        remember(reader, &token);
    }
    reader->at = token.to;
    return token;
}
