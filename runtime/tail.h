/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Traces that were not sampled, kept after all since they failed or were slow (BURDOCK_KEEP). Only
 * what this process has of a trace: a request that was served with the calls made for it, or a call
 * that is nobody's. The exporter thread alone.
 *
 * What is offered of a request waits for its end, which decides for all of it; if something kept
 * came before, the rest goes with it at once. Bounds: 4 MiB and 4096 requests; what is older than a
 * minute, or the oldest where there is no room, is given up.
 *
 *   a block is free, or of one record; a record is of one group; a group is in one bucket and in
 *   the row by age; all are named by indexes, 0: none
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "config.h"
#include "record.h"
#include "span.h"

struct tail_memory;
struct tail {
    const struct config *config;
    struct tail_memory *memory;
};

/* False: nothing is to be kept, or there is no memory. */
bool tail_open(struct tail *tail, const struct config *config);

/* Offers a record that is not sampled, told as this span. True: it is kept, and perhaps others with
 * it; take them all. False: it waits, or is nothing (both are counted, as measured only). */
bool tail_offer(struct tail *tail, const struct record *record, const struct span *span);
/* The next that is kept, marked with the reason, the one offered first; valid until the next call.
 * NULL: no more. */
const struct record *tail_take(struct tail *tail);

/* Gives up what has waited too long. */
void tail_age(struct tail *tail);
