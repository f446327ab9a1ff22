/* SPDX-License-Identifier: Apache-2.0 */
#include "otlp_json.h"

static void write_attributes(
    struct json *json, const char *key, const struct attributes *attributes);

static void write_value(struct json *json, const char *key, const struct value *value)
{
    json_open(json, key, '{');
    switch (value->kind) {
    case VALUE_NONE:
        break;
    case VALUE_TEXT:
        json_text(json, "stringValue", value->text);
        break;
    case VALUE_BOOL:
        json_bool(json, "boolValue", value->truth);
        break;
    case VALUE_INTEGER:
        json_integer_text(json, "intValue", value->integer);
        break;
    case VALUE_REAL:
        json_real(json, "doubleValue", value->real);
        break;
    case VALUE_BYTES:
        json_base64(json, "bytesValue", value->bytes.data, value->bytes.length);
        break;
    case VALUE_LIST:
        json_open(json, "arrayValue", '{');
        json_open(json, "values", '[');
        for (size_t i = 0; i < value->list.count; i++)
            write_value(json, NULL, &value->list.items[i]);
        json_close(json, ']');
        json_close(json, '}');
        break;
    case VALUE_MAP:
        json_open(json, "kvlistValue", '{');
        write_attributes(json, "values", &value->map);
        json_close(json, '}');
        break;
    }
    json_close(json, '}');
}

static void write_attributes(
    struct json *json, const char *key, const struct attributes *attributes)
{
    json_open(json, key, '[');
    for (size_t i = 0; i < attributes->count; i++) {
        json_open(json, NULL, '{');
        json_text(json, "key", attributes->items[i].key);
        write_value(json, "value", &attributes->items[i].value);
        json_close(json, '}');
    }
    json_close(json, ']');
}

/* Fields at their default are left out, as in the binary form. */
static void text_if(struct json *json, const char *key, const char *text)
{
    if (*text)
        json_text(json, key, text);
}

static void count_if(struct json *json, const char *key, uint32_t count)
{
    if (count)
        json_integer(json, key, count);
}

static void attributes_if(struct json *json, const struct attributes *attributes)
{
    if (attributes->count)
        write_attributes(json, "attributes", attributes);
    count_if(json, "droppedAttributesCount", attributes->dropped);
}

static void write_events(struct json *json, const struct stored_span *span)
{
    if (span->event_count) {
        json_open(json, "events", '[');
        for (size_t i = 0; i < span->event_count; i++) {
            const struct span_event *event = &span->events[i];
            json_open(json, NULL, '{');
            json_unsigned_text(json, "timeUnixNano", event->time_ns);
            json_text(json, "name", event->name);
            attributes_if(json, &event->attributes);
            json_close(json, '}');
        }
        json_close(json, ']');
    }
    count_if(json, "droppedEventsCount", span->events_dropped);
}

static void write_links(struct json *json, const struct stored_span *span)
{
    if (span->link_count) {
        json_open(json, "links", '[');
        for (size_t i = 0; i < span->link_count; i++) {
            const struct span_link *link = &span->links[i];
            json_open(json, NULL, '{');
            json_hex(json, "traceId", link->trace_id, 16);
            json_hex(json, "spanId", link->span_id, 8);
            text_if(json, "traceState", link->trace_state);
            attributes_if(json, &link->attributes);
            count_if(json, "flags", link->flags);
            json_close(json, '}');
        }
        json_close(json, ']');
    }
    count_if(json, "droppedLinksCount", span->links_dropped);
}

static void write_status(struct json *json, const struct stored_span *span)
{
    json_open(json, "status", '{');
    text_if(json, "message", span->status_message);
    if (span->status)
        json_integer(json, "code", span->status);
    json_close(json, '}');
}

static void write_span(struct json *json, const struct stored_span *span)
{
    json_open(json, NULL, '{');
    json_hex(json, "traceId", span->trace_id, 16);
    json_hex(json, "spanId", span->span_id, 8);
    text_if(json, "traceState", span->trace_state);
    if (span->has_parent)
        json_hex(json, "parentSpanId", span->parent_id, 8);
    count_if(json, "flags", span->flags);
    json_text(json, "name", span->name);
    json_integer(json, "kind", span->kind);
    json_unsigned_text(json, "startTimeUnixNano", span->start_ns);
    json_unsigned_text(json, "endTimeUnixNano", span->end_ns);
    attributes_if(json, &span->attributes);
    write_events(json, span);
    write_links(json, span);
    write_status(json, span);
    json_close(json, '}');
}

static void write_scope(struct json *json, const struct scope *scope)
{
    json_open(json, NULL, '{');
    json_open(json, "scope", '{');
    text_if(json, "name", scope->name);
    text_if(json, "version", scope->version);
    attributes_if(json, &scope->attributes);
    json_close(json, '}');
    json_open(json, "spans", '[');
    for (size_t i = 0; i < scope->span_count; i++)
        write_span(json, &scope->spans[i]);
    json_close(json, ']');
    text_if(json, "schemaUrl", scope->schema_url);
    json_close(json, '}');
}

static void write_resource(struct json *json, const struct resource *resource)
{
    json_open(json, NULL, '{');
    json_open(json, "resource", '{');
    attributes_if(json, &resource->attributes);
    json_close(json, '}');
    json_open(json, "scopeSpans", '[');
    for (size_t i = 0; i < resource->scope_count; i++)
        write_scope(json, &resource->scopes[i]);
    json_close(json, ']');
    text_if(json, "schemaUrl", resource->schema_url);
    json_close(json, '}');
}

void otlp_json_request(FILE *stream, const struct request *request)
{
    struct json json = {.stream = stream};
    json_open(&json, NULL, '{');
    json_open(&json, "resourceSpans", '[');
    for (size_t i = 0; i < request->resource_count; i++)
        write_resource(&json, &request->resources[i]);
    json_close(&json, ']');
    json_close(&json, '}');
    fputc('\n', stream);
}

void json_value(struct json *json, const char *key, const struct value *value)
{
    switch (value->kind) {
    case VALUE_NONE:
        json_null(json, key);
        break;
    case VALUE_TEXT:
        json_text(json, key, value->text);
        break;
    case VALUE_BOOL:
        json_bool(json, key, value->truth);
        break;
    case VALUE_INTEGER:
        json_integer(json, key, value->integer);
        break;
    case VALUE_REAL:
        json_real(json, key, value->real);
        break;
    case VALUE_BYTES:
        json_base64(json, key, value->bytes.data, value->bytes.length);
        break;
    case VALUE_LIST:
        json_open(json, key, '[');
        for (size_t i = 0; i < value->list.count; i++)
            json_value(json, NULL, &value->list.items[i]);
        json_close(json, ']');
        break;
    case VALUE_MAP:
        json_attributes(json, key, &value->map);
        break;
    }
}

void json_attributes(struct json *json, const char *key, const struct attributes *attributes)
{
    json_open(json, key, '{');
    for (size_t i = 0; i < attributes->count; i++)
        json_value(json, attributes->items[i].key, &attributes->items[i].value);
    json_close(json, '}');
}
