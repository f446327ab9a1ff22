/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Formats of context other than W3C's, and several formats at once. Only where OTEL_PROPAGATORS
 * asks for more than the default does anything come here: see config.w3c. Reads config; no other
 * state; any thread.
 */
#pragma once

#include "config.h"
#include "propagation.h"
#include "protocol.h"
#include "text.h"

/* What a head carries. */
struct carried {
    struct slice traceparent; /* empty: none, or several */
    struct slice context;     /* FIELD_CONTEXT: lines "name: value", an LF between two */
    struct slice others;      /* FIELD_CARRIED, likewise */
};

enum found {
    FOUND_NOTHING,
    FOUND_DECISION, /* of sampling alone: of ids only the flags are set */
    FOUND_PARENT
};

struct extracted {
    struct trace_ids ids; /* FLAG_DEBUG too */
    enum found found;
    bool is_deferred; /* the caller has not decided about sampling */
    bool is_w3c;      /* so its tracestate counts */
};

/* What is to be carried on. */
struct carrying {
    const struct trace_ids *ids; /* trace id of zeros: none */
    struct slice tracestate;
    struct slice baggage;
    struct slice others; /* FIELD_CARRIED of the request */
    struct slice own;    /* of the head itself: what it has is left out */
};

/* Which field a configured propagator reads this header as; FIELD_COUNT: none does. Names in any
 * case. */
enum field propagators_read(const uint8_t *name, size_t length);

/* Has protocols look for what the configured ones read. Before threads exist. */
void propagators_start(void);

/* Asks the configured ones in their order. The last one that finds a parent wins, as in the SDKs of
 * OpenTelemetry; a decision alone counts if none does. */
void propagators_extract(const struct carried *carried, struct extracted *extracted);

/* Writes the lines of all configured ones, in their order, and those that are passed on. What has
 * no room is left out. */
size_t propagators_inject(const struct carrying *carrying, char *out, size_t room, bool bare_lf);

/* The line of X-Ray's alone, configured or not; 0: no room, or no ids. */
size_t propagators_inject_xray(const struct trace_ids *ids, char *out, size_t room, bool bare_lf);

/* Is the last line of `context` one that ends a whole context? Then *ids is that, and *at where in
 * the line's value, of `length` bytes, the 16 digits of the span id stand. */
bool propagators_locate(struct slice context, struct trace_ids *ids, size_t *at, size_t *length);
