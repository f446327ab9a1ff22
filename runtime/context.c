/* SPDX-License-Identifier: Apache-2.0 */
#include "context.h"

#include <string.h>

#include "pool.h"
#include "process.h"
#include "text_pool.h"
#include "thread.h"

static struct pool contexts = {.block_shift = 8};

struct context *context_take(void)
{
    struct thread *self = thread_self;
    uint32_t index =
        self == NULL ? pool_take(&contexts) : pool_take_near(&contexts, &self->contexts);
    if (index == 0)
        return NULL;
    struct context *context = pool_block(&contexts, index);
    context->index = index;
    context->epoch = process.epoch;
    __atomic_store_n(&context->references, 1, __ATOMIC_RELEASE);
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

struct context *context_hold_at(uint32_t index)
{
    struct context *context = index == 0 ? NULL : context_at(index);
    uint32_t references =
        context == NULL ? 0 : __atomic_load_n(&context->references, __ATOMIC_ACQUIRE);
    while (references != 0)
        if (__atomic_compare_exchange_n(&context->references, &references, references + 1, true,
                __ATOMIC_ACQUIRE, __ATOMIC_ACQUIRE))
            return context;
    return NULL;
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

bool context_add_others(struct context *context, const char *lines, uint32_t length)
{
    uint32_t before = context->tracestate_length + context->baggage_length;
    bool is_big = before + length > TEXT_SMALL_BYTES;
    uint32_t index = before + length > TEXT_CARRIED_MAX ? 0 : text_take(is_big);
    if (index == 0)
        return false;
    char *text = text_block(is_big, index);
    memcpy(text, context_texts(context), before);
    memcpy(text + before, lines, length);
    if (context->text_index != 0)
        text_give(context->text_is_big, context->text_index);
    context->text_is_big = is_big;
    context->text_index = index;
    context->others_length = length;
    return true;
}

const char *context_texts(const struct context *context)
{
    return context->text_index == 0 ? "" : text_block(context->text_is_big, context->text_index);
}
