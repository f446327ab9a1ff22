/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the processes of one `burdock run` have lost, for its summary: a file of records that the
 * command makes in the run directory, mode 0622, since a service may have changed its user, and
 * removes. Whoever removes a process's ring file, itself at its end or who recovers it, first
 * appends a record for each of its counters of losses that is not zero, by one write; where there
 * is no such file (another launcher, or the command has ended) nothing is told. Raw system calls,
 * no allocation.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "counters.h"

/* The first one has no name: its count is the process id of the command. */
struct loss {
    char name[40]; /* of the counter, with NUL */
    uint64_t count;
};

enum { LOSSES_PATH_BYTES = 1280 };

/* False: that is no name of a file. */
bool losses_path(const char *run_directory, const char *run_id, char out[LOSSES_PATH_BYTES]);
/* False: there are none. */
bool losses_tell(
    const char *run_directory, const char *run_id, const uint64_t counted[COUNTER_COUNT]);
