/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of MySQL's protocol share (MySQL's "Client/Server Protocol", MariaDB's
 * "Client/Server Protocol"): the state of a connection, and the reader that walks a buffer.
 *
 * One exchange for each command that is answered, in the order in which they were sent; which of
 * them are told as spans stands in the table of commands. Texts that are meant later (a statement
 * being prepared, a database being chosen) are kept under the number of their exchange until the
 * server has agreed.
 *
 *   next - oldest <= EXCHANGES_OPEN_MAX; beyond, statements are joined to the newest exchange
 *   joined > 0 => that exchange is next - 1, and what follows joins it, too
 *   lost => no further event is told
 */
#pragma once

#include "protocol.h"

enum {
    MYSQL_HEAD_BYTES = 4,
    MYSQL_PACKET_MAX = 0xFFFFFF, /* a packet of this length goes on in the next one */
    MYSQL_QUERY_TOLD_MAX = 16 * 1024,
    MYSQL_USE_MAX = 300,      /* bytes of a statement that chooses a database */
    MYSQL_ANSWER_BYTES = 24,  /* of a packet of the server's that are looked at: see status_of */
    MYSQL_FIXED_BYTES = 32,   /* of the client's first packet, before the user's name */
    MYSQL_GREETING_BYTES = 31 /* of the server's, behind the version, that matter */
};

enum mysql_capability {
    CAPABILITY_MYSQL = 1 << 0, /* not set: MariaDB's own capabilities follow */
    CAPABILITY_CONNECT_WITH_DB = 1 << 3,
    CAPABILITY_COMPRESS = 1 << 5,
    CAPABILITY_PROTOCOL_41 = 1 << 9,
    CAPABILITY_SECURE_CONNECTION = 1 << 15,
    CAPABILITY_AUTH_LENENC = 1 << 21,
    CAPABILITY_DEPRECATE_EOF = 1 << 24,
    CAPABILITY_OPTIONAL_METADATA = 1 << 25,
    CAPABILITY_ZSTD = 1 << 26,
    CAPABILITY_QUERY_ATTRIBUTES = 1 << 27,
    CAPABILITY_MARIADB_CACHE_METADATA = 1 << 4 /* of MariaDB's own */
};

/* What a command is, as FIELD_VERSION says it. */
enum mysql_kind {
    KIND_STATEMENT, /* told; the others are told if they fail */
    KIND_PREPARE,
    KIND_LOGIN,
    KIND_CHANGE_USER,
    KIND_INIT_DB,
    KIND_FETCH,
    KIND_FIELD_LIST,
    KIND_STATISTICS,
    KIND_PING,
    KIND_OTHER, /* one packet answers it */
    KIND_COUNT,
    KIND_SILENT = KIND_COUNT /* no answer */
};

/* Beside the kind of a statement: its PREPARE was not answered when it was sent. Where that fails,
 * this does with ERROR_UNKNOWN_STATEMENT, and is none. */
enum { DEPENDS = 0x80, ERROR_UNKNOWN_STATEMENT = 1243 };

enum { VERSION_MARIADB = 1, VERSION_NO_BACKSLASH = 2, VERSION_KIND_SHIFT = 2 };

enum { STATUS_NO_BACKSLASH = 512 };

/* The key of a splice: where the statement begins in its packet, and how it is to be read. */
enum { SPLICE_NO_BACKSLASH = 256 };

/* What a direction is at. */
enum mysql_part {
    PART_HEAD, /* of the payload: decides what follows */
    PART_SKIP,
    PART_QUERY,
    PART_ATTRIBUTES, /* two numbers before a query */
    PART_ID,         /* of a statement */
    PART_FIXED,
    PART_USER,
    PART_AUTH_LENGTH,
    PART_AUTH,
    PART_DATABASE
};

struct mysql_side {
    uint32_t left; /* bytes of the packet to come */
    uint32_t told; /* bytes of a text */
    uint64_t number;
    uint32_t at; /* in the part */
    uint8_t head[MYSQL_HEAD_BYTES];
    uint8_t have;    /* bytes of the head */
    uint8_t part;    /* enum mysql_part */
    bool goes_on;    /* the packet continues the one before */
    bool is_open;    /* a payload is being read */
    bool is_telling; /* a text has begun */
};

enum mysql_phase { PHASE_GREETING, PHASE_RESPONSE, PHASE_LOGIN, PHASE_COMMANDS };
enum mysql_answer { ANSWER_FIRST, ANSWER_COLUMNS, ANSWER_COLUMNS_END, ANSWER_ROWS };

struct mysql {
    struct mysql_side sides[2]; /* by direction */
    uint64_t rows;              /* of the oldest exchange */
    uint64_t columns;           /* packets of column definitions to come */
    uint32_t capabilities, mariadb_capabilities;
    uint32_t oldest, next;
    uint32_t joined;                   /* statements of the newest exchange behind its first */
    uint32_t payload_length;           /* of the answer's packet, its first 16 MB */
    uint32_t prepared;                 /* exchange of the last PREPARE; see KEY_COMMAND */
    uint16_t status;                   /* of the server, as it said last */
    uint8_t kinds[EXCHANGES_OPEN_MAX]; /* enum mysql_kind, by number of the exchange; DEPENDS */
    uint64_t uses;                     /* bits: it is a USE */
    uint8_t answer[MYSQL_ANSWER_BYTES];
    uint8_t answer_length;
    uint8_t answer_stage; /* enum mysql_answer */
    uint8_t phase;        /* enum mysql_phase */
    uint8_t command;
    uint8_t requests;   /* enum direction */
    uint8_t name_match; /* letters of "MariaDB", or of "use " */
    bool is_joining;    /* the command being read is part of an exchange before it */
    bool has_prepared;  /* its text is kept under its number, and by its id if it has one */
    bool is_prepared;   /* the server answered it */
    bool is_mariadb;
    bool is_inside_tls; /* what the server can was said before */
    bool returns_rows;
    bool is_answered; /* the first byte of the oldest exchange's answer was told */
    bool sends_file;  /* LOCAL INFILE: what the client says is a file, up to an empty packet */
    bool is_begun;    /* the command being read has begun an exchange: to be told as requested */
    bool keeps;       /* the text being read is kept, not told */
    bool over;
    bool lost;
};

_Static_assert(sizeof(struct mysql) <= STATE_BYTES_MAX, "connections hold one each");

/* Of the packet whose head was read, without it. */
static inline uint32_t mysql_packet_bytes(const struct mysql_side *side)
{
    return side->head[0] | (uint32_t)side->head[1] << 8 | (uint32_t)side->head[2] << 16;
}

struct mysql_reader {
    struct mysql *mysql;
    struct sink *sink;
    const uint8_t *data;
    size_t at;
    size_t head; /* where the packet begins in data; SIZE_MAX: in what was there before */
};

/* Keys of kept texts. */
#define KEY_NAMESPACE UINT64_C(1)
#define KEY_STATEMENT (UINT64_C(1) << 32) /* and the server's number of it */
#define KEY_COMMAND (UINT64_C(2) << 32)   /* and the number of the exchange */

void mysql_tell(struct mysql_reader *reader, struct event event);
void mysql_end(struct mysql_reader *reader, enum event_kind kind, enum end_reason reason);
void mysql_begin(struct mysql_reader *reader, enum mysql_kind kind);

/* A payload, in pieces: `length` bytes are there, at least one; returns how many were read. end: it
 * is complete. */
size_t mysql_request_read(struct mysql_reader *reader, struct mysql_side *side, size_t length);
void mysql_request_end(struct mysql_reader *reader, struct mysql_side *side);
void mysql_answer_begin(struct mysql_reader *reader, struct mysql_side *side);
size_t mysql_answer_read(struct mysql_reader *reader, struct mysql_side *side, size_t length);
void mysql_answer_end(struct mysql_reader *reader, struct mysql_side *side);
/* Between packets: reads the rows that are there whole, up to `end`. False: there is none. */
bool mysql_answer_pass_rows(struct mysql_reader *reader, const struct mysql_side *side, size_t end);

unsigned mysql_dialect(int64_t version);
void mysql_describe(const struct facts *facts, struct describer *out);
