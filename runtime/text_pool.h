/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text blocks of two sizes for what does not fit in line: long heads' fields, inserted lines,
 * tracestate and baggage. Any thread.
 *
 * And wide ones, as long as is asked for, for requests that are written anew: mappings of their
 * own, few, that are kept for the next one until text_trim. Their indexes stand for big blocks'.
 *
 *   wide.state | text_take_wide: NONE, IDLE -> TAKEN | text_give: TAKEN -> IDLE | text_trim: IDLE
 *   memory and bytes belong to who has made it TAKEN
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ours.h"
#include "pool.h"

enum {
    TEXT_SMALL_SHIFT = 9,
    TEXT_BIG_SHIFT = 14,
    TEXT_SMALL_BYTES = 1 << TEXT_SMALL_SHIFT,
    TEXT_BIG_BYTES = 1 << TEXT_BIG_SHIFT,
    TEXT_CARRIED_MAX = TEXT_BIG_BYTES - 256, /* tracestate and baggage; leaves room for names */
    TEXT_WIDES_MAX = 64,
    TEXT_WIDE_BYTES_MAX = 8 << 20,       /* of one */
    TEXT_WIDE_BYTES_TOTAL_MAX = 64 << 20 /* of a process */
};
static const uint32_t TEXT_WIDE = UINT32_C(1) << 31; /* bit of an index */

struct text_wide {
    char *memory;
    size_t bytes;
    uint32_t state;
};

OURS struct pool text_pools[2]; /* indexed by "is big" */
OURS struct text_wide text_wides[TEXT_WIDES_MAX];

static inline uint32_t text_take(bool big)
{
    return pool_take(&text_pools[big]);
}

/* A block for so many bytes; 0: none is to be had. Not cleared. */
uint32_t text_take_wide(size_t bytes);
__attribute__((cold)) void text_give_wide(uint32_t index);
/* Takes a block for so many bytes, in place of the one that is held, if any; NULL: none is to be
 * had, and none is held. */
char *text_hold(uint32_t *held, size_t bytes);
void text_let_go(uint32_t *held);
/* Unmaps what nobody has. Not a host's thread: it takes a while. */
void text_trim(void);

static inline bool text_is_wide(uint32_t index)
{
    return __builtin_expect((index & TEXT_WIDE) != 0, 0);
}

static inline char *text_block(bool big, uint32_t index)
{
    if (big && text_is_wide(index))
        return text_wides[index & ~TEXT_WIDE].memory;
    return pool_block(&text_pools[big], index);
}

static inline void text_give(bool big, uint32_t index)
{
    if (big && text_is_wide(index))
        text_give_wide(index);
    else
        pool_give(&text_pools[big], index);
}
