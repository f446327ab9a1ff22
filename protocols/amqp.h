/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AMQP 0-9-1 (the specification of the AMQP Working Group, 2008, and RabbitMQ's errata to it; its
 * sections are cited): what the files of this protocol share.
 */
#pragma once

#include <string.h>

#include "broker.h"

enum {
    AMQP_CHANNELS_MAX = 7,      /* in use at once; messages of others are not told, but counted */
    AMQP_UNSETTLED_MAX = 8,     /* consumers without acknowledgement */
    AMQP_PAYLOAD_MAX = 1 << 24, /* of a frame: more is none */
    AMQP_HEADER_BYTES = 7,
    AMQP_FRAME_END = 0xce
};

enum { FRAME_METHOD = 1, FRAME_CONTENT = 2, FRAME_BODY = 3, FRAME_HEARTBEAT = 8 };

enum amqp_method {
    AMQP_OTHER,   /* not known yet */
    AMQP_IGNORED, /* nothing in it is asked for */
    CHANNEL_CLOSE,
    CHANNEL_CLOSE_OK,
    CONNECTION_TUNE_OK,
    CONNECTION_CLOSE,
    CONFIRM_SELECT,
    TX_SELECT,
    TX_COMMIT,
    TX_COMMIT_OK,
    TX_ROLLBACK,
    TX_ROLLBACK_OK,
    BASIC_CONSUME,
    BASIC_CONSUME_OK,
    BASIC_CANCEL,
    BASIC_PUBLISH,
    BASIC_RETURN,
    BASIC_DELIVER,
    BASIC_GET,
    BASIC_GET_OK,
    BASIC_GET_EMPTY,
    BASIC_ACK,
    BASIC_REJECT,
    BASIC_NACK,
    BASIC_RECOVER
};

enum amqp_stage { CONTENT_NONE, CONTENT_HEADER, CONTENT_BODY };

/* What a channel's program waits for: of these there is one at a time. */
enum amqp_asked { ASKED_NOTHING, ASKED_GET, ASKED_CONSUME, ASKED_TRANSACTION };

/* FIELD_VERSION of what the conventions have no type for. */
enum amqp_operation {
    AMQP_CONSUME = MESSAGE_SETTLE + 1, /* told only if it is refused */
    AMQP_COMMIT,
    AMQP_ROLLBACK,
    AMQP_RETURN,
    AMQP_CLOSE
};

/* A message on its way in one direction of one channel. */
struct amqp_content {
    uint32_t serial;
    uint32_t left; /* bytes of its body to come */
    uint8_t stage; /* enum amqp_stage */
    bool is_told;  /* it is an exchange */
    bool is_requested;
    bool waits; /* ... that another event than its last byte will end; of what comes: no return */
};

struct amqp_channel {
    uint16_t number; /* 0: a free row */
    bool confirms;
    bool is_transacted;
    uint8_t asks;          /* enum amqp_asked: asked_serial is of that, not answered yet */
    bool get_is_unsettled; /* of a get: its message will not be acknowledged */
    bool get_is_answered;  /* and its message is on its way */
    uint8_t consumes;      /* sent, and answered, modulo 256 */
    uint8_t consumes_answered;
    uint8_t unsettled_consumes; /* a bit for each that is not answered yet */
    uint32_t published;         /* since confirm.select */
    uint32_t asked_serial;
    struct amqp_content content[2]; /* by direction */
};

/* Where a reader of arguments is: one argument at a time. */
struct amqp_argument {
    uint8_t step;   /* which one of the method or of the properties */
    uint8_t left;   /* bytes of a number that were read, of a short string that are to come */
    bool is_string; /* the length is known */
    bool is_first;  /* none of the string has been told */
    bool is_empty;  /* the last string was */
    uint32_t hash;  /* of the last string that is only hashed */
    uint64_t number;
};

/* Of the table of headers, 4.2.5.5. */
struct amqp_table {
    uint32_t left;       /* bytes of it to come */
    uint32_t value_left; /* of the value being read */
    uint8_t stage;
    uint8_t key_left, key_length, length_left;
    uint8_t field; /* what the value is told as; FIELD_COUNT: as nothing */
    bool is_first; /* none of the value has been told */
    bool is_odd;   /* something in it, or around it, is not known: nothing is put there */
    char key[CONTEXT_NAME_MAX + 1]; /* a longer one is none that is known */
};

struct amqp_frame {
    uint8_t header[AMQP_HEADER_BYTES];
    uint8_t got; /* bytes of the header */
    uint8_t type;
    uint8_t method;   /* enum amqp_method */
    uint8_t row;      /* of the table of methods */
    uint8_t ids;      /* bytes of class and method that were read */
    uint16_t flags;   /* of the properties that are still to be read */
    bool is_end;      /* only the frame's end is to come */
    uint8_t greeting; /* OUT: bytes of the protocol header that were sent, before the first frame */
    uint32_t length;  /* of the payload */
    uint32_t left;
    struct amqp_argument argument;
    struct amqp_table table;
};

struct amqp {
    struct broker_connection connection;
    struct amqp_frame frames[2];
    struct amqp_channel channels[AMQP_CHANNELS_MAX];
    uint32_t unsettled[AMQP_UNSETTLED_MAX]; /* hashes of consumers' tags; 0: free */
    uint32_t frame_max;                     /* 0: no limit */
};

_Static_assert(sizeof(struct amqp) <= STATE_BYTES_MAX, "connections hold one each");

/* What the side is that is read. */
static inline struct amqp_frame *amqp_frame_of(const struct broker_reader *reader)
{
    return reader->side;
}

/* amqp_content.c: how a message goes. */
/* Of the frame that is read; NULL: none of which anything is known, or, of open, no row is free. */
struct amqp_channel *amqp_channel_of(struct broker_reader *reader);
struct amqp_channel *amqp_open_channel(struct broker_reader *reader);
/* The text of the next `length` bytes. */
static inline struct broker_piece amqp_piece(
    const struct broker_reader *reader, size_t length, bool is_first, bool is_last)
{
    return (struct broker_piece){reader->at, reader->at + length, is_first, is_last};
}
/* What a message, delivered or published, is known by: its channel, and its number there. */
static inline uint64_t amqp_key(uint16_t channel, uint64_t tag)
{
    return (uint64_t)channel << 48 | (tag & 0xffffffffffff);
}
/* What is left of the message that is under way in this direction is not to come. */
void amqp_cut(struct broker_reader *reader, struct amqp_content *content);
/* An exchange begins with the frame whose class and method have been read. */
uint32_t amqp_begin(struct broker_reader *reader, struct event begin, int operation);
void amqp_end_content(struct broker_reader *reader);
/* Advances over the payload of a content header; at its end, before the frame's last byte. */
void amqp_read_properties(struct broker_reader *reader, size_t end);
void amqp_tell_request(struct broker_reader *reader);

/* amqp_method.c: what a method means. */
void amqp_read_method(struct broker_reader *reader, size_t end);

/* amqp_end.c: what is said of messages and requests that were begun. A code is the broker's reply
 * code. */
void amqp_ask(struct broker_reader *reader, struct amqp_channel *channel, enum amqp_asked asked,
    int operation);
/* VOID: it is not told. */
void amqp_answer(struct broker_reader *reader, struct amqp_channel *channel, enum amqp_asked asked,
    enum event_kind kind);
void amqp_settle(struct broker_reader *reader, struct amqp_channel *channel, uint64_t tag);
void amqp_recover(struct broker_reader *reader, struct amqp_channel *channel);
void amqp_end_transaction(
    struct broker_reader *reader, struct amqp_channel *channel, enum end_reason reason);
void amqp_begin_return(struct broker_reader *reader, struct amqp_channel *channel, int64_t code);
void amqp_end_return(struct broker_reader *reader, struct amqp_channel *channel);
/* NULL: one of which nothing was known. */
void amqp_close_channel(struct broker_reader *reader, struct amqp_channel *channel, int64_t code);
void amqp_close_connection(struct broker_reader *reader, int64_t code);

/* amqp_describe.c */
size_t amqp_insert(const struct insertion *insertion, char *out);
void amqp_describe(const struct facts *facts, struct describer *out);
