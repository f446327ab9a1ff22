/* SPDX-License-Identifier: Apache-2.0 */
/*
 * STOMP: frames. What a connection's client sends and gets, that is: a server's side is none of
 * ours.
 *
 * A frame is a command, headers, an empty line, a body and a NUL; lines may end in CR LF. Context
 * is lines before the empty one.
 */
#include "stomp.h"

static enum verdict begins(const struct prefix *prefix, const char *command, uint8_t length)
{
    uint8_t there = prefix->length < length ? prefix->length : length, at = length;
    if (memcmp(prefix->bytes, command, there) != 0)
        return VERDICT_NO;
    if (at < prefix->length && prefix->bytes[at] == '\r')
        at++;
    if (at < prefix->length && prefix->bytes[at] != '\n')
        return VERDICT_NO;
    if (at + 1 >= prefix->length)
        return VERDICT_MORE;
    uint8_t byte = prefix->bytes[at + 1] | 0x20;
    return byte >= 'a' && byte <= 'z' ? VERDICT_YES : VERDICT_NO;
}

static enum verdict probe(const struct prefix prefixes[2], enum direction *requests)
{
    for (enum direction side = DIRECTION_IN; side <= DIRECTION_OUT; side++) {
        if (prefixes[side].length == 0)
            continue;
        uint8_t first = prefixes[side].bytes[0]; /* asked of every connection */
        if (first != 'C' && first != 'S')
            return VERDICT_NO;
        enum verdict connect = begins(&prefixes[side], "CONNECT", 7);
        enum verdict stomp = begins(&prefixes[side], "STOMP", 5);
        *requests = side;
        return connect == VERDICT_NO ? stomp : connect;
    }
    return VERDICT_MORE;
}

static void start(void *state, enum direction requests)
{
    broker_start(state, sizeof(struct stomp), requests);
}

static const struct command {
    char name[STOMP_COMMAND_MAX];
    uint8_t length;
    uint8_t frame;
    uint8_t side; /* enum direction: who may send it */
} commands[] = {
    {"SEND", 4, FRAME_SEND, DIRECTION_OUT},
    {"MESSAGE", 7, FRAME_MESSAGE, DIRECTION_IN},
    {"ACK", 3, FRAME_ACK, DIRECTION_OUT},
    {"NACK", 4, FRAME_NACK, DIRECTION_OUT},
    {"RECEIPT", 7, FRAME_RECEIPT, DIRECTION_IN},
    {"ERROR", 5, FRAME_ERROR, DIRECTION_IN},
    {"SUBSCRIBE", 9, FRAME_SUBSCRIBE, DIRECTION_OUT},
    {"UNSUBSCRIBE", 11, FRAME_UNSUBSCRIBE, DIRECTION_OUT},
    {"CONNECTED", 9, FRAME_CONNECTED, DIRECTION_IN},
    {"CONNECT", 7, FRAME_IGNORED, DIRECTION_OUT},
    {"STOMP", 5, FRAME_IGNORED, DIRECTION_OUT},
    {"BEGIN", 5, FRAME_IGNORED, DIRECTION_OUT},
    {"COMMIT", 6, FRAME_IGNORED, DIRECTION_OUT},
    {"ABORT", 5, FRAME_IGNORED, DIRECTION_OUT},
    {"DISCONNECT", 10, FRAME_IGNORED, DIRECTION_OUT},
};

static bool take_command(struct broker_reader *reader)
{
    struct stomp_side *side = reader->side;
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        const struct command *command = &commands[i];
        if (command->length != side->name_length || command->side != reader->direction ||
            memcmp(command->name, side->name, command->length) != 0)
            continue;
        side->frame = command->frame;
        stomp_begin_frame(reader);
        return true;
    }
    return false;
}

/* Line ends between frames are heart-beats, or nothing. */
static bool read_command(struct broker_reader *reader)
{
    struct stomp_side *side = reader->side;
    uint8_t byte = reader->data[reader->at++];
    bool is_line_end = byte == '\n' || byte == '\r';
    if (is_line_end && side->name_length == 0) {
        side->head_bytes = 0;
        return true;
    }
    side->head_bytes++;
    if (is_line_end) {
        side->stage = byte == '\r' ? STAGE_LINE_END : STAGE_NAME;
        side->is_blank = false;
        bool is_known = take_command(reader);
        side->name_length = 0;
        return is_known;
    }
    if (side->name_length == STOMP_COMMAND_MAX)
        return false;
    side->name[side->name_length++] = (char)byte;
    return true;
}

static bool read_line_end(struct broker_reader *reader)
{
    struct stomp_side *side = reader->side;
    side->head_bytes++;
    side->stage = STAGE_NAME;
    if (reader->data[reader->at++] != '\n')
        return false;
    if (side->is_blank)
        stomp_end_head(reader);
    return true;
}

static bool read_body(struct broker_reader *reader)
{
    struct stomp_side *side = reader->side;
    if (side->has_length) {
        size_t length = broker_there(reader, side->left);
        side->left -= length;
        reader->at += length;
        side->stage = side->left == 0 ? STAGE_NUL : STAGE_BODY;
        return true;
    }
    const uint8_t *nul = memchr(reader->data + reader->at, 0, reader->end - reader->at);
    reader->at = nul == NULL ? reader->end : (size_t)(nul - reader->data);
    side->stage = nul == NULL ? STAGE_BODY : STAGE_NUL;
    return true;
}

static bool read_nul(struct broker_reader *reader)
{
    struct stomp_side *side = reader->side;
    if (reader->data[reader->at++] != 0)
        return false;
    stomp_end_frame(reader);
    side->stage = STAGE_COMMAND;
    side->head_bytes = 0;
    return true;
}

static struct broker_reader reader_of(void *state, enum direction direction, struct sink *sink)
{
    struct stomp *stomp = state;
    return broker_reader_of(stomp, stomp->sides, sizeof(stomp->sides[0]), direction, sink);
}

static bool read_on(struct broker_reader *reader)
{
    static broker_step *const readers[] = {
        [STAGE_COMMAND] = read_command,
        [STAGE_NAME] = stomp_read_name,
        [STAGE_VALUE] = stomp_read_value,
        [STAGE_LINE_END] = read_line_end,
        [STAGE_BODY] = read_body,
        [STAGE_NUL] = read_nul,
    };
    const struct stomp_side *side = reader->side;
    return readers[side->stage](reader) && side->head_bytes <= STOMP_HEAD_MAX;
}

static size_t feed(
    void *state, enum direction direction, const uint8_t *data, size_t length, struct sink *sink)
{
    struct broker_reader reader = reader_of(state, direction, sink);
    return broker_feed(&reader, data, length, read_on);
}

static bool skip(void *state, enum direction direction, uint64_t length, struct sink *sink)
{
    struct broker_reader reader = reader_of(state, direction, sink);
    struct stomp_side *side = reader.side;
    if (side->stage != STAGE_BODY || !side->has_length || length > side->left)
        return false;
    side->left -= length;
    side->stage = side->left == 0 ? STAGE_NUL : STAGE_BODY;
    return true;
}

/* What is not whole is none; what waits for a receipt will get none. */
static void finish(void *state, enum direction direction, struct sink *sink)
{
    struct stomp *stomp = state;
    struct broker_reader reader = reader_of(state, direction, sink);
    broker_finish(&reader, stomp->sides, sizeof(stomp->sides[0]), stomp_cut_frame);
    if (reader.direction == DIRECTION_IN)
        broker_settle(&reader, 1, UINT64_MAX, END_UNANSWERED, NULL);
}

const struct protocol stomp_protocol = {
    .name = "stomp",
    .state_bytes = sizeof(struct stomp),
    .edits = EDITS_ALWAYS,
    .client_only = true,
    .probe = probe,
    .start = start,
    .feed = feed,
    .skip = skip,
    .finish = finish,
    .insert = stomp_insert,
    .describe = stomp_describe,
};
