/* SPDX-License-Identifier: Apache-2.0 */
/* Counters of the process: one row each in counters.def. Any thread; relaxed atomics. */
#pragma once

#include <stdint.h>

enum counter {
#define COUNTER(id, name, text) COUNTER_##id,
#include "counters.def"
#undef COUNTER
    COUNTER_COUNT
};

extern uint64_t counters[COUNTER_COUNT];
extern const char *const counter_names[COUNTER_COUNT];
extern const char *const counter_texts[COUNTER_COUNT];

static inline void counter_add(enum counter counter, uint64_t n)
{
    __atomic_fetch_add(&counters[counter], n, __ATOMIC_RELAXED);
}
