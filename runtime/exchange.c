/* SPDX-License-Identifier: Apache-2.0 */
#include "exchange.h"

#include <stddef.h>
#include <string.h>

#include "config.h"
#include "counters.h"
#include "pool.h"
#include "process.h"
#include "record.h"
#include "sampler.h"
#include "text_pool.h"

static struct pool exchanges = {
    .block_bytes = 1024, .clear_bytes = offsetof(struct exchange, inline_text)};
_Static_assert(sizeof(struct exchange) <= 1024, "an exchange fits its block");

struct exchange *exchange_take(struct thread *self, uint32_t serial, bool is_server)
{
    uint32_t index = pool_take_near(&exchanges, &self->exchanges);
    if (index == 0) {
        counter_add(COUNTER_SPANS_DROPPED_MEMORY, 1);
        return NULL;
    }
    struct exchange *exchange = pool_block(&exchanges, index);
    exchange->index = index;
    exchange->serial = serial;
    exchange->is_server = is_server;
    exchange->epoch = process.epoch;
    exchange->start_ns = thread_now(self);
    return exchange;
}

void exchange_free(struct exchange *exchange)
{
    if (exchange->counts_as_call)
        attribution_call_end(exchange->context);
    context_drop(exchange->context);
    if (exchange->big_index != 0)
        text_give(true, exchange->big_index);
    pool_give_near(&exchanges, &thread_self->exchanges, exchange->index);
}

/* --- texts --------------------------------------------------------------------------------- */

static char *text_area(const struct exchange *exchange, uint32_t *room)
{
    if (exchange->big_index == 0) {
        *room = sizeof(exchange->inline_text);
        return (char *)exchange->inline_text;
    }
    *room = TEXT_BIG_BYTES;
    return text_block(true, exchange->big_index);
}

const char *exchange_text(const struct exchange *exchange, enum field field)
{
    uint32_t room;
    return text_area(exchange, &room) + exchange->texts[field].offset;
}

static bool grow(struct exchange *exchange)
{
    if (exchange->big_index != 0)
        return false;
    uint32_t index = text_take(true);
    if (index == 0)
        return false;
    memcpy(text_block(true, index), exchange->inline_text, exchange->text_used);
    exchange->big_index = index;
    return true;
}

/* Room for length more bytes, growing once; less if there is no more to be had. */
static char *make_room(struct exchange *exchange, size_t *length)
{
    uint32_t room;
    char *area = text_area(exchange, &room);
    if (*length > room - exchange->text_used && grow(exchange))
        area = text_area(exchange, &room);
    if (*length > room - exchange->text_used) {
        *length = room - exchange->text_used;
        counter_add(COUNTER_ATTRIBUTES_TRUNCATED, 1);
    }
    return area;
}

static void append(struct exchange *exchange, const void *text, size_t length)
{
    char *area = make_room(exchange, &length);
    memcpy(area + exchange->text_used, text, length);
    exchange->text_used += (uint32_t)length;
}

/* A second header of the same name: its value goes behind the first, which moves to the end. */
static void reopen(struct exchange *exchange, enum field field)
{
    uint32_t offset = exchange->texts[field].offset;
    size_t length = exchange->texts[field].length;
    if (offset + length != exchange->text_used) {
        char *area = make_room(exchange, &length);
        memcpy(area + exchange->text_used, area + offset, length);
        exchange->texts[field].offset = (uint16_t)exchange->text_used;
        exchange->text_used += (uint32_t)length;
    }
    append(exchange, ",", 1);
    exchange->texts[field].length = (uint16_t)(exchange->text_used - exchange->texts[field].offset);
}

void exchange_add_text(struct exchange *exchange, const struct event *event)
{
    enum field field = event->field;
    if (event->first && exchange->texts[field].values++ > 0)
        reopen(exchange, field);
    else if (event->first)
        exchange->texts[field].offset = (uint16_t)exchange->text_used;
    uint32_t before = exchange->text_used;
    append(exchange, event->text, event->length);
    exchange->texts[field].length += (uint16_t)(exchange->text_used - before);
}

void exchange_forget_texts(struct exchange *exchange)
{
    memset(exchange->texts, 0, sizeof(exchange->texts));
    exchange->text_used = 0;
}

/* --- identity ------------------------------------------------------------------------------ */

static void put_random(uint8_t *out, uint64_t random)
{
    memcpy(out, &random, sizeof(random));
}

static void new_span_id(struct thread *self, uint8_t span_id[8])
{
    uint64_t random;
    do
        random = thread_random(self);
    while (random == 0);
    put_random(span_id, random);
}

static void new_trace(struct thread *self, struct trace_ids *ids)
{
    put_random(ids->trace_id, thread_random(self));
    new_span_id(self, ids->trace_id + 8); /* never all zero */
    new_span_id(self, ids->span_id);
    ids->flags = config.random_flag_off ? 0 : FLAG_RANDOM;
    if (sampler_decide(ids->trace_id, -1))
        ids->flags |= FLAG_SAMPLED;
}

static void continue_trace(
    struct thread *self, struct exchange *exchange, const struct trace_ids *parent, bool is_remote)
{
    exchange->ids = *parent;
    exchange->has_parent = true;
    exchange->parent_is_remote = is_remote;
    memcpy(exchange->parent_id, parent->span_id, sizeof(exchange->parent_id));
    if (config.sdk_disabled)
        return; /* the incoming context travels on as it came */
    new_span_id(self, exchange->ids.span_id);
    exchange->ids.flags = parent->flags & FLAG_RANDOM;
    if (sampler_decide(parent->trace_id, parent->flags))
        exchange->ids.flags |= FLAG_SAMPLED;
}

static bool extract(const struct exchange *exchange, struct trace_ids *ids)
{
    return (config.propagators & PROPAGATOR_TRACECONTEXT) &&
           exchange->texts[FIELD_TRACEPARENT].values == 1 &&
           traceparent_parse((const uint8_t *)exchange_text(exchange, FIELD_TRACEPARENT),
               exchange->texts[FIELD_TRACEPARENT].length, ids);
}

static void carry_texts(struct thread *self, const struct exchange *exchange, bool with_tracestate)
{
    char *clean = self->text; /* no span is being built now */
    size_t length = 0, baggage_length = exchange->texts[FIELD_BAGGAGE].length;
    const char *tracestate = exchange_text(exchange, FIELD_TRACESTATE);
    const char *baggage = exchange_text(exchange, FIELD_BAGGAGE);
    if (with_tracestate && !tracestate_clean((const uint8_t *)tracestate,
                               exchange->texts[FIELD_TRACESTATE].length, clean, &length))
        length = 0;
    if (!(config.propagators & PROPAGATOR_BAGGAGE) ||
        !baggage_acceptable((const uint8_t *)baggage, baggage_length))
        baggage_length = 0;
    context_set_texts(
        exchange->context, clean, (uint32_t)length, baggage, (uint32_t)baggage_length);
}

void exchange_identify_server(struct thread *self, struct exchange *exchange)
{
    struct trace_ids remote;
    bool continues = extract(exchange, &remote);
    exchange->context = context_take();
    if (continues)
        continue_trace(self, exchange, &remote, true);
    else if (!config.sdk_disabled)
        new_trace(self, &exchange->ids);
    exchange->has_ids = true;
    struct context *context = exchange->context;
    if (context == NULL)
        return;
    context->ids = exchange->ids;
    context->is_remote = config.sdk_disabled;
    context->has_remote = continues;
    if (continues)
        memcpy(context->remote_id, remote.span_id, sizeof(context->remote_id));
    carry_texts(self, exchange, continues);
}

static bool is_set(const struct trace_ids *ids)
{
    static const uint8_t zero[16];
    return memcmp(ids->trace_id, zero, sizeof(zero)) != 0;
}

void exchange_identify_client(
    struct thread *self, struct exchange *exchange, struct context *parent)
{
    exchange->has_ids = true;
    if (parent != NULL) {
        context_hold(parent);
        exchange->context = parent;
        attribution_call_begin(parent);
        exchange->counts_as_call = true;
    }
    if (parent != NULL && is_set(&parent->ids))
        continue_trace(self, exchange, &parent->ids, parent->is_remote);
    else if (!config.sdk_disabled)
        new_trace(self, &exchange->ids);
}

void exchange_adopt(struct exchange *exchange)
{
    struct trace_ids own;
    counter_add(COUNTER_INJECT_ADOPTED, 1);
    exchange->adopted = true;
    if (!extract(exchange, &own) || config.sdk_disabled)
        return;
    memcpy(exchange->ids.trace_id, own.trace_id, sizeof(own.trace_id));
    memcpy(exchange->parent_id, own.span_id, sizeof(own.span_id));
    exchange->ids.flags = own.flags;
    exchange->has_parent = true;
    exchange->parent_is_remote = true;
}

/* --- the lines ----------------------------------------------------------------------------- */

static char *put_line(char *out, const char *name, const char *value, size_t length, bool bare_lf)
{
    size_t name_length = strlen(name);
    memcpy(out, name, name_length);
    memcpy(out + name_length, value, length);
    out += name_length + length;
    if (!bare_lf)
        *out++ = '\r';
    *out++ = '\n';
    return out;
}

size_t exchange_lines(const struct exchange *exchange, char *out, bool bare_lf)
{
    const struct context *context = exchange->context;
    char *at = out;
    char traceparent[TRACEPARENT_LENGTH];
    if ((config.propagators & PROPAGATOR_TRACECONTEXT) && is_set(&exchange->ids)) {
        traceparent_format(traceparent, &exchange->ids);
        at = put_line(at, "traceparent: ", traceparent, sizeof(traceparent), bare_lf);
        if (context != NULL && context->tracestate_length > 0 &&
            !(exchange->present & 1u << FIELD_TRACESTATE))
            at = put_line(
                at, "tracestate: ", context_texts(context), context->tracestate_length, bare_lf);
    }
    if ((config.propagators & PROPAGATOR_BAGGAGE) && context != NULL &&
        context->baggage_length > 0 && !(exchange->present & 1u << FIELD_BAGGAGE))
        at = put_line(at, "baggage: ", context_texts(context) + context->tracestate_length,
            context->baggage_length, bare_lf);
    return (size_t)(at - out);
}

/* --- the span ------------------------------------------------------------------------------ */

bool exchange_is_recorded(const struct exchange *exchange)
{
    return (exchange->ids.flags & FLAG_SAMPLED) && !config.sdk_disabled &&
           config.destination != DESTINATION_NONE && exchange->epoch == process.epoch;
}

/* Of a head that carries the application's own context: what it says, not what we would have. */
static struct span_text own_tracestate(struct record *record, const struct exchange *exchange)
{
    char *clean = record->self->lines; /* nothing is being sent now */
    size_t length = 0;
    if (!tracestate_clean((const uint8_t *)exchange_text(exchange, FIELD_TRACESTATE),
            exchange->texts[FIELD_TRACESTATE].length, clean, &length))
        length = 0;
    return record_text(record, clean, length);
}

static void fill_identity(struct record *record, const struct exchange *exchange)
{
    struct span *span = record->span;
    const struct context *context = exchange->context;
    uint64_t offset = process_clock_offset_ns();
    span->kind = exchange->is_server ? SPAN_KIND_SERVER : SPAN_KIND_CLIENT;
    span->has_parent = exchange->has_parent;
    span->flags = exchange->ids.flags | 0x100u | (exchange->parent_is_remote ? 0x200u : 0);
    memcpy(span->trace_id, exchange->ids.trace_id, sizeof(span->trace_id));
    memcpy(span->span_id, exchange->ids.span_id, sizeof(span->span_id));
    memcpy(span->parent_id, exchange->parent_id, sizeof(span->parent_id));
    span->start_ns = exchange->start_ns + offset;
    span->end_ns = thread_now(record->self) + offset;
    if (exchange->adopted)
        span->trace_state = own_tracestate(record, exchange);
    else if (context != NULL && context->tracestate_length > 0)
        span->trace_state = record_text(record, context_texts(context), context->tracestate_length);
}

static void fill_facts(struct facts *facts, const struct exchange *exchange)
{
    uint32_t room;
    const char *area = text_area(exchange, &room);
    for (int i = 0; i < FIELD_COUNT; i++) {
        facts->texts[i].text = (const uint8_t *)area + exchange->texts[i].offset;
        facts->texts[i].length = exchange->texts[i].length;
        facts->numbers[i] = exchange->numbers[i];
    }
}

/* What building a span needs; it lies in the thread's block, not on the host's stack. */
struct workbench {
    struct record record;
    struct facts facts;
};

static struct workbench *workbench(struct thread *self)
{
    _Static_assert(sizeof(struct workbench) <= THREAD_SCRATCH_BYTES, "the workbench fits");
    return (struct workbench *)self->scratch;
}

void exchange_record(struct thread *self, const struct exchange *exchange,
    const struct protocol *protocol, struct peer peer, const char *error)
{
    struct workbench *bench = workbench(self);
    struct record *record = &bench->record;
    uint32_t tracestate = exchange->context == NULL ? 0 : exchange->context->tracestate_length;
    if (!record_open(record, self, exchange->text_used * 2 + tracestate + 512))
        return;
    bench->facts = (struct facts){.is_server = exchange->is_server,
        .has_response = exchange->has_response,
        .error = error,
        .peer_address = peer.address[0] != '\0' ? peer.address : NULL,
        .peer_port = peer.port,
        .known_methods = config.known_methods};
    fill_identity(record, exchange);
    fill_facts(&bench->facts, exchange);
    protocol->describe(&bench->facts, &record->describer);
    record_commit(record);
}

void exchange_record_connect(struct thread *self, struct context *parent, struct peer peer,
    uint64_t start_ns, const char *error)
{
    struct record *record = &workbench(self)->record;
    struct exchange *attempt = exchange_take(self, 0, false);
    if (attempt == NULL)
        return;
    attempt->start_ns = start_ns;
    exchange_identify_client(self, attempt, parent);
    if (exchange_is_recorded(attempt) && record_open(record, self, 1024)) {
        struct describer *describer = &record->describer;
        size_t length = strlen(peer.address);
        fill_identity(record, attempt);
        describer->name(describer, "connect", 7);
        describer->text(describer, ATTRIBUTE_SERVER_ADDRESS, peer.address, length);
        describer->number(describer, ATTRIBUTE_SERVER_PORT, peer.port);
        describer->text(describer, ATTRIBUTE_NETWORK_PEER_ADDRESS, peer.address, length);
        describer->number(describer, ATTRIBUTE_NETWORK_PEER_PORT, peer.port);
        describer->text(describer, ATTRIBUTE_NETWORK_TRANSPORT, "tcp", 3);
        describer->text(describer, ATTRIBUTE_ERROR_TYPE, error, strlen(error));
        describer->error(describer);
        record_commit(record);
    }
    exchange_free(attempt);
}
