/* SPDX-License-Identifier: Apache-2.0 */
#include "traces.h"

#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "title.h"

enum { SLOTS_FIRST = 1024, SERVICES_MAX = UINT16_MAX };

static size_t hash(const uint8_t trace_id[16])
{
    uint64_t words[2];
    memcpy(words, trace_id, sizeof words);
    return (size_t)((words[0] ^ words[1]) * 0x9e3779b97f4a7c15u >> 20);
}

/* The slot that holds this id, or the empty one where it belongs. */
static uint32_t *slot_of(const struct traces *traces, const uint8_t trace_id[16])
{
    size_t at = hash(trace_id) & (traces->slot_count - 1);
    while (traces->slots[at] &&
           memcmp(traces->items[traces->slots[at] - 1].trace_id, trace_id, 16) != 0)
        at = (at + 1) & (traces->slot_count - 1);
    return &traces->slots[at];
}

static void grow(struct traces *traces)
{
    traces->slot_count = traces->slot_count ? traces->slot_count * 2 : SLOTS_FIRST;
    traces->room = traces->slot_count / 2;
    traces->items = reallocate(traces->items, traces->room, sizeof *traces->items);
    free(traces->slots);
    traces->slots = allocate(traces->slot_count * sizeof *traces->slots);
    for (size_t i = 0; i < traces->count; i++)
        *slot_of(traces, traces->items[i].trace_id) = (uint32_t)i + 1;
}

static struct trace *trace_of(struct traces *traces, const struct stored_span *span)
{
    if (traces->count == traces->room)
        grow(traces);
    uint32_t *slot = slot_of(traces, span->trace_id);
    if (*slot)
        return &traces->items[*slot - 1];
    struct trace *trace = &traces->items[traces->count++];
    *slot = (uint32_t)traces->count;
    *trace = (struct trace){.start_ns = span->start_ns, .end_ns = span->end_ns};
    memcpy(trace->trace_id, span->trace_id, 16);
    return trace;
}

static uint16_t service_index(struct traces *traces, const char *name)
{
    /* Spans of one resource follow each other: look from the end. */
    for (size_t i = traces->service_count; i-- > 0;) {
        if (strcmp(traces->services[i], name) == 0)
            return (uint16_t)i;
    }
    if (traces->service_count == SERVICES_MAX)
        return 0;
    traces->services =
        reallocate(traces->services, traces->service_count + 1, sizeof *traces->services);
    traces->services[traces->service_count] = duplicate(name);
    return (uint16_t)traces->service_count++;
}

static void service_add(struct trace *trace, uint16_t service)
{
    for (uint32_t i = 0; i < trace->service_count; i++) {
        if (trace->services[i] == service)
            return;
    }
    trace->services = reallocate(trace->services, trace->service_count + 1, sizeof service);
    trace->services[trace->service_count++] = service;
}

/* A span without parent beats one with; among equals the earlier one. */
static bool better_root(const struct trace *trace, const struct stored_span *span)
{
    if (!trace->root || trace->root_is_parentless == span->has_parent)
        return !trace->root || !trace->root_is_parentless;
    return span->start_ns < trace->root_start_ns;
}

static void root_set(struct trace *trace, const struct stored_span *span, uint16_t service)
{
    char title[TITLE_BYTES_MAX];
    title_format(span, title);
    free(trace->root);
    trace->root = duplicate(title);
    trace->root_start_ns = span->start_ns;
    trace->root_is_parentless = !span->has_parent;
    trace->service = service;
}

static void span_add(const struct resource *resource, const struct stored_span *span, void *context)
{
    struct traces *traces = context;
    struct trace *trace = trace_of(traces, span);
    uint16_t service = service_index(traces, resource->service);
    bool error = span->status == STATUS_CODE_ERROR;
    trace->spans++;
    trace->errors += error;
    traces->spans++;
    traces->errors += error;
    if (span->start_ns < trace->start_ns)
        trace->start_ns = span->start_ns;
    if (span->end_ns > trace->end_ns)
        trace->end_ns = span->end_ns;
    service_add(trace, service);
    if (better_root(trace, span))
        root_set(trace, span, service);
}

static bool payload_add(const uint8_t *payload, size_t length, void *context)
{
    struct request *request = request_decode(payload, length);
    if (request)
        request_each_span(request, span_add, context);
    request_free(request);
    return true;
}

struct archive_result traces_read(
    struct traces *traces, const char *directory, const struct archive_selection *selection)
{
    *traces = (struct traces){0};
    return archive_walk(directory, selection, payload_add, traces);
}

static int newer_first(const void *a, const void *b)
{
    const struct trace *left = a, *right = b;
    if (left->start_ns != right->start_ns)
        return left->start_ns < right->start_ns ? 1 : -1;
    return memcmp(left->trace_id, right->trace_id, 16);
}

void traces_sort(struct traces *traces)
{
    if (traces->count)
        qsort(traces->items, traces->count, sizeof *traces->items, newer_first);
    /* The table refers to places that have changed. */
    free(traces->slots);
    traces->slots = NULL;
}

void traces_free(struct traces *traces)
{
    for (size_t i = 0; i < traces->count; i++) {
        free(traces->items[i].root);
        free(traces->items[i].services);
    }
    for (size_t i = 0; i < traces->service_count; i++)
        free(traces->services[i]);
    free(traces->items);
    free(traces->slots);
    free(traces->services);
    *traces = (struct traces){0};
}
