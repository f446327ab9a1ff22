/* SPDX-License-Identifier: Apache-2.0 */
#include "delivery.h"

#include <string.h>

#include "counters.h"
#include "memory.h"
#include "process.h"
#include "propagation.h"
#include "url.h"
#include "wait.h"

enum { BATCH_BYTES = 2 * 1024 * 1024, BACKOFF_FIRST_MS = 500, BACKOFF_MAX_MS = 5000 };

/* In delivery.memory. */
enum {
    HTTP_AT = BATCH_BYTES,
    TELLING_AT = HTTP_AT + OTLP_HTTP_SCRATCH_BYTES,
    MEMORY_BYTES = TELLING_AT + sizeof(struct telling)
};
_Static_assert(TELLING_AT % _Alignof(struct telling) == 0, "what is told lies aligned");

bool delivery_open(struct delivery *delivery, const struct config *config)
{
    memset(delivery, 0, sizeof(*delivery));
    delivery->memory = memory_map(MEMORY_BYTES);
    if (delivery->memory == NULL)
        return false;
    delivery->config = config;
    delivery->telling = (struct telling *)(delivery->memory + TELLING_AT);
    otlp_http_init(&delivery->http, delivery->memory + HTTP_AT, OTLP_HTTP_SCRATCH_BYTES);
    otlp_http_init(&delivery->metrics_http, delivery->memory + HTTP_AT, OTLP_HTTP_SCRATCH_BYTES);
    store_writer_init(&delivery->store, config);
    return true;
}

void delivery_close(struct delivery *delivery)
{
    delivery_rest(delivery);
    memory_unmap(delivery->memory, MEMORY_BYTES);
}

void delivery_rest(struct delivery *delivery)
{
    otlp_http_close(&delivery->http);
    otlp_http_close(&delivery->metrics_http);
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t deadline_of(const struct delivery *delivery, uint32_t timeout_ms)
{
    uint64_t stop = __atomic_load_n(&delivery->stop_ns, __ATOMIC_RELAXED);
    uint64_t deadline = UINT64_MAX;
    if (timeout_ms != 0)
        deadline = process_monotonic_ns() + timeout_ms * 1000000ull;
    return stop != 0 ? earlier(stop, deadline) : deadline;
}

/* Jitter without a generator: the clock's low digits spread processes that failed together. */
static uint32_t with_jitter(uint32_t ms)
{
    return ms * 3 / 4 + (uint32_t)(process_monotonic_ns() / 1000 % (ms / 2 + 1));
}

/* Sleeps before the next try. False: the time is up. */
static bool back_off(struct delivery *delivery, uint32_t ms, uint64_t deadline)
{
    uint32_t seen = __atomic_load_n(&delivery->interrupt, __ATOMIC_ACQUIRE);
    uint64_t until = process_monotonic_ns() + ms * 1000000ull;
    uint64_t stop = __atomic_load_n(&delivery->stop_ns, __ATOMIC_ACQUIRE);
    if (stop != 0)
        deadline = earlier(stop, deadline);
    if (until >= deadline)
        return false;
    wait_until(&delivery->interrupt, seen, until);
    return true;
}

/* One request, again and again if it may be repeated. *rejected: by a partial success. */
static bool post(struct delivery *delivery, struct otlp_http *http, enum signal signal,
    bool may_repeat, int64_t *rejected)
{
    struct otlp_target target = otlp_target_of(delivery->config, signal);
    const struct otlp_batch *batch = &delivery->batch;
    uint64_t deadline = deadline_of(delivery, delivery->config->signals[signal].timeout_ms);
    uint32_t pause_ms = BACKOFF_FIRST_MS;
    struct otlp_answer answer;
    for (;;) {
        otlp_http_post(http, &target, batch->start, (size_t)(batch->limit - batch->start), deadline,
            &delivery->stop_ns, &answer);
        if (answer.outcome != OTLP_RETRY || !may_repeat)
            break;
        uint32_t wanted =
            answer.retry_after_ms != 0 ? answer.retry_after_ms : with_jitter(pause_ms);
        if (!back_off(delivery, wanted, deadline))
            break;
        pause_ms = pause_ms * 2 > BACKOFF_MAX_MS ? BACKOFF_MAX_MS : pause_ms * 2;
    }
    *rejected = answer.rejected;
    return answer.outcome == OTLP_ACCEPTED;
}

static bool post_spans(struct delivery *delivery)
{
    int64_t rejected;
    if (!post(delivery, &delivery->http, SIGNAL_TRACES, true, &rejected))
        return false;
    if (rejected > 0) {
        uint64_t spans = earlier((uint64_t)rejected, delivery->batch.spans);
        counter_add(COUNTER_SPANS_REJECTED, spans);
        delivery->batch.spans -= (uint32_t)spans;
    }
    return true;
}

static bool place(struct delivery *delivery)
{
    struct otlp_batch *batch = &delivery->batch;
    if (!otlp_batch_finish(batch, delivery->resource, delivery->resource_bytes))
        return false;
    int error = 0;
    switch (delivery->config->signals[SIGNAL_TRACES].destination) {
    case DESTINATION_OTLP:
        return post_spans(delivery);
    case DESTINATION_STORE:
        return store_append(
            &delivery->store, batch->start, (size_t)(batch->limit - batch->start), &error);
    case DESTINATION_NONE:
        break;
    }
    return true;
}

static void begin_batch(struct delivery *delivery)
{
    otlp_batch_reset(&delivery->batch, delivery->memory, BATCH_BYTES);
}

static void send_batch(struct delivery *delivery)
{
    uint32_t spans = delivery->batch.spans;
    if (spans == 0)
        return;
    if (place(delivery)) {
        counter_add(COUNTER_SPANS_EXPORTED, delivery->batch.spans);
        delivery->delivered += delivery->batch.spans;
    } else {
        counter_add(COUNTER_SPANS_DROPPED_EXPORT, spans);
        delivery->dropped += spans;
    }
    begin_batch(delivery);
}

static bool is_full(const struct delivery *delivery)
{
    size_t room = (size_t)(delivery->batch.start - delivery->batch.base);
    return delivery->batch.spans >= delivery->config->batch_spans_max ||
           room < TELLING_SPAN_BYTES_MAX + delivery->resource_bytes + OTLP_ENVELOPE_BYTES_MAX;
}

static void add_span(struct delivery *delivery, const struct span *span)
{
    if (span == NULL || !otlp_batch_add(&delivery->batch, span, delivery->config))
        counter_add(COUNTER_SPANS_DROPPED_INVALID, 1);
    if (is_full(delivery))
        send_batch(delivery);
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
    const struct span *span = telling_span(delivery->telling, record, config);
    if (span != NULL && delivery->metrics != NULL)
        metrics_add(delivery->metrics, span);
    if (span != NULL && config->signals[SIGNAL_TRACES].destination == DESTINATION_NONE)
        counter_add(COUNTER_SPANS_MEASURED, 1);
    else if (span != NULL && !(span->flags & FLAG_SAMPLED))
        deliver_unsampled(delivery, record, span);
    else if (span == NULL || !otlp_batch_add(&delivery->batch, span, config))
        counter_add(COUNTER_SPANS_DROPPED_INVALID, 1);
}

/* Batches never mix rings, so that a ring's room is given back exactly when its own spans are out.
 */
static void drain_ring(struct delivery *delivery, struct ring *ring)
{
    uint64_t cursor = ring_cursor(ring);
    const struct record *record;
    while ((record = ring_next(ring, &cursor)) != NULL) {
        deliver(delivery, record);
        if (is_full(delivery)) {
            send_batch(delivery);
            ring_consume(ring, cursor);
        }
    }
    send_batch(delivery);
    ring_consume(ring, cursor);
}

void delivery_drain(struct delivery *delivery, struct ring *const *rings, uint32_t count,
    const uint8_t *resource, uint32_t resource_bytes)
{
    delivery->resource = resource;
    delivery->resource_bytes = resource_bytes;
    begin_batch(delivery);
    for (uint32_t i = 0; i < count; i++) {
        struct ring *ring = __atomic_load_n(&rings[i], __ATOMIC_ACQUIRE);
        if (ring != NULL)
            drain_ring(delivery, ring);
    }
}

/* One connection serves both signals if they go to one server. */
static struct otlp_http *http_of_metrics(struct delivery *delivery)
{
    const struct config *config = delivery->config;
    struct url one, other;
    bool is_same = url_parse(config->urls[SIGNAL_TRACES], &one) &&
                   url_parse(config->urls[SIGNAL_METRICS], &other) && one.scheme == other.scheme &&
                   one.scheme == URL_HTTP && slice_equal(one.authority, other.authority);
    return is_same ? &delivery->http : &delivery->metrics_http;
}

static bool send_part(
    struct delivery *delivery, struct otlp_http *http, const struct metrics_part *part)
{
    bool is_leaving = __atomic_load_n(&delivery->stop_ns, __ATOMIC_RELAXED) != 0;
    int64_t rejected = 0;
    if (delivery->batch.spans == 0)
        return true;
    if (!otlp_batch_finish(&delivery->batch, delivery->resource, delivery->resource_bytes) ||
        !post(delivery, http, SIGNAL_METRICS, is_leaving, &rejected)) {
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
    struct otlp_http *http = http_of_metrics(delivery);
    bool is_sent = true;
    delivery->resource = resource;
    delivery->resource_bytes = resource_bytes;
    begin_batch(delivery);
    while (metrics_write(delivery->metrics, &delivery->batch, &part)) {
        is_sent = send_part(delivery, http, &part) && is_sent;
        begin_batch(delivery);
    }
    metrics_done(delivery->metrics, is_sent ? part.now_ns : 0);
}
