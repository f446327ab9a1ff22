/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A stored OTLP export request as plain data. decode.c is the only file of the command that knows
 * the generated protobuf code. Everything a request points to lives until request_free.
 * Texts are never NULL; they are as they came and may hold anything but NUL.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum value_kind {
    VALUE_NONE,
    VALUE_TEXT,
    VALUE_BOOL,
    VALUE_INTEGER,
    VALUE_REAL,
    VALUE_BYTES,
    VALUE_LIST,
    VALUE_MAP
};

struct attributes {
    struct attribute *items;
    size_t count;
    uint32_t dropped;
};

struct value {
    enum value_kind kind;
    union {
        const char *text;
        bool truth;
        int64_t integer;
        double real;
        struct {
            const uint8_t *data;
            size_t length;
        } bytes;
        struct {
            struct value *items;
            size_t count;
        } list;
        struct attributes map;
    };
};

struct attribute {
    const char *key;
    struct value value;
};

struct span_event {
    uint64_t time_ns;
    const char *name;
    struct attributes attributes;
};

struct span_link {
    uint8_t trace_id[16];
    uint8_t span_id[8];
    const char *trace_state;
    uint32_t flags;
    struct attributes attributes;
};

struct stored_span {
    uint8_t trace_id[16];
    uint8_t span_id[8];
    uint8_t parent_id[8];
    bool has_parent;
    int kind;   /* SpanKind of OTLP */
    int status; /* StatusCode of OTLP; 2 is an error */
    uint32_t flags;
    uint64_t start_ns; /* since the Unix epoch */
    uint64_t end_ns;   /* never before start_ns */
    const char *name;
    const char *trace_state;
    const char *status_message;
    struct attributes attributes;
    struct span_event *events;
    size_t event_count;
    uint32_t events_dropped;
    struct span_link *links;
    size_t link_count;
    uint32_t links_dropped;
};

struct scope {
    const char *name;
    const char *version;
    const char *schema_url;
    struct attributes attributes;
    struct stored_span *spans;
    size_t span_count;
};

struct resource {
    const char *service; /* its service.name, or "" */
    const char *schema_url;
    struct attributes attributes;
    struct scope *scopes;
    size_t scope_count;
};

struct request {
    struct resource *resources;
    size_t resource_count;
    struct arena *arena;
};

enum { STATUS_CODE_ERROR = 2 };

/* NULL: not an export request. Spans whose ids have the wrong length are left out. */
struct request *request_decode(const uint8_t *payload, size_t length);
void request_free(struct request *request);

typedef void request_visit(
    const struct resource *resource, const struct stored_span *span, void *context);

/* Calls visit for every span. */
void request_each_span(const struct request *request, request_visit *visit, void *context);

typedef bool request_keep(const uint8_t trace_id[16], uint64_t end_ns, void *context);

/* The request without the spans that keep refuses, encoded anew into *out (free it).
 * Answers the number of spans left; 0 leaves *out NULL, also when payload cannot be read. */
size_t request_filter(const uint8_t *payload, size_t length, request_keep *keep, void *context,
    uint8_t **out, size_t *out_length);
