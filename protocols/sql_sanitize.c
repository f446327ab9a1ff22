/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is kept is passed on in as long pieces as it comes in. Two tokens between which a comment
 * was are kept apart by a space, lest they become another token together.
 */
#include "sql_tell.h"

static void flush(struct sql_sanitizer *writer)
{
    if (writer->to > writer->from) {
        writer->out->append(writer->out, writer->text + writer->from, writer->to - writer->from);
    }
    writer->from = writer->to = 0;
}

static void put(struct sql_sanitizer *writer, const char *literal, size_t length)
{
    flush(writer);
    writer->out->append(writer->out, literal, length);
    writer->last = (uint8_t)literal[length - 1];
}

static void keep(struct sql_sanitizer *writer, const struct sql_token *token)
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

static enum sql_list list_next(enum sql_list list, const struct sql_token *token, bool is_value)
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
static void list_release(
    struct sql_sanitizer *writer, enum sql_list held, const struct sql_token *token)
{
    if (held == LIST_COMMA) {
        put(writer, ", ", 2);
    } else if (held == LIST_NEXT && !sql_is_sign(token, ')')) {
        put(writer, ", ?", 3);
    }
}

static void write_token(struct sql_sanitizer *writer, const struct sql_token *token, bool is_apart)
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

void sql_sanitize_start(struct sql_sanitizer *writer, const uint8_t *text, struct describer *out)
{
    *writer = (struct sql_sanitizer){.out = out, .text = text, .list = LIST_NONE};
}

void sql_sanitize_take(struct sql_sanitizer *writer, const struct sql_token *token)
{
    bool is_space = token->kind == SQL_SPACE;
    if (token->kind == SQL_END) {
        flush(writer);
        return;
    }
    if (token->kind == SQL_COMMENT || (is_space && writer->list >= LIST_COMMA)) {
        writer->is_apart = true;
        return;
    }
    enum sql_list held = writer->list;
    if (!is_space) {
        writer->list = list_next(held, token, is_value(token, writer->text));
    }
    if (writer->list >= LIST_COMMA) {
        writer->is_apart = false;
        return;
    }
    list_release(writer, held, token);
    bool closes = held == LIST_NEXT && sql_is_sign(token, ')');
    write_token(writer, token, writer->is_apart && !closes);
    writer->is_apart = false;
}
