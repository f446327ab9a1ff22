/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rings of processes that died before they could export (SIGKILL, a crash, SIGTERM's default).
 * Exporter thread at its start, or the command-line tool.
 */
#pragma once

#include "delivery.h"

/* Delivers and removes the ring files of dead processes in config->run_directory: those of a
 * service (or NULL: a command asks, which is also given those of other users) and of a run (or
 * NULL: of any). A file is claimed by its
 * lock, so two recoverers never deliver the same one. What those processes had lost is added to
 * `lost`, COUNTER_COUNT of them; NULL: told to the command that runs theirs (losses.h). */
void recover_dead(struct delivery *delivery, const struct config *config, const char *service_name,
    const char *run_id, uint64_t *lost);

/* Copies the head of a living or dead process's ring file. False: it has none. *waiting: bytes in
 * its rings that nobody has fetched yet. */
bool recover_counters(
    const struct config *config, uint32_t pid, struct ring_file *out, uint64_t *waiting);
