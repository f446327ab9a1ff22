/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Streams inside TLS: what hooks of a TLS library report. Host threads, outside any observe block;
 * every function opens its own and keeps errno. The library itself is the hooks' business.
 *
 * A session (an SSL object, a gnutls_session_t) and its socket are one connection, so that parents,
 * waits and ends are what they are without TLS. Once the two are linked, what the socket carries is
 * ciphertext and is not looked at (STREAM_SECURE): the connection's stream is what the library's
 * calls read and write. How a session is linked:
 *
 *   - to the descriptor that the library tells (secure_link), or else
 *   - to the socket that carries TLS records during the library's own call (secure_learn);
 *   - with neither, once its handshake is over or the library says so, it has a connection without
 * a descriptor: its bytes go through memory, and who the other end is is not known.
 *
 * A library allows one thread at a time in a session (NSS: one that reads and one that writes), so
 * a session has no lock of its own; its connection has.
 *
 *   a key is in the table <=> its session's block is taken; both until secure_forget
 *   session.ignored: for good, until secure_forget
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "connection.h"

/* What of a write is under way with the library. While anything is, the host repeats its call, and
 * the library must be given what it was given before. */
struct secure_edit {
    uint32_t text_index; /* big block: the host's bytes and our lines; 0: none */
    uint32_t length;     /* of what is in it */
    uint32_t sent;       /* of that, taken by the library */
    uint32_t before;     /* the host's bytes before the lines */
    uint32_t inserted;   /* the lines' */
    uint32_t removed;    /* the host's in whose place they stand; kept behind `length` */
    uint32_t serial;     /* of the exchange that they are for */
    size_t piece;        /* of the host's own buffer, which the library asked for again; 0: none */
    size_t done;         /* the host's bytes of this call that went in attempts before */
};

enum { SECURE_FACTS_MAX = 96 };

struct session {
    uint64_t pool_link;
    const void *key;
    struct sight sight; /* connection NULL: not linked */
    uint32_t index;
    uint32_t holds;   /* who will free it, but for one */
    bool is_bare;     /* the connection has no descriptor; we hold its reference */
    bool ignored;     /* not to be followed */
    bool is_known;    /* facts were asked for */
    bool was_refused; /* its handshake failed, and that has been told */
    bool is_late;     /* it was open when it was first seen */
    bool is_resumed;
    uint64_t start_ns; /* of its handshake */
    uint64_t end_ns;   /* 0: not over yet */
    uint64_t unit;
    struct secure_edit edit;
    uint32_t facts_length;
    char facts[SECURE_FACTS_MAX];
};

struct secure_call {
    struct session *session;
    struct secure_mark before;
};

/* How a call of the library ended that gave no bytes. */
enum secure_outcome { SECURE_AGAIN, SECURE_CLOSED, SECURE_FAILED };

/* Before the original. False: not observed (inside another call of this session, or no memory):
 * call the original, nothing else. True: secure_end is to follow. */
bool secure_begin(struct secure_call *call, const void *key);
void secure_end(struct secure_call *call);

static inline bool secure_is_linked(const struct secure_call *call)
{
    return call->session->sight.connection != NULL || call->session->ignored;
}

/* A block of ours is under way with the library, whose bytes go before all others. */
static inline bool secure_is_editing(const struct secure_call *call)
{
    return call->session->edit.text_index != 0;
}

/* The descriptor that the library tells, -1: none. is_open: the handshake is over, so if there is
 * no socket by now, there is none; is_memory: that is known before. */
void secure_link(struct secure_call *call, int fd, bool is_server, bool is_open, bool is_memory);

/* After the original: its bytes, or how it ended without. What the host is to get of a read: more
 * than length only if a line was put into it (passing.h). */
size_t secure_received(struct secure_call *call, void *buffer, size_t length, size_t size);
void secure_received_unseen(struct secure_call *call, size_t length);
void secure_sent(struct secure_call *call, const void *buffer, size_t length);
void secure_sent_unseen(struct secure_call *call, size_t length);
void secure_stopped(struct secure_call *call, enum secure_outcome outcome);

/* A handshake went on, or failed: error.type. */
void secure_handshake(struct secure_call *call, bool is_server, const char *error);

/* The handshake is over. Is it to be told what was agreed on? Once per session. */
static inline bool secure_wants_facts(const struct secure_call *call)
{
    return !call->session->is_known;
}
struct secure_agreement {
    const char *version, *cipher; /* "" if not known */
    const char *alpn;             /* need not end with 0 */
    size_t alpn_length;
    bool is_resumed;
};
void secure_agreed(struct secure_call *call, const struct secure_agreement *agreed);

/* The session begins anew. */
void secure_forget(const void *key);
/* One more, and one less, who will free it: with the last one it is forgotten. */
void secure_hold(const void *key);
void secure_drop(const void *key);

/* How a hook writes: what the library answers, > 0: bytes taken. */
struct secure_way {
    ssize_t (*write)(struct secure_way *way, const void *bytes, size_t length);
};

/* A whole write of the host's: calls way->write as often as is needed, with lines inserted if any
 * are due, and reports. Answers what the host gets: the count of its own bytes, or the library's
 * last answer if that was none. `length` may be 0 with a buffer of NULL: go on with what is under
 * way (GnuTLS). */
ssize_t secure_write(
    struct secure_call *call, const void *buffer, size_t length, struct secure_way *way);

/* stream_feed.c: bytes of an undecided connection, during a call of a library on this thread. True:
 * they are its session's ciphertext, and the connection is linked now. */
bool secure_learn(
    struct thread *self, struct connection *connection, int fd, const uint8_t *data, size_t length);
