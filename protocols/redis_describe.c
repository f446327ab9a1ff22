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

/* --- messages ------------------------------------------------------------------------------ */

static struct fact fact_of(struct slice word)
{
    return (struct fact){word.at, (uint32_t)length_of(word)};
}

/* Argument `index` of a command, as far as it was told. */
static struct fact argument_of(const struct facts *facts, uint32_t index)
{
    struct fact query = facts->texts[FIELD_QUERY];
    if (query.length == 0) {
        return query;
    }
    struct slice text = {query.text, query.text + query.length}, word = {query.text, query.text};
    bool is_array = query.text[0] == '*';
    if (is_array) {
        take_number(&text);
    }
    for (uint32_t i = 0; i <= index; i++) {
        if (is_array && !take_argument(&text, &word)) {
            return (struct fact){0};
        }
        if (!is_array) {
            word = take_word(&text);
            text.at += text.at < text.end;
        }
    }
    return fact_of(word);
}

/* Behind STREAMS are names and as many identifiers: which stream it is, if it is one. */
static struct fact only_stream(const struct facts *facts)
{
    static const char word[] = "STREAMS";
    uint32_t at = 1;
    for (; at < REDIS_MARKS_SHOWN_MAX; at++) {
        struct fact argument = argument_of(facts, at);
        bool is_streams = argument.length == sizeof word - 1;
        for (size_t i = 0; is_streams && i < sizeof word - 1; i++) {
            is_streams = (argument.text[i] & ~0x20) == word[i];
        }
        if (is_streams) {
            break;
        }
    }
    bool is_one = argument_of(facts, at + 2).length > 0 && argument_of(facts, at + 3).length == 0;
    return is_one ? argument_of(facts, at + 1) : (struct fact){0};
}

static struct fact name_of(const struct facts *facts)
{
    return argument_of(facts, 0);
}

/* NULL: of no message. */
static const struct redis_command *message_command(const struct facts *facts)
{
    static const char firsts[] = "XxPpSsLlRrBb"; /* most are not looked up */
    struct fact name = name_of(facts);
    bool is_short = name.length > 0 && name.length <= REDIS_WORD_BYTES_MAX &&
                    memchr(firsts, name.text[0], redis_has_envelopes ? 12 : 6) != NULL;
    const struct redis_command *command =
        redis_command_at(is_short ? redis_command_row(name.text, name.length) : 0);
    bool is_of_message =
        command != NULL && (command->kind >= REDIS_PUSH
                                   ? redis_has_envelopes
                                   : command->kind >= REDIS_PUBLISH && command->kind < REDIS_XDEL);
    return is_of_message ? command : NULL;
}

/* Keys of the server's own that tell what happened to a key of the program's are no names. */
static bool is_notification(struct fact channel)
{
    return channel.length > 5 && memcmp(channel.text, "__key", 5) == 0;
}

/* [timeout] count list...: the list, if it is one. */
static struct fact only_list(const struct facts *facts, bool has_timeout)
{
    struct fact count = argument_of(facts, 1 + has_timeout);
    bool is_one = count.length == 1 && count.text[0] == '1';
    return is_one ? argument_of(facts, 2 + has_timeout) : (struct fact){0};
}

/* command: NULL for what was delivered. */
static void describe_message(
    const struct facts *facts, struct describer *out, const struct redis_command *command)
{
    static const uint8_t types[] = {[REDIS_PUBLISH] = MESSAGE_SEND,
        [REDIS_XADD] = MESSAGE_SEND,
        [REDIS_XREAD] = MESSAGE_RECEIVE,
        [REDIS_XREADGROUP] = MESSAGE_RECEIVE,
        [REDIS_XACK] = MESSAGE_SETTLE,
        [REDIS_PUSH] = MESSAGE_SEND,
        [REDIS_POP] = MESSAGE_RECEIVE,
        [REDIS_POP_PAIR] = MESSAGE_RECEIVE,
        [REDIS_POP_MANY] = MESSAGE_RECEIVE};
    enum redis_kind kind = command == NULL ? REDIS_PLAIN : (enum redis_kind)command->kind;
    struct fact group = facts->texts[FIELD_SUBSCRIPTION];
    struct messaging messaging = {.system = "redis",
        .type = MESSAGE_PROCESS,
        .operation = "process",
        .destination = facts->texts[FIELD_DESTINATION]};
    if (command != NULL) {
        bool reads = kind == REDIS_XREAD || kind == REDIS_XREADGROUP;
        bool is_of_many = kind == REDIS_POP_PAIR && argument_of(facts, 3).length > 0;
        messaging.type = types[kind];
        messaging.operation = command->name;
        if (kind == REDIS_POP_MANY) {
            messaging.destination = only_list(facts, command->name[0] == 'B');
        } else if (!is_of_many) {
            messaging.destination = reads ? only_stream(facts) : argument_of(facts, 1);
        }
        group = argument_of(facts, 2);
    }
    messaging.is_temporary = is_notification(messaging.destination);
    messaging_describe(facts, out, &messaging);
    bool has_group = command == NULL || kind == REDIS_XREADGROUP || kind == REDIS_XACK;
    if (has_group && group.length > 0) {
        out->text(out, ATTRIBUTE_MESSAGING_CONSUMER_GROUP_NAME, group.text, group.length);
    }
}

/* --- both ---------------------------------------------------------------------------------- */

void redis_describe(const struct facts *facts, struct describer *out)
{
    bool is_batch = facts->numbers[FIELD_BATCH] > 1;
    const struct redis_command *command =
        is_batch || facts->is_server ? NULL : message_command(facts);
    if (facts->is_server || command != NULL) {
        describe_message(facts, out, command);
        return;
    }
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
