/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Threads that take turns at one event loop (Asio, Tokio): whichever is free runs what comes next,
 * and a thread goes from one request's work to another's without a call to libc. No thread of such
 * a process is believed to be at work for a request. The sign, for good: threads come back to one
 * epoll descriptor in turn.
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

/* The thread, by its index, has returned from a wait on this descriptor of epoll. Any thread. */
void sharing_waited(uint32_t thread, int epoll);
/* In the child: nothing has been seen of its threads. */
void sharing_forked(void);
