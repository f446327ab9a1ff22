/* SPDX-License-Identifier: Apache-2.0 */
/* Who has started the process, as its environment says. */
#include <string.h>

#include "attribution.h"
#include "config.h"
#include "sampling.h"

struct context *attribution_process_context;

struct context *attribution_take_remote(
    const char *traceparent, const char *tracestate, char *clean, size_t *cleaned)
{
    struct trace_ids ids;
    size_t length = strlen(tracestate);
    if (!traceparent_parse((const uint8_t *)traceparent, strlen(traceparent), &ids))
        return NULL;
    struct context *context = context_take();
    if (context == NULL)
        return NULL;
    context->ids = ids;
    context->is_remote = true;
    if (length > sizeof(config.tracestate) ||
        !tracestate_clean((const uint8_t *)tracestate, length, clean, cleaned))
        *cleaned = 0;
    return context;
}

void attribution_start(void)
{
    char tracestate[sizeof(config.tracestate)];
    size_t cleaned;
    struct context *context =
        attribution_take_remote(config.traceparent, config.tracestate, tracestate, &cleaned);
    if (context == NULL)
        return;
    cleaned = sampling_tracestate_of_process(&context->ids, tracestate, cleaned);
    size_t baggage_length = strlen(config.baggage);
    if (!(config.propagators & PROPAGATOR_BAGGAGE) ||
        !baggage_acceptable((const uint8_t *)config.baggage, baggage_length))
        baggage_length = 0;
    context_set_texts(
        context, tracestate, (uint32_t)cleaned, config.baggage, (uint32_t)baggage_length);
    attribution_process_context = context;
}
