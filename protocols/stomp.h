/* SPDX-License-Identifier: Apache-2.0 */
/* STOMP 1.0, 1.1 and 1.2 (the protocol's specifications, whose sections are named): what the files
 * of this protocol share. */
#pragma once

#include <string.h>

#include "broker.h"

enum {
    STOMP_COMMAND_MAX = 16,
    STOMP_NAME_MAX = CONTEXT_NAME_MAX + 1, /* of a header, as far as it is asked for */
    STOMP_HEAD_MAX = 1 << 16,
    STOMP_SUBSCRIPTIONS_MAX = 8 /* of more it is not known how they acknowledge */
};

enum stomp_stage { STAGE_COMMAND, STAGE_NAME, STAGE_VALUE, STAGE_LINE_END, STAGE_BODY, STAGE_NUL };

enum stomp_frame {
    FRAME_IGNORED,
    FRAME_CONNECTED,
    FRAME_SEND,
    FRAME_SUBSCRIBE,
    FRAME_UNSUBSCRIBE,
    FRAME_ACK,
    FRAME_NACK,
    FRAME_MESSAGE,
    FRAME_RECEIPT,
    FRAME_ERROR
};

/* Headers whose values are compared: by their hashes. */
enum stomp_header {
    HEADER_RECEIPT,
    HEADER_RECEIPT_ID,
    HEADER_ID,
    HEADER_MESSAGE_ID,
    HEADER_SUBSCRIPTION,
    HEADER_ACK,
    HEADER_VERSION,
    HEADER_HASHED,
    HEADER_LENGTH = HEADER_HASHED,
    HEADER_OTHER
};

struct stomp_side {
    uint64_t hashes[HEADER_HASHED]; /* 0: it is not there */
    uint64_t left;                  /* bytes of the body to come */
    uint32_t serial;
    uint32_t head_bytes; /* that were read of the frame */
    uint8_t stage, frame;
    uint8_t name_length, value_header;
    uint8_t field; /* what the value is told as; FIELD_COUNT: as nothing */
    uint8_t seen;  /* bits of what has been told: of two equal headers the first holds */
    char name[STOMP_NAME_MAX];
    bool has_length; /* of the body */
    bool is_first;   /* none of the value has been told */
    bool is_escaped; /* the last byte began an escape */
    bool is_blank;   /* STAGE_LINE_END: of the line that ends the head */
    bool is_begun, is_requested;
};

struct stomp_subscription {
    uint64_t id;  /* hash */
    uint8_t acks; /* enum stomp_acks */
};

enum stomp_acks { ACKS_FREE, ACKS_AUTO, ACKS_CLIENT, ACKS_INDIVIDUAL };

struct stomp {
    struct broker_connection connection;
    struct stomp_side sides[2];
    struct stomp_subscription subscriptions[STOMP_SUBSCRIPTIONS_MAX];
    uint32_t subscribed; /* how many there have been */
    uint8_t version;     /* 10, 11, 12; 0: the server has not answered yet */
};

_Static_assert(sizeof(struct stomp) <= STATE_BYTES_MAX, "connections hold one each");

static inline uint64_t stomp_hash(uint64_t hash, uint8_t byte)
{
    hash = hash == 0 ? UINT64_C(0xcbf29ce484222325) : hash;
    return (hash ^ byte) * UINT64_C(0x100000001b3);
}

/* stomp_head.c: each advances; false: this is no STOMP. */
bool stomp_read_name(struct broker_reader *reader);
bool stomp_read_value(struct broker_reader *reader);
void stomp_end_head(struct broker_reader *reader);

/* stomp_frame.c: what frames mean. */
void stomp_begin_frame(struct broker_reader *reader);
void stomp_take_head(struct broker_reader *reader);
void stomp_end_frame(struct broker_reader *reader);
void stomp_cut_frame(struct broker_reader *reader);

/* stomp_describe.c */
size_t stomp_insert(const struct insertion *insertion, char *out);
void stomp_describe(const struct facts *facts, struct describer *out);
