/* SPDX-License-Identifier: Apache-2.0 */
/* Metrics of made-up operations, read back by protobuf-c. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "counters.h"
#include "metrics.h"
#include "otlp.pb-c.h"
#include "otlp_json.h"
#include "tap.h"

enum { BUFFER_BYTES = 256 * 1024, MS = 1000000 };

static const uint64_t BEGIN = 1700000000000000000u;
static uint8_t buffer[BUFFER_BYTES];
static struct config settings;
static struct metrics metrics;

static struct span_attribute text(enum attribute key, const char *value)
{
    return (struct span_attribute){.key = key, .text = {value, (uint32_t)strlen(value)}};
}

static struct span_attribute number(enum attribute key, int64_t value)
{
    return (struct span_attribute){.key = key, .kind = SPAN_VALUE_INTEGER, .number = value};
}

static struct span span_of(uint8_t kind, uint64_t duration_ns, bool is_sampled)
{
    static uint8_t serial;
    struct span span = {.kind = kind, .start_ns = BEGIN, .end_ns = BEGIN + duration_ns};
    span.flags = is_sampled ? 1 : 0;
    memset(span.trace_id, ++serial, sizeof(span.trace_id));
    memset(span.span_id, serial, sizeof(span.span_id));
    return span;
}

static void add(const struct span *span)
{
    struct measured measured = metrics_find(&metrics, span);
    metrics_count(&metrics, &measured, span);
}

static void put(struct span *span, struct span_attribute attribute)
{
    span->attributes[span->attribute_count++] = attribute;
}

static void serve(uint64_t duration_ns, const char *method, int64_t status, bool is_sampled)
{
    struct span span = span_of(SPAN_KIND_SERVER, duration_ns, is_sampled);
    put(&span, text(ATTRIBUTE_HTTP_REQUEST_METHOD, method));
    put(&span, text(ATTRIBUTE_URL_PATH, "/of/no/interest"));
    put(&span, text(ATTRIBUTE_URL_SCHEME, "http"));
    put(&span, number(ATTRIBUTE_HTTP_RESPONSE_STATUS_CODE, status));
    add(&span);
}

static void query(uint64_t duration_ns, const char *summary)
{
    struct span span = span_of(SPAN_KIND_CLIENT, duration_ns, true);
    put(&span, text(ATTRIBUTE_DB_SYSTEM_NAME, "postgresql"));
    put(&span, text(ATTRIBUTE_DB_QUERY_TEXT, "SELECT secret"));
    put(&span, text(ATTRIBUTE_DB_QUERY_SUMMARY, summary));
    add(&span);
}

static void begin(bool delta)
{
    memset(&settings, 0, sizeof(settings));
    memset(counters, 0, sizeof(*counters) * COUNTER_COUNT);
    settings.metric_interval_ms = 60000;
    settings.delta = delta;
    metrics_init(&metrics, &settings);
}

/* --- reading back -------------------------------------------------------------------------- */

enum { REQUESTS_MAX = 64 };

static Otlp__ExportMetricsServiceRequest *requests[REQUESTS_MAX];
static size_t request_count;

static void forget(void)
{
    while (request_count > 0)
        otlp__export_metrics_service_request__free_unpacked(requests[--request_count], NULL);
}

/* As the exporter does it; false: one of them cannot be read. */
static bool export(uint64_t now_ns, bool is_taken, size_t room)
{
    struct metrics_part part = {.now_ns = now_ns};
    struct otlp_batch batch;
    bool is_good = true;
    forget();
    otlp_batch_reset(&batch, buffer, room);
    while (metrics_write(&metrics, &batch, &part) && request_count < REQUESTS_MAX) {
        if (batch.spans > 0) {
            is_good = otlp_batch_finish(&batch, NULL, 0) && is_good;
            requests[request_count] = otlp__export_metrics_service_request__unpack(
                NULL, (size_t)(batch.limit - batch.start), batch.start);
            is_good = is_good && requests[request_count] != NULL;
            request_count++;
        }
        if (is_taken)
            metrics_sent(&metrics, &part);
        otlp_batch_reset(&batch, buffer, room);
    }
    metrics_done(&metrics, is_taken ? now_ns : 0);
    return is_good && request_count > 0;
}

static Otlp__Metric *metric(size_t request, const char *name)
{
    Otlp__ScopeMetrics *scope = requests[request]->resource_metrics[0]->scope_metrics[0];
    for (size_t i = 0; i < scope->n_metrics; i++)
        if (strcmp(scope->metrics[i]->name, name) == 0)
            return scope->metrics[i];
    return NULL;
}

static const char *value_of(const Otlp__HistogramDataPoint *point, const char *key)
{
    static char digits[24];
    for (size_t i = 0; i < point->n_attributes; i++) {
        const Otlp__KeyValue *pair = point->attributes[i];
        if (strcmp(pair->key, key) != 0)
            continue;
        if (pair->value->value_case == OTLP__ANY_VALUE__VALUE_STRING_VALUE)
            return pair->value->string_value;
        snprintf(digits, sizeof(digits), "%lld", (long long)pair->value->int_value);
        return pair->value->value_case == OTLP__ANY_VALUE__VALUE_BOOL_VALUE ? "true" : digits;
    }
    return "";
}

static const Otlp__HistogramDataPoint *point(const char *name, const char *key, const char *value)
{
    Otlp__Metric *found = request_count > 0 ? metric(0, name) : NULL;
    if (found == NULL || found->data_case != OTLP__METRIC__DATA_HISTOGRAM)
        return NULL;
    for (size_t i = 0; i < found->histogram->n_data_points; i++)
        if (strcmp(value_of(found->histogram->data_points[i], key), value) == 0)
            return found->histogram->data_points[i];
    return NULL;
}

static bool is_near(double value, double wanted)
{
    return fabs(value - wanted) < 1e-12;
}

/* --- tests --------------------------------------------------------------------------------- */

#define SERVED "http.server.request.duration"
#define ASKED "db.client.operation.duration"

static void test_histogram(void)
{
    begin(false);
    serve(5 * MS, "GET", 200, false); /* the upper bound is inclusive */
    serve(5 * MS + 1, "GET", 200, true);
    serve(20000ull * MS, "GET", 200, true);
    serve(1 * MS, "POST", 500, false);
    query(2 * MS, "SELECT things");
    CHECK(export(BEGIN + 9, true, BUFFER_BYTES) && request_count == 1, "one request");
    const Otlp__HistogramDataPoint *get = point(SERVED, "http.request.method", "GET");
    CHECK(get != NULL && get->count == 3 && is_near(get->sum, 20.010000001), "count and sum");
    CHECK(get->n_bucket_counts == 15 && get->n_explicit_bounds == 14 &&
              get->bucket_counts[0] == 1 && get->bucket_counts[1] == 1 &&
              get->bucket_counts[14] == 1,
        "buckets");
    CHECK(is_near(get->explicit_bounds[0], 0.005) && is_near(get->explicit_bounds[13], 10),
        "bounds in seconds");
    CHECK(is_near(get->min, 0.005) && is_near(get->max, 20), "extremes");
    CHECK(get->start_time_unix_nano == BEGIN && get->time_unix_nano == BEGIN + 9, "times");
    CHECK(get->n_exemplars == 2 && is_near(get->exemplars[1]->as_double, 20) &&
              get->exemplars[1]->trace_id.len == 16 && get->exemplars[1]->span_id.len == 8,
        "an exemplar of each bucket with one that is sampled");
    CHECK(strcmp(value_of(get, "http.response.status_code"), "200") == 0 &&
              strcmp(value_of(get, "url.scheme"), "http") == 0 && get->n_attributes == 3,
        "what tells it apart, and nothing else");
    CHECK(point(SERVED, "http.request.method", "POST") != NULL, "another series");
    const Otlp__HistogramDataPoint *asked = point(ASKED, "db.query.summary", "SELECT things");
    CHECK(asked != NULL && asked->n_explicit_bounds == 9 && asked->n_attributes == 2,
        "a database has bounds of its own, and no texts");
    CHECK(metric(0, SERVED)->histogram->aggregation_temporality == 2 &&
              strcmp(metric(0, SERVED)->unit, "s") == 0,
        "cumulative, seconds");
}

static void test_temporality(void)
{
    begin(false);
    serve(1 * MS, "GET", 200, true);
    export(BEGIN + 1, true, BUFFER_BYTES);
    serve(1 * MS, "GET", 200, false);
    export(BEGIN + 2, true, BUFFER_BYTES);
    const Otlp__HistogramDataPoint *get = point(SERVED, "http.request.method", "GET");
    CHECK(get != NULL && get->count == 2 && get->start_time_unix_nano == BEGIN &&
              get->n_exemplars == 0,
        "cumulative goes on; an exemplar is told once");

    begin(true);
    serve(1 * MS, "GET", 200, true);
    export(BEGIN + 1, false, BUFFER_BYTES);
    serve(3 * MS, "GET", 200, true);
    export(BEGIN + 2, true, BUFFER_BYTES);
    get = point(SERVED, "http.request.method", "GET");
    CHECK(get != NULL && get->count == 2 && is_near(get->sum, 0.004) &&
              get->start_time_unix_nano == BEGIN,
        "delta: what failed goes with the next");
    serve(2 * MS, "GET", 200, true);
    export(BEGIN + 3, true, BUFFER_BYTES);
    get = point(SERVED, "http.request.method", "GET");
    CHECK(get != NULL && get->count == 1 && is_near(get->min, 0.002) && is_near(get->max, 0.002) &&
              get->start_time_unix_nano == BEGIN + 2,
        "delta: begins where the last one ended");
    CHECK(metric(0, SERVED)->histogram->aggregation_temporality == 1, "and says so");
    export(BEGIN + 4, true, BUFFER_BYTES);
    CHECK(metric(0, SERVED) == NULL, "delta: nothing new, no point");
}

/* Each series once, and no operation lost, in however many requests. */
static void check_many(const char *what, size_t room, unsigned made, size_t least_requests)
{
    uint64_t total = 0, overflow = 0;
    size_t points = 0;
    CHECK(export(BEGIN + 1, true, room) && request_count >= least_requests, "%s: %zu requests",
        what, request_count);
    for (size_t r = 0; r < request_count; r++) {
        Otlp__Metric *found = metric(r, ASKED);
        for (size_t i = 0; found != NULL && i < found->histogram->n_data_points; i++) {
            const Otlp__HistogramDataPoint *one = found->histogram->data_points[i];
            bool is_overflow = strcmp(value_of(one, "otel.metric.overflow"), "true") == 0;
            total += one->count;
            overflow += is_overflow ? one->count : 0;
            points++;
        }
    }
    unsigned kept = made < TELLS_APART_MAX - 1 ? made : TELLS_APART_MAX - 1;
    CHECK(total == made && overflow == made - kept && points == kept + (made > kept),
        "%s: %llu in %zu points, overflow %llu", what, (unsigned long long)total, points,
        (unsigned long long)overflow);
}

static void test_many(void)
{
    char summary[32];
    begin(false);
    for (unsigned i = 0; i < 2500; i++) {
        snprintf(summary, sizeof(summary), "SELECT t%u", i);
        query(1 * MS, summary);
    }
    check_many("too many series", BUFFER_BYTES, 2500, 10);

    static char large[SERIES_KEY_BYTES_MAX + 1];
    memset(large, 'x', SERIES_KEY_BYTES_MAX);
    begin(false);
    query(1 * MS, large);
    export(BEGIN + 1, true, BUFFER_BYTES);
    CHECK(point(ASKED, "otel.metric.overflow", "true") != NULL, "a key too long is overflow");

    begin(false);
    query(1 * MS, "\xff\xfe");
    export(BEGIN + 1, true, BUFFER_BYTES);
    CHECK(point(ASKED, "db.query.summary", "\xEF\xBF\xBD\xEF\xBF\xBD") != NULL, "UTF-8");
}

static void test_numbers(void)
{
    begin(true);
    serve(1 * MS, "GET", 200, true);
    counter_add(COUNTER_SELFCHECK_RIGHT, 3);
    export(BEGIN + 1, true, BUFFER_BYTES);
    Otlp__Metric *right = metric(0, "burdock.attribution.selfcheck.right");
    CHECK(right != NULL && right->data_case == OTLP__METRIC__DATA_SUM && right->sum->is_monotonic &&
              right->sum->aggregation_temporality == 1 && right->sum->data_points[0]->as_int == 3,
        "a counter of ours");
    CHECK(metric(0, "burdock.attribution.selfcheck.wrong") == NULL, "none that never counted");
    counter_add(COUNTER_SELFCHECK_RIGHT, 4);
    export(BEGIN + 2, true, BUFFER_BYTES);
    right = metric(0, "burdock.attribution.selfcheck.right");
    CHECK(right != NULL && right->sum->data_points[0]->as_int == 4, "delta of it");

    Otlp__Metric *cpu = metric(0, "process.cpu.time");
    CHECK(cpu != NULL && cpu->sum->n_data_points == 2 &&
              cpu->sum->data_points[0]->value_case == OTLP__NUMBER_DATA_POINT__VALUE_AS_DOUBLE &&
              strcmp(cpu->sum->data_points[0]->attributes[0]->key, "cpu.mode") == 0 &&
              strcmp(cpu->sum->data_points[0]->attributes[0]->value->string_value, "user") == 0,
        "CPU by mode");
    Otlp__Metric *memory = metric(0, "process.memory.usage");
    CHECK(memory != NULL && !memory->sum->is_monotonic &&
              memory->sum->data_points[0]->as_int > 100000,
        "memory");
    Otlp__Metric *threads = metric(0, "process.thread.count");
    CHECK(threads != NULL && threads->sum->data_points[0]->as_int >= 1, "threads");
    Otlp__Metric *descriptors = metric(0, "process.unix.file_descriptor.count");
    CHECK(descriptors != NULL && descriptors->sum->data_points[0]->as_int >= 3, "descriptors");
}

static void test_other(void)
{
    struct span span = span_of(SPAN_KIND_CLIENT, 1, true);
    begin(false);
    add(&span);
    CHECK(metrics.due_ns == 0 && !export(BEGIN + 1, true, BUFFER_BYTES),
        "nothing is due where nothing is measured");
}

/* The messages are in no proto of ours: read as JSON. */
static bool sends(const char *wanted)
{
    struct metrics_part part = {.now_ns = BEGIN + 1};
    struct otlp_batch batch;
    otlp_batch_reset(&batch, buffer, BUFFER_BYTES);
    if (!metrics_write(&metrics, &batch, &part) || !otlp_batch_finish(&batch, NULL, 0))
        return false;
    struct json_text json =
        otlp_json(SIGNAL_METRICS, batch.start, (size_t)(batch.limit - batch.start));
    bool found = json.text != NULL && memmem(json.text, json.length, wanted, strlen(wanted));
    metrics_sent(&metrics, &part);
    metrics_done(&metrics, part.now_ns);
    return found;
}

static void test_exponential(void)
{
    begin(true);
    settings.exponential = true;
    metrics_init(&metrics, &settings);
    serve(250 * MS, "GET", 200, true);
    serve(250 * MS, "GET", 200, true);
    serve(0, "GET", 200, true);
    CHECK(sends("\"count\":\"3\",\"sum\":0.5,\"scale\":20,\"zeroCount\":\"1\",\"positive\":{"
                "\"offset\":-2097153,\"bucketCounts\":[\"2\"]},\"exemplars\""),
        "exponential buckets");
    serve(500 * MS, "GET", 200, true);
    CHECK(sends("\"count\":\"1\",\"sum\":0.5,\"scale\":20,\"zeroCount\":\"0\",\"positive\":{"
                "\"offset\":-1048577,\"bucketCounts\":[\"1\"]}"),
        "which begin anew, as a delta does");
    bool is_room = true;
    for (uint64_t i = 0; i < 400; i++)
        serve((uint64_t)1 << (i % 45), "GET", 200, false);
    is_room = sends("\"count\":\"400\"");
    CHECK(is_room, "and have room when they are wide");
}

/* What is told of an operation on messages; of no number: one, and no attribute. */
static void message(uint8_t kind, const char *type, const char *name, int64_t many, bool fails)
{
    struct span span = span_of(kind, MS, true);
    put(&span, text(ATTRIBUTE_MESSAGING_SYSTEM, "kafka"));
    put(&span, text(ATTRIBUTE_MESSAGING_OPERATION_NAME, name));
    put(&span, text(ATTRIBUTE_MESSAGING_OPERATION_TYPE, type));
    put(&span, text(ATTRIBUTE_MESSAGING_DESTINATION_NAME, "orders"));
    put(&span, text(ATTRIBUTE_MESSAGING_MESSAGE_ID, "of no interest"));
    put(&span, text(ATTRIBUTE_MESSAGING_CONSUMER_GROUP_NAME, "stock"));
    if (many > 0)
        put(&span, number(ATTRIBUTE_MESSAGING_BATCH_MESSAGE_COUNT, many));
    if (fails)
        put(&span, text(ATTRIBUTE_ERROR_TYPE, "TIMEOUT"));
    add(&span);
}

/* The number of messages of the series with so many attributes; 0: there is none. */
static int64_t messages_of(const char *name, size_t attributes)
{
    const Otlp__Metric *found = request_count > 0 ? metric(0, name) : NULL;
    if (found == NULL || found->data_case != OTLP__METRIC__DATA_SUM || !found->sum->is_monotonic ||
        strcmp(found->unit, "{message}") != 0)
        return 0;
    for (size_t i = 0; i < found->sum->n_data_points; i++)
        if (found->sum->data_points[i]->n_attributes == attributes)
            return found->sum->data_points[i]->as_int;
    return 0;
}

#define SENT "messaging.client.sent.messages"
#define CONSUMED "messaging.client.consumed.messages"

static void test_messages(void)
{
    begin(true);
    message(SPAN_KIND_PRODUCER, "send", "send", 0, false);
    message(SPAN_KIND_CLIENT, "send", "send", 3, false); /* of somebody else's context */
    message(SPAN_KIND_PRODUCER, "send", "send", 2, true);
    message(SPAN_KIND_CLIENT, "settle", "ack", 0, false);
    CHECK(export(BEGIN + 1, true, BUFFER_BYTES) && messages_of(SENT, 3) == 4 &&
              messages_of(SENT, 4) == 2 && metric(0, SENT)->sum->aggregation_temporality == 1,
        "messages that were sent, by system, operation, destination, and error");
    CHECK(metric(0, CONSUMED) == NULL, "none came");
    message(SPAN_KIND_CONSUMER, "process", "process", 0, false);
    message(SPAN_KIND_CLIENT, "receive", "receive", 5, false);
    CHECK(export(BEGIN + 2, true, BUFFER_BYTES) && messages_of(CONSUMED, 4) == 1 &&
              metric(0, SENT) == NULL,
        "those that came count once, as they are worked on");
    message(SPAN_KIND_CLIENT, "receive", "fetch", 5, false);
    message(SPAN_KIND_CLIENT, "receive", "fetch", 0, false);
    message(SPAN_KIND_CLIENT, "receive", "fetch", 0, true);
    message(SPAN_KIND_CLIENT, "receive", "fetch", 7, true);
    CHECK(export(BEGIN + 3, true, BUFFER_BYTES) && messages_of(CONSUMED, 4) == 6 &&
              messages_of(CONSUMED, 5) == 7,
        "or as they are fetched; an error alone brings none");
}

int main(void)
{
    test_histogram();
    test_messages();
    test_temporality();
    test_many();
    test_numbers();
    test_other();
    test_exponential();
    forget();
    return tap_done();
}
