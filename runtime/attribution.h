/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which request caused which call. The one module that decides; docs/ATTRIBUTION.md has the rules.
 * Hooks and streams report what happened; protocols know nothing of it.
 *
 * A context is *starved* when its request is complete, no answer has begun, no thread is in it and
 * nothing of it is outstanding: it must be waiting in user space (a pool, a timer, a queue), so
 * the next call of a multiplexing thread could be its, whatever that thread touched last.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "context.h"
#include "ours.h"
#include "propagation.h"
#include "thread.h"

/* --- what happened ------------------------------------------------------------------------- */

/* A request was read completely enough to be worked on, and it is the first unanswered one of its
 * connection: it becomes the thread's. is_new_clients: of a connection that the thread has accepted
 * since it waited last. A thread that only waits for clients, and answers each before it waits
 * again, runs no event loop, though it waits like one: it serves one at a time. */
void attribution_request(struct thread *self, struct context *context, bool is_new_clients);
/* Its body is complete too: from now on it waits for nobody outside but its own calls. */
void attribution_request_complete(struct context *context);
/* It came while an earlier one of its connection is unanswered (behind), or is the first by now.
 * Who serves one request at a time will not begin with it before. */
void attribution_request_behind(struct context *context, bool behind);
/* Something of the context came in: an answer to its call, more of its request. */
void attribution_touch(struct thread *self, struct context *context);
/* The thread used something that belongs to the context: it wrote to its client's connection, or
 * touched a connection that it opened. A carrier knows better. */
void attribution_use(struct thread *self, struct context *context);
/* Something came in of a call whose request is not known; guess: or NULL, by attribution_follows.
 */
void attribution_touch_guess(struct thread *self, struct context *guess);
/* Answers to calls of several requests came in one read: which of them runs next is not known. */
void attribution_touch_many(struct thread *self);
/* The thread touches what the context had opened, or closes what it waits for. A carrier knows
 * better, and so does a thread that serves one request. */
void attribution_opened(struct thread *self, struct context *context);
/* It has closed it: the next call may be the same one made again. */
void attribution_closed(struct thread *self, const struct context *context);

/* Who has opened a connection that has not been used yet. */
struct opener {
    struct context *context; /* NULL: no request */
    bool is_doubtful;        /* another one may have, or none */
    bool is_heirs;           /* a forked child has, at work on what it was forked in */
    bool is_certain;         /* or its next request is known to be the context's: callbacks_send */
};
OURS const struct opener nobody_opened;

/* The thread opens a connection: whose is it? The context is not held. */
struct opener attribution_opens(struct thread *self);
/* It touches one that has not been used yet. */
void attribution_touch_opened(struct thread *self, const struct opener *opener);
/* A loop has been isolated: trials are shorter than after what went wrong without. */
void attribution_isolated(void);
/* Requests have been read that nobody is seen at work on, and that may be asleep. Any thread. */
bool attribution_somebody_starves(void);

/* The program's runtime says whose task runs now on this thread; NULL: nobody's that it knows.
 * is_certain: also after the answer. */
void attribution_carry(struct thread *self, struct context *context, bool is_certain);
/* It says whose it may be: its calls are ambiguous. */
void attribution_guess(struct thread *self, struct context *context);
/* A thread of the runtime's was started in the context, and is its, also after the answer, until it
 * waits for another thread, or for anything after the answer, or a carrier says otherwise. To get
 * the interpreter's lock is no such wait. */
void attribution_started(struct thread *self, struct context *context);
/* It has been given the context's request, as if it had read that itself. */
void attribution_serve(struct thread *self, struct context *context);
/* The thread was found to hold what a request has allocated, or nothing: heap.h. */
void attribution_take_up(struct thread *self, struct context *context);
/* A step of a task begins, which lasts until the other one; carrier.h. */
void attribution_step(struct thread *self, struct context *context);
void attribution_stepped(struct thread *self, struct context *context);
/* The same, and all that the thread does until attribution_leave, whatever it waits for, is of it.
 */
void attribution_work(struct thread *self, struct context *context);
void attribution_rest(struct context *context, bool begins);
/* A step of a library's, which calls back in C. NULL: it is not known for whom. */
void attribution_call_back(struct thread *self, struct context *context, bool is_guess);
/* It is again where it was before its runtime had it do something else. */
void attribution_return(struct thread *self, struct context *context, bool read_here);
/* The thread has come to another stack; there it was in this context, which it read itself, and was
 * certain of. */
void attribution_switch(
    struct thread *self, struct context *context, bool is_read_here, bool is_certain);
/* The thread returned from a wait that could deliver anybody's event. timeout_ns: how long it would
 * have waited at most; -1: for ever, or not known. */
void attribution_wait(struct thread *self, int64_t timeout_ns);
/* Its loop looked for more events, and was told that there are none: isolation.h. */
void attribution_look(struct thread *self);
/* The thread is about to wait for another one, or to sleep. Parked, it does nothing for its
 * request, whose work may be done by whoever it waits for. False: it is in no request, now at the
 * latest. */
bool attribution_park(struct thread *self);
void attribution_unpark(struct thread *self);
void attribution_sleep(struct thread *self);
/* The thread has written to the request's client. Before attribution_use: of the first byte of an
 * answer it is asked whether the request was known to be at work here. */
void attribution_check(const struct thread *self, const struct context *context);
/* The thread asks when it may write to the request's client, to which nothing was written yet. */
void attribution_asks(struct thread *self, struct context *context);
/* The first byte of the answer was written. */
void attribution_answering(struct context *context);
/* The answer is complete, or can no longer come. */
void attribution_answered(struct thread *self, struct context *context);
/* A call that is known to be the context's begins and ends. */
void attribution_call_known(const struct thread *self, struct context *context, bool is_behind);
void attribution_call_known_end(struct context *context);
/* What may be a call of it, or become one, as a connection may. */
void attribution_call_begin(struct context *context);
void attribution_call_end(struct context *context);
/* A call that may be of any request that waits begins and ends; not one that is behind others of
 * its connection, which may be of the same request. */
void attribution_unclaimed_begin(struct thread *self);
void attribution_unclaimed_end(void);
/* Is the thread at work on a request, which is no message, as far as anybody knows? */
bool attribution_is_engaged(const struct thread *self);
/* It asks for other messages: it is not at work on this one any more. */
/* Is any thread in it? */
bool attribution_has_threads(const struct context *context);
void attribution_leave_message(struct thread *self, const struct context *context);
/* It asks for another: if its message is over, so is the work on it. */
void attribution_leave_ended(struct thread *self);
/* The thread ends. */
void attribution_leave(struct thread *self);
/* In a forked child: what its parent's requests wait for is not the child's business. */
void attribution_forked(void);
/* The child was forked in the context, which is its own copy now: it has that as if the answer were
 * complete, until it may have been given anything else to do. */
void attribution_inherit(struct thread *self, struct context *context);

/* --- the decision --------------------------------------------------------------------------- */

enum rule {
#define RULE(id, name) RULE_##id,
#include "rules.def"
#undef RULE
    RULE_COUNT
};

struct decision {
    struct context *parent; /* not held; NULL: none. RULE_AMBIGUOUS: the likeliest, not to be one */
    enum rule rule;
    bool is_behind; /* by attribution_parent_behind */
};

/* Whose is a call made now by this thread? opener: of its connection. */
struct decision attribution_parent(struct thread *self, const struct opener *opener);
/* The same where others of its connection are under way. What is sent at once may have been
 * collected from several requests, or be one's. was_doubtful: the one sent before it, in this unit
 * of work, was ambiguous. */
struct decision attribution_parent_behind(struct thread *self, bool was_doubtful);

/* Nothing was lately seen that speaks against event loops. */
bool attribution_trusts_loops(void);
/* Is a call that cannot be named to be counted as the likeliest one's, and its answer's work, too?
 * In an isolated loop: else who waits once, wrongly, makes all who come after seem to wait. */
bool attribution_follows(const struct thread *self, const struct context *likeliest);

/* Would a call made now be for certain of what the thread is in? Who serves one is sure of it,
 * whoever waits besides. Reads only. */
bool attribution_is_sure(const struct thread *self);
/* Whose the work is that the thread gives away now; NULL: it is not sure. */
struct context *attribution_given(const struct thread *self);
/* It works for the request that it has read itself, until it reads another. Reads only. */
bool attribution_serves_one(const struct thread *self);

/* What the calling thread is surely at work on: a request, what the process was started for, or
 * NULL. Reads only: also in a child of vfork. The context lives until the thread is reported to
 * have left it. */
const struct context *attribution_at_work(void);

/* Whose is a line that the thread writes to a log now; NULL: nobody's that is sure. On an event
 * loop also the request whose answer it has just ended, if it has done nothing since that could be
 * another's. last_ns: its now_ns before the block that asks. */
const struct trace_ids *attribution_of_line(const struct thread *self, uint64_t last_ns);
/* The thread has heard from somebody whose affairs are not known. No call of ours follows from
 * that, but a line in a log may. may_be_given: something to do, if it was not its own peer. */
static inline bool attribution_may_be_given(struct thread *self)
{
    self->current_strayed = true;
    self->heap.context = 0;
    return self->current != NULL && self->current->is_inherited;
}

static inline void attribution_stray(struct thread *self)
{
    if (attribution_may_be_given(self))
        attribution_leave(self);
}

/* Whose an ambiguous call may be: the likeliest, the one at work here, then those that
 * wait, the last to do so first. Returns how many. Any thread, in an observe block. */
enum { CANDIDATES_MAX = 8 };
uint32_t attribution_candidates(
    struct thread *self, struct context *likeliest, struct trace_link out[CANDIDATES_MAX]);

/* The process's own parent, from TRACEPARENT; NULL if none. */
OURS struct context *attribution_process_context;
void attribution_start(void);
/* A context, held, of what another process has sent; NULL: traceparent is none, or no memory.
 * clean: room for its tracestate (config.tracestate has it), of which there are *cleaned bytes: 0,
 * if it is too long or breaks the rules. */
struct context *attribution_take_remote(
    const char *traceparent, const char *tracestate, char *clean, size_t *cleaned);

/* --- threads that a request starts ----------------------------------------------------------- */

struct inheritance;

/* What a new thread is to inherit; NULL: nothing, it may be started as it is. */
struct inheritance *inheritance_take(
    const pthread_attr_t *attributes, void *(*start)(void *), void *argument);
/* Start routine of a thread that inherits; the argument is its inheritance. */
void *inheritance_run(void *inheritance);
/* The thread could not be started. */
void inheritance_drop(struct inheritance *inheritance);

/* The same for a process that is forked now; NULL: nothing. */
struct inheritance *inheritance_take_for_child(void);
/* In the child; in the parent it is dropped. */
void inheritance_enter(struct inheritance *inheritance);
