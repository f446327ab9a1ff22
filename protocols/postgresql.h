/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of PostgreSQL's protocol share (version 3, "Frontend/Backend Protocol" in the
 * documentation of PostgreSQL): the state of a connection, and the reader that walks a buffer.
 *
 * A unit is what one ReadyForQuery answers: a Query, a FunctionCall, the start of the session, or
 * the messages of the extended protocol up to a Sync. An exchange is a statement: a Query with all
 * that it says, or one Execute; a Parse that no Execute follows, or the start, is told if it fails,
 * else taken back. Units wait in a queue; equal ones that follow each other share a run, so that a
 * pipeline of any depth has few.
 *
 *   runs[0..run_count-1] are the units that wait for their answer, the oldest first
 *   is_open => the newest unit has no Sync yet; it is a run of its own, or of the tail
 *   units of the tail came when there was no room for a run: nothing is told of them
 *   oldest..next-1 are the exchanges without their end; of the oldest unit, `done` have one
 */
#pragma once

#include "protocol.h"

enum {
    PG_STARTUP_BYTES_MAX = 10000,          /* MAX_STARTUP_PACKET_LENGTH of the server */
    PG_MESSAGE_BYTES_MAX = 0x40000000 + 8, /* its MaxAllocSize is 1 GB - 1 */
    PG_OPEN_MAX = 1024,                    /* exchanges of one connection */
    PG_RUNS_MAX = 16,                      /* changes of shape among the units in flight */
    PG_QUERY_BYTES_MAX = 32 * 1024, /* of a statement are told; the runtime cuts, and counts */
    PG_VALUE_BYTES_MAX = 256,       /* of a name of a database, of a SQLSTATE */
    PG_HEAD_BYTES = 5,              /* type and length */
    PG_REQUEST_BYTES = 8,           /* of an SSLRequest or GSSENCRequest */
    PG_REQUESTS_MAX = 2,            /* of those, before the startup packet */
    PG_STARTUP_BYTES_MIN = 12       /* seen of it: length, version, "user" */
};

/* In the place of a version, before the startup packet. */
enum { PG_CODE_SSL = 80877103, PG_CODE_GSS = 80877104, PG_CODE_VERSION = 3 << 16 };

/* The protocol's own keys of what is kept; those of statements and portals are hashes. */
enum { PG_KEY_NONE, PG_KEY_NAMESPACE };

/* FIELD_VERSION: what an exchange is; and if backslashes in its plain literals are escapes. */
enum pg_kind { PG_STATEMENT, PG_PREPARE, PG_FUNCTION, PG_SESSION, PG_ESCAPES = 8 };

/* What the bytes of a message's body are. */
enum pg_part {
    PART_SKIP,
    PART_CODE,      /* startup: the protocol's version */
    PART_KEY,       /* startup: the name of a parameter */
    PART_VALUE,     /* its value */
    PART_KIND,      /* Close: of a statement or a portal */
    PART_NAME,      /* of one of them */
    PART_SOURCE,    /* Bind: the statement's, behind the portal's */
    PART_QUERY,     /* of an exchange */
    PART_STATEMENT, /* Parse: text to be kept */
    PART_SETTING,   /* ParameterStatus: its name */
    PART_SETTING_VALUE,
    PART_FIELD, /* ErrorResponse: the type of a field */
    PART_FIELD_VALUE
};

struct pg_stream {
    uint64_t hash;                /* of the name that is read, or was read last */
    uint32_t left;                /* bytes of the body still to come */
    uint32_t body;                /* bytes of it */
    uint32_t told;                /* bytes of the text being told */
    uint8_t type;                 /* of the message; 0: of no interest, or it has none */
    uint8_t part;                 /* enum pg_part */
    uint8_t at;                   /* bytes in `bytes` */
    bool in_body;                 /* else in a head */
    bool tells;                   /* what is read now is told */
    bool is_startup;              /* the startup packet, which has no type, is being read */
    bool has_text;                /* and has begun, but its end was not told */
    uint8_t field;                /* of an error: the type of the value that is read */
    uint8_t bytes[PG_HEAD_BYTES]; /* of a head, a code, a setting */
};

struct pg_run {
    uint32_t units;
    uint16_t told; /* exchanges of each */
    bool is_more;  /* each has had more of them, that are not told */
};

/* Does a statement begin with the word DEALLOCATE, and which name follows? */
struct pg_word {
    uint64_t hash;
    uint8_t at; /* letters of the word that were there; beyond them: see postgresql_text.c */
};

struct pg {
    uint8_t requests; /* enum direction */
    bool over[2];     /* by role */
    bool lost;
    bool is_started; /* the startup packet is complete */
    bool is_ready;   /* the first ReadyForQuery was seen; before it the start is a unit */
    bool has_database;
    bool escapes;         /* standard_conforming_strings is off */
    bool is_open;         /* the newest unit */
    bool is_reading;      /* the exchange next - 1 belongs to a message that is not complete */
    bool is_candidate;    /* the exchange next - 1 is a Parse so far */
    bool binds_candidate; /* the last Bind was of that Parse's statement */
    bool ends_by_query;   /* what closed the newest unit was no Sync */
    bool is_failed;       /* these are of the oldest unit: an error was answered */
    bool is_held;         /* its exchange `oldest` is complete, unless an error follows */
    bool responded;       /* RESPONSE was told of the exchange `oldest` */
    bool has_rows;        /* and its answer is rows, if only none */
    bool is_copying;      /* the client sends the rows of a COPY */
    uint8_t run_count;
    bool tail_open;
    uint16_t done;
    uint32_t oldest, next;
    uint32_t tail;      /* units of it */
    uint64_t rows;      /* of the exchange `oldest` */
    uint64_t portal;    /* of Bind, while the statement's name is read */
    uint64_t candidate; /* the key of its text */
    struct pg_word word;
    struct pg_stream streams[2]; /* by role */
    struct pg_run runs[PG_RUNS_MAX];
};

_Static_assert(sizeof(struct pg) <= STATE_BYTES_MAX, "a state fits a connection");

/* In the order of the network. */
static inline uint32_t pg_number_at(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

enum pg_role { PG_REQUESTS, PG_ANSWERS };

struct pg_reader {
    struct pg *pg;
    struct pg_stream *stream;
    struct sink *sink;
    const uint8_t *data;
    size_t at, end;
    size_t head; /* where the message begins in data; SIZE_MAX: in what was there before */
};

/* postgresql_request.c, postgresql_answer.c. False: this is not, or no longer, the protocol.
 * begin: a head is complete. body: reads a byte at least, of what comes before `end`. end: all of
 * the message was read. */
bool pg_request_begin(struct pg_reader *reader);
bool pg_request_body(struct pg_reader *reader, size_t end);
void pg_request_end(struct pg_reader *reader);
bool pg_answer_begin(struct pg_reader *reader);
bool pg_answer_body(struct pg_reader *reader, size_t end);
bool pg_answer_end(struct pg_reader *reader);
/* Between messages: reads those that are here whole and of the usual kinds. False: there is none.
 */
bool pg_answers_pass(struct pg_reader *reader);

/* postgresql_text.c: texts that end with a zero byte. */
extern const uint64_t pg_statement_seed, pg_portal_seed;
/* Reads on to the text's end, or to `end`, and adds what it reads to the hash. True: it is whole.
 */
bool pg_hash_text(struct pg_reader *reader, size_t end);
bool pg_hash_is(const struct pg_stream *stream, const char *name); /* seed: the statements' */
/* Reads on, and tells what it reads as a piece if stream->tells; no more than `limit` bytes of all
 * pieces. The event says which value it is. */
bool pg_tell_text(struct pg_reader *reader, size_t end, struct event event, uint32_t limit);
/* The message ended before its text did. */
void pg_tell_end(struct pg_reader *reader, struct event event);
void pg_word_read(struct pg_word *word, const uint8_t *text, size_t length);
bool pg_word_has_name(const struct pg_word *word);

void pg_tell(struct pg_reader *reader, struct event event); /* postgresql.c */

/* postgresql_queue.c: units and exchanges. What is sent: */
bool pg_queue_passes_over(const struct pg *pg); /* the server, what is sent up to a Sync */
/* A Query, a FunctionCall, or the start of the session begins. */
void pg_queue_query(struct pg_reader *reader, enum pg_kind kind);
void pg_queue_query_end(struct pg_reader *reader);
void pg_queue_extended(struct pg_reader *reader); /* one of the messages that wait for a Sync */
void pg_queue_parse(struct pg_reader *reader);
void pg_queue_parse_end(struct pg_reader *reader, uint64_t key); /* its text is kept as key */
void pg_queue_execute(struct pg_reader *reader);
void pg_queue_execute_end(struct pg_reader *reader, uint64_t portal);
void pg_queue_sync(struct pg_reader *reader);
void pg_queue_finish_requests(struct pg_reader *reader);
/* What is answered: */
void pg_queue_parsed(struct pg_reader *reader);
bool pg_queue_has_answerable(const struct pg *pg);
void pg_queue_respond(struct pg_reader *reader);
void pg_queue_rows(struct pg_reader *reader, uint64_t rows);     /* 0: what rows there will be */
void pg_queue_complete(struct pg_reader *reader, bool has_rows); /* one statement */
bool pg_queue_failing(struct pg_reader *reader); /* an error begins. Of the oldest exchange? */
void pg_queue_failed(struct pg_reader *reader);  /* it is complete */
bool pg_queue_copy_in(struct pg_reader *reader); /* the server waits for rows; false: it must not */
bool pg_queue_ready(struct pg_reader *reader);   /* false: nothing waits for that */
void pg_queue_finish(struct pg_reader *reader);  /* no more answers will come */
