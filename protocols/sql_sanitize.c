/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is kept is passed on in as long pieces as it comes in. Two tokens between which a comment
 * was are kept apart by a space, lest they become another token together.
 */
#include "sql_token.h"

struct writer {
    struct describer *out;
    const uint8_t *text;
    size_t from, to; /* a piece of the text that is still to be told */
    uint8_t last;    /* byte that was written; 0: none was */
};

/* The list behind IN: all but its first value are held back until it is known that they are. */
enum list { LIST_NONE, LIST_WORD, LIST_OPEN, LIST_VALUE, LIST_COMMA, LIST_NEXT };

static void flush(struct writer *writer)
{
    if (writer->to > writer->from) {
        writer->out->append(writer->out, writer->text + writer->from, writer->to - writer->from);
    }
    writer->from = writer->to = 0;
}

static void put(struct writer *writer, const char *literal, size_t length)
{
    flush(writer);
    writer->out->append(writer->out, literal, length);
    writer->last = (uint8_t)literal[length - 1];
}

static void keep(struct writer *writer, const struct sql_token *token)
{
    if (token->from != writer->to) {
        flush(writer);
        writer->from = token->from;
    }
    writer->to = token->to;
    writer->last = writer->text[token->to - 1];
}

static bool is_value(const struct sql_token *token, const uint8_t *text)
{
    return token->kind == SQL_LITERAL ||
           (token->kind == SQL_PARAMETER && token->to - token->from == 1 &&
               text[token->from] == '?');
}

static enum list list_next(enum list list, const struct sql_token *token, bool is_value)
{
    bool is_comma = sql_is_sign(token, ',');
    if (token->word == WORD_IN) {
        return LIST_WORD;
    }
    if (list == LIST_WORD && sql_is_sign(token, '(')) {
        return LIST_OPEN;
    }
    if (list == LIST_OPEN && is_value) {
        return LIST_VALUE;
    }
    if ((list == LIST_VALUE || list == LIST_NEXT) && is_comma) {
        return LIST_COMMA;
    }
    return list == LIST_COMMA && is_value ? LIST_NEXT : LIST_NONE;
}

/* Writes what was held back of a list, if `token` shows that it has to stay. */
static void list_release(struct writer *writer, enum list held, const struct sql_token *token)
{
    if (held == LIST_COMMA) {
        put(writer, ", ", 2);
    } else if (held == LIST_NEXT && !sql_is_sign(token, ')')) {
        put(writer, ", ?", 3);
    }
}

static void write_token(struct writer *writer, const struct sql_token *token, bool is_apart)
{
    bool is_comment = sql_is_sign(token, '-') && writer->last == '-';
    if (is_comment || (is_apart && token->kind != SQL_SPACE && writer->last > ' ')) {
        put(writer, " ", 1);
    }
    if (token->kind == SQL_LITERAL) {
        put(writer, "?", 1);
    } else {
        keep(writer, token);
    }
}

void sql_sanitize(
    enum sql_dialect dialect, const uint8_t *text, size_t length, struct describer *out)
{
    struct writer writer = {.out = out, .text = text};
    struct sql_reader reader;
    enum list list = LIST_NONE;
    bool is_apart = false; /* something was left out since the last token */
    sql_reader_start(&reader, dialect, text, length);
    for (;;) {
        struct sql_token token = sql_next(&reader);
        bool is_space = token.kind == SQL_SPACE;
        if (token.kind == SQL_END) {
            flush(&writer);
            return;
        }
        if (token.kind == SQL_COMMENT || (is_space && list >= LIST_COMMA)) {
            is_apart = true;
            continue;
        }
        enum list held = list;
        list = is_space ? list : list_next(list, &token, is_value(&token, text));
        if (list >= LIST_COMMA) {
            is_apart = false;
            continue;
        }
        list_release(&writer, held, &token);
        write_token(&writer, &token, is_apart && !(held == LIST_NEXT && sql_is_sign(&token, ')')));
        is_apart = false;
    }
}
