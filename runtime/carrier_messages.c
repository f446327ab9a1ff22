/* SPDX-License-Identifier: Apache-2.0 */
/* Which message of several a program's runtime works on: carrier.h. */
#include <string.h>

#include "attribution.h"
#include "carrier.h"
#include "config.h"
#include "message.h"
#include "stream_internal.h"

uint32_t carrier_take_message(int fd, uint64_t key)
{
    struct sight sight;
    struct visit visit;
    if (!stream_look(fd, &sight) || !stream_enter(&visit, &sight))
        return CARRIER_NONE;
    struct context *context = stream_tell_delivery(visit.self, visit.connection, key);
    if (context != NULL)
        context_hold(context);
    stream_leave(&visit);
    return context == NULL ? CARRIER_NONE : context->index;
}

void carrier_work(uint32_t handle)
{
    struct thread *self = observe_open();
    if (self == NULL)
        return;
    attribution_work(self, context_at(handle));
    observe_close(self);
}

void carrier_worked(int fd, uint64_t key, uint32_t handle)
{
    struct sight sight;
    struct visit visit;
    if (stream_look(fd, &sight) && stream_enter(&visit, &sight)) {
        stream_end_told(visit.self, visit.connection, key, context_at(handle));
        stream_leave(&visit);
    }
    struct thread *self = observe_open();
    if (self == NULL)
        return;
    if (self->current == context_at(handle))
        attribution_leave(self);
    observe_close(self);
}

/* There may be others that it has read, but this one's headers are known. */
static struct context *take_read(const struct thread *self, const char *traceparent)
{
    struct context *context = self->current;
    struct trace_ids ids;
    if (context == NULL || !context->is_message || !context->has_remote ||
        !traceparent_parse((const uint8_t *)traceparent, strlen(traceparent), &ids) ||
        memcmp(ids.trace_id, context->ids.trace_id, sizeof(ids.trace_id)) != 0 ||
        memcmp(ids.span_id, context->remote_id, sizeof(ids.span_id)) != 0)
        return NULL;
    context->is_uncertain = context->is_of_many = false;
    context->is_followed = true;
    context_hold(context);
    return context;
}

uint32_t carrier_take_remote(const char *traceparent, const char *tracestate)
{
    char clean[sizeof(config.tracestate)];
    size_t length;
    bool is_wanted = config.propagators & PROPAGATOR_TRACECONTEXT;
    struct thread *self = is_wanted ? observe_open() : NULL;
    if (self == NULL)
        return CARRIER_NONE;
    struct context *context = take_read(self, traceparent);
    if (context == NULL) {
        context = attribution_take_remote(
            traceparent, tracestate == NULL ? "" : tracestate, clean, &length);
        if (context != NULL)
            context_set_texts(context, clean, (uint32_t)length, NULL, 0);
    }
    observe_close(self);
    return context == NULL ? CARRIER_NONE : context->index;
}

void message_done(struct exchange *exchange)
{
    struct thread *self = observe_open();
    if (self == NULL)
        return;
    message_end(self, exchange);
    observe_close(self);
}

void message_link(struct exchange *exchange, const void *traceparent, size_t length)
{
    struct thread *self = observe_open();
    if (self == NULL)
        return;
    exchange_link(exchange, traceparent, length);
    observe_close(self);
}
