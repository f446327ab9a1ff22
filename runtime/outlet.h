/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Spans, metrics and lines of logs to where the program's own output goes, or to a file, since the
 * user asked for it: as JSON lines on the descriptor 1 or 2 that the process was started with
 * (console, otlp/stdout) or in a file of the OTLP file exporter (otlp_file).
 *
 * The exporter's thread leaves the process's descriptor table; it takes that one descriptor along,
 * if it still is what it was. So it never writes to what the host opened under that number later.
 * Other side of it: whoever reads the other end of a pipe sees its end only when the process ends.
 *
 * | function      | who                                                                    |
 * | outlet_start  | constructor                                                            |
 * | outlet_kept   | exporter thread, before and while it leaves the descriptor table       |
 * | outlet_write  | exporter thread; may wait for the reader, until *stop or the deadline  |
 *
 * A line is one write. Into a pipe only lines of up to 4096 bytes stay whole when the program
 * writes at the same time.
 */
#pragma once

#include <stddef.h>

#include "config.h"

/* Notes what the descriptor is. No system call unless one was asked for. */
void outlet_start(const struct config *config);

/* The descriptor to take along, or -1. */
int outlet_kept(const struct config *config);

/* Writes a request in the form that is asked for, where it is. False: not all of it. */
bool outlet_write(const struct config *config, enum signal signal, struct config_copy to,
    const uint8_t *request, size_t length, uint64_t deadline_ns, const uint64_t *stop);
