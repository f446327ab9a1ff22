/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NATS: lines. What a connection's client sends and gets, that is: a server's side is none of ours.
 *
 * A line is a verb and its arguments; PUB, HPUB, MSG and HMSG announce as many bytes as their last
 * argument says, and one more line end behind them. Of HPUB and HMSG the first of those bytes are a
 * block of headers. Context goes there; a PUB becomes an HPUB for it (nats_describe.c).
 */
#include "nats.h"

/* The server speaks first. If what it says was in the open and the rest is inside a TLS of which
 * the socket is not known, the client does. */
static enum verdict probe(const struct prefix prefixes[2], enum direction *requests)
{
    for (enum direction side = DIRECTION_IN; side <= DIRECTION_OUT; side++) {
        if (prefixes[side].length == 0)
            continue;
        enum verdict server = broker_begins(&prefixes[side], "INFO {", 6);
        enum verdict client = broker_begins(&prefixes[side], "CONNECT {", 9);
        if (server == VERDICT_NO && client == VERDICT_NO)
            return VERDICT_NO;
        *requests = server == VERDICT_NO ? side : direction_other(side);
        return server == VERDICT_NO ? client : server;
    }
    return VERDICT_MORE;
}

static void start(void *state, enum direction requests)
{
    broker_start(state, sizeof(struct nats), requests);
}

/* Servers among each other have more of them: those connections are not followed. */
static const struct verb {
    char word[NATS_WORD_MAX];
    uint8_t length;
    uint8_t verb, stage;
    uint8_t sides; /* who may send it: bits of enum direction */
    bool has_headers;
} verbs[] = {
    {"PUB", 3, NATS_PUB, STAGE_TOKENS, 1 << DIRECTION_OUT, false},
    {"HPUB", 4, NATS_PUB, STAGE_TOKENS, 1 << DIRECTION_OUT, true},
    {"SUB", 3, NATS_SUB, STAGE_TOKENS, 1 << DIRECTION_OUT, false},
    {"UNSUB", 5, NATS_UNSUB, STAGE_TOKENS, 1 << DIRECTION_OUT, false},
    {"CONNECT", 7, NATS_CONNECT, STAGE_JSON, 1 << DIRECTION_OUT, false},
    {"MSG", 3, NATS_MSG, STAGE_TOKENS, 1 << DIRECTION_IN, false},
    {"HMSG", 4, NATS_MSG, STAGE_TOKENS, 1 << DIRECTION_IN, true},
    {"INFO", 4, NATS_INFO, STAGE_JSON, 1 << DIRECTION_IN, false},
    {"+OK", 3, NATS_IGNORED, STAGE_REST, 1 << DIRECTION_IN, false},
    {"-ERR", 4, NATS_IGNORED, STAGE_REST, 1 << DIRECTION_IN, false},
    {"PING", 4, NATS_IGNORED, STAGE_REST, 1 << DIRECTION_IN | 1 << DIRECTION_OUT, false},
    {"PONG", 4, NATS_IGNORED, STAGE_REST, 1 << DIRECTION_IN | 1 << DIRECTION_OUT, false},
};

static bool take_verb(struct broker_reader *reader)
{
    struct nats_side *side = reader->side;
    for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
        const struct verb *verb = &verbs[i];
        if (verb->length != side->word_length || !(verb->sides & 1u << reader->direction) ||
            memcmp(verb->word, side->word, verb->length) != 0)
            continue;
        side->verb = verb->verb;
        side->stage = verb->stage;
        side->has_headers = verb->has_headers;
        side->word_length = 0;
        side->has_cr = false;
        if (verb->stage == STAGE_TOKENS)
            nats_line_start(side);
        else
            side->json = (struct nats_json){0};
        return true;
    }
    return false;
}

/* In any case of letters. What follows it is not taken. */
static bool read_verb(struct broker_reader *reader)
{
    struct nats_side *side = reader->side;
    if (side->word_length == 0)
        side->line_bytes = 0;
    for (; reader->at < reader->end; reader->at++, side->line_bytes++) {
        uint8_t byte = reader->data[reader->at];
        if (byte == ' ' || byte == '\t' || byte == '\r' || byte == '\n')
            return take_verb(reader);
        if (side->word_length == NATS_WORD_MAX)
            return false;
        side->word[side->word_length++] = byte >= 'a' && byte <= 'z' ? byte & 0xdf : byte;
    }
    return true;
}

static bool read_rest(struct broker_reader *reader)
{
    struct nats_side *side = reader->side;
    while (reader->at < reader->end && side->stage == STAGE_REST) {
        if (++side->line_bytes > NATS_LINE_MAX)
            return false;
        if (reader->data[reader->at++] == '\n')
            side->stage = STAGE_VERB;
    }
    return true;
}

static struct broker_reader reader_of(void *state, enum direction direction, struct sink *sink)
{
    struct nats *nats = state;
    return broker_reader_of(nats, nats->sides, sizeof(nats->sides[0]), direction, sink);
}

static bool read_on(struct broker_reader *reader)
{
    static broker_step *const readers[] = {
        [STAGE_VERB] = read_verb,
        [STAGE_TOKENS] = nats_read_tokens,
        [STAGE_JSON] = nats_read_json,
        [STAGE_REST] = read_rest,
        [STAGE_HEADERS] = nats_read_headers,
        [STAGE_PAYLOAD] = nats_read_payload,
    };
    const struct nats_side *side = reader->side;
    return readers[side->stage](reader);
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
    struct nats_side *side = reader.side;
    if (side->stage != STAGE_PAYLOAD || side->fate >= FATE_SETTLES ||
        length + 2 > side->payload_left)
        return false;
    side->payload_left -= (uint32_t)length;
    return true;
}

static void secured(void *state)
{
    struct nats *nats = state;
    memset(nats->sides, 0, sizeof(nats->sides));
}

static void cut_message(struct broker_reader *reader)
{
    struct nats_side *side = reader->side;
    if (side->is_begun)
        broker_tell(reader, side->serial, side->is_requested ? EVENT_END : EVENT_VOID);
    side->is_begun = false;
}

/* What is not whole is none; what waits for an acknowledgement, the caller holds. */
static void finish(void *state, enum direction direction, struct sink *sink)
{
    struct nats *nats = state;
    struct broker_reader reader = reader_of(state, direction, sink);
    broker_finish(&reader, nats->sides, sizeof(nats->sides[0]), cut_message);
}

const struct protocol nats_protocol = {
    .name = "nats",
    .state_bytes = sizeof(struct nats),
    .edits = EDITS_ALWAYS,
    .client_only = true,
    .hands_on = true,
    .probe = probe,
    .start = start,
    .feed = feed,
    .skip = skip,
    .secured = secured,
    .finish = finish,
    .insert = nats_insert,
    .describe = nats_describe,
};
