/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Threads that take turns at one event loop (Asio, Tokio): whichever is free runs what comes next,
 * and a thread goes from one request's work to another's without a call to libc. No thread of such
 * a process is believed to be at work for a request. The sign, for good: threads come back to one
 * epoll descriptor in turn. The same is of threads that read a request as if they served one at a
 * time, hand it over by a queue of the program's own, and go on with what waits there (Jetty). The
 * sign: one begins another request's answer before its own, for the third time.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "ours.h"

OURS bool sharing_seen; /* read relaxed */

static inline bool sharing_is_seen(void)
{
    return __atomic_load_n(&sharing_seen, __ATOMIC_RELAXED);
}

/* The thread, by its index, has returned from a wait on this descriptor of epoll; is_new: the first
 * since it was made. Any thread. */
void sharing_waited(uint32_t thread, int epoll, bool is_new);
/* A thread that is believed to serve one request begins the answer of another one. */
void sharing_handed_over(void);
/* In the child: nothing has been seen of its threads. */
void sharing_forked(void);
