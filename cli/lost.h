/* SPDX-License-Identifier: Apache-2.0 */
/* What the processes of a run have lost, as they tell it in a file for us: losses.h of the runtime.
 */
#pragma once

#include <stdio.h>

#include "config.h"
#include "counters.h"

/* Makes the file for a run, and removes those of commands that were killed. Without a place for it
 * nothing is told. */
void lost_begin(const struct config *settings, const char *run_id);

/* Removes the file and adds what stood in it. */
void lost_end(const struct config *settings, const char *run_id, uint64_t lost[COUNTER_COUNT]);

/* A line on the stream for each of them that is not zero. */
void lost_print(FILE *stream, const uint64_t lost[COUNTER_COUNT]);
