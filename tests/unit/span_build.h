/* SPDX-License-Identifier: Apache-2.0 */
/* Builds span records for tests and benchmarks, one text after the other. */
#pragma once

#include <string.h>

#include "attributes.h"
#include "span.h"

union span_record {
    struct span span;
    uint8_t bytes[SPAN_BYTES_MAX];
};

static inline void span_begin(union span_record *record, unsigned attributes)
{
    memset(&record->span, 0, sizeof(record->span));
    record->span.kind = SPAN_KIND_SERVER;
    record->span.attribute_count = (uint8_t)attributes;
    record->span.bytes =
        (uint32_t)(sizeof(struct span) + attributes * sizeof(struct span_attribute));
}

static inline struct span_text span_put(union span_record *record, const void *text, size_t length)
{
    struct span_text placed = {record->span.bytes, (uint32_t)length};
    memcpy(record->bytes + record->span.bytes, text, length);
    record->span.bytes += (uint32_t)length;
    return placed;
}

static inline void span_put_text(
    union span_record *record, unsigned at, enum attribute key, const void *text, size_t length)
{
    struct span_attribute attribute = {.key = (uint16_t)key};
    attribute.text = span_put(record, text, length);
    record->span.attributes[at] = attribute;
}

static inline void span_put_number(
    union span_record *record, unsigned at, enum attribute key, int64_t number)
{
    record->span.attributes[at] =
        (struct span_attribute){.key = (uint16_t)key, .is_number = 1, .number = number};
}

static inline void span_end(union span_record *record)
{
    while (record->span.bytes % 8)
        record->bytes[record->span.bytes++] = 0;
}
