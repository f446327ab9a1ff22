/* SPDX-License-Identifier: Apache-2.0 */
/* One request of a signal to where it is to go, and what its answer means for the next one. */
#include <errno.h>
#include <string.h>

#include "counters.h"
#include "delivery_internal.h"
#include "outlet.h"
#include "process.h"
#include "url.h"
#include "wait.h"

enum {
    BACKOFF_FIRST_MS = 500,
    BACKOFF_MAX_MS = 5000,
    COPY_TIMEOUT_MS = 1000, /* for its reader; meanwhile nothing is sent */
    AWAY_PAUSE_MAX_MS = 30 * 1000,
    AWAY_NAMED_MAX_MS = 3600 * 1000, /* by the collector, in Retry-After */
    STOP_RESERVE_MAX_MS = 250        /* of the time for the end, to spool what was not sent */
};

uint64_t delivery_deadline(const struct delivery *delivery, uint32_t timeout_ms)
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
    bool spools = false;
    for (unsigned i = 0; i < SIGNAL_COUNT; i++)
        spools |= spool_is_wanted(config, (enum signal)i);
    if (deadline_ns > now && spools)
        deadline_ns -= earlier((deadline_ns - now) / 4, STOP_RESERVE_MAX_MS * 1000000ull);
    __atomic_store_n(&delivery->stop_ns, deadline_ns, __ATOMIC_RELEASE);
}

bool delivery_is_away(const struct delivery *delivery, enum signal signal)
{
    return delivery->ways[signal].away.until_ns > process_monotonic_ns();
}

/* Its answer, or that there was none, says whether the next request may be sent at once. */
static void note_answer(
    struct delivery *delivery, enum signal signal, const struct otlp_answer *answer)
{
    struct delivery_away *away = &delivery->ways[signal].away;
    if (answer->outcome != OTLP_RETRY) {
        *away = (struct delivery_away){0};
        return;
    }
    if (delivery_is_away(delivery, signal) && answer->retry_after_ms == 0)
        return; /* asked before its time, since there was no room in the spool */
    uint32_t pause_ms = away->pause_ms * 2;
    if (pause_ms == 0)
        pause_ms = BACKOFF_FIRST_MS;
    away->pause_ms = pause_ms > AWAY_PAUSE_MAX_MS ? AWAY_PAUSE_MAX_MS : pause_ms;
    uint64_t wanted_ms = with_jitter(away->pause_ms);
    if (answer->retry_after_ms != 0)
        wanted_ms = earlier(answer->retry_after_ms, AWAY_NAMED_MAX_MS);
    away->until_ns = process_monotonic_ns() + wanted_ms * 1000000;
}

bool delivery_may_grow(const struct delivery *delivery)
{
    const struct config *config = delivery->config;
    return config->batch_may_grow && !config->signals[SIGNAL_TRACES].json &&
           !delivery->was_too_large && !delivery_is_away(delivery, SIGNAL_TRACES);
}

/* One connection serves two signals if they go to one server. */
static struct otlp_http *http_of(struct delivery *delivery, enum signal signal)
{
    const struct config *config = delivery->config;
    struct url one, other;
    bool is_same = url_parse(config->urls[SIGNAL_TRACES], &one) &&
                   url_parse(config->urls[signal], &other) && one.scheme == other.scheme &&
                   one.scheme == URL_HTTP && slice_equal(one.authority, other.authority);
    return &delivery->ways[is_same ? SIGNAL_TRACES : signal].http;
}

void delivery_try(
    struct delivery *delivery, enum signal signal, uint64_t deadline, struct otlp_answer *answer)
{
    struct delivery_way *way = &delivery->ways[signal];
    struct otlp_target target = otlp_target_of(delivery->config, signal);
    otlp_http_post(http_of(delivery, signal), &target, way->batch.start,
        (size_t)(way->batch.limit - way->batch.start), deadline, &delivery->stop_ns, answer);
    way->is_barred = answer->error == EACCES;
    delivery->was_too_large |= answer->status == DELIVERY_TOO_LARGE;
    note_answer(delivery, signal, answer);
}

enum outcome delivery_post(
    struct delivery *delivery, enum signal signal, bool may_repeat, int64_t *rejected)
{
    uint64_t deadline = delivery_deadline(delivery, delivery->config->signals[signal].timeout_ms);
    uint32_t pause_ms = BACKOFF_FIRST_MS;
    struct otlp_answer answer = {.outcome = OTLP_RETRY};
    bool may_try = !delivery_is_away(delivery, signal);
    /* What metrics say goes with the next request, if there is one. */
    bool is_kept = signal != SIGNAL_METRICS || delivery_is_leaving(delivery) ||
                   delivery->metrics->ended_ns != 0;
    for (;; may_try = true) {
        if (may_try)
            delivery_try(delivery, signal, deadline, &answer);
        if (answer.outcome != OTLP_RETRY)
            break;
        if (is_kept && delivery_keep(delivery, signal))
            return OUTCOME_SPOOLED;
        if (!may_try && may_repeat)
            continue;
        uint32_t wanted =
            answer.retry_after_ms != 0 ? answer.retry_after_ms : with_jitter(pause_ms);
        if (!may_repeat || !back_off(delivery, wanted, deadline))
            break;
        pause_ms = pause_ms * 2 > BACKOFF_MAX_MS ? BACKOFF_MAX_MS : pause_ms * 2;
    }
    *rejected = answer.rejected;
    if (answer.status == DELIVERY_TOO_LARGE)
        return OUTCOME_TOO_LARGE;
    static const enum outcome outcomes[] = {[OTLP_ACCEPTED] = OUTCOME_DELIVERED,
        [OTLP_RETRY] = OUTCOME_LATE,
        [OTLP_REFUSED] = OUTCOME_REFUSED};
    return outcomes[answer.outcome];
}

static bool write_out(
    struct delivery *delivery, enum signal signal, struct config_copy to, uint32_t timeout_ms)
{
    const struct otlp_batch *batch = &delivery->ways[signal].batch;
    return outlet_write(delivery->config, signal, to, batch->start,
        (size_t)(batch->limit - batch->start), delivery_deadline(delivery, timeout_ms),
        &delivery->stop_ns);
}

void delivery_copy(struct delivery *delivery, enum signal signal)
{
    const struct config_signal *settings = &delivery->config->signals[signal];
    for (unsigned i = 0; i < settings->copy_count; i++)
        if (!write_out(delivery, signal, settings->copies[i], COPY_TIMEOUT_MS))
            counter_add(COUNTER_COPIES_FAILED, 1);
}

enum outcome delivery_place(
    struct delivery *delivery, enum signal signal, bool may_repeat, int64_t *rejected)
{
    struct otlp_batch *batch = &delivery->ways[signal].batch;
    int error = 0;
    if (!otlp_batch_finish(batch, delivery->resource, delivery->resource_bytes))
        return OUTCOME_REFUSED;
    const struct config_signal *settings = &delivery->config->signals[signal];
    switch (settings->destination) {
    case DESTINATION_OTLP:
        return delivery_post(delivery, signal, may_repeat, rejected);
    case DESTINATION_STORE:
        if (signal != SIGNAL_TRACES)
            return OUTCOME_REFUSED; /* nobody asks for them here */
        if (!store_append(
                &delivery->store, batch->start, (size_t)(batch->limit - batch->start), &error))
            return OUTCOME_LATE;
        break;
    case DESTINATION_CONSOLE:
    case DESTINATION_FILE:
        if (!write_out(delivery, signal,
                (struct config_copy){settings->destination, settings->outlet},
                settings->timeout_ms))
            return OUTCOME_LATE;
        break;
    case DESTINATION_NONE:
        if (signal == SIGNAL_LOGS)
            return OUTCOME_REFUSED;
        break;
    }
    return OUTCOME_DELIVERED;
}
