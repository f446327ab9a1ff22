/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A finished span as the encoder takes it: made by telling.c from a record, on the exporter thread
 * or in the command-line tool, and used at once. Texts belong to whoever made the span.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "attributes.h"

enum { SPAN_ATTRIBUTES_MAX = 32, SPAN_LINKS_MAX = 128 };

/* SpanKind and StatusCode of OTLP (opentelemetry-proto trace.proto). */
enum span_kind {
    SPAN_KIND_INTERNAL = 1,
    SPAN_KIND_SERVER,
    SPAN_KIND_CLIENT,
    SPAN_KIND_PRODUCER,
    SPAN_KIND_CONSUMER
};
enum span_status { SPAN_STATUS_UNSET = 0, SPAN_STATUS_OK = 1, SPAN_STATUS_ERROR = 2 };

struct span_text {
    const char *text; /* not terminated */
    uint32_t length;
};

enum span_value { SPAN_VALUE_TEXT, SPAN_VALUE_INTEGER, SPAN_VALUE_BOOLEAN /* number: 0 or 1 */ };

struct span_attribute {
    enum attribute key;
    enum span_value kind;
    union {
        int64_t number;
        struct span_text text;
    };
};

/* What happened at one moment. Its attributes follow the span's own. */
struct span_event {
    struct span_text name; /* length 0: there is none */
    uint64_t time_ns;
    uint8_t attribute_count;
};

struct span {
    uint8_t kind;
    uint8_t status;
    uint8_t attribute_count; /* with the event's: at most SPAN_ATTRIBUTES_MAX */
    uint8_t link_count;      /* at most SPAN_LINKS_MAX */
    bool has_parent;
    uint32_t flags; /* OTLP Span.flags: W3C trace flags | 0x100 | 0x200 if the parent is remote */
    uint8_t trace_id[16];
    uint8_t span_id[8];
    uint8_t parent_id[8];
    uint64_t start_ns; /* since the Unix epoch */
    uint64_t end_ns;
    struct span_text name;
    struct span_text trace_state;
    struct span_event event;
    uint32_t links_dropped;
    const uint8_t *links; /* struct trace_link, one after the other, not aligned */
    struct span_attribute attributes[SPAN_ATTRIBUTES_MAX];
};
