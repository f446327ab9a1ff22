/* SPDX-License-Identifier: Apache-2.0 */
/*
 * W3C Trace Context level 2 and Baggage, text to context and back. Pure functions, any thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum {
    TRACEPARENT_LENGTH = 55,
    TRACEPARENT_TRACE_AT = 3,
    TRACEPARENT_SPAN_AT = 36,
    TRACEPARENT_SPAN_LENGTH = 16,
    TRACESTATE_MEMBERS_MAX = 32,
    FLAG_SAMPLED = 1,
    FLAG_RANDOM = 2,
    FLAG_DEBUG = 4,
    FLAG_DROPPED = 8
};

struct trace_ids {
    uint8_t trace_id[16];
    uint8_t span_id[8];
    uint8_t flags; /* FLAG_SAMPLED, FLAG_RANDOM; FLAG_DEBUG is B3's and Jaeger's, no W3C flag;
                    * FLAG_DROPPED is ours: a rule says that it is never to be told */
};

/* All zero: there are none. */
static inline bool trace_id_is_set(const uint8_t trace_id[16])
{
    static const uint8_t none[16];
    return memcmp(trace_id, none, sizeof(none)) != 0;
}

/* A span that another one names without being its child. */
struct trace_link {
    uint8_t trace_id[16];
    uint8_t span_id[8];
};

/* Trace Context 3.2; surrounding SP and HTAB are stripped. False: invalid, *ids is untouched. */
bool traceparent_parse(const uint8_t *text, size_t length, struct trace_ids *ids);

/* Writes exactly TRACEPARENT_LENGTH bytes, version 00. */
void traceparent_format(char *out, const struct trace_ids *ids);

/* Trace Context 3.3: is this combined list (headers joined by commas) one to pass on? False: drop
 * it whole (bad member, no member, more than 32 members). On true the cleaned list (empty members
 * and optional white space removed) is in out, which must have room for length bytes. */
bool tracestate_clean(const uint8_t *text, size_t length, char *out, size_t *out_length);

/* Baggage 3.3: fit to pass on verbatim: visible ASCII and white space, at most 8192
 * bytes, 1 to 64 members. */
bool baggage_acceptable(const uint8_t *text, size_t length);
