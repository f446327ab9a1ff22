/* SPDX-License-Identifier: Apache-2.0 */
/* Which message of several a program's runtime works on: carrier.h. */
#include <string.h>

#include "attribution.h"
#include "carrier.h"
#include "config.h"
#include "message.h"
#include "stream_internal.h"

static uint32_t take(struct visit *visit, uint64_t key)
{
    struct context *context = stream_tell_delivery(visit->self, visit->connection, key);
    if (context != NULL)
        context_hold(context);
    stream_leave(visit);
    return context == NULL ? CARRIER_NONE : context->index;
}

uint32_t carrier_take_message(int fd, uint64_t key)
{
    struct sight sight;
    struct visit visit;
    if (!stream_look(fd, &sight) || !stream_enter(&visit, &sight))
        return CARRIER_NONE;
    return take(&visit, key);
}

struct carrier_source carrier_source(void)
{
    const struct thread *self = thread_self;
    if (self == NULL)
        return (struct carrier_source){0};
    return (struct carrier_source){self->source, self->source_generation, self->source_fd};
}

uint32_t *carrier_note(void)
{
    return thread_self == NULL ? NULL : &thread_self->note;
}

static bool enter_source(struct visit *visit, const struct carrier_source *source)
{
    struct sight sight;
    return source->connection != NULL && stream_look(source->fd, &sight) &&
           sight.connection == source->connection && sight.generation == source->generation &&
           stream_enter(visit, &sight);
}

void carrier_tell(const struct carrier_source *source)
{
    struct visit visit;
    if (!enter_source(&visit, source))
        return;
    stream_tell(visit.self, visit.connection);
    stream_leave(&visit);
}

uint32_t carrier_take_brought(const struct carrier_source *source, uint64_t key)
{
    struct visit visit;
    return enter_source(&visit, source) ? take(&visit, key) : CARRIER_NONE;
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

void carrier_begin(int fd, uint64_t key)
{
    carrier_done();
    uint32_t handle = carrier_take_message(fd, key);
    if (handle == CARRIER_NONE)
        return;
    thread_self->told = (struct told){key, fd, handle};
    carrier_work(handle);
}

void carrier_done(void)
{
    if (thread_self == NULL || thread_self->told.handle == CARRIER_NONE)
        return;
    struct told told = thread_self->told;
    thread_self->told.handle = CARRIER_NONE;
    carrier_worked(told.fd, told.key, told.handle);
    carrier_drop(told.handle);
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
