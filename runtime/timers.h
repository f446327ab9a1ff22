/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When the timers of an event loop may be due, as its waits tell. A loop waits no longer than until
 * its next timer; that it runs them after everything else of a turn, without a call to libc before
 * them, is why anybody wants to know. Of one thread; times are CLOCK_MONOTONIC in nanoseconds.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "process.h"

struct timers {           /* all zero: no wait was seen yet */
    uint64_t woke_ns;     /* return from its last wait; 0: none */
    uint64_t slept_ns;    /* the same of the last one that was to take any time; 0: none */
    uint64_t wanted_ns;   /* until then it wanted to wait, or UINT64_MAX; 0: not known */
    uint64_t due_ns;      /* from then on timers may be due; 0, UINT64_MAX: never */
    uint64_t shortest_ns; /* the shortest one that it was seen to set; 0: none */
    uint32_t looks;       /* waits of no time before the first of those, LOOKS_MAX at most */
};

/* It returned from a wait of timeout_ns at most; -1: for ever, or not known. */
void timers_waited(struct timers *timers, uint64_t now_ns, int64_t timeout_ns);

static inline bool timers_may_be_due(const struct timers *timers)
{
    return timers->due_ns - 1 < UINT64_MAX - 1 && process_monotonic_ns() >= timers->due_ns;
}
