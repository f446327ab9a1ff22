/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A budget of so many per second, of which a second's worth can be saved up, and at least one. One
 * word, so that any thread may ask at any time without a lock: the time up to which the budget is
 * spent (the generic cell rate algorithm; equal to a bucket of tokens that begins full).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum { LIMITER_DEBT_SECONDS_MAX = 10 };

/* Takes one, which costs so many nanoseconds of the budget, if there is one, or in any case: what
 * was begun is brought to its end, and whoever asks next pays for it. */
static inline bool limiter_take(
    uint64_t *spent_ns, uint64_t cost_ns, uint64_t now_ns, bool in_any_case)
{
    const uint64_t second = 1000000000;
    uint64_t saved_max = cost_ns > second ? cost_ns : second;
    uint64_t least = now_ns > saved_max ? now_ns - saved_max : 0;
    uint64_t most = now_ns + LIMITER_DEBT_SECONDS_MAX * second;
    uint64_t spent = __atomic_load_n(spent_ns, __ATOMIC_RELAXED), after;
    do {
        after = (spent > least ? spent : least) + cost_ns;
        if (after > now_ns && !in_any_case)
            return false;
        if (after > most)
            after = most;
    } while (!__atomic_compare_exchange_n(
        spent_ns, &spent, after, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
    return true;
}
