/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of Redis' protocol share (RESP2, RESP3, inline commands): the state of a
 * connection, and the reader that walks a buffer.
 *
 * Commands are answered in order, so they are paired by number: `sent` commands are complete,
 * `answered` of them have all of their answer. An exchange is one command; when REDIS_OPEN_MAX
 * exchanges are open, the commands that follow join the newest of them, until half of those are
 * answered: it becomes a batch. What an answer means, if not the end of its command, stands in the
 * list of marks, by the number of the command.
 *
 * Messages that come have numbers of their own among those of commands: what came while commands
 * were open is the gap behind the newest of them.
 *
 *   open <= REDIS_OPEN_MAX: exchanges of commands, the first of them is oldest, the last newest
 *   open == 0 => oldest == next
 *   marks[] are in the order of their commands, all of them numbered answered..sent-1
 *   batches[] are in the order of their exchanges, all of them oldest..newest. To begin another one
 *   half of REDIS_OPEN_MAX must have been answered, so there are never more than three.
 *   lost => no further event is told
 */
#pragma once

#include "context_names.h"
#include "messaging.h"
#include "redis_json.h"

enum {
    REDIS_OPEN_MAX = 1024,         /* exchanges of one connection; then they are joined */
    REDIS_MARKS_MAX = 14,          /* commands in flight whose answers have a meaning */
    REDIS_BATCHES_MAX = 3,         /* exchanges in flight of more than one command */
    REDIS_QUERY_BYTES_MAX = 440,   /* of a command, as it was sent, that are told */
    REDIS_CODE_BYTES_MAX = 32,     /* of an error's first word */
    REDIS_WORD_BYTES_MAX = 16,     /* no name that we know is longer */
    REDIS_STREAMED_DEPTH_MAX = 2,  /* aggregates without a count, inside of one another */
    REDIS_ARGUMENTS_MAX = 1 << 30, /* of a command */
    REDIS_MARKS_SHOWN_MAX = 16     /* question marks in a row */
};

#define REDIS_BULK_BYTES_MAX ((uint64_t)1 << 40)
#define REDIS_VALUES_MAX ((uint64_t)1 << 40) /* of one answer, still to come */

enum redis_kind {
    REDIS_PLAIN,
    REDIS_SELECT,
    REDIS_CLIENT,      /* of interest: CLIENT REPLY */
    REDIS_SUBSCRIBE,   /* SUBSCRIBE, PSUBSCRIBE, SSUBSCRIBE: an answer for each argument */
    REDIS_UNSUBSCRIBE, /* these three, without an argument: one for each that there was */
    REDIS_PUNSUBSCRIBE,
    REDIS_SUNSUBSCRIBE,
    REDIS_HELLO,
    REDIS_RESET,
    REDIS_MONITOR,
    REDIS_SYNC, /* a replica: what follows is no protocol of requests and answers */
    REDIS_MULTI,
    REDIS_EXEC, /* or DISCARD */
    REDIS_REPLY_ON,
    REDIS_REPLY_OFF,
    REDIS_REPLY_SKIP,
    REDIS_PUBLISH,
    REDIS_XADD, /* from here on arguments matter: redis_send.c */
    REDIS_XREAD,
    REDIS_XREADGROUP,
    REDIS_XACK,
    REDIS_XDEL,
    REDIS_PUSH,     /* these four only if lists are queues: redis_has_envelopes */
    REDIS_POP,      /* answered with a value, or with several if a count is asked for */
    REDIS_POP_PAIR, /* with the list's name and a value */
    REDIS_POP_MANY  /* with the list's name and several */
};

/* Which arguments of a command may be shown: the first `shown`, and then as `rest` says. */
enum redis_rest { REDIS_REST_HIDDEN, REDIS_REST_ALTERNATES, REDIS_REST_KEYS };
enum { REDIS_SHOWN_ALL = 255 };

struct redis_command {
    char name[REDIS_WORD_BYTES_MAX]; /* in capitals */
    uint8_t shown;
    uint8_t rest; /* enum redis_rest */
    uint8_t kind; /* enum redis_kind */
};

/* A command's row, in any case of letters. 0, and then NULL: one that we do not know. */
uint16_t redis_command_row(const uint8_t *name, size_t length);
const struct redis_command *redis_command_at(uint16_t row);

/* May argument `index` (the name is 0) be shown? keys: what the command says of their number. */
static inline bool redis_is_shown(
    const struct redis_command *command, uint32_t index, uint64_t keys)
{
    if (index == 0) {
        return true;
    }
    if (command == NULL) {
        return false;
    }
    if (command->rest == REDIS_REST_KEYS) { /* EVAL script count key... argument... */
        return index == 1 ? command->shown > 0 : index - 2 <= keys;
    }
    if (index <= command->shown || command->shown == REDIS_SHOWN_ALL) {
        return true;
    }
    return command->rest == REDIS_REST_ALTERNATES && (index - command->shown) % 2 == 0;
}

/* Nine digits at most; what is no number is none that a server would take. */
static inline uint64_t redis_number(const uint8_t *word, size_t length)
{
    uint64_t number = 0;
    for (size_t i = 0; i < length; i++) {
        uint8_t digit = (uint8_t)(word[i] - '0');
        if (digit > 9 || length > 9) {
            return 0;
        }
        number = number * 10 + digit;
    }
    return number;
}

enum redis_request_stage {
    REQUEST_BETWEEN,
    REQUEST_COUNT_FIRST, /* after the star */
    REQUEST_COUNT,
    REQUEST_COUNT_LF,
    REQUEST_ARGUMENT, /* at its dollar */
    REQUEST_LENGTH_FIRST,
    REQUEST_LENGTH,
    REQUEST_LENGTH_LF,
    REQUEST_DATA,
    REQUEST_DATA_CR,
    REQUEST_DATA_LF,
    REQUEST_INLINE_GAP,
    REQUEST_INLINE_WORD
};

struct redis_request {
    uint64_t left;  /* bytes to come of an argument; or the number being read */
    uint64_t keys;  /* REDIS_REST_KEYS: how many of the arguments are keys */
    uint32_t count; /* arguments, the name included */
    uint32_t index; /* the argument being read */
    uint16_t row;   /* 1 + place in the table of commands; 0: not known */
    uint16_t told;  /* bytes of FIELD_QUERY */
    uint8_t stage;
    uint8_t kind;
    uint32_t before;   /* bytes of it in buffers before this one */
    uint8_t quote;     /* of an inline word, if inside one */
    bool escapes;      /* after a backslash there */
    bool joins;        /* a command of a batch, behind its first: nothing of it is told */
    bool has_told;     /* FIELD_QUERY has begun */
    bool is_over;      /* FIELD_QUERY is complete */
    bool shows;        /* what is read now belongs to it */
    bool is_requested; /* EVENT_REQUEST was told */
    bool in_multi;     /* commands are only queued */
    bool watches;      /* the argument is one that the meaning depends on */
    bool is_numbered;  /* its second argument says how many keys follow */
    uint8_t word_length;
    uint8_t word[CONTEXT_NAME_MAX]; /* of the argument, if it matters; longer: it is none */
    uint32_t exchange;              /* the command's */
    uint64_t hash;   /* from here on of REDIS_XADD and those behind it: of the argument, after */
    uint64_t stream; /* the stream's name, whose hash this is */
    uint8_t entry;   /* enum redis_entry_argument: what an argument of XADD is */
    uint8_t field;   /* what the value is told as; FIELD_COUNT: as nothing */
    uint8_t name_length;    /* of its name, which is in `word` still */
    bool has_piece;         /* some of the argument was read */
    bool carries;           /* it has a context of its own, or is not as it should be */
    struct redis_json json; /* of a value that is pushed or published */
};

enum redis_answer_stage {
    ANSWER_VALUE, /* at the type of a value */
    ANSWER_NUMBER_FIRST,
    ANSWER_NUMBER,
    ANSWER_NUMBER_LF,
    ANSWER_CHUNK,
    ANSWER_LINE_FIRST,
    ANSWER_LINE,
    ANSWER_CODE,
    ANSWER_DATA,
    ANSWER_DATA_CR,
    ANSWER_DATA_LF
};

/* What a value at the top is. */
enum redis_fate { FATE_NONE, FATE_ATTRIBUTE, FATE_UNDECIDED, FATE_ANSWER, FATE_PUSH };

/* What of an answer, or of a push, is a message. */
enum redis_entry_stage {
    ENTRY_NONE,
    ENTRY_SENT, /* the identifier that an XADD is answered with */
    ENTRY_TOP,
    ENTRY_PAIR, /* RESP2: a stream's name and its entries */
    ENTRY_STREAM,
    ENTRY_LIST,
    ENTRY_ITEM,
    ENTRY_ID,
    ENTRY_FIELDS,
    ENTRY_NAME,
    ENTRY_VALUE,
    ENTRY_PATTERN, /* of a message that is pushed */
    ENTRY_CHANNEL,
    ENTRY_PAYLOAD,
    ENTRY_POP_PAIR, /* a list's name and what was taken from it */
    ENTRY_POP_LIST,
    ENTRY_POP_MANY,
    ENTRY_POPPED
};

struct redis_entry {
    uint64_t stream, hash;           /* of its name, and of that and the identifier */
    uint32_t streams, items, fields; /* to come; of what was popped: told, to come, and all */
    uint32_t serial;
    uint8_t stage;
    uint8_t field; /* what the value is told as; FIELD_COUNT: as nothing */
    bool is_map;   /* RESP3 */
    bool is_first; /* none of the string has been read */
    bool is_told;  /* it is an exchange */
    bool has_group;
    bool is_many;   /* popped with a name */
    bool has_begun; /* what was popped: a member that carries a context was there */
    uint8_t word_length;
    uint8_t word[CONTEXT_NAME_MAX];
    struct redis_json json; /* of a payload, or of what was popped */
};

struct redis_answer {
    struct redis_entry entry;
    uint64_t values;                          /* still to begin, of this answer */
    uint64_t left;                            /* bytes to come; or the number being read */
    uint64_t outer[REDIS_STREAMED_DEPTH_MAX]; /* `values` around aggregates without a count */
    uint32_t third;                           /* the third value, if it is an integer */
    uint8_t depth;                            /* of outer */
    uint8_t stage;
    uint8_t type;      /* of the value being read */
    uint8_t top_type;  /* of the answer */
    uint8_t top_first; /* the first byte of its line */
    uint8_t fate;
    uint8_t ordinal; /* of the value being read: 1 is the first inside the answer; stays at 4 */
    uint8_t code_length;
    bool has_third;
    bool is_negative;
    bool is_streamed; /* a count that is a question mark */
    bool has_code;    /* the exchange has its first error */
    bool in_code;     /* and it is being told */
    bool responded;   /* EVENT_RESPONSE was told of the oldest exchange */
    uint8_t word_length;
    uint8_t word[12]; /* the first value, if it may say what a push is about */
};

struct redis_mark {
    uint32_t number; /* of its command */
    uint32_t kind : 5;
    uint32_t count : 27; /* SELECT: index; (UN)SUBSCRIBE: answers to come, 0: not known yet */
};

struct redis_batch {
    uint32_t exchange;
    uint32_t size; /* commands */
    uint32_t left; /* of them to be answered */
};

struct redis {
    uint8_t requests; /* enum direction */
    bool over[2];     /* by role */
    bool lost;
    bool switched;
    bool is_reading; /* a command, of which not all is there */
    bool is_joining; /* new commands join the newest exchange */
    bool is_resp3;
    bool is_monitor;
    bool is_off;      /* CLIENT REPLY OFF, as far as answered */
    bool is_skip;     /* the next command gets no answer */
    bool forgets;     /* a SELECT had no mark */
    bool has_entries; /* of streams came, and may still be worked on */
    uint8_t mark_count;
    uint8_t batch_count;
    int32_t database; /* -1: not known */
    uint32_t sent, answered;
    uint32_t oldest, newest, next;
    uint32_t open;
    uint32_t gap, gap_length;
    uint32_t subscribed; /* channels and patterns */
    uint32_t patterns;
    uint32_t shards;
    struct redis_request request;
    struct redis_answer answer;
    struct redis_mark marks[REDIS_MARKS_MAX];
    struct redis_batch batches[REDIS_BATCHES_MAX];
};

_Static_assert(sizeof(struct redis) <= STATE_BYTES_MAX, "a state fits a connection");

enum redis_role { REDIS_REQUESTS, REDIS_ANSWERS };

struct redis_reader {
    struct redis *redis;
    struct sink *sink;
    const uint8_t *data;
    size_t at, end;
    size_t from;  /* of what is shown and not yet told; if request.shows */
    size_t start; /* of the command, or 0 if that was in a buffer before */
};

enum redis_step { REDIS_ON, REDIS_LOST };

/* redis_request.c, redis_answer.c: advance by at least a byte, or switched is set. */
enum redis_step redis_request_read(struct redis_reader *reader);
enum redis_step redis_answer_read(struct redis_reader *reader);
/* May so many bytes pass unseen? */
bool redis_request_skip(struct redis_request *request, uint64_t length);
bool redis_answer_skip(struct redis_answer *answer, uint64_t length);
/* What was read of a command so far is told: the buffer ends here. */
void redis_request_pause(struct redis_reader *reader);

/* redis_top.c: what an answer, or what is none, begins with. */
enum redis_step redis_top_begin(struct redis_reader *reader, uint8_t type);
enum redis_step redis_top_decide(struct redis_reader *reader); /* it is an answer */
enum redis_step redis_top_first_value(struct redis_reader *reader);
void redis_top_respond(struct redis_reader *reader);
void redis_top_complete(struct redis_reader *reader);

/* redis_queue.c: which exchange a command belongs to, and what its answer means. */
void redis_tell(struct redis_reader *reader, enum event_kind kind, uint32_t exchange);
void redis_tell_text(struct redis_reader *reader, enum field field, uint32_t exchange, size_t from,
    size_t to, bool first, bool last);
void redis_queue_begin(struct redis_reader *reader);
/* A command that will never be complete was none; nothing more is read of commands. */
void redis_queue_take_back(struct redis_reader *reader);
/* A command is complete, and means `kind`. */
bool redis_queue_sent(struct redis_reader *reader, enum redis_kind kind, uint32_t count);
/* The oldest command has its answer. */
void redis_queue_answered(struct redis_reader *reader);
/* One of the answers of a subscription: `before` channels, patterns or shards were there. */
void redis_queue_confirmed(struct redis_reader *reader, uint32_t before);
/* The mark of the oldest command, or NULL. */
struct redis_mark *redis_queue_mark(struct redis *redis);
/* Ends the oldest exchange with all of its commands. */
void redis_queue_end(struct redis_reader *reader, enum end_reason reason);

/* Serial of a message that comes; false: nothing of it can be told. */
bool redis_queue_deliver(struct redis_reader *reader, uint32_t *serial);

/* Keys of texts and of messages. */
enum { REDIS_KEPT_GROUP = 1, REDIS_KEPT_STREAM, REDIS_KEPT_ID, REDIS_KEPT_LIST };
#define REDIS_ENTRY_KEY (UINT64_C(1) << 63)
#define REDIS_HASH_START UINT64_C(0xcbf29ce484222325)

static inline uint64_t redis_hash(uint64_t hash, const uint8_t *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        hash = (hash ^ bytes[i]) * UINT64_C(0x100000001b3);
    }
    return hash;
}

/* redis_send.c: commands whose arguments matter: a piece of one, the end of one, all of them. */
void redis_send_choose(struct redis_request *request);
void redis_send_begin(struct redis_reader *reader);
void redis_send_piece(struct redis_reader *reader, size_t from, size_t length, bool is_last);
void redis_send_argument(struct redis_reader *reader);
void redis_send_complete(struct redis_reader *reader);
/* The name of a header of another format of context, before the first piece of its value. */
void redis_tell_name(struct redis_reader *reader, enum field field, uint32_t exchange,
    const uint8_t *name, size_t length);
void redis_keep(
    struct redis_reader *reader, uint64_t key, size_t from, size_t length, bool first, bool last);

/* redis_insert.c; keys of a splice: what is inserted. */
enum { REDIS_SPLICE_FIELDS, REDIS_SPLICE_MEMBERS };
size_t redis_insert(const struct insertion *insertion, char *out);

typedef void redis_member(struct redis_reader *, const struct redis_json_piece *);

/* Members that carry a context, in data[from..from + length). */
static inline void redis_json_each(struct redis_json *json, struct redis_reader *reader,
    size_t from, size_t length, redis_member *take)
{
    struct redis_json_piece piece;
    enum redis_json_found found;
    size_t at = from;
    while (
        (found = redis_json_walk(json, reader->data, from + length, &at, &piece)) != JSON_NOTHING) {
        if (found == JSON_TEXT) {
            take(reader, &piece);
        }
    }
}

/* See protocol_edit_messages. */
extern bool redis_edits_entries, redis_has_envelopes;

/* redis_entry.c: messages in what a server sends. */
void redis_entry_begin(struct redis_reader *reader);
void redis_entry_message(struct redis_reader *reader);
void redis_entry_piece(struct redis_reader *reader, size_t from, size_t length);
void redis_entry_value(struct redis_reader *reader);
void redis_entry_cut(struct redis_reader *reader);

static inline bool redis_is_open(const struct redis *redis)
{
    return redis->sent != redis->answered;
}

void redis_describe(const struct facts *facts, struct describer *out);
