/* SPDX-License-Identifier: Apache-2.0 */
/* Text blocks of two sizes for what does not fit in line: long heads' fields, inserted lines,
 * tracestate and baggage. Any thread. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "ours.h"
#include "pool.h"

enum {
    TEXT_SMALL_SHIFT = 9,
    TEXT_BIG_SHIFT = 14,
    TEXT_SMALL_BYTES = 1 << TEXT_SMALL_SHIFT,
    TEXT_BIG_BYTES = 1 << TEXT_BIG_SHIFT,
    TEXT_CARRIED_MAX = TEXT_BIG_BYTES - 256 /* tracestate and baggage; leaves room for names */
};

OURS struct pool text_pools[2]; /* indexed by "is big" */

static inline uint32_t text_take(bool big)
{
    return pool_take(&text_pools[big]);
}

static inline char *text_block(bool big, uint32_t index)
{
    return pool_block(&text_pools[big], index);
}

static inline void text_give(bool big, uint32_t index)
{
    pool_give(&text_pools[big], index);
}
