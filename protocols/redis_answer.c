/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a server sends: values of RESP2 and RESP3, nested. Their bytes are passed over by count; of
 * an answer matter its type, the first word of its first error, and where it ends.
 *
 * `values` says how many values are still to begin. Aggregates without a count end by a dot
 * instead, so what surrounds them is put aside (`outer`). Attributes come before a value and are
 * none.
 */
#include "redis.h"

#include <string.h>

enum { ORDINAL_MAX = 4 };

static bool is_top(const struct redis_answer *answer)
{
    return answer->fate == FATE_NONE;
}

/* Is the first word of an error, which comes now, to be told? */
static bool takes_code(const struct redis_answer *answer)
{
    return answer->fate == FATE_ANSWER && !answer->has_code;
}

/* --- values -------------------------------------------------------------------------------- */

static enum redis_step value_complete(struct redis_reader *reader)
{
    struct redis_answer *answer = &reader->redis->answer;
    answer->stage = ANSWER_VALUE;
    if (answer->entry.stage != ENTRY_NONE) {
        redis_entry_value(reader);
    }
    if (answer->ordinal == 1 && redis_top_first_value(reader) == REDIS_LOST) {
        return REDIS_LOST;
    }
    if (answer->values == 0 && answer->depth == 0) {
        if (answer->fate == FATE_UNDECIDED && redis_top_decide(reader) == REDIS_LOST) {
            return REDIS_LOST; /* an empty array */
        }
        redis_top_complete(reader);
    }
    return REDIS_ON;
}

/* The dot that ends an aggregate without a count is a line of its own. */
static enum redis_step end_streamed(struct redis_answer *answer)
{
    if (answer->depth == 0 || answer->values != 0) {
        return REDIS_LOST;
    }
    answer->values = answer->outer[--answer->depth];
    answer->stage = ANSWER_LINE;
    return REDIS_ON;
}

/* What a master sends its replica is none of ours, unless it is an error. */
static bool is_sync(struct redis *redis, uint8_t type)
{
    const struct redis_mark *mark = redis_queue_mark(redis);
    return mark != NULL && mark->kind == REDIS_SYNC && type != '-';
}

static enum redis_step stop_following(struct redis_reader *reader)
{
    if (reader->data[reader->at] == '\n') {
        reader->at++; /* a master that is not ready yet */
        return REDIS_ON;
    }
    redis_top_respond(reader);
    redis_queue_end(reader, END_SWITCHED);
    reader->redis->switched = true;
    return REDIS_ON;
}

static enum redis_step begin_value(struct redis_reader *reader, enum redis_answer_stage stage)
{
    struct redis_answer *answer = &reader->redis->answer;
    if (answer->type != '|' && answer->values > 0) {
        answer->values--; /* else it is inside of an aggregate without a count */
    }
    answer->stage = (uint8_t)stage;
    return REDIS_ON;
}

/* A string of at most so many digits' bytes that the buffer holds whole; else nothing is read. */
static bool pass_string(struct redis_reader *reader)
{
    const uint8_t *data = reader->data;
    size_t at = reader->at, end = reader->end, length = 0;
    if (at == end || data[at++] != '$') {
        return false;
    }
    size_t digits = at, digits_end = end - at < 8 ? end : at + 8;
    for (; at < digits_end && (uint8_t)(data[at] - '0') <= 9; at++) {
        length = length * 10 + (uint8_t)(data[at] - '0');
    }
    if (at == digits || end - at < length + 4) {
        return false;
    }
    const uint8_t *close = data + at + 2 + length;
    if (data[at] != '\r' || data[at + 1] != '\n' || close[0] != '\r' || close[1] != '\n') {
        return false;
    }
    reader->at = at + length + 4;
    return true;
}

/* In a long array: those of which nobody asks what they say, up to its last value. */
static bool pass_strings(struct redis_reader *reader)
{
    struct redis_answer *answer = &reader->redis->answer;
    size_t from = reader->at;
    if (answer->ordinal == ORDINAL_MAX && answer->entry.stage == ENTRY_NONE) {
        while (answer->values > 1 && pass_string(reader)) {
            answer->values--;
        }
    }
    return reader->at != from;
}

static enum redis_step read_value(struct redis_reader *reader)
{
    struct redis_answer *answer = &reader->redis->answer;
    uint8_t type = reader->data[reader->at];
    if (!is_top(answer) && pass_strings(reader)) {
        return REDIS_ON;
    }
    if (!is_top(answer)) {
        answer->ordinal += answer->ordinal < ORDINAL_MAX;
    } else if (is_sync(reader->redis, type)) {
        return stop_following(reader);
    } else if (redis_top_begin(reader, type) == REDIS_LOST) {
        return REDIS_LOST;
    }
    reader->at++;
    answer->type = type;
    answer->code_length = 0;
    switch (type) {
    case '*':
    case '~':
    case '>':
    case '%':
    case '|':
    case '$':
    case '=':
    case '!':
    case ':':
        return begin_value(reader, ANSWER_NUMBER_FIRST);
    case '+':
        return begin_value(reader, ANSWER_LINE_FIRST);
    case '-':
        return begin_value(reader, takes_code(answer) ? ANSWER_CODE : ANSWER_LINE);
    case ',':
    case '(':
    case '#':
    case '_':
        return begin_value(reader, ANSWER_LINE);
    case '.':
        return end_streamed(answer);
    default:
        return REDIS_LOST;
    }
}

/* --- aggregates and strings ---------------------------------------------------------------- */

static enum redis_step read_aggregate(struct redis_reader *reader)
{
    struct redis_answer *answer = &reader->redis->answer;
    bool is_pairs = answer->type == '%' || answer->type == '|';
    if (answer->is_streamed && answer->depth == REDIS_STREAMED_DEPTH_MAX) {
        return REDIS_LOST;
    }
    if (answer->is_streamed) {
        answer->outer[answer->depth++] = answer->values;
        answer->values = 0;
        answer->stage = ANSWER_VALUE;
        redis_entry_cut(reader);
        return REDIS_ON;
    }
    if (!answer->is_negative) {
        answer->values += is_pairs ? 2 * answer->left : answer->left;
    }
    return answer->values > REDIS_VALUES_MAX ? REDIS_LOST : value_complete(reader);
}

static void begin_data(struct redis_answer *answer)
{
    bool is_code = answer->type == '!' && takes_code(answer);
    answer->stage = answer->left == 0 ? ANSWER_DATA_CR : is_code ? ANSWER_CODE : ANSWER_DATA;
}

static enum redis_step read_string(struct redis_reader *reader)
{
    struct redis_answer *answer = &reader->redis->answer;
    bool is_last_chunk = answer->type == ';' && answer->left == 0;
    if (answer->is_negative || is_last_chunk) {
        return value_complete(reader);
    }
    if (answer->is_streamed) {
        answer->stage = ANSWER_CHUNK;
    } else {
        begin_data(answer);
    }
    return REDIS_ON;
}

static enum redis_step read_number_end(struct redis_reader *reader)
{
    struct redis_answer *answer = &reader->redis->answer;
    if (reader->data[reader->at++] != '\n') {
        return REDIS_LOST;
    }
    switch (answer->type) {
    case ':':
        if (answer->ordinal == 3) {
            answer->third = (uint32_t)answer->left;
            answer->has_third = true;
        }
        return value_complete(reader);
    case '$':
    case '=':
    case '!':
    case ';':
        return read_string(reader);
    default:
        return read_aggregate(reader);
    }
}

/* Digits, and CR. Of an integer nobody asks how large it is. */
static enum redis_step read_number(struct redis_reader *reader)
{
    struct redis_answer *answer = &reader->redis->answer;
    while (reader->at < reader->end) {
        uint8_t byte = reader->data[reader->at++];
        uint8_t digit = (uint8_t)(byte - '0');
        if (digit > 9) {
            answer->stage = ANSWER_NUMBER_LF;
            return byte == '\r' ? REDIS_ON : REDIS_LOST;
        }
        answer->left = answer->left * 10 + digit;
        if (answer->left > REDIS_VALUES_MAX && answer->type != ':') {
            return REDIS_LOST;
        }
    }
    return REDIS_ON;
}

static enum redis_step read_number_first(struct redis_reader *reader)
{
    struct redis_answer *answer = &reader->redis->answer;
    uint8_t byte = reader->data[reader->at++];
    uint8_t digit = (uint8_t)(byte - '0');
    answer->left = digit > 9 ? 0 : digit;
    answer->is_negative = byte == '-';
    answer->is_streamed = byte == '?' && answer->type != ':' && answer->type != ';';
    answer->stage = ANSWER_NUMBER;
    bool is_sign = answer->is_negative || (byte == '+' && answer->type == ':');
    return digit <= 9 || is_sign || answer->is_streamed ? REDIS_ON : REDIS_LOST;
}

static enum redis_step read_chunk(struct redis_reader *reader)
{
    reader->redis->answer.type = ';';
    reader->redis->answer.stage = ANSWER_NUMBER_FIRST;
    return reader->data[reader->at++] == ';' ? REDIS_ON : REDIS_LOST;
}

/* The first value of an array or a push may say what it is about. */
static void keep_word(struct redis_answer *answer, const uint8_t *bytes, size_t length)
{
    if (answer->ordinal == 1 && length <= sizeof(answer->word) - answer->word_length) {
        memcpy(answer->word + answer->word_length, bytes, length);
        answer->word_length += (uint8_t)length;
    } else if (answer->ordinal == 1) {
        answer->word_length = 0;
        answer->ordinal = ORDINAL_MAX - 1; /* too long: what it says is of no interest */
    }
}

static enum redis_step read_data(struct redis_reader *reader)
{
    struct redis_answer *answer = &reader->redis->answer;
    size_t length = reader->end - reader->at;
    length = length < answer->left ? length : (size_t)answer->left;
    keep_word(answer, reader->data + reader->at, length);
    answer->left -= length;
    if (answer->entry.stage != ENTRY_NONE) {
        redis_entry_piece(reader, reader->at, length);
    }
    reader->at += length;
    if (answer->left == 0) {
        answer->stage = ANSWER_DATA_CR;
    }
    return REDIS_ON;
}

static enum redis_step read_data_end(struct redis_reader *reader)
{
    struct redis_answer *answer = &reader->redis->answer;
    uint8_t byte = reader->data[reader->at++];
    if (answer->stage == ANSWER_DATA_CR) {
        answer->stage = ANSWER_DATA_LF;
        return byte == '\r' ? REDIS_ON : REDIS_LOST;
    }
    if (byte != '\n') {
        return REDIS_LOST;
    }
    if (answer->type != ';') {
        return value_complete(reader);
    }
    answer->stage = ANSWER_CHUNK;
    return REDIS_ON;
}

bool redis_answer_skip(struct redis_answer *answer, uint64_t length)
{
    if (answer->stage != ANSWER_DATA || length >= answer->left) {
        return false;
    }
    answer->left -= length;
    return true;
}

/* --- lines --------------------------------------------------------------------------------- */

static enum redis_step read_line(struct redis_reader *reader)
{
    const uint8_t *from = reader->data + reader->at;
    const uint8_t *found = memchr(from, '\n', reader->end - reader->at);
    if (found == NULL) {
        reader->at = reader->end;
        return REDIS_ON;
    }
    reader->at += (size_t)(found - from) + 1;
    return value_complete(reader);
}

/* What MONITOR tells begins with the time; what it answers does not. */
static enum redis_step read_line_first(struct redis_reader *reader)
{
    struct redis_answer *answer = &reader->redis->answer;
    uint8_t byte = reader->data[reader->at];
    answer->stage = ANSWER_LINE;
    if (answer->ordinal > 0) {
        return REDIS_ON;
    }
    answer->top_first = byte;
    if (answer->fate != FATE_UNDECIDED) {
        return REDIS_ON;
    }
    if (byte < '0' || byte > '9') {
        return redis_top_decide(reader);
    }
    answer->fate = FATE_PUSH;
    return REDIS_ON;
}

static void code_complete(struct redis_answer *answer)
{
    answer->in_code = false;
    answer->has_code = true;
    answer->stage = ANSWER_LINE;
    if (answer->type == '!') {
        answer->stage = answer->left == 0 ? ANSWER_DATA_CR : ANSWER_DATA;
    }
}

/* -WRONGTYPE Operation against a key holding the wrong kind of value */
static enum redis_step read_code(struct redis_reader *reader)
{
    struct redis_answer *answer = &reader->redis->answer;
    size_t from = reader->at, end = reader->end;
    if (answer->type == '!' && answer->left < end - from) {
        end = from + (size_t)answer->left;
    }
    size_t room = REDIS_CODE_BYTES_MAX - answer->code_length;
    size_t stop = end - from < room ? end : from + room;
    while (reader->at < stop && reader->data[reader->at] > ' ') {
        reader->at++;
    }
    size_t length = reader->at - from;
    answer->code_length += (uint8_t)length;
    bool is_last = reader->at < end || answer->code_length == REDIS_CODE_BYTES_MAX;
    if (answer->type == '!') {
        answer->left -= length;
        is_last |= answer->left == 0;
    }
    redis_tell_text(
        reader, FIELD_CODE, reader->redis->oldest, from, reader->at, !answer->in_code, is_last);
    answer->in_code = true;
    if (is_last) {
        code_complete(answer);
    }
    return REDIS_ON;
}

enum redis_step redis_answer_read(struct redis_reader *reader)
{
    switch ((enum redis_answer_stage)reader->redis->answer.stage) {
    case ANSWER_VALUE:
        return read_value(reader);
    case ANSWER_NUMBER_FIRST:
        return read_number_first(reader);
    case ANSWER_NUMBER:
        return read_number(reader);
    case ANSWER_NUMBER_LF:
        return read_number_end(reader);
    case ANSWER_CHUNK:
        return read_chunk(reader);
    case ANSWER_LINE_FIRST:
        return read_line_first(reader);
    case ANSWER_LINE:
        return read_line(reader);
    case ANSWER_CODE:
        return read_code(reader);
    case ANSWER_DATA:
        return read_data(reader);
    case ANSWER_DATA_CR:
    case ANSWER_DATA_LF:
        return read_data_end(reader);
    }
    return REDIS_LOST;
}
