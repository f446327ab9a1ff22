/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each <thing>_end says where a thing that starts at `at` ends, or `at` if none does. The order in
 * which they are asked is that of the databases' own lexers: PostgreSQL's scan.l, MySQL's
 * sql_lex.cc, SQLite's tokenize.c.
 *
 * Every byte is looked at a bounded number of times: what is not closed is taken to the end, and a
 * look ahead that fails stops before anything it could be tried from again.
 */
#include "sql_token.h"

#include <string.h>

static const uint32_t dialect_rules[] = {
    [SQL_POSTGRESQL] = RULE_ESCAPE_STRING | RULE_UNICODE | RULE_DOLLAR_STRING | RULE_NESTED |
                       RULE_RETURN | RULE_DOLLAR_NUMBER | RULE_JOIN_LINES | RULE_SET_VALUES |
                       RULE_SELECT_INTO,
    [SQL_MYSQL] = RULE_BACKSLASH | RULE_DOUBLE_STRING | RULE_BACKQUOTE | RULE_HASH_COMMENT |
                  RULE_DASHES_SPACE | RULE_CODE_COMMENT | RULE_DIGIT_NAME | RULE_DOLLAR_NAME |
                  RULE_JOIN,
    [SQL_SQLITE] = RULE_DOUBLE_DOUBT | RULE_SINGLE_NAME | RULE_BACKQUOTE | RULE_BRACKET |
                   RULE_DOLLAR_NUMBER | RULE_MARK_NUMBER,
    [SQL_OTHER] = RULE_BACKSLASH_DOUBT | RULE_ESCAPE_STRING | RULE_UNICODE | RULE_Q_STRING |
                  RULE_DOLLAR_STRING | RULE_DOUBLE_DOUBT | RULE_SINGLE_NAME | RULE_BACKQUOTE |
                  RULE_BRACKET_DOUBT | RULE_NESTED_DOUBT | RULE_AT_NAME | RULE_DOLLAR_NUMBER |
                  RULE_COLON_NUMBER | RULE_SELECT_INTO,
};

void sql_source_start(
    struct sql_source *source, enum sql_dialect dialect, const uint8_t *text, size_t length)
{
    uint32_t rules = dialect_rules[SQL_OTHER];
    if (dialect == SQL_POSTGRESQL_BACKSLASH) {
        rules = dialect_rules[SQL_POSTGRESQL] | RULE_BACKSLASH;
    } else if (dialect == SQL_MYSQL_NO_BACKSLASH) {
        rules = dialect_rules[SQL_MYSQL] & ~(uint32_t)RULE_BACKSLASH;
    } else if (dialect < SQL_OTHER) {
        rules = dialect_rules[dialect];
    }
    *source = (struct sql_source){.text = text, .length = length, .rules = rules};
}

static bool has(const struct sql_source *source, uint32_t rule)
{
    return (source->rules & rule) != 0;
}

/* 0 beyond the end, which is no byte that anything starts or goes on with. */
static uint8_t byte_at(const struct sql_source *source, size_t at)
{
    return at < source->length ? source->text[at] : 0;
}

static bool is_space(uint8_t byte)
{
    return byte == ' ' || (byte >= '\t' && byte <= '\r');
}

static bool is_digit(uint8_t byte)
{
    return byte >= '0' && byte <= '9';
}

static uint8_t lower(uint8_t byte)
{
    return byte >= 'A' && byte <= 'Z' ? byte | 0x20 : byte;
}

static bool is_letter(uint8_t byte)
{
    return (lower(byte) >= 'a' && lower(byte) <= 'z') || byte == '_' || byte >= 0x80;
}

static bool starts_word(const struct sql_source *source, size_t at)
{
    uint8_t byte = byte_at(source, at);
    return is_letter(byte) || (byte == '$' && has(source, RULE_DOLLAR_NAME)) ||
           ((byte == '@' || byte == '#') && has(source, RULE_AT_NAME));
}

/* In every dialect. */
static const bool is_of_word[256] = {['0' ... '9'] = true,
    ['A' ... 'Z'] = true,
    ['_'] = true,
    ['a' ... 'z'] = true,
    ['$'] = true,
    [0x80 ... 0xff] = true};

static bool continues_word(const struct sql_source *source, size_t at)
{
    uint8_t byte = byte_at(source, at);
    return is_of_word[byte] || ((byte == '@' || byte == '#') && has(source, RULE_AT_NAME));
}

static size_t word_rest(const struct sql_source *source, size_t at)
{
    while (continues_word(source, at)) {
        at++;
    }
    return at;
}

static size_t space_end(const struct sql_source *source, size_t at)
{
    while (is_space(byte_at(source, at))) {
        at++;
    }
    return at;
}

static size_t line_end(const struct sql_source *source, size_t at)
{
    for (; at < source->length; at++) {
        uint8_t byte = source->text[at];
        if (byte == '\n' || (byte == '\r' && has(source, RULE_RETURN))) {
            return at;
        }
    }
    return at;
}

static bool is_pair(const struct sql_source *source, size_t at, char first, char second)
{
    return byte_at(source, at) == (uint8_t)first && byte_at(source, at + 1) == (uint8_t)second;
}

/* MySQL: also what opens and closes a comment whose content is SQL, by themselves. */
static size_t block_end(const struct sql_source *source, size_t at)
{
    if (has(source, RULE_CODE_COMMENT)) {
        if (is_pair(source, at, '*', '/')) {
            return at + 2;
        }
        size_t mark = at + 2 + (byte_at(source, at + 2) == 'M');
        if (is_pair(source, at, '/', '*') && byte_at(source, mark) == '!') {
            for (mark++; is_digit(byte_at(source, mark)); mark++) {
            }
            return mark;
        }
    }
    if (!is_pair(source, at, '/', '*')) {
        return at;
    }
    size_t depth = 1;
    for (at += 2; at < source->length; at++) {
        if (is_pair(source, at, '*', '/')) {
            at++;
            if (--depth == 0) {
                return at + 1;
            }
        } else if (is_pair(source, at, '/', '*')) {
            if (has(source, RULE_NESTED_DOUBT)) {
                return source->length;
            }
            depth += has(source, RULE_NESTED);
            at += has(source, RULE_NESTED);
        }
    }
    return source->length;
}

static size_t comment_end(const struct sql_source *source, size_t at)
{
    uint8_t third = byte_at(source, at + 2);
    if (is_pair(source, at, '-', '-') &&
        (!has(source, RULE_DASHES_SPACE) || third <= ' ' || third == 0x7f)) {
        return line_end(source, at);
    }
    if (byte_at(source, at) == '#' && has(source, RULE_HASH_COMMENT)) {
        return line_end(source, at);
    }
    return block_end(source, at);
}

/* Behind the quote that closes; 0 if there is none, or which one it is cannot be known. */
static size_t quote_close(
    const struct sql_source *source, size_t at, uint8_t quote, uint32_t backslash)
{
    bool is_escaped = false;
    for (at++; at < source->length; at++) {
        uint8_t byte = source->text[at];
        if (byte == '\\' && backslash != 0) {
            is_escaped = !is_escaped;
            continue;
        }
        if (byte == quote) {
            if (is_escaped && backslash == RULE_BACKSLASH_DOUBT) {
                return 0;
            }
            if (!is_escaped && byte_at(source, at + 1) != quote) {
                return at + 1;
            }
            at += !is_escaped;
        }
        is_escaped = false;
    }
    return 0;
}

static size_t quote_end(
    const struct sql_source *source, size_t at, uint8_t quote, uint32_t backslash)
{
    size_t end = quote_close(source, at, quote, backslash);
    return end != 0 ? end : source->length;
}

/* Where the next piece of a string may start: behind white space and comments of one line. */
static size_t gap_end(const struct sql_source *source, size_t at, bool *has_line)
{
    for (;;) {
        size_t next = space_end(source, at);
        for (; at < next; at++) {
            *has_line |= source->text[at] == '\n' || source->text[at] == '\r';
        }
        bool is_comment = is_pair(source, at, '-', '-') && comment_end(source, at) > at;
        if (!is_comment) {
            return at;
        }
        at = comment_end(source, at);
    }
}

/* The standard's strings in pieces: 'a' <line> 'b'. The later ones are read like the first. */
static size_t string_end(
    const struct sql_source *source, size_t at, uint8_t quote, uint32_t backslash)
{
    size_t end = quote_end(source, at, quote, backslash);
    while (has(source, RULE_JOIN | RULE_JOIN_LINES)) {
        bool has_line = false;
        size_t next = gap_end(source, end, &has_line);
        uint8_t byte = byte_at(source, next);
        bool is_string = byte == '\'' || (byte == '"' && has(source, RULE_DOUBLE_STRING));
        if (!is_string || (!has_line && !has(source, RULE_JOIN))) {
            break;
        }
        end = quote_end(source, next, byte, backslash);
    }
    return end;
}

/* Oracle: q'[it's]' and nq'[it's]', where any byte may stand for the brackets. */
static size_t q_string_end(const struct sql_source *source, size_t at)
{
    size_t prefix = at + (lower(byte_at(source, at)) == 'n');
    if (lower(byte_at(source, prefix)) != 'q' || byte_at(source, prefix + 1) != '\'') {
        return at;
    }
    at = prefix;
    uint8_t open = byte_at(source, at + 2);
    static const char pairs[] = "[](){}<>";
    const char *pair = open != 0 ? memchr(pairs, open, sizeof(pairs) - 1) : NULL;
    uint8_t close = pair != NULL && (pair - pairs) % 2 == 0 ? (uint8_t)pair[1] : open;
    for (at += 3; at < source->length; at++) {
        if (source->text[at] == close && byte_at(source, at + 1) == '\'') {
            return at + 2;
        }
    }
    return source->length;
}

static size_t dollar_string_end(const struct sql_source *source, size_t at)
{
    size_t tag = at + 1;
    while (is_letter(byte_at(source, tag)) || (tag > at + 1 && is_digit(byte_at(source, tag)))) {
        tag++;
    }
    if (byte_at(source, tag) != '$') {
        return at;
    }
    size_t length = tag + 1 - at;
    const uint8_t *found =
        memmem(source->text + tag + 1, source->length - tag - 1, source->text + at, length);
    return found != NULL ? (size_t)(found - source->text) + length : source->length;
}

static size_t literal_string_end(const struct sql_source *source, size_t at)
{
    uint32_t backslash = source->rules & (RULE_BACKSLASH | RULE_BACKSLASH_DOUBT);
    uint8_t first = lower(byte_at(source, at));
    if (first == '\'' || (first == '"' && has(source, RULE_DOUBLE_STRING))) {
        return string_end(source, at, first, backslash);
    }
    if (first == '$' && has(source, RULE_DOLLAR_STRING)) {
        return dollar_string_end(source, at);
    }
    if (is_pair(source, at + 1, '&', '\'') && first == 'u' && has(source, RULE_UNICODE)) {
        return string_end(source, at + 2, '\'', backslash);
    }
    size_t q_end = has(source, RULE_Q_STRING) ? q_string_end(source, at) : at;
    if (q_end > at) {
        return q_end;
    }
    if (byte_at(source, at + 1) != '\'') {
        return at;
    }
    if (first == 'e' && has(source, RULE_ESCAPE_STRING)) {
        return string_end(source, at + 1, '\'', RULE_BACKSLASH);
    }
    return first == 'b' || first == 'x' || first == 'n'
               ? string_end(source, at + 1, '\'', backslash)
               : at;
}

/* There, neither `.1` nor `:1` starts: in `a.1`, `a[1:2]`. */
static bool follows_operand(const struct sql_source *source, size_t at)
{
    return at > 0 && at == source->operand_end;
}

static size_t digits_end(const struct sql_source *source, size_t at)
{
    while (is_digit(byte_at(source, at)) || byte_at(source, at) == '_') {
        at++;
    }
    return at;
}

/* The end of `e+12` at `at`, of which a cut may have left the letter alone. */
static size_t exponent_end(const struct sql_source *source, size_t at)
{
    uint8_t sign = byte_at(source, at + 1);
    size_t digits = at + 1 + (sign == '+' || sign == '-');
    if (lower(byte_at(source, at)) != 'e') {
        return at;
    }
    if (is_digit(byte_at(source, digits))) {
        return digits_end(source, digits);
    }
    return continues_word(source, at + 1) ? at : at + 1;
}

/* MySQL: a word that starts with digits, unless it is 0x1f, 0b11 or 1e5. */
static bool is_digit_name(const struct sql_source *source, size_t at)
{
    size_t end = digits_end(source, at);
    uint8_t letter = lower(byte_at(source, at + 1));
    bool has_radix = byte_at(source, at) == '0' && (letter == 'x' || letter == 'b');
    return has(source, RULE_DIGIT_NAME) && !has_radix && exponent_end(source, end) == end &&
           word_rest(source, at) > end;
}

static size_t word_end(const struct sql_source *source, size_t at)
{
    bool is_digits = is_digit(byte_at(source, at)) && is_digit_name(source, at);
    return is_digits || starts_word(source, at) ? word_rest(source, at) : at;
}

/* A sign directly before is part of it, whatever stands before the sign: so do the conventions'
 * examples. So are letters directly behind. */
static size_t number_end(const struct sql_source *source, size_t at)
{
    size_t from = at + (byte_at(source, at) == '+' || byte_at(source, at) == '-');
    bool has_point = byte_at(source, from) == '.';
    if (!is_digit(byte_at(source, from + has_point)) || is_digit_name(source, from) ||
        (has_point && follows_operand(source, from))) {
        return at;
    }
    size_t end = digits_end(source, from);
    uint8_t letter = lower(byte_at(source, end));
    bool has_radix = end == from + 1 && byte_at(source, from) == '0' &&
                     (letter == 'x' || letter == 'o' || letter == 'b');
    if (!has_radix) {
        if (byte_at(source, end) == '.' && byte_at(source, end + 1) != '.') {
            end = digits_end(source, end + 1);
        }
        end = exponent_end(source, end);
    }
    return starts_word(source, end) ? word_rest(source, end) : end;
}

static size_t parameter_end(const struct sql_source *source, size_t at)
{
    uint8_t byte = byte_at(source, at);
    size_t end = at + 1;
    while (is_digit(byte_at(source, end))) {
        end++;
    }
    if (byte == '?') {
        return has(source, RULE_MARK_NUMBER) ? end : at + 1;
    }
    bool is_numbered = (byte == '$' && has(source, RULE_DOLLAR_NUMBER)) ||
                       (byte == ':' && has(source, RULE_COLON_NUMBER) &&
                           !follows_operand(source, at) && byte_at(source, at - 1) != ':');
    return is_numbered && end > at + 1 ? end : at;
}

static size_t bracket_end(const struct sql_source *source, size_t at)
{
    if (has(source, RULE_BRACKET)) {
        const uint8_t *found = memchr(source->text + at, ']', source->length - at);
        return found != NULL ? (size_t)(found - source->text) + 1 : at;
    }
    if (!has(source, RULE_BRACKET_DOUBT) || !starts_word(source, at + 1)) {
        return at;
    }
    size_t end = at + 1;
    while (continues_word(source, end) || byte_at(source, end) == ' ') {
        end++;
    }
    return byte_at(source, end) == ']' ? end + 1 : at;
}

/* A name in quotes, if it is closed. */
static size_t quoted_end(const struct sql_source *source, size_t at)
{
    uint8_t byte = byte_at(source, at);
    if (byte == '[') {
        return bracket_end(source, at);
    }
    bool has_prefix = lower(byte) == 'u' && is_pair(source, at + 1, '&', '"');
    size_t quote = at + (has_prefix && has(source, RULE_UNICODE) ? 2 : 0);
    byte = byte_at(source, quote);
    if (byte != '"' && !(byte == '`' && has(source, RULE_BACKQUOTE))) {
        return at;
    }
    size_t end = quote_close(source, quote, byte, 0);
    return end != 0 ? end : at;
}

/* A quote that nothing closes, of a text that was cut: whatever it would have been. */
static size_t open_end(const struct sql_source *source, size_t at)
{
    uint8_t byte = byte_at(source, at);
    bool opens = byte == '"' || (byte == '`' && has(source, RULE_BACKQUOTE)) ||
                 (byte == '[' && has(source, RULE_BRACKET));
    return opens ? source->length : at;
}

/* Most bytes leave no choice. A letter does if it may be the prefix of a string or a quoted name:
 * what follows it says so. */
static size_t plain_end(const struct sql_source *source, size_t at, enum sql_kind *kind)
{
    static const bool is_plain_sign[256] = {['('] = true,
        [')'] = true,
        [','] = true,
        [';'] = true,
        ['<'] = true,
        ['='] = true,
        ['>'] = true,
        ['%'] = true,
        ['|'] = true};
    uint8_t byte = source->text[at], next = byte_at(source, at + 1);
    if (is_space(byte)) {
        *kind = SQL_SPACE;
        return space_end(source, at);
    }
    bool is_prefix = next == '\'' || next == '&' || lower(next) == 'q';
    if (is_letter(byte) && !is_prefix) {
        *kind = SQL_WORD;
        return word_rest(source, at);
    }
    return is_plain_sign[byte] ? at + 1 : at;
}

static size_t other_end(const struct sql_source *source, size_t at, enum sql_kind *kind)
{
    static const struct {
        enum sql_kind kind;
        size_t (*end)(const struct sql_source *, size_t at);
    } readers[] = {
        {SQL_COMMENT, comment_end},
        {SQL_LITERAL, literal_string_end},
        {SQL_QUOTED, quoted_end},
        {SQL_LITERAL, open_end},
        {SQL_LITERAL, number_end},
        {SQL_PARAMETER, parameter_end},
        {SQL_WORD, word_end},
    };
    for (size_t i = 0; i < sizeof(readers) / sizeof(readers[0]); i++) {
        size_t end = readers[i].end(source, at);
        if (end > at) {
            *kind = readers[i].kind;
            return end;
        }
    }
    return at + 1;
}

struct sql_token sql_lex(struct sql_source *source, size_t at)
{
    struct sql_token token = {.kind = SQL_END, .from = at, .to = at};
    if (at >= source->length) {
        return token;
    }
    token.kind = SQL_SIGN;
    token.to = plain_end(source, at, &token.kind);
    if (token.to == at) {
        token.to = other_end(source, at, &token.kind);
    }
    if (token.kind == SQL_SIGN) {
        token.sign = source->text[at];
    } else if (token.kind == SQL_WORD) {
        token.word = sql_word_find(source->text + at, token.to - at);
    }
    if (sql_is_operand(&token)) {
        source->operand_end = token.to;
    }
    return token;
}
