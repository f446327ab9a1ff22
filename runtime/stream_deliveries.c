/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages that a program gets from a broker, and works on: exchanges in the direction of answers
 * (protocols/protocol.h, "Of queues"; docs/MESSAGING.md has the rules).
 *
 * Of those that came in one read the thread that read them is at work on the first, and comes to
 * the next when that one is settled, as a server does with requests that its client sent ahead.
 * When it asks the broker for more, all that it has are *left*: they wait in user space, for
 * another thread, or for an acknowledgement of many. Those of which none is to come are over then.
 *
 *   connection->delivered .. delivered_last: in the order of their arrival
 *   of those not left the first is served, the others are behind (exchange.behind)
 */
#include <string.h>

#include "counters.h"
#include "stream_internal.h"

/* Each holds a block of a kilobyte: this many are followed of what one connection holds back. */
enum { DELIVERIES_MAX = 16 * 1024 };

void stream_deliver(struct stream_sink *sink, const struct event *event)
{
    struct connection *connection = sink->connection;
    struct exchange *exchange = NULL;
    if (connection->delivered_count == DELIVERIES_MAX)
        counter_add(COUNTER_SPANS_DROPPED_PIPELINED, 1);
    else
        exchange = exchange_take(sink->self, event->exchange, true);
    if (exchange == NULL)
        return;
    exchange->is_delivery = true;
    exchange->is_settled = event->is_settled;
    exchange->key = event->key;
    connection->delivered_count++;
    if (connection->delivered_last == NULL)
        connection->delivered = exchange;
    else
        connection->delivered_last->next = exchange;
    connection->delivered_last = exchange;
    if (connection->held == NULL)
        connection->held = exchange;
}

static struct exchange *next_held(struct exchange *exchange)
{
    while (exchange != NULL && exchange->is_left)
        exchange = exchange->next;
    return exchange;
}

static void leave(struct connection *connection, struct exchange *exchange)
{
    exchange->is_left = true;
    if (exchange->behind && exchange->context != NULL)
        attribution_request_behind(exchange->context, false);
    exchange->behind = false;
    if (connection->held == exchange)
        connection->held = next_held(exchange);
}

static void serve(struct stream_sink *sink, struct exchange *exchange)
{
    if (!sink->connection->is_told)
        attribution_request(sink->self, exchange->context, false);
    if (exchange->behind)
        attribution_request_behind(exchange->context, false);
    exchange->behind = false;
}

void stream_delivered(struct stream_sink *sink, struct exchange *exchange)
{
    exchange_identify_server(sink->self, exchange);
    exchange_link_parent(exchange);
    if (exchange->context != NULL)
        exchange->context->is_message = true;
}

/* On an event loop. Who acknowledges what it did nothing for may do that work afterwards. */
static void note_settled(struct thread *self, const struct context *context)
{
    self->settled_unit = self->unit + 1;
    self->settles_late |= context->has_made_calls && !self->settles_early;
    self->settles_early |= !self->settles_late && !context->has_made_calls &&
                           !context->may_have_made_calls && !context->is_followed;
}

/* Is it still at work on what it has acknowledged, it may be? */
static bool may_be_behind(const struct thread *self)
{
    return self->multiplexes && (self->settles_early || self->settled_unit == self->unit + 1);
}

/* All of it is here, or what makes it valid: before, nobody works on it. */
static void come_complete(struct stream_sink *sink, struct exchange *exchange)
{
    exchange->is_complete = true;
    if (exchange->context == NULL)
        return;
    if (attribution_is_engaged(sink->self))
        leave(sink->connection, exchange); /* a request that is at work has asked for it */
    else if (sink->connection->held == exchange)
        serve(sink, exchange);
}

/* Of what else is in hand, or was, nothing tells it apart, it may be. */
static void note_doubts(struct stream_sink *sink, struct exchange *exchange)
{
    const struct connection *connection = sink->connection;
    struct context *context = exchange->context, *first = connection->held->context;
    bool pulls = connection->protocol->pulls;
    bool is_parted =
        exchange->is_settled && !exchange->is_grouped && !sink->self->multiplexes && !pulls;
    context->is_of_many |=
        exchange->is_settled ? may_be_behind(sink->self) : connection->reads_ahead;
    /* Of several that were asked for one by one, nothing tells which is worked on first. */
    context->is_uncertain |= pulls && !context->is_taken && connection->delivered != exchange;
    /* Nothing will tell where the work on one ends and that on the next begins, or they are worked
     * on side by side. */
    if (exchange->behind && !is_parted && first != NULL)
        first->is_uncertain = context->is_uncertain = true;
}

/* Until more comes, whatever its reader puts into a queue is this one. */
static void note_alone(struct connection *connection, struct exchange *exchange)
{
    struct context *first = connection->delivered->context;
    exchange->context->is_alone =
        exchange->is_settled && !exchange->behind && connection->delivered == exchange;
    if (first != NULL && first != exchange->context)
        first->is_alone = false;
}

void stream_delivery_received(struct stream_sink *sink, struct exchange *exchange, bool is_taken)
{
    if (exchange->context != NULL)
        exchange->context->is_taken = is_taken;
    come_complete(sink, exchange);
    if (exchange->is_left && !exchange->is_settled) {
        stream_end_delivery(sink, exchange, END_COMPLETE); /* nothing else will */
        return;
    }
    if (exchange->is_left || exchange->context == NULL)
        return;
    exchange->behind = sink->connection->held != exchange;
    if (exchange->behind)
        attribution_request_behind(exchange->context, true);
    if (!sink->connection->is_told)
        note_doubts(sink, exchange);
    note_alone(sink->connection, exchange);
    attribution_request_complete(exchange->context);
}

/* The one behind is now at work on the thread that read it, if that is this one. Who acknowledges
 * before the work is done is still at the one before: only where that has made calls is it known
 * that it has not been so. */
static void come_first(struct stream_sink *sink, struct exchange *exchange, bool is_uncertain)
{
    if (exchange == NULL || exchange->context == NULL || !exchange->is_complete)
        return;
    exchange->context->is_uncertain |= is_uncertain && !sink->connection->is_told;
    if (exchange->unit >> 32 == sink->self->unit >> 32) {
        serve(sink, exchange);
        return;
    }
    if (exchange->behind)
        attribution_request_behind(exchange->context, false);
    exchange->behind = false;
}

static void end(struct stream_sink *sink, struct exchange *exchange, enum end_reason reason,
    bool is_told_settled)
{
    struct connection *connection = sink->connection;
    struct context *context = exchange->context;
    bool was_served = connection->held == exchange;
    bool has_called = context != NULL && context->has_made_calls;
    if (context != NULL && is_told_settled && sink->self->multiplexes && !connection->is_told)
        note_settled(sink->self, context);
    bool is_whole = exchange->requested && exchange->has_ids;
    uint64_t now = thread_now(sink->self);
    if (context != NULL && context->left_ns != 0)
        sink->self->now_ns = context->left_ns;
    if (is_whole && exchange_is_recorded(exchange))
        stream_record(sink, exchange, stream_error_of(sink, exchange, reason));
    if (is_whole && is_told_settled && exchange_is_recorded(exchange)) {
        exchange_settle(sink->self, exchange);
        stream_record(sink, exchange, NULL);
    }
    sink->self->now_ns = now;
    leave(connection, exchange);
    if (context != NULL)
        attribution_answered(sink->self, context);
    stream_forget(connection, exchange);
    if (was_served)
        come_first(sink, connection->held, !has_called);
}

void stream_end_delivery(
    struct stream_sink *sink, struct exchange *exchange, enum end_reason reason)
{
    end(sink, exchange, reason, false);
}

/* It is settled if its transaction is committed. */
static bool is_put_off(const struct exchange *exchange)
{
    return exchange->is_delivery && exchange->context != NULL && exchange->context->left_ns != 0;
}

/* What was put off is meant by the end of its transaction alone. */
static bool is_meant(const struct exchange *exchange, const struct event *settle)
{
    return exchange->key >= settle->key && exchange->key <= settle->other &&
           is_put_off(exchange) == (settle->is_put_off && settle->reason != END_SWITCHED);
}

static void add_code(struct exchange *exchange, const struct event *settle)
{
    struct event code = {.kind = EVENT_TEXT, .field = FIELD_CODE, .first = true, .last = true};
    if (settle->length == 0)
        return;
    code.text = settle->text;
    code.length = settle->length;
    exchange->present |= 1u << FIELD_CODE;
    exchange_add_text(exchange, &code);
}

/* The next one that is meant, from `exchange` on. */
static struct exchange *next_meant(struct exchange *exchange, const struct event *settle)
{
    while (exchange != NULL && !is_meant(exchange, settle))
        exchange = exchange->next;
    return exchange;
}

/* The program is done with it, as far as it knows: with this it ends, if the transaction is
 * committed. */
static void put_off(struct stream_sink *sink, struct exchange *exchange)
{
    struct connection *connection = sink->connection;
    struct context *context = exchange->context;
    bool was_served = connection->held == exchange;
    context->left_ns = thread_now(sink->self);
    if (sink->self->multiplexes && !connection->is_told)
        note_settled(sink->self, context);
    leave(connection, exchange);
    attribution_answered(sink->self, context);
    if (was_served)
        come_first(sink, connection->held, !context->has_made_calls);
}

/* It is as if it had not been settled, but for what is done meanwhile. */
static void take_back(struct exchange *exchange)
{
    exchange->context->left_ns = 0;
    exchange_forget_last(exchange, FIELD_CODE);
}

static void settle(struct stream_sink *sink, struct exchange *exchange, const struct event *event)
{
    if (event->is_put_off && event->reason == END_UNANSWERED) {
        take_back(exchange);
        return;
    }
    add_code(exchange, event);
    if (event->is_put_off && event->reason == END_SWITCHED && exchange->context != NULL)
        put_off(sink, exchange);
    else if (event->is_delivery)
        end(sink, exchange, END_COMPLETE, event->reason != END_UNANSWERED);
    else
        stream_end_exchange(sink, exchange, event->reason);
}

/* Those before the one that is meant; of what nobody acknowledges, none. */
static void settle_before(struct stream_sink *sink, const struct event *event)
{
    struct connection *connection = sink->connection;
    struct exchange *last = next_meant(connection->delivered, event), *next;
    for (struct exchange *exchange = connection->delivered; last != NULL && exchange != last;
         exchange = next) {
        next = exchange->next;
        if (exchange->is_settled)
            settle(sink, exchange, event);
    }
}

void stream_settle(struct stream_sink *sink, const struct event *event)
{
    struct connection *connection = sink->connection;
    if (event->is_through)
        settle_before(sink, event);
    struct exchange *exchange =
        next_meant(event->is_delivery ? connection->delivered : connection->first, event);
    while (exchange != NULL) {
        struct exchange *next = next_meant(exchange->next, event);
        settle(sink, exchange, event);
        exchange = next;
    }
}

/* Does it carry the parent of what has come? */
static bool is_named(const struct exchange *exchange, const struct exchange *come)
{
    const uint8_t *carried =
        exchange->marks & RECORD_ADOPTED ? exchange->parent_id : exchange->ids.span_id;
    return memcmp(carried, come->parent_id, sizeof(come->parent_id)) == 0;
}

bool stream_pass(struct stream_sink *sink, const struct exchange *come, const struct event *event)
{
    struct exchange *found = NULL;
    unsigned count = 0;
    for (struct exchange *exchange = next_meant(sink->connection->first, event); exchange != NULL;
         exchange = next_meant(exchange->next, event)) {
        if (come->has_parent && !is_named(exchange, come))
            continue;
        found = exchange;
        count++;
    }
    if (event->is_through || count != 1)
        return event->is_through && count > 0;
    found->numbers[FIELD_STATUS] = come->numbers[FIELD_STATUS];
    return true;
}

void stream_release(struct stream_sink *sink, const struct event *event)
{
    struct exchange *exchange = next_meant(sink->connection->delivered, event);
    while (exchange != NULL) {
        struct exchange *next = next_meant(exchange->next, event);
        if (!exchange->is_complete)
            stream_delivery_received(sink, exchange, false);
        exchange = next;
    }
}

static struct exchange *complete_delivery(const struct connection *connection, uint64_t key)
{
    struct exchange *exchange = connection->delivered;
    while (exchange != NULL && (exchange->key != key || !exchange->is_complete))
        exchange = exchange->next;
    return exchange;
}

bool stream_tell(struct thread *self, struct connection *connection)
{
    if (attribution_is_engaged(self))
        return false;
    if (self->current != NULL && !self->current_carried)
        attribution_leave_message(self, self->current);
    connection->is_told = true;
    return true;
}

struct context *stream_tell_delivery(
    struct thread *self, struct connection *connection, uint64_t key)
{
    if (!stream_tell(self, connection))
        return NULL;
    const struct exchange *exchange = complete_delivery(connection, key);
    struct context *context = exchange == NULL ? NULL : exchange->context;
    if (context == NULL)
        return NULL;
    context->is_uncertain = context->is_of_many = false;
    context->is_followed = true;
    return context;
}

void stream_end_told(
    struct thread *self, struct connection *connection, uint64_t key, const struct context *context)
{
    struct stream_sink sink = stream_sink_for(self, connection, CAUSE_PROTOCOL, NULL);
    struct exchange *exchange = complete_delivery(connection, key);
    if (exchange != NULL && exchange->context == context && !exchange->is_settled)
        stream_end_delivery(&sink, exchange, END_COMPLETE);
}

void stream_doubt(struct thread *self)
{
    if (self->current != NULL && self->current->is_message)
        self->current->is_uncertain = true;
}

/* It asks for more before it did anything for what it has: its library reads ahead, it may be, and
 * what is done from now on may be for one of those. */
static void note_haste(struct connection *connection)
{
    const struct exchange *first = connection->held;
    const struct context *context = first == NULL ? NULL : first->context;
    connection->reads_ahead |= context != NULL && !context->is_followed && first->is_complete &&
                               !first->is_settled && !context->has_made_calls &&
                               !context->may_have_made_calls;
}

/* What ends by an acknowledgement, or by a command that asks for more: not by mere reading. */
static bool is_asked_for(const struct exchange *exchange)
{
    return exchange->is_settled || (exchange->context != NULL && exchange->context->is_taken);
}

/* A thread has taken it by this connection, and works on it while others use that. */
static bool is_anothers(const struct exchange *exchange)
{
    const struct context *context = exchange->context;
    return context != NULL && context->is_taken && attribution_has_threads(context);
}

/* It asks for more: what it has is out of its hands, or done with. */
static void leave_all(struct stream_sink *sink, bool by_reading)
{
    struct exchange *next;
    if (sink->connection->is_told)
        return;
    if (sink->self->multiplexes)
        note_haste(sink->connection);
    for (struct exchange *exchange = sink->connection->held; exchange != NULL; exchange = next) {
        next = next_held(exchange->next);
        if (!exchange->is_complete || (by_reading && is_asked_for(exchange)))
            continue;
        leave(sink->connection, exchange);
        attribution_leave_message(sink->self, exchange->context);
        if (!exchange->is_settled && !is_anothers(exchange))
            stream_end_delivery(sink, exchange, END_COMPLETE);
    }
}

void stream_leave_deliveries(struct thread *self, struct connection *connection)
{
    struct stream_sink sink = stream_sink_for(self, connection, CAUSE_PROTOCOL, NULL);
    if (connection->first == NULL) /* else it may ask for that answer */
        leave_all(&sink, connection->protocol->pulls);
}

/* What it has taken, be it by another connection: that one's next user tells of it. */
static void leave_taken(struct thread *self)
{
    struct context *current = self->current;
    if (current == NULL || !current->is_taken)
        return;
    current->left_ns = thread_now(self);
    attribution_answered(self, current);
    attribution_leave_message(self, current);
}

static void end_left(struct stream_sink *sink)
{
    struct exchange *next;
    for (struct exchange *exchange = sink->connection->delivered; exchange != NULL;
         exchange = next) {
        next = exchange->next;
        if (exchange->is_left && exchange->context != NULL && exchange->context->is_taken &&
            !is_anothers(exchange))
            stream_end_delivery(sink, exchange, END_COMPLETE);
    }
}

void stream_ask(struct stream_sink *sink, bool is_of_any)
{
    if (is_of_any)
        leave_taken(sink->self);
    leave_all(sink, false);
    if (is_of_any)
        end_left(sink);
    attribution_leave_ended(sink->self);
}

/* What is to be acknowledged may be the work of a task that it waits for, too. */
void stream_rest(struct thread *self, struct connection *connection, int fd, bool looks)
{
    const struct exchange *held = connection->held;
    const struct context *current = self->current;
    if (looks)
        note_haste(connection); /* done with it, it would sleep */
    if (held != NULL && held->is_settled)
        self->unsettled_fd = fd + 1;
    else if (held != NULL)
        stream_leave_deliveries(self, connection);
    else if (current != NULL && current->is_message && current->ended)
        attribution_leave_message(self, current); /* it was acknowledged before the work was done */
}
