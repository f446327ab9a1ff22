/* SPDX-License-Identifier: Apache-2.0 */
/* What lines of logs have beside the way of spans: they are added to a batch of their own, and may
 * wait in it where neither the collector nor the spool takes them. */
#include "counters.h"
#include "delivery_internal.h"
#include "logs_record.h"

static struct otlp_batch *lines_of(struct delivery *delivery)
{
    return &delivery->ways[SIGNAL_LOGS].batch;
}

static bool are_full(const struct otlp_batch *lines)
{
    size_t room = (size_t)(lines->start - lines->base);
    return room < 4 * LOGS_BODY_MAX + OTLP_RESOURCE_BYTES_MAX + OTLP_ENVELOPE_BYTES_MAX;
}

bool delivery_may_hold_logs(const struct delivery *delivery)
{
    return delivery->holds_logs && !delivery_is_leaving(delivery) &&
           delivery->config->signals[SIGNAL_LOGS].destination == DESTINATION_OTLP;
}

/* What waits is older. */
void delivery_add_log(struct delivery *delivery, const struct record *record)
{
    struct otlp_batch *lines = lines_of(delivery);
    const struct log *log = telling_log(delivery->telling, record);
    if (log == NULL)
        counter_add(COUNTER_LOGS_DROPPED_INVALID, 1);
    else if (are_full(lines) || !otlp_batch_add_log(lines, log, delivery->config))
        delivery_count(delivery, SIGNAL_LOGS, FATE_DROPPED, 1);
}

bool delivery_logs_are_due(const struct delivery *delivery)
{
    const struct delivery_way *way = &delivery->ways[SIGNAL_LOGS];
    return !way->waits &&
           (way->batch.spans >= delivery->config->batch_logs_max || are_full(&way->batch));
}

/* Nothing waits for a process whose resource is another's. */
void delivery_begin_logs(struct delivery *delivery, const uint8_t *resource)
{
    if (delivery->resource != NULL && delivery->resource != resource)
        delivery_send(delivery, SIGNAL_LOGS, false);
}

uint64_t delivery_retry_logs(struct delivery *delivery)
{
    if (lines_of(delivery)->spans == 0 || delivery_is_leaving(delivery))
        return UINT64_MAX;
    delivery_send(delivery, SIGNAL_LOGS, delivery_may_hold_logs(delivery));
    return lines_of(delivery)->spans > 0 ? delivery->ways[SIGNAL_LOGS].away.until_ns : UINT64_MAX;
}
