/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of MongoDB's protocol share ("OP_MSG", "OP_COMPRESSED" and "Wire Protocol" of its
 * specifications, BSON 1.1): the state of a connection, and the reader that walks a buffer.
 *
 * One exchange for each OP_MSG or OP_COMPRESSED that a client sends, paired by requestID and
 * responseTo. Not told: `hello` and its older names, by which drivers greet and watch servers;
 * older kinds of messages, by which clients of today only greet. Of a document the name of the
 * command, its collection and database, lengths of lists and the number of an error are read; the
 * rest is passed over by its lengths.
 *
 *   open[0..open_count): requests in the order in which they were sent; a server works on one after
 *   the other, so an answer to one ends those before it
 *   levels[i].end > levels[i - 1].end, and left >= levels[depth - 1].end, all counted from the end
 *   lost => no further event is told
 */
#pragma once

#include "protocol.h"

#include <string.h>

enum {
    MONGODB_HEAD_BYTES = 16,
    MONGODB_MESSAGE_BYTES_MAX = 64 << 20, /* servers take 48,000,000 */
    MONGODB_OPEN_MAX = 12,                /* requests in flight; more are not told */
    MONGODB_LEVELS_MAX = 3,
    MONGODB_KEY_BYTES = 20, /* no key that we know is longer */
    MONGODB_COMMAND_BYTES_MAX = 64,
    MONGODB_TEXT_BYTES_MAX = 255 /* of a collection or a database */
};

enum mongodb_opcode {
    OPCODE_REPLY = 1,
    OPCODE_UPDATE = 2001,
    OPCODE_KILL_CURSORS = 2007,
    OPCODE_QUERY = 2004,
    OPCODE_COMPRESSED = 2012,
    OPCODE_MSG = 2013
};

enum { FLAG_CHECKSUM = 1, FLAG_MORE_TO_COME = 2, FLAGS_REQUIRED = 0xffff };

/* What a document or list is. */
enum mongodb_place {
    PLACE_COMMAND,
    PLACE_BATCH, /* documents, updates, deletes of a command */
    PLACE_REPLY,
    PLACE_CURSOR,
    PLACE_ROWS,
    PLACE_ERRORS, /* of writes */
    PLACE_ERROR
};

enum mongodb_want {
    WANT_NOTHING,
    WANT_COLLECTION,
    WANT_NAMESPACE,
    WANT_OK,
    WANT_CODE,       /* of a failed command */
    WANT_WRITE_CODE, /* of a write that failed, the command being done */
    WANT_PLACE
};

enum mongodb_stage {
    STAGE_HEAD,
    STAGE_FLAGS,
    STAGE_KIND, /* of a section */
    STAGE_SECTION_LENGTH,
    STAGE_SECTION_NAME,
    STAGE_SECTION_DOCUMENT, /* its length */
    STAGE_SECTION_SKIP,
    STAGE_DOCUMENT, /* its length */
    STAGE_TYPE,
    STAGE_KEY,
    STAGE_LENGTH, /* of a value */
    STAGE_NUMBER,
    STAGE_TEXT,
    STAGE_SKIP_VALUE,
    STAGE_SKIP_TEXTS, /* of a regular expression */
    STAGE_SKIP_MESSAGE
};

struct mongodb_level {
    uint32_t end; /* how many bytes of the message are left behind it */
    uint8_t place;
};

struct mongodb_side {
    uint32_t left;    /* bytes of the message to come */
    uint32_t skip;    /* bytes of the value to come; or texts */
    uint32_t section; /* how many bytes of the message are left behind it */
    uint32_t number;
    uint32_t id, flags;
    uint32_t count; /* of a list's elements */
    struct mongodb_level levels[MONGODB_LEVELS_MAX];
    uint8_t head[MONGODB_HEAD_BYTES];
    uint8_t key[MONGODB_KEY_BYTES]; /* with zeros behind it */
    uint8_t key_length;             /* stays at 255 */
    uint8_t stage;                  /* enum mongodb_stage */
    uint8_t have;                   /* bytes of the head or number */
    uint8_t depth;
    uint8_t type;  /* of the value */
    uint8_t want;  /* enum mongodb_want: of the value */
    uint8_t place; /* WANT_PLACE */
    uint8_t told;  /* bytes of a text */
};

struct mongodb_open {
    uint32_t id, exchange;
};

struct mongodb {
    struct mongodb_side sides[2]; /* by direction */
    struct mongodb_open open[MONGODB_OPEN_MAX];
    uint32_t next;
    uint32_t rows;
    int32_t code, write_code; /* of the reply */
    uint8_t open_count;
    uint8_t requests;  /* enum direction */
    bool is_telling;   /* the request has an exchange, next - 1 */
    bool is_named;     /* and its command is known */
    bool is_answering; /* the reply is for open[0] */
    bool names_collection;
    bool is_more;    /* getMore, which names it later */
    bool is_in_text; /* a text is being told */
    bool has_rows, is_ok, responded;
    bool asks_no_more, over, lost;
};

_Static_assert(sizeof(struct mongodb) <= STATE_BYTES_MAX, "connections hold one each");

struct mongodb_reader {
    struct mongodb *mongodb;
    struct sink *sink;
    const uint8_t *data;
    size_t at;
    size_t end; /* of the buffer, or of the message if that is before */
};

void mongodb_tell(struct mongodb_reader *reader, struct event event);

/* mongodb_document.c: reads on in a section; false: it is none. */
bool mongodb_section_read(struct mongodb_reader *reader, struct mongodb_side *side);
/* Advances; the message has so many bytes less. */
static inline void mongodb_take(
    struct mongodb_reader *reader, struct mongodb_side *side, size_t length)
{
    reader->at += length;
    side->left -= (uint32_t)length;
}
static inline uint32_t mongodb_number_at(const uint8_t *bytes)
{
    return bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

static inline bool mongodb_key_is(
    const struct mongodb_side *side, const char key[MONGODB_KEY_BYTES])
{
    return side->key[0] == (uint8_t)key[0] && side->key_length < MONGODB_KEY_BYTES &&
           memcmp(side->key, key, MONGODB_KEY_BYTES) == 0;
}

/* Four bytes, low first; false: not all are there. */
bool mongodb_number_read(struct mongodb_reader *reader, struct mongodb_side *side);
/* The name of the command is known: false if it is not to be told. */
bool mongodb_named(struct mongodb_reader *reader, const struct mongodb_side *side);

static inline bool mongodb_is_request(
    const struct mongodb_reader *reader, const struct mongodb_side *side)
{
    return side == &reader->mongodb->sides[reader->mongodb->requests];
}

void mongodb_describe(const struct facts *facts, struct describer *out);
