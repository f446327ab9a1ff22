/* SPDX-License-Identifier: Apache-2.0 */
/* Which message of several a program's runtime works on: carrier.h. */
#include "attribution.h"
#include "carrier.h"
#include "config.h"
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

uint32_t carrier_take_remote(const char *traceparent, const char *tracestate)
{
    char clean[sizeof(config.tracestate)];
    size_t length;
    bool is_wanted = config.propagators & PROPAGATOR_TRACECONTEXT;
    struct thread *self = is_wanted ? observe_open() : NULL;
    if (self == NULL)
        return CARRIER_NONE;
    struct context *context =
        attribution_take_remote(traceparent, tracestate == NULL ? "" : tracestate, clean, &length);
    if (context != NULL)
        context_set_texts(context, clean, (uint32_t)length, NULL, 0);
    observe_close(self);
    return context == NULL ? CARRIER_NONE : context->index;
}
