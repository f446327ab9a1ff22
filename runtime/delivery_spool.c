/* SPDX-License-Identifier: Apache-2.0 */
/* What waits in spools: put there, and sent at its pace when the collector is back. */
#include "delivery_internal.h"
#include "process.h"

enum { LOOK_EVERY_MS = 30 * 1000 }; /* for what dead processes have left in the spool */

void delivery_look_again(struct delivery *delivery, enum signal signal)
{
    struct delivery_way *way = &delivery->ways[signal];
    uint64_t due = way->looked_ns + LOOK_EVERY_MS * 1000000ull;
    if (way->spool->is_on && way->catch_up_ns == UINT64_MAX && process_monotonic_ns() >= due)
        way->catch_up_ns = 0;
}

bool delivery_keep(struct delivery *delivery, enum signal signal)
{
    struct delivery_way *way = &delivery->ways[signal];
    const struct otlp_batch *batch = &way->batch;
    int error;
    if (!way->spool->is_on ||
        !spool_append(way->spool, batch->start, (size_t)(batch->limit - batch->start), &error))
        return false;
    if (way->is_barred) /* root's relay sends it, and should not wait for us */
        store_release(&way->spool->writer);
    way->catch_up_ns = way->away.until_ns;
    return true;
}

/* The one frame is in the memory of spans, which all have left it. True: it is done with. */
static bool resend(struct delivery *delivery, enum signal signal, size_t length)
{
    struct delivery_way *way = &delivery->ways[signal];
    struct otlp_answer answer;
    struct otlp_batch waiting = way->batch;
    uint32_t items = spool_items(delivery->memory, length);
    way->batch = (struct otlp_batch){.start = delivery->memory, .limit = delivery->memory + length};
    delivery_try(delivery, signal,
        delivery_deadline(delivery, delivery->config->signals[signal].timeout_ms), &answer);
    way->batch = waiting;
    if (answer.outcome == OTLP_RETRY)
        return false;
    if (answer.status == DELIVERY_TOO_LARGE && items > 1 && signal != SIGNAL_METRICS &&
        delivery_split_spooled(delivery, signal, length)) {
        spool_settle(way->spool);
        return true;
    }
    spool_settle(way->spool);
    if (answer.outcome == OTLP_ACCEPTED)
        delivery_accepted(delivery, signal, items, answer.rejected);
    else
        delivery_count(delivery, signal, FATE_DROPPED_SPOOL, items);
    return true;
}

static uint64_t catch_up(struct delivery *delivery, enum signal signal)
{
    struct delivery_way *way = &delivery->ways[signal];
    uint64_t now = process_monotonic_ns();
    if (!way->spool->is_on || delivery_is_leaving(delivery))
        return UINT64_MAX;
    if (now < way->catch_up_ns)
        return way->catch_up_ns;
    way->looked_ns = now;
    size_t length = spool_next(way->spool, delivery->memory, DELIVERY_BATCH_BYTES);
    if (length == 0) {
        way->catch_up_ns = UINT64_MAX;
    } else if (resend(delivery, signal, length)) {
        way->catch_up_ns = now + length * 1000000000ull / delivery->catch_up_bytes_per_s;
        return way->catch_up_ns;
    } else {
        way->catch_up_ns = way->away.until_ns;
    }
    spool_rest(way->spool);
    delivery_rest(delivery);
    return way->catch_up_ns;
}

uint64_t delivery_catch_up(struct delivery *delivery)
{
    uint64_t due = delivery_retry_logs(delivery);
    for (unsigned i = 0; i < SIGNAL_COUNT; i++)
        due = earlier(due, catch_up(delivery, (enum signal)i));
    return due;
}
