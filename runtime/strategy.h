/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A sampling strategy as Jaeger tells it, in JSON (Jaeger 2.20, GET /sampling?service=NAME). Pure.
 * Which kind it is follows from what is there, since the field that says it is a number for some
 * servers and a name for others.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "text.h"

enum { STRATEGY_OPERATIONS_MAX = 256, STRATEGY_NAME_MAX = 111 };

struct strategy_operation {
    uint64_t threshold; /* probability.h */
    uint64_t spent_ns;  /* of the lower bound: limiter.h; not part of what was told */
    uint8_t length;
    char name[STRATEGY_NAME_MAX];
};

struct strategy {
    bool is_limited;    /* by cost_ns alone */
    uint64_t threshold; /* else; of operations that are not named */
    uint64_t cost_ns;   /* of one trace: the limit, or of each operation the lower bound; 0: none */
    uint64_t spent_ns;  /* of the limit, or of operations that are not named */
    uint32_t operation_count;
    struct strategy_operation operations[STRATEGY_OPERATIONS_MAX];
};

/* False: no JSON, or no strategy; *strategy is then of no use. Operations with longer names, or
 * beyond the number, are as if they were not named. */
bool strategy_parse(struct slice json, struct strategy *strategy);
