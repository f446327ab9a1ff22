/* SPDX-License-Identifier: Apache-2.0 */
#include "delivery.h"

#include <string.h>

#include "counters.h"
#include "memory.h"
#include "outlet.h"
#include "process.h"
#include "propagation.h"
#include "url.h"
#include "wait.h"

enum {
    BATCH_BYTES = 2 * 1024 * 1024,
    BACKOFF_FIRST_MS = 500,
    BACKOFF_MAX_MS = 5000,
    AWAY_PAUSE_MAX_MS = 30 * 1000,
    AWAY_NAMED_MAX_MS = 3600 * 1000, /* by the collector, in Retry-After */
    CATCH_UP_BYTES_PER_S = 1024 * 1024,
    LOOK_EVERY_MS = 30 * 1000, /* for what dead processes have left in the spool */
    STOP_RESERVE_MAX_MS = 250  /* of the time for the end, to spool what was not sent */
};

/* LATE: the time was up, or the store has no room. */
enum outcome { OUTCOME_DELIVERED, OUTCOME_SPOOLED, OUTCOME_REFUSED, OUTCOME_LATE };

/* In delivery.memory. */
enum {
    HTTP_AT = BATCH_BYTES,
    TELLING_AT = HTTP_AT + OTLP_HTTP_SCRATCH_BYTES,
    SPOOL_AT = (TELLING_AT + sizeof(struct telling) + 63) / 64 * 64,
    MEMORY_BYTES = SPOOL_AT + sizeof(struct spool)
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
    delivery->spool = (struct spool *)(delivery->memory + SPOOL_AT);
    spool_open(delivery->spool, config);
    return true;
}

void delivery_close(struct delivery *delivery)
{
    delivery_rest(delivery);
    spool_close(delivery->spool);
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

/* ---- the collector ---- */

void delivery_stop_by(struct delivery *delivery, const struct config *config, uint64_t deadline_ns)
{
    uint64_t now = process_monotonic_ns();
    if (deadline_ns > now && spool_is_wanted(config))
        deadline_ns -= earlier((deadline_ns - now) / 4, STOP_RESERVE_MAX_MS * 1000000ull);
    __atomic_store_n(&delivery->stop_ns, deadline_ns, __ATOMIC_RELEASE);
}

static bool is_leaving(const struct delivery *delivery)
{
    return __atomic_load_n(&delivery->stop_ns, __ATOMIC_RELAXED) != 0;
}

static bool is_away(const struct delivery *delivery)
{
    return delivery->away_until_ns > process_monotonic_ns();
}

/* Its answer, or that there was none, says whether the next request may be sent at once. */
static void note_answer(struct delivery *delivery, const struct otlp_answer *answer)
{
    if (answer->outcome != OTLP_RETRY) {
        delivery->away_until_ns = delivery->away_pause_ms = 0;
        return;
    }
    if (is_away(delivery) && answer->retry_after_ms == 0)
        return; /* asked before its time, since there was no room in the spool */
    uint32_t pause_ms = delivery->away_pause_ms * 2;
    if (pause_ms == 0)
        pause_ms = BACKOFF_FIRST_MS;
    delivery->away_pause_ms = pause_ms > AWAY_PAUSE_MAX_MS ? AWAY_PAUSE_MAX_MS : pause_ms;
    uint64_t wanted_ms = with_jitter(delivery->away_pause_ms);
    if (answer->retry_after_ms != 0)
        wanted_ms = earlier(answer->retry_after_ms, AWAY_NAMED_MAX_MS);
    delivery->away_until_ns = process_monotonic_ns() + wanted_ms * 1000000;
}

static void try_once(struct delivery *delivery, struct otlp_http *http, enum signal signal,
    uint64_t deadline, struct otlp_answer *answer)
{
    struct otlp_target target = otlp_target_of(delivery->config, signal);
    const struct otlp_batch *batch = &delivery->batch;
    otlp_http_post(http, &target, batch->start, (size_t)(batch->limit - batch->start), deadline,
        &delivery->stop_ns, answer);
    if (signal == SIGNAL_TRACES)
        note_answer(delivery, answer);
}

static bool keep(struct delivery *delivery)
{
    const struct otlp_batch *batch = &delivery->batch;
    int error;
    if (!delivery->spool->is_on ||
        !spool_append(delivery->spool, batch->start, (size_t)(batch->limit - batch->start), &error))
        return false;
    delivery->catch_up_ns = delivery->away_until_ns;
    return true;
}

/* One request, again and again if it may be repeated. *rejected: by a partial success. */
static enum outcome post(struct delivery *delivery, struct otlp_http *http, enum signal signal,
    bool may_repeat, int64_t *rejected)
{
    uint64_t deadline = deadline_of(delivery, delivery->config->signals[signal].timeout_ms);
    uint32_t pause_ms = BACKOFF_FIRST_MS;
    struct otlp_answer answer = {.outcome = OTLP_RETRY};
    bool is_spans = signal == SIGNAL_TRACES;
    bool may_try = !is_spans || !is_away(delivery);
    for (;; may_try = true) {
        if (may_try)
            try_once(delivery, http, signal, deadline, &answer);
        if (answer.outcome != OTLP_RETRY)
            break;
        if (is_spans && keep(delivery))
            return OUTCOME_SPOOLED;
        if (!may_try)
            continue;
        uint32_t wanted =
            answer.retry_after_ms != 0 ? answer.retry_after_ms : with_jitter(pause_ms);
        if (!may_repeat || !back_off(delivery, wanted, deadline))
            break;
        pause_ms = pause_ms * 2 > BACKOFF_MAX_MS ? BACKOFF_MAX_MS : pause_ms * 2;
    }
    *rejected = answer.rejected;
    static const enum outcome outcomes[] = {[OTLP_ACCEPTED] = OUTCOME_DELIVERED,
        [OTLP_RETRY] = OUTCOME_LATE,
        [OTLP_REFUSED] = OUTCOME_REFUSED};
    return outcomes[answer.outcome];
}

/* Accepted, but for these. */
static void count_delivered(struct delivery *delivery, uint32_t spans, int64_t rejected)
{
    if (rejected > 0) {
        uint32_t lost = (uint32_t)earlier((uint64_t)rejected, spans);
        counter_add(COUNTER_SPANS_REJECTED, lost);
        spans -= lost;
    }
    counter_add(COUNTER_SPANS_EXPORTED, spans);
    delivery->delivered += spans;
}

static void count_dropped(struct delivery *delivery, enum counter reason, uint32_t spans)
{
    counter_add(reason, spans);
    delivery->dropped += spans;
}

/* Now and then, when spans arrive, others may have left something. */
static void look_again(struct delivery *delivery)
{
    uint64_t due = delivery->looked_ns + LOOK_EVERY_MS * 1000000ull;
    if (delivery->spool->is_on && delivery->catch_up_ns == UINT64_MAX &&
        process_monotonic_ns() >= due)
        delivery->catch_up_ns = 0;
}

static enum outcome place(struct delivery *delivery, int64_t *rejected)
{
    struct otlp_batch *batch = &delivery->batch;
    int error = 0;
    if (!otlp_batch_finish(batch, delivery->resource, delivery->resource_bytes))
        return OUTCOME_REFUSED;
    switch (delivery->config->signals[SIGNAL_TRACES].destination) {
    case DESTINATION_OTLP:
        return post(delivery, &delivery->http, SIGNAL_TRACES, true, rejected);
    case DESTINATION_STORE:
        if (!store_append(
                &delivery->store, batch->start, (size_t)(batch->limit - batch->start), &error))
            return OUTCOME_LATE;
        break;
    case DESTINATION_CONSOLE:
    case DESTINATION_FILE:
        if (!outlet_write(delivery->config, batch->start, (size_t)(batch->limit - batch->start),
                deadline_of(delivery, delivery->config->signals[SIGNAL_TRACES].timeout_ms),
                &delivery->stop_ns))
            return OUTCOME_LATE;
        break;
    case DESTINATION_NONE:
        break;
    }
    return OUTCOME_DELIVERED;
}

static void begin_batch(struct delivery *delivery)
{
    otlp_batch_reset(&delivery->batch, delivery->memory, BATCH_BYTES);
}

static void send_batch(struct delivery *delivery)
{
    uint32_t spans = delivery->batch.spans;
    int64_t rejected = 0;
    if (spans == 0)
        return;
    switch (place(delivery, &rejected)) {
    case OUTCOME_DELIVERED:
        count_delivered(delivery, spans, rejected);
        look_again(delivery);
        break;
    case OUTCOME_SPOOLED:
        counter_add(COUNTER_SPANS_SPOOLED, spans);
        delivery->spooled += spans;
        break;
    case OUTCOME_LATE:
        delivery->is_stuck = delivery->keeps;
        if (delivery->is_stuck)
            break;
        /* fallthrough */
    case OUTCOME_REFUSED:
        count_dropped(delivery, COUNTER_SPANS_DROPPED_EXPORT, spans);
        break;
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

static bool send_and_consume(struct delivery *delivery, struct ring *ring, uint64_t cursor)
{
    send_batch(delivery);
    if (!delivery->is_stuck)
        ring_consume(ring, cursor);
    return !delivery->is_stuck;
}

/* Batches never mix rings, so that a ring's room is given back exactly when its own spans are out.
 */
static void drain_ring(struct delivery *delivery, struct ring *ring)
{
    uint64_t cursor = ring_cursor(ring);
    const struct record *record;
    while ((record = ring_next(ring, &cursor)) != NULL) {
        deliver(delivery, record);
        if (is_full(delivery) && !send_and_consume(delivery, ring, cursor))
            return;
    }
    send_and_consume(delivery, ring, cursor);
}

void delivery_drain(struct delivery *delivery, struct ring *const *rings, uint32_t count,
    const uint8_t *resource, uint32_t resource_bytes)
{
    delivery->resource = resource;
    delivery->resource_bytes = resource_bytes;
    begin_batch(delivery);
    for (uint32_t i = 0; i < count && !delivery->is_stuck; i++) {
        struct ring *ring = __atomic_load_n(&rings[i], __ATOMIC_ACQUIRE);
        if (ring != NULL)
            drain_ring(delivery, ring);
    }
}

/* ---- the spool ---- */

/* The one frame is in the batch's memory. True: it is done with. */
static bool resend(struct delivery *delivery, size_t length)
{
    struct otlp_answer answer;
    delivery->batch =
        (struct otlp_batch){.start = delivery->memory, .limit = delivery->memory + length};
    uint32_t spans = spool_spans(delivery->memory, length);
    try_once(delivery, &delivery->http, SIGNAL_TRACES,
        deadline_of(delivery, delivery->config->signals[SIGNAL_TRACES].timeout_ms), &answer);
    if (answer.outcome == OTLP_RETRY)
        return false;
    spool_settle(delivery->spool);
    if (answer.outcome == OTLP_ACCEPTED)
        count_delivered(delivery, spans, answer.rejected);
    else
        count_dropped(delivery, COUNTER_SPANS_DROPPED_SPOOL, spans);
    return true;
}

uint64_t delivery_catch_up(struct delivery *delivery)
{
    uint64_t now = process_monotonic_ns();
    if (!delivery->spool->is_on || is_leaving(delivery))
        return UINT64_MAX;
    if (now < delivery->catch_up_ns)
        return delivery->catch_up_ns;
    delivery->looked_ns = now;
    size_t length = spool_next(delivery->spool, delivery->memory, BATCH_BYTES);
    if (length == 0) {
        delivery->catch_up_ns = UINT64_MAX;
    } else if (resend(delivery, length)) {
        uint64_t pause_ns = length * 1000000000ull / CATCH_UP_BYTES_PER_S;
        delivery->catch_up_ns = now + (delivery->hurries ? 0 : pause_ns);
        return delivery->catch_up_ns;
    } else {
        delivery->catch_up_ns = delivery->away_until_ns;
    }
    spool_rest(delivery->spool);
    delivery_rest(delivery);
    return delivery->catch_up_ns;
}

/* ---- metrics ---- */

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
    int64_t rejected = 0;
    if (delivery->batch.spans == 0)
        return true;
    if (!otlp_batch_finish(&delivery->batch, delivery->resource, delivery->resource_bytes) ||
        post(delivery, http, SIGNAL_METRICS, is_leaving(delivery), &rejected) !=
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
