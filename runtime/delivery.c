/* SPDX-License-Identifier: Apache-2.0 */
#include <stddef.h>
#include <string.h>

#include "counters.h"
#include "delivery_internal.h"
#include "memory.h"
#include "process.h"
#include "propagation.h"

enum {
    LOGS_BYTES = 512 * 1024,
    CATCH_UP_BYTES_PER_S = 1024 * 1024 /* beside what is new, of each signal, by each process */
};

/* In delivery.memory. */
enum {
    HTTP_AT = DELIVERY_BATCH_BYTES,
    TELLING_AT = HTTP_AT + OTLP_HTTP_SCRATCH_BYTES,
    SPOOLS_AT = (TELLING_AT + sizeof(struct telling) + 63) / 64 * 64,
    LOGS_AT = (SPOOLS_AT + SIGNAL_COUNT * sizeof(struct spool) + 63) / 64 * 64,
    MEMORY_BYTES = LOGS_AT + LOGS_BYTES
};
_Static_assert(TELLING_AT % _Alignof(struct telling) == 0, "what is told lies aligned");

/* Metrics are written into the memory of spans, which have left by then. */
static void begin_batch(struct delivery *delivery, enum signal signal)
{
    bool is_logs = signal == SIGNAL_LOGS;
    otlp_batch_reset(&delivery->ways[signal].batch, delivery->memory + (is_logs ? LOGS_AT : 0),
        is_logs ? LOGS_BYTES : DELIVERY_BATCH_BYTES);
}

static void open_way(struct delivery *delivery, enum signal signal)
{
    struct delivery_way *way = &delivery->ways[signal];
    otlp_http_init(&way->http, delivery->memory + HTTP_AT, OTLP_HTTP_SCRATCH_BYTES);
    way->spool = (struct spool *)(delivery->memory + SPOOLS_AT) + signal;
    spool_open(way->spool, delivery->config, signal);
    begin_batch(delivery, signal);
}

bool delivery_open(struct delivery *delivery, const struct config *config)
{
    memset(delivery, 0, offsetof(struct delivery, stop_ns));
    delivery->memory = memory_map(MEMORY_BYTES);
    if (delivery->memory == NULL)
        return false;
    delivery->config = config;
    delivery->telling = (struct telling *)(delivery->memory + TELLING_AT);
    for (unsigned i = 0; i < SIGNAL_COUNT; i++)
        open_way(delivery, (enum signal)i);
    store_writer_init(&delivery->store, config);
    delivery->catch_up_bytes_per_s = CATCH_UP_BYTES_PER_S;
    return true;
}

void delivery_close(struct delivery *delivery)
{
    delivery_rest(delivery);
    for (unsigned i = 0; i < SIGNAL_COUNT; i++)
        spool_close(delivery->ways[i].spool);
    memory_unmap(delivery->memory, MEMORY_BYTES);
}

void delivery_rest(struct delivery *delivery)
{
    for (unsigned i = 0; i < SIGNAL_COUNT; i++)
        otlp_http_close(&delivery->ways[i].http);
}

void delivery_count(
    struct delivery *delivery, enum signal signal, enum delivery_fate fate, uint32_t items)
{
    static const uint8_t counters_of[SIGNAL_COUNT][FATE_COUNT] = {
        [SIGNAL_TRACES] = {COUNTER_SPANS_EXPORTED, COUNTER_SPANS_REJECTED, COUNTER_SPANS_SPOOLED,
            COUNTER_SPANS_DROPPED_EXPORT, COUNTER_SPANS_DROPPED_SPOOL},
        [SIGNAL_LOGS] = {COUNTER_LOGS_EXPORTED, COUNTER_LOGS_REJECTED, COUNTER_LOGS_SPOOLED,
            COUNTER_LOGS_DROPPED_EXPORT, COUNTER_LOGS_DROPPED_SPOOL}};
    counter_add((enum counter)counters_of[signal][fate], items);
    delivery->ways[signal].fates[fate] += items;
}

void delivery_accepted(
    struct delivery *delivery, enum signal signal, uint32_t items, int64_t rejected)
{
    uint32_t lost = rejected > 0 ? (uint32_t)earlier((uint64_t)rejected, items) : 0;
    delivery_count(delivery, signal, FATE_REJECTED, lost);
    delivery_count(delivery, signal, FATE_EXPORTED, items - lost);
}

void delivery_send(struct delivery *delivery, enum signal signal, bool may_wait)
{
    struct delivery_way *way = &delivery->ways[signal];
    struct otlp_batch before = way->batch;
    int64_t rejected = 0;
    if (before.spans == 0 || (may_wait && way->waits && delivery_is_away(delivery, signal)))
        return;
    switch (delivery_place(delivery, signal, !may_wait, &rejected)) {
    case OUTCOME_DELIVERED:
        delivery_accepted(delivery, signal, before.spans, rejected);
        delivery_look_again(delivery, signal);
        break;
    case OUTCOME_SPOOLED:
        delivery_count(delivery, signal, FATE_SPOOLED, before.spans);
        break;
    case OUTCOME_LATE:
        if (may_wait) {
            way->waits = true;
            way->batch = before;
            return;
        }
        delivery->is_stuck = delivery->keeps;
        if (delivery->is_stuck)
            break;
        /* fallthrough */
    case OUTCOME_REFUSED:
        delivery_count(delivery, signal, FATE_DROPPED, before.spans);
        break;
    }
    way->waits = false;
    begin_batch(delivery, signal);
}

static bool is_full(const struct delivery *delivery)
{
    const struct otlp_batch *spans = &delivery->ways[SIGNAL_TRACES].batch;
    size_t room = (size_t)(spans->start - spans->base);
    return (delivery->ways[SIGNAL_LOGS].batch.spans != 0 && delivery_logs_are_due(delivery)) ||
           spans->spans >= delivery->config->batch_spans_max ||
           room < TELLING_SPAN_BYTES_MAX + delivery->resource_bytes + OTLP_ENVELOPE_BYTES_MAX;
}

static void add_span(struct delivery *delivery, const struct span *span)
{
    if (span == NULL ||
        !otlp_batch_add(&delivery->ways[SIGNAL_TRACES].batch, span, delivery->config))
        counter_add(COUNTER_SPANS_DROPPED_INVALID, 1);
    if (is_full(delivery))
        delivery_send(delivery, SIGNAL_TRACES, false);
}

/* Not sampled: it may be kept nevertheless, or something that waited for it. */
static void deliver_unsampled(
    struct delivery *delivery, const struct record *record, const struct span *span)
{
    if (delivery->tail == NULL)
        counter_add(COUNTER_SPANS_MEASURED, 1);
    else if (tail_offer(delivery->tail, record, span))
        while ((record = tail_take(delivery->tail)) != NULL)
            add_span(delivery, telling_span(delivery->telling, record, delivery->config));
}

static void deliver(struct delivery *delivery, const struct record *record)
{
    const struct config *config = delivery->config;
    if (record->kind == RECORD_LOG) {
        delivery_add_log(delivery, record);
        return;
    }
    const struct span *span = telling_span(delivery->telling, record, config);
    if (span != NULL && delivery->metrics != NULL)
        metrics_add(delivery->metrics, span);
    if (span != NULL && config->signals[SIGNAL_TRACES].destination == DESTINATION_NONE)
        counter_add(COUNTER_SPANS_MEASURED, 1);
    else if (span != NULL && !(span->flags & FLAG_SAMPLED))
        deliver_unsampled(delivery, record, span);
    else if (span == NULL || !otlp_batch_add(&delivery->ways[SIGNAL_TRACES].batch, span, config))
        counter_add(COUNTER_SPANS_DROPPED_INVALID, 1);
}

static bool send_and_consume(struct delivery *delivery, struct ring *ring, uint64_t cursor)
{
    delivery_send(delivery, SIGNAL_TRACES, false);
    if (!delivery->is_stuck)
        delivery_send(delivery, SIGNAL_LOGS, delivery_may_hold_logs(delivery));
    if (!delivery->is_stuck)
        ring_consume(ring, cursor);
    return !delivery->is_stuck;
}

/* Batches never mix rings, so that a ring's room is given back exactly when its own spans are out.
 */
static void drain_ring(struct delivery *delivery, struct ring *ring, uint64_t head)
{
    uint64_t cursor = ring_cursor(ring);
    const struct record *record;
    while ((record = ring_next(ring, &cursor, head)) != NULL) {
        deliver(delivery, record);
        if (is_full(delivery) && !send_and_consume(delivery, ring, cursor))
            return;
    }
    send_and_consume(delivery, ring, cursor);
}

void delivery_drain(struct delivery *delivery, struct ring *const *rings, uint32_t count,
    const uint8_t *resource, uint32_t resource_bytes)
{
    delivery_begin_logs(delivery, resource);
    delivery->resource = resource;
    delivery->resource_bytes = resource_bytes;
    begin_batch(delivery, SIGNAL_TRACES);
    uint64_t heads[RINGS_MAX + 1];
    for (uint32_t i = 0; i < count; i++)
        heads[i] = rings[i] == NULL || rings[i]->is_private ? 0 : ring_head(rings[i]);
    /* What a thread wrote into a private ring before these is all there now. */
    for (uint32_t i = 0; i < count && !delivery->is_stuck; i++)
        if (rings[i] != NULL && rings[i]->is_private)
            drain_ring(delivery, rings[i], ring_head(rings[i]));
    for (uint32_t i = 0; i < count && !delivery->is_stuck; i++)
        if (rings[i] != NULL && !rings[i]->is_private)
            drain_ring(delivery, rings[i], heads[i]);
}

/* ---- metrics ---- */

static bool send_part(struct delivery *delivery, const struct metrics_part *part)
{
    struct otlp_batch *batch = &delivery->ways[SIGNAL_METRICS].batch;
    int64_t rejected = 0;
    if (batch->spans == 0)
        return true;
    if (!otlp_batch_finish(batch, delivery->resource, delivery->resource_bytes) ||
        delivery_post(delivery, SIGNAL_METRICS, delivery_is_leaving(delivery), &rejected) !=
            OUTCOME_DELIVERED) {
        counter_add(COUNTER_METRICS_FAILED, 1);
        return false;
    }
    if (rejected > 0)
        counter_add(COUNTER_METRICS_REJECTED, (uint64_t)rejected);
    metrics_sent(delivery->metrics, part);
    return true;
}

void delivery_send_metrics(
    struct delivery *delivery, const uint8_t *resource, uint32_t resource_bytes)
{
    struct metrics_part part = {.now_ns = process_monotonic_ns() + process_clock_offset_ns()};
    bool is_sent = true;
    delivery->resource = resource;
    delivery->resource_bytes = resource_bytes;
    begin_batch(delivery, SIGNAL_METRICS);
    while (metrics_write(delivery->metrics, &delivery->ways[SIGNAL_METRICS].batch, &part)) {
        is_sent = send_part(delivery, &part) && is_sent;
        begin_batch(delivery, SIGNAL_METRICS);
    }
    metrics_done(delivery->metrics, is_sent ? part.now_ns : 0);
}
