/* SPDX-License-Identifier: Apache-2.0 */
/* Ring files in the run directory: what dead processes left, what living ones count. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "config.h"
#include "counters.h"

/* Stores or sends the spans that processes of this run left in their rings when they died.
 * Answers the number of spans rescued. */
int leftovers_recover(const struct config *settings, const char *run_id);

/* The counters of a living process. False: it has no ring file that we can read. */
bool leftovers_counters(const struct config *settings, int pid, uint64_t out[COUNTER_COUNT]);
