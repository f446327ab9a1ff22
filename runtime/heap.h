/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Workers that are handed their work by memory: whose is it? docs/ATTRIBUTION.md, "Memory". What a
 * thread allocates while it is at work on a request that it has read itself is marked with that
 * request, until it is freed. A worker that is at work on none is at work on the one whose memory
 * its outermost frame points to: what it was called with.
 *
 * Opt-in: only with libburdock-heap.so behind ours, which watches the allocator, are there any
 * marks. Marks: HEAP_BLOCKS at most, the oldest make room; none is lost to a lock.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "context.h"
#include "heap_watch.h"
#include "ours.h"
#include "thread.h"

OURS bool heap_is_on;

/* Makes the table. NULL: no memory. Constructor. */
const struct heap_watch *heap_start(void);

/* The thread has read a request, and nothing else since: what it allocates now is for that, until
 * it hears of anything else (attribution.c) or wakes another thread. A loop that has read two since
 * it waited last may put off what it does for them: it is not known then. */
void heap_read(struct thread *self, const struct context *context);

/* The next request of its connection was read, so it may have been answered. NULL is allowed. */
static inline void heap_overtaken(struct context *context)
{
    if (context != NULL)
        context->is_overtaken = true;
}

/* The stack of a thread that is started with these; NULL is allowed. */
size_t heap_stack_bytes(const pthread_attr_t *attributes);

/* The thread begins; frames: where its own are, those above are libc's. argument: what it was
 * started with is whoever's has started it, and no sign of its work. */
void heap_thread_started(
    struct thread *self, uintptr_t frames, size_t stack_bytes, const void *argument);

/* The thread makes a call: finds whose work it does, and takes that up (attribution_take_up). */
void heap_look(struct thread *self);

/* A thread that has taken a request up so begins an answer: of that one? */
void heap_checked(bool is_right);

/* Has it been wrong lately, or not been right often enough yet? */
bool heap_is_doubtful(void);
