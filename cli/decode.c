/* SPDX-License-Identifier: Apache-2.0 */
#include "decode.h"

#include <stdlib.h>
#include <string.h>

#include "arena.h"
#include "cli.h"
#include "nesting.h"
#include "otlp.pb-c.h"

/* The generated names, under shorter ones: a change of the proto package changes only this. */
typedef Otlp__ExportTraceServiceRequest wire_request;
typedef Otlp__ResourceSpans wire_resource_spans;
typedef Otlp__Resource wire_resource;
typedef Otlp__ScopeSpans wire_scope_spans;
typedef Otlp__InstrumentationScope wire_scope;
typedef Otlp__Span wire_span;
typedef Otlp__Span__Event wire_event;
typedef Otlp__Span__Link wire_link;
typedef Otlp__KeyValue wire_attribute;
typedef Otlp__AnyValue wire_value;
typedef Otlp__ArrayValue wire_list;
typedef Otlp__KeyValueList wire_map;
#define wire_request_unpack otlp__export_trace_service_request__unpack
#define wire_request_pack otlp__export_trace_service_request__pack
#define wire_request_get_packed_size otlp__export_trace_service_request__get_packed_size
#define wire_request_descriptor otlp__export_trace_service_request__descriptor
#define OTLP_VALUE(name) OTLP__ANY_VALUE__VALUE_##name

static void *arena_alloc(void *arena, size_t bytes)
{
    return arena_allocate(arena, bytes);
}

static void arena_release(void *arena, void *block)
{
}

static wire_request *unpack(const uint8_t *payload, size_t length, struct arena *arena)
{
    ProtobufCAllocator allocator = {arena_alloc, arena_release, arena};
    if (!nesting_within(&wire_request_descriptor, payload, length, NESTING_MAX))
        return NULL;
    return wire_request_unpack(&allocator, length, payload);
}

static const char *text_or_empty(const char *text)
{
    return text ? text : "";
}

static bool id_copy(uint8_t *to, size_t bytes, ProtobufCBinaryData from)
{
    if (from.len != bytes)
        return false;
    memcpy(to, from.data, bytes);
    return true;
}

static struct attributes attributes_of(
    struct arena *arena, wire_attribute **items, size_t count, uint32_t dropped);

static struct value value_of(struct arena *arena, const wire_value *from);

static struct value list_of(struct arena *arena, const wire_list *from)
{
    struct value value = {.kind = VALUE_LIST};
    value.list.count = from->n_values;
    value.list.items = arena_allocate(arena, from->n_values * sizeof(struct value));
    for (size_t i = 0; i < from->n_values; i++)
        value.list.items[i] = value_of(arena, from->values[i]);
    return value;
}

static struct value map_of(struct arena *arena, const wire_map *from)
{
    return (struct value){
        .kind = VALUE_MAP, .map = attributes_of(arena, from->values, from->n_values, 0)};
}

static struct value value_of(struct arena *arena, const wire_value *from)
{
    struct value value = {.kind = VALUE_NONE};
    if (!from)
        return value;
    switch (from->value_case) {
    case OTLP_VALUE(STRING_VALUE):
        return (struct value){.kind = VALUE_TEXT, .text = text_or_empty(from->string_value)};
    case OTLP_VALUE(BOOL_VALUE):
        return (struct value){.kind = VALUE_BOOL, .truth = from->bool_value};
    case OTLP_VALUE(INT_VALUE):
        return (struct value){.kind = VALUE_INTEGER, .integer = from->int_value};
    case OTLP_VALUE(DOUBLE_VALUE):
        return (struct value){.kind = VALUE_REAL, .real = from->double_value};
    case OTLP_VALUE(ARRAY_VALUE):
        return list_of(arena, from->array_value);
    case OTLP_VALUE(KVLIST_VALUE):
        return map_of(arena, from->kvlist_value);
    case OTLP_VALUE(BYTES_VALUE):
        value.kind = VALUE_BYTES;
        value.bytes.data = from->bytes_value.data;
        value.bytes.length = from->bytes_value.len;
        return value;
    default:
        return value;
    }
}

static struct attributes attributes_of(
    struct arena *arena, wire_attribute **items, size_t count, uint32_t dropped)
{
    struct attributes result = {.count = count, .dropped = dropped};
    result.items = arena_allocate(arena, count * sizeof(struct attribute));
    for (size_t i = 0; i < count; i++) {
        result.items[i].key = text_or_empty(items[i]->key);
        result.items[i].value = value_of(arena, items[i]->value);
    }
    return result;
}

static void events_read(struct arena *arena, const wire_span *from, struct stored_span *span)
{
    span->event_count = from->n_events;
    span->events_dropped = from->dropped_events_count;
    span->events = arena_allocate(arena, from->n_events * sizeof(struct span_event));
    for (size_t i = 0; i < from->n_events; i++) {
        const wire_event *event = from->events[i];
        span->events[i] = (struct span_event){.time_ns = event->time_unix_nano,
            .name = text_or_empty(event->name),
            .attributes = attributes_of(
                arena, event->attributes, event->n_attributes, event->dropped_attributes_count)};
    }
}

static void links_read(struct arena *arena, const wire_span *from, struct stored_span *span)
{
    span->links_dropped = from->dropped_links_count;
    span->links = arena_allocate(arena, from->n_links * sizeof(struct span_link));
    for (size_t i = 0; i < from->n_links; i++) {
        const wire_link *link = from->links[i];
        struct span_link *to = &span->links[span->link_count];
        if (!id_copy(to->trace_id, 16, link->trace_id) || !id_copy(to->span_id, 8, link->span_id))
            continue;
        to->trace_state = text_or_empty(link->trace_state);
        to->flags = link->flags;
        to->attributes = attributes_of(
            arena, link->attributes, link->n_attributes, link->dropped_attributes_count);
        span->link_count++;
    }
}

static bool has_parent(const struct stored_span *span)
{
    static const uint8_t none[8];
    return memcmp(span->parent_id, none, sizeof none) != 0;
}

static bool span_read(struct arena *arena, const wire_span *from, struct stored_span *span)
{
    if (!id_copy(span->trace_id, 16, from->trace_id) || !id_copy(span->span_id, 8, from->span_id))
        return false;
    span->has_parent = id_copy(span->parent_id, 8, from->parent_span_id) && has_parent(span);
    span->kind = (int)from->kind;
    span->status = from->status ? (int)from->status->code : 0;
    span->status_message = text_or_empty(from->status ? from->status->message : NULL);
    span->flags = from->flags;
    span->start_ns = from->start_time_unix_nano;
    span->end_ns = from->end_time_unix_nano;
    if (span->end_ns < span->start_ns)
        span->end_ns = span->start_ns;
    span->name = text_or_empty(from->name);
    span->trace_state = text_or_empty(from->trace_state);
    span->attributes =
        attributes_of(arena, from->attributes, from->n_attributes, from->dropped_attributes_count);
    events_read(arena, from, span);
    links_read(arena, from, span);
    return true;
}

static void scope_read(struct arena *arena, const wire_scope_spans *from, struct scope *scope)
{
    const wire_scope *named = from->scope;
    scope->name = text_or_empty(named ? named->name : NULL);
    scope->version = text_or_empty(named ? named->version : NULL);
    scope->schema_url = text_or_empty(from->schema_url);
    if (named)
        scope->attributes = attributes_of(
            arena, named->attributes, named->n_attributes, named->dropped_attributes_count);
    scope->spans = arena_allocate(arena, from->n_spans * sizeof(struct stored_span));
    for (size_t i = 0; i < from->n_spans; i++)
        scope->span_count += span_read(arena, from->spans[i], &scope->spans[scope->span_count]);
}

static const char *service_of(const struct attributes *attributes)
{
    for (size_t i = 0; i < attributes->count; i++) {
        const struct attribute *attribute = &attributes->items[i];
        if (attribute->value.kind == VALUE_TEXT && strcmp(attribute->key, "service.name") == 0)
            return attribute->value.text;
    }
    return "";
}

static void resource_read(
    struct arena *arena, const wire_resource_spans *from, struct resource *resource)
{
    const wire_resource *facts = from->resource;
    if (facts)
        resource->attributes = attributes_of(
            arena, facts->attributes, facts->n_attributes, facts->dropped_attributes_count);
    resource->service = service_of(&resource->attributes);
    resource->schema_url = text_or_empty(from->schema_url);
    resource->scope_count = from->n_scope_spans;
    resource->scopes = arena_allocate(arena, from->n_scope_spans * sizeof(struct scope));
    for (size_t i = 0; i < from->n_scope_spans; i++)
        scope_read(arena, from->scope_spans[i], &resource->scopes[i]);
}

struct request *request_decode(const uint8_t *payload, size_t length)
{
    struct arena *arena = arena_new();
    const wire_request *from = unpack(payload, length, arena);
    if (!from) {
        arena_free(arena);
        return NULL;
    }
    struct request *request = arena_allocate(arena, sizeof *request);
    request->arena = arena;
    request->resource_count = from->n_resource_spans;
    request->resources = arena_allocate(arena, from->n_resource_spans * sizeof(struct resource));
    for (size_t i = 0; i < from->n_resource_spans; i++)
        resource_read(arena, from->resource_spans[i], &request->resources[i]);
    return request;
}

void request_free(struct request *request)
{
    if (request)
        arena_free(request->arena); /* holds the request itself too */
}

static void scope_each_span(
    const struct resource *resource, const struct scope *scope, request_visit *visit, void *context)
{
    for (size_t i = 0; i < scope->span_count; i++)
        visit(resource, &scope->spans[i], context);
}

void request_each_span(const struct request *request, request_visit *visit, void *context)
{
    for (size_t i = 0; i < request->resource_count; i++) {
        const struct resource *resource = &request->resources[i];
        for (size_t j = 0; j < resource->scope_count; j++)
            scope_each_span(resource, &resource->scopes[j], visit, context);
    }
}

/* The filters move what stays to the front of the arrays; scopes and resources that are left with
 * nothing go as well, since collectors count them. */
static size_t scope_filter(wire_scope_spans *scope, request_keep *keep, void *context)
{
    size_t kept = 0;
    for (size_t i = 0; i < scope->n_spans; i++) {
        wire_span *span = scope->spans[i];
        if (span->trace_id.len == 16 &&
            keep(span->trace_id.data, span->end_time_unix_nano, context))
            scope->spans[kept++] = span;
    }
    scope->n_spans = kept;
    return kept;
}

static size_t resource_filter(wire_resource_spans *resource, request_keep *keep, void *context)
{
    size_t scopes = 0, total = 0;
    for (size_t i = 0; i < resource->n_scope_spans; i++) {
        size_t kept = scope_filter(resource->scope_spans[i], keep, context);
        if (kept)
            resource->scope_spans[scopes++] = resource->scope_spans[i];
        total += kept;
    }
    resource->n_scope_spans = scopes;
    return total;
}

static size_t message_filter(wire_request *message, request_keep *keep, void *context)
{
    size_t resources = 0, total = 0;
    for (size_t i = 0; i < message->n_resource_spans; i++) {
        size_t kept = resource_filter(message->resource_spans[i], keep, context);
        if (kept)
            message->resource_spans[resources++] = message->resource_spans[i];
        total += kept;
    }
    message->n_resource_spans = resources;
    return total;
}

size_t request_filter(const uint8_t *payload, size_t length, request_keep *keep, void *context,
    uint8_t **out, size_t *out_length)
{
    struct arena *arena = arena_new();
    wire_request *message = unpack(payload, length, arena);
    size_t kept = message ? message_filter(message, keep, context) : 0;
    *out = NULL;
    if (kept) {
        *out_length = wire_request_get_packed_size(message);
        *out = allocate(*out_length);
        wire_request_pack(message, *out);
    }
    arena_free(arena);
    return kept;
}
