/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How exchanges are sampled where it is not the plain case: what is asked of the sampler, and what
 * the tracestate says of its answer. In an observe block, under the lock of the exchange's
 * connection.
 */
#pragma once

#include "context.h"
#include "exchange.h"
#include "probability.h"
#include "text.h"

/* Is the trace sampled that begins with this exchange; or the one that it continues? */
bool sampling_begins(struct exchange *exchange);
bool sampling_goes_on(
    struct exchange *exchange, const struct trace_ids *parent, bool parent_is_remote);
/* One that is continued, but whose caller has left the decision to us: as if it began here. */
bool sampling_decides(const struct exchange *exchange, const struct trace_ids *parent);

/* What a request's tracestate, cleaned, is to say from here on; `text` has room for
 * PROBABILITY_GROWTH_MAX bytes more. The new length. */
size_t sampling_tracestate(const struct exchange *exchange, char *text, size_t length);
/* The same of the process's own. Before threads exist. */
size_t sampling_tracestate_of_process(const struct trace_ids *ids, char *text, size_t length);

/* The tracestate that goes with the exchange's ids: that of its context, or the one of a call that
 * begins a trace, written to `own`. */
static inline struct slice sampling_told(
    const struct exchange *exchange, char own[PROBABILITY_TEXT_MAX])
{
    const struct context *context = exchange->context;
    if (context != NULL && context->tracestate_length > 0)
        return (struct slice){context_texts(context), context->tracestate_length};
    return (struct slice){
        own, exchange->threshold == 0 ? 0 : probability_put(own, exchange->threshold)};
}
