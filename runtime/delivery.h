/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From rings to where the configuration says: batches of OTLP to a collector, with retries, or to
 * the local store. A collector that cannot take a batch now is away: the batch is spooled
 * (spool.h), those after it too, until it is asked again, after the time that it named or a pause
 * that grows. Spans and lines of logs go the same way, each its own. Of lines for which the spool
 * has no room half a megabyte waits in memory, so that spans need not wait for them; what has no
 * room there either is dropped. Used by the exporter thread and by whoever recovers a dead
 * process's rings; one thread at a time per object. All memory is mapped once, by delivery_open.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "alike.h"
#include "config.h"
#include "metrics.h"
#include "otlp.h"
#include "otlp_http.h"
#include "ring.h"
#include "spool.h"
#include "store.h"
#include "tail.h"
#include "telling.h"

/* A collector that could not take a request. */
struct delivery_away {
    uint64_t until_ns; /* monotonic: not to be asked before; 0: it is not away */
    uint32_t pause_ms; /* the last one */
};

/* What becomes of spans, lines and metrics. */
enum delivery_fate {
    FATE_EXPORTED, /* from the spool as well */
    FATE_REJECTED, /* by a partial success */
    FATE_SPOOLED,
    FATE_DROPPED,
    FATE_DROPPED_SPOOL, /* refused when sent from there */
    FATE_COUNT
};

/* The way of a signal. Of metrics nothing waits but in the spool: what a process could not send at
 * its end. */
struct delivery_way {
    struct otlp_batch batch;
    struct otlp_http http; /* all have the same scratch memory */
    struct spool *spool;
    struct delivery_away away;
    bool waits;           /* the batch, since neither the collector nor the spool takes it */
    bool is_barred;       /* the relay is of a user that the process no longer is */
    uint64_t catch_up_ns; /* when the spool is to be looked at; UINT64_MAX: it holds nothing */
    uint64_t looked_ns;   /* when it was */
    uint64_t fates[FATE_COUNT]; /* how many, since open */
};

struct delivery {
    const struct config *config;
    struct delivery_way ways[SIGNAL_COUNT];
    uint8_t *memory; /* a batch, then the transport's scratch, then telling */
    struct telling *telling;
    struct alike *alike;
    struct metrics *metrics; /* of the process that delivers, set by it; NULL: none */
    struct tail *tail;       /* the same of what is kept though not sampled */
    struct store_writer store;
    struct store_intent *intent;   /* of the rings that are drained; NULL: nobody would ask */
    uint64_t catch_up_bytes_per_s; /* UINT64_MAX: without pauses, by hand */
    bool holds_logs;    /* lines may wait for the next drain, which is of the same process */
    bool keeps;         /* what cannot be delivered now stays in its ring, by hand too; then */
    bool is_stuck;      /* nothing more is drained */
    bool is_grown;      /* a batch of spans, since one did not take what there was */
    bool was_too_large; /* a request, for the collector: no batch grows any more */
    bool is_resending;  /* parts of a request that was spooled */
    const uint8_t *resource;
    uint32_t resource_bytes;
    uint64_t stop_ns;   /* nonzero: give up at this monotonic time (the host is leaving) */
    uint32_t interrupt; /* futex: bumped to cut a back-off short */
};

/* All zero at first, but that its end may have been told already (delivery_stop_by). False: no
 * memory. */
bool delivery_open(struct delivery *delivery, const struct config *config);
void delivery_close(struct delivery *delivery);

/* Delivers everything in these rings, oldest first within each ring, and of a thread that moved
 * from a private ring to another what is in the private one first. What cannot be delivered is
 * spooled; where there is no spool, or no room in it, it is tried again for the time that OTLP
 * allows, then dropped and counted. Metrics are told of all of it. resource: of the
 * process that wrote them. */
void delivery_drain(struct delivery *delivery, struct ring *const *rings, uint32_t count,
    const uint8_t *resource, uint32_t resource_bytes);

/* The host is leaving: everything is to be done until then. A part of the time is kept for what the
 * collector does not take. Any thread; touches nothing that delivery_close takes away. */
void delivery_stop_by(struct delivery *delivery, const struct config *config, uint64_t deadline_ns);

/* If it is time: sends the oldest request of each signal's spool. Answers when the next one is due;
 * UINT64_MAX: there is none. */
uint64_t delivery_catch_up(struct delivery *delivery);

/* Sends the metrics of the process. Tried once, since nothing is lost that fails: it goes with the
 * next request; spooled, or without a spool repeated, if the host is leaving. */
void delivery_send_metrics(
    struct delivery *delivery, const uint8_t *resource, uint32_t resource_bytes);

/* Gives up the connections until the next drain. */
void delivery_rest(struct delivery *delivery);
