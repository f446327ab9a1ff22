/* SPDX-License-Identifier: Apache-2.0 */
/* What is believed once it has been right so often, and not for a while after it was wrong. Any
 * thread; a race loses one or two. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

static inline uint32_t trial_left(const uint32_t *left)
{
    return __atomic_load_n(left, __ATOMIC_RELAXED);
}

static inline void trial_passed(uint32_t *left)
{
    uint32_t before = trial_left(left);
    if (before > 0)
        __atomic_store_n(left, before - 1, __ATOMIC_RELAXED);
}

/* It has to be right so often from now on. */
static inline void trial_failed(uint32_t *left, uint32_t times)
{
    __atomic_store_n(left, times, __ATOMIC_RELAXED);
}
