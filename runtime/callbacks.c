/* SPDX-License-Identifier: Apache-2.0 */
#include "callbacks.h"

#include "attribution.h"
#include "stream_internal.h"

struct carrier_claim callbacks_claim(void)
{
    struct carrier_claim claim = {0};
    struct thread *self =
        thread_self == NULL || thread_self->current == NULL ? NULL : observe_open();
    if (self == NULL)
        return claim;
    struct decision decision = attribution_parent(self, &nobody_opened);
    struct context *context = self->current;
    if (context != NULL && decision.parent == context) {
        context_hold(context);
        attribution_call_begin(context);
        claim.handle = context->index;
        claim.is_certain = decision.rule != RULE_AMBIGUOUS;
    }
    observe_close(self);
    return claim;
}

struct carrier_view callbacks_begin(struct carrier_claim claim)
{
    struct carrier_view before = carrier_look();
    struct thread *self = observe_open();
    if (self == NULL)
        return (struct carrier_view){0};
    if (self->current != NULL)
        context_hold(self->current);
    struct context *context = claim.handle == CARRIER_NONE ? NULL : context_at(claim.handle);
    attribution_call_back(self, context, !claim.is_certain);
    if (context != NULL)
        attribution_call_end(context);
    observe_close(self);
    return before;
}

void callbacks_end(struct carrier_claim claim, struct carrier_view before)
{
    struct thread *self = observe_open();
    if (self == NULL)
        return;
    struct context *context = before.handle == CARRIER_NONE ? NULL : context_at(before.handle);
    attribution_stepped(self, context);
    self->current_read_here = context != NULL && before.is_request;
    if (before.is_guess)
        attribution_guess(self, context);
    else if (before.is_carried)
        attribution_carry(self, context, before.is_certain);
    self->current_steps = before.is_step;
    context_drop(context);
    context_drop(claim.handle == CARRIER_NONE ? NULL : context_at(claim.handle));
    observe_close(self);
}

void callbacks_answer(int fd, bool is_own)
{
    struct sight sight;
    struct visit visit;
    if (!stream_look(fd, &sight) || !stream_enter(&visit, &sight))
        return;
    struct context *context = visit.connection->current;
    if (context != NULL && !visit.connection->requests_out &&
        (!is_own || context == visit.self->current)) {
        stream_touch(&visit, DIRECTION_OUT);
        attribution_answering(context);
    }
    stream_leave(&visit);
}

void callbacks_send(int fd)
{
    struct sight sight;
    struct visit visit;
    if (carrier_look().handle == CARRIER_NONE || !stream_look(fd, &sight) ||
        !stream_enter(&visit, &sight))
        return;
    stream_own_next(visit.self, visit.connection);
    stream_leave(&visit);
}
