/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a dead process had measured and not told yet: its state (metrics_state.h), and what its
 * rings hold beyond that. It is sent as the process would have told it, with its resource, its
 * beginning and its temporality, but without figures of the process, which are gone, and exemplars.
 * Requests that were open count in none. Who recovers: see recover.h.
 */
#pragma once

#include "delivery.h"

/* Before the rings are drained; the file, and its counters, are looked at until metrics_end, which
 * is to follow in any case. False: there is nothing. */
bool recover_metrics_find(struct metrics *found, struct delivery *delivery, struct ring_file *file,
    struct ring *const *rings, int directory, const char *name);
/* False: they are neither sent nor spooled, and can be sent later. */
bool recover_metrics_send(
    struct metrics *found, struct delivery *delivery, const struct ring_file *file);
