/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a protocol is: a pure, incremental reader of one connection's two byte streams.
 *
 * A protocol allocates nothing, keeps no state but the block it is given, calls nothing but mem*,
 * and tells what it found through a sink. It knows nothing of descriptors, threads, contexts or
 * spans. The caller serialises all calls for one state block; any thread may make them.
 *
 * Directions are those of the traced program: IN is what it reads, OUT what it writes. Whether the
 * program is the client or the server follows from the direction in which the requests travel.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "attributes.h"

enum {
    PREFIX_BYTES_MAX = 32,   /* bytes of each direction that a probe may ask to see */
    STATE_BYTES_MAX = 576,   /* largest state block; connections hold one each */
    EXCHANGES_OPEN_MAX = 64, /* requests of one connection without their answer, if not said else */
    INSERT_HEADERS_MAX = 20,
    INSERT_BYTES_MAX = 256,
    INSERT_EACH_BYTES_MAX = 32
};

enum direction { DIRECTION_IN, DIRECTION_OUT };

static inline enum direction direction_other(enum direction direction)
{
    return direction == DIRECTION_IN ? DIRECTION_OUT : DIRECTION_IN;
}

/* The parts of a message that somebody above the parser needs: numbers first, then texts. */
enum field {
    FIELD_VERSION, /* 10 for 1.0, 11 for 1.1; of a database: which kind of server it is; of Redis:
                      the index of the database, -1: not known; of memcached: the command; of a
                      message: enum message_operation */
    FIELD_STATUS,  /* of an answer; of a message that came: its number with the broker */
    FIELD_ROWS,    /* that a query returned; of HTTP: see http1_elastic.h */
    FIELD_BATCH,   /* operations, or messages, of a batch, if it has more than one */
    FIELD_NUMBERS, /* how many those are */
    FIELD_METHOD = FIELD_NUMBERS,
    FIELD_TARGET,
    FIELD_HOST,
    FIELD_USER_AGENT,
    FIELD_FORWARDED,
    FIELD_X_FORWARDED_FOR,
    FIELD_X_FORWARDED_HOST,
    FIELD_X_FORWARDED_PROTO,
    FIELD_SCHEME,         /* by which a web server was asked, and by whom: of what it passes on */
    FIELD_CLIENT_ADDRESS, /* otherwise than by HTTP */
    FIELD_OPERATION,      /* of a database: the name of the command */
    FIELD_QUERY,          /* of a database: the statement as it was sent */
    FIELD_NAMESPACE,      /* of a database: in which one of the server's */
    FIELD_COLLECTION,     /* of a database: of what, if the protocol says so outside the statement;
                             of HTTP: which product answers, if a head says so */
    FIELD_CODE,           /* of a database: SQLSTATE, or what its errors are named by */
    FIELD_DESTINATION,    /* of a message: exchange, topic, subject or stream */
    FIELD_ROUTING,        /* of a message: its routing key, partition key, or what else chooses */
    FIELD_SUBSCRIPTION,   /* of a message: by which queue, or for which consumer group, it came */
    FIELD_MESSAGE,        /* of a message: its identifier, as the protocol has one */
    FIELD_TLS,            /* inside TLS: "1.3 CIPHER ALPN", at least a blank; no parser tells it */
    FIELD_RECORDED,       /* what follows is for propagation, no part of the span */
    FIELD_TRACESTATE = FIELD_RECORDED,
    FIELD_BAGGAGE,
    FIELD_CARRIED, /* what a service passes on as it came: as FIELD_CONTEXT */
    FIELD_PARENT,  /* what follows names a parent: a head with any of it has a context */
    FIELD_TRACEPARENT = FIELD_PARENT,
    FIELD_CONTEXT, /* of other formats: "name: value", told only if they are looked for */
    FIELD_COUNT
};

enum event_kind {
    EVENT_BEGIN,    /* the first byte of a request: an exchange opens */
    EVENT_TEXT,     /* a piece of a field's value, in order; see first and last */
    EVENT_NUMBER,   /* a field's value as a number */
    EVENT_SPLICE,   /* request heads only: context may be inserted before data[offset] */
    EVENT_REQUEST,  /* the request's head is complete and valid: work on it may start */
    EVENT_RECEIVED, /* the request is complete, body included; told once per exchange */
    EVENT_RESPONSE, /* the first byte of an answer (interim answers included) */
    EVENT_END,      /* the exchange is over; see reason */
    EVENT_VOID,     /* what began was no message of this protocol: forget the exchange */
    EVENT_KEYED,    /* SETTLE will call the exchange `key`: at BEGIN that was not known, nor,
                       maybe, that it is_settled */
    EVENT_UNASKED,  /* behind BEGIN: it begins with its answer, for nobody waits for that: a root */
    EVENT_ANSWER,   /* heads of final answers, if that is asked for: lines may be inserted before
                       data[offset], as at a SPLICE */
    EVENT_LINK,     /* a traceparent, whole, of a message that the answer brought; not in data.
                       Nothing: what was told of it as FIELD_CONTEXT */
    EVENT_PASS,     /* the STATUS of this one, which nobody has asked for, is that of an exchange
                       with a key from `key` to `other`, if it is known which: the only one, or who
                       sent what this one's parent is. It has it then, and this one is forgotten */
    EVENT_RECALL,   /* the exchange's field has the value that is kept under `key`, if any */
    EVENT_KEEP,     /* a piece of a text to be kept under `key`: of no exchange; else as TEXT */
    EVENT_ALIAS,  /* what is kept under `other` is kept under `key`, too; nothing: key is dropped */
    EVENT_DROP,   /* what is kept under `key` is not needed any more */
    EVENT_UNTOLD, /* a request of which nothing else is told: too many are open */
    EVENT_SETTLE, /* those that began with a key from `key` to `other` are over; text: FIELD_CODE */
    EVENT_DOUBT,  /* before BEGIN: clients put off what they send for one delivery until they are at
                     work on another, it may be */
    EVENT_RELEASE, /* deliveries of these keys: RECEIVED, which was not told of them */
    EVENT_LEAVE,   /* the program asks for more: what it has is out of its hands; see below */
    EVENT_ASK, /* may what follows be told as the exchange's FIELD_QUERY? It may be no statement:
                  see wants */
    EVENT_OF_CONNECTION = EVENT_KEEP
};

/* The key of a SPLICE in a head of HTTP/1. */
enum splice_mark {
    SPLICE_SIGNED = 1, /* a context that the head has is signed: it is not to be replaced */
    SPLICE_XRAY = 2,   /* it sends to a queue that takes the context of a line of X-Ray's */
    SPLICE_WHOLE = 4   /* it may be one to `rewrite`, together with its body */
};

enum end_reason {
    END_COMPLETE,
    END_SWITCHED,  /* complete, and the connection now carries something else (101, CONNECT) */
    END_TRUNCATED, /* the stream ended inside the answer */
    END_UNANSWERED /* the stream ended before the first byte of the answer */
};

struct event {
    enum event_kind kind;
    enum field field;
    enum end_reason reason;
    bool first;        /* TEXT: the value starts here (a repeated header starts again) */
    bool last;         /* TEXT: the value is complete; such a piece may be empty */
    bool bare_lf;      /* SPLICE, ANSWER: this head ends its lines with LF alone */
    bool has_own;      /* ANSWER: there is a traceresponse in this head; RECALL of a statement: its
                          text came with this exchange, not before it */
    bool is_delivery;  /* BEGIN: a message that comes in, to be worked on; SETTLE: of such */
    bool is_common;    /* ALIAS, RECALL: key is one of the process, not of the connection */
    bool is_settled;   /* BEGIN: its end is told by SETTLE; of a delivery that has no end told,
                          false */
    bool is_put_off;   /* SETTLE of deliveries, in a transaction: by the reason, it is done if that
                          is committed (SWITCHED); what was put off is done (COMPLETE), or is not */
    bool is_through;   /* SETTLE: and those that were delivered before it; KEYED: that may be;
                          PASS: if there is any, it is forgotten, and none has its STATUS;
                          RECEIVED of a delivery: who asks for more of its kind, by any connection,
                          is done with it; LEAVE: it asks for such */
    uint32_t exchange; /* serial number of the exchange on this connection, from 0 */
    size_t offset;     /* SPLICE, ANSWER, TEXT: where in data this is; BEGIN: as many bytes before
                          data as it wraps below 0, if its first byte came earlier */
    const uint8_t *text; /* data + offset; or spaces for white space, what an escape stands for, the
                            name before a context of another format; SPLICE: see below */
    size_t length;
    int64_t number; /* NUMBER; BEGIN: FIELD_VERSION; END: FIELD_ROWS, if it is not 0; SPLICE: how
                       many times the values may stand there; 0: once; SPLICE_WHOLE: bytes of the
                       request behind it */
    uint64_t key;   /* KEEP, ALIAS, DROP, RECALL: of a text of this connection; SPLICE: for insert;
                       BEGIN, KEYED: what SETTLE will call it; SETTLE: the first one */
    uint64_t other; /* ALIAS; SETTLE: the last one; SPLICE_WHOLE: bytes of the request before it */
};

/*
 * Of queues: a message that is sent is a request like any other, with an END once it went, or a
 * SETTLE once the broker has it. One that is delivered is an exchange in the other direction
 * (is_delivery): who reads it is at work on it from REQUEST on, as on a request that a server
 * reads, and its span has the message's own context for a parent. SETTLE is told when it is
 * acknowledged; if nothing of that kind is to come, the caller ends it when the program asks for
 * more. Where a broker sends of its own accord, to read is to ask; of a protocol that `pulls`,
 * LEAVE says so. The caller holds what waits for its SETTLE, so that a parser need not know how
 * many do; what is told of one that is over does nothing.
 *
 * SPLICE stands before data[offset]. What is written there may take the place of what stands before
 * it: `length` bytes from `text` on, which end at offset and may be replaced by what insert makes
 * of them. text is NULL if they are not all in this piece of data: then nothing can be. Of lines of
 * HTTP/1 it is where they go: before `length` bytes, none of which is replaced. Where none is,
 * at least one byte of the request must follow, be it in the next piece.
 *
 * A protocol stores no text, but what is said once for many exchanges (a prepared statement, the
 * name of the database) has to be known later. The caller keeps it, per connection, under keys that
 * the protocol chooses: KEEP, ALIAS, DROP, RECALL. A text that there is no room for is not kept;
 * recalling it does nothing. What other connections are to know, too, gets a key of the process by
 * ALIAS (is_common).
 *
 * Receives events during feed, skip and finish. `text` is valid during the call only.
 * The answer matters for SPLICE, ANSWER and ASK alone. To the first two false pauses, and feed
 * returns the splice's offset; feeding on from there with the same state does not tell the same
 * splice again.
 */
struct sink {
    bool (*event)(struct sink *sink, const struct event *event);
};

enum verdict { VERDICT_NO, VERDICT_MORE, VERDICT_YES };

struct prefix {
    uint8_t bytes[PREFIX_BYTES_MAX];
    uint8_t length; /* bytes seen so far, at most PREFIX_BYTES_MAX */
};

/* feed's answer when the stream is not, or no longer, of this protocol; final for the connection */
#define FEED_LOST SIZE_MAX

struct fact {
    const uint8_t *text;
    uint32_t length; /* 0: absent */
};

/* What is known of a finished exchange, for describe. */
struct facts {
    bool is_server;
    bool is_secure;           /* inside TLS */
    bool has_response;        /* FIELD_STATUS is valid */
    bool is_adopted;          /* it carries the application's own context, not this span's */
    bool is_rewritten;        /* ... or this span's in its body, too: rewrite */
    struct fact error;        /* the transport's error.type */
    struct fact peer_address; /* textual IP address or socket path */
    struct fact texts[FIELD_RECORDED];
    int64_t numbers[FIELD_NUMBERS];
    int32_t peer_port;         /* 0: none */
    const char *known_methods; /* "A,B,C" instead of the protocol's own list; NULL or "": its own */
};

enum describer_kind { KIND_CLIENT, KIND_PRODUCER, KIND_CONSUMER };

/* Takes the description of a span. Values may be given in pieces: open, append..., close. Texts are
 * valid during the call only. */
struct describer {
    void (*text)(struct describer *, enum attribute, const void *text, size_t length);
    void (*number)(struct describer *, enum attribute, int64_t number);
    void (*open)(struct describer *, enum attribute);
    void (*append)(struct describer *, const void *text, size_t length);
    void (*close)(struct describer *);
    void (*name)(struct describer *, const void *text, size_t length);
    void (*error)(struct describer *);                     /* span status ERROR */
    void (*kind)(struct describer *, enum describer_kind); /* else SERVER or CLIENT */
    void (*untouched)(struct describer *); /* what it sends has no context where that belongs */
    struct sql_kept *statements;           /* what was told of some before; NULL: nothing is kept */
};

/* A header that carries context. Of other letters its name has capitals, digits and hyphens. */
struct context_header {
    struct fact name, value;
};

/* What is to be put at a splice. */
struct insertion {
    const struct context_header *headers; /* none of them empty */
    unsigned count;                       /* at most INSERT_HEADERS_MAX */
    struct fact replaced;                 /* what stands there now */
    uint64_t key;                         /* of the splice */
    size_t room;                          /* bytes at out */
};

/* Which requests a protocol edits, and by whose leave: what an application would find in its own
 * data is put there only if the configuration asks for it. To add such an edit: a value here, its
 * setting in is_edited (runtime/stream_internal.h), and SPLICE where it is to stand. This is about
 * what clients send. Who edits what servers answer says so by a member of its own beside `edits`:
 * what is sent by a connection is looked ahead at if connection->edits, which is decided when its
 * direction is known (stream_feed.c). */
enum edits {
    EDITS_NOTHING = false,
    EDITS_ALWAYS = true, /* the others only if they are asked for: */
    EDITS_STATEMENTS,    /* a comment in what a database is asked */
    EDITS_ENTRIES        /* what is added to a stream or a list: of few requests */
};

struct protocol {
    const char *name;
    size_t state_bytes; /* at most STATE_BYTES_MAX; the state must be copyable by memcpy */
    enum edits edits;   /* tells SPLICE: heads are looked ahead at before they are sent */
    bool edits_answers; /* tells ANSWER, if the configuration asks for that */
    bool pulls; /* what SETTLE will end comes only when it was asked for: reading is not to ask */
    bool is_summed;    /* of what it sends there is a checksum: nothing is edited in place */
    bool only_answers; /* nothing comes back but answers to requests that are told as exchanges */
    bool hands_on;     /* what it brings its clients hand to their programs later, one by one */
    bool client_only;  /* a server's side of it is none of ours: see VERDICT_YES in stream_feed.c */
    const char *library_threads; /* NULL, or how the names of threads begin whose connections are
                                    a library's, told by its calls (hooks/) */

    /* Is this stream of the protocol? prefixes are indexed by direction. On YES *requests is the
     * direction in which requests travel. */
    enum verdict (*probe)(const struct prefix prefixes[2], enum direction *requests);

    /* Makes a fresh state. */
    void (*start)(void *state, enum direction requests);

    /* Advances over `length` bytes; returns length, a splice's offset (see sink), or FEED_LOST.
     * After END_SWITCHED it returns how much of data was still of this protocol, maybe 0, in both
     * directions; the rest is for another probe, and the caller feeds no more in that direction. */
    size_t (*feed)(void *state, enum direction, const uint8_t *data, size_t length, struct sink *);

    /* Advances over bytes that passed unseen (sendfile, splice, MSG_TRUNC); false: lost. */
    bool (*skip)(void *state, enum direction, uint64_t length, struct sink *);

    /* TLS begins, and this protocol goes on inside it: what was said in the open still holds. NULL:
     * inside TLS all begins anew. */
    void (*secured)(void *state);

    /* Who tells ASK: is it to be answered by yes for a request of this FIELD_TARGET? */
    bool (*wants)(const uint8_t *target, size_t length);

    /* No more bytes will come in this direction (EOF, shutdown, close). Ends what can end. */
    void (*finish)(void *state, enum direction, struct sink *);

    /* Writes what is to stand at a splice. Answers the length, at most insertion->room; 0: it
     * cannot be done. The room is what is replaced and the headers have together,
     * INSERT_EACH_BYTES_MAX more for each of these, and INSERT_BYTES_MAX. A splice that has a
     * number gets room for so many times the headers, be it megabytes. NULL: lines as HTTP has
     * them. */
    size_t (*insert)(const struct insertion *insertion, char *out);

    /* Likewise of a request that is all there and begins with protocol_rewritten, head and body: at
     * a splice of SPLICE_WHOLE. If it answers 0, lines are put. NULL: nothing is. */
    size_t (*rewrite)(const struct insertion *insertion, char *out);

    /* Of one whose FIELD_QUERY is SQL: its enum sql_dialect, by FIELD_VERSION. NULL: of no other.
     */
    unsigned (*dialect)(int64_t version);

    /* Tells a finished exchange as a span: name, attributes, status. */
    void (*describe)(const struct facts *, struct describer *);
};

/* Which headers carry context in formats other than W3C's: FIELD_CONTEXT, or FIELD_CARRIED;
 * FIELD_COUNT: no context. And those of them that are told by one name each, in lower case. Before
 * threads exist; if it is not called, no header is looked at for that. */
typedef enum field protocol_context_names(const uint8_t *name, size_t length);
struct context_row {
    const char *name;
    uint8_t length;
    uint8_t field;
    bool is_open; /* more of the name follows, which anybody may choose */
};
void protocol_look_for_context(
    protocol_context_names *names, const struct context_row *rows, unsigned count);

/* Heads of answers are to be edited: ANSWER is told. Before threads exist, too. */
void protocol_edit_answers(bool edits);

/* Statements are to be edited: SPLICE is told of them. So it is if nobody says otherwise. */
void protocol_edit_statements(bool edits);

/* Of Redis, before threads exist, too: entries of streams are to be edited (so it is if nobody says
 * otherwise); lists are queues, and JSON objects in them and in channels are to carry the context.
 */
void protocol_edit_messages(bool entries, bool envelopes);

extern __attribute__((visibility("hidden"))) const char protocol_rewritten[19];

/* All protocols, in the order of the rows of protocols/meson.build; NULL-terminated. */
extern const struct protocol *const protocol_rows[];
