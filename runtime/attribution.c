/* SPDX-License-Identifier: Apache-2.0 */
#include "attribution.h"

#include <string.h>

#include "config.h"
#include "counters.h"
#include "text_pool.h"

/* state: one word, so that "became starved" and "is no longer starved" are exact transitions even
 * when several threads report at once. */
enum { ATTACHED = 1, OUTSTANDING = 1 << 12, WAITING = 1 << 28 };

static struct pool contexts = {.block_shift = 8};
static int32_t starved; /* contexts that must be waiting in user space */
struct context *attribution_process_context;

_Static_assert(sizeof(struct context) <= 1 << 8, "a context fits its block");

static bool is_starved(uint32_t state)
{
    return (state & WAITING) && (state & (WAITING - 1)) == 0;
}

static void change(struct context *context, uint32_t delta)
{
    uint32_t old = __atomic_fetch_add(&context->state, delta, __ATOMIC_RELAXED);
    int32_t difference = (int32_t)is_starved(old + delta) - (int32_t)is_starved(old);
    if (difference != 0)
        __atomic_fetch_add(&starved, difference, __ATOMIC_RELAXED);
}

struct context *context_take(void)
{
    struct thread *self = thread_self;
    uint32_t index =
        self == NULL ? pool_take(&contexts) : pool_take_near(&contexts, &self->contexts);
    if (index == 0)
        return NULL;
    struct context *context = pool_block(&contexts, index);
    context->index = index;
    context->references = 1;
    return context;
}

struct context *context_at(uint32_t index)
{
    return pool_block(&contexts, index);
}

void context_hold(struct context *context)
{
    __atomic_fetch_add(&context->references, 1, __ATOMIC_RELAXED);
}

void context_drop(struct context *context)
{
    if (context == NULL || __atomic_sub_fetch(&context->references, 1, __ATOMIC_ACQ_REL) != 0)
        return;
    if (context->text_index != 0)
        text_give(context->text_is_big, context->text_index);
    pool_give_near(&contexts, &thread_self->contexts, context->index);
}

bool context_set_texts(struct context *context, const char *tracestate, uint32_t tracestate_length,
    const char *baggage, uint32_t baggage_length)
{
    uint32_t length = tracestate_length + baggage_length;
    if (length == 0)
        return true;
    context->text_is_big = length > TEXT_SMALL_BYTES;
    context->text_index = length > TEXT_CARRIED_MAX ? 0 : text_take(context->text_is_big);
    if (context->text_index == 0)
        return false;
    char *text = text_block(context->text_is_big, context->text_index);
    memcpy(text, tracestate, tracestate_length);
    memcpy(text + tracestate_length, baggage, baggage_length);
    context->tracestate_length = tracestate_length;
    context->baggage_length = baggage_length;
    return true;
}

const char *context_texts(const struct context *context)
{
    return context->text_index == 0 ? "" : text_block(context->text_is_big, context->text_index);
}

static void set_current(struct thread *self, struct context *context)
{
    struct context *old = self->current;
    if (old == context)
        return;
    if (context != NULL) {
        context_hold(context);
        change(context, ATTACHED);
    }
    self->current = context;
    self->current_read_here = false;
    self->current_carried = false;
    if (old != NULL) {
        change(old, -(uint32_t)ATTACHED);
        context_drop(old);
    }
}

void attribution_request(struct thread *self, struct context *context)
{
    set_current(self, context);
    self->current_read_here = true;
}

void attribution_request_complete(struct context *context)
{
    if (!(__atomic_load_n(&context->state, __ATOMIC_RELAXED) & WAITING) && !context->ended)
        change(context, WAITING);
}

void attribution_touch(struct thread *self, struct context *context)
{
    set_current(self, context);
}

void attribution_use(struct thread *self, struct context *context)
{
    if (!self->current_carried)
        set_current(self, context);
}

void attribution_carry(struct thread *self, struct context *context, bool is_certain)
{
    set_current(self, context);
    self->current_carried = context != NULL;
    self->current_certain = is_certain;
}

void attribution_wait(struct thread *self)
{
    self->multiplexes = true;
    set_current(self, NULL);
}

void attribution_answering(struct context *context)
{
    if (__atomic_load_n(&context->state, __ATOMIC_RELAXED) & WAITING)
        change(context, -(uint32_t)WAITING);
}

void attribution_answered(struct thread *self, struct context *context)
{
    context->ended = true;
    attribution_answering(context);
    /* Work after the answer still belongs to it, but only where the thread serves one request at a
     * time; on an event loop the next touch could be anybody's. */
    if (self->current == context && (self->multiplexes || !self->current_read_here))
        set_current(self, NULL);
}

void attribution_call_begin(struct context *context)
{
    change(context, OUTSTANDING);
}

void attribution_call_end(struct context *context)
{
    change(context, -(uint32_t)OUTSTANDING);
}

void attribution_leave(struct thread *self)
{
    set_current(self, NULL);
}

static struct context *usable(const struct thread *self, struct context *context)
{
    if (context == NULL || !context->ended)
        return context;
    return context == self->current && self->current_read_here ? context : NULL;
}

/* Its runtime says whose task this is. What a queue of the program's own calls back may be in the
 * context of who emptied it: where that one is over and another one waits, nobody is certain. */
static struct context *carried(const struct thread *self)
{
    if (!self->current->ended || self->current_certain || __atomic_load_n(&starved, __ATOMIC_RELAXED) <= 0)
        return self->current;
    counter_add(COUNTER_PARENT_UNCERTAIN, 1);
    return NULL;
}

struct context *attribution_parent(struct thread *self, struct context *owner)
{
    if (self->current_carried)
        return carried(self);
    struct context *context = usable(self, owner);
    if (context == NULL)
        context = usable(self, self->current);
    if (context == NULL)
        return attribution_process_context;
    if (self->multiplexes && __atomic_load_n(&starved, __ATOMIC_RELAXED) > 0) {
        counter_add(COUNTER_PARENT_UNCERTAIN, 1);
        return NULL;
    }
    return context;
}

void attribution_start(void)
{
    size_t length = strlen(config.traceparent);
    struct trace_ids ids;
    if (!traceparent_parse((const uint8_t *)config.traceparent, length, &ids))
        return;
    struct context *context = context_take();
    if (context == NULL)
        return;
    context->ids = ids;
    context->is_remote = true;
    char tracestate[sizeof(config.tracestate)];
    size_t cleaned = 0;
    if (!tracestate_clean(
            (const uint8_t *)config.tracestate, strlen(config.tracestate), tracestate, &cleaned))
        cleaned = 0;
    context_set_texts(context, tracestate, (uint32_t)cleaned, "", 0);
    attribution_process_context = context;
}
