/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which request caused which call. The one module that decides; docs/ARCHITECTURE.md has the rules.
 * Hooks and streams report what happened; protocols know nothing of it.
 *
 * A context is the identity of one server request (or of the process, from TRACEPARENT). It lives
 * as long as somebody holds it: its exchange, threads whose current it is, connections it opened,
 * calls it has in flight. Any thread may hold and drop.
 *
 * A context is *starved* when its request is complete, no answer has begun, no thread is in it and
 * nothing of it is outstanding: it must be waiting in user space (a pool, a timer, a queue), so
 * the next call of a multiplexing thread could be its, whatever that thread touched last.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "propagation.h"
#include "thread.h"

struct context {
    uint64_t pool_link;
    uint32_t index;
    uint32_t references;
    uint32_t state;       /* attached threads, outstanding calls, waiting: see attribution.c */
    bool ended;           /* the answer is complete */
    bool is_remote;       /* its span id is a peer's, not ours (nothing is recorded here) */
    struct trace_ids ids; /* of our own span: the parent of calls made under it */
    uint8_t remote_id[8]; /* span id the request carried; valid if has_remote */
    bool has_remote;
    uint32_t tracestate_length;
    uint32_t baggage_length;
    uint32_t text_index; /* block with tracestate, then baggage; 0: none */
    bool text_is_big;
};

/* Take and drop: in an observe block; take also in the constructor. */
struct context *context_take(void); /* one reference; NULL: no memory */
void context_hold(struct context *context);
struct context *context_at(uint32_t index); /* that somebody holds */
void context_drop(struct context *context); /* NULL is allowed */

/* Copies what the request carried. False: no memory, nothing is carried on. */
bool context_set_texts(struct context *context, const char *tracestate, uint32_t tracestate_length,
    const char *baggage, uint32_t baggage_length);
const char *context_texts(const struct context *context);

/* --- what happened ------------------------------------------------------------------------- */

/* A request was read completely enough to be worked on, and it is the first unanswered one of its
 * connection: it becomes the thread's. */
void attribution_request(struct thread *self, struct context *context);
/* Its body is complete too: from now on it waits for nobody outside but its own calls. */
void attribution_request_complete(struct context *context);
/* Something of the context came in: an answer to its call, more of its request. */
void attribution_touch(struct thread *self, struct context *context);
/* The thread used something that belongs to the context: it wrote to its client's connection, or
 * touched a connection that it opened. A carrier knows better. */
void attribution_use(struct thread *self, struct context *context);
/* The program's runtime says whose task runs now on this thread; NULL: nobody's that it knows.
 * is_certain: also after the answer. */
void attribution_carry(struct thread *self, struct context *context, bool is_certain);
/* The thread returned from a wait that could deliver anybody's event. */
void attribution_wait(struct thread *self);
/* The first byte of the answer was written. */
void attribution_answering(struct context *context);
/* The answer is complete, or can no longer come. */
void attribution_answered(struct thread *self, struct context *context);
/* A call or a connection attempt of the context begins and ends. */
void attribution_call_begin(struct context *context);
void attribution_call_end(struct context *context);
/* The thread ends. */
void attribution_leave(struct thread *self);

/* --- the decision --------------------------------------------------------------------------- */

/* The context of a call made now by this thread; owner: of a connection not used before, or NULL.
 * NULL: no parent. Not held. */
struct context *attribution_parent(struct thread *self, struct context *owner);

/* The process's own parent, from TRACEPARENT; NULL if none. */
extern struct context *attribution_process_context;
void attribution_start(void);

/* --- threads that a request starts ----------------------------------------------------------- */

struct inheritance;

/* What a new thread is to inherit; NULL: nothing, it may be started as it is. */
struct inheritance *inheritance_take(void *(*start)(void *), void *argument);
/* Start routine of a thread that inherits; the argument is its inheritance. */
void *inheritance_run(void *inheritance);
/* The thread could not be started. */
void inheritance_drop(struct inheritance *inheritance);
