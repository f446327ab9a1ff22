/* SPDX-License-Identifier: Apache-2.0 */
#include <stddef.h>
#include <string.h>

#include "counters.h"
#include "delivery_internal.h"
#include "memory.h"
#include "metrics_state.h"
#include "process.h"
#include "propagation.h"

enum {
    LOGS_BYTES = 512 * 1024,
    /* Of spans, where more wait than the usual batch takes: a collector that is far away answers
     * few requests a second. Below the 1 MiB that many proxies allow for a body. */
    GROWN_SPANS = 4096,
    GROWN_BYTES = 960 * 1024,
    CATCH_UP_BYTES_PER_S = 1024 * 1024 /* beside what is new, of each signal, by each process */
};

/* In delivery.memory. */
enum {
    HTTP_AT = DELIVERY_BATCH_BYTES,
    TELLING_AT = HTTP_AT + OTLP_HTTP_SCRATCH_BYTES,
    SPOOLS_AT = (TELLING_AT + sizeof(struct telling) + 63) / 64 * 64,
    ALIKE_AT = (SPOOLS_AT + SIGNAL_COUNT * sizeof(struct spool) + 63) / 64 * 64,
    LOGS_AT = (ALIKE_AT + sizeof(struct alike) + 63) / 64 * 64,
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
    delivery->alike = (struct alike *)(delivery->memory + ALIKE_AT);
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
        [SIGNAL_METRICS] = {0, COUNTER_METRICS_REJECTED, 0, COUNTER_METRICS_FAILED,
            COUNTER_METRICS_FAILED},
        [SIGNAL_TRACES] = {COUNTER_SPANS_EXPORTED, COUNTER_SPANS_REJECTED, COUNTER_SPANS_SPOOLED,
            COUNTER_SPANS_DROPPED_EXPORT, COUNTER_SPANS_DROPPED_SPOOL},
        [SIGNAL_LOGS] = {COUNTER_LOGS_EXPORTED, COUNTER_LOGS_REJECTED, COUNTER_LOGS_SPOOLED,
            COUNTER_LOGS_DROPPED_EXPORT, COUNTER_LOGS_DROPPED_SPOOL}};
    if (counters_of[signal][fate] != 0)
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

void delivery_settle(struct delivery *delivery, enum signal signal, enum outcome outcome,
    uint32_t items, int64_t rejected)
{
    if (outcome == OUTCOME_DELIVERED) {
        delivery_accepted(delivery, signal, items, rejected);
        delivery_look_again(delivery, signal);
    } else if (outcome != OUTCOME_SPOOLED) {
        delivery_count(
            delivery, signal, delivery->is_resending ? FATE_DROPPED_SPOOL : FATE_DROPPED, items);
    } else if (!delivery->is_resending) { /* else they have been counted */
        delivery_count(delivery, signal, FATE_SPOOLED, items);
    }
}

void delivery_send(struct delivery *delivery, enum signal signal, bool may_wait)
{
    struct delivery_way *way = &delivery->ways[signal];
    struct otlp_batch before = way->batch;
    int64_t rejected = 0;
    if (before.spans == 0 || (may_wait && way->waits && delivery_is_away(delivery, signal)))
        return;
    enum outcome outcome = delivery_place(delivery, signal, !may_wait, &rejected);
    way->waits = outcome == OUTCOME_LATE && may_wait;
    if (way->waits) {
        way->batch = before;
        return;
    }
    if (way->batch.start != before.start && !delivery->keeps) /* it is a request */
        delivery_copy(delivery, signal);
    if (outcome == OUTCOME_LATE && delivery->keeps) {
        delivery->is_stuck = true;
    } else if (outcome == OUTCOME_TOO_LARGE && before.spans > 1) {
        way->batch = before;
        delivery_split(delivery, signal);
    } else {
        delivery_settle(delivery, signal, outcome, before.spans, rejected);
    }
    begin_batch(delivery, signal);
}

static bool has_enough(const struct delivery *delivery, const struct otlp_batch *spans)
{
    if (spans->spans < delivery->config->batch_spans_max)
        return false;
    return !delivery->is_grown || spans->spans >= GROWN_SPANS ||
           spans->limit - spans->start >= GROWN_BYTES;
}

static bool is_full(const struct delivery *delivery)
{
    const struct otlp_batch *spans = &delivery->ways[SIGNAL_TRACES].batch;
    size_t room = (size_t)(spans->start - spans->base);
    return (delivery->ways[SIGNAL_LOGS].batch.spans != 0 && delivery_logs_are_due(delivery)) ||
           has_enough(delivery, spans) ||
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
static void offer(struct delivery *delivery, const struct record *record, const struct span *span)
{
    if (tail_offer(delivery->tail, record, span))
        while ((record = tail_take(delivery->tail)) != NULL)
            add_span(delivery, telling_span(delivery->telling, record, delivery->config));
}

/* What becomes of a record besides being counted. */
enum way { WAY_OUT, WAY_TAIL, WAY_NONE };

static enum way way_of(const struct delivery *delivery, uint32_t flags)
{
    if (delivery->config->signals[SIGNAL_TRACES].destination == DESTINATION_NONE)
        return WAY_NONE;
    return flags & FLAG_SAMPLED ? WAY_OUT : delivery->tail != NULL ? WAY_TAIL : WAY_NONE;
}

/* Of one that is like others. False: no room. */
static bool deliver_alike(
    struct delivery *delivery, const struct record *record, const struct alike_entry *alike)
{
    struct span *span = &delivery->telling->span; /* what is counted of it */
    if (alike->span_bytes == 0)
        counter_add(COUNTER_SPANS_MEASURED, 1);
    else if (!alike_add(alike, record, &delivery->ways[SIGNAL_TRACES].batch))
        return false;
    if (delivery->metrics == NULL)
        return true;
    span->flags = record->flags;
    span->start_ns = record->start_ns;
    span->end_ns = record->end_ns;
    memcpy(span->trace_id, record->trace_id, sizeof(span->trace_id));
    memcpy(span->span_id, record->span_id, sizeof(span->span_id));
    metrics_count(delivery->metrics, &alike->measured, span);
    return true;
}

static void deliver_span(
    struct delivery *delivery, const struct record *record, struct alike_entry *alike)
{
    struct otlp_batch *batch = &delivery->ways[SIGNAL_TRACES].batch;
    struct measured measured = {0};
    const uint8_t *end = batch->start;
    const struct span *span = telling_span(delivery->telling, record, delivery->config);
    if (span != NULL && delivery->metrics != NULL) {
        measured = metrics_find(delivery->metrics, span);
        metrics_count(delivery->metrics, &measured, span);
    }
    enum way way = span == NULL ? WAY_OUT : way_of(delivery, span->flags);
    if (way == WAY_TAIL) {
        offer(delivery, record, span);
        return;
    }
    if (way == WAY_NONE)
        counter_add(COUNTER_SPANS_MEASURED, 1);
    else if (span == NULL || !otlp_batch_add(batch, span, delivery->config)) {
        counter_add(COUNTER_SPANS_DROPPED_INVALID, 1);
        return;
    }
    if (alike != NULL && alike->record_bytes == 0)
        alike_keep(alike, (const struct record *)delivery->telling->record, batch->start,
            (size_t)(end - batch->start), &measured);
}

static void deliver(struct delivery *delivery, const struct record *record)
{
    if (record->kind == RECORD_LOG) {
        delivery_add_log(delivery, record);
        return;
    }
    bool waits = way_of(delivery, record->flags) == WAY_TAIL;
    struct alike_entry *alike = waits ? NULL : alike_find(delivery->alike, record);
    bool is_done =
        alike != NULL && alike_is_kept(alike, record) && deliver_alike(delivery, record, alike);
    if (!is_done)
        deliver_span(delivery, record, alike);
}

/* Rings in the order in which they are drained, up to a head that was read before. Those from
 * `first` on have something in the batch, so their room is given back when it is out. */
struct draining {
    struct part {
        struct ring *ring;
        uint64_t cursor, head;
    } parts[RINGS_MAX + 1];
    uint32_t count, first;
};

static void save_metrics(struct delivery *delivery, bool always)
{
    metrics_state_save(delivery->metrics, always, delivery->memory, DELIVERY_BATCH_BYTES);
}

/* For who recovers the rings: the batch is all that is in them so far. But for lines, which would
 * go a way of their own. */
static void send_spans(struct delivery *delivery, const struct draining *draining, uint32_t last)
{
    bool is_asked = delivery->intent != NULL && !delivery->config->records_logs;
    for (uint32_t i = draining->first; i <= last && is_asked; i++)
        draining->parts[i].ring->storing = draining->parts[i].cursor;
    delivery->store.intent = is_asked ? delivery->intent : NULL;
    delivery_send(delivery, SIGNAL_TRACES, false);
    delivery->store.intent = NULL;
}

/* False: what is in the batch stays in the rings. */
static bool settle(struct delivery *delivery, struct draining *draining, uint32_t last)
{
    bool may_grow = delivery->ways[SIGNAL_TRACES].batch.spans >= delivery->config->batch_spans_max;
    send_spans(delivery, draining, last);
    delivery->is_grown = may_grow && delivery_may_grow(delivery);
    if (!delivery->is_stuck)
        delivery_send(delivery, SIGNAL_LOGS, delivery_may_hold_logs(delivery));
    if (delivery->is_stuck)
        return false;
    if (delivery->metrics != NULL) {
        for (uint32_t i = 0; i < draining->count; i++)
            metrics_state_reaches(draining->parts[i].ring, draining->parts[i].cursor);
        save_metrics(delivery, false);
    }
    for (uint32_t i = draining->first; i <= last; i++)
        ring_consume(draining->parts[i].ring, draining->parts[i].cursor);
    if (delivery->intent != NULL)
        delivery->intent->is_set = 0;
    draining->first = last;
    return true;
}

static bool drain_part(struct delivery *delivery, struct draining *draining, uint32_t index)
{
    struct part *part = &draining->parts[index];
    const struct record *record;
    while ((record = ring_next(part->ring, &part->cursor, part->head)) != NULL) {
        deliver(delivery, record);
        if (is_full(delivery) && !settle(delivery, draining, index))
            return false;
    }
    return true;
}

static void add_parts(
    struct draining *draining, struct ring *const *rings, uint32_t count, bool is_private)
{
    for (uint32_t i = 0; i < count; i++)
        if (rings[i] != NULL && (rings[i]->is_private != 0) == is_private)
            draining->parts[draining->count++] =
                (struct part){rings[i], ring_cursor(rings[i]), ring_head(rings[i])};
}

void delivery_drain(struct delivery *delivery, struct ring *const *rings, uint32_t count,
    const uint8_t *resource, uint32_t resource_bytes)
{
    struct draining draining = {.count = 0};
    delivery_begin_logs(delivery, resource);
    delivery->resource = resource;
    delivery->resource_bytes = resource_bytes;
    begin_batch(delivery, SIGNAL_TRACES);
    add_parts(&draining, rings, count, true);
    uint32_t private = draining.count;
    add_parts(&draining, rings, count, false);
    /* What a thread wrote into a private ring before the heads of these is all there now. */
    for (uint32_t i = 0; i < private; i++)
        draining.parts[i].head = ring_head(draining.parts[i].ring);
    for (uint32_t i = 0; i < draining.count; i++)
        if (!drain_part(delivery, &draining, i))
            return;
    if (draining.count != 0)
        settle(delivery, &draining, draining.count - 1);
}

/* ---- metrics ---- */

static bool send_part(struct delivery *delivery, const struct metrics_part *part)
{
    struct otlp_batch *batch = &delivery->ways[SIGNAL_METRICS].batch;
    int64_t rejected = 0;
    if (batch->spans == 0)
        return true;
    const uint8_t *start = batch->start;
    enum outcome outcome =
        delivery_place(delivery, SIGNAL_METRICS, delivery_is_leaving(delivery), &rejected);
    if (batch->start != start && !delivery->keeps) /* it is a request */
        delivery_copy(delivery, SIGNAL_METRICS);
    if (outcome != OUTCOME_DELIVERED && outcome != OUTCOME_SPOOLED) {
        counter_add(COUNTER_METRICS_FAILED, 1);
        if (delivery->metrics->ended_ns != 0 && outcome != OUTCOME_LATE) /* there is no next one */
            delivery->ways[SIGNAL_METRICS].fates[FATE_DROPPED] += batch->spans;
        return false;
    }
    if (outcome == OUTCOME_DELIVERED)
        delivery_look_again(delivery, SIGNAL_METRICS);
    delivery_count(delivery, SIGNAL_METRICS,
        outcome == OUTCOME_DELIVERED ? FATE_EXPORTED : FATE_SPOOLED, batch->spans);
    if (rejected > 0)
        counter_add(COUNTER_METRICS_REJECTED, (uint64_t)rejected);
    metrics_sent(delivery->metrics, part);
    if (part->has_numbers && delivery->metrics->ended_ns == 0)
        rings_counters_sent(part->counters);
    return true;
}

/* All that was counted has left the rings. */
static void save_sent(struct delivery *delivery)
{
    for (uint32_t i = 0; i < rings_count(); i++)
        if (rings_at(i) != NULL)
            metrics_state_reaches(rings_at(i), ring_cursor(rings_at(i)));
    save_metrics(delivery, true);
}

void delivery_send_metrics(
    struct delivery *delivery, const uint8_t *resource, uint32_t resource_bytes)
{
    struct metrics *metrics = delivery->metrics;
    uint64_t now_ns = process_monotonic_ns() + process_clock_offset_ns();
    struct metrics_part part = {.now_ns = metrics->ended_ns != 0 ? metrics->ended_ns : now_ns};
    bool is_sent = true;
    delivery->resource = resource;
    delivery->resource_bytes = resource_bytes;
    begin_batch(delivery, SIGNAL_METRICS);
    while (metrics_write(metrics, &delivery->ways[SIGNAL_METRICS].batch, &part)) {
        is_sent = send_part(delivery, &part) && is_sent;
        save_sent(delivery);
        begin_batch(delivery, SIGNAL_METRICS);
    }
    metrics_done(metrics, is_sent ? part.now_ns : 0);
    save_sent(delivery);
}
