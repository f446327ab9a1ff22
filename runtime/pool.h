/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pools of fixed blocks for host threads: our own pages, no malloc, no lock.
 *
 *   index 0 is "none"; a block's index stays valid for ever, its memory is never unmapped
 *   taken blocks + blocks on the free list == blocks ever handed out fresh <= block_limit
 *
 * | who            | pool_take | pool_give | pool_block |
 * | any thread     | any time  | any time  | any time   |
 * A stale index reads memory of our own, of the same kind, never unmapped memory.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { POOL_SLAB_BYTES = 64 * 1024, POOL_SLABS_MAX = 1024 };

struct pool {
    uint32_t block_bytes; /* divides POOL_SLAB_BYTES evenly enough: slab_blocks whole blocks */
    uint64_t free_list;   /* tag << 32 | index of the first free block */
    uint32_t fresh;       /* blocks handed out fresh so far */
    uint8_t *slabs[POOL_SLABS_MAX];
};

/* Takes a block, zeroed. 0: no memory, or the limit is reached. */
uint32_t pool_take(struct pool *pool);

/* Gives a block back. Its first 8 bytes are overwritten. */
void pool_give(struct pool *pool, uint32_t index);

static inline uint32_t pool_slab_blocks(const struct pool *pool)
{
    return POOL_SLAB_BYTES / pool->block_bytes;
}

static inline void *pool_block(const struct pool *pool, uint32_t index)
{
    uint32_t position = index - 1;
    uint32_t per_slab = pool_slab_blocks(pool);
    return pool->slabs[position / per_slab] + (size_t)(position % per_slab) * pool->block_bytes;
}
