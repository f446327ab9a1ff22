/* SPDX-License-Identifier: Apache-2.0 */
#include "exchange.h"

#include <stddef.h>
#include <string.h>

#include "../protocols/messaging.h"
#include "config.h"
#include "copy.h"
#include "counters.h"
#include "kept.h"
#include "open.h"
#include "pool.h"
#include "passing.h"
#include "process.h"
#include "propagators.h"
#include "sampling.h"
#include "text_pool.h"
#include "trust.h"

enum { LAST_BYTES = 512 }; /* of a big block, for what is told last */
_Static_assert(KEPT_TEXT_MAX == TEXT_BIG_BYTES - LAST_BYTES, "a text is kept as it can be told");

static struct pool exchanges = {
    .block_shift = 10, .clear_bytes = offsetof(struct exchange, inline_text)};
_Static_assert(sizeof(struct exchange) <= 1 << 10, "an exchange fits its block");

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
    exchange->unit = self->unit;
    return exchange;
}

void exchange_uncount(struct exchange *exchange)
{
    if (exchange->counts_as_call)
        attribution_call_known_end(exchange->context);
    if (exchange->is_unclaimed && exchange->epoch == process.epoch)
        attribution_unclaimed_end();
    exchange->counts_as_call = exchange->is_unclaimed = false;
    if (exchange->guess != NULL) {
        attribution_call_end(exchange->guess);
        context_drop(exchange->guess);
        exchange->guess = NULL;
    }
}

/* It is of nobody's, for now. */
static void leave_context(struct exchange *exchange)
{
    exchange_uncount(exchange);
    context_drop(exchange->context);
    exchange->context = NULL;
    exchange_unlink(exchange);
}

void exchange_free(struct exchange *exchange)
{
    open_forget(exchange);
    leave_context(exchange);
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

bool exchange_wants(const struct exchange *exchange, const struct protocol *protocol)
{
    return !exchange->is_server &&
           protocol->wants((const uint8_t *)exchange_text(exchange, FIELD_TARGET),
               exchange->texts[FIELD_TARGET].length);
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

/* What may come when a long statement, or a long head, is there already. */
static bool is_told_last(enum field field)
{
    return field == FIELD_NAMESPACE || field == FIELD_CODE || field >= FIELD_TLS;
}

/* Room for length more bytes, growing once; less if there is no more to be had. The end of it is
 * for what is told last. */
static char *make_room(struct exchange *exchange, enum field field, size_t *length)
{
    uint32_t room, used = exchange->text_used;
    char *area = text_area(exchange, &room);
    if (*length > room - used && grow(exchange))
        area = text_area(exchange, &room);
    if (exchange->big_index != 0 && !is_told_last(field))
        room -= LAST_BYTES;
    size_t left = room > used ? room - used : 0;
    if (*length > left) {
        *length = left;
        counter_add(COUNTER_ATTRIBUTES_TRUNCATED, 1);
    }
    return area;
}

static void append(struct exchange *exchange, enum field field, const void *text, size_t length)
{
    char *area = make_room(exchange, field, &length);
    memcpy(area + exchange->text_used, text, length);
    exchange->text_used += (uint32_t)length;
}

/* More of it follows, and something else may have come between. */
static void move_to_end(struct exchange *exchange, enum field field)
{
    uint32_t offset = exchange->texts[field].offset;
    size_t length = exchange->texts[field].length;
    if (offset + length == exchange->text_used)
        return;
    char *area = make_room(exchange, field, &length);
    memcpy(area + exchange->text_used, area + offset, length);
    exchange->texts[field].offset = (uint16_t)exchange->text_used;
    exchange->texts[field].length = (uint16_t)length;
    exchange->text_used += (uint32_t)length;
}

/* The usual case: a header's only value, whole, that fits. */
static bool add_whole(struct exchange *exchange, const struct event *event)
{
    enum field field = event->field;
    uint32_t used = exchange->text_used;
    if (!event->first || exchange->texts[field].values != 0 || exchange->big_index != 0 ||
        event->length > sizeof(exchange->inline_text) - used)
        return false;
    exchange->texts[field].offset = (uint16_t)used;
    exchange->texts[field].length = (uint16_t)event->length;
    exchange->texts[field].values = 1;
    copy_short(exchange->inline_text + used, event->text, event->length);
    exchange->text_used = used + (uint32_t)event->length;
    return true;
}

void exchange_add_text(struct exchange *exchange, const struct event *event)
{
    enum field field = event->field;
    if (add_whole(exchange, event))
        return;
    bool is_another = event->first && exchange->texts[field].values++ > 0;
    if (event->first && !is_another)
        exchange->texts[field].offset = (uint16_t)exchange->text_used;
    else
        move_to_end(exchange, field);
    uint32_t before = exchange->text_used;
    if (is_another) /* a second header of the same name: its value goes behind the first */
        append(exchange, field, field == FIELD_CONTEXT || field == FIELD_CARRIED ? "\n" : ",", 1);
    append(exchange, field, event->text, event->length);
    exchange->texts[field].length += (uint16_t)(exchange->text_used - before);
}

void exchange_forget_last(struct exchange *exchange, enum field field)
{
    if (exchange->texts[field].offset + exchange->texts[field].length == exchange->text_used)
        exchange->text_used = exchange->texts[field].offset;
    memset(&exchange->texts[field], 0, sizeof(exchange->texts[field]));
    exchange->present &= ~(1u << field);
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

__attribute__((always_inline)) static inline void new_trace(
    struct thread *self, struct exchange *exchange)
{
    struct trace_ids *ids = &exchange->ids;
    put_random(ids->trace_id, thread_random(self));
    new_span_id(self, ids->trace_id + 8); /* never all zero */
    new_span_id(self, ids->span_id);
    ids->flags = config.random_flag_off ? 0 : FLAG_RANDOM;
    if (config.samples_plainly || sampling_begins(exchange))
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
    exchange->ids.flags = parent->flags & (FLAG_RANDOM | FLAG_DEBUG | FLAG_DROPPED);
    if (config.samples_plainly ? parent->flags & FLAG_SAMPLED
                               : sampling_goes_on(exchange, parent, is_remote))
        exchange->ids.flags |= FLAG_SAMPLED;
}

static bool extract_w3c(const struct exchange *exchange, struct trace_ids *ids)
{
    return exchange->texts[FIELD_TRACEPARENT].values == 1 &&
           traceparent_parse((const uint8_t *)exchange_text(exchange, FIELD_TRACEPARENT),
               exchange->texts[FIELD_TRACEPARENT].length, ids);
}

static struct slice text_of(const struct exchange *exchange, enum field field)
{
    return (struct slice){exchange_text(exchange, field), exchange->texts[field].length};
}

/* By all formats that are configured. Whether a parent is sampled that has not decided: as a root
 * would be. */
static void extract_any(const struct exchange *exchange, struct extracted *extracted)
{
    struct carried carried = {
        .context = text_of(exchange, FIELD_CONTEXT), .others = text_of(exchange, FIELD_CARRIED)};
    if (exchange->texts[FIELD_TRACEPARENT].values == 1)
        carried.traceparent = text_of(exchange, FIELD_TRACEPARENT);
    propagators_extract(&carried, extracted);
    if (extracted->is_deferred && sampling_decides(exchange, &extracted->ids))
        extracted->ids.flags |= FLAG_SAMPLED;
}

__attribute__((always_inline)) static inline void carry_texts(
    struct thread *self, const struct exchange *exchange, bool with_tracestate)
{
    char *clean = self->lines; /* nothing is being sent now */
    size_t length = 0, baggage_length = exchange->texts[FIELD_BAGGAGE].length;
    const char *tracestate = exchange_text(exchange, FIELD_TRACESTATE);
    const char *baggage = exchange_text(exchange, FIELD_BAGGAGE);
    if (with_tracestate && !tracestate_clean((const uint8_t *)tracestate,
                               exchange->texts[FIELD_TRACESTATE].length, clean, &length))
        length = 0;
    if (__builtin_expect(length > 0 || exchange->threshold != 0, 0))
        length = sampling_tracestate(exchange, clean, length);
    if (!(config.propagators & PROPAGATOR_BAGGAGE) ||
        !baggage_acceptable((const uint8_t *)baggage, baggage_length))
        baggage_length = 0;
    context_set_texts(
        exchange->context, clean, (uint32_t)length, baggage, (uint32_t)baggage_length);
}

/* remote: NULL, it is a root. Inlined: all but its rare callers have one of it. */
__attribute__((always_inline)) static inline void identify_server(struct thread *self,
    struct exchange *exchange, const struct trace_ids *remote, bool with_tracestate)
{
    exchange->context = context_take();
    if (remote != NULL)
        continue_trace(self, exchange, remote, true);
    else if (!config.sdk_disabled)
        new_trace(self, exchange);
    exchange->has_ids = true;
    struct context *context = exchange->context;
    if (context == NULL)
        return;
    context->ids = exchange->ids;
    context->is_remote = config.sdk_disabled;
    if (remote != NULL)
        passing_enter(context, remote->span_id);
    carry_texts(self, exchange, with_tracestate);
}

__attribute__((noinline)) static void identify_server_by_any(
    struct thread *self, struct exchange *exchange)
{
    struct extracted extracted;
    extract_any(exchange, &extracted);
    if (exchange->is_distrusted)
        trust_refuse(exchange, &extracted);
    bool continues = extracted.found == FOUND_PARENT;
    exchange->is_decided = extracted.found == FOUND_DECISION && config.sampler_parent_based;
    identify_server(self, exchange, continues ? &extracted.ids : NULL, extracted.is_w3c);
    struct slice others = text_of(exchange, FIELD_CARRIED);
    if (others.length > 0 && exchange->context != NULL)
        context_add_others(exchange->context, others.data, (uint32_t)others.length);
    if (!exchange->is_decided || config.sdk_disabled)
        return;
    exchange->ids.flags = (exchange->ids.flags & FLAG_RANDOM) | extracted.ids.flags;
    if (exchange->context != NULL)
        exchange->context->ids.flags = exchange->ids.flags;
}

void exchange_identify_server(struct thread *self, struct exchange *exchange)
{
    struct trace_ids remote;
    if (!config.w3c_of_all) {
        identify_server_by_any(self, exchange);
        return;
    }
    if (extract_w3c(exchange, &remote))
        identify_server(self, exchange, &remote, true);
    else
        identify_server(self, exchange, NULL, false);
}

/* The context is held for it. */
static void call_of(
    struct thread *self, struct exchange *exchange, struct context *context, bool is_behind)
{
    exchange->context = context;
    attribution_call_known(self, context, is_behind);
    exchange->counts_as_call = true;
}

void exchange_pass_on(struct thread *self, struct exchange *exchange, struct context *context)
{
    leave_context(exchange);
    if (exchange->rule == RULE_AMBIGUOUS) {
        counter_add(COUNTER_PARENT_UNCERTAIN, -1);
        isolation_named(&self->isolation);
    }
    call_of(self, exchange, context, false);
    continue_trace(self, exchange, &context->ids, context->is_remote);
}

/* Nobody is named, but somebody has made it, and does not wait meanwhile. */
static void count_unnamed(struct thread *self, struct exchange *exchange, struct decision decision)
{
    if (decision.is_behind)
        return;
    if (attribution_follows(self, decision.parent)) {
        context_hold(exchange->guess = decision.parent);
        attribution_call_begin(exchange->guess);
    } else {
        exchange->is_unclaimed = true;
        attribution_unclaimed_begin(self);
    }
}

void exchange_identify_client(
    struct thread *self, struct exchange *exchange, struct decision decision)
{
    struct context *parent = decision.rule == RULE_AMBIGUOUS ? NULL : decision.parent;
    exchange->rule = (uint8_t)decision.rule;
    if (decision.rule == RULE_AMBIGUOUS) {
        exchange_unlink(exchange);
        exchange->link_count =
            (uint8_t)attribution_candidates(self, decision.parent, exchange->links);
        count_unnamed(self, exchange, decision);
    }
    exchange->has_ids = true;
    if (parent != NULL) {
        context_hold(parent);
        call_of(self, exchange, parent, decision.is_behind);
    }
    if (parent != NULL && trace_id_is_set(parent->ids.trace_id))
        continue_trace(self, exchange, &parent->ids, parent->is_remote);
    else if (!config.sdk_disabled)
        new_trace(self, exchange);
}

void exchange_doubt(struct thread *self, struct exchange *exchange)
{
    struct context *likeliest = exchange->context;
    context_hold(likeliest);
    leave_context(exchange);
    exchange->has_parent = false;
    memset(exchange->parent_id, 0, sizeof(exchange->parent_id));
    exchange_identify_client(self, exchange, (struct decision){likeliest, RULE_AMBIGUOUS});
    counter_add(COUNTER_PARENT_UNCERTAIN, 1);
    context_drop(likeliest);
}

void exchange_adopt(struct exchange *exchange)
{
    struct extracted own;
    extract_any(exchange, &own);
    if (own.found == FOUND_PARENT) {
        exchange_adopt_ids(exchange, &own.ids);
        return;
    }
    counter_add(COUNTER_INJECT_ADOPTED, 1);
    exchange->marks |= RECORD_ADOPTED;
}

void exchange_adopt_ids(struct exchange *exchange, const struct trace_ids *own)
{
    counter_add(COUNTER_INJECT_ADOPTED, 1);
    exchange->marks |= RECORD_ADOPTED;
    if (config.sdk_disabled)
        return;
    memcpy(exchange->ids.trace_id, own->trace_id, sizeof(own->trace_id));
    memcpy(exchange->parent_id, own->span_id, sizeof(own->span_id));
    exchange->ids.flags = own->flags;
    exchange->rule = RULE_HEADER;
    exchange->has_parent = true;
    exchange->parent_is_remote = true;
}

void exchange_link_parent(struct exchange *exchange)
{
    struct trace_link *link = &exchange->links[0];
    if (!exchange->has_parent)
        return;
    exchange_unlink(exchange);
    memcpy(link->trace_id, exchange->ids.trace_id, sizeof(link->trace_id));
    memcpy(link->span_id, exchange->parent_id, sizeof(link->span_id));
    exchange->link_count = 1;
}

void exchange_settle(struct thread *self, struct exchange *exchange)
{
    exchange->numbers[FIELD_VERSION] = MESSAGE_SETTLE;
    exchange->is_server = false;
    exchange->has_parent = true;
    exchange->parent_is_remote = false;
    exchange_unlink(exchange);
    exchange->start_ns = thread_now(self);
    memcpy(exchange->parent_id, exchange->ids.span_id, sizeof(exchange->parent_id));
    new_span_id(self, exchange->ids.span_id);
}
