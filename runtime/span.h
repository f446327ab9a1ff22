/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A finished span as it travels from a host thread to the exporter: plain data, no pointers.
 *
 * Layout of a record: struct span, then attribute_count struct span_attribute, then text bytes.
 *   span.bytes == sizeof(struct span) + attribute_count * sizeof(struct span_attribute) + text,
 *                 rounded up to 8
 *   every text lies inside the record: offset + length <= bytes, offset from the record's start
 * The host thread writes it once; readers (exporter thread, command-line tool, a later process)
 * see it only after it is complete. The layout is part of RING_VERSION.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum { SPAN_BYTES_MAX = 32 * 1024, SPAN_ATTRIBUTES_MAX = 32 };

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
    uint32_t offset; /* from the start of the record */
    uint32_t length;
};

struct span_attribute {
    uint16_t key; /* enum attribute */
    uint16_t is_number;
    uint32_t reserved;
    union {
        int64_t number;
        struct span_text text;
    };
};

struct span {
    uint32_t bytes;
    uint8_t kind;
    uint8_t status;
    uint8_t attribute_count;
    uint8_t has_parent;
    uint32_t flags; /* OTLP Span.flags: W3C trace flags | 0x100 | 0x200 if the parent is remote */
    uint32_t reserved;
    uint8_t trace_id[16];
    uint8_t span_id[8];
    uint8_t parent_id[8];
    uint64_t start_ns; /* since the Unix epoch */
    uint64_t end_ns;
    struct span_text name;
    struct span_text trace_state;
    struct span_attribute attributes[];
};

static inline const char *span_text(const struct span *span, struct span_text text)
{
    return (const char *)span + text.offset;
}
