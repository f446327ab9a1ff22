/* SPDX-License-Identifier: Apache-2.0 */
#include "counters.h"

uint64_t counters[COUNTER_COUNT];

const char *const counter_names[COUNTER_COUNT] = {
#define COUNTER(id, name, text) [COUNTER_##id] = name,
#include "counters.def"
#undef COUNTER
};

const char *const counter_texts[COUNTER_COUNT] = {
#define COUNTER(id, name, text) [COUNTER_##id] = text,
#include "counters.def"
#undef COUNTER
};
