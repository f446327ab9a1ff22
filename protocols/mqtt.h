/* SPDX-License-Identifier: Apache-2.0 */
/*
 * MQTT 3.1, 3.1.1 and 5 (OASIS, MQTT Version 5.0, whose sections are cited, and Version 3.1.1):
 * what the files of this protocol share.
 */
#pragma once

#include <string.h>

#include "broker.h"

enum {
    MQTT_REMAINING_MAX = 268435455, /* 2.1.4: bytes of a packet behind its fixed header */
    MQTT_PACKET_MAX = MQTT_REMAINING_MAX + 5,
    MQTT_ALIASES_SOUGHT = 16, /* messages after which a sender that has used none will use none */
    MQTT_PAYLOAD = 4,         /* which item of a message it is */
    MQTT_NAME_MAX = CONTEXT_NAME_MAX + 1 /* of a user property, as far as it is asked for */
};

enum mqtt_type {
    MQTT_CONNECT = 1,
    MQTT_CONNACK,
    MQTT_PUBLISH,
    MQTT_PUBACK,
    MQTT_PUBREC,
    MQTT_PUBREL,
    MQTT_PUBCOMP,
    MQTT_SUBSCRIBE,
    MQTT_SUBACK,
    MQTT_UNSUBSCRIBE,
    MQTT_UNSUBACK,
    MQTT_PINGREQ,
    MQTT_PINGRESP,
    MQTT_DISCONNECT,
    MQTT_AUTH
};

/* A property that is being read, 2.2.2.2. */
struct mqtt_property {
    uint32_t number;
    uint16_t left;   /* bytes of a text that are to come */
    uint8_t kind;    /* how it is written; 0: none is being read */
    uint8_t id, got; /* bytes of a number, or of a text's length */
    uint8_t name_length;
    bool is_value; /* of a pair: it is the second text */
    bool is_first; /* none of the value has been told */
    uint8_t field; /* what the value is told as; FIELD_COUNT: as nothing */
    uint8_t name[MQTT_NAME_MAX];
};

struct mqtt_side {
    uint32_t left;       /* bytes of the packet to come */
    uint32_t head_bytes; /* that were read of it, up to the payload of a message */
    uint32_t serial;     /* of the message */
    uint32_t number;     /* that is being read */
    uint32_t properties; /* bytes of them to come */
    uint32_t hash;       /* of a group's name */
    uint16_t id;         /* of the packet */
    uint16_t text_left;  /* of a topic or filter */
    uint8_t first;       /* byte of the packet: its type and flags */
    uint8_t got;         /* bytes of the fixed header, then of the item */
    uint8_t item;        /* which one is being read; 0: the fixed header */
    uint8_t matched;     /* bytes of a filter that are as in "$share/" */
    uint8_t plain;       /* messages that had no alias, to MQTT_ALIASES_SOUGHT */
    bool is_sized;       /* the length of the text, or of the properties, is known */
    bool is_first;       /* none of the text has been told */
    bool is_begun, is_requested;
    bool is_kept;     /* the topic is kept, for an alias may be meant to stand for it */
    bool has_topic;   /* it is not empty */
    bool has_context; /* a traceparent of the application's */
    bool may_alias;   /* the other side has allowed it */
    bool has_aliased;
    struct mqtt_property property;
};

struct mqtt {
    struct broker_connection connection;
    struct mqtt_side sides[2];
    uint32_t packet_max; /* that the broker takes; 0: not known */
    uint32_t group;      /* hash of the shared subscription's group; 0: none */
    uint8_t level;       /* of the protocol: 5 has properties */
    bool has_delivered;  /* clients send nothing from within what they are called back by */
    bool has_others;     /* subscriptions that are not that group's */
};

_Static_assert(sizeof(struct mqtt) <= STATE_BYTES_MAX, "connections hold one each");

static inline struct mqtt_side *mqtt_side_of(const struct broker_reader *reader)
{
    return reader->side;
}

static inline enum mqtt_type mqtt_type_of(const struct mqtt_side *side)
{
    return (enum mqtt_type)(side->first >> 4);
}

static inline unsigned mqtt_qos_of(const struct mqtt_side *side)
{
    return side->first >> 1 & 3;
}

/* mqtt.c: that many bytes of the packet, as far as they are here. */
uint32_t mqtt_take(struct broker_reader *reader, uint32_t most);

/* mqtt_packet.c: what stands in a packet behind its fixed header, an item at a time. These, and
 * reading properties, answer false where this is no MQTT. */
bool mqtt_begin_packet(struct broker_reader *reader);
bool mqtt_read_item(struct broker_reader *reader);
bool mqtt_end_packet(struct broker_reader *reader);

/* mqtt_properties.c: a piece of them; all have been read when their length is known and none are
 * left. */
bool mqtt_read_properties(struct broker_reader *reader);

/* mqtt_message.c: a PUBLISH, and what becomes of it. Of a topic, what stands between `from` and
 * where the reader is. */
void mqtt_begin_message(struct broker_reader *reader);
void mqtt_tell_topic(struct broker_reader *reader, size_t from);
void mqtt_tell_text(struct broker_reader *reader, enum field field, struct broker_piece piece);
void mqtt_take_id(struct broker_reader *reader);
void mqtt_take_alias(struct broker_reader *reader, uint16_t alias);
void mqtt_tell_splice(struct broker_reader *reader);
void mqtt_end_head(struct broker_reader *reader);
void mqtt_end_message(struct broker_reader *reader);
void mqtt_cut_message(struct broker_reader *reader);
void mqtt_acknowledge(struct broker_reader *reader, uint8_t reason);
void mqtt_keep_group(struct broker_reader *reader, struct broker_piece piece);

/* mqtt_describe.c */
size_t mqtt_insert(const struct insertion *insertion, char *out);
void mqtt_describe(const struct facts *facts, struct describer *out);
