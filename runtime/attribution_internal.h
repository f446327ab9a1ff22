/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What attribution.c, which moves requests' contexts and counts those that wait, and
 * attribution_decide.c, which reads that, share. Nobody else's. Any thread, in an observe block.
 */
#pragma once

#include "attribution.h"

/* context.state: one word, so that "became starved" and "is no longer starved" are exact
 * transitions even when several threads report at once. */
#define ATTACHED ((uint64_t)1)                   /* a thread is in it and runs */
#define PARKED ((uint64_t)1 << 16)               /* a thread is in it and waits for another */
#define OUTSTANDING ((uint64_t)1 << 32)          /* a call, or a connection not used yet */
#define CALL (OUTSTANDING + ((uint64_t)1 << 46)) /* a call that is known to be its */
#define CALLS (WAITING - (CALL - OUTSTANDING))
#define WAITING ((uint64_t)1 << 60) /* its request is complete, its answer has not begun */
#define ASKED ((uint64_t)1 << 61)   /* and its program has asked when it may write that */
#define DONE ((uint64_t)1 << 62)    /* which it is known to ask after the work */

enum { LATELY = 64 };

struct attribution {   /* of the process; by atomic loads and stores, relaxed */
    int32_t starved;   /* contexts that must be waiting in user space */
    int32_t lost;      /* those of them that no thread waits with */
    int32_t unclaimed; /* calls under way that could be of any of them */
    int32_t asking;    /* contexts that have ASKED */
    bool puts_off;     /* one has been seen to wait so in an event loop */
    /* More such calls have been seen than requests that look so, or two calls of one request on two
     * connections at once: so some may be of one request, or of one that others are known of. Then
     * they hide nobody. */
    bool fans_out;
    /* The last ones that began to wait: links to them are made without a lock. An entry may be
     * over, or another request's by now; whoever reads it asks the context itself. */
    uint32_t lately[LATELY], lately_next;
};
OURS struct attribution attribution;

/* The program asks when it may write to the request's client. Is its answer as good as begun? */
bool attribution_believes_asking(const struct thread *self, struct context *context);

/* One that has ASKED goes on in the loop that did so, not in a thread that serves another one. */
static inline bool is_lost(uint64_t state)
{
    return state == WAITING;
}

static inline bool is_starved(uint64_t state)
{
    return (state & ~(OUTSTANDING - PARKED) & ~ASKED) == WAITING;
}

static inline bool has_asked(const struct context *context)
{
    return (__atomic_load_n(&context->state, __ATOMIC_RELAXED) & ASKED) != 0;
}

static inline void note_lately(const struct context *context)
{
    uint32_t at = __atomic_fetch_add(&attribution.lately_next, 1, __ATOMIC_RELAXED) % LATELY;
    __atomic_store_n(&attribution.lately[at], context->index, __ATOMIC_RELEASE);
}

static inline bool is_waiting(const struct context *context)
{
    return (__atomic_load_n(&context->state, __ATOMIC_RELAXED) & WAITING) != 0;
}

/* It works for the request that it has read, until it reads another. */
static inline bool serves_one(const struct thread *self)
{
    return self->current != NULL && self->current_read_here &&
           (!self->multiplexes || self->current_is_client);
}

/* Its runtime has given it the request, and nothing else until that is answered. */
static inline bool is_given(const struct thread *self)
{
    return self->current_carried && self->current_read_here && !self->current_of_stack;
}

/* A step of which nobody need tell the end: a program may stop to ask for what is finished. */
static inline bool is_open_step(const struct thread *self)
{
    return self->current_steps && self->transfers.group != NULL;
}

/* Its runtime in a forked child knows of no end that it had in the parent. */
static inline bool is_of_parent(const struct context *context)
{
    return context->is_inherited || context->epoch != process.epoch;
}

/* It may be another message that is worked on. */
static inline bool is_uncertain(const struct context *context)
{
    return context->is_uncertain || (context->is_of_many && !context->is_followed);
}
