/* SPDX-License-Identifier: Apache-2.0 */
/* Ring files in the run directory: what dead processes left, what living ones count. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "config.h"
#include "counters.h"
#include "ring.h"

/* Stores or sends the spans that processes of this run left in their rings when they died, and adds
 * what they, or we just now, have lost. */
void leftovers_recover(
    const struct config *settings, const char *run_id, uint64_t lost[COUNTER_COUNT]);

/* What a process tells of itself in its ring file. */
struct leftovers {
    uint64_t counters[COUNTER_COUNT];
    struct ring_health health;
    struct connection_counts connections;
    uint64_t waiting; /* bytes that its exporter has not fetched yet */
    char service_name[256];
    char broken_why[128]; /* why it stopped observing itself; "": it did not */
};

/* False: the process has no ring file that we can read. */
bool leftovers_read(const struct config *settings, int pid, struct leftovers *out);
