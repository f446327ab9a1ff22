/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Beanstalkd (doc/protocol.txt of beanstalkd 1.12; its sections are named): what the files of this
 * protocol share.
 *
 * Commands are answered in their order. What waits for an answer is a list of runs: so many puts,
 * or reserves, whose exchanges have numbers that follow each other, or so many of anything else.
 *
 *   runs[0 .. run_count - 1], each of at least one command, are in the order of the commands
 *   open = exchanges among them <= BEANSTALKD_OPEN_MAX
 */
#pragma once

#include <string.h>

#include "broker.h"

enum {
    BEANSTALKD_WORD_MAX = 24,      /* no word is longer */
    BEANSTALKD_LINE_MAX = 224,     /* nor a line, with its end */
    BEANSTALKD_NAME_MAX = 200,     /* nor a tube's name */
    BEANSTALKD_RUNS_MAX = 16,      /* of commands in flight */
    BEANSTALKD_OPEN_MAX = 1024,    /* exchanges */
    BEANSTALKD_WATCHED_MAX = 8,    /* tubes: which one a job is of is known if there is one */
    BEANSTALKD_BODY_MAX = 1 << 30, /* bytes: the most that a server can be told to take */
    BEANSTALKD_DEFAULT_TUBE = 1    /* FIELD_ROWS: a tube that nobody has named */
};

enum beanstalkd_verb {
    BEANSTALKD_OTHER,
    BEANSTALKD_PUT,
    BEANSTALKD_USE,
    BEANSTALKD_WATCH,
    BEANSTALKD_IGNORE,
    BEANSTALKD_RESERVE,
    BEANSTALKD_RESERVE_JOB, /* of any tube */
    BEANSTALKD_DELETE,
    BEANSTALKD_RELEASE,
    BEANSTALKD_BURY
};

/* FIELD_STATUS of an exchange that failed, for those up to ANSWER_INSERTED. */
enum beanstalkd_answer {
    ANSWER_EXPECTED, /* any other word */
    ANSWER_BURIED,
    ANSWER_EXPECTED_CRLF,
    ANSWER_JOB_TOO_BIG,
    ANSWER_DRAINING,
    ANSWER_OUT_OF_MEMORY,
    ANSWER_INTERNAL_ERROR,
    ANSWER_BAD_FORMAT,
    ANSWER_UNKNOWN_COMMAND,
    ANSWER_INSERTED,
    ANSWER_RESERVED,
    ANSWER_FOUND,
    ANSWER_OK
};

enum beanstalkd_stage { STAGE_WORD, STAGE_GAP, STAGE_ARGUMENT, STAGE_LF, STAGE_BODY };

/* What a connection's client, or its server, is in the middle of. */
struct beanstalkd_side {
    uint64_t number; /* the argument that is being read; UINT64_MAX: none */
    uint64_t first;  /* the first one */
    uint64_t left;   /* bytes of a body to come, with its line end */
    uint32_t serial; /* of the put, or of the job that is being handed over */
    uint32_t hash;   /* of the argument */
    uint8_t word[BEANSTALKD_WORD_MAX];
    uint8_t word_length;
    uint8_t line_bytes;
    uint8_t stage;
    uint8_t arguments; /* that began */
    uint8_t argument_length;
    uint8_t meaning; /* enum beanstalkd_verb, enum beanstalkd_answer */
    bool is_odd;     /* an argument is no number */
    bool is_told;    /* the put, or the job, is an exchange that this side is in the middle of */
};

struct beanstalkd_run {
    uint32_t serial; /* of its first exchange */
    uint32_t count;
    uint32_t tube; /* RESERVE: the one that was watched then, as a hash; 0: not known */
    uint8_t verb;  /* BEANSTALKD_PUT, _RESERVE, or _OTHER: no exchanges */
};

struct beanstalkd {
    struct broker_connection connection;
    struct beanstalkd_side sides[2];
    struct beanstalkd_run runs[BEANSTALKD_RUNS_MAX];
    uint32_t watched[BEANSTALKD_WATCHED_MAX]; /* hashes of names */
    uint32_t open;
    uint8_t run_count;
    uint8_t watched_count;
    bool watches_more; /* than it is known */
    bool uses;         /* a tube that was named */
};

_Static_assert(sizeof(struct beanstalkd) <= STATE_BYTES_MAX, "connections hold one each");

enum { KEPT_USED = 1, KEPT_NAME, KEPT_WATCHED, KEPT_JOB };

static inline uint64_t beanstalkd_key(unsigned kept, uint32_t hash)
{
    return (uint64_t)kept << 56 | hash;
}

#define BEANSTALKD_HASH_DEFAULT UINT32_C(0x933b5bde) /* of "default" */

static inline struct beanstalkd_side *beanstalkd_side_of(const struct broker_reader *reader)
{
    return reader->side;
}

/* beanstalkd_command.c: an exchange that begins with the line, or behind it; of which tube. */
uint32_t beanstalkd_begin(
    struct broker_reader *reader, enum message_operation operation, uint64_t job);
void beanstalkd_tell_tube(struct broker_reader *reader, uint32_t serial, uint32_t tube);

/* beanstalkd_command.c, beanstalkd_answer.c: what a side's line says. Each false: it is none. */
bool beanstalkd_take_verb(struct broker_reader *reader);
void beanstalkd_command_piece(struct broker_reader *reader, struct broker_piece piece);
bool beanstalkd_take_command(struct broker_reader *reader);
bool beanstalkd_take_word(struct broker_reader *reader);
void beanstalkd_answer_piece(struct broker_reader *reader, struct broker_piece piece);
bool beanstalkd_take_answer(struct broker_reader *reader);
/* The body is complete. */
void beanstalkd_end_body(struct broker_reader *reader);
/* Nothing more will be answered. */
void beanstalkd_end_all(struct broker_reader *reader);

/* beanstalkd_describe.c */
void beanstalkd_describe(const struct facts *facts, struct describer *out);
