/* SPDX-License-Identifier: Apache-2.0 */
/* OTLP as JSON: every form, numbers that can be read back, and requests cut anywhere. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "otlp.h"
#include "otlp_json.h"
#include "propagation.h"
#include "span_build.h"
#include "tap.h"

static uint8_t buffer[128 * 1024];

static bool is(struct json_text json, const char *wanted)
{
    if (json.text && json.length == strlen(wanted) && memcmp(json.text, wanted, json.length) == 0)
        return true;
    printf("# %.*s\n", (int)json.length, json.text ? json.text : "");
    return false;
}

/* ---- fields by hand ---- */

struct bytes {
    uint8_t data[1024];
    size_t length;
};

static void put(struct bytes *b, const void *data, size_t length)
{
    memcpy(b->data + b->length, data, length);
    b->length += length;
}

static void put_tag(struct bytes *b, unsigned field, unsigned type)
{
    uint8_t tag = (uint8_t)(field << 3 | type);
    put(b, &tag, 1);
}

static void put_number(struct bytes *b, unsigned field, uint8_t value)
{
    put_tag(b, field, 0);
    put(b, &value, 1);
}

static void put_eight(struct bytes *b, unsigned field, const void *value)
{
    put_tag(b, field, 1);
    put(b, value, 8);
}

static void put_part(struct bytes *b, unsigned field, const void *data, size_t length)
{
    uint8_t size[2] = {(uint8_t)(length | 0x80), (uint8_t)(length >> 7)};
    put_tag(b, field, 2);
    put(b, size, 2);
    put(b, data, length);
}

static void put_text(struct bytes *b, unsigned field, const char *text)
{
    put_part(b, field, text, strlen(text));
}

static struct bytes wrapped(unsigned field, const struct bytes *inner)
{
    struct bytes b = {.length = 0};
    put_part(&b, field, inner->data, inner->length);
    return b;
}

/* A metric, as the only one of a request. */
static struct bytes request_of(const struct bytes *metric)
{
    struct bytes in = wrapped(2, metric);
    in = wrapped(2, &in);
    return wrapped(1, &in);
}

#define AROUND(metric) "{\"resourceMetrics\":[{\"scopeMetrics\":[{\"metrics\":[" metric "]}]}]}"

static void test_metrics(void)
{
    struct bytes point = {.length = 0}, exemplar = {.length = 0}, buckets = {.length = 0};
    uint64_t time = 1790000000000000001u, counts[2] = {1, UINT64_MAX};
    double sum = 0.25, bounds[2] = {0.005, 7.5};
    int64_t number = -3;
    put_eight(&exemplar, 3, &sum);
    put_part(&exemplar, 5, "\x01\xAB", 2);
    put_eight(&point, 2, &time);
    put_eight(&point, 4, &counts[1]);
    put_eight(&point, 5, &sum);
    put_part(&point, 6, counts, sizeof(counts));
    put_part(&point, 7, bounds, sizeof(bounds));
    put_part(&point, 8, exemplar.data, exemplar.length);
    struct bytes data = wrapped(1, &point);
    put_number(&data, 2, 2);
    struct bytes metric = {.length = 0};
    put_text(&metric, 1, "m");
    put_part(&metric, 9, data.data, data.length);
    struct bytes request = request_of(&metric);
    CHECK(is(otlp_json(SIGNAL_METRICS, request.data, request.length),
              AROUND("{\"name\":\"m\",\"histogram\":{\"dataPoints\":[{\"startTimeUnixNano\":"
                     "\"1790000000000000001\",\"count\":\"18446744073709551615\",\"sum\":0.25,"
                     "\"bucketCounts\":[\"1\",\"18446744073709551615\"],\"explicitBounds\":[0.005,"
                     "7.5],\"exemplars\":[{\"asDouble\":0.25,\"traceId\":\"01ab\"}]}],"
                     "\"aggregationTemporality\":2}}")),
        "a histogram");

    put_number(&buckets, 1, 5); /* zigzag: -3 */
    put_part(&buckets, 2, "\x00\x96\x01", 3);
    point = (struct bytes){.length = 0};
    put_number(&point, 6, 40);
    put_part(&point, 8, buckets.data, buckets.length);
    data = wrapped(1, &point);
    metric = wrapped(10, &data);
    request = request_of(&metric);
    CHECK(is(otlp_json(SIGNAL_METRICS, request.data, request.length),
              AROUND("{\"exponentialHistogram\":{\"dataPoints\":[{\"scale\":20,\"positive\":{"
                     "\"offset\":-3,\"bucketCounts\":[\"0\",\"150\"]}}]}}")),
        "an exponential one");

    point = (struct bytes){.length = 0};
    put_eight(&point, 6, &number);
    data = wrapped(1, &point);
    put_number(&data, 3, 1);
    metric = wrapped(7, &data);
    request = request_of(&metric);
    CHECK(is(otlp_json(SIGNAL_METRICS, request.data, request.length),
              AROUND("{\"sum\":{\"dataPoints\":[{\"asInt\":\"-3\"}],\"isMonotonic\":true}}")),
        "a sum");
}

/* ---- spans ---- */

static struct otlp_batch batch_of(unsigned count)
{
    static struct span_build record;
    static const struct config settings = {
        .attribute_count_limit = 128, .link_count_limit = 128, .attribute_value_limit = UINT32_MAX};
    static const struct trace_link link = {{1}, {2}};
    struct otlp_batch batch;
    otlp_batch_reset(&batch, buffer, sizeof(buffer));
    for (unsigned i = 0; i < count; i++) {
        span_begin(&record, 4);
        struct span *span = &record.span;
        memset(span->trace_id, 0xA1, 16);
        memset(span->span_id, (int)i, 8);
        memset(span->parent_id, 0xFF, 8);
        span->has_parent = i == 0;
        span->kind = SPAN_KIND_CLIENT;
        span->status = i == 0 ? SPAN_STATUS_ERROR : SPAN_STATUS_UNSET;
        span->flags = 0x301;
        span->start_ns = 1790000000123456789u;
        span->end_ns = span->start_ns + 1500000;
        span->name = span_put(&record, "GET \"\\\x01\x7F", 8);
        span->links = (const uint8_t *)&link;
        span->link_count = i == 0;
        span->links_dropped = i == 0 ? 300 : 0;
        span_put_text(&record, 0, ATTRIBUTE_URL_PATH, "/\xC3\xA9\xC2\x9B\xFF", 6);
        span_put_number(&record, 1, ATTRIBUTE_SERVER_PORT, -80);
        span_put_number(&record, 2, ATTRIBUTE_TLS_RESUMED, 1);
        span->attributes[2].kind = SPAN_VALUE_BOOLEAN;
        span_put_text(&record, 3, ATTRIBUTE_URL_SCHEME, "http", 4);
        if (i == 0) {
            span->attribute_count = 3;
            span->event = (struct span_event){{"e", 1}, 1790000000000000000u, 1};
        }
        otlp_batch_add(&batch, span, &settings);
    }
    static const uint8_t resource[] = "\x0A\x13\x0A\x0Cservice.name\x12\x03\x0A\x01s";
    otlp_batch_finish(&batch, resource, sizeof(resource) - 1);
    return batch;
}

#define ID "a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1"
#define SCHEMA "\"schemaUrl\":\"https://opentelemetry.io/schemas/1.44.0\""

static void test_spans(void)
{
    struct otlp_batch batch = batch_of(1);
    size_t length = (size_t)(batch.limit - batch.start);
    CHECK(
        is(otlp_json(SIGNAL_TRACES, batch.start, length),
            "{\"resourceSpans\":[{\"resource\":{\"attributes\":[{\"key\":\"service.name\","
            "\"value\":{\"stringValue\":\"s\"}}]},\"scopeSpans\":[{\"scope\":{\"name\":\"burdock\","
            "\"version\":\"" BURDOCK_VERSION "\"},\"spans\":[{\"traceId\":\"" ID
            "\",\"spanId\":\"0000000000000000\",\"parentSpanId\":\"ffffffffffffffff\",\"flags\":"
            "769,\"name\":\"GET \\\"\\\\\\u0001\\u007f\",\"kind\":3,\"startTimeUnixNano\":"
            "\"1790000000123456789\",\"endTimeUnixNano\":\"1790000000124956789\",\"attributes\":["
            "{\"key\":\"url.path\",\"value\":{\"stringValue\":\"/\xC3\xA9\\u009b\xEF\xBF\xBD\"}},"
            "{\"key\":\"server.port\",\"value\":{\"intValue\":\"-80\"}},"
            "{\"key\":\"tls.resumed\",\"value\":{\"boolValue\":true}}],"
            "\"events\":[{\"timeUnixNano\":\"1790000000000000000\",\"name\":\"e\",\"attributes\":["
            "{\"key\":\"url.scheme\",\"value\":{\"stringValue\":\"http\"}}]}],"
            "\"links\":[{\"traceId\":\"01000000000000000000000000000000\",\"spanId\":"
            "\"0200000000000000\"}],\"droppedLinksCount\":300,\"status\":{\"code\":2}}]," SCHEMA
            "}]," SCHEMA "}]}"),
        "a span");
    CHECK(is(otlp_json_events(SIGNAL_TRACES, batch.start, length),
              "{\"v\":1,\"trace_id\":\"" ID
              "\",\"span_id\":\"0000000000000000\",\"parent_id\":\"ffffffffffffffff\",\"name\":"
              "\"GET \\\"\\\\\\u0001\\u007f\",\"kind\":\"client\",\"service\":\"s\",\"start\":"
              "\"2026-09-21T14:13:20.123456789Z\",\"duration_ms\":1.5,\"status\":\"error\","
              "\"status_message\":\"\",\"attributes\":{\"url.path\":"
              "\"/\xC3\xA9\\u009b\xEF\xBF\xBD\",\"server.port\":-80,\"tls.resumed\":true},"
              "\"links\":[{\"trace_id\":\"01000000000000000000000000000000\",\"span_id\":"
              "\"0200000000000000\"}],\"dropped_links\":300,\"events\":[{\"name\":\"e\",\"time\":"
              "\"2026-09-21T14:13:20.000000000Z\",\"attributes\":{\"url.scheme\":\"http\"}}]}\n"),
        "the same for people");
}

/* Whatever is cut off, what is read lies within, and the memory has room for what is written. */
static void test_cut(void)
{
    struct otlp_batch batch = batch_of(3);
    size_t length = (size_t)(batch.limit - batch.start);
    bool is_sound = true;
    for (size_t cut = 0; cut <= length; cut++) {
        uint8_t *copy = malloc(cut + 1);
        memcpy(copy, batch.start, cut);
        for (int signal = SIGNAL_TRACES; signal < SIGNAL_COUNT; signal++)
            is_sound &= otlp_json((enum signal)signal, copy, cut).text != NULL &&
                        otlp_json_events((enum signal)signal, copy, cut).text != NULL;
        for (size_t i = 0; i < cut; i++)
            copy[i] = (uint8_t)(copy[i] * 31 + cut);
        is_sound &= otlp_json(SIGNAL_METRICS, copy, cut).text != NULL;
        free(copy);
    }
    CHECK(is_sound, "%zu requests, cut and garbled", 2 * length);
}

static void test_much(void)
{
    enum { BYTES = 100000 };
    struct json_text json;
    uint8_t *request = malloc(BYTES);
    memset(request, 1, BYTES);
    memcpy(request, "\x0A\x9B\x8D\x06\x1A\x97\x8D\x06", 8); /* a schema URL of control characters */
    json = otlp_json(SIGNAL_TRACES, request, 8 + 99991);
    CHECK(json.text != NULL && json.length > 6 * 99000, "a text that grows six times has room");
    json = otlp_json(SIGNAL_TRACES, request, 0);
    CHECK(is(json, "{}"), "nothing is an empty request");
    free(request);
}

static double read_back(double value)
{
    char text[64];
    struct json_writer w = {.at = text, .limit = text + sizeof(text) - 1};
    json_put_real(&w, NULL, value);
    *w.at = 0;
    return strtod(text, NULL);
}

static void test_numbers(void)
{
    uint64_t seed = 88172645463325252u;
    unsigned same = 0, near = 0;
    enum { TIMES = 20000 };
    for (unsigned i = 0; i < TIMES; i++) {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        double value = (double)(seed >> (11 + seed % 50)) / 1e9;
        same += read_back(value) == value;
        double other = ldexp((double)(seed >> 11), (int)(seed % 1000) - 500);
        near += fabs(read_back(-other) + other) <= fabs(other) * 1e-13;
    }
    CHECK(same == TIMES, "%u of %u nanoseconds as seconds are read back the same", same, TIMES);
    CHECK(near == TIMES, "%u of %u other numbers to 13 digits", near, TIMES);
    CHECK(read_back(0) == 0 && read_back(1e15) == 1e15 && read_back(-2.5) == -2.5, "edges");
    char text[64];
    struct json_writer w = {.at = text, .limit = text + sizeof(text)};
    json_put_real(&w, NULL, (double)NAN);
    json_put_real(&w, NULL, -(double)INFINITY);
    json_put_base64(&w, NULL, (const uint8_t *)"\x00\xFF\x10\x80", 4);
    CHECK(is((struct json_text){text, (size_t)(w.at - text)}, "\"NaN\",\"-Infinity\",\"AP8QgA==\""),
        "no numbers, and base64");
    w = (struct json_writer){.at = text, .limit = text + 3};
    json_put_integer_text(&w, NULL, 123);
    CHECK(w.full && w.at <= text + 3, "no room is said");
}

int main(void)
{
    test_metrics();
    test_spans();
    test_cut();
    test_much();
    test_numbers();
    return tap_done();
}
