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

/* Each slab is twice the one before it, so that few pointers reach far. */
enum { POOL_SLAB_SHIFT = 16, POOL_SLAB_BYTES = 1 << POOL_SLAB_SHIFT, POOL_SLABS_MAX = 12 };

struct __attribute__((aligned(128))) pool { /* never across two pages: see next_of */
    uint32_t block_shift; /* a block has 1 << block_shift bytes: finding one takes no division */
    uint32_t clear_bytes; /* of a block, from its start: zeroed by pool_take; 0: all */
    uint64_t free_list;   /* tag << 32 | index of the first free block */
    uint32_t fresh;       /* blocks handed out fresh so far */
    uint8_t *slabs[POOL_SLABS_MAX];
};

/* Takes a block, zeroed as far as clear_bytes. 0: no memory, or the limit is reached. */
uint32_t pool_take(struct pool *pool);

/* Gives a block back. Its first 8 bytes are overwritten. */
void pool_give(struct pool *pool, uint32_t index);

/* The first slab holds 1 << pool_first_shift blocks; slab n the positions
 * [first * (2^n - 1), first * (2^(n+1) - 1)). */
static inline uint32_t pool_first_shift(const struct pool *pool)
{
    return POOL_SLAB_SHIFT - pool->block_shift;
}

static inline uint32_t pool_slab(const struct pool *pool, uint32_t position)
{
    return 31 - (uint32_t)__builtin_clz((position >> pool_first_shift(pool)) + 1);
}

/* A thread's own few blocks of a pool: taken and given without an atomic operation. Owner only. */
enum { POOL_CACHE_MAX = 16 };

struct pool_cache {
    struct pool *pool; /* NULL until first used */
    uint32_t count;
    uint32_t indexes[POOL_CACHE_MAX];
};

uint32_t pool_take_near(struct pool *pool, struct pool_cache *cache);
void pool_give_near(struct pool *pool, struct pool_cache *cache, uint32_t index);
/* Gives all of it back: the thread ends. */
void pool_cache_empty(struct pool_cache *cache);

static inline void *pool_block(const struct pool *pool, uint32_t index)
{
    uint32_t position = index - 1;
    uint32_t slab = pool_slab(pool, position);
    uint32_t before = ((1u << slab) - 1) << pool_first_shift(pool);
    uint8_t *memory = __atomic_load_n(&pool->slabs[slab], __ATOMIC_RELAXED);
    return memory + ((size_t)(position - before) << pool->block_shift);
}
