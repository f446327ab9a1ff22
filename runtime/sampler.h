/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The head sampler: is this trace, or this request's part of it, recorded? Decides by config, in
 * this order: the rules; the caller's word, if the sampler is parent-based; OTEL_TRACES_SAMPLER.
 * What the process itself would keep, it keeps while there is a budget for it.
 * Any thread; no allocation, no lock. The plain case (config.samples_plainly: as the caller says,
 * else yes) is to be settled without it.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "text.h"

struct sampler_question {
    const uint8_t *trace_id;
    int parent_flags;                  /* W3C flags of the parent, or -1 for a root */
    struct slice tracestate;           /* of the parent */
    bool is_served;                    /* a request that came in, else a call */
    struct slice method, target, host; /* of a call nothing is known: empty */
    uint64_t now_ns;                   /* monotonic */
};

struct sampler_answer {
    bool is_sampled;
    bool is_dropped;    /* by a rule: not even if it fails */
    bool is_ours;       /* not the caller's word: what that said of the probability is void */
    uint64_t threshold; /* that alone decided, to be told: probability.h; 0: nothing is */
};

/* The path alone of a target: without the query, and where a proxy is asked without scheme and
 * host. */
struct slice sampler_path(struct slice target);

struct sampler_answer sampler_decide(const struct sampler_question *question);

/* The part of it that is the same for all: by the random bits of the trace. */
struct sampler_answer sampler_by_threshold(
    const struct sampler_question *question, uint64_t threshold);

/* A span is recorded that nobody was asked about here. */
void sampler_charge(uint64_t now_ns);
