/* SPDX-License-Identifier: Apache-2.0 */
/* Metrics as OTLP, backwards: otlp_write.h. Field numbers are those of metrics.proto. */
#include "metrics_internal.h"

#include <string.h>

#include "otlp_write.h"
#include "ring.h"

enum { TEMPORALITY_DELTA = 1, TEMPORALITY_CUMULATIVE = 2 };
/* A point without its attributes' texts; all that is no histogram. */
enum {
    POINT_BYTES = 2048,
    EXPONENTIAL_BYTES = EXPONENTIAL_BUCKETS_MAX * 10,
    METRIC_BYTES = 512,
    CONNECTION_POINT_BYTES = 160,
    NUMBERS_BYTES = 52 * 1024
};
_Static_assert((COUNTER_COUNT + 10) * 400 +
                       2 * CONNECTION_PROTOCOLS_MAX * CONNECTION_SIDES * CONNECTION_POINT_BYTES <
                   NUMBERS_BYTES,
    "room for all of them");

struct times {
    uint64_t start_ns, now_ns;
    unsigned temporality;
};

static void put_double(struct writer *w, unsigned field, double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof(bits));
    put_fixed64(w, bits);
    put_varint(w, TAG(field, WIRE_FIXED64));
}

static void put_number(struct writer *w, unsigned field, uint64_t value)
{
    put_fixed64(w, value);
    put_varint(w, TAG(field, WIRE_FIXED64));
}

static void put_text(struct writer *w, unsigned field, const char *text)
{
    put_field(w, field, text, strlen(text));
}

static double seconds(uint64_t ns)
{
    return (double)ns / 1e9;
}

/* What stands before the data of a Metric, whose own field is written last. */
static void put_name(struct writer *w, const char *name, const char *description, const char *unit,
    const uint8_t *end)
{
    put_text(w, 3, unit);
    put_text(w, 2, description);
    put_text(w, 1, name);
    put_prefix(w, 2, end); /* ScopeMetrics.metrics */
}

/* --- of operations ------------------------------------------------------------------------- */

static void put_exemplars(struct writer *w, unsigned field, const struct series *series)
{
    for (unsigned i = BUCKETS_MAX; i-- > 0;) {
        const struct exemplar *exemplar = &series->exemplars[i];
        const uint8_t *end = w->at;
        if (exemplar->time_ns == 0)
            continue;
        put_field(w, 5, exemplar->trace_id, sizeof(exemplar->trace_id));
        put_field(w, 4, exemplar->span_id, sizeof(exemplar->span_id));
        put_double(w, 3, seconds(exemplar->duration_ns));
        put_number(w, 2, exemplar->time_ns);
        put_prefix(w, field, end);
    }
}

static void put_buckets(struct writer *w, const struct series *series, const struct bounds *bounds)
{
    const uint8_t *end = w->at;
    for (unsigned i = bounds->count; i-- > 0;) {
        double bound = bounds->ms[i] / 1e3;
        put_bytes(w, &bound, sizeof(bound));
    }
    put_prefix(w, 7, end);
    put_field(w, 6, series->buckets, (bounds->count + 1) * sizeof(series->buckets[0]));
}

/* otel.metric.overflow: true */
static void put_overflow(struct writer *w, unsigned field)
{
    static const uint8_t is_true[] = {TAG(2, WIRE_VARINT), 1};
    const uint8_t *end = w->at;
    put_field(w, 2, is_true, sizeof(is_true));
    put_text(w, 1, "otel.metric.overflow");
    put_prefix(w, field, end);
}

static void put_attributes(struct writer *w, unsigned field, const struct metrics_memory *memory,
    const struct series *series)
{
    const uint8_t *at = memory->keys + series->key_at, *end = at + series->key_bytes;
    while (at < end) {
        struct key_head head;
        struct span_attribute attribute;
        memcpy(&head, at, sizeof(head));
        at += sizeof(head);
        attribute.key = (enum attribute)head.attribute;
        bool is_number = head.length == KEY_NUMBER;
        attribute.kind = is_number ? SPAN_VALUE_INTEGER : SPAN_VALUE_TEXT;
        if (is_number)
            memcpy(&attribute.number, at, sizeof(attribute.number));
        else
            attribute.text = (struct span_text){(const char *)at, head.length};
        at += is_number ? sizeof(attribute.number) : head.length;
        otlp_put_attribute(w, field, &attribute, UINT32_MAX);
    }
    if (series->is_overflow)
        put_overflow(w, field);
}

/* The same fields in both kinds of points. */
static void put_counts(struct writer *w, const struct series *series, const struct times *times)
{
    put_double(w, 5, seconds(series->sum_ns));
    put_number(w, 4, series->count);
    put_number(w, 3, times->now_ns);
    put_number(w, 2, times->start_ns);
}

static void put_series(struct writer *w, const struct metrics_memory *memory,
    const struct series *series, const struct times *times)
{
    const uint8_t *end = w->at;
    put_double(w, 12, seconds(series->most_ns));
    put_double(w, 11, seconds(series->least_ns));
    put_attributes(w, 9, memory, series);
    put_exemplars(w, 8, series);
    put_buckets(w, series, measure_rows[series->measure].bounds);
    put_counts(w, series, times);
    put_prefix(w, 1, end);
}

static void put_zigzag(struct writer *w, unsigned field, int32_t value)
{
    put_varint(w, value < 0 ? ~((uint32_t)value << 1) : (uint32_t)value << 1);
    put_varint(w, TAG(field, WIRE_VARINT));
}

/* ExponentialHistogramDataPoint; what is 0 is left out. */
static void put_exponential(struct writer *w, const struct metrics_memory *memory,
    const struct series *series, const struct times *times)
{
    const struct exponential *histogram = &memory->exponentials[series - memory->series];
    const uint8_t *end = w->at;
    put_double(w, 13, seconds(series->most_ns));
    put_double(w, 12, seconds(series->least_ns));
    put_exemplars(w, 11, series);
    const uint8_t *buckets_end = w->at;
    for (uint32_t i = histogram->used; i-- > 0;)
        put_varint(w, histogram->buckets[i]);
    put_prefix(w, 2, buckets_end);
    put_zigzag(w, 1, histogram->first);
    put_prefix(w, 8, buckets_end);
    put_number(w, 7, histogram->zeros);
    put_zigzag(w, 6, histogram->scale);
    put_counts(w, series, times);
    put_attributes(w, 1, memory, series);
    put_prefix(w, 1, end);
}

enum shape { SHAPE_COUNTER, SHAPE_LEVEL };

/* What follows the points of a Sum. */
static void begin_sum(struct writer *w, enum shape shape, const struct times *times)
{
    if (shape == SHAPE_COUNTER) {
        put_varint(w, 1);
        put_varint(w, TAG(3, WIRE_VARINT));
    }
    put_varint(w, shape == SHAPE_COUNTER ? times->temporality : TEMPORALITY_CUMULATIVE);
    put_varint(w, TAG(2, WIRE_VARINT));
}

static void put_total(struct writer *w, const struct metrics_memory *memory,
    const struct series *series, const struct times *times)
{
    const uint8_t *end = w->at;
    put_attributes(w, 7, memory, series);
    put_number(w, 6, series->count);
    put_number(w, 3, times->now_ns);
    put_number(w, 2, times->start_ns);
    put_prefix(w, 1, end);
}

static uint32_t put_points(struct writer *w, const struct metrics_memory *memory, unsigned measure,
    const struct metrics_part *part, const struct times *times)
{
    uint32_t points = 0;
    for (uint32_t i = part->end; i-- > part->first;) {
        const struct series *series = &memory->series[i];
        if (series->measure != measure || series->count == 0)
            continue;
        if (measure_rows[measure].bounds == NULL)
            put_total(w, memory, series, times);
        else if (memory->exponentials != NULL)
            put_exponential(w, memory, series, times);
        else
            put_series(w, memory, series, times);
        points++;
    }
    return points;
}

static uint32_t put_measure(struct writer *w, const struct metrics_memory *memory, unsigned measure,
    const struct metrics_part *part, const struct times *times)
{
    const struct measure_row *row = &measure_rows[measure];
    const uint8_t *end = w->at;
    struct writer before = *w;
    bool is_sum = row->bounds == NULL;
    if (is_sum) {
        begin_sum(w, SHAPE_COUNTER, times);
    } else {
        put_varint(w, times->temporality);
        put_varint(w, TAG(2, WIRE_VARINT));
    }
    uint32_t points = put_points(w, memory, measure, part, times);
    if (points == 0) {
        *w = before;
        return 0;
    }
    put_prefix(w, is_sum ? 7 : memory->exponentials != NULL ? 10 : 9, end);
    put_name(w, row->name, row->description, is_sum ? "{message}" : "s", end);
    return points;
}

static size_t room_for(const struct series *series)
{
    /* A malformed byte becomes three; each attribute has its name, too. */
    return POINT_BYTES + EXPONENTIAL_BYTES + 3u * series->key_bytes;
}

/* --- numbers ------------------------------------------------------------------------------- */

/* One point; of CPU time by mode. */
static void put_point(struct writer *w, const struct times *times, int64_t number,
    const double *fraction, const char *mode)
{
    const uint8_t *end = w->at;
    if (mode != NULL) {
        put_text(w, 1, mode);
        put_prefix(w, 2, end);
        put_text(w, 1, "cpu.mode");
        put_prefix(w, 7, end);
    }
    if (fraction != NULL)
        put_double(w, 4, *fraction);
    else
        put_number(w, 6, (uint64_t)number);
    put_number(w, 3, times->now_ns);
    put_number(w, 2, times->start_ns);
    put_prefix(w, 1, end);
}

static void put_sum(struct writer *w, enum shape shape, const char *name, const char *description,
    const char *unit, int64_t number, const struct times *times)
{
    const uint8_t *end = w->at;
    if (number < 0)
        return;
    begin_sum(w, shape, times);
    put_point(w, times, number, NULL, NULL);
    put_prefix(w, 7, end);
    put_name(w, name, description, unit, end);
}

/* Always cumulative: no last value of it is kept. */
static void put_cpu_time(
    struct writer *w, const struct process_figures *figures, const struct times *times)
{
    const struct times all = {times->start_ns, times->now_ns, TEMPORALITY_CUMULATIVE};
    const double user = (double)figures->user_ns / 1e9, system = (double)figures->system_ns / 1e9;
    const uint8_t *end = w->at;
    if (figures->user_ns < 0)
        return;
    begin_sum(w, SHAPE_COUNTER, &all);
    put_point(w, &all, 0, &system, "system");
    put_point(w, &all, 0, &user, "user");
    put_prefix(w, 7, end);
    put_name(
        w, "process.cpu.time", "Total CPU seconds broken down by different CPU modes.", "s", end);
}

static void put_figures(struct writer *w, const struct times *times)
{
    struct process_figures figures = process_figures();
    put_sum(w, SHAPE_LEVEL, "process.unix.file_descriptor.count",
        "Number of unix file descriptors in use by the process.", "{file_descriptor}",
        figures.descriptors, times);
    put_sum(w, SHAPE_LEVEL, "process.thread.count", "Process threads count.", "{thread}",
        figures.threads, times);
    put_sum(w, SHAPE_LEVEL, "process.memory.virtual", "The amount of committed virtual memory.",
        "By", figures.virtual, times);
    put_sum(w, SHAPE_LEVEL, "burdock.ring.usage.max",
        "The fullest that a thread's ring was, of 1 MiB.", "By", (int64_t)rings_used_max(), times);
    put_sum(w, SHAPE_LEVEL, "process.memory.usage", "The amount of physical memory in use.", "By",
        figures.resident, times);
    put_cpu_time(w, &figures, times);
}

/* One point by two attributes. */
static void put_attributed_point(struct writer *w, const struct times *times, uint32_t number,
    enum attribute first, const char *one, enum attribute second, const char *other)
{
    const uint8_t *end = w->at;
    const struct span_attribute attributes[] = {
        {.key = first, .text = {one, (uint32_t)strlen(one)}},
        {.key = second, .text = {other, (uint32_t)strlen(other)}}};
    otlp_put_attribute(w, 7, &attributes[1], UINT32_MAX);
    otlp_put_attribute(w, 7, &attributes[0], UINT32_MAX);
    put_number(w, 6, number);
    put_number(w, 3, times->now_ns);
    put_number(w, 2, times->start_ns);
    put_prefix(w, 1, end);
}

/* Of what ever was there. Always cumulative, as CPU time is. */
static void put_connections(struct writer *w, const struct connection_counts *counts,
    enum shape shape, const struct times *times)
{
    static const char *const sides[CONNECTION_SIDES] = {"server", "client"};
    const struct times all = {times->start_ns, times->now_ns, TEMPORALITY_CUMULATIVE};
    const struct writer before = *w;
    const uint8_t *end = w->at;
    bool has_points = false;
    begin_sum(w, shape, &all);
    for (unsigned i = CONNECTION_PROTOCOLS_MAX * CONNECTION_SIDES; i-- > 0;) {
        unsigned row = i / CONNECTION_SIDES, side = i % CONNECTION_SIDES;
        const char *name = connection_protocol_name(row);
        if (counts->begun[row][side] == 0 || name == NULL)
            continue;
        has_points = true;
        put_attributed_point(w, &all,
            shape == SHAPE_LEVEL ? counts->open[row][side] : counts->begun[row][side],
            ATTRIBUTE_NETWORK_PROTOCOL_NAME, name, ATTRIBUTE_BURDOCK_CONNECTION_SIDE, sides[side]);
    }
    if (!has_points) {
        *w = before;
        return;
    }
    put_prefix(w, 7, end);
    if (shape == SHAPE_LEVEL)
        put_name(w, "burdock.connections", "Connections that are open and followed.",
            "{connection}", end);
    else
        put_name(w, "burdock.connections.begun",
            "Connections that were accepted or made, once it is known what they speak.",
            "{connection}", end);
}

/* Semantic conventions 1.44.0, http.server.active_requests. What once was there is told as 0. */
static void put_active(struct writer *w, const struct times *times)
{
    static bool is_known[ACTIVE_METHODS][2];
    static const char *const schemes[] = {"http", "https"};
    struct active_requests active;
    const struct writer before = *w;
    const uint8_t *end = w->at;
    bool has_points = false;
    connection_count_requests(&active);
    begin_sum(w, SHAPE_LEVEL, times);
    for (unsigned i = 2 * ACTIVE_METHODS; i-- > 0;) {
        uint32_t count = active.of[i / 2][i % 2];
        is_known[i / 2][i % 2] |= count > 0;
        if (!is_known[i / 2][i % 2])
            continue;
        has_points = true;
        put_attributed_point(w, times, count, ATTRIBUTE_HTTP_REQUEST_METHOD, active_methods[i / 2],
            ATTRIBUTE_URL_SCHEME, schemes[i % 2]);
    }
    if (!has_points) {
        *w = before;
        return;
    }
    put_prefix(w, 7, end);
    put_name(w, "http.server.active_requests", "Number of active HTTP server requests.",
        "{request}", end);
}

/* Those that have counted: most never do. */
static void put_counters(struct writer *w, const struct metrics *metrics, struct metrics_part *part,
    const struct times *times)
{
    for (unsigned i = COUNTER_COUNT; i-- > 0;) {
        char name[64] = "burdock.";
        part->counters[i] =
            metrics->counters != NULL ? metrics->counters[i] : rings_counter((enum counter)i);
        if (part->counters[i] == 0)
            continue;
        memcpy(name + 8, counter_name((enum counter)i),
            strnlen(counter_name((enum counter)i), sizeof(name) - 9));
        uint64_t before = metrics->is_delta ? metrics->counters_sent[i] : 0;
        put_sum(w, SHAPE_COUNTER, name, counter_text((enum counter)i), "1",
            (int64_t)(part->counters[i] - before), times);
    }
}

static void put_numbers_of_living(struct writer *w, const struct times *times)
{
    struct connection_counts counts;
    connection_count(&counts);
    put_connections(w, &counts, SHAPE_COUNTER, times);
    put_connections(w, &counts, SHAPE_LEVEL, times);
    put_active(w, times);
    put_figures(w, times);
}

/* --- a request ----------------------------------------------------------------------------- */

bool metrics_write(
    const struct metrics *metrics, struct otlp_batch *batch, struct metrics_part *part)
{
    const struct metrics_memory *memory = metrics->memory;
    bool is_first = !part->has_numbers && part->end == 0;
    size_t room = (size_t)(batch->start - batch->base);
    size_t needed = OTLP_RESOURCE_BYTES_MAX + OTLP_ENVELOPE_BYTES_MAX +
                    MEASURE_COUNT * METRIC_BYTES + (is_first ? NUMBERS_BYTES : 0);
    if (memory == NULL || room < needed || (!is_first && part->end == memory->series_count))
        return false;
    struct writer writer = {.at = batch->start};
    bool is_later = metrics->is_delta && metrics->sent_ns != 0;
    struct times times = {is_later ? metrics->sent_ns : metrics->begun_ns, part->now_ns,
        metrics->is_delta ? TEMPORALITY_DELTA : TEMPORALITY_CUMULATIVE};
    part->has_numbers = is_first;
    if (is_first) {
        put_counters(&writer, metrics, part, &times);
        if (metrics->ended_ns == 0)
            put_numbers_of_living(&writer, &times);
        batch->spans++;
    }
    for (part->first = part->end; part->end < memory->series_count; part->end++) {
        needed += room_for(&memory->series[part->end]);
        if (needed > room)
            break;
    }
    writer.slack = room; /* paid for by room_for */
    for (unsigned i = MEASURE_COUNT; i-- > 0;)
        batch->spans += put_measure(&writer, memory, i, part, &times);
    batch->start = writer.at;
    return true;
}
