/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From rings to where the configuration says: batches of OTLP to a collector, with retries, or to
 * the local store. A collector that cannot take a batch now is away: the batch is spooled
 * (spool.h), those after it too, until it is asked again, after the time that it named or a pause
 * that grows. Used by the exporter thread and by whoever recovers a dead process's rings; one
 * thread at a time per object. All memory is mapped once, by delivery_open.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "config.h"
#include "metrics.h"
#include "otlp.h"
#include "otlp_http.h"
#include "ring.h"
#include "spool.h"
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
    struct spool *spool;
    uint64_t away_until_ns; /* monotonic: not to be asked before; 0: the collector is not away */
    uint32_t away_pause_ms; /* the last one */
    uint64_t catch_up_ns;   /* when the spool is to be looked at; UINT64_MAX: it holds nothing */
    uint64_t looked_ns;     /* when it was */
    bool hurries;           /* what is in it is sent without pauses: by hand */
    bool keeps;             /* what cannot be delivered now stays in its ring, by hand too; then */
    bool is_stuck;          /* nothing more is drained */
    const uint8_t *resource;
    uint32_t resource_bytes;
    uint64_t stop_ns;   /* nonzero: give up at this monotonic time (the host is leaving) */
    uint32_t interrupt; /* futex: bumped to cut a back-off short */
    uint64_t delivered; /* spans, since open; from the spool as well */
    uint64_t spooled;
    uint64_t dropped;
};

bool delivery_open(struct delivery *delivery, const struct config *config);
void delivery_close(struct delivery *delivery);

/* Delivers everything in these rings, oldest first within each ring. What cannot be delivered is
 * spooled; where there is no spool, or no room in it, it is tried again for the time that OTLP
 * allows, then dropped and counted. Metrics are told of all of it. resource: of the
 * process that wrote them. */
void delivery_drain(struct delivery *delivery, struct ring *const *rings, uint32_t count,
    const uint8_t *resource, uint32_t resource_bytes);

/* The host is leaving: everything is to be done until then. A part of the time is kept for what the
 * collector does not take. Any thread; touches nothing that delivery_close takes away. */
void delivery_stop_by(struct delivery *delivery, const struct config *config, uint64_t deadline_ns);

/* If it is time: sends the oldest request of the spool. Answers when the next one is due;
 * UINT64_MAX: there is none. At most CATCH_UP_BYTES_PER_S. */
uint64_t delivery_catch_up(struct delivery *delivery);

/* Sends the metrics of the process. Tried once, since nothing is lost that fails: it goes with the
 * next request; with repetitions if the host is leaving. */
void delivery_send_metrics(
    struct delivery *delivery, const uint8_t *resource, uint32_t resource_bytes);

/* Gives up the connections until the next drain. */
void delivery_rest(struct delivery *delivery);
