/* SPDX-License-Identifier: Apache-2.0 */
/* What a parser tells, and what it means: exchanges begin, get their identity, end as spans. */
#include <string.h>

#include "../protocols/messaging.h"
#include "config.h"
#include "counters.h"
#include "exporter.h"
#include "heap.h"
#include "open.h"
#include "statement.h"
#include "stream_internal.h"
#include "trust.h"

__attribute__((noinline)) static struct exchange *find_older(
    const struct connection *connection, uint32_t serial)
{
    struct exchange *delivered = connection->delivered_last;
    if (delivered != NULL && delivered->serial == serial)
        return delivered;
    for (struct exchange *exchange = connection->first; exchange; exchange = exchange->next)
        if (exchange->serial == serial)
            return exchange;
    return NULL;
}

__attribute__((always_inline)) static inline struct exchange *find(
    const struct connection *connection, uint32_t serial)
{
    struct exchange *last = connection->last; /* nearly always */
    if (last != NULL && last->serial == serial)
        return last;
    struct exchange *prepared = connection->prepared;
    if (prepared != NULL && prepared->serial == serial)
        return prepared;
    return find_older(connection, serial);
}

struct exchange *stream_find(struct connection *connection, uint32_t serial)
{
    return find(connection, serial);
}

static void note_current(struct connection *connection)
{
    const struct exchange *first = connection->first;
    connection->current = first != NULL && first->requested ? first->context : NULL;
}

/* Two lists: what is asked for, and what is delivered. */
static struct exchange **list_of(
    struct connection *connection, const struct exchange *exchange, struct exchange ***last)
{
    bool is_delivery = exchange->is_delivery;
    *last = is_delivery ? &connection->delivered_last : &connection->last;
    return is_delivery ? &connection->delivered : &connection->first;
}

static void take_out(struct connection *connection, struct exchange *exchange)
{
    struct exchange **last, **link = list_of(connection, exchange, &last);
    struct exchange *before = NULL;
    while (*link != NULL && *link != exchange) {
        before = *link;
        link = &(*link)->next;
    }
    if (*link == NULL) {
        process_break("an exchange was not where its connection said");
        return;
    }
    while (connection->held != NULL && (connection->held == exchange || connection->held->is_left))
        connection->held = connection->held->next;
    *link = exchange->next;
    if (*last == exchange)
        *last = before;
    connection->delivered_count -= exchange->is_delivery;
    note_current(connection);
}

void stream_disown(struct connection *connection)
{
    context_drop(connection->previous);
    connection->previous = NULL;
    struct context *opener = connection->opener.context;
    connection->opener = nobody_opened;
    if (opener == NULL)
        return;
    attribution_call_end(opener);
    context_drop(opener);
}

struct exchange *stream_prepare(
    struct thread *self, struct connection *connection, const struct event *begin)
{
    struct exchange *exchange = exchange_take(self, begin->exchange, false);
    if (exchange == NULL)
        return NULL;
    exchange->key = begin->key;
    exchange->numbers[FIELD_VERSION] = begin->number;
    pooling_doubt(self, connection);
    exchange_identify_client(self, exchange, attribution_parent(self, &connection->opener));
    connection->prepared = exchange;
    return exchange;
}

/* Its connection has one that is open. If that has been answered where nobody could see it, or
 * where it has not been told yet, by another thread, what is done here now is not for it. */
__attribute__((noinline, cold)) static void append_behind(
    struct stream_sink *sink, struct exchange *exchange)
{
    struct connection *connection = sink->connection;
    bool is_second = connection->first == connection->last;
    connection->last->next = exchange;
    if (is_second && !connection->requests_out && stream_may_have_answered(connection))
        attribution_leave(sink->self);
}

__attribute__((always_inline)) static inline void append(
    struct stream_sink *sink, struct exchange *exchange)
{
    struct connection *connection = sink->connection;
    if (connection->last == NULL)
        connection->first = exchange;
    else
        append_behind(sink, exchange);
    connection->last = exchange;
}

/* The connection's first request is on its way: the claim of who opened it has been honoured. */
static void begin(struct stream_sink *sink, const struct event *event)
{
    struct connection *connection = sink->connection;
    uint32_t serial = event->exchange;
    if (event->is_delivery) {
        stream_deliver(sink, event);
        return;
    }
    struct exchange *exchange = connection->prepared;
    bool is_server = !connection->requests_out;
    if (exchange != NULL && exchange->serial == serial) {
        connection->prepared = NULL;
        exchange_forget_texts(exchange);
    } else if ((exchange = exchange_take(sink->self, serial, is_server)) == NULL)
        return;
    exchange->key = event->key;
    exchange->numbers[FIELD_VERSION] = event->number;
    append(sink, exchange);
}

static void serve(struct thread *self, struct exchange *exchange, bool is_new_clients)
{
    attribution_request(self, exchange->context, is_new_clients);
    if (exchange->behind)
        attribution_request_behind(exchange->context, false);
    exchange->behind = false;
}

static void requested_server(struct stream_sink *sink, struct exchange *exchange)
{
    if (__builtin_expect(config.trust != TRUST_ALL, 0))
        exchange->is_distrusted = !trust_believes(&sink->connection->peer);
    exchange_identify_server(sink->self, exchange);
    if (exchange->context != NULL && sink->connection->first == exchange)
        serve(sink->self, exchange, sink->connection->made_unit == sink->self->unit);
}

/* Only where nothing is told ahead of the kernel: else it was asked by stream_prepare. */
static struct decision parent_of(
    struct thread *self, struct connection *connection, const struct exchange *exchange)
{
    struct decision decision;
    if (connection->first == exchange) {
        pooling_doubt(self, connection);
        decision = attribution_parent(self, &connection->opener);
    } else
        decision = attribution_parent_behind(self, connection->doubtful_unit == self->unit);
    if (decision.rule == RULE_AMBIGUOUS)
        connection->doubtful_unit = self->unit;
    return decision;
}

static void requested_client(struct stream_sink *sink, struct exchange *exchange)
{
    struct connection *connection = sink->connection;
    if (!exchange->has_ids)
        exchange_identify_client(sink->self, exchange, parent_of(sink->self, connection, exchange));
    if ((exchange->present & EXCHANGE_HAS_CONTEXT) && !exchange->forwarded)
        exchange_adopt(exchange);
    else if (connection->protocol->edits == EDITS_ALWAYS) {
        if (!exchange->injected && !exchange->forwarded && config.propagators != 0 &&
            (!connection->protocol->client_only ||
                exchange->numbers[FIELD_VERSION] == MESSAGE_SEND))
            exchange_untouched(exchange);
    } else if (statement_may_carry(exchange))
        statement_adopt(sink->self, connection->protocol, exchange);
    stream_disown(connection);
}

/* Before anything of the answer can leave. */
__attribute__((noinline, cold)) static void note_first(
    const struct stream_sink *sink, struct exchange *exchange)
{
    exporter_need();
    open_note(exchange, sink->connection->row);
}

__attribute__((always_inline)) static inline void note_open(
    const struct stream_sink *sink, struct exchange *exchange)
{
    if (exchange_is_recorded(exchange) && !open_note(exchange, sink->connection->row))
        note_first(sink, exchange);
}

static void on_request(struct stream_sink *sink, struct exchange *exchange)
{
    exchange->requested = true;
    if (exchange->is_delivery)
        stream_delivered(sink, exchange);
    else if (exchange->is_server)
        requested_server(sink, exchange);
    else
        requested_client(sink, exchange);
    note_current(sink->connection);
    note_open(sink, exchange);
    sink->connection->used = true;
}

struct peer stream_peer(struct connection *connection)
{
    if (connection->peer_text[0] == '\0')
        address_format(&connection->peer, connection->peer_text);
    return (struct peer){connection->peer_text, connection->peer.port};
}

/* The request behind one that is answered: it is now at work on the thread that read it. */
static void come_first(struct thread *self, struct exchange *exchange)
{
    if (exchange->unit >> 32 == self->unit >> 32) { /* the same thread's: see thread_attach */
        serve(self, exchange, false);
        return;
    }
    if (exchange->behind)
        attribution_request_behind(exchange->context, false);
    exchange->behind = false;
}

__attribute__((always_inline)) static inline void record(
    const struct stream_sink *sink, const struct exchange *exchange, const char *error)
{
    struct connection *connection = sink->connection;
    exchange_record(
        sink->self, exchange, RECORD_EXCHANGE, connection->row, stream_peer(connection), error);
}

void stream_record(
    const struct stream_sink *sink, const struct exchange *exchange, const char *error)
{
    record(sink, exchange, error);
}

void stream_end_exchange(
    struct stream_sink *sink, struct exchange *exchange, enum end_reason reason)
{
    struct connection *connection = sink->connection;
    if (exchange->requested && exchange->has_ids && exchange_is_recorded(exchange)) {
        const char *error = reason == END_COMPLETE ? NULL : stream_error_of(sink, exchange, reason);
        if (exchange_wants_code(sink->self, exchange, error))
            exchange_note_code(sink->self);
        record(sink, exchange, error);
    }
    take_out(connection, exchange);
    pooling_answered(connection, false);
    if (exchange->is_server && exchange->context != NULL)
        attribution_answered(sink->self, exchange->context);
    if (!exchange->is_server && exchange->context != NULL &&
        exchange->context != sink->self->current)
        attribution_touch_many(sink->self);
    if (!exchange->is_server && exchange->context != NULL && connection->previous == NULL) {
        context_hold(exchange->context);
        connection->previous = exchange->context;
    }
    exchange_free(exchange);
    if (connection->current != NULL && !connection->requests_out)
        come_first(sink->self, connection->first);
}

void stream_forget(struct connection *connection, struct exchange *exchange)
{
    if (connection->prepared == exchange)
        connection->prepared = NULL; /* its first byte has not left: it is in no list yet */
    else
        take_out(connection, exchange);
    exchange_free(exchange);
}

void stream_unprepare(struct connection *connection)
{
    if (connection->prepared != NULL)
        stream_forget(connection, connection->prepared);
}

static void received(struct stream_sink *sink, struct exchange *exchange)
{
    exchange->behind = sink->connection->first != exchange;
    if (exchange->behind) {
        attribution_request_behind(exchange->context, true);
        heap_overtaken(sink->connection->first->context);
    }
    attribution_request_complete(exchange->context);
    if (__builtin_expect(heap_is_on, 0))
        heap_read(sink->self, exchange->context);
}

static void on_number(struct exchange *exchange, const struct event *event)
{
    exchange->numbers[event->field] = event->number;
    if (event->field == FIELD_STATUS && (event->number >= 200 || event->number == 101))
        exchange->has_response = true;
}

/* Of a request that comes in: a line may be put before this offset of what is being fed. */
static void note_inbound(struct thread *self, const struct event *event)
{
    struct inbound *inbound = &self->inbound;
    *inbound = (struct inbound){
        inbound->splices + 1, event->exchange, event->offset - event->length, event->bare_lf};
}

/* Its request may have been complete before it is known which statement it is: then that is looked
 * at now, and noted again. Never inlined, as below. */
__attribute__((noinline)) static void recall_statement(
    const struct stream_sink *sink, struct exchange *exchange, const struct event *event)
{
    struct connection *connection = sink->connection;
    kept_recall(&connection->kept, exchange, event);
    if (!event->has_own)
        exchange->present |= EXCHANGE_IS_REPEATED;
    if (!exchange->requested || !statement_may_carry(exchange) ||
        !statement_adopt(sink->self, connection->protocol, exchange))
        return;
    note_current(connection);
    open_forget(exchange);
    note_open(sink, exchange);
}

/* Of no exchange that there is. Never inlined, and so are the rarer ones of an exchange: texts and
 * numbers are most of all events, and what these do not need they should not pay for. */
__attribute__((noinline)) static void on_connection(
    struct stream_sink *sink, const struct event *event)
{
    switch (event->kind) {
    case EVENT_BEGIN:
        begin(sink, event);
        break;
    case EVENT_UNTOLD:
        counter_add(COUNTER_SPANS_DROPPED_PIPELINED, 1);
        break;
    case EVENT_SETTLE:
        stream_settle(sink, event);
        break;
    case EVENT_DOUBT:
        stream_doubt(sink->self);
        break;
    case EVENT_RELEASE:
        stream_release(sink, event);
        break;
    case EVENT_LEAVE:
        stream_ask(sink, event->is_through);
        break;
    default:
        kept_event(&sink->connection->kept, event);
        break;
    }
}

__attribute__((noinline)) static void on_stage(
    struct stream_sink *sink, struct exchange *exchange, const struct event *event)
{
    struct connection *connection = sink->connection;
    switch (event->kind) {
    case EVENT_REQUEST:
        on_request(sink, exchange);
        break;
    case EVENT_RECEIVED:
        if (exchange->is_delivery)
            stream_delivery_received(sink, exchange, event->is_through);
        else if (exchange->is_server && exchange->context != NULL)
            received(sink, exchange);
        break;
    case EVENT_RESPONSE:
        open_answers(exchange);
        if (connection->protocol->client_only)
            exchange->has_response = true;
        if (exchange->is_server && exchange->context != NULL)
            attribution_answering(exchange->context);
        break;
    case EVENT_END:
        if (exchange->is_delivery) {
            stream_end_delivery(sink, exchange, event->reason);
            break;
        }
        if (event->number != 0)
            exchange->numbers[FIELD_ROWS] = event->number;
        connection->switched = event->reason == END_SWITCHED;
        connection->tunnels = connection->switched && exchange->numbers[FIELD_STATUS] / 100 == 2;
        stream_end_exchange(sink, exchange, event->reason);
        break;
    case EVENT_PASS:
        if (!stream_pass(sink, exchange, event))
            break;
        __attribute__((fallthrough));
    case EVENT_VOID:
        connection->shake_told = connection->shake_told && !exchange->tells_shake;
        stream_forget(connection, exchange);
        pooling_answered(connection, true);
        break;
    case EVENT_SPLICE:
        if (connection->protocol->edits == EDITS_ENTRIES && connection->edits &&
            !exchange->injected && !(exchange->present & EXCHANGE_HAS_CONTEXT))
            exchange_untouched(exchange);
        if (__builtin_expect(config.inserts_inbound, 0) && connection->protocol->insert == NULL)
            note_inbound(sink->self, event); /* passing.h is about lines */
        break;
    case EVENT_ANSWER:
        if (!exchange->injected && exchange_answer_headers(exchange, event) != 0)
            counter_add(COUNTER_INJECT_SKIPPED, 1);
        break;
    case EVENT_KEYED:
        exchange->key = event->key;
        exchange->is_settled |= event->is_settled;
        exchange->is_grouped = event->is_through;
        break;
    case EVENT_RECALL:
        if (event->field == FIELD_QUERY)
            recall_statement(sink, exchange, event);
        else
            kept_recall(&connection->kept, exchange, event);
        break;
    case EVENT_UNASKED:
        exchange_identify_client(sink->self, exchange, (struct decision){0});
        exchange->injected = true; /* nothing of it goes out */
        break;
    case EVENT_LINK:
        exchange_link(exchange, event->text, event->length);
        break;
    default:
        break;
    }
}

__attribute__((noinline)) static bool wants(
    struct connection *connection, const struct event *event)
{
    const struct exchange *exchange = find(connection, event->exchange);
    return exchange != NULL && exchange_wants(exchange, connection->protocol);
}

static bool on_event(struct sink *base, const struct event *event)
{
    struct stream_sink *sink = (struct stream_sink *)base;
    if (event->kind == EVENT_BEGIN || event->kind >= EVENT_OF_CONNECTION) {
        if (event->kind == EVENT_ASK)
            return wants(sink->connection, event);
        on_connection(sink, event);
        return true;
    }
    struct exchange *exchange = find(sink->connection, event->exchange);
    if (exchange == NULL)
        return true; /* there was no memory for it: counted then */
    if (event->kind == EVENT_TEXT) {
        exchange->present |= 1u << event->field;
        exchange_add_text(exchange, event);
    } else if (event->kind == EVENT_NUMBER)
        on_number(exchange, event);
    else
        on_stage(sink, exchange, event);
    return true;
}

struct stream_sink stream_sink_for(
    struct thread *self, struct connection *connection, enum cause cause, const char *error)
{
    return (struct stream_sink){{on_event}, self, connection, cause, error};
}

void stream_take_over(struct thread *self, struct connection *connection)
{
    struct stream_sink sink = stream_sink_for(self, connection, CAUSE_PROTOCOL, NULL);
    struct exchange *exchange = connection->prepared;
    memcpy(connection->protocol_state, self->scan_state, connection->protocol->state_bytes);
    connection->prepared = NULL;
    connection->feeds++;
    append(&sink, exchange);
    on_request(&sink, exchange);
}
