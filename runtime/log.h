/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A line of a log as the encoder takes it: made by telling_log.c from a record, on the exporter
 * thread or in the command-line tool, and used at once. Texts belong to whoever made it.
 */
#pragma once

#include "span.h"

enum { LOG_ATTRIBUTES_MAX = 2 };

struct log {
    uint64_t observed_ns; /* since the Unix epoch */
    uint8_t severity;     /* SeverityNumber; 0: the line does not tell */
    bool has_context;     /* trace_id, span_id and flags say something */
    uint8_t attribute_count;
    uint32_t flags;
    uint8_t trace_id[16];
    uint8_t span_id[8];
    struct span_text severity_text, body;
    struct span_attribute attributes[LOG_ATTRIBUTES_MAX];
};

/* How grave a line says that it is, if it is a JSON object. *text: the word as it stands there;
 * length 0: none. Pure. */
uint8_t log_severity(struct span_text line, struct span_text *text);
