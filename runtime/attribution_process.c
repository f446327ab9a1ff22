/* SPDX-License-Identifier: Apache-2.0 */
/* Who has started the process, as its environment says. */
#include <string.h>

#include "attribution.h"
#include "config.h"
#include "sampling.h"

struct context *attribution_process_context;

void attribution_start(void)
{
    size_t length = strlen(config.traceparent);
    struct trace_ids ids;
    if (!traceparent_parse((const uint8_t *)config.traceparent, length, &ids))
        return;
    struct context *context = context_take();
    if (context == NULL)
        return;
    context->ids = ids;
    context->is_remote = true;
    char tracestate[sizeof(config.tracestate)];
    size_t cleaned = 0;
    if (!tracestate_clean(
            (const uint8_t *)config.tracestate, strlen(config.tracestate), tracestate, &cleaned))
        cleaned = 0;
    cleaned = sampling_tracestate_of_process(&ids, tracestate, cleaned);
    size_t baggage_length = strlen(config.baggage);
    if (!(config.propagators & PROPAGATOR_BAGGAGE) ||
        !baggage_acceptable((const uint8_t *)config.baggage, baggage_length))
        baggage_length = 0;
    context_set_texts(
        context, tracestate, (uint32_t)cleaned, config.baggage, (uint32_t)baggage_length);
    attribution_process_context = context;
}
