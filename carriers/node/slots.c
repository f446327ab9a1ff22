/* SPDX-License-Identifier: Apache-2.0 */
#include "slots.h"

#include <stddef.h>

#include "carrier.h"
#include "memory.h"

enum { LIVE_SKIPPED_MAX = 64 }; /* requests that are not over, before one of them is forgotten */

struct slots *slots_make(void)
{
    return memory_map(sizeof(struct slots));
}

void slots_free(struct slots *slots)
{
    for (size_t i = 0; i < SLOT_COUNT; i++)
        carrier_drop(slots->entries[i].handle);
    memory_unmap(slots, sizeof(*slots));
}

static uint32_t next(struct slots *slots)
{
    slots->hand = (slots->hand + 1) % SLOT_COUNT;
    return slots->hand;
}

uint32_t slots_keep(struct slots *slots, uint32_t handle)
{
    uint32_t index = next(slots);
    for (int i = 0; i < LIVE_SKIPPED_MAX && carrier_is_live(slots->entries[index].handle); i++)
        index = next(slots);
    carrier_drop(slots->entries[index].handle);
    slots->entries[index].handle = handle;
    uint32_t generation = (slots->entries[index].generation + 1) % SLOT_GENERATIONS;
    slots->entries[index].generation = generation == 0 ? 1 : generation;
    return slots->entries[index].generation << SLOT_SHIFT | index;
}

uint32_t slots_find(const struct slots *slots, uint32_t number)
{
    uint32_t index = number % SLOT_COUNT;
    uint32_t generation = number >> SLOT_SHIFT;
    bool is_fresh = generation != 0 && slots->entries[index].generation == generation;
    return is_fresh ? slots->entries[index].handle : CARRIER_NONE;
}
