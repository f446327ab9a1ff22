/* SPDX-License-Identifier: Apache-2.0 */
/* Which message of several a program's runtime works on: carrier.h. */
#include <string.h>

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
    struct trace_ids ids;
    if (!(config.propagators & PROPAGATOR_TRACECONTEXT) ||
        !traceparent_parse((const uint8_t *)traceparent, strlen(traceparent), &ids))
        return CARRIER_NONE;
    struct thread *self = observe_open();
    struct context *context = self == NULL ? NULL : context_take();
    if (context != NULL) {
        context->ids = ids;
        context->is_remote = true;
        char clean[sizeof(config.tracestate)];
        size_t length = tracestate == NULL ? 0 : strlen(tracestate);
        if (length > sizeof(clean) ||
            !tracestate_clean((const uint8_t *)tracestate, length, clean, &length))
            length = 0;
        context_set_texts(context, clean, (uint32_t)length, NULL, 0);
    }
    if (self != NULL)
        observe_close(self);
    return context == NULL ? CARRIER_NONE : context->index;
}
