/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NATS (the client protocol as its documentation has it, and as nats-server 2.x speaks it): what
 * the files of this protocol share.
 */
#pragma once

#include <string.h>

#include "broker.h"

enum {
    NATS_TOKENS_MAX = 5, /* arguments of a line: HMSG has most */
    NATS_WORD_MAX = 7,   /* letters of a verb */
    NATS_HEAD_BYTES = 8, /* of a subject, as many as say what it is */
    NATS_LINE_MAX = 8192,
    NATS_JSON_MAX = 1 << 20,       /* bytes of INFO or CONNECT */
    NATS_PAYLOAD_MAX = 64 << 20,   /* the most that a server can be told to take */
    NATS_SUBSCRIBED_MAX = 4,       /* of the last ones it is known where to */
    NATS_UNSETTLED_MAX = 8,        /* subscriptions of which no message is acknowledged */
    NATS_CONSUMERS_MAX = 4,        /* of JetStream whose acknowledgements are counted */
    NATS_UNACKNOWLEDGED_MAX = 1024 /* a server lets 1000 wait, if not told otherwise */
};

enum nats_verb { NATS_IGNORED, NATS_INFO, NATS_CONNECT, NATS_PUB, NATS_SUB, NATS_UNSUB, NATS_MSG };

enum nats_stage { STAGE_VERB, STAGE_TOKENS, STAGE_JSON, STAGE_REST, STAGE_HEADERS, STAGE_PAYLOAD };

/* What a subject is. */
enum nats_subject { SUBJECT_USUAL, SUBJECT_INBOX, SUBJECT_ACK, SUBJECT_API, SUBJECT_SYSTEM };

enum nats_fate { FATE_NONE, FATE_TOLD, FATE_SETTLES, FATE_REQUESTS };

struct nats_token {
    uint64_t hash;
    uint32_t number; /* UINT32_MAX: it is none */
    uint8_t subject; /* enum nats_subject */
};

struct nats_line {
    struct nats_token tokens[NATS_TOKENS_MAX];
    uint32_t consumer; /* hash of the first four parts of an acknowledgement's subject */
    uint8_t head[NATS_HEAD_BYTES]; /* of the token being read */
    uint8_t head_length;
    uint8_t dots;  /* in it */
    uint8_t count; /* tokens that began */
    bool is_inside;
    bool is_kept; /* the subject is kept until it is known what it is for */
};

/* The members of an object that are asked for. */
struct nats_json {
    uint64_t number;        /* or the hash of the string that is being read */
    uint32_t delivers;      /* hash of where to a consumer's messages go */
    bool is_unacknowledged; /* and nobody will acknowledge them */
    uint8_t key[16];        /* or a value */
    uint8_t key_length;
    uint8_t depth;
    uint8_t member; /* which one is being read */
    bool is_string, is_escaped;
};

struct nats_headers {
    uint8_t stage;
    uint8_t name[CONTEXT_NAME_MAX + 1];
    uint8_t name_length;
    uint8_t field; /* of the value that is being read; FIELD_COUNT: none */
    bool is_first; /* none of the value has been told */
    bool is_odd;   /* not as it should be: nothing is put there */
};

struct nats_side {
    union {
        struct nats_line line;
        struct nats_json json;
    };
    struct nats_headers headers;
    uint64_t key;          /* FATE_SETTLES: what of; a delivery's */
    uint32_t consumer;     /* of that */
    uint32_t line_bytes;   /* that were read of the line, with the header block behind it */
    uint32_t header_left;  /* bytes */
    uint32_t payload_left; /* with the line end behind it */
    uint32_t serial;
    uint8_t word[NATS_WORD_MAX];
    uint8_t word_length;
    uint8_t stage, verb, fate;
    uint8_t ack[5]; /* the first bytes of the payload of an acknowledgement */
    uint8_t ack_length;
    bool has_headers; /* HPUB, HMSG */
    bool has_cr;      /* the last byte was one */
    bool is_begun, is_requested, is_settled;
};

struct nats_consumer {
    uint32_t hash; /* 0: a free row */
    uint32_t unacknowledged;
};

/* Hashes. */
struct nats_subscribed {
    uint32_t subject, sid;
};

struct nats {
    struct broker_connection connection;
    struct nats_side sides[2];
    struct nats_consumer consumers[NATS_CONSUMERS_MAX];
    struct nats_subscribed subscribed[NATS_SUBSCRIBED_MAX];
    uint32_t awaited[NATS_SUBSCRIBED_MAX];  /* subjects that are still to be subscribed to */
    uint32_t unsettled[NATS_UNSETTLED_MAX]; /* hashes of sids; 0: free */
    uint64_t max_payload;                   /* 0: not known */
    uint8_t subscriptions, requested;       /* modulo 256 */
    bool server_headers, client_headers;    /* as INFO and CONNECT have it */
};

_Static_assert(sizeof(struct nats) <= STATE_BYTES_MAX, "connections hold one each");

static const uint64_t nats_hash_start = UINT64_C(0xcbf29ce484222325);

static inline uint64_t nats_hash(uint64_t hash, uint8_t byte)
{
    return (hash ^ byte) * UINT64_C(0x100000001b3);
}

static inline uint32_t nats_short_hash(uint64_t hash)
{
    return (uint32_t)(hash >> 32 ^ hash) | 1; /* 0 is a free row */
}

static inline struct nats_side *nats_side_of(const struct broker_reader *reader)
{
    return reader->side;
}

/* Each advances over bytes of its part; false: this is no NATS. */
bool nats_read_tokens(struct broker_reader *reader);  /* nats_line.c */
bool nats_read_json(struct broker_reader *reader);    /* nats_json.c */
bool nats_read_headers(struct broker_reader *reader); /* nats_message.c */
bool nats_read_payload(struct broker_reader *reader);

/* nats_json.c: of a request to JetStream, as many bytes. */
void nats_read_request(struct broker_reader *reader, size_t length);
/* Those are the messages of this subscription. */
uint32_t *nats_unsettled_row(struct nats *nats, uint32_t sid);
void nats_take_request(struct nats *nats, const struct nats_json *json);
void nats_subscribe(struct nats *nats, uint32_t subject, uint32_t sid);

/* nats_line.c */
void nats_line_start(struct nats_side *side);

/* nats_message.c: the line that announces a message has been read, but for its last byte. */
void nats_begin(struct broker_reader *reader);
bool nats_message(
    struct broker_reader *reader, const struct nats_token *subject, const struct nats_token *reply);
void nats_tell_text(struct broker_reader *reader, enum field field, struct broker_piece piece);
uint64_t nats_subject_key(const struct broker_reader *reader);
uint64_t nats_queue_key(const struct nats_token *sid);

/* nats_describe.c */
size_t nats_insert(const struct insertion *insertion, char *out);
void nats_describe(const struct facts *facts, struct describer *out);
