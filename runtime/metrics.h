/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Durations of all operations, sampled or not, as OTLP histograms, and how many messages they were
 * about; and with them the library's own counters and figures of the process (OpenTelemetry metrics
 * data model 1.60; opentelemetry-proto 1.11: ExportMetricsServiceRequest).
 *
 * The exporter thread alone adds and sends. Memory is mapped when the first operation is added: at
 * most SERIES_MAX series, and TELLS_APART_MAX of one metric, after which operations of a new
 * combination of attributes count in one series with otel.metric.overflow (the specification's
 * cardinality limit). What a request did not bring to the collector stays, and goes with the next.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "config.h"
#include "counters.h"
#include "otlp.h"
#include "span.h"

enum measure {
#define HISTOGRAM(id, name, description, bounds) MEASURE_##id,
#define SUM(id, name, description) MEASURE_##id,
#define DIMENSION(attribute, histograms)
#include "metrics.def"
#undef HISTOGRAM
#undef SUM
#undef DIMENSION
    MEASURE_COUNT
};

enum {
    SERIES_MAX = 4000,
    TELLS_APART_MAX = 2000,
    BOUNDS_MAX = 15,
    SERIES_KEY_BYTES_MAX = 1024 /* values that are longer together count as overflow */
};

struct metrics {
    const struct config *config;
    bool is_delta, is_exponential;
    uint64_t ended_ns;        /* of a dead process, whose figures are gone; 0: it is this one */
    const uint64_t *counters; /* a dead process's; NULL: it is this one */
    struct metrics_memory *memory; /* NULL: nothing added yet */
    uint64_t begun_ns; /* since the Unix epoch: what is cumulative counts from then on */
    uint64_t sent_ns;  /* of delta: from then on; 0: never sent */
    uint64_t due_ns;   /* monotonic; 0: nothing is */
    bool is_changed;   /* since it was sent */
    bool has_fetched;  /* messages of Kafka that it may be told again later */
    uint64_t added;    /* operations, ever */
    uint64_t filed;    /* as many are in the file for others, see metrics_file.h */
    uint64_t counters_sent[COUNTER_COUNT];
    int state; /* metrics_state.h: its descriptor + 1; 0: none */
    uint64_t state_bytes, state_whole_bytes, state_added;
};

void metrics_init(struct metrics *metrics, const struct config *config);
/* Its memory. False: there is none. */
bool metrics_begin(struct metrics *metrics);
void metrics_end(struct metrics *metrics);

/* Where an operation counts; it stays so for all with its attributes. */
struct measured {
    bool is_measured;        /* there is a metric of its kind */
    struct series *duration; /* NULL: there was no memory */
    struct series *messages; /* NULL: it is about none */
    uint64_t message_count;
};

/* A finished operation: where it counts, and counting it, for which its ids, flags and times
 * suffice. */
struct measured metrics_find(struct metrics *metrics, const struct span *span);
void metrics_count(
    struct metrics *metrics, const struct measured *measured, const struct span *span);

/* What of a request's metrics stands in a batch, for metrics_sent. */
struct metrics_part {
    uint64_t now_ns;     /* since the Unix epoch */
    bool has_numbers;    /* all that is no histogram */
    uint32_t first, end; /* series, in the order in which they were begun */
    uint64_t counters[COUNTER_COUNT];
};

/* Fills the batch, which is reset, with the next part of what there is to send; metrics_part all
 * zero but for now_ns: the first one. False: nothing is left. */
bool metrics_write(
    const struct metrics *metrics, struct otlp_batch *batch, struct metrics_part *part);
/* The collector has it. */
void metrics_sent(struct metrics *metrics, const struct metrics_part *part);
/* All parts were tried; now_ns of them, if it has them all, else 0. The next are due later. */
void metrics_done(struct metrics *metrics, uint64_t now_ns);
