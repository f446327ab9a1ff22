/* SPDX-License-Identifier: Apache-2.0 */
/* MQTT: what stands in a packet behind its fixed header, as far as it concerns messages. */
#include "mqtt.h"

enum { IN = 1 << DIRECTION_IN, OUT = 1 << DIRECTION_OUT, BOTH = IN | OUT, ANY_FLAGS = 0xff };

/* The items: digits are numbers of so many bytes, 't' is a text, 'p' the properties that MQTT 5
 * has, '.' the rest, and '*' goes back to the item before the one before. */
static const struct {
    char items[8];
    uint8_t sides; /* who may send it: bits of enum direction */
    uint8_t flags; /* 2.1.3 */
} packets[16] = {
    [MQTT_CONNECT] = {"t112p.", OUT, 0}, /* 3.1: name, level, flags, keep alive */
    [MQTT_CONNACK] = {"11p.", IN, 0},    /* 3.2: flags, reason */
    [MQTT_PUBLISH] = {"t2p.", BOTH, ANY_FLAGS},
    [MQTT_PUBACK] = {"21.", BOTH, 0}, /* 3.4 to 3.7: identifier, reason */
    [MQTT_PUBREC] = {"21.", BOTH, 0},
    [MQTT_PUBREL] = {"21.", BOTH, 2},
    [MQTT_PUBCOMP] = {"21.", BOTH, 0},
    [MQTT_SUBSCRIBE] = {"2pt1*", OUT, 2}, /* 3.8: identifier, filters with their options */
    [MQTT_SUBACK] = {".", IN, 0},
    [MQTT_UNSUBSCRIBE] = {".", OUT, 2},
    [MQTT_UNSUBACK] = {".", IN, 0},
    [MQTT_PINGREQ] = {".", OUT, 0},
    [MQTT_PINGRESP] = {".", IN, 0},
    [MQTT_DISCONNECT] = {".", BOTH, 0},
    [MQTT_AUTH] = {".", BOTH, 0},
};

static const char share[] = "$share/"; /* 4.8.2 */

enum {
    SHARE_BYTES = sizeof(share) - 1,
    FILTER_REST = 0xff, /* nothing of it is asked for any more */
    LEVEL = 2,          /* items */
    REASON = 2
};

static char kind_of(const struct mqtt_side *side)
{
    return packets[mqtt_type_of(side)].items[side->item - 1];
}

static bool is_packet(const struct broker_reader *reader)
{
    const struct mqtt_side *side = reader->side;
    unsigned type = mqtt_type_of(side), flags = side->first & 0xf;
    const struct mqtt *mqtt = reader->state;
    bool has_come = mqtt->level != 0 || type == MQTT_CONNECT;
    if (!(packets[type].sides & 1u << reader->direction) || !has_come)
        return false;
    return packets[type].flags == ANY_FLAGS ? mqtt_qos_of(side) < 3 : packets[type].flags == flags;
}

/* Past those that are not there. */
static void next_item(struct broker_reader *reader)
{
    const struct mqtt *mqtt = reader->state;
    struct mqtt_side *side = reader->side;
    side->item++;
    if (mqtt_type_of(side) == MQTT_PUBLISH && kind_of(side) == '2' && mqtt_qos_of(side) == 0)
        side->item++;
    if (kind_of(side) == 'p' && (mqtt->level & 0x7f) != 5)
        side->item++;
    if (kind_of(side) == '*')
        side->item -= 2;
    side->got = side->matched = 0;
    side->number = 0;
    side->is_sized = false;
    side->is_first = true;
}

bool mqtt_begin_packet(struct broker_reader *reader)
{
    struct mqtt_side *side = reader->side;
    if (!is_packet(reader))
        return false;
    side->id = 0;
    next_item(reader);
    if (mqtt_type_of(side) == MQTT_PUBLISH)
        mqtt_begin_message(reader);
    return side->left > 0 || mqtt_end_packet(reader);
}

/* It may end before its last items, but not within one; a message not before its payload. */
bool mqtt_end_packet(struct broker_reader *reader)
{
    struct mqtt_side *side = reader->side;
    bool is_message = mqtt_type_of(side) == MQTT_PUBLISH;
    if (side->got > 0 || (is_message && side->item != MQTT_PAYLOAD))
        return false;
    if (is_message)
        mqtt_end_message(reader);
    else if (side->id != 0)
        mqtt_acknowledge(reader, 0);
    side->item = 0;
    side->head_bytes = 0;
    return true;
}

/* --- numbers ---------------------------------------------------------------------------------- */

static bool take_number(struct broker_reader *reader)
{
    struct mqtt *mqtt = reader->state;
    struct mqtt_side *side = reader->side;
    switch (mqtt_type_of(side)) {
    case MQTT_CONNECT:
        if (side->item == LEVEL)
            mqtt->level = (uint8_t)side->number;
        return true;
    case MQTT_CONNACK:
        if (side->item == REASON)
            mqtt->packet_max = MQTT_PACKET_MAX;
        else
            mqtt->has_others |= side->number & 1; /* of a session that was there before */
        return true;
    case MQTT_SUBSCRIBE:
        return true;
    default:
        break;
    }
    if (side->item == REASON && mqtt_type_of(side) != MQTT_PUBLISH) {
        mqtt_acknowledge(reader, (uint8_t)side->number);
        return true;
    }
    side->id = (uint16_t)side->number;
    if (mqtt_type_of(side) == MQTT_PUBLISH)
        mqtt_take_id(reader);
    return side->id != 0;
}

static bool read_number(struct broker_reader *reader, uint8_t bytes)
{
    struct mqtt_side *side = reader->side;
    side->number = side->number << 8 | reader->data[reader->at];
    mqtt_take(reader, 1);
    if (++side->got < bytes)
        return true;
    bool holds = take_number(reader);
    next_item(reader);
    return holds;
}

/* --- texts ------------------------------------------------------------------------------------ */

/* A subscription that is not the group's: of a message it is not known which one brought it. */
static void take_group(struct mqtt *mqtt, uint32_t hash)
{
    mqtt->has_others |= mqtt->group != 0 && mqtt->group != hash;
    mqtt->group = hash;
}

/* $share/{group}/{filter}: the group's name, from here on. */
static void read_group(struct broker_reader *reader, size_t from)
{
    struct mqtt_side *side = reader->side;
    size_t at = from;
    if (side->is_first)
        side->hash = broker_hash_start;
    while (at < reader->at && reader->data[at] != '/')
        side->hash = broker_hash(side->hash, reader->data[at++]);
    bool is_last = at < reader->at || side->text_left == 0;
    mqtt_keep_group(reader, (struct broker_piece){from, at, side->is_first, is_last});
    side->is_first = false;
    if (!is_last)
        return;
    side->matched = FILTER_REST;
    take_group(reader->state, side->hash | 1);
}

static void read_filter(struct broker_reader *reader, size_t from)
{
    struct mqtt *mqtt = reader->state;
    struct mqtt_side *side = reader->side;
    while (from < reader->at && side->matched < SHARE_BYTES) {
        bool is_as_in = reader->data[from++] == (uint8_t)share[side->matched];
        side->matched = is_as_in ? side->matched + 1 : FILTER_REST;
    }
    if (side->matched == SHARE_BYTES && from < reader->at)
        read_group(reader, from);
    else if (side->is_first && (side->text_left == 0 || side->matched == FILTER_REST))
        mqtt->has_others = true;
}

static void read_piece(struct broker_reader *reader)
{
    struct mqtt_side *side = reader->side;
    size_t from = reader->at;
    side->text_left -= (uint16_t)mqtt_take(reader, side->text_left);
    if (mqtt_type_of(side) == MQTT_PUBLISH)
        mqtt_tell_topic(reader, from);
    else if (mqtt_type_of(side) == MQTT_SUBSCRIBE)
        read_filter(reader, from);
}

static bool read_text(struct broker_reader *reader)
{
    struct mqtt_side *side = reader->side;
    if (side->is_sized) {
        read_piece(reader);
    } else {
        side->number = side->number << 8 | reader->data[reader->at];
        mqtt_take(reader, 1);
        if (++side->got < 2)
            return true;
        side->text_left = (uint16_t)side->number;
        side->is_sized = true;
        if (side->number > side->left)
            return false;
    }
    if (side->text_left == 0)
        next_item(reader);
    return true;
}

/* --- any of them ------------------------------------------------------------------------------ */

static bool read_rest(struct broker_reader *reader)
{
    struct mqtt_side *side = reader->side;
    uint32_t length = (uint32_t)broker_there(reader, side->left);
    reader->at += length;
    side->left -= length;
    return true;
}

static bool read_properties(struct broker_reader *reader)
{
    struct mqtt_side *side = reader->side;
    if (!mqtt_read_properties(reader))
        return false;
    if (side->is_sized && side->properties == 0)
        next_item(reader);
    return true;
}

/* Before its last byte there was a splice, if it ends here. */
static void end_head(struct broker_reader *reader)
{
    const struct mqtt_side *side = reader->side;
    if (mqtt_type_of(side) != MQTT_PUBLISH || side->item != MQTT_PAYLOAD || side->is_requested)
        return;
    if (side->left > 0)
        mqtt_tell_splice(reader);
    mqtt_end_head(reader);
}

bool mqtt_read_item(struct broker_reader *reader)
{
    char kind = kind_of(reader->side);
    bool holds = kind == 't'   ? read_text(reader)
                 : kind == 'p' ? read_properties(reader)
                 : kind == '.' ? read_rest(reader)
                               : read_number(reader, (uint8_t)(kind - '0'));
    if (!holds)
        return false;
    end_head(reader);
    return mqtt_side_of(reader)->left > 0 || mqtt_end_packet(reader);
}
