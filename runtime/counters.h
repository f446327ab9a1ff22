/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counters of the process: one row each in counters.def. Any thread; relaxed atomics. They lie in
 * its ring file once there is one, so that whoever finds that after a death knows them all.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum counter {
#define COUNTER(id, name, text) COUNTER_##id,
#include "counters.def"
    COUNTER_COUNT
};

enum {
    COUNTER_LOSSES = 0 /* how many of them are losses */
#define COUNTER(id, name, text)
#define LOSS(id, name, text) +1
#include "counters.def"
};

extern uint64_t *counters; /* COUNTER_COUNT of them; never unmapped, wherever it points */
const char *counter_name(enum counter counter);
const char *counter_text(enum counter counter);
/* A bit for each that is a loss. */
extern const uint64_t counter_losses;

static inline void counter_add(enum counter counter, uint64_t n)
{
    uint64_t *all = __atomic_load_n(&counters, __ATOMIC_RELAXED);
    __atomic_fetch_add(&all[counter], n, __ATOMIC_RELAXED);
}

static inline uint64_t counter_now(enum counter counter)
{
    return __atomic_load_n(
        &__atomic_load_n(&counters, __ATOMIC_RELAXED)[counter], __ATOMIC_RELAXED);
}

/* From now on they are counted there, which is all zero. */
void counters_move(uint64_t *to);
/* What a thread was about to count when they were moved comes after; now and then, and at the end.
 */
void counters_gather(void);
/* In a child, all zero again. */
void counters_forked(void);

/* Has one of the losses grown? */
bool counters_tell_loss(const uint64_t *now, const uint64_t *before);
