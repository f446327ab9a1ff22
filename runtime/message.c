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

void message_end(struct thread *self, struct exchange *exchange)
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

static struct context *hand(struct thread *self, struct exchange *exchange, enum handed handed)
{
    exchange_identify_server(self, exchange);
    exchange_link_parent(exchange);
    struct context *context = exchange->context;
    bool is_told = handed == HANDED_TOLD;
    if (context == NULL || (!is_told && attribution_is_engaged(self))) {
        message_end(self, exchange);
        return NULL;
    }
    context->is_message = true;
    context->is_followed = is_told;
    if (is_told) {
        attribution_request_complete(context);
        return context;
    }
    if (self->messages == NULL)
        serve(self, exchange, handed == HANDED_ONE);
    keep(self, exchange);
    return context;
}

struct context *message_handed(struct exchange *exchange, enum library library, enum handed handed)
{
    int saved_errno = errno;
    struct thread *self = observe_open();
    struct context *context = NULL;
    if (self == NULL)
        return NULL; /* in a signal handler that interrupted us: one block of memory is lost */
    exchange->serial = library;
    if (self->message_count < MESSAGES_MAX) {
        context = hand(self, exchange, handed);
    } else {
        counter_add(COUNTER_SPANS_DROPPED_PIPELINED, 1);
        exchange_free(exchange);
    }
    observe_close(self);
    errno = saved_errno;
    return context;
}

void message_leave(struct thread *self)
{
    struct exchange *exchange;
    while ((exchange = self->messages) != NULL) {
        self->messages = exchange->next;
        message_end(self, exchange);
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
