/* SPDX-License-Identifier: Apache-2.0 */
#include "text_pool.h"

#include "memory.h"
#include "process.h"

struct pool text_pools[2] = {{.block_shift = TEXT_SMALL_SHIFT, .clear_bytes = 8},
    {.block_shift = TEXT_BIG_SHIFT, .clear_bytes = 8}};

enum wide_state { WIDE_NONE, WIDE_TAKEN, WIDE_IDLE };
struct text_wide text_wides[TEXT_WIDES_MAX];
static size_t mapped; /* bytes of all */

static bool claim(struct text_wide *wide, uint32_t from)
{
    return __atomic_load_n(&wide->state, __ATOMIC_RELAXED) == from &&
           __atomic_compare_exchange_n(
               &wide->state, &from, WIDE_TAKEN, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
}

static void release(struct text_wide *wide, enum wide_state state)
{
    __atomic_store_n(&wide->state, (uint32_t)state, __ATOMIC_RELEASE);
}

/* Powers of two, so that a later one fits as well; pages that are not touched are not there. */
static bool map(struct text_wide *wide, size_t bytes)
{
    size_t rounded = TEXT_BIG_BYTES;
    while (rounded < bytes)
        rounded *= 2;
    bool has_room =
        __atomic_add_fetch(&mapped, rounded, __ATOMIC_RELAXED) <= TEXT_WIDE_BYTES_TOTAL_MAX;
    wide->bytes = rounded;
    wide->memory = has_room && process_may_call() ? memory_map(rounded) : NULL;
    if (wide->memory != NULL)
        return true;
    __atomic_sub_fetch(&mapped, rounded, __ATOMIC_RELAXED);
    release(wide, WIDE_NONE);
    return false;
}

uint32_t text_take_wide(size_t bytes)
{
    if (bytes > TEXT_WIDE_BYTES_MAX)
        return 0;
    for (uint32_t i = 0; i < TEXT_WIDES_MAX; i++) {
        if (!claim(&text_wides[i], WIDE_IDLE))
            continue;
        if (text_wides[i].bytes >= bytes)
            return TEXT_WIDE | i;
        release(&text_wides[i], WIDE_IDLE);
    }
    for (uint32_t i = 0; i < TEXT_WIDES_MAX; i++)
        if (claim(&text_wides[i], WIDE_NONE))
            return map(&text_wides[i], bytes) ? TEXT_WIDE | i : 0;
    return 0;
}

void text_give_wide(uint32_t index)
{
    release(&text_wides[index & ~TEXT_WIDE], WIDE_IDLE);
}

void text_let_go(uint32_t *held)
{
    if (*held != 0)
        text_give(true, *held);
    *held = 0;
}

char *text_hold(uint32_t *held, size_t bytes)
{
    text_let_go(held);
    *held = bytes <= TEXT_BIG_BYTES ? text_take(true) : text_take_wide(bytes);
    return *held == 0 ? NULL : text_block(true, *held);
}

void text_trim(void)
{
    for (uint32_t i = 0; i < TEXT_WIDES_MAX && __atomic_load_n(&mapped, __ATOMIC_RELAXED) > 0;
         i++) {
        struct text_wide *wide = &text_wides[i];
        if (!claim(wide, WIDE_IDLE))
            continue;
        memory_unmap(wide->memory, wide->bytes);
        __atomic_sub_fetch(&mapped, wide->bytes, __ATOMIC_RELAXED);
        release(wide, WIDE_NONE);
    }
}
