/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests that are open, noted in the process's ring file, so that they can be told if it dies: as
 * spans with an error, marked as unfinished. What is noted of one is what it was when its request
 * was complete; making a span of it is left to who finds the file.
 *
 * A slot for each exchange, by its index.
 *
 * | during          | another host thread         | the process dies                              |
 * | open_note       | cannot be: the exchange's   | the slot is free still, or whole | |
 * open_answers    | connection is locked        | it says one or the other                       |
 * | record, forget  |                             | both are there: the span of the ring is told |
 *
 * Limits: nothing is noted of exchanges beyond OPEN_SLOTS at once, nor of what a library was asked
 * for (call.h), nor where there can be no file.
 * Of the texts only method, target and host are kept, if they end within OPEN_TEXT_BYTES; of the
 * numbers FIELD_VERSION; no links.
 */
#pragma once

#include <stdint.h>
#include <string.h>

#include "exchange.h"
#include "ours.h"

struct ring;
struct ring_file;

enum {
    OPEN_SLOTS = 256,
    OPEN_TEXT_BYTES = 64,
    OPEN_TEXTS = 3, /* FIELD_METHOD and those behind it */
    OPEN_FACTS_AT = offsetof(struct exchange, start_ns),
    OPEN_FACTS_BYTES = offsetof(struct exchange, numbers) + sizeof(int64_t) - OPEN_FACTS_AT
};
_Static_assert(FIELD_VERSION == 0, "the number that is noted: of a message what is done to it");
_Static_assert(FIELD_HOST == FIELD_METHOD + OPEN_TEXTS - 1, "method, target, host");

struct open_slot {
    uint32_t is_open;
    uint8_t protocol;
    bool is_answered;                /* its answer has begun */
    uint8_t facts[OPEN_FACTS_BYTES]; /* of the exchange, its texts apart */
    uint16_t texts[8]; /* offset, length and another number of each; of the last two */
    _Alignas(16) char text[OPEN_TEXT_BYTES];
};
_Static_assert(sizeof(struct open_slot) == 192, "three lines of the cache");

OURS struct open_slot *open_slots; /* the one of index 0, which no exchange has; NULL: no file */

/* Its request is complete. False: there is no file yet. */
static inline bool open_note(struct exchange *exchange, uint8_t protocol)
{
    struct open_slot *slot = __atomic_load_n(&open_slots, __ATOMIC_RELAXED);
    if (slot == NULL || exchange->index > OPEN_SLOTS)
        return slot != NULL;
    slot += exchange->index;
    memcpy(slot->facts, (const uint8_t *)exchange + OPEN_FACTS_AT, OPEN_FACTS_BYTES);
    memcpy(slot->texts, &exchange->texts[FIELD_METHOD], sizeof(slot->texts));
    memcpy(slot->text, exchange->inline_text, OPEN_TEXT_BYTES);
    slot->protocol = protocol;
    slot->is_answered = false;
    __atomic_store_n(&slot->is_open, 1, __ATOMIC_RELEASE);
    exchange->open = slot;
    return true;
}

/* Its answer has begun. */
static inline void open_answers(struct exchange *exchange)
{
    if (exchange->open != NULL)
        exchange->open->is_answered = true;
}

/* It is over, however. */
static inline void open_forget(struct exchange *exchange)
{
    if (exchange->open != NULL)
        __atomic_store_n(&exchange->open->is_open, 0, __ATOMIC_RELEASE);
}

/* --- who finds the file ---------------------------------------------------------------------- */

/* Are requests noted in it? */
bool open_any(const struct ring_file *file);

/* Writes a record for each of them that has no span in these rings into a ring of its own, which is
 * empty. They end when the process last was known to live. now_ns: since the epoch. Checks what it
 * reads: the file may say anything. */
void open_tell(const struct ring_file *file, struct ring *const *rings, uint32_t count,
    struct ring *out, uint64_t now_ns);
