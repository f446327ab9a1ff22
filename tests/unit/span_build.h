/* SPDX-License-Identifier: Apache-2.0 */
/* Builds spans for tests and benchmarks, one text after the other. */
#pragma once

#include <string.h>

#include "span.h"

enum { SPAN_BUILD_TEXT_BYTES = 32 * 1024 };

struct span_build {
    struct span span;
    uint32_t used;
    char text[SPAN_BUILD_TEXT_BYTES];
};

static inline void span_begin(struct span_build *build, unsigned attributes)
{
    memset(&build->span, 0, sizeof(build->span));
    build->span.kind = SPAN_KIND_SERVER;
    build->span.attribute_count = (uint8_t)attributes;
    build->used = 0;
}

static inline struct span_text span_put(struct span_build *build, const void *text, size_t length)
{
    struct span_text placed = {build->text + build->used, (uint32_t)length};
    memcpy(build->text + build->used, text, length);
    build->used += (uint32_t)length;
    return placed;
}

static inline void span_put_text(
    struct span_build *build, unsigned at, enum attribute key, const void *text, size_t length)
{
    build->span.attributes[at] =
        (struct span_attribute){.key = key, .text = span_put(build, text, length)};
}

static inline void span_put_number(
    struct span_build *build, unsigned at, enum attribute key, int64_t number)
{
    build->span.attributes[at] =
        (struct span_attribute){.key = key, .kind = SPAN_VALUE_INTEGER, .number = number};
}
