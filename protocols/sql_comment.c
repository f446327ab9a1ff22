/* SPDX-License-Identifier: Apache-2.0 */
#include "sql_comment.h"

#include "context_names.h"

#include <string.h>

#include "hex.h"
#include "sql_token.h"

bool sql_is_commented = true;

void protocol_edit_statements(bool edits)
{
    sql_is_commented = edits;
}

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

static struct fact value_of(const struct insertion *insertion, enum field field)
{
    for (unsigned i = 0; i < insertion->count; i++) {
        struct fact name = insertion->headers[i].name;
        if (context_field(name.text, name.length) == field) {
            return insertion->headers[i].value;
        }
    }
    return (struct fact){0};
}

size_t sql_comment(
    const struct insertion *insertion, size_t at, enum sql_dialect dialect, char *out)
{
    struct fact replaced = insertion->replaced;
    struct fact traceparent = value_of(insertion, FIELD_TRACEPARENT);
    size_t end = replaced.length;
    while (end > at && is_behind(replaced.text[end - 1])) {
        end--;
    }
    bool hash_too = dialect == SQL_MYSQL || dialect == SQL_MYSQL_NO_BACKSLASH;
    if (traceparent.length == 0 || end <= at ||
        has_comment(replaced.text + at, replaced.length - at, hash_too)) {
        return 0;
    }
    struct fact tracestate = value_of(insertion, FIELD_TRACESTATE);
    char *to = put_comment(put(out, replaced.text, end), traceparent, tracestate);
    if (!is_read_right(dialect, (const uint8_t *)out + at, (size_t)(to - out) - at, end + 1 - at)) {
        return 0;
    }
    to = put(to, replaced.text + end, replaced.length - end);
    return (size_t)(to - out);
}

/* --- what is read -------------------------------------------------------------------------- */

static size_t spaces_end(struct fact text, size_t at)
{
    while (at < text.length && is_behind(text.text[at]) && text.text[at] != ';') {
        at++;
    }
    return at;
}

struct pair {
    struct fact key, value;
};

/* Where key='value' ends that begins at `at`; 0: there is none. */
static size_t read_pair(struct fact text, size_t at, struct pair *pair)
{
    size_t from = at;
    while (at < text.length && (is_plain(text.text[at]) || text.text[at] == '%')) {
        at++;
    }
    pair->key = (struct fact){text.text + from, (uint32_t)(at - from)};
    if (at == from || text.length - at < 2 || memcmp(text.text + at, "='", 2) != 0) {
        return 0;
    }
    from = at += 2;
    while (at < text.length && text.text[at] != '\'') {
        at += text.text[at] == '\\' ? 2 : 1;
    }
    pair->value = (struct fact){text.text + from, (uint32_t)(at - from)};
    return at < text.length ? at + 1 : 0;
}

/* Takes the escapes away, and what they are escaped by for Python's drivers: %%3D. False: one is
 * broken. */
static bool unescape(struct fact value, uint8_t *room, struct fact *out)
{
    uint32_t length = 0;
    for (size_t at = 0; at < value.length; at++) {
        uint8_t byte = value.text[at];
        if (byte == '%') {
            at += at + 1 < value.length && value.text[at + 1] == '%';
            int high = at + 2 < value.length ? hex_value(value.text[at + 1]) : -1;
            int low = high < 0 ? -1 : hex_value(value.text[at + 2]);
            if (low < 0) {
                return false;
            }
            byte = (uint8_t)(high << 4 | low);
            at += 2;
        } else if (byte == '\\') {
            byte = value.text[++at]; /* see read_pair */
        }
        room[length++] = byte;
    }
    *out = (struct fact){room, length};
    return true;
}

static bool is_key(struct fact key, const char *name, size_t length)
{
    return key.length == length && memcmp(key.text, name, length) == 0;
}

/* The content of a comment. */
static bool read_list(struct fact text, uint8_t *room, struct sql_context *out)
{
    static const char parent[] = "traceparent", state[] = "tracestate";
    struct pair pair;
    size_t at = spaces_end(text, 0);
    *out = (struct sql_context){0};
    while ((at = read_pair(text, at, &pair)) != 0) {
        struct fact *field = is_key(pair.key, parent, sizeof(parent) - 1) ? &out->traceparent
                             : is_key(pair.key, state, sizeof(state) - 1) ? &out->tracestate
                                                                          : NULL;
        if (field != NULL) {
            if (field->text != NULL || !unescape(pair.value, room, field)) {
                return false;
            }
            room += field->length;
        }
        at = spaces_end(text, at);
        if (at == text.length) {
            return out->traceparent.length > 0;
        }
        if (text.text[at] != ',') {
            return false;
        }
        at = spaces_end(text, at + 1);
    }
    return false;
}

/* From `from` to `to`, with what opens and closes it. */
static bool read_comment(
    const uint8_t *text, size_t from, size_t to, uint8_t *room, struct sql_context *out)
{
    return to - from >= 4 && to - from <= SQL_CONTEXT_COMMENT_MAX &&
           memcmp(text + from, "/*", 2) == 0 && memcmp(text + to - 2, "*/", 2) == 0 &&
           read_list((struct fact){text + from + 2, (uint32_t)(to - from - 4)}, room, out);
}

/* The next byte before `end` that a string, a name in quotes or a comment may begin with. */
static size_t next_opening(const uint8_t *text, size_t at, size_t end)
{
    static const bool may_open[256] = {['\''] = true,
        ['"'] = true,
        ['`'] = true,
        ['['] = true,
        ['$'] = true,
        ['#'] = true,
        ['-'] = true,
        ['/'] = true};
    for (; at < end; at++) {
        uint8_t byte = text[at];
        if (may_open[byte] &&
            ((byte != '-' && byte != '/') || text[at + 1] == '-' || text[at + 1] == '*')) {
            return at;
        }
    }
    return end;
}

/* Where nothing is open, white space is between tokens. */
static size_t token_before(const uint8_t *text, size_t from, size_t at)
{
    while (at > from && !is_behind(text[at - 1])) {
        at--;
    }
    return at;
}

/* A token begins there, and is a comment up to the end. Read as tokens is only what may begin
 * something that goes on up to there. */
static bool is_comment(struct sql_source *source, size_t from)
{
    size_t at = 0, opening;
    while ((opening = next_opening(source->text, at, from)) < from) {
        at = token_before(source->text, at, opening);
        do {
            at = sql_lex(source, at).to;
        } while (at <= opening);
    }
    struct sql_token token = sql_lex(source, from);
    return at <= from && token.kind == SQL_COMMENT && token.to == source->length;
}

/* Behind the statement, which ends with source->text; it begins at `first` or later. */
static bool read_last(
    struct sql_source *source, size_t first, uint8_t *room, struct sql_context *out)
{
    const uint8_t *text = source->text;
    size_t end = source->length, from = end < 4 ? first : end - 4;
    if (end < first + 4 || source->length > SQL_CONTEXT_TEXT_MAX || text[end - 1] != '/') {
        return false;
    }
    first = end - first > SQL_CONTEXT_COMMENT_MAX ? end - SQL_CONTEXT_COMMENT_MAX : first;
    while (from > first && memcmp(text + from, "/*", 2) != 0) {
        from--;
    }
    return read_comment(text, from, end, room, out) && is_comment(source, from);
}

bool sql_context(enum sql_dialect dialect, const uint8_t *text, size_t length, uint8_t *room,
    struct sql_context *out)
{
    struct sql_source source;
    struct sql_context last;
    while (length > 0 && is_behind(text[length - 1])) {
        length--;
    }
    struct fact whole = {text, (uint32_t)length};
    size_t from = spaces_end(whole, 0);
    sql_source_start(&source, dialect, text, length);
    struct sql_token first = sql_lex(&source, from);
    size_t behind = first.kind == SQL_COMMENT ? first.to : from;
    bool is_first = read_comment(text, from, behind, room, out);
    room += is_first ? out->traceparent.length + out->tracestate.length : 0;
    if (!read_last(&source, behind, room, &last)) {
        return is_first;
    }
    *out = last;
    return !is_first; /* of two nobody says which one is meant */
}
