/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AMQP 0-9-1: frames. What a connection's client sends and gets, that is: a broker's side is none
 * of ours.
 *
 * A message is a method, a content header and as many body frames as its size asks for, on one
 * channel; frames of other channels may stand between them (4.2.3). Context goes into the table of
 * headers in the content header, which is replaced as a whole but for its last byte.
 */
#include "amqp.h"

/* 4.2.2; and that of 0-9, which RabbitMQ takes for the same. */
enum { GREETING_BYTES = 8 };
static const uint8_t greetings[][GREETING_BYTES] = {
    {'A', 'M', 'Q', 'P', 0, 0, 9, 1}, {'A', 'M', 'Q', 'P', 1, 1, 0, 9}};

static bool is_greeting(const uint8_t *bytes, size_t length)
{
    return memcmp(bytes, greetings[0], length) == 0 || memcmp(bytes, greetings[1], length) == 0;
}

static enum verdict probe(const struct prefix prefixes[2], enum direction *requests)
{
    for (enum direction side = DIRECTION_IN; side <= DIRECTION_OUT; side++) {
        const struct prefix *prefix = &prefixes[side];
        size_t length = prefix->length < GREETING_BYTES ? prefix->length : GREETING_BYTES;
        if (length == 0)
            continue;
        if (!is_greeting(prefix->bytes, length))
            return VERDICT_NO;
        *requests = side;
        return length == GREETING_BYTES ? VERDICT_YES : VERDICT_MORE;
    }
    return VERDICT_MORE;
}

static void start(void *state, enum direction requests)
{
    broker_start(state, sizeof(struct amqp), requests);
}

static bool is_frame(const struct amqp_frame *frame)
{
    bool is_known = (frame->type >= FRAME_METHOD && frame->type <= FRAME_BODY) ||
                    frame->type == FRAME_HEARTBEAT;
    return is_known && frame->length <= AMQP_PAYLOAD_MAX;
}

/* 4.2.3: type, channel, size. */
static bool read_header(struct broker_reader *reader)
{
    struct amqp_frame *frame = reader->side;
    while (frame->got < AMQP_HEADER_BYTES && reader->at < reader->end)
        frame->header[frame->got++] = reader->data[reader->at++];
    if (frame->got < AMQP_HEADER_BYTES)
        return true;
    const uint8_t *header = frame->header;
    frame->type = header[0];
    frame->length = (uint32_t)header[3] << 24 | (uint32_t)header[4] << 16 |
                    (uint32_t)header[5] << 8 | header[6];
    frame->left = frame->length;
    frame->method = AMQP_OTHER;
    frame->ids = 0;
    frame->flags = 0;
    frame->is_end = frame->left == 0;
    frame->argument = (struct amqp_argument){0};
    frame->table = (struct amqp_table){0};
    return is_frame(frame);
}

static void read_body(struct broker_reader *reader, size_t end)
{
    struct amqp_channel *channel = amqp_channel_of(reader);
    size_t length = end - reader->at;
    reader->at = end;
    if (channel == NULL)
        return;
    struct amqp_content *content = &channel->content[reader->direction];
    if (content->stage == CONTENT_BODY)
        content->left -= length < content->left ? (uint32_t)length : content->left;
}

static void read_payload(struct broker_reader *reader)
{
    struct amqp_frame *frame = reader->side;
    size_t before = reader->at, end = before + broker_there(reader, frame->left);
    if (frame->type == FRAME_METHOD)
        amqp_read_method(reader, end);
    else if (frame->type == FRAME_CONTENT)
        amqp_read_properties(reader, end);
    else if (frame->type == FRAME_BODY)
        read_body(reader, end);
    reader->at = end;
    frame->left -= (uint32_t)(end - before);
    frame->is_end = frame->left == 0;
}

/* The last byte; with it the message may be complete. */
static bool read_end(struct broker_reader *reader)
{
    struct amqp_frame *frame = reader->side;
    bool is_cut =
        frame->argument.is_string || frame->table.left > 0; /* no frame goes on in another */
    if (reader->data[reader->at] != AMQP_FRAME_END || is_cut)
        return false;
    if (frame->type == FRAME_CONTENT)
        amqp_tell_request(reader);
    reader->at++;
    frame->got = 0;
    frame->is_end = false;
    if (frame->type == FRAME_CONTENT || frame->type == FRAME_BODY)
        amqp_end_content(reader);
    return true;
}

/* Of which version it is does not matter any more. */
static bool read_greeting(struct broker_reader *reader)
{
    struct amqp_frame *frame = reader->side;
    uint8_t byte = reader->data[reader->at++], at = frame->greeting++;
    return byte == greetings[0][at] || byte == greetings[1][at];
}

static bool read_on(struct broker_reader *reader)
{
    const struct amqp_frame *frame = reader->side;
    if (reader->direction == DIRECTION_OUT && frame->greeting < GREETING_BYTES)
        return read_greeting(reader);
    if (frame->got < AMQP_HEADER_BYTES)
        return read_header(reader);
    if (frame->is_end)
        return read_end(reader);
    read_payload(reader);
    return true;
}

static struct broker_reader reader_of(void *state, enum direction direction, struct sink *sink)
{
    struct amqp *amqp = state;
    return broker_reader_of(state, amqp->frames, sizeof(amqp->frames[0]), direction, sink);
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
    const struct amqp_frame *frame = reader.side;
    reader.end = (size_t)length;
    if (frame->got < AMQP_HEADER_BYTES || frame->is_end || frame->type != FRAME_BODY ||
        length > frame->left)
        return false;
    read_payload(&reader);
    return true;
}

/* What is not whole is none; what was published and has no confirm will get none, and a broker that
 * has said its last takes no more. What was delivered can still be worked on. */
static void finish(void *state, enum direction direction, struct sink *sink)
{
    struct amqp *amqp = state;
    struct broker_reader reader = reader_of(amqp, direction, sink);
    for (unsigned i = 0; i < AMQP_CHANNELS_MAX; i++) {
        struct amqp_channel *channel = &amqp->channels[i];
        amqp_cut(&reader, &channel->content[reader.direction]);
        if (reader.direction == DIRECTION_OUT)
            continue;
        amqp_cut(&reader, &channel->content[DIRECTION_OUT]);
        if (channel->asks != ASKED_NOTHING)
            broker_tell(&reader, channel->asked_serial, EVENT_END);
        channel->asks = ASKED_NOTHING;
    }
    if (reader.direction == DIRECTION_IN)
        broker_settle(&reader, 1, UINT64_MAX, END_UNANSWERED, NULL);
}

const struct protocol amqp_protocol = {
    .name = "amqp",
    .state_bytes = sizeof(struct amqp),
    .edits = EDITS_ALWAYS,
    .client_only = true,
    .probe = probe,
    .start = start,
    .feed = feed,
    .skip = skip,
    .finish = finish,
    .insert = amqp_insert,
    .describe = amqp_describe,
};
