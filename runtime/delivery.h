/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From rings to where the configuration says: batches of OTLP to a collector, with retries, or to
 * the local store. Used by the exporter thread and by whoever recovers a dead process's rings;
 * one thread at a time per object. All memory is mapped once, by delivery_open.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "config.h"
#include "metrics.h"
#include "otlp.h"
#include "otlp_http.h"
#include "ring.h"
#include "store.h"
#include "tail.h"
#include "telling.h"

struct delivery {
    const struct config *config;
    struct otlp_batch batch;
    uint8_t *memory; /* the batch, then the transport's scratch, then telling */
    struct telling *telling;
    struct otlp_http http;
    struct otlp_http metrics_http; /* where metrics go to another server; the same scratch memory */
    struct metrics *metrics;       /* of the process that delivers, set by it; NULL: none */
    struct tail *tail;             /* the same of what is kept though not sampled */
    struct store_writer store;
    const uint8_t *resource;
    uint32_t resource_bytes;
    uint64_t stop_ns;   /* nonzero: give up at this monotonic time (the host is leaving) */
    uint32_t interrupt; /* futex: bumped to cut a back-off short */
    uint64_t delivered; /* spans, since open */
    uint64_t dropped;
};

bool delivery_open(struct delivery *delivery, const struct config *config);
void delivery_close(struct delivery *delivery);

/* Delivers everything in these rings, oldest first within each ring. What cannot be delivered in
 * the time that OTLP allows is dropped and counted. Metrics are told of all of it. resource: of the
 * process that wrote them. */
void delivery_drain(struct delivery *delivery, struct ring *const *rings, uint32_t count,
    const uint8_t *resource, uint32_t resource_bytes);

/* Sends the metrics of the process. Tried once, since nothing is lost that fails: it goes with the
 * next request; with repetitions if the host is leaving. */
void delivery_send_metrics(
    struct delivery *delivery, const uint8_t *resource, uint32_t resource_bytes);

/* Gives up the connections until the next drain. */
void delivery_rest(struct delivery *delivery);
