/* SPDX-License-Identifier: Apache-2.0 */
/* Spans for people and jq: the form of `burdock show --json`; and lines of logs beside them. Field
 * numbers are those of OTLP. They are of this library, whose attributes are texts, numbers and
 * truth values. */
#include "otlp_json.h"
#include "otlp_read.h"
#include "utc.h"

/* The first field of this number in a message; all zero but for data if there is none. */
static struct wire_field find(
    const struct wire_field *message, uint32_t number, enum wire_type type)
{
    struct wire_field found;
    if (wire_find(message->data, message->length, number, type, &found))
        return found;
    return (struct wire_field){.data = message->data};
}

/* The next field of this number and of bytes. */
static bool next(
    const uint8_t **at, const struct wire_field *message, uint32_t number, struct wire_field *field)
{
    while (wire_next(at, message->data + message->length, field))
        if (field->number == number && field->type == WIRE_BYTES)
            return true;
    return false;
}

static void put_value(struct json_writer *w, const struct wire_field *any)
{
    const uint8_t *at = any->data;
    struct wire_field value = {0};
    if (!wire_next(&at, any->data + any->length, &value))
        json_put_word(w, NULL, "null");
    else if (value.type == WIRE_BYTES)
        json_put_text(w, NULL, value.data, value.length);
    else if (value.number == 2)
        json_put_word(w, NULL, value.value ? "true" : "false");
    else
        json_put_integer(w, NULL, (int64_t)value.value);
}

static void put_attributes(struct json_writer *w, const struct wire_field *message, uint32_t number)
{
    const uint8_t *at = message->data;
    struct wire_field pair;
    json_put_open(w, "attributes", '{');
    while (next(&at, message, number, &pair)) {
        struct wire_field key = find(&pair, 1, WIRE_BYTES), any = find(&pair, 2, WIRE_BYTES);
        json_put_key(w, key.data, key.length);
        put_value(w, &any);
    }
    json_put_close(w, '}');
}

static void put_hex(
    struct json_writer *w, const char *key, const struct wire_field *message, uint32_t number)
{
    struct wire_field id = find(message, number, WIRE_BYTES);
    if (id.length > 0)
        json_put_hex(w, key, id.data, id.length);
    else
        json_put_word(w, key, "null");
}

static void put_time(struct json_writer *w, const char *key, uint64_t unix_ns)
{
    char text[40];
    struct format time;
    format_start(&time, text, sizeof(text));
    utc_format(&time, unix_ns, 9);
    json_put_text(w, key, text, (size_t)(time.at - text));
}

static void put_links(struct json_writer *w, const struct wire_field *span)
{
    const uint8_t *at = span->data;
    struct wire_field link;
    json_put_open(w, "links", '[');
    while (next(&at, span, 13, &link)) {
        json_put_open(w, NULL, '{');
        put_hex(w, "trace_id", &link, 1);
        put_hex(w, "span_id", &link, 2);
        json_put_close(w, '}');
    }
    json_put_close(w, ']');
    uint64_t dropped = find(span, 14, WIRE_VARINT).value;
    if (dropped > 0)
        json_put_integer(w, "dropped_links", (int64_t)dropped);
}

static void put_events(struct json_writer *w, const struct wire_field *span)
{
    const uint8_t *at = span->data;
    struct wire_field event;
    json_put_open(w, "events", '[');
    while (next(&at, span, 11, &event)) {
        struct wire_field name = find(&event, 2, WIRE_BYTES);
        json_put_open(w, NULL, '{');
        json_put_text(w, "name", name.data, name.length);
        put_time(w, "time", find(&event, 1, WIRE_FIXED64).value);
        put_attributes(w, &event, 3);
        json_put_close(w, '}');
    }
    json_put_close(w, ']');
}

static void put_name_of(struct json_writer *w, const char *key, const char *const names[],
    uint64_t count, uint64_t number)
{
    const char *name = names[number < count ? number : 0];
    json_put_text(w, key, name, strlen(name));
}

static void put_span(
    struct json_writer *w, const struct wire_field *span, const struct wire_field *service)
{
    static const char *const kinds[] = {
        "unspecified", "internal", "server", "client", "producer", "consumer"};
    static const char *const statuses[] = {"unset", "ok", "error"};
    struct wire_field name = find(span, 5, WIRE_BYTES), status = find(span, 15, WIRE_BYTES);
    struct wire_field message = find(&status, 2, WIRE_BYTES);
    uint64_t start = find(span, 7, WIRE_FIXED64).value, end = find(span, 8, WIRE_FIXED64).value;
    w->need_comma = false;
    json_put_open(w, NULL, '{');
    json_put_integer(w, "v", 1);
    put_hex(w, "trace_id", span, 1);
    put_hex(w, "span_id", span, 2);
    put_hex(w, "parent_id", span, 4);
    json_put_text(w, "name", name.data, name.length);
    put_name_of(w, "kind", kinds, 6, find(span, 6, WIRE_VARINT).value);
    json_put_text(w, "service", service->data, service->length);
    put_time(w, "start", start);
    json_put_real(w, "duration_ms", (double)(end > start ? end - start : 0) / 1e6);
    put_name_of(w, "status", statuses, 3, find(&status, 3, WIRE_VARINT).value);
    json_put_text(w, "status_message", message.data, message.length);
    put_attributes(w, span, 9);
    put_links(w, span);
    put_events(w, span);
    json_put_close(w, '}');
    json_put_raw(w, "\n", 1);
}

static struct wire_field service_of(const struct wire_field *resource)
{
    static const char name[] = "service.name";
    const uint8_t *at = resource->data;
    struct wire_field pair;
    while (next(&at, resource, 1, &pair)) {
        struct wire_field key = find(&pair, 1, WIRE_BYTES), any = find(&pair, 2, WIRE_BYTES);
        if (key.length == sizeof(name) - 1 && memcmp(key.data, name, key.length) == 0)
            return find(&any, 1, WIRE_BYTES);
    }
    return (struct wire_field){.data = resource->data};
}

static void put_log(
    struct json_writer *w, const struct wire_field *log, const struct wire_field *service)
{
    struct wire_field body = find(log, 5, WIRE_BYTES), word = find(log, 3, WIRE_BYTES);
    w->need_comma = false;
    json_put_open(w, NULL, '{');
    json_put_integer(w, "v", 1);
    put_time(w, "observed", find(log, 11, WIRE_FIXED64).value);
    put_hex(w, "trace_id", log, 9);
    put_hex(w, "span_id", log, 10);
    json_put_text(w, "service", service->data, service->length);
    json_put_integer(w, "severity_number", (int64_t)find(log, 2, WIRE_VARINT).value);
    json_put_text(w, "severity", word.data, word.length);
    json_put_key(w, "body", 4);
    put_value(w, &body);
    put_attributes(w, log, 6);
    json_put_close(w, '}');
    json_put_raw(w, "\n", 1);
}

static void put_metric(
    struct json_writer *w, const struct wire_field *metric, const struct wire_field *service)
{
    w->need_comma = false;
    json_put_open(w, NULL, '{');
    json_put_integer(w, "v", 1);
    json_put_text(w, "service", service->data, service->length);
    otlp_json_put_metric(w, "metric", metric->data, metric->length);
    json_put_close(w, '}');
    json_put_raw(w, "\n", 1);
}

typedef void putter(
    struct json_writer *w, const struct wire_field *item, const struct wire_field *service);

static struct json_text each(const uint8_t *request, size_t length, putter *put)
{
    struct json_writer w;
    struct wire_field whole = {.data = request, .length = length}, of, scope, item;
    if (!otlp_json_begin(&w, length))
        return (struct json_text){NULL, 0};
    for (const uint8_t *at = request; next(&at, &whole, 1, &of);) {
        struct wire_field resource = find(&of, 1, WIRE_BYTES);
        struct wire_field service = service_of(&resource);
        for (const uint8_t *in = of.data; next(&in, &of, 2, &scope);)
            for (const uint8_t *items = scope.data; next(&items, &scope, 2, &item);)
                put(&w, &item, &service);
    }
    return otlp_json_end(&w);
}

struct json_text otlp_json_events(enum signal signal, const uint8_t *request, size_t length)
{
    static putter *const putters[SIGNAL_COUNT] = {
        [SIGNAL_TRACES] = put_span, [SIGNAL_METRICS] = put_metric, [SIGNAL_LOGS] = put_log};
    return each(request, length, putters[signal]);
}
