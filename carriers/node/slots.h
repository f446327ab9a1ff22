/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Contexts as numbers that a garbage collector need not know of: nobody gives one back. A slot is
 * used again once its request is over and SLOT_COUNT others have come since; what still asks for
 * the old number then finds it stale, and has no context. So work long after the answer begins a
 * trace of its own, on a busy server after seconds; what waits for its answer is never forgotten,
 * but where thousands wait.
 *
 *   number == generation of the slot << SLOT_SHIFT | index of the slot;  0: none
 *   a slot holds its handle, or CARRIER_NONE before its first use
 * One table for each of the runtime's threads, used by that thread only.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum {
    SLOT_SHIFT = 13,
    SLOT_COUNT = 1 << SLOT_SHIFT,
    SLOT_GENERATIONS = 1 << 17,
    SLOT_PARTS_MAX = 4096
};

enum { SLOT_ROOM = 4096 };

struct carrier_part;

struct slots {
    uint32_t hand;
    uint32_t live_count;
    uint32_t live[SLOT_COUNT];  /* numbers, of which some may be over by now */
    struct carrier_part *parts; /* of the write being made; room for SLOT_PARTS_MAX */
    uint32_t room_used;
    _Alignas(16) uint8_t room[SLOT_ROOM];
    struct {
        uint32_t handle;     /* held */
        uint32_t generation; /* 1 to SLOT_GENERATIONS - 1: a number is a small integer of V8 */
    } entries[SLOT_COUNT];
};

struct slots *slots_make(void); /* NULL: no memory */
void slots_free(struct slots *slots);
/* Memory for as long as the table is there; NULL: no more. */
void *slots_room(struct slots *slots, uint32_t bytes);

/* Keeps a handle, whose hold goes with it, and answers its number. */
uint32_t slots_keep(struct slots *slots, uint32_t handle);
/* CARRIER_NONE: the number is stale, or none. */
uint32_t slots_find(const struct slots *slots, uint32_t number);
/* No other request than this one is at work. */
bool slots_is_alone(struct slots *slots, uint32_t number);
