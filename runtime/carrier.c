/* SPDX-License-Identifier: Apache-2.0 */
#include "carrier.h"

#include <stddef.h>

#include "attribution.h"
#include "stream.h"

uint32_t carrier_take(void)
{
    struct thread *self = observe_open();
    if (self == NULL)
        return CARRIER_NONE;
    struct context *context = self->current;
    if (context != NULL)
        context_hold(context);
    observe_close(self);
    return context == NULL ? CARRIER_NONE : context->index;
}

uint32_t carrier_take_at(int fd)
{
    struct sight sight;
    if (!stream_look(fd, &sight))
        return CARRIER_NONE;
    /* Read without the lock: the pointer is only compared. */
    const struct connection *connection = sight.connection;
    const struct context *context = __atomic_load_n(&connection->current, __ATOMIC_RELAXED);
    uint32_t handle = carrier_take();
    if (handle == CARRIER_NONE || context == context_at(handle))
        return handle;
    carrier_drop(handle);
    return CARRIER_NONE;
}

void carrier_hold(uint32_t handle)
{
    if (handle != CARRIER_NONE)
        context_hold(context_at(handle));
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

void carrier_enter(uint32_t handle)
{
    struct thread *self = observe_open();
    if (self == NULL)
        return;
    attribution_carry(self, handle == CARRIER_NONE ? NULL : context_at(handle));
    observe_close(self);
}
