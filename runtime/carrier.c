/* SPDX-License-Identifier: Apache-2.0 */
#include "carrier.h"

#include <stddef.h>
#include <string.h>

#include "attribution.h"
#include "memory.h"
#include "stacks.h"
#include "stream.h"

void (*carrier_serving)(void) AT_START;
void (*carrier_connecting)(const void *caller) AT_START;
bool carrier_is_wanted;
void (*carrier_handing)(void);
void (*carrier_asked)(int fd);
bool carrier_starts_nobodys;

static uint32_t take(bool is_believed)
{
    struct thread *self = observe_open();
    if (self == NULL)
        return CARRIER_NONE;
    struct context *context = is_believed ? self->current : attribution_given(self);
    if (context != NULL)
        context_hold(context);
    observe_close(self);
    return context == NULL ? CARRIER_NONE : context->index;
}

uint32_t carrier_take(void)
{
    return take(true);
}

uint32_t carrier_take_sure(void)
{
    return take(false);
}

struct carrier_claim carrier_claim(void)
{
    struct carrier_claim claim = {0};
    if (thread_self == NULL || thread_self->current == NULL)
        return claim; /* the usual case of who serves nobody */
    struct thread *self = observe_open();
    if (self == NULL)
        return claim;
    struct context *context = self->current;
    if (context != NULL) {
        context_hold(context);
        attribution_call_begin(context);
        memcpy(&claim.who, context->ids.span_id, sizeof(claim.who));
        claim.handle = context->index;
        claim.is_certain = attribution_is_sure(self);
    }
    observe_close(self);
    return claim;
}

void carrier_claim_again(uint32_t handle)
{
    if (carrier_hold(handle) != CARRIER_NONE)
        attribution_call_begin(context_at(handle));
}

void carrier_unclaim(uint32_t handle)
{
    struct thread *self = handle == CARRIER_NONE ? NULL : observe_open();
    if (self == NULL)
        return; /* as carrier_drop */
    attribution_call_end(context_at(handle));
    context_drop(context_at(handle));
    observe_close(self);
}

void carrier_return(struct carrier_view view)
{
    struct context *context = view.handle == CARRIER_NONE ? NULL : context_at(view.handle);
    if (context != NULL && !view.is_carried) {
        struct thread *self = observe_open();
        if (self == NULL)
            return;
        attribution_return(self, context, view.is_request);
        observe_close(self);
    } else if (view.is_carried && view.is_guess)
        carrier_enter_guess(view.handle);
    else
        carrier_enter(view.handle, view.is_certain);
}

uint32_t carrier_take_at(int fd)
{
    struct sight sight;
    if (!stream_look(fd, &sight))
        return CARRIER_NONE;
    /* Read without the lock: the pointer is only compared. */
    const struct connection *connection = sight.connection;
    const struct context *context = __atomic_load_n(&connection->current, __ATOMIC_RELAXED);
    bool delivers = __atomic_load_n(&connection->held, __ATOMIC_RELAXED) != NULL;
    uint32_t handle = carrier_take();
    if (handle == CARRIER_NONE || context == context_at(handle) ||
        (delivers && context_at(handle)->is_message))
        return handle;
    carrier_drop(handle);
    return CARRIER_NONE;
}

static uint64_t number_of(const struct sight *sight)
{
    return (uint64_t)sight->generation << 32 | sight->connection->index;
}

uint64_t carrier_calls_by(int fd)
{
    struct sight sight;
    bool is_known = stream_look(fd, &sight) && sight.connection->origin != ORIGIN_ACCEPTED;
    return is_known ? number_of(&sight) : 0;
}

uint64_t carrier_serves_by(int fd)
{
    struct sight sight;
    bool is_known = stream_look(fd, &sight) && sight.connection->origin == ORIGIN_ACCEPTED;
    return is_known ? number_of(&sight) : 0;
}

uint32_t carrier_take_of(int fd, uint64_t connection)
{
    struct sight sight;
    if (!stream_look(fd, &sight) || number_of(&sight) != connection)
        return CARRIER_NONE;
    struct thread *self = observe_open();
    if (self == NULL)
        return CARRIER_NONE;
    struct context *context = NULL;
    if (connection_enter(self, &sight)) {
        context = sight.connection->current;
        if (context != NULL && context->ended)
            context = NULL;
        if (context != NULL)
            context_hold(context);
        connection_leave(self, sight.connection);
    }
    observe_close(self);
    return context == NULL ? CARRIER_NONE : context->index;
}

void carrier_serve(int fd)
{
    if (carrier_calls_by(fd) != 0)
        return; /* a client's own, asked about while it works */
    uint32_t handle = carrier_take_of(fd, carrier_serves_by(fd));
    struct thread *self = observe_open();
    if (self == NULL)
        return;
    if (handle != CARRIER_NONE || self->current_carried)
        attribution_serve(self, handle == CARRIER_NONE ? NULL : context_at(handle));
    if (handle != CARRIER_NONE)
        context_drop(context_at(handle));
    observe_close(self);
}

void carrier_serve_read(void)
{
    struct thread *self = observe_open();
    if (self == NULL)
        return;
    struct context *context = self->current;
    if (context != NULL && !self->current_carried && !context->is_message && !self->touched_many)
        attribution_serve(self, context);
    observe_close(self);
}

uint32_t carrier_hold(uint32_t handle)
{
    if (handle != CARRIER_NONE)
        context_hold(context_at(handle));
    return handle;
}

void carrier_drop(uint32_t handle)
{
    struct thread *self = handle == CARRIER_NONE ? NULL : observe_open();
    if (self == NULL)
        return; /* inside us: the context is lost for good, which is better than reused */
    context_drop(context_at(handle));
    observe_close(self);
}

bool carrier_is_live(uint32_t handle)
{
    return handle != CARRIER_NONE && !__atomic_load_n(&context_at(handle)->ended, __ATOMIC_RELAXED);
}

void carrier_enter(uint32_t handle, bool is_certain)
{
    struct context *context = handle == CARRIER_NONE ? NULL : context_at(handle);
    struct thread *self = thread_self;
    if (self == NULL && context == NULL)
        return;
    if (self != NULL && self->current == context &&
        (context == NULL || (self->current_carried && self->current_certain == is_certain &&
                                !self->current_guessed)))
        return; /* the usual case: one task's steps follow each other */
    if ((self = observe_open()) == NULL)
        return;
    if (!self->has_carrier)
        stacks_leave(self);
    attribution_carry(self, context, is_certain);
    observe_close(self);
}

void carrier_step(uint32_t handle)
{
    carrier_hold(handle);
    struct thread *self = observe_open();
    if (self == NULL)
        return;
    attribution_step(self, handle == CARRIER_NONE ? NULL : context_at(handle));
    observe_close(self);
}

void carrier_stepped(uint32_t handle, const struct carrier_view *before)
{
    struct thread *self = observe_open();
    if (self == NULL)
        return;
    struct context *context = handle == CARRIER_NONE ? NULL : context_at(handle);
    attribution_stepped(self, context);
    context_drop(context);
    if (before->is_carried)
        attribution_step(self, context_at(before->handle));
    observe_close(self);
}

void carrier_rest(uint32_t handle, bool begins)
{
    if (handle != CARRIER_NONE)
        attribution_rest(context_at(handle), begins);
}

void carrier_starts(bool begins)
{
    if (thread_self != NULL)
        thread_self->starts = begins;
}

void carrier_enter_guess(uint32_t handle)
{
    struct thread *self = observe_open();
    if (self == NULL)
        return;
    if (!self->has_carrier)
        stacks_leave(self);
    attribution_guess(self, handle == CARRIER_NONE ? NULL : context_at(handle));
    observe_close(self);
}

void carrier_parts(const struct carrier_part *parts)
{
    struct thread *self = observe_open();
    if (self == NULL)
        return;
    self->parts = parts;
    self->part_at = 0;
    observe_close(self);
}

size_t carrier_parted(void)
{
    if (thread_self == NULL)
        return 0;
    thread_self->parts = NULL;
    return thread_self->part_at;
}

size_t carrier_part(struct thread *self)
{
    const struct carrier_part *part = self->parts;
    while (part->end <= self->part_at)
        part++;
    struct context *context = part->handle == CARRIER_NONE ? NULL : context_at(part->handle);
    if (self->current != context || !self->current_carried || self->current_guessed)
        attribution_carry(self, context, part->is_certain);
    self->current_guessed = context != NULL && part->is_guess;
    return part->end - self->part_at;
}

void carrier_follow(void)
{
    struct thread *self = observe_open();
    if (self == NULL)
        return;
    if (self->current != NULL)
        self->current->is_followed = true;
    observe_close(self);
}

bool carrier_somebody_starves(void)
{
    return attribution_somebody_starves();
}

struct carrier_view carrier_look(void)
{
    const struct thread *self = thread_self;
    if (self == NULL || self->current == NULL)
        return (struct carrier_view){0};
    return (struct carrier_view){.handle = self->current->index,
        .is_carried = self->current_carried,
        .is_certain = self->current_certain,
        .is_started = self->current_started,
        .is_guess = self->current_guessed,
        .is_step = self->current_steps,
        .is_request = self->current_read_here,
        .is_message = self->current->is_message};
}
