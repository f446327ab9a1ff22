/* SPDX-License-Identifier: Apache-2.0 */
/* A batch that is too large for the collector (413) goes in parts. */
#include <string.h>

#include "delivery_internal.h"

/* The batch is finished in the midst of others, which are put back afterwards. */
static enum outcome place_part(struct delivery *delivery, enum signal signal, int64_t *rejected)
{
    uint8_t kept[OTLP_RESOURCE_BYTES_MAX + OTLP_ENVELOPE_BYTES_MAX];
    const struct otlp_batch *part = &delivery->ways[signal].batch;
    size_t room = (size_t)(part->start - part->base);
    size_t bytes = room < sizeof(kept) ? room : sizeof(kept);
    uint8_t *at = part->start - bytes;
    memcpy(kept, at, bytes);
    enum outcome outcome = delivery_place(delivery, signal, true, rejected);
    memcpy(at, kept, bytes);
    return outcome;
}

void delivery_split(struct delivery *delivery, enum signal signal)
{
    struct otlp_batch rest = delivery->ways[signal].batch;
    uint32_t items = (rest.spans + 1) / 2;
    bool is_any_taken = false;
    while (rest.spans != 0) {
        struct otlp_batch before = rest;
        int64_t rejected = 0;
        otlp_batch_take_first(&rest, items, &delivery->ways[signal].batch);
        enum outcome outcome = place_part(delivery, signal, &rejected);
        if (outcome == OUTCOME_TOO_LARGE && items > 1) {
            rest = before;
            items /= 2;
            continue;
        }
        delivery_settle(delivery, signal, outcome, items, rejected);
        is_any_taken |= outcome == OUTCOME_DELIVERED;
        if (outcome == OUTCOME_TOO_LARGE && !is_any_taken) { /* whatever else it means */
            delivery_settle(delivery, signal, outcome, rest.spans, 0);
            return;
        }
        if (outcome == OUTCOME_TOO_LARGE || items > rest.spans)
            items = rest.spans;
    }
}

bool delivery_split_spooled(struct delivery *delivery, enum signal signal, size_t length)
{
    uint8_t resource[OTLP_RESOURCE_BYTES_MAX];
    struct delivery_way *way = &delivery->ways[signal];
    struct otlp_batch waiting = way->batch;
    const uint8_t *before = delivery->resource;
    uint32_t bytes_before = delivery->resource_bytes;
    if (!otlp_batch_reopen(&way->batch, delivery->memory, DELIVERY_BATCH_BYTES, length, resource,
            &delivery->resource_bytes))
        return false;
    delivery->resource = resource;
    delivery->is_resending = true;
    delivery_split(delivery, signal);
    delivery->is_resending = false;
    delivery->resource = before;
    delivery->resource_bytes = bytes_before;
    way->batch = waiting;
    return true;
}
