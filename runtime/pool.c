/* SPDX-License-Identifier: Apache-2.0 */
#include "pool.h"

#include <string.h>

#include "memory.h"
#include "process.h"

/* A free block holds the index of the next one. The tag in the upper half of free_list changes with
 * every pop, so that a head that was popped and pushed back in between is not mistaken for the same
 * list (ABA). Reading `next` of a block another thread has just taken is harmless: the exchange
 * below then fails. */

static uint8_t *slab_of(struct pool *pool, uint32_t slab)
{
    uint8_t *memory = __atomic_load_n(&pool->slabs[slab], __ATOMIC_ACQUIRE);
    if (memory != NULL)
        return memory;
    if (!process_may_call())
        return NULL;
    size_t bytes = (size_t)POOL_SLAB_BYTES << slab;
    uint8_t *mapped = memory_map(bytes);
    uint8_t *expected = NULL;
    if (mapped == NULL || __atomic_compare_exchange_n(&pool->slabs[slab], &expected, mapped, false,
                              __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
        return mapped;
    memory_unmap(mapped, bytes);
    return expected;
}

static uint32_t take_fresh(struct pool *pool)
{
    uint32_t position = __atomic_load_n(&pool->fresh, __ATOMIC_RELAXED);
    do {
        uint32_t slab = pool_slab(pool, position);
        if (slab >= POOL_SLABS_MAX || slab_of(pool, slab) == NULL)
            return 0;
    } while (!__atomic_compare_exchange_n(
        &pool->fresh, &position, position + 1, true, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED));
    return position + 1;
}

/* Who holds a stale index may look at the block meanwhile, by atomic loads of what they look at; to
 * let ThreadSanitizer tell these from others, its build clears by atomic stores. */
static void clear(const struct pool *pool, void *block)
{
    size_t bytes = pool->clear_bytes != 0 ? pool->clear_bytes : 1u << pool->block_shift;
#ifdef __SANITIZE_THREAD__
    for (size_t i = 0; i < bytes; i++)
        __atomic_store_n((uint8_t *)block + i, 0, __ATOMIC_RELAXED);
#else
    memset(block, 0, bytes);
#endif
}

/* What a free block says is next. A forked child's pages are copied one after the other while the
 * parent's threads go on: a block may hold what was put there after it had left the list. */
static uint32_t next_of(const struct pool *pool, const uint32_t *block)
{
    uint32_t next = __atomic_load_n(block, __ATOMIC_RELAXED);
    return next <= __atomic_load_n(&pool->fresh, __ATOMIC_RELAXED) ? next : 0;
}

uint32_t pool_take(struct pool *pool)
{
    uint64_t head = __atomic_load_n(&pool->free_list, __ATOMIC_ACQUIRE);
    while ((uint32_t)head != 0) {
        uint32_t index = (uint32_t)head;
        uint32_t *block = pool_block(pool, index);
        uint64_t next = ((head >> 32) + 1) << 32 | next_of(pool, block);
        if (__atomic_compare_exchange_n(
                &pool->free_list, &head, next, true, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
            clear(pool, block);
            return index;
        }
    }
    uint32_t index = take_fresh(pool);
    if (index != 0)
        clear(pool, pool_block(pool, index)); /* zero already, but for a forked child */
    return index;
}

void pool_give(struct pool *pool, uint32_t index)
{
    uint32_t *block = pool_block(pool, index);
    uint64_t head = __atomic_load_n(&pool->free_list, __ATOMIC_RELAXED);
    uint64_t first;
    do {
        __atomic_store_n(block, (uint32_t)head, __ATOMIC_RELAXED);
        first = (head & ~(uint64_t)UINT32_MAX) | index;
    } while (!__atomic_compare_exchange_n(
        &pool->free_list, &head, first, true, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED));
}

uint32_t pool_take_near(struct pool *pool, struct pool_cache *cache)
{
    if (cache->count == 0)
        return pool_take(pool);
    uint32_t index = cache->indexes[--cache->count];
    clear(pool, pool_block(pool, index));
    return index;
}

void pool_give_near(struct pool *pool, struct pool_cache *cache, uint32_t index)
{
    if (cache->count == POOL_CACHE_MAX) {
        pool_give(pool, index);
        return;
    }
    cache->pool = pool;
    cache->indexes[cache->count++] = index;
}

void pool_cache_empty(struct pool_cache *cache)
{
    while (cache->count > 0)
        pool_give(cache->pool, cache->indexes[--cache->count]);
}
