/* SPDX-License-Identifier: Apache-2.0 */
/* Waiting on a word without libc. Any thread; waits only where the caller's contract allows it. */
#pragma once

#include <linux/futex.h>
#include <stdint.h>
#include <time.h>

#include "process.h"
#include "sys.h"

/* Waits while *word == seen, until the monotonic time until_ns (UINT64_MAX: no limit). May return
 * early. What is left is told to the kernel: our clock may be one of libfaketime's. */
static inline void wait_until(uint32_t *word, uint32_t seen, uint64_t until_ns)
{
    uint64_t now_ns = until_ns == UINT64_MAX ? 0 : process_monotonic_ns();
    uint64_t left_ns = until_ns > now_ns ? until_ns - now_ns : 0;
    struct timespec left = {
        .tv_sec = (time_t)(left_ns / 1000000000u), .tv_nsec = (long)(left_ns % 1000000000u)};
    sys(SYS_futex, word, FUTEX_WAIT | FUTEX_PRIVATE_FLAG, seen,
        until_ns == UINT64_MAX ? NULL : &left);
}

static inline void wait_wake(uint32_t *word)
{
    sys(SYS_futex, word, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, INT32_MAX);
}
