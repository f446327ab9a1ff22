/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Consistent probability sampling (OpenTelemetry specification 1.60, TraceState: probability
 * sampling): a trace has 56 random bits, a sampler rejects all below its threshold, and says in the
 * tracestate which one that was, so that a reader knows for how many traces one stands:
 * 2^56 / (2^56 - threshold). Pure; any thread.
 *
 *   tracestate: ot=th:fd70a;rv:1234567890abcd,other=1
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    PROBABILITY_TEXT_MAX = 6 + 14,                    /* "ot=th:" and the digits */
    PROBABILITY_GROWTH_MAX = PROBABILITY_TEXT_MAX + 1 /* of a list that gets it, with a comma */
};

#define PROBABILITY_NEVER (UINT64_C(1) << 56) /* the threshold that nothing reaches */

/* The threshold of a ratio from 0 to 1, in as many digits as it is told in: four, behind those that
 * are f. 0: all. */
uint64_t probability_threshold(double ratio);

/* The last 56 bits of the trace id, which all who begin traces are to choose at random. */
uint64_t probability_random(const uint8_t trace_id[16]);

/* What a tracestate says. */
struct probability {
    bool has_threshold, has_random; /* well-formed ones */
    bool is_told;                   /* there is a subkey th, well-formed or not */
    uint64_t threshold, random;
};

/* text: a combined list, cleaned or not. */
struct probability probability_read(const char *text, size_t length);

/* "ot=th:..." of a threshold that is not 0; the length. */
size_t probability_put(char out[PROBABILITY_TEXT_MAX], uint64_t threshold);

/* Gives a clean list another threshold, or with 0 none. What else the member says stays; it moves
 * to the front. A member that would be too long loses the threshold, a list of more members than
 * are permitted its last one. text has room for PROBABILITY_GROWTH_MAX bytes more. The new length.
 */
size_t probability_write(char *text, size_t length, uint64_t threshold);
