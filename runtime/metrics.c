/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A series is found by its key: the values that tell it apart, one after the other as the span has
 * them, so that nothing is encoded but when it is sent.
 */
#include "metrics_internal.h"

#include <string.h>

#include "copy.h"
#include "memory.h"
#include "process.h"

static const struct bounds http_bounds = {
    14, {5, 10, 25, 50, 75, 100, 250, 500, 750, 1000, 2500, 5000, 7500, 10000}};
static const struct bounds database_bounds = {9, {1, 5, 10, 50, 100, 500, 1000, 5000, 10000}};

const struct measure_row measure_rows[MEASURE_COUNT] = {
#define HISTOGRAM(id, name, description, bounds) {name, description, &bounds},
#define SUM(id, name, description) {name, description, NULL},
#define DIMENSION(attribute, measures)
#include "metrics.def"
#undef HISTOGRAM
#undef SUM
#undef DIMENSION
};

#define BIT(id) (1u << MEASURE_##id)
#define MESSAGES (BIT(MESSAGING) | BIT(PROCESS) | BIT(SENT) | BIT(CONSUMED))
static const uint8_t dimensions[ATTRIBUTE_COUNT] = {
#define HISTOGRAM(id, name, description, bounds)
#define SUM(id, name, description)
#define DIMENSION(attribute, measures) [ATTRIBUTE_##attribute] = (measures),
#include "metrics.def"
#undef HISTOGRAM
#undef SUM
#undef DIMENSION
};
#undef BIT
#undef MESSAGES

void metrics_init(struct metrics *metrics, const struct config *config)
{
    memset(metrics, 0, sizeof(*metrics));
    metrics->config = config;
    metrics->is_delta = config->delta;
    metrics->is_exponential = config->exponential;
}

static int duration_of(const struct span *span)
{
    for (unsigned i = 0; i < span->attribute_count; i++) {
        if (span->attributes[i].key == ATTRIBUTE_HTTP_REQUEST_METHOD)
            return span->kind == SPAN_KIND_SERVER ? MEASURE_HTTP_SERVER : MEASURE_HTTP_CLIENT;
        if (span->attributes[i].key == ATTRIBUTE_DB_SYSTEM_NAME)
            return MEASURE_DATABASE;
        if (span->attributes[i].key == ATTRIBUTE_MESSAGING_SYSTEM)
            return span->kind == SPAN_KIND_CONSUMER ? MEASURE_PROCESS : MEASURE_MESSAGING;
    }
    return -1;
}

/* 0: longer than a key may be. */
static size_t make_key(const struct span *span, unsigned measure, uint8_t *key)
{
    size_t used = 0;
    for (unsigned i = 0; i < span->attribute_count; i++) {
        const struct span_attribute *value = &span->attributes[i];
        size_t length = value->kind != SPAN_VALUE_TEXT ? sizeof(value->number) : value->text.length;
        struct key_head head = {
            (uint16_t)value->key, value->kind != SPAN_VALUE_TEXT ? KEY_NUMBER : (uint16_t)length};
        if (!(dimensions[value->key] & 1u << measure))
            continue;
        if (length > SERIES_KEY_BYTES_MAX - used - sizeof(head) ||
            used + sizeof(head) > SERIES_KEY_BYTES_MAX)
            return 0;
        memcpy(key + used, &head, sizeof(head));
        used += sizeof(head);
        if (value->kind != SPAN_VALUE_TEXT)
            memcpy(key + used, &value->number, sizeof(value->number));
        else
            copy_short(key + used, value->text.text, length);
        used += length;
    }
    return used;
}

/* Multiply and fold, eight bytes at a time; what follows the key's end is zero. */
static uint64_t hash_of(const uint8_t *key, size_t bytes, unsigned measure)
{
    uint64_t hash = 0x9E3779B97F4A7C15u + measure;
    for (size_t at = 0; at < bytes; at += 8) {
        uint64_t word;
        memcpy(&word, key + at, sizeof(word));
        hash = (hash ^ word) * 0xFF51AFD7ED558CCDu;
        hash ^= hash >> 32;
    }
    return hash;
}

static struct series *begin_series(struct metrics_memory *memory, unsigned measure)
{
    struct series *series = &memory->series[memory->series_count++];
    series->measure = (uint8_t)measure;
    if (memory->exponentials != NULL)
        exponential_reset(&memory->exponentials[memory->series_count - 1]);
    memory->counts[measure]++;
    return series;
}

static struct series *overflow(struct metrics_memory *memory, unsigned measure)
{
    if (memory->overflow[measure] == 0) {
        struct series *made = begin_series(memory, measure);
        made->is_overflow = true;
        memory->overflow[measure] = (uint16_t)memory->series_count;
    }
    return &memory->series[memory->overflow[measure] - 1];
}

/* One series of each is kept for its overflow. */
static bool has_room(const struct metrics_memory *memory, unsigned measure, size_t bytes)
{
    return memory->counts[measure] < TELLS_APART_MAX - 1 &&
           memory->series_count < SERIES_MAX - MEASURE_COUNT &&
           bytes <= KEYS_BYTES - memory->keys_used;
}

static struct series *find(struct metrics_memory *memory, unsigned measure, const uint8_t *key,
    size_t bytes, uint64_t hash)
{
    uint32_t at = (uint32_t)(hash % INDEX_SIZE);
    for (; memory->index[at] != 0; at = (at + 1) % INDEX_SIZE) {
        struct series *series = &memory->series[memory->index[at] - 1];
        if (series->hash == hash && series->measure == measure && series->key_bytes == bytes &&
            memcmp(memory->keys + series->key_at, key, bytes) == 0)
            return series;
    }
    if (!has_room(memory, measure, bytes))
        return overflow(memory, measure);
    struct series *series = begin_series(memory, measure);
    series->hash = hash;
    series->key_at = memory->keys_used;
    series->key_bytes = (uint16_t)bytes;
    memcpy(memory->keys + memory->keys_used, key, bytes);
    memory->keys_used += (uint32_t)bytes;
    memory->index[at] = (uint16_t)memory->series_count;
    return series;
}

static void note_exemplar(const struct metrics *metrics, struct exemplar *exemplar,
    const struct span *span, uint64_t duration_ns)
{
    bool is_sampled = span->flags & 1;
    if (metrics->config->exemplars == EXEMPLAR_ALWAYS_OFF ||
        (metrics->config->exemplars == EXEMPLAR_TRACE_BASED && !is_sampled))
        return;
    exemplar->time_ns = span->end_ns;
    exemplar->duration_ns = duration_ns;
    memcpy(exemplar->trace_id, span->trace_id, sizeof(exemplar->trace_id));
    memcpy(exemplar->span_id, span->span_id, sizeof(exemplar->span_id));
}

static void count(const struct metrics *metrics, struct series *series, const struct span *span)
{
    uint64_t duration_ns = span->end_ns > span->start_ns ? span->end_ns - span->start_ns : 0;
    const struct bounds *bounds = measure_rows[series->measure].bounds;
    unsigned bucket = 0;
    while (bucket < bounds->count && duration_ns > bounds->ms[bucket] * 1000000ull)
        bucket++;
    if (series->count == 0 || duration_ns < series->least_ns)
        series->least_ns = duration_ns;
    if (series->count == 0 || duration_ns > series->most_ns)
        series->most_ns = duration_ns;
    series->count++;
    series->sum_ns += duration_ns;
    series->buckets[bucket]++;
    if (metrics->memory->exponentials != NULL)
        exponential_add(&metrics->memory->exponentials[series - metrics->memory->series],
            (double)duration_ns / 1e9);
    note_exemplar(metrics, &series->exemplars[bucket], span, duration_ns);
}

static uint64_t next_due(const struct metrics *metrics)
{
    return process_monotonic_ns() + metrics->config->metric_interval_ms * 1000000ull;
}

bool metrics_begin(struct metrics *metrics)
{
    metrics->memory = memory_map(sizeof(*metrics->memory));
    if (metrics->memory == NULL)
        return false;
    if (metrics->is_exponential) /* without memory: explicit ones */
        metrics->memory->exponentials = memory_map(SERIES_MAX * sizeof(struct exponential));
    metrics->due_ns = next_due(metrics);
    return true;
}

void metrics_end(struct metrics *metrics)
{
    if (metrics->memory == NULL)
        return;
    if (metrics->memory->exponentials != NULL)
        memory_unmap(metrics->memory->exponentials, SERIES_MAX * sizeof(struct exponential));
    memory_unmap(metrics->memory, sizeof(*metrics->memory));
}

/* NULL: there is no memory. */
static struct series *series_of(struct metrics *metrics, const struct span *span, unsigned measure)
{
    uint8_t key[SERIES_KEY_BYTES_MAX + 8];
    if (metrics->memory == NULL) {
        if (!metrics_begin(metrics))
            return NULL;
        metrics->begun_ns = span->start_ns;
    }
    size_t bytes = make_key(span, measure, key);
    memset(key + bytes, 0, 8);
    return bytes == 0 ? overflow(metrics->memory, measure)
                      : find(metrics->memory, measure, key, bytes, hash_of(key, bytes, measure));
}

static bool is_text(const struct span_attribute *value, const char *text)
{
    size_t length = strlen(text);
    return value->text.length == length && memcmp(value->text.text, text, length) == 0;
}

/* Each message counts once. What a receive brought is counted as it is worked on; but of what is
 * fetched ahead few know when that is, so it has been counted by then. */
static void find_messages(
    struct metrics *metrics, const struct span *span, struct measured *measured)
{
    bool is_sent = false, is_fetched = false, is_error = false, is_batch = false, is_kafkas = false;
    measured->message_count = 1;
    for (unsigned i = 0; i < span->attribute_count; i++) {
        const struct span_attribute *value = &span->attributes[i];
        if (value->key == ATTRIBUTE_MESSAGING_OPERATION_TYPE)
            is_sent = is_text(value, "send");
        else if (value->key == ATTRIBUTE_MESSAGING_SYSTEM)
            is_kafkas = is_text(value, "kafka");
        else if (value->key == ATTRIBUTE_MESSAGING_OPERATION_NAME)
            is_fetched = is_text(value, "fetch");
        else if (value->key == ATTRIBUTE_MESSAGING_BATCH_MESSAGE_COUNT) {
            measured->message_count = (uint64_t)value->number;
            is_batch = true;
        }
        is_error |= value->key == ATTRIBUTE_ERROR_TYPE;
    }
    metrics->has_fetched |= is_fetched;
    bool is_counted = is_kafkas && metrics->has_fetched;
    bool is_consumed = is_fetched || (span->kind == SPAN_KIND_CONSUMER && !is_counted);
    if ((is_sent || is_consumed) && !(is_fetched && is_error && !is_batch))
        measured->messages = series_of(metrics, span, is_sent ? MEASURE_SENT : MEASURE_CONSUMED);
}

struct measured metrics_find(struct metrics *metrics, const struct span *span)
{
    struct measured measured = {0};
    int measure = duration_of(span);
    if (measure < 0)
        return measured;
    measured.is_measured = true;
    measured.duration = series_of(metrics, span, (unsigned)measure);
    if (measured.duration != NULL && (measure == MEASURE_MESSAGING || measure == MEASURE_PROCESS))
        find_messages(metrics, span, &measured);
    return measured;
}

void metrics_count(
    struct metrics *metrics, const struct measured *measured, const struct span *span)
{
    if (!measured->is_measured)
        return;
    if (measured->duration == NULL) {
        counter_add(COUNTER_METRICS_DROPPED, 1);
        return;
    }
    count(metrics, measured->duration, span);
    if (measured->messages != NULL)
        measured->messages->count += measured->message_count;
    metrics->is_changed = true;
    metrics->added++;
}

void metrics_sent(struct metrics *metrics, const struct metrics_part *part)
{
    for (uint32_t i = part->first; i < part->end; i++) {
        struct series *series = &metrics->memory->series[i];
        memset(series->exemplars, 0, sizeof(series->exemplars));
        if (!metrics->is_delta)
            continue;
        series->count = series->sum_ns = 0;
        memset(series->buckets, 0, sizeof(series->buckets));
        if (metrics->memory->exponentials != NULL)
            exponential_reset(&metrics->memory->exponentials[i]);
    }
    if (part->has_numbers)
        memcpy(metrics->counters_sent, part->counters, sizeof(metrics->counters_sent));
}

void metrics_done(struct metrics *metrics, uint64_t now_ns)
{
    metrics->due_ns = next_due(metrics);
    if (now_ns == 0)
        return;
    metrics->sent_ns = now_ns;
    metrics->is_changed = false;
}
