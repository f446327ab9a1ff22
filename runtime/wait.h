/* SPDX-License-Identifier: Apache-2.0 */
/* Waiting on a word without libc. Any thread; waits only where the caller's contract allows it. */
#pragma once

#include <linux/futex.h>
#include <stdint.h>
#include <time.h>

#include "sys.h"

/* Waits while *word == seen, until the monotonic time until_ns (UINT64_MAX: no limit). May return
 * early. */
static inline void wait_until(uint32_t *word, uint32_t seen, uint64_t until_ns)
{
    struct timespec until = {
        .tv_sec = (time_t)(until_ns / 1000000000u), .tv_nsec = (long)(until_ns % 1000000000u)};
    /* FUTEX_WAIT_BITSET takes an absolute time, unlike FUTEX_WAIT. */
    sys(SYS_futex, word, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, seen,
        until_ns == UINT64_MAX ? NULL : &until, NULL, FUTEX_BITSET_MATCH_ANY);
}

static inline void wait_wake(uint32_t *word)
{
    sys(SYS_futex, word, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, INT32_MAX);
}
