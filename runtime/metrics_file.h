/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the process has measured, for `burdock metrics` (OTEL_METRICS_EXPORTER=prometheus): OTLP
 * requests, cumulative, framed as in the local store, in a file beside the ring file that is named
 * as it with ".metrics" behind. It is written whole under another name and then renamed, so that a
 * reader sees one state or the next. Exporter thread; it costs a few microseconds a round.
 */
#pragma once

#include <stddef.h>

#include "metrics.h"

enum { METRICS_FILE_BYTES_MAX = 8 * 1024 * 1024 };
#define METRICS_FILE_SUFFIX ".metrics"
/* Behind that: one being written, and metrics_state.h's. */
#define METRICS_NEW ".new"
#define METRICS_STATE ".state"
#define METRICS_STATE_NEW ".state.new"
enum { METRICS_PATH_BYTES = CONFIG_TEXT_MAX + 128 };

/* Nothing, if it says what it said. */
void metrics_file_write(struct metrics *metrics, const uint8_t *resource, size_t resource_bytes);

/* False: it has no name. */
bool metrics_file_name(char out[METRICS_PATH_BYTES], const char *ring, const char *suffix);

/* Removes those of a ring file, if there are any; directory: a descriptor, or AT_FDCWD. */
void metrics_file_remove(int directory, const char *ring);
