/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What we know of one socket, whoever's descriptors refer to it.
 *
 * | who                                   | may                                               |
 * | a thread that did connection_enter    | everything, until connection_leave                |
 * | any thread                            | read generation, lock; set orphan, unseen, sending |
 * Entering waits for two threads that use the connection at once, five milliseconds at most: then
 * it is given up (counted), since the holder was torn away by siglongjmp or lost in a fork.
 *
 *   references == descriptors of this process that refer to it; 0: orphan, freed by who enters next
 *   state UNDECIDED: prefixes are valid;  CLAIMED: protocol and protocol_state are
 *   exchanges: FIFO in the order of their requests
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "../protocols/protocol.h"
#include "address.h"
#include "attribution.h"
#include "connection_counts.h"
#include "exchange.h"
#include "kept.h"
#include "thread.h"

enum connection_origin { ORIGIN_UNKNOWN, ORIGIN_ACCEPTED, ORIGIN_CONNECTED };
/* CONNECTS: connect() has not been seen to succeed yet. ASKS: its first request is not over, a
 * login, maybe. FRESH: it was one, and nothing has been asked since. */
enum making { MAKING_CONNECTS = 1, MAKING_ASKS = 2, MAKING_FRESH = 4 };
enum connection_state { CONNECTION_UNDECIDED, CONNECTION_CLAIMED, CONNECTION_IGNORED };

/* LOST: bytes passed that nobody could observe. SECURE: what the socket carries is ciphertext; the
 * connection's stream is what a TLS library reads and writes inside it (secure.h). */
enum unseen { STREAM_SEEN, STREAM_LOST, STREAM_SECURE };

/* Lines of ours of which the kernel has not yet taken everything. */
struct pending {
    uint32_t text_index; /* big block; 0: none */
    uint32_t sent;
    uint32_t length;
    uint32_t covers; /* 1: they stand for the host's next byte, too, which it has to send again */
};

/* In the order of use: what every call needs lies in the first lines of the cache, and the parser's
 * state begins one. */
struct connection {
    uint64_t pool_link;
    uint32_t index;
    uint32_t generation; /* changes when the block is given back */
    uint32_t lock;       /* 0: free, else the holder's thread index */
    uint32_t references;
    uint32_t epoch; /* the generation of fork that has seen fd to be this connection; any thread */
    bool orphan;
    uint8_t origin;
    uint8_t state;
    bool requests_out;   /* CLAIMED: this side is the client */
    bool edits;          /* CLAIMED: and what it sends may be edited */
    uint8_t making;      /* bits of enum making; 0: it is made, and has been used */
    bool used;           /* a request was sent or read here */
    bool switched;       /* the protocol said that something else follows */
    bool tunnels;        /* switched by CONNECT: what follows is a fresh connection */
    bool wait_timed_out; /* the last wait for this connection ended by time */
    bool reads_ahead;    /* its program asks for messages before it works on those it has */
    bool is_told;        /* a carrier tells which of its messages is worked on */
    bool shake_told;     /* an exchange tells how the session inside TLS began */
    bool peer_gone;      /* end of stream, or a reset, was seen from the peer */
    bool answers_unseen; /* there was an answer that we did not see: by stdio, maybe */
    uint8_t row;         /* CLAIMED: of protocol in protocol_rows */
    uint8_t unseen;      /* enum unseen. Any thread may set it to STREAM_LOST */
    uint8_t counted;     /* 2 * row + side + 1 while it is CLAIMED, else 0. Any thread reads */
    uint32_t sending;    /* odd: a head is with the kernel and not yet fed. Any thread */
    uint32_t sent_late;  /* the value of sending that was waited for in vain */
    uint32_t feeds;      /* how often the parser's state was advanced */
    uint32_t refused;    /* bits of protocol_rows that said no */
    struct exchange *first, *last;
    struct exchange *prepared; /* has ids, and its first byte has not left yet */
    struct context *current;   /* of the first exchange, once its request is complete; its hold */
    struct context
        *previous;        /* held: of the last call here, until the next one: its end may follow */
    struct opener opener; /* until it is used; its context is held, and waits for it */
    const struct protocol *protocol;
    struct pending pending;
    union {
        struct prefix prefixes[2];
        _Alignas(64) uint8_t protocol_state[STATE_BYTES_MAX];
    };
    struct kept kept; /* texts that its protocol wants to see again */
    struct address peer;
    char peer_text[ADDRESS_TEXT_MAX]; /* of peer, "" until a span needs it */
    uint64_t identity;                /* connection_identity when it was made; 0: not asked */
    uint64_t connect_ns;              /* when connect was called */
    uint64_t made_unit;     /* by a thread in this unit of work; or when it was accepted */
    uint32_t given;         /* when connect was called: pooling.c */
    uint64_t doubtful_unit; /* when last a call here was ambiguous; 0: never */
    struct exchange *delivered, *delivered_last; /* messages that came in: stream_deliveries.c */
    struct exchange *held;                       /* the first of them that is not left */
    uint32_t delivered_count;
};

enum { CONNECTION_STATE_WARM_BYTES = 192 }; /* of protocol_state, asked for ahead of need */

/* A connection as it was seen before the original call; the number may mean another one after. */
struct sight {
    struct connection *connection;
    uint32_t generation;
    int fd;
};

/* Makes a connection for fd, entered, and sets its slot. NULL: no memory; the slot is then plain.
 */
struct connection *connection_make(
    struct thread *self, int fd, enum connection_origin origin, const struct address *peer);

/* Makes a connection without a descriptor, entered. It ends by connection_drop. NULL: no memory. */
struct connection *connection_make_bare(struct thread *self, enum connection_origin origin);
/* Under the lock, which is to be left: one reference less. */
void connection_drop(struct connection *connection);

/* Finds fd's connection, classifying an unknown descriptor. False: nothing to observe. */
bool connection_look(int fd, struct sight *sight);

/* False: contended, gone, or another one by now. */
bool connection_enter(struct thread *self, const struct sight *sight);
void connection_leave(struct thread *self, struct connection *connection);
/* Under the lock: the first of its descriptors, -1: none. Looks at all there are. */
int connection_descriptor(const struct connection *connection);
/* The next one behind index (0: from the first on) whose protocol is known, and which this process
 * has used; with a descriptor or without. 0: no more. */
uint32_t connection_next(uint32_t index, struct sight *sight);

/* One more descriptor refers to the connection of fd. */
void connection_share(struct thread *self, int from, int to);

/* fd is about to be closed: its slot becomes unknown; the last reference ends the connection. */
void connection_release(struct thread *self, int fd);

/* The same inside a signal handler that interrupted us: the connection ends when the next is made,
 * or when whoever holds it leaves it. */
void connection_abandon(int fd);

/* Nothing more is to be observed: for good. Under the lock. */
void connection_ignore(struct thread *self, struct connection *connection, int fd);

/* SO_COOKIE: unique among the sockets of the machine's life; 0 if not to be had. */
uint64_t connection_identity(int fd);

/* Has the peer all that was sent? SO_MEMINFO: false where the kernel does not tell. One system
 * call. */
bool connection_is_drained(int fd);

/* Is the descriptor still the socket that we recorded? One system call. */
bool connection_is_same(const struct connection *connection, int fd);

/* The connection is over: ends exchanges, gives everything back. Implemented by stream.c, which
 * knows what the ends of streams mean. Under the lock. */
void stream_end(struct thread *self, struct connection *connection, int fd);
