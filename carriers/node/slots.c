/* SPDX-License-Identifier: Apache-2.0 */
#include "slots.h"

#include <stddef.h>

#include "carrier.h"
#include "memory.h"

enum { LIVE_SKIPPED_MAX = 64 }; /* requests that are not over, before one of them is forgotten */

struct slots *slots_make(void)
{
    struct slots *slots = memory_map(sizeof(struct slots));
    if (slots == NULL)
        return NULL;
    slots->parts = memory_map(SLOT_PARTS_MAX * sizeof(*slots->parts));
    if (slots->parts != NULL)
        return slots;
    memory_unmap(slots, sizeof(*slots));
    return NULL;
}

void slots_free(struct slots *slots)
{
    for (size_t i = 0; i < SLOT_COUNT; i++)
        carrier_drop(slots->entries[i].handle);
    memory_unmap(slots->parts, SLOT_PARTS_MAX * sizeof(*slots->parts));
    memory_unmap(slots, sizeof(*slots));
}

void *slots_room(struct slots *slots, uint32_t bytes)
{
    if (SLOT_ROOM - slots->room_used < bytes)
        return NULL;
    slots->room_used += bytes;
    return slots->room + slots->room_used - bytes;
}

static void forget_ended(struct slots *slots)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < slots->live_count; i++)
        if (carrier_is_live(slots_find(slots, slots->live[i])))
            slots->live[kept++] = slots->live[i];
    slots->live_count = kept;
}

static uint32_t note_live(struct slots *slots, uint32_t number)
{
    if (slots->live_count == SLOT_COUNT)
        forget_ended(slots); /* one slot of those has just been used again */
    slots->live[slots->live_count++] = number;
    return number;
}

bool slots_is_alone(struct slots *slots, uint32_t number)
{
    forget_ended(slots);
    return slots->live_count == 1 && slots->live[0] == number;
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
    return note_live(slots, slots->entries[index].generation << SLOT_SHIFT | index);
}

uint32_t slots_find(const struct slots *slots, uint32_t number)
{
    uint32_t index = number % SLOT_COUNT;
    uint32_t generation = number >> SLOT_SHIFT;
    bool is_fresh = generation != 0 && slots->entries[index].generation == generation;
    return is_fresh ? slots->entries[index].handle : CARRIER_NONE;
}
