/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is true of this process as a whole: whether we observe at all, whether it is still the
 * process that we started in, and whether we may make system calls of our own.
 *
 * Forked children are recognised by a page that the kernel empties in every child with memory of
 * its own (MADV_WIPEONFORK): fork, clone and _Fork alike, with no handler and no system call.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "ours.h"

struct process_page {
    uint32_t alive; /* 0: a forked child that has not been set up yet; 2: it is being set up */
};

struct process {
    struct process_page *page; /* NULL: inert, nothing is observed */
    uint32_t epoch;            /* grows with every generation of fork; 1 in the first process */
    bool seccomp;              /* the host has asked for a sandbox: no system calls of our own */
    bool clockless;            /* reading the time could kill the host: we are inert */
    bool is_ending;            /* exit handlers run */
    bool is_over;              /* and what was open has ended: stream_process_ends */
    bool is_heir;              /* it was forked at work on a request: inheritance.c */
    bool broken;               /* the breaker: an impossible state was met, one way */
    const char *broken_why;
};

OURS struct process process;

/* Constructor. False: the kernel cannot do what we need (Linux < 4.14); stay inert. */
bool process_start(void);

/* Any thread, first thing in an observe block. Sets a forked child up: own epoch, no exporter,
 * rings and counters from zero. False: another thread of the child is at it and does not end. */
bool process_forked(void);

static inline bool process_is_child(void)
{
    return __builtin_expect(__atomic_load_n(&process.page->alive, __ATOMIC_ACQUIRE) != 1, 0);
}

static inline bool process_may_call(void)
{
    return !__atomic_load_n(&process.seccomp, __ATOMIC_RELAXED);
}

/* The host is about to restrict its system calls: the exporter ends, and from now on we make no
 * system call of our own; whoever watches from outside drains the rings. May wait, bounded.
 * has_clock: the cycle counter stays readable. If it does not, or the time needs a system call on
 * this machine, we are inert from now on. */
void process_enter_sandbox(bool has_clock);

uint64_t process_monotonic_ns(void);

/* Unix time minus monotonic time. Spans are timed by the monotonic clock and converted once, when
 * they end, so that setting the clock distorts no duration. Refreshed by the exporter. */
uint64_t process_clock_offset_ns(void);
void process_clock_refresh(void);

/* Stops all observation of this process for good. why: static text for burdock doctor. */
void process_break(const char *why);
