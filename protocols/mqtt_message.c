/* SPDX-License-Identifier: Apache-2.0 */
/* MQTT: messages, from PUBLISH to the last word about it (4.3). */
#include "mqtt.h"

/* What texts are kept as: the last topic by direction, those that an alias stands for, the name of
 * the group. */
enum { KEPT_TOPIC = 1, KEPT_ALIAS = 3, KEPT_GROUP = 5 };

enum { FIRST_ERROR = 0x80 };

static uint64_t kept_key(const struct broker_reader *reader, unsigned kind, uint16_t alias)
{
    return (uint64_t)(kind + reader->direction) << 56 | alias;
}

static const uint64_t group_key = (uint64_t)KEPT_GROUP << 56;

/* --- telling ---------------------------------------------------------------------------------- */

/* Nothing is told of what was taken back, or is over. */
static void recall(struct broker_reader *reader, enum field field, uint64_t key)
{
    const struct mqtt_side *side = reader->side;
    if (side->is_begun)
        broker_recall(reader, side->serial, field, key);
}

void mqtt_tell_text(struct broker_reader *reader, enum field field, struct broker_piece piece)
{
    const struct mqtt_side *side = reader->side;
    if (side->is_begun)
        broker_tell_text(reader, side->serial, field, piece);
}

void mqtt_keep_group(struct broker_reader *reader, struct broker_piece piece)
{
    broker_keep(reader, group_key, piece);
}

/* --- its head --------------------------------------------------------------------------------- */

void mqtt_begin_message(struct broker_reader *reader)
{
    struct mqtt *mqtt = reader->state;
    struct mqtt_side *side = reader->side;
    bool is_delivery = reader->direction == DIRECTION_IN;
    side->is_begun = true;
    side->is_requested = side->has_topic = side->has_context = false;
    side->is_kept = side->may_alias && (side->has_aliased || side->plain < MQTT_ALIASES_SOUGHT);
    struct event doubt = {.kind = EVENT_DOUBT};
    if (!is_delivery && mqtt->has_delivered)
        reader->sink->event(reader->sink, &doubt);
    mqtt->has_delivered |= is_delivery;
    struct event begin = {.is_settled = mqtt_qos_of(side) > 0};
    side->serial =
        broker_begin(reader, begin, is_delivery ? MESSAGE_PROCESS : MESSAGE_SEND, side->head_bytes);
    if (is_delivery && mqtt->group != 0 && !mqtt->has_others)
        recall(reader, FIELD_SUBSCRIPTION, group_key);
}

void mqtt_tell_topic(struct broker_reader *reader, size_t from)
{
    struct mqtt_side *side = reader->side;
    uint64_t key = kept_key(reader, KEPT_TOPIC, 0);
    struct broker_piece piece = {from, reader->at, !side->has_topic, side->text_left == 0};
    side->has_topic = true;
    if (!side->is_kept) {
        mqtt_tell_text(reader, FIELD_DESTINATION, piece);
        return;
    }
    broker_keep(reader, key, piece);
    if (piece.is_last)
        recall(reader, FIELD_DESTINATION, key);
}

/* 3.3.2.3.4: it stands for the topic here, or from here on. */
void mqtt_take_alias(struct broker_reader *reader, uint16_t alias)
{
    struct mqtt_side *side = reader->side;
    uint64_t key = kept_key(reader, KEPT_ALIAS, alias);
    side->has_aliased = true;
    if (!side->has_topic)
        recall(reader, FIELD_DESTINATION, key);
    else if (side->is_kept && side->is_begun)
        broker_tell_kept(reader, EVENT_ALIAS, key, kept_key(reader, KEPT_TOPIC, 0));
}

/* What is replaced is the head but for the last byte of the packet. A payload may be sent later. */
void mqtt_tell_splice(struct broker_reader *reader)
{
    const struct mqtt *mqtt = reader->state;
    const struct mqtt_side *side = reader->side;
    if (reader->direction == DIRECTION_OUT && mqtt_type_of(side) == MQTT_PUBLISH &&
        side->is_begun && !side->has_context && (mqtt->level & 0x7f) == 5)
        broker_tell_splice(reader, side->serial, side->head_bytes, mqtt->packet_max);
}

void mqtt_end_head(struct broker_reader *reader)
{
    struct mqtt_side *side = reader->side;
    side->is_requested = true;
    side->plain += side->plain < MQTT_ALIASES_SOUGHT;
    if (side->is_begun)
        broker_tell(reader, side->serial, EVENT_REQUEST);
}

void mqtt_take_id(struct broker_reader *reader)
{
    const struct mqtt_side *side = reader->side;
    struct event event = {.kind = EVENT_KEYED, .exchange = side->serial, .key = side->id};
    if (side->is_begun)
        reader->sink->event(reader->sink, &event);
}

/* --- its end ---------------------------------------------------------------------------------- */

/* One that is delivered exactly once may not be worked on before its release, 4.3.3. */
void mqtt_end_message(struct broker_reader *reader)
{
    struct mqtt_side *side = reader->side;
    bool is_delivery = reader->direction == DIRECTION_IN;
    if (!side->is_begun)
        return;
    side->is_begun = false;
    if (!is_delivery || mqtt_qos_of(side) < 2)
        broker_tell(reader, side->serial, EVENT_RECEIVED);
    if (!is_delivery && mqtt_qos_of(side) == 0)
        broker_end(reader, side->serial);
}

void mqtt_cut_message(struct broker_reader *reader)
{
    struct mqtt_side *side = reader->side;
    if (side->is_begun)
        broker_tell(reader, side->serial, side->is_requested ? EVENT_END : EVENT_VOID);
    side->is_begun = false;
}

/* --- acknowledgements ---------------------------------------------------------------------------
 */

/* 2.4: those that can stand in an acknowledgement. */
static const char *name_of(uint8_t reason, char digits[5])
{
    static const struct {
        uint8_t reason;
        char name[30];
    } names[] = {{0x80, "unspecified_error"}, {0x83, "implementation_specific_error"},
        {0x87, "not_authorized"}, {0x90, "topic_name_invalid"}, {0x91, "packet_identifier_in_use"},
        {0x92, "packet_identifier_not_found"}, {0x97, "quota_exceeded"},
        {0x99, "payload_format_invalid"}};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (names[i].reason == reason)
            return names[i].name;
    memcpy(digits, "0x", 2);
    digits[2] = "0123456789abcdef"[reason >> 4];
    digits[3] = "0123456789abcdef"[reason & 0xf];
    digits[4] = '\0';
    return digits;
}

/* The broker acknowledges what was sent, the client what was delivered. */
void mqtt_acknowledge(struct broker_reader *reader, uint8_t reason)
{
    struct mqtt_side *side = reader->side;
    enum mqtt_type type = mqtt_type_of(side);
    uint16_t id = side->id;
    side->id = 0;
    if (type == MQTT_PUBREL && reader->direction == DIRECTION_IN)
        broker_tell_kept(reader, EVENT_RELEASE, id, id);
    bool is_error = reason >= FIRST_ERROR;
    bool is_last_word = type == MQTT_PUBACK || type == MQTT_PUBCOMP;
    char digits[5];
    if (is_last_word || (type == MQTT_PUBREC && is_error))
        broker_settle(reader, id, id, END_COMPLETE, is_error ? name_of(reason, digits) : NULL);
}
