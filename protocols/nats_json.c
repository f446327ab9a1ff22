/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NATS: objects of JSON. What server and client say of themselves, INFO and CONNECT, on one line;
 * and which consumer a client asks JetStream for: of one whose messages nobody acknowledges they
 * look like those of the others.
 */
#include "nats.h"

enum member {
    MEMBER_OTHER,
    MEMBER_HEADERS,
    MEMBER_MAX_PAYLOAD,
    MEMBER_ACK_POLICY,
    MEMBER_DELIVER_SUBJECT
};

static const struct {
    char key[16];
    uint8_t length;
    uint8_t depth; /* at which it stands */
    enum member member;
} members[] = {
    {"headers", 7, 1, MEMBER_HEADERS},
    {"max_payload", 11, 1, MEMBER_MAX_PAYLOAD},
    {"ack_policy", 10, 2, MEMBER_ACK_POLICY},
    {"deliver_subject", 15, 2, MEMBER_DELIVER_SUBJECT},
};

static enum member member_of(const struct nats_json *json)
{
    for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++)
        if (json->depth == members[i].depth && json->key_length == members[i].length &&
            memcmp(json->key, members[i].key, members[i].length) == 0)
            return members[i].member;
    return MEMBER_OTHER;
}

static void end_string(struct nats_json *json)
{
    json->is_string = false;
    if (json->member == MEMBER_ACK_POLICY)
        json->is_unacknowledged = json->key_length == 4 && memcmp(json->key, "none", 4) == 0;
    if (json->member == MEMBER_DELIVER_SUBJECT)
        json->delivers = nats_short_hash(json->number);
}

static void read_string(struct nats_json *json, uint8_t byte)
{
    if (byte == '"' && !json->is_escaped) {
        end_string(json);
        return;
    }
    json->is_escaped = byte == '\\' && !json->is_escaped;
    json->number = nats_hash(json->number, byte);
    if (json->key_length < sizeof(json->key))
        json->key[json->key_length++] = byte;
}

/* Of a value that is no string. */
static void read_value(struct broker_reader *reader, uint8_t byte)
{
    struct nats *nats = reader->state;
    struct nats_json *json = &nats_side_of(reader)->json;
    if (json->member == MEMBER_HEADERS) {
        bool *headers =
            nats_side_of(reader)->verb == NATS_INFO ? &nats->server_headers : &nats->client_headers;
        *headers = byte == 't';
        json->member = MEMBER_OTHER;
    }
    if (json->member == MEMBER_MAX_PAYLOAD && byte >= '0' && byte <= '9' && json->number < 1 << 30)
        json->number = json->number * 10 + (byte - '0');
}

static void end_value(struct broker_reader *reader)
{
    struct nats *nats = reader->state;
    struct nats_json *json = &nats_side_of(reader)->json;
    if (json->member == MEMBER_MAX_PAYLOAD && nats_side_of(reader)->verb == NATS_INFO)
        nats->max_payload = json->number;
    json->member = MEMBER_OTHER;
}

static void read_byte(struct broker_reader *reader, uint8_t byte)
{
    struct nats_json *json = &nats_side_of(reader)->json;
    switch (byte) {
    case '"':
        json->is_string = true;
        json->is_escaped = false;
        json->key_length = 0;
        json->number = nats_hash_start;
        return;
    case '{':
    case '[':
        json->depth += json->depth < UINT8_MAX;
        json->member = MEMBER_OTHER;
        return;
    case '}':
    case ']':
        end_value(reader);
        json->depth -= json->depth > 0;
        return;
    case ',':
        end_value(reader);
        return;
    case ':':
        json->member = (uint8_t)member_of(json);
        json->number = 0;
        return;
    case ' ':
    case '\t':
    case '\r':
    case '\n':
        return;
    default:
        read_value(reader, byte);
        return;
    }
}

static void take_byte(struct broker_reader *reader, uint8_t byte)
{
    struct nats_json *json = &nats_side_of(reader)->json;
    if (json->is_string)
        read_string(json, byte);
    else
        read_byte(reader, byte);
}

bool nats_read_json(struct broker_reader *reader)
{
    struct nats_side *side = reader->side;
    while (reader->at < reader->end) {
        uint8_t byte = reader->data[reader->at++];
        if (byte == '\n') {
            side->stage = STAGE_VERB;
            return true;
        }
        if (++side->line_bytes > NATS_JSON_MAX)
            return false;
        take_byte(reader, byte);
    }
    return true;
}

void nats_read_request(struct broker_reader *reader, size_t length)
{
    for (size_t i = 0; i < length; i++)
        take_byte(reader, reader->data[reader->at + i]);
}

uint32_t *nats_unsettled_row(struct nats *nats, uint32_t sid)
{
    unsigned i = 0;
    while (i < NATS_UNSETTLED_MAX && nats->unsettled[i] != sid)
        i++;
    return i == NATS_UNSETTLED_MAX ? NULL : &nats->unsettled[i];
}

static void note_unsettled(struct nats *nats, uint32_t sid)
{
    uint32_t *row = nats_unsettled_row(nats, 0);
    if (row != NULL)
        *row = sid;
}

/* Who wants to be pushed messages subscribes to where they go, before or after this. */
void nats_take_request(struct nats *nats, const struct nats_json *json)
{
    if (!json->is_unacknowledged || json->delivers == 0)
        return;
    for (unsigned i = 0; i < NATS_SUBSCRIBED_MAX; i++)
        if (nats->subscribed[i].subject == json->delivers) {
            note_unsettled(nats, nats->subscribed[i].sid);
            return;
        }
    nats->awaited[nats->requested++ % NATS_SUBSCRIBED_MAX] = json->delivers;
}

void nats_subscribe(struct nats *nats, uint32_t subject, uint32_t sid)
{
    for (unsigned i = 0; i < NATS_SUBSCRIBED_MAX; i++)
        if (nats->awaited[i] == subject) {
            nats->awaited[i] = 0;
            note_unsettled(nats, sid);
            return;
        }
    nats->subscribed[nats->subscriptions++ % NATS_SUBSCRIBED_MAX] =
        (struct nats_subscribed){subject, sid};
}
