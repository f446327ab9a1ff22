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

static char *put_text(char *out, const char *text)
{
    size_t length = strlen(text);
    memcpy(out, text, length);
    return out + length;
}

static char *put_line(char *out, const char *name, const char *value, size_t length, bool bare_lf)
{
    out = put_text(out, name);
    memcpy(out, value, length);
    return put_line_end(out + length, bare_lf);
}

static char *put_traceparent(char *out, const struct trace_ids *ids, bool bare_lf)
{
    static const char name[] = "traceparent: ";
    memcpy(out, name, sizeof(name) - 1);
    traceparent_format(out + sizeof(name) - 1, ids);
    return put_line_end(out + sizeof(name) - 1 + TRACEPARENT_LENGTH, bare_lf);
}

/* An answer names the span of its request, which is this process's to tell. */
uint32_t exchange_answer_headers(const struct exchange *exchange, const struct event *answer)
{
    if (!exchange->is_server || !exchange->has_ids || exchange->epoch != process.epoch)
        return 0;
    return config.answer_headers & ~(answer->has_own ? (uint32_t)ANSWER_TRACERESPONSE : 0);
}

/* Trace Context Level 2 (W3C, Candidate Recommendation), 4; Server Timing (W3C), 3, with the name
 * that browsers' SDKs look for. */
size_t exchange_answer_lines(const struct exchange *exchange, const struct event *answer, char *out)
{
    static const struct {
        uint32_t bit;
        const char *name, *end;
    } rows[] = {{ANSWER_TRACERESPONSE, "traceresponse: ", ""},
        {ANSWER_SERVER_TIMING, "Server-Timing: traceparent;desc=\"", "\""}};
    uint32_t headers = exchange_answer_headers(exchange, answer);
    char *at = out;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if ((headers & rows[i].bit) == 0)
            continue;
        at = put_text(at, rows[i].name);
        traceparent_format(at, &exchange->ids);
        at = put_text(at + TRACEPARENT_LENGTH, rows[i].end);
        at = put_line_end(at, answer->bare_lf);
    }
    return (size_t)(at - out);
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
    const struct exchange *exchange, char *out, size_t room, bool bare_lf)
{
    const struct context *context = exchange->context;
    struct carrying carrying = {.ids = &exchange->ids};
    char own[PROBABILITY_TEXT_MAX];
    if (!(exchange->present & 1u << FIELD_TRACESTATE))
        carrying.tracestate = sampling_told(exchange, own);
    if (context != NULL && !(exchange->present & 1u << FIELD_BAGGAGE))
        carrying.baggage = (struct slice){
            context_texts(context) + context->tracestate_length, context->baggage_length};
    bool is_own = exchange->present & 1u << FIELD_CARRIED;
    if (is_own)
        carrying.own = (struct slice){
            exchange_text(exchange, FIELD_CARRIED), exchange->texts[FIELD_CARRIED].length};
    if (context != NULL && (!is_own || carrying.own.length > 0))
        carrying.others = (struct slice){
            context_texts(context) + context->tracestate_length + context->baggage_length,
            context->others_length};
    return propagators_inject(&carrying, out, room, bare_lf);
}

size_t exchange_lines(const struct exchange *exchange, char *out, bool bare_lf)
{
    const struct context *context = exchange->context;
    char *at = out;
    if (!config.w3c)
        return lines_of_any(exchange, out, TEXT_BIG_BYTES, bare_lf);
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

size_t exchange_queue_line(
    const struct exchange *exchange, char *lines, size_t length, bool bare_lf)
{
    bool is_wanted = (config.propagators & PROPAGATOR_TRACECONTEXT) != 0 &&
                     (config.propagators & PROPAGATOR_XRAY) == 0;
    return is_wanted ? propagators_inject_xray(
                           &exchange->ids, lines + length, TEXT_BIG_BYTES - length, bare_lf)
                     : 0;
}

static void add(struct exchange_own *own, struct fact name, const void *value, size_t length)
{
    if (length > 0 && own->count < INSERT_HEADERS_MAX)
        own->headers[own->count++] =
            (struct context_header){name, {(const uint8_t *)value, (uint32_t)length}};
}

static void headers_of_w3c(const struct exchange *exchange, struct exchange_own *own)
{
    static const struct fact names[] = {{(const uint8_t *)"traceparent", 11},
        {(const uint8_t *)"tracestate", 10}, {(const uint8_t *)"baggage", 7}};
    const struct context *context = exchange->context;
    if (trace_id_is_set(exchange->ids.trace_id)) {
        traceparent_format(own->ids, &exchange->ids);
        add(own, names[0], own->ids, TRACEPARENT_LENGTH);
        struct slice told = sampling_told(exchange, own->tracestate);
        if (!(exchange->present & 1u << FIELD_TRACESTATE))
            add(own, names[1], told.data, told.length);
    }
    if (context != NULL && (config.propagators & PROPAGATOR_BAGGAGE) &&
        !(exchange->present & 1u << FIELD_BAGGAGE))
        add(own, names[2], context_texts(context) + context->tracestate_length,
            context->baggage_length);
}

static void headers_of_lines(struct slice lines, struct exchange_own *own)
{
    struct slice line, name;
    while (slice_split(&lines, '\n', &line)) {
        bool is_whole = slice_split(&line, ':', &name);
        struct slice value = slice_trim(line);
        if (is_whole)
            add(own, (struct fact){(const uint8_t *)name.data, (uint32_t)name.length}, value.data,
                value.length);
    }
}

void exchange_headers(
    const struct exchange *exchange, struct exchange_own *own, char *lines, size_t room)
{
    own->count = 0;
    if (config.w3c)
        headers_of_w3c(exchange, own);
    else
        headers_of_lines((struct slice){lines, lines_of_any(exchange, lines, room, true)}, own);
}

size_t exchange_own_bytes(const struct exchange_own *own, size_t each)
{
    size_t bytes = own->count * each;
    for (unsigned i = 0; i < own->count; i++)
        bytes += own->headers[i].name.length + own->headers[i].value.length;
    return bytes;
}

size_t exchange_insert(struct thread *self, const struct exchange *exchange,
    exchange_writer *insert, const struct event *splice, const uint8_t *replaced, bool *is_wide)
{
    struct exchange_own own;
    exchange_headers(exchange, &own, self->lines, TEXT_BIG_BYTES);
    struct insertion insertion = {.headers = own.headers,
        .count = own.count,
        .replaced = {replaced, (uint32_t)splice->length},
        .key = splice->key,
        .room = TEXT_BIG_BYTES};
    size_t times = (size_t)splice->number;
    size_t most = (times > 0 ? times : 1) * exchange_own_bytes(&own, INSERT_EACH_BYTES_MAX) +
                  splice->length + INSERT_BYTES_MAX;
    bool fits = most <= TEXT_BIG_BYTES;
    if (fits && config.w3c)
        return insert(&insertion, self->lines);
    char *wide = fits || times > 0 ? text_hold(&self->wide_text, most) : NULL;
    *is_wide = wide != NULL;
    insertion.room = most;
    return wide == NULL ? 0 : insert(&insertion, wide);
}
