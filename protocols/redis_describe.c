/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A command as a span, by the OpenTelemetry semantic conventions for Redis. FIELD_QUERY is the
 * command as it was sent, less what is hidden: the table of commands says again what that is.
 */
#include "database.h"
#include "redis.h"

#include <string.h>

struct slice {
    const uint8_t *at, *end;
};

static size_t length_of(struct slice slice)
{
    return (size_t)(slice.end - slice.at);
}

/* --- as redis-cli would have it ------------------------------------------------------------ */

static bool is_plain(struct slice word)
{
    for (; word.at < word.end; word.at++) {
        if (*word.at <= ' ' || *word.at == 0x7f || *word.at == '"') {
            return false;
        }
    }
    return true;
}

static void append_escaped(struct describer *out, uint8_t byte)
{
    static const char digits[] = "0123456789abcdef";
    char text[] = {'\\', 'x', digits[byte >> 4], digits[byte & 15]};
    if (byte == '"' || byte == '\\') {
        text[1] = (char)byte;
    } else if (byte >= ' ' && byte != 0x7f) {
        out->append(out, &byte, 1);
        return;
    }
    out->append(out, text, byte == '"' || byte == '\\' ? 2 : sizeof text);
}

static void append_word(struct describer *out, struct slice word)
{
    if (word.at < word.end && is_plain(word)) {
        out->append(out, word.at, length_of(word));
        return;
    }
    out->append(out, "\"", 1);
    for (; word.at < word.end; word.at++) {
        append_escaped(out, *word.at);
    }
    out->append(out, "\"", 1);
}

/* --- arrays -------------------------------------------------------------------------------- */

/* A type, a number and CRLF. */
static uint64_t take_number(struct slice *text)
{
    uint64_t number = 0;
    for (text->at++; text->at < text->end && (uint8_t)(*text->at - '0') <= 9; text->at++) {
        number = number * 10 + (uint8_t)(*text->at - '0');
    }
    text->at += length_of(*text) < 2 ? length_of(*text) : 2;
    return number;
}

/* False: it was cut. */
static bool take_argument(struct slice *text, struct slice *word)
{
    *word = *text;
    if (text->at == text->end) {
        return false;
    }
    uint64_t length = take_number(text);
    word->at = text->at;
    bool is_whole = length <= length_of(*text);
    text->at += is_whole ? (size_t)length : length_of(*text);
    word->end = text->at;
    text->at += length_of(*text) < 2 ? length_of(*text) : 2;
    return is_whole;
}

static void append_array(
    struct describer *out, const struct redis_command *command, struct slice text)
{
    uint64_t count = take_number(&text), keys = 0;
    uint32_t marks = 0;
    for (uint32_t i = 0; i < count; i++) {
        struct slice word;
        if (i > 0) {
            out->append(out, " ", 1);
        }
        if (!redis_is_shown(command, i, keys)) {
            if (marks++ == REDIS_MARKS_SHOWN_MAX) {
                out->append(out, "...", 3);
                return;
            }
            out->append(out, "?", 1);
            continue;
        }
        marks = 0;
        bool is_whole = take_argument(&text, &word);
        if (is_whole || word.at < word.end) {
            append_word(out, word);
        }
        if (!is_whole) {
            out->append(out, "...", 3);
            return;
        }
        if (i == 2) {
            keys = redis_number(word.at, length_of(word));
        }
    }
}

static struct slice array_name(struct slice text)
{
    struct slice word;
    take_number(&text);
    take_argument(&text, &word);
    return word;
}

/* --- lines --------------------------------------------------------------------------------- */

/* Up to the next space outside of quotes. */
static struct slice take_word(struct slice *text)
{
    struct slice word = *text;
    uint8_t quote = 0;
    for (; text->at < text->end && (quote != 0 || *text->at != ' '); text->at++) {
        uint8_t byte = *text->at;
        if (byte == '\\' && quote != 0 && text->at + 1 < text->end) {
            text->at++;
        } else if (byte == quote) {
            quote = 0;
        } else if (quote == 0 && (byte == '"' || byte == '\'')) {
            quote = byte;
        }
    }
    word.end = text->at;
    return word;
}

static void append_line(struct describer *out, struct slice text)
{
    struct slice word = take_word(&text);
    out->append(out, word.at, length_of(word));
    while (text.at < text.end) {
        text.at++;
        word = take_word(&text);
        out->append(out, " ", 1);
        if (word.at < word.end) {
            out->append(out, word.at, length_of(word));
        } else {
            out->append(out, "?", 1);
        }
    }
}

/* --- the span ------------------------------------------------------------------------------ */

static void describe_batch(const struct facts *facts, struct describer *out)
{
    out->name(out, "PIPELINE", 8);
    out->text(out, ATTRIBUTE_DB_OPERATION_NAME, "PIPELINE", 8);
    out->number(out, ATTRIBUTE_DB_OPERATION_BATCH_SIZE, facts->numbers[FIELD_BATCH]);
}

static void describe_command(const struct facts *facts, struct describer *out)
{
    struct fact query = facts->texts[FIELD_QUERY];
    if (query.length == 0) {
        out->name(out, "redis", 5);
        return;
    }
    struct slice text = {query.text, query.text + query.length};
    bool is_array = query.text[0] == '*';
    struct slice rest = text;
    struct slice name = is_array ? array_name(text) : take_word(&rest);
    size_t length = length_of(name);
    out->name(out, name.at, length);
    out->text(out, ATTRIBUTE_DB_OPERATION_NAME, name.at, length);
    out->open(out, ATTRIBUTE_DB_QUERY_TEXT);
    if (is_array) {
        uint16_t row = length <= REDIS_WORD_BYTES_MAX ? redis_command_row(name.at, length) : 0;
        append_array(out, redis_command_at(row), text);
    } else {
        append_line(out, text);
    }
    out->close(out);
}

/* -1: a SELECT was only queued, or there were too many of them at once. */
static void describe_namespace(const struct facts *facts, struct describer *out)
{
    uint8_t digits[DATABASE_DIGITS_MAX];
    if (facts->numbers[FIELD_VERSION] >= 0) {
        struct fact index = database_decimal(facts->numbers[FIELD_VERSION], digits);
        out->text(out, ATTRIBUTE_DB_NAMESPACE, index.text, index.length);
    }
}

void redis_describe(const struct facts *facts, struct describer *out)
{
    bool is_batch = facts->numbers[FIELD_BATCH] > 1;
    out->text(out, ATTRIBUTE_DB_SYSTEM_NAME, "redis", 5);
    if (is_batch) {
        describe_batch(facts, out);
    } else {
        describe_command(facts, out);
    }
    describe_namespace(facts, out);
    database_describe_server(facts, out);
    database_describe_outcome(facts, out, true);
}
