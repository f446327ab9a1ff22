/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a language's runtime lets its tasks carry. Code of ours inside the runtime (carriers/) takes
 * the context in which a task is made, keeps it with the task, and tells whenever the task runs.
 *
 * A handle is a context that is held, so that it stays good for as long as its task may run, also
 * after the answer (background work). CARRIER_NONE is nobody's. Any thread, not in a signal
 * handler; a call that finds this thread busy inside us does nothing and gives CARRIER_NONE.
 *
 * Adopt if orphan, the rule for whoever calls: a task made in a living context stays in it, whoever
 * wakes it; a task whose context is none or over takes that of its waker, each time.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ours.h"

enum { CARRIER_NONE = 0 };

/* The context that the thread is in now, held; to be given back by carrier_drop. */
uint32_t carrier_take(void);
/* The same, if a call made now would be its: an event loop that is no carrier's may have gone on to
 * something else, and a thread that has several messages is at any of them. */
uint32_t carrier_take_sure(void);
/* The same, if it is that of the request that fd's connection is at; else CARRIER_NONE. */
uint32_t carrier_take_at(int fd);
/* Holds once more what somebody holds, and answers it. */
uint32_t carrier_hold(uint32_t handle);
void carrier_drop(uint32_t handle);

/* Its answer is not complete yet. */
bool carrier_is_live(uint32_t handle);

/* What runs now on this thread is the handle's; CARRIER_NONE: nobody's, until something is read.
 * is_certain: the task was made in that context, so it is its for ever. What only adopted it may be
 * at work for another once it is over. */
void carrier_enter(uint32_t handle, bool is_certain);

/* The same, certainly, for a step of a task, until carrier_stepped and also once its answer is
 * complete. Then its program goes on with that request, until it comes to anything else; or with
 * the step that it was in before. The handle is held meanwhile. */
void carrier_step(uint32_t handle);
struct carrier_view;
void carrier_stepped(uint32_t handle, const struct carrier_view *before);
/* The task does nothing before its next step: its request is none that may be at work anywhere. */
void carrier_rest(uint32_t handle, bool begins);

/* Until it is over, a thread that is started here is of what this one is in, if that is sure: also
 * after the answer, and though it waits for the runtime's own lock. */
void carrier_starts(bool begins);

/* What the runtime's threads are started for is not known. */
OURS bool carrier_starts_nobodys; /* set once */

/* It may be the handle's, or another's that waits. */
void carrier_enter_guess(uint32_t handle);

/* What this thread writes next has been put together for several: up to byte `end` it is the
 * handle's. Read until carrier_parted; the last one's end is SIZE_MAX. */
struct carrier_part {
    size_t end;
    uint32_t handle;
    bool is_certain; /* carrier_enter */
    bool is_guess;   /* carrier_enter_guess */
};
void carrier_parts(const struct carrier_part *parts);
/* Answers how many bytes streams have told of, of a connection that is followed. */
size_t carrier_parted(void);
/* For streams: enters the part that is told next, and answers how long it is. Where it is depends
 * on self->part_at. */
struct thread;
size_t carrier_part(struct thread *self);

/* A connection by its descriptor; no later one has the same number. 0: it is not known, or this
 * process has accepted it (made it). */
uint64_t carrier_calls_by(int fd);
uint64_t carrier_serves_by(int fd);
/* The request that this connection is at, held: complete, and not answered; else CARRIER_NONE. */
uint32_t carrier_take_of(int fd, uint64_t connection);

/* A message that fd's connection has brought, by its number (protocols/broker.h: keys), held;
 * CARRIER_NONE: it is not known, or came in answer to what the thread is at. Whoever asks tells of
 * each message of the connection from then on: without that none is worked on. The work on one is
 * all that the thread does until carrier_worked, also what it does while and after it waits. */
uint32_t carrier_take_message(int fd, uint64_t key);
void carrier_work(uint32_t handle);
void carrier_worked(int fd, uint64_t key, uint32_t handle);
/* The same for a thread that comes from one message to the next: it works on this one until
 * carrier_done, or until it begins with another. */
void carrier_begin(int fd, uint64_t key);
void carrier_done(void);

/* The connection that has brought this thread a message last, also when its number is used again.
 */
struct carrier_source {
    const void *connection; /* NULL: none has */
    uint32_t generation;
    int fd;
};
struct carrier_source carrier_source(void);
/* Each message of it is told of from now on; the thread only hands on what it has read. */
void carrier_tell(const struct carrier_source *source);
/* carrier_take_message, of this connection. */
uint32_t carrier_take_brought(const struct carrier_source *source, uint64_t key);

/* A number that the carrier of messages keeps with this thread, 0 at first; NULL: we do not know
 * it. */
uint32_t *carrier_note(void);

/* What another process has sent, held: the message that the thread has just read, if that is the
 * one which these headers name, else calls are the children of the span that they name. tracestate:
 * may be NULL. CARRIER_NONE: they name none, or OTEL_PROPAGATORS does not want them. */
uint32_t carrier_take_remote(const char *traceparent, const char *tracestate);

/* Every task that comes of what the thread is in will be told with it: however much more is read
 * before any of them runs, it is known which one is at work. */
void carrier_follow(void);

/* A task that is nobody's may be that of a request that was read before the task was known. */
bool carrier_somebody_starves(void);

/* Where the thread is now; not held. */
struct carrier_view {
    uint32_t handle;
    bool is_carried; /* a carrier said so */
    bool is_certain; /* and is sure of it: carrier_enter */
    bool is_started; /* or that the thread was started for it: attribution_started */
    bool is_guess;   /* or not at all: carrier_enter_guess */
    bool is_step;    /* until a library's callback is over */
    bool is_request; /* this thread has read its request itself */
    bool is_message; /* that request is a message */
};
struct carrier_view carrier_look(void);

/* What the thread is in now, held, for work that it gives away; and would a call that it made now
 * be believed? Until carrier_unclaim gives it back, its request does not seem to wait. */
struct carrier_claim {
    uint32_t handle; /* CARRIER_NONE: nobody's */
    uint16_t who;    /* of two requests seldom the same */
    bool is_certain;
};
struct carrier_claim carrier_claim(void);
void carrier_claim_again(uint32_t handle);
void carrier_unclaim(uint32_t handle);

/* The thread works from now on for the request that this connection is at, also after the answer,
 * as if it had read it itself; for nobody's, if its runtime said so before and there is none. Of
 * one that the program has made itself it says nothing. */
void carrier_serve(int fd);
/* The same for what the thread is in because it has just read it, and no carrier has told of. */
void carrier_serve_read(void);
/* Is told of connections of which TCP_INFO was asked; NULL: nobody's affair. */
OURS void (*carrier_asked)(int fd);

/* Where the thread was before something else was entered, as carrier_look told it and who asked
 * holds it. */
void carrier_return(struct carrier_view view);
/* Called whenever the process has accepted a connection, or was given a message, outside an observe
 * block, until it is NULL: by then the carriers of the runtimes that are in this process are in
 * their places. */
OURS void (*carrier_serving)(void);
/* The same where code at `caller` has connected in a forked process, for runtimes that give their
 * children work. */
OURS void (*carrier_connecting)(const void *caller);

/* So it is whenever anything was read, once a message was, or a connection is there whose library
 * hands on later, one by one, what it reads. */
OURS bool carrier_is_wanted;

/* Called in its place once more when such a connection is there and all is installed; NULL:
 * nobody's affair. */
OURS void (*carrier_handing)(void);

static inline void carrier_want(void)
{
    __atomic_store_n(&carrier_is_wanted, true, __ATOMIC_RELAXED);
}

static inline void carrier_hands_on(void)
{
    void (*handing)(void) = __atomic_load_n(&carrier_handing, __ATOMIC_ACQUIRE);
    if (handing != NULL && __atomic_load_n(&carrier_serving, __ATOMIC_RELAXED) == NULL)
        __atomic_store_n(&carrier_serving, handing, __ATOMIC_RELEASE);
    carrier_want();
}

static inline void carrier_serves(void)
{
    void (*serving)(void) = __atomic_load_n(&carrier_serving, __ATOMIC_ACQUIRE);
    if (serving != NULL)
        serving();
}

static inline void carrier_read(void)
{
    if (__builtin_expect(__atomic_load_n(&carrier_is_wanted, __ATOMIC_RELAXED), 0))
        carrier_serves();
}
