/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Apache Kafka's protocol ("Kafka protocol guide" of its documentation, and the definitions of its
 * messages), seen from its clients: what the files of this reader share.
 *
 * A request and its answer are each a frame of a known length, so what is not asked for is passed
 * over. Of Produce, Fetch, Metadata and some others the fields are walked along by a table of steps
 * (kafka_wire_steps.c); records are a form of their own (kafka_wire_records.c). A broker answers in
 * order.
 *
 *   open[0..open_count): requests whose answer is read, in the order in which they were sent
 *   lost => no further event is told
 */
#pragma once

#include <string.h>

#include "context_names.h"
#include "messaging.h"

enum {
    KAFKA_FRAME_BYTES_MAX = 512 << 20,
    KAFKA_REQUEST_HEAD_BYTES = 12, /* length, key, version, correlation */
    KAFKA_ANSWER_HEAD_BYTES = 8,   /* length, correlation */
    KAFKA_OPEN_MAX = 16,           /* requests in flight; more are not told */
    KAFKA_LISTS_MAX = 3,           /* within each other */
    KAFKA_BATCH_HEAD_BYTES = 61,
    KAFKA_NAME_BYTES = CONTEXT_NAME_MAX + 1, /* of a record's header: a longer one is not known */
    /* Bytes of a request that gets context, and of a batch, with it: brokers take 1,048,588 of a
     * batch if not told otherwise, some hosted ones 1,046,528. */
    KAFKA_EDITED_MAX = 4 << 20,
    KAFKA_BATCH_EDITED_MAX = 1000000,
    KAFKA_EDITED_SMALL_MAX = 14 * 1024, /* of a request, where one was too large for the broker */
    KAFKA_CONTEXT_BYTES = 128,          /* that a record gets, and more */
    KAFKA_READ_MAX = 1024,              /* records of a fetch that are looked into */
    KAFKA_TOPICS_MAX = 256              /* of an answer, whose names are kept */
};

enum kafka_key {
    KEY_PRODUCE = 0,
    KEY_FETCH = 1,
    KEY_METADATA = 3,
    KEY_OFFSET_COMMIT = 8,
    KEY_JOIN_GROUP = 11,
    KEY_SASL_HANDSHAKE = 17,
    KEY_API_VERSIONS = 18,
    KEY_INIT_PRODUCER_ID = 22,
    KEY_GROUP_HEARTBEAT = 68, /* of consumers, from 4.0 on */
    KEY_UNKNOWN = UINT8_MAX
};

/* Texts that are kept; topics by their ids are those of the process. */
enum kafka_kept { KEPT_CLIENT = 1, KEPT_GROUP, KEPT_TOPIC, KEPT_TOPIC_FOUND };

enum kafka_stage {
    STAGE_HEAD,
    STAGE_STEP, /* of the table */
    STAGE_SKIP  /* the rest of the frame, if there is any */
};

/* What the reading of records is at. */
enum kafka_records_stage {
    RECORDS_BATCH, /* the head of one */
    RECORDS_SKIP,  /* what is left of the batch */
    RECORDS_LENGTH,
    RECORDS_ATTRIBUTES,
    RECORDS_TIMESTAMP,
    RECORDS_OFFSET,
    RECORDS_KEY_LENGTH,
    RECORDS_KEY,
    RECORDS_VALUE_LENGTH,
    RECORDS_VALUE,
    RECORDS_HEADERS, /* how many */
    RECORDS_NAME_LENGTH,
    RECORDS_NAME,
    RECORDS_CONTENT_LENGTH,
    RECORDS_CONTENT
};

/* Ends are counted in bytes of the frame that are left behind them. */
struct kafka_records {
    uint32_t batch_end, record_end;
    uint32_t text_end;                    /* of its key, value, or of what else is being read */
    uint32_t records;                     /* of this batch, to come */
    uint32_t headers;                     /* of this record, to come */
    uint8_t stage;                        /* enum kafka_records_stage */
    uint8_t have;                         /* bytes of text; more of a name than are kept */
    uint8_t field;                        /* as what the text is told; FIELD_COUNT: as nothing */
    bool is_first;                        /* none of it has been told */
    bool is_carrying;                     /* of what came: some of its context has been told */
    uint8_t text[KAFKA_BATCH_HEAD_BYTES]; /* head of a frame or batch, name, traceparent */
};

struct kafka_side {
    struct kafka_records records;
    uint64_t number; /* being read */
    uint64_t topic;  /* hash of its id; 0: it has a name */
    uint32_t left;   /* bytes of the frame to come */
    uint32_t skip;   /* of the text to come */
    uint32_t tags;   /* to come, twice */
    uint32_t exchange;
    uint32_t count;                      /* records of all batches */
    uint32_t list_left[KAFKA_LISTS_MAX]; /* elements to come, with this one */
    uint8_t list_step[KAFKA_LISTS_MAX];  /* where they begin */
    uint8_t depth;                       /* how many lists */
    uint8_t have;                        /* bytes of the head or number */
    uint8_t stage, step;
    uint8_t key, version;
    bool is_flexible; /* lengths are variable, tags follow */
    bool is_inside;   /* the length of a text, or the number of tags, is known */
    bool is_first;    /* none of the text has been told */
    bool is_told;     /* it has an exchange */
};

/* Of the request that is being sent. */
struct kafka_sent {
    uint32_t correlation;
    uint32_t bytes;              /* of the whole, its length included */
    uint32_t topics, partitions; /* how many */
    bool wants_no_answer;
    bool is_opaque; /* something in it is compressed, or of an older format */
};

/* Of the answer that is being read. */
struct kafka_came {
    uint64_t topic;                      /* hash of its id; 0: it has a name */
    uint32_t context;                    /* hash of the last traceparent that was linked */
    int32_t partition;                   /* the first that something came of */
    int16_t error;                       /* the first one */
    uint16_t read;                       /* records */
    uint16_t names;                      /* of topics, that were kept */
    uint8_t topics;                      /* that something came of: 2 is many */
    uint8_t partitions;                  /* likewise */
    bool topic_counts, partition_counts; /* what is being read is one of them */
};

struct kafka_open {
    uint32_t correlation;
    uint16_t exchange; /* its last bits: kafka_wire.c */
    uint8_t key, version;
};

struct kafka {
    struct kafka_side sides[2]; /* by direction */
    struct kafka_open open[KAFKA_OPEN_MAX];
    struct kafka_came came;
    struct kafka_sent sent;
    uint32_t next;
    uint8_t open_count;
    uint8_t requests; /* enum direction */
    bool client_kept, group_kept;
    bool is_strict; /* the broker has refused a request for its size */
    bool asks_no_more, over, lost;
};

_Static_assert(sizeof(struct kafka) <= STATE_BYTES_MAX, "connections hold one each");

struct kafka_reader {
    struct kafka *kafka;
    struct kafka_side *side;
    struct sink *sink;
    const uint8_t *data;
    size_t at;
    size_t end; /* of the buffer, or of the frame if that is before */
    bool is_request;
};

static inline uint32_t kafka_number_at(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

static inline void kafka_take(struct kafka_reader *reader, size_t length)
{
    reader->at += length;
    reader->side->left -= (uint32_t)length;
}

/* kafka_wire.c */
void kafka_tell(struct kafka_reader *reader, struct event event);
void kafka_tell_number(struct kafka_reader *reader, enum field field, int64_t number);
/* `length` bytes from where the reader is; of an empty one, nothing. */
void kafka_tell_text(
    struct kafka_reader *reader, enum field field, size_t length, bool is_first, bool is_last);
void kafka_keep(struct kafka_reader *reader, uint64_t key, size_t length, bool is_last);
/* Records came with the answer, or an error: of Fetch its exchange begins, if it has not. */
void kafka_came(struct kafka_reader *reader);

/* kafka_wire_steps.c */
/* The frame's first step; false: nothing in it is asked for, or its version is not known. */
bool kafka_steps_begin(struct kafka_reader *reader);
/* Takes at least one byte; false: this is no such frame. */
bool kafka_steps_read(struct kafka_reader *reader);
/* A big-endian number, or one of variable length; true: it is whole, in side->number. */
bool kafka_read_number(struct kafka_reader *reader, uint8_t bytes);
bool kafka_read_variable(struct kafka_reader *reader, bool *is_odd);

/* kafka_wire_records.c: advances to the reader's end, which is that of the records at most. */
void kafka_records_read(struct kafka_reader *reader, uint32_t records_end);

/* kafka_wire_insert.c */
size_t kafka_insert(const struct insertion *insertion, char *out);

/* kafka.c */
void kafka_describe(const struct facts *facts, struct describer *out);
