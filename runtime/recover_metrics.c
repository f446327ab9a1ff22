/* SPDX-License-Identifier: Apache-2.0 */
#include "recover_metrics.h"

#include <string.h>

#include "metrics_state.h"

static void count(struct metrics *found, struct delivery *delivery, const struct record *record)
{
    const struct span *span = record->kind == RECORD_LOG
                                  ? NULL
                                  : telling_span(delivery->telling, record, delivery->config);
    if (span == NULL)
        return;
    struct measured measured = metrics_find(found, span);
    metrics_count(found, &measured, span);
    if (found->ended_ns < span->end_ns)
        found->ended_ns = span->end_ns;
}

/* Those of the rings are counted there. */
static void find_counters(struct metrics *found, struct ring_file *file, struct ring *const *rings)
{
    uint64_t records = 0, logs = 0;
    for (uint32_t i = 0; i < file->ring_count; i++) {
        records += rings[i]->records;
        logs += rings[i]->logs;
    }
    if (file->counters[COUNTER_SPANS_RECORDED] < records)
        file->counters[COUNTER_SPANS_RECORDED] = records;
    if (file->counters[COUNTER_LOGS_RECORDED] < logs)
        file->counters[COUNTER_LOGS_RECORDED] = logs;
    found->counters = file->counters;
    memcpy(found->counters_sent, file->counters_sent, sizeof(found->counters_sent));
    found->is_changed |= counters_tell_loss(found->counters, found->counters_sent);
}

bool recover_metrics_find(struct metrics *found, struct delivery *delivery, struct ring_file *file,
    struct ring *const *rings, int directory, const char *name)
{
    const struct record *record;
    metrics_init(found, delivery->config);
    if (!(file->measures & RING_MEASURES) ||
        delivery->config->signals[SIGNAL_METRICS].destination != DESTINATION_OTLP)
        return false;
    found->is_delta = file->measures & RING_MEASURES_DELTA;
    found->is_exponential = file->measures & RING_MEASURES_EXPONENTIAL;
    found->ended_ns = file->alive_ns;
    uint32_t generation = metrics_state_load(found, directory, name);
    for (uint32_t i = 0; i < file->ring_count; i++) {
        uint64_t cursor = ring_cursor(rings[i]), head = ring_head(rings[i]);
        uint64_t counted = generation == 0 ? cursor : rings[i]->counted[generation % 2];
        if (counted > cursor && counted <= head)
            cursor = counted;
        while ((record = ring_next(rings[i], &cursor, head)) != NULL)
            count(found, delivery, record);
    }
    find_counters(found, file, rings);
    if (found->is_changed && found->memory == NULL && metrics_begin(found))
        found->begun_ns = file->start_ns;
    return found->memory != NULL && found->is_changed;
}

bool recover_metrics_send(
    struct metrics *found, struct delivery *delivery, const struct ring_file *file)
{
    struct metrics *before = delivery->metrics;
    delivery->metrics = found;
    delivery_send_metrics(
        delivery, file->resource + ring_file_resource_at(file), ring_file_resource_bytes(file));
    delivery->metrics = before;
    return !found->is_changed || delivery->ways[SIGNAL_METRICS].away.until_ns == 0;
}
