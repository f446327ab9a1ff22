/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a client sends: arrays of bulk strings, or words in a line.
 *
 * Of each command as much is told as may be shown (redis_command.c), as it was sent, and of what is
 * hidden nothing: where there is a length, the describer knows that something is missing; in a line
 * a space stands for each word that is hidden.
 */
#include "redis.h"

#include <string.h>

enum { WHOLE_DIGITS_MAX = 5, WHOLE_HEAD_BYTES = 1 + WHOLE_DIGITS_MAX + 2 };

/* --- what is told -------------------------------------------------------------------------- */

static uint32_t exchange_of(const struct redis_reader *reader)
{
    return reader->redis->newest;
}

static void tell_query(struct redis_reader *reader, size_t to, bool last)
{
    struct redis_request *request = &reader->redis->request;
    size_t room = REDIS_QUERY_BYTES_MAX - request->told;
    size_t length = to - reader->from;
    length = length < room ? length : room;
    if (length > 0 || last) {
        redis_tell_text(reader, FIELD_QUERY, exchange_of(reader), reader->from,
            reader->from + length, !request->has_told, last);
        request->has_told = true;
        request->told += (uint16_t)length;
        request->is_over |= last;
    }
    reader->from = to;
}

/* From here on it may, or may not, be shown. */
static void show(struct redis_reader *reader, bool shows)
{
    struct redis_request *request = &reader->redis->request;
    if (request->joins || request->is_over || shows == request->shows) {
        return;
    }
    if (shows) {
        reader->from = reader->at;
    } else {
        tell_query(reader, reader->at, false);
    }
    request->shows = shows;
}

static void end_query(struct redis_reader *reader)
{
    struct redis_request *request = &reader->redis->request;
    if (request->joins || request->is_over) {
        return;
    }
    if (!request->shows) {
        reader->from = reader->at;
    }
    tell_query(reader, reader->at, true);
    request->shows = false;
}

void redis_request_pause(struct redis_reader *reader)
{
    if (reader->redis->request.stage != REQUEST_BETWEEN) {
        reader->redis->request.before += (uint32_t)(reader->end - reader->start);
    }
    if (reader->redis->request.shows) {
        tell_query(reader, reader->at, false);
    }
}

/* --- arguments ----------------------------------------------------------------------------- */

static const struct redis_command *command_of(const struct redis_request *request)
{
    return redis_command_at(request->row);
}

static void add_to_word(struct redis_request *request, const uint8_t *bytes, size_t length)
{
    size_t room = REDIS_WORD_BYTES_MAX - request->word_length;
    if (length > room) {
        request->word_length = REDIS_WORD_BYTES_MAX + 1;
    } else if (length > 0 && request->word_length <= REDIS_WORD_BYTES_MAX) {
        memcpy(request->word + request->word_length, bytes, length);
        request->word_length += (uint8_t)length;
    }
}

static bool word_is(const struct redis_request *request, const char *word, size_t length)
{
    if (request->word_length != length) {
        return false;
    }
    for (size_t i = 0; i < length; i++) {
        if ((request->word[i] & ~0x20) != word[i]) {
            return false;
        }
    }
    return true;
}

static void name_complete(struct redis_reader *reader)
{
    struct redis_request *request = &reader->redis->request;
    bool is_name = request->word_length <= REDIS_WORD_BYTES_MAX;
    request->row = is_name ? redis_command_row(request->word, request->word_length) : 0;
    const struct redis_command *command = command_of(request);
    request->kind = command != NULL ? command->kind : REDIS_PLAIN;
    if (request->kind >= REDIS_PUBLISH) {
        redis_send_choose(request);
    }
    request->is_numbered = command != NULL && command->rest == REDIS_REST_KEYS;
    request->watches =
        request->is_numbered || request->kind == REDIS_SELECT || request->kind == REDIS_CLIENT;
    if (request->kind >= REDIS_XADD) {
        redis_send_begin(reader);
    }
    if (!request->joins && request->kind != REDIS_XADD && request->kind != REDIS_PUSH) {
        redis_tell(reader, EVENT_REQUEST, exchange_of(reader));
    }
}

/* CLIENT REPLY ON|OFF|SKIP, which may also be any other CLIENT. */
static void client_word(struct redis_request *request)
{
    if (request->index == 1) {
        request->kind = word_is(request, "REPLY", 5) ? REDIS_CLIENT : REDIS_PLAIN;
    } else if (request->in_multi) {
        request->kind = REDIS_PLAIN;
    } else if (word_is(request, "ON", 2)) {
        request->kind = REDIS_REPLY_ON;
    } else if (word_is(request, "OFF", 3)) {
        request->kind = REDIS_REPLY_OFF;
    } else if (word_is(request, "SKIP", 4)) {
        request->kind = REDIS_REPLY_SKIP;
    }
}

static void watched_complete(struct redis_request *request)
{
    bool is_number = request->kind == REDIS_SELECT ? request->index == 1
                                                   : request->is_numbered && request->index == 2;
    if (request->kind == REDIS_CLIENT) {
        client_word(request);
    } else if (is_number) {
        request->keys = redis_number(request->word, request->word_length);
    }
}

static void argument_complete(struct redis_reader *reader)
{
    struct redis_request *request = &reader->redis->request;
    if (request->index == 0) {
        name_complete(reader);
    } else if (request->watches) {
        watched_complete(request);
    } else if (request->kind >= REDIS_XADD) {
        redis_send_argument(reader);
    }
    request->index++;
    request->watches &= request->index <= 2;
    request->word_length = 0;
}

/* How many answers a subscription gets, or what else is to be known of it then. */
static enum redis_kind meaning(const struct redis_request *request, uint32_t *count)
{
    uint32_t arguments = request->index - 1;
    *count = 0;
    switch (request->kind) {
    case REDIS_SELECT:
        *count = (uint32_t)request->keys;
        return REDIS_SELECT;
    case REDIS_SUBSCRIBE:
        *count = arguments;
        return arguments > 1 ? REDIS_SUBSCRIBE : REDIS_PLAIN;
    case REDIS_UNSUBSCRIBE:
    case REDIS_PUNSUBSCRIBE:
    case REDIS_SUNSUBSCRIBE:
        *count = arguments;
        return arguments != 1 ? (enum redis_kind)request->kind : REDIS_PLAIN;
    case REDIS_XADD:
    case REDIS_XREAD:
    case REDIS_XREADGROUP:
    case REDIS_POP:
    case REDIS_POP_PAIR:
    case REDIS_POP_MANY: /* what comes is for who asked, unless it is merely queued */
        return request->in_multi || request->joins ? REDIS_PLAIN : (enum redis_kind)request->kind;
    case REDIS_CLIENT:
    case REDIS_MULTI:
    case REDIS_EXEC:
    case REDIS_PUBLISH:
    case REDIS_XACK:
    case REDIS_XDEL:
    case REDIS_PUSH:
        return REDIS_PLAIN;
    default:
        return (enum redis_kind)request->kind;
    }
}

static enum redis_step command_complete(struct redis_reader *reader)
{
    struct redis_request *request = &reader->redis->request;
    uint32_t count;
    enum redis_kind kind = meaning(request, &count);
    if (request->kind == REDIS_MULTI) {
        request->in_multi = true;
    } else if (request->kind == REDIS_EXEC || request->kind == REDIS_RESET) {
        request->in_multi = false;
    }
    end_query(reader);
    if (request->kind == REDIS_XADD || request->kind == REDIS_PUSH) {
        redis_send_complete(reader);
    }
    request->stage = REQUEST_BETWEEN;
    return redis_queue_sent(reader, kind, count) ? REDIS_ON : REDIS_LOST;
}

static void begin(struct redis_reader *reader, enum redis_request_stage stage)
{
    struct redis_request *request = &reader->redis->request;
    bool in_multi = request->in_multi;
    memset(request, 0, offsetof(struct redis_request, word));
    request->in_multi = in_multi;
    request->watches = true; /* the name */
    request->stage = (uint8_t)stage;
    redis_queue_begin(reader);
    request->shows = !request->joins;
    reader->from = reader->at;
}

/* --- arrays -------------------------------------------------------------------------------- */

/* Digits, and CR; *number is complete when the stage goes on. No sign: a server ignores an array
 * that has one, and nobody sends it. */
static enum redis_step read_number(struct redis_reader *reader, uint64_t max)
{
    struct redis_request *request = &reader->redis->request;
    while (reader->at < reader->end) {
        uint8_t byte = reader->data[reader->at];
        uint8_t digit = (uint8_t)(byte - '0');
        bool is_first =
            request->stage == REQUEST_COUNT_FIRST || request->stage == REQUEST_LENGTH_FIRST;
        if (digit > 9) {
            reader->at++;
            request->stage++;
            return byte == '\r' && !is_first ? REDIS_ON : REDIS_LOST;
        }
        request->left = is_first ? digit : request->left * 10 + digit;
        request->stage += is_first;
        reader->at++;
        if (request->left > max) {
            return REDIS_LOST;
        }
    }
    return REDIS_ON;
}

static bool is_byte(struct redis_reader *reader, uint8_t byte, enum redis_request_stage next)
{
    reader->redis->request.stage = (uint8_t)next;
    return reader->data[reader->at++] == byte;
}

static enum redis_step read_count_end(struct redis_reader *reader)
{
    struct redis_request *request = &reader->redis->request;
    request->count = (uint32_t)request->left;
    bool is_line = is_byte(reader, '\n', REQUEST_ARGUMENT);
    return is_line && request->count > 0 ? REDIS_ON : REDIS_LOST;
}

static enum redis_step argument_done(struct redis_reader *reader)
{
    struct redis_request *request = &reader->redis->request;
    request->stage = REQUEST_ARGUMENT;
    argument_complete(reader);
    return request->index < request->count ? REDIS_ON : command_complete(reader);
}

/* The usual case: a short argument that is there from its dollar to the end of its line. False:
 * it is not, or it is wrong; then it is read step by step. */
static bool take_whole(struct redis_reader *reader)
{
    struct redis_request *request = &reader->redis->request;
    const uint8_t *at = reader->data + reader->at, *end = reader->data + reader->end;
    size_t length = 0, digits = 0;
    if (end - at < WHOLE_HEAD_BYTES || *at != '$') {
        return false;
    }
    for (at++; digits < WHOLE_DIGITS_MAX && (uint8_t)(at[digits] - '0') <= 9; digits++) {
        length = length * 10 + (uint8_t)(at[digits] - '0');
    }
    at += digits + 2;
    if (digits == 0 || at[-2] != '\r' || at[-1] != '\n' || (size_t)(end - at) < length + 2 ||
        at[length] != '\r' || at[length + 1] != '\n') {
        return false;
    }
    if (request->watches) {
        add_to_word(request, at, length);
    } else if (request->kind >= REDIS_XADD) {
        redis_send_piece(reader, (size_t)(at - reader->data), length, true);
    }
    reader->at = (size_t)(at + length + 2 - reader->data);
    return true;
}

static enum redis_step read_argument(struct redis_reader *reader)
{
    struct redis_request *request = &reader->redis->request;
    const struct redis_command *command = command_of(request);
    bool shows = redis_is_shown(command, request->index, request->keys);
    if (!shows && (command == NULL || command->rest == REDIS_REST_HIDDEN)) {
        end_query(reader);
    } else {
        show(reader, shows);
    }
    if (take_whole(reader)) {
        return argument_done(reader);
    }
    return is_byte(reader, '$', REQUEST_LENGTH_FIRST) ? REDIS_ON : REDIS_LOST;
}

static enum redis_step read_data(struct redis_reader *reader)
{
    struct redis_request *request = &reader->redis->request;
    size_t length = reader->end - reader->at;
    length = length < request->left ? length : (size_t)request->left;
    if (request->watches) {
        add_to_word(request, reader->data + reader->at, length);
    } else if (request->kind >= REDIS_XADD) {
        redis_send_piece(reader, reader->at, length, length == request->left);
    }
    reader->at += length;
    request->left -= length;
    if (request->left == 0) {
        request->stage = REQUEST_DATA_CR;
    }
    return REDIS_ON;
}

static enum redis_step read_length_end(struct redis_reader *reader)
{
    bool is_line = is_byte(reader, '\n', REQUEST_DATA);
    if (reader->redis->request.left == 0) {
        reader->redis->request.stage = REQUEST_DATA_CR;
    }
    return is_line ? REDIS_ON : REDIS_LOST;
}

static enum redis_step read_data_end(struct redis_reader *reader)
{
    return is_byte(reader, '\n', REQUEST_ARGUMENT) ? argument_done(reader) : REDIS_LOST;
}

/* --- lines --------------------------------------------------------------------------------- */

/* Before a word, which may be one that is hidden. */
static void tell_space(struct redis_reader *reader)
{
    static const uint8_t space = ' ';
    struct redis_request *request = &reader->redis->request;
    if (request->joins || request->is_over || request->told >= REDIS_QUERY_BYTES_MAX) {
        return;
    }
    struct event event = {.kind = EVENT_TEXT,
        .field = FIELD_QUERY,
        .first = !request->has_told,
        .exchange = exchange_of(reader),
        .offset = reader->at,
        .text = &space,
        .length = 1};
    reader->sink->event(reader->sink, &event);
    request->has_told = true;
    request->told++;
}

static enum redis_step read_gap(struct redis_reader *reader)
{
    struct redis_request *request = &reader->redis->request;
    uint8_t byte = reader->data[reader->at];
    if (byte == '\n') {
        enum redis_step step = command_complete(reader);
        reader->at++;
        return step;
    }
    if (byte == ' ' || byte == '\t' || byte == '\r') {
        reader->at++;
        return REDIS_ON;
    }
    tell_space(reader);
    show(reader, redis_is_shown(command_of(request), request->index, request->keys));
    request->stage = REQUEST_INLINE_WORD;
    return REDIS_ON;
}

static bool ends_word(const struct redis_request *request, uint8_t byte)
{
    return byte == '\n' || (request->quote == 0 && (byte == ' ' || byte == '\t' || byte == '\r'));
}

static enum redis_step read_word(struct redis_reader *reader)
{
    struct redis_request *request = &reader->redis->request;
    while (reader->at < reader->end) {
        uint8_t byte = reader->data[reader->at];
        if (ends_word(request, byte)) {
            show(reader, false);
            argument_complete(reader);
            request->quote = 0;
            request->stage = REQUEST_INLINE_GAP;
            return REDIS_ON;
        }
        if (request->escapes || (byte == '\\' && request->quote != 0)) {
            request->escapes = !request->escapes;
        } else if (byte == request->quote) {
            request->quote = 0;
        } else if (request->quote == 0 && (byte == '"' || byte == '\'')) {
            request->quote = byte;
        }
        if (request->watches) {
            add_to_word(request, &byte, 1);
        }
        reader->at++;
    }
    return REDIS_ON;
}

bool redis_request_skip(struct redis_request *request, uint64_t length)
{
    if (request->stage != REQUEST_DATA || length >= request->left || request->index == 0) {
        return false;
    }
    request->left -= length;
    request->told = REDIS_QUERY_BYTES_MAX; /* what is shown ends before what was not seen */
    return true;
}

/* --- both ---------------------------------------------------------------------------------- */

static enum redis_step read_between(struct redis_reader *reader)
{
    uint8_t byte = reader->data[reader->at];
    reader->start = reader->at;
    if (byte == '*') {
        begin(reader, REQUEST_COUNT_FIRST);
        reader->at++;
        return REDIS_ON;
    }
    if (byte == '\r' || byte == '\n' || byte == ' ' || byte == '\t') {
        reader->at++; /* empty lines are no commands */
        return REDIS_ON;
    }
    begin(reader, REQUEST_INLINE_WORD);
    return REDIS_ON;
}

enum redis_step redis_request_read(struct redis_reader *reader)
{
    switch ((enum redis_request_stage)reader->redis->request.stage) {
    case REQUEST_BETWEEN:
        return read_between(reader);
    case REQUEST_COUNT_FIRST:
    case REQUEST_COUNT:
        return read_number(reader, REDIS_ARGUMENTS_MAX);
    case REQUEST_COUNT_LF:
        return read_count_end(reader);
    case REQUEST_ARGUMENT:
        return read_argument(reader);
    case REQUEST_LENGTH_FIRST:
    case REQUEST_LENGTH:
        return read_number(reader, REDIS_BULK_BYTES_MAX);
    case REQUEST_LENGTH_LF:
        return read_length_end(reader);
    case REQUEST_DATA:
        return read_data(reader);
    case REQUEST_DATA_CR:
        return is_byte(reader, '\r', REQUEST_DATA_LF) ? REDIS_ON : REDIS_LOST;
    case REQUEST_DATA_LF:
        return read_data_end(reader);
    case REQUEST_INLINE_GAP:
        return read_gap(reader);
    case REQUEST_INLINE_WORD:
        return read_word(reader);
    }
    return REDIS_LOST;
}
