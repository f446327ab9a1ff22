/* SPDX-License-Identifier: Apache-2.0 */
#include "sql_comment.h"

#include <string.h>

#include "sql_token.h"

static const char opening[] = " /*traceparent='", middle[] = "',tracestate='", closing[] = "'*/";

enum { FIXED_BYTES = sizeof(opening) + sizeof(middle) + sizeof(closing) - 3 };

static bool is_plain(uint8_t byte)
{
    return (byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'z') ||
           (byte >= 'A' && byte <= 'Z') || byte == '-' || byte == '.' || byte == '_' || byte == '~';
}

static bool is_behind(uint8_t byte)
{
    return byte == ';' || byte == ' ' || (byte >= '\t' && byte <= '\r');
}

/* --- what is written ----------------------------------------------------------------------- */

static char *put(char *out, const void *text, size_t length)
{
    memcpy(out, text, length);
    return out + length;
}

/* RFC 3986, 2.1. */
static char *put_escaped(char *out, struct fact text)
{
    static const char digits[] = "0123456789ABCDEF";
    for (size_t i = 0; i < text.length; i++) {
        uint8_t byte = text.text[i];
        if (is_plain(byte)) {
            *out++ = (char)byte;
        } else {
            *out++ = '%';
            *out++ = digits[byte >> 4];
            *out++ = digits[byte & 15];
        }
    }
    return out;
}

static bool has_room(struct fact text)
{
    size_t more = FIXED_BYTES;
    for (size_t i = 0; i < text.length; i++) {
        more += is_plain(text.text[i]) ? 0 : 2;
    }
    return more <= INSERT_BYTES_MAX;
}

static char *put_comment(char *out, struct fact traceparent, struct fact tracestate)
{
    out = put_escaped(put(out, opening, sizeof(opening) - 1), traceparent);
    if (tracestate.length > 0 && has_room(tracestate)) {
        out = put_escaped(put(out, middle, sizeof(middle) - 1), tracestate);
    }
    return put(out, closing, sizeof(closing) - 1);
}

/* --- which statements ---------------------------------------------------------------------- */

/* What these ask for is done once, and nothing of their text is kept by the server. */
static bool may_begin(enum sql_word word)
{
    static const uint8_t words[] = {WORD_CALL, WORD_DELETE, WORD_INSERT, WORD_MERGE, WORD_REPLACE,
        WORD_SELECT, WORD_TABLE, WORD_UPDATE, WORD_VALUES, WORD_WITH};
    return memchr(words, word, sizeof(words)) != NULL;
}

/* In a string it is none, and is taken for one all the same. */
static bool has_comment(const uint8_t *text, size_t length, bool hash_too)
{
    for (size_t i = 0; i < length; i++) {
        bool is_pair = i + 1 < length && ((text[i] == '-' && text[i + 1] == '-') ||
                                             (text[i] == '/' && text[i + 1] == '*'));
        if (is_pair || (hash_too && text[i] == '#')) {
            return true;
        }
    }
    return false;
}

/* The text is one statement, and what begins at `comment` is read as the comment that it is. */
static bool is_read_right(
    enum sql_dialect dialect, const uint8_t *text, size_t length, size_t comment)
{
    struct sql_source source;
    sql_source_start(&source, dialect, text, length);
    bool is_first = true;
    struct sql_token token = {0};
    for (size_t at = 0; at < comment; at = token.to) {
        token = sql_lex(&source, at);
        if (token.kind == SQL_END || sql_is_sign(&token, ';')) {
            return false;
        }
        if (is_first && token.kind != SQL_SPACE) {
            if (token.kind != SQL_WORD || !may_begin(token.word)) {
                return false;
            }
            is_first = false;
        }
    }
    if (token.to != comment) {
        return false;
    }
    token = sql_lex(&source, comment);
    return token.kind == SQL_COMMENT && token.to == length;
}

size_t sql_comment(
    const struct insertion *insertion, size_t at, enum sql_dialect dialect, char *out)
{
    struct fact replaced = insertion->replaced, traceparent = insertion->values[0];
    size_t end = replaced.length;
    while (end > at && is_behind(replaced.text[end - 1])) {
        end--;
    }
    bool hash_too = dialect == SQL_MYSQL || dialect == SQL_MYSQL_NO_BACKSLASH;
    if (traceparent.length == 0 || end <= at ||
        has_comment(replaced.text + at, replaced.length - at, hash_too)) {
        return 0;
    }
    char *to = put_comment(put(out, replaced.text, end), traceparent, insertion->values[1]);
    if (!is_read_right(dialect, (const uint8_t *)out + at, (size_t)(to - out) - at, end + 1 - at)) {
        return 0;
    }
    to = put(to, replaced.text + end, replaced.length - end);
    return (size_t)(to - out);
}
