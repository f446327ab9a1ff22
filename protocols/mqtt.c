/* SPDX-License-Identifier: Apache-2.0 */
/*
 * MQTT: packets. What a connection's client sends and gets, that is: a broker's side is none of
 * ours.
 *
 * A packet is a byte of type and flags, how many bytes remain, and those (2.1). Context goes into
 * the properties of a PUBLISH of MQTT 5, as User Properties; with them its head is written anew.
 * Older versions have nowhere to put it.
 */
#include "mqtt.h"

/* 3.1.2: name and level of the protocol, behind which a bridge says by a bit that it is one. */
static bool is_connect(const uint8_t *name, size_t length)
{
    static const struct {
        uint8_t name[8];
        uint8_t length, first, last;
    } levels[] = {
        {{0, 4, 'M', 'Q', 'T', 'T'}, 6, 4, 5}, {{0, 6, 'M', 'Q', 'I', 's', 'd', 'p'}, 8, 3, 3}};
    for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++) {
        size_t there = length < levels[i].length ? length : levels[i].length;
        if (memcmp(name, levels[i].name, there) != 0)
            continue;
        uint8_t level = length > there ? name[there] & 0x7f : levels[i].first;
        return level >= levels[i].first && level <= levels[i].last;
    }
    return false;
}

enum { NAME_BYTES = 9 }; /* with the level */

static enum verdict begins(const struct prefix *prefix)
{
    size_t at = 1;
    if (prefix->bytes[0] != MQTT_CONNECT << 4)
        return VERDICT_NO;
    while (at < prefix->length && at < 4 && prefix->bytes[at] & 0x80)
        at++;
    at++;
    size_t length = prefix->length > at ? prefix->length - at : 0;
    if (!is_connect(prefix->bytes + at, length))
        return VERDICT_NO;
    bool is_old = length > 1 && prefix->bytes[at + 1] == 6;
    return length < (is_old ? NAME_BYTES : NAME_BYTES - 2) ? VERDICT_MORE : VERDICT_YES;
}

static enum verdict probe(const struct prefix prefixes[2], enum direction *requests)
{
    for (enum direction side = DIRECTION_IN; side <= DIRECTION_OUT; side++) {
        if (prefixes[side].length == 0)
            continue;
        *requests = side;
        return begins(&prefixes[side]);
    }
    return VERDICT_MORE;
}

static void start(void *state, enum direction requests)
{
    broker_start(state, sizeof(struct mqtt), requests);
}

/* 2.1: the type and its flags, and how many bytes remain. */
static bool read_header(struct broker_reader *reader)
{
    struct mqtt_side *side = reader->side;
    uint8_t byte = reader->data[reader->at++];
    side->head_bytes++;
    if (side->got == 0) {
        side->first = byte;
        side->left = 0;
        side->got++;
        return true;
    }
    side->left |= (byte & 0x7fu) << 7 * (side->got - 1);
    if (byte & 0x80)
        return ++side->got <= 4;
    return mqtt_begin_packet(reader);
}

uint32_t mqtt_take(struct broker_reader *reader, uint32_t most)
{
    struct mqtt_side *side = reader->side;
    uint32_t length = (uint32_t)broker_there(reader, most < side->left ? most : side->left);
    if (length == side->left && length > 1)
        length--; /* a packet's last byte is read by itself: something may go before it */
    reader->at += length;
    side->left -= length;
    side->head_bytes += length;
    return length;
}

static bool read_on(struct broker_reader *reader)
{
    return mqtt_side_of(reader)->item == 0 ? read_header(reader) : mqtt_read_item(reader);
}

static struct broker_reader reader_of(void *state, enum direction direction, struct sink *sink)
{
    struct mqtt *mqtt = state;
    return broker_reader_of(mqtt, mqtt->sides, sizeof(mqtt->sides[0]), direction, sink);
}

static size_t feed(
    void *state, enum direction direction, const uint8_t *data, size_t length, struct sink *sink)
{
    struct broker_reader reader = reader_of(state, direction, sink);
    return broker_feed(&reader, data, length, read_on);
}

/* A payload nobody would have looked at. */
static bool skip(void *state, enum direction direction, uint64_t length, struct sink *sink)
{
    struct broker_reader reader = reader_of(state, direction, sink);
    struct mqtt_side *side = reader.side;
    bool is_message = mqtt_type_of(side) == MQTT_PUBLISH;
    if (side->item != MQTT_PAYLOAD || !is_message || length > side->left)
        return false;
    side->left -= (uint32_t)length;
    return side->left > 0 || mqtt_end_packet(&reader);
}

/* What is not whole is none. What was delivered can still be worked on; what was sent, and has no
 * acknowledgement, will get none. */
static void finish(void *state, enum direction direction, struct sink *sink)
{
    struct mqtt *mqtt = state;
    struct broker_reader reader = reader_of(state, direction, sink);
    broker_finish(&reader, mqtt->sides, sizeof(mqtt->sides[0]), mqtt_cut_message);
    if (reader.direction == DIRECTION_IN)
        broker_settle(&reader, 1, UINT16_MAX, END_UNANSWERED, NULL);
}

const struct protocol mqtt_protocol = {
    .name = "mqtt",
    .state_bytes = sizeof(struct mqtt),
    .edits = EDITS_ALWAYS,
    .client_only = true,
    .probe = probe,
    .start = start,
    .feed = feed,
    .skip = skip,
    .finish = finish,
    .insert = mqtt_insert,
    .describe = mqtt_describe,
};
