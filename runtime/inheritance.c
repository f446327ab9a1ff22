/* SPDX-License-Identifier: Apache-2.0 */
#include "attribution.h"
#include "carrier.h"
#include "descriptor.h"
#include "heap.h"
#include "pool.h"

struct inheritance {
    uint64_t pool_link;
    uint32_t index;
    struct context *context; /* held; NULL: none */
    void *(*start)(void *);
    void *argument;
    bool is_task;       /* carrier_starts */
    size_t stack_bytes; /* while heap_is_on */
};

static struct pool inheritances = {.block_shift = 6};

/* Of several messages for each of which a thread was started, before that did anything, any thread
 * may get any: a pool grows like that. */
static void doubt_pool(struct context *message)
{
    static uint32_t last;
    struct context *before =
        context_hold_at(__atomic_exchange_n(&last, message->index, __ATOMIC_ACQ_REL));
    if (before == NULL)
        return;
    if (before != message && before->is_message && !before->has_named_calls &&
        !message->is_followed)
        before->is_uncertain = message->is_uncertain = true;
    context_drop(before);
}

static struct inheritance *take(struct context *context, void *(*start)(void *), void *argument)
{
    struct thread *self = observe_open();
    if (self == NULL)
        return NULL;
    uint32_t index = pool_take(&inheritances);
    struct inheritance *inheritance = index == 0 ? NULL : pool_block(&inheritances, index);
    if (inheritance != NULL)
        *inheritance = (struct inheritance){.index = index,
            .context = context,
            .start = start,
            .argument = argument,
            .is_task = self->starts && context != NULL};
    if (inheritance != NULL && context != NULL) {
        if (context->is_message && start != NULL)
            doubt_pool(context);
        context_hold(context);
        attribution_call_begin(context); /* not starved while its thread starts */
    }
    observe_close(self);
    return inheritance;
}

struct inheritance *inheritance_take(
    const pthread_attr_t *attributes, void *(*start)(void *), void *argument)
{
    struct thread *self = thread_self;
    bool is_its = self != NULL && self->current != NULL && !self->current->ended &&
                  !carrier_starts_nobodys && attribution_is_sure(self);
    if (!is_its && !heap_is_on)
        return NULL;
    struct inheritance *taken = take(is_its ? self->current : NULL, start, argument);
    if (taken != NULL && heap_is_on)
        taken->stack_bytes = heap_stack_bytes(attributes);
    return taken;
}

struct inheritance *inheritance_take_for_child(void)
{
    struct thread *self = thread_self;
    if (__builtin_expect(self == NULL || self->current == NULL, 1) || thread_in_vfork != 0)
        return NULL;
    return attribution_at_work() == self->current ? take(self->current, NULL, NULL) : NULL;
}

static void drop(struct inheritance *inheritance)
{
    if (inheritance->context != NULL)
        attribution_call_end(inheritance->context);
    context_drop(inheritance->context);
    pool_give(&inheritances, inheritance->index);
}

void inheritance_drop(struct inheritance *inheritance)
{
    struct thread *self = observe_open();
    if (self == NULL)
        return;
    drop(inheritance);
    observe_close(self);
}

void *inheritance_run(void *block)
{
    struct inheritance inheritance = *(struct inheritance *)block;
    struct thread *self = observe_open();
    if (self != NULL) {
        if (inheritance.is_task)
            attribution_started(self, inheritance.context);
        else if (inheritance.context != NULL)
            attribution_touch(self, inheritance.context);
        if (heap_is_on)
            heap_thread_started(self, (uintptr_t)__builtin_frame_address(0),
                inheritance.stack_bytes, inheritance.argument);
        drop(block);
        observe_close(self);
    }
    return inheritance.start(inheritance.argument); /* a tail call: no frame of ours remains */
}

/* What has nothing to be told of is told of from now on: work may come from there. */
static void watch_descriptors(void)
{
    process.is_heir = true;
    for (uint32_t fd = 0; fd <= descriptor_highest && fd < descriptor_limit; fd++)
        descriptor_replace((int)fd, SLOT_PLAIN, SLOT_STRANGE);
}

void inheritance_enter(struct inheritance *inheritance)
{
    struct thread *self = observe_open(); /* which sets the child up */
    if (self == NULL)
        return;
    watch_descriptors();
    attribution_inherit(self, inheritance->context);
    context_drop(inheritance->context);
    pool_give(&inheritances, inheritance->index);
    observe_close(self);
}
