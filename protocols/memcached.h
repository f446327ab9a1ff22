/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of memcached's protocol share (its protocol.txt, meta commands included, and
 * "BinaryProtocolRevamped"): the state of a connection, and the reader that walks a buffer.
 *
 * Commands are answered in order, and each answer says where it ends, so they are paired by
 * counting. Some have no answer, or only if something is wrong:
 *
 *   silent    `noreply`, quiet changes (SETQ, `ms ... q`): over when they are sent and it is their
 *             turn; what is still said of them belongs to no exchange
 *   gathered  quiet retrievals (GETKQ, `mg ... q`, `ma ... q`): one exchange with all commands up
 *             to the next one that is answered, usually Noop or `mn`
 *
 * An answer that may belong to a quiet command or to the one behind it loses the connection.
 * No key, value or other text is told: an exchange has numbers alone.
 *
 *   next - oldest <= MEMCACHED_OPEN_MAX; commands beyond join the newest exchange until it is over
 *   entries[oldest % MEMCACHED_OPEN_MAX ...]: exchanges whose first line or header is complete
 *   is_reading && !joins => exchange next - 1 is not yet an entry
 *   lost => no further event is told
 */
#pragma once

#include "protocol.h"

enum {
    MEMCACHED_OPEN_MAX = 64,
    MEMCACHED_WORD_BYTES = 16, /* no verb and no word of an answer is longer */
    MEMCACHED_KEY_BYTES_MAX = 250,
    MEMCACHED_HEAD_BYTES = 24,
    MEMCACHED_VALUE_BYTES_MAX = 1 << 30, /* a server has at most that for an item */
    MEMCACHED_MAGIC_REQUEST = 0x80,
    MEMCACHED_MAGIC_ANSWER = 0x81
};

/* What a command is: FIELD_VERSION, whichever of the protocols it is written in. */
enum memcached_verb {
    VERB_UNKNOWN,
#define VERB(id, name, kind, shape) VERB_##id,
#include "memcached_verbs.def"
#undef VERB
    VERB_MIXED, /* different ones, in one exchange */
    VERB_COUNT
};

enum memcached_kind {
    LINE_PLAIN,     /* nothing but a line */
    LINE_RETRIEVAL, /* of its arguments nothing matters */
    LINE_STORAGE,   /* the fourth argument is the length of what follows */
    LINE_META,      /* flags from the second argument on */
    LINE_META_SET,  /* from the third on, which is a length */
    LINE_QUIT,      /* no answer */
    LINE_WATCH,     /* behind its answer is a log */
    LINE_NONE       /* has no line */
};

struct memcached_verb_row {
    char name[MEMCACHED_WORD_BYTES];
    uint8_t length;
    uint8_t kind;  /* enum memcached_kind */
    char shape[8]; /* see memcached_verbs.def */
};

const struct memcached_verb_row *memcached_verb_at(enum memcached_verb verb);
/* Of a word with zeros behind it. */
enum memcached_verb memcached_verb_find(const uint8_t word[MEMCACHED_WORD_BYTES]);

/* FIELD_STATUS: an error of the text protocol, or of the binary one and its number. */
enum { ERROR_COMMAND = 1, ERROR_CLIENT, ERROR_SERVER, ERROR_BINARY = 1 << 16 };

enum memcached_stage {
    STAGE_BETWEEN,
    STAGE_WORD, /* the first one of a line */
    STAGE_ARGUMENTS,
    STAGE_LINE, /* up to its end */
    STAGE_DATA,
    STAGE_DATA_CR,
    STAGE_DATA_LF,
    STAGE_HEAD, /* of a binary message */
    STAGE_BODY
};

/* A direction: the line, the message or the data being read. */
struct memcached_side {
    uint64_t left;                      /* bytes of data or body to come */
    uint32_t length;                    /* of the word */
    uint8_t stage;                      /* enum memcached_stage */
    uint8_t index;                      /* of the word; stays at 255 */
    uint8_t word[MEMCACHED_HEAD_BYTES]; /* with zeros behind it; or a message's head */
};

/* An entry: a verb, and what else is known of the exchange. */
enum {
    ENTRY_VERB = 0x3f,
    ENTRY_SILENT = 0x40,
    ENTRY_BEHIND = 0x80, /* quiet commands are before it, or part of it */
    ENTRY_GATHERS = 0x100
};

/* Whose answer is it? */
enum memcached_owner { OWNER_OLDEST, OWNER_QUIET, OWNER_UNKNOWN };

struct memcached {
    struct memcached_side request, answer;
    uint32_t oldest, next;
    uint32_t batch; /* commands of the newest exchange */
    uint32_t extra; /* answers that it gets beyond the one of its entry */
    uint32_t rows;  /* of the oldest exchange */
    uint16_t entries[MEMCACHED_OPEN_MAX];
    uint8_t requests;   /* enum direction */
    uint8_t verb;       /* of the request being read */
    uint8_t batch_verb; /* of the newest exchange */
    uint8_t reply;      /* row of the answer's word */
    uint8_t owner;      /* enum memcached_owner: of the answer being read */
    bool over[2];       /* no more requests, no more answers */
    bool lost, switched;
    bool is_binary;
    bool is_reading;          /* a request, of which not all of the line or head is there */
    bool joins;               /* it has no exchange of its own */
    bool gathers;             /* the newest exchange goes on with the next command */
    bool is_behind;           /* quiet changes were sent since the last entry */
    bool says_quiet;          /* the request being read */
    bool says_noreply;        /* its last word is that */
    bool has_parts;           /* the answer goes on behind its line */
    bool responded, has_code; /* of the oldest exchange */
};

_Static_assert(sizeof(struct memcached) <= STATE_BYTES_MAX, "connections hold one each");
_Static_assert((int)VERB_COUNT <= (int)ENTRY_VERB, "a verb fits an entry");

struct memcached_reader {
    struct memcached *memcached;
    struct sink *sink;
    const uint8_t *data;
    size_t at, end;
};

enum verdict memcached_probe(const struct prefix prefixes[2], enum direction *requests);

/* memcached_text.c, memcached_binary.c: advance by at least a byte; false: lost. */
bool memcached_text_request(struct memcached_reader *reader);
bool memcached_text_answer(struct memcached_reader *reader);
bool memcached_binary_request(struct memcached_reader *reader);
bool memcached_binary_answer(struct memcached_reader *reader);

/* A command, by the second byte of a message. */
struct memcached_opcode {
    uint8_t verb;
    bool is_quiet;
    int8_t extras; /* bytes; -1: any of two lengths */
    bool has_key, has_value;
};
const struct memcached_opcode *memcached_opcode_at(uint8_t opcode);

/* memcached_queue.c: exchanges, and the answers that they wait for. */
void memcached_queue_begin(struct memcached_reader *reader);
/* The command that was begun is known; false: it cannot be paired with its answer. */
bool memcached_queue_sent(
    struct memcached_reader *reader, enum memcached_verb verb, bool is_quiet, bool is_noreply);
/* Ends what is silent and has its turn: also to be called when the data of a command is there. */
void memcached_queue_settle(struct memcached_reader *reader);
/* Something was said to `owner`: the oldest exchange, or one whose quiet commands are meant. */
void memcached_queue_heard(struct memcached_reader *reader, bool is_row, int64_t error);
void memcached_queue_answered(struct memcached_reader *reader);
void memcached_queue_finish(struct memcached_reader *reader, bool is_answers);

static inline bool memcached_is_open(const struct memcached *memcached)
{
    uint32_t reading = memcached->is_reading && !memcached->joins;
    return memcached->next - reading != memcached->oldest;
}

static inline uint16_t *memcached_entry(struct memcached *memcached, uint32_t exchange)
{
    return &memcached->entries[exchange % MEMCACHED_OPEN_MAX];
}

/* Does the oldest exchange still gather commands? Then no answer ends it. */
static inline bool memcached_oldest_gathers(const struct memcached *memcached)
{
    return memcached->gathers && memcached->next - memcached->oldest == 1;
}

void memcached_describe(const struct facts *facts, struct describer *out);
