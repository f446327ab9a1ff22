/* SPDX-License-Identifier: Apache-2.0 */
#include "message.h"

#include <errno.h>
#include <string.h>

#include "context_names.h"
#include "counters.h"
#include "exporter.h"

/* Each holds a block of a kilobyte: this many are followed of what one thread has in hand. */
enum { MESSAGES_MAX = 4096 };

static struct exchange *begin(struct thread *self, bool is_handed)
{
    struct exchange *exchange = process.broken ? NULL : exchange_take(self, 0, is_handed);
    if (exchange == NULL)
        return NULL;
    exporter_need();
    if (is_handed)
        return exchange; /* what it carries names its parent */
    exchange_identify_client(self, exchange, attribution_parent(self, &nobody_opened));
    exchange_uncount(exchange);
    return exchange;
}

struct exchange *message_begin(bool is_handed)
{
    int saved_errno = errno;
    struct thread *self = message_is_seen() ? observe_open() : NULL;
    if (self == NULL)
        return NULL;
    struct exchange *exchange = begin(self, is_handed);
    observe_close(self);
    errno = saved_errno;
    return exchange;
}

void message_header(struct exchange *exchange, const char *name, const void *value, size_t length)
{
    size_t name_length = strlen(name);
    enum field field = context_field(name, name_length);
    if (field == FIELD_COUNT || value == NULL)
        return;
    struct event event = {.kind = EVENT_TEXT,
        .field = field,
        .first = true,
        .text = (const uint8_t *)name,
        .length = name_length};
    if (context_is_named(field)) {
        exchange_add_text(exchange, &event);
        event.first = false;
        event.text = (const uint8_t *)": ";
        event.length = 2;
        exchange_add_text(exchange, &event);
    }
    event.last = true;
    event.text = value;
    event.length = length;
    exchange_add_text(exchange, &event);
    exchange->present |= 1u << field;
}

void message_adopt(struct exchange *exchange)
{
    int saved_errno = errno;
    struct thread *self = observe_open();
    if (self == NULL)
        return;
    exchange_adopt(exchange);
    observe_close(self);
    errno = saved_errno;
}

static void end(struct thread *self, struct exchange *exchange)
{
    struct peer nobody = {.address = ""};
    if (exchange_is_recorded(exchange)) /* a forked child's parent tells it */
        exchange_record(self, exchange, RECORD_CALL, (uint8_t)exchange->serial, nobody, NULL);
    if (exchange->context != NULL) {
        attribution_answered(self, exchange->context);
        attribution_leave_message(self, exchange->context);
    }
    exchange_free(exchange);
}

static void serve(struct thread *self, struct exchange *exchange, bool is_one)
{
    exchange->context->is_uncertain = !is_one;
    attribution_request(self, exchange->context, false);
    attribution_request_complete(exchange->context);
}

/* Behind the first, which is the one that is served: the order of the others does not matter. */
static void keep(struct thread *self, struct exchange *exchange)
{
    struct exchange **place = self->messages == NULL ? &self->messages : &self->messages->next;
    exchange->next = *place;
    *place = exchange;
    self->message_count++;
}

static void hand(struct thread *self, struct exchange *exchange, bool is_one)
{
    exchange_identify_server(self, exchange);
    exchange_link_parent(exchange);
    if (exchange->context == NULL || attribution_is_engaged(self)) {
        end(self, exchange);
        return;
    }
    exchange->context->is_message = true;
    if (self->messages == NULL)
        serve(self, exchange, is_one);
    keep(self, exchange);
}

void message_handed(struct exchange *exchange, enum library library, bool is_one)
{
    int saved_errno = errno;
    struct thread *self = observe_open();
    if (self == NULL)
        return; /* in a signal handler that interrupted us: one block of memory is lost */
    exchange->serial = library;
    if (self->message_count < MESSAGES_MAX) {
        hand(self, exchange, is_one);
    } else {
        counter_add(COUNTER_SPANS_DROPPED_PIPELINED, 1);
        exchange_free(exchange);
    }
    observe_close(self);
    errno = saved_errno;
}

struct context *message_given(struct exchange *exchange, enum library library)
{
    struct thread *self = observe_open();
    if (self == NULL)
        return NULL; /* as above */
    exchange->serial = library;
    exchange_identify_server(self, exchange);
    exchange_link_parent(exchange);
    struct context *context = exchange->context;
    if (context != NULL) {
        context->is_message = context->is_followed = true;
        attribution_request_complete(context);
    } else
        end(self, exchange);
    observe_close(self);
    return context;
}

bool message_done(struct exchange *exchange)
{
    struct thread *self = observe_open();
    if (self == NULL)
        return false;
    const struct context *context = exchange->context;
    bool has_calls = context->has_named_calls || context->may_have_made_calls;
    end(self, exchange);
    observe_close(self);
    return has_calls;
}

void message_link(struct exchange *exchange, const void *traceparent, size_t length)
{
    struct thread *self = observe_open();
    if (self == NULL)
        return;
    exchange_link(exchange, traceparent, length);
    observe_close(self);
}

void message_leave(struct thread *self)
{
    struct exchange *exchange;
    while ((exchange = self->messages) != NULL) {
        self->messages = exchange->next;
        end(self, exchange);
    }
    self->message_count = 0;
}

void message_over(void)
{
    if (thread_self == NULL || thread_self->messages == NULL)
        return;
    int saved_errno = errno;
    struct thread *self = observe_open();
    if (self == NULL)
        return;
    message_leave(self);
    observe_close(self);
    errno = saved_errno;
}
