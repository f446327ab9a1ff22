/* SPDX-License-Identifier: Apache-2.0 */
/* What an exchange puts into its own head. */
#include <string.h>

#include "exchange.h"
#include "propagators.h"
#include "sampling.h"
#include "text_pool.h"

static char *put_line_end(char *out, bool bare_lf)
{
    if (!bare_lf)
        *out++ = '\r';
    *out++ = '\n';
    return out;
}

static char *put_line(char *out, const char *name, const char *value, size_t length, bool bare_lf)
{
    size_t name_length = strlen(name);
    memcpy(out, name, name_length);
    memcpy(out + name_length, value, length);
    return put_line_end(out + name_length + length, bare_lf);
}

static char *put_traceparent(char *out, const struct trace_ids *ids, bool bare_lf)
{
    static const char name[] = "traceparent: ";
    memcpy(out, name, sizeof(name) - 1);
    traceparent_format(out + sizeof(name) - 1, ids);
    return put_line_end(out + sizeof(name) - 1 + TRACEPARENT_LENGTH, bare_lf);
}

/* Of a call that begins a trace. */
__attribute__((noinline)) static char *put_threshold(
    char *out, const struct exchange *exchange, bool bare_lf)
{
    static const char name[] = "tracestate: ";
    bool is_begun = exchange->context == NULL || exchange->context->tracestate_length == 0;
    if (!is_begun || (exchange->present & 1u << FIELD_TRACESTATE))
        return out;
    memcpy(out, name, sizeof(name) - 1);
    out += sizeof(name) - 1;
    return put_line_end(out + probability_put(out, exchange->threshold), bare_lf);
}

/* What the head has of its own is left out. */
__attribute__((noinline)) static size_t lines_of_any(
    const struct exchange *exchange, char *out, bool bare_lf)
{
    const struct context *context = exchange->context;
    struct carrying carrying = {.ids = &exchange->ids};
    char own[PROBABILITY_TEXT_MAX];
    if (!(exchange->present & 1u << FIELD_TRACESTATE))
        carrying.tracestate = sampling_told(exchange, own);
    if (context != NULL && !(exchange->present & 1u << FIELD_BAGGAGE))
        carrying.baggage = (struct slice){
            context_texts(context) + context->tracestate_length, context->baggage_length};
    return propagators_inject(&carrying, out, TEXT_BIG_BYTES, bare_lf);
}

size_t exchange_lines(const struct exchange *exchange, char *out, bool bare_lf)
{
    const struct context *context = exchange->context;
    char *at = out;
    if (!config.w3c)
        return lines_of_any(exchange, out, bare_lf);
    if (trace_id_is_set(exchange->ids.trace_id)) {
        at = put_traceparent(at, &exchange->ids, bare_lf);
        if (context != NULL && context->tracestate_length > 0 &&
            !(exchange->present & 1u << FIELD_TRACESTATE))
            at = put_line(
                at, "tracestate: ", context_texts(context), context->tracestate_length, bare_lf);
        if (__builtin_expect(exchange->threshold != 0, 0))
            at = put_threshold(at, exchange, bare_lf);
    }
    if ((config.propagators & PROPAGATOR_BAGGAGE) && context != NULL &&
        context->baggage_length > 0 && !(exchange->present & 1u << FIELD_BAGGAGE))
        at = put_line(at, "baggage: ", context_texts(context) + context->tracestate_length,
            context->baggage_length, bare_lf);
    return (size_t)(at - out);
}

void exchange_values(
    const struct exchange *exchange, struct exchange_own *own, struct fact values[3])
{
    const struct context *context = exchange->context;
    bool traces =
        (config.propagators & PROPAGATOR_TRACECONTEXT) && trace_id_is_set(exchange->ids.trace_id);
    traceparent_format(own->ids, &exchange->ids);
    values[0] = (struct fact){(const uint8_t *)own->ids, traces ? TRACEPARENT_LENGTH : 0};
    const uint8_t *texts = context == NULL ? NULL : (const uint8_t *)context_texts(context);
    struct slice told = sampling_told(exchange, own->tracestate);
    if (traces && !(exchange->present & 1u << FIELD_TRACESTATE))
        values[1] = (struct fact){(const uint8_t *)told.data, told.length};
    if (texts != NULL && (config.propagators & PROPAGATOR_BAGGAGE) &&
        !(exchange->present & 1u << FIELD_BAGGAGE))
        values[2] = (struct fact){texts + context->tracestate_length, context->baggage_length};
}

size_t exchange_insert(const struct exchange *exchange, const struct protocol *protocol,
    const struct event *splice, char *out)
{
    struct exchange_own own;
    struct insertion insertion = {
        .replaced = {splice->text, (uint32_t)splice->length}, .key = splice->key};
    const struct fact *values = insertion.values;
    exchange_values(exchange, &own, insertion.values);
    size_t most = values[0].length + values[1].length + values[2].length + splice->length;
    bool fits = most + INSERT_BYTES_MAX <= TEXT_BIG_BYTES;
    return fits ? protocol->insert(&insertion, out) : 0;
}
