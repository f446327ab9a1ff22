/* SPDX-License-Identifier: Apache-2.0 */
/* All traces of the store in brief: one small record for each, so that a large store fits. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "archive.h"
#include "decode.h"

struct trace {
    uint8_t trace_id[16];
    uint64_t start_ns, end_ns;
    uint64_t root_start_ns;
    char *root;       /* title of the root span, else of the earliest one */
    uint16_t service; /* of that span: index into traces.services */
    bool root_is_parentless;
    uint16_t *services;
    uint32_t service_count;
    uint32_t spans, errors;
};

struct traces {
    struct trace *items;
    size_t count, room;
    uint32_t *slots; /* hash table of index + 1 into items */
    size_t slot_count;
    char **services;
    size_t service_count;
    uint64_t spans, errors;
};

/* Reads the selected part of the store. */
struct archive_result traces_read(
    struct traces *traces, const char *directory, const struct archive_selection *selection);
void traces_free(struct traces *traces);

/* Newest first, by start. */
void traces_sort(struct traces *traces);

static inline const char *trace_service(const struct traces *traces, const struct trace *trace)
{
    return traces->services[trace->service];
}

static inline double trace_milliseconds(const struct trace *trace)
{
    return (double)(trace->end_ns - trace->start_ns) / 1e6;
}
