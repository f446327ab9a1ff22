/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stacks of coroutines. What a coroutine is at work on goes with its stack, whichever thread runs
 * on it: docs/ATTRIBUTION.md, "Coroutines". A stack is known from the call that makes a coroutine
 * on it (makecontext, make_fcontext), and belongs to that coroutine until the next one is made on
 * it. Any other stack is the thread's own, or as good as that: a signal handler's.
 *
 * The table is sorted by addresses. | sequence | odd: one thread changes it, others look again |
 * A coroutine's own row is written by the thread that runs on it, which the program sees to.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "thread.h"

/* A coroutine is made. Any thread, outside an observe block; leaves errno alone. */
void stacks_born(uintptr_t low, uintptr_t high);
void stacks_note(struct thread *self, uintptr_t low, uintptr_t high); /* within one */

/* The thread has come to another request, or none: so has the coroutine that it runs. */
void stacks_keep(struct thread *self);

/* The coroutine waits for anybody's event, or is at several requests at a time: it is no more than
 * a thread to us. Answers whether it is such a one. */
bool stacks_is_loop(const struct thread *self);
void stacks_be_loop(struct thread *self);

/* A carrier tells of this thread: it knows better. */
void stacks_leave(struct thread *self);

/* The thread was last seen where it is now. */
bool stacks_is_here(const struct thread *self);

/* The thread ends; a forked child begins. */
void stacks_end(struct thread *self);
void stacks_forked(void);
