/* SPDX-License-Identifier: Apache-2.0 */
#include "places.h"

#include "memory.h"

/* Its first word. */
static const void **row_of(const struct places *places, const void *address, uint32_t step)
{
    uint32_t place = (uint32_t)((uintptr_t)address * UINT64_C(0x9e3779b97f4a7c15) >> 40);
    return (const void **)(places->rows + (place + step) % places->count * places->row_bytes);
}

void *places_find(const struct places *places, const void *address)
{
    if (address == NULL || !places_are_made(places))
        return NULL;
    for (uint32_t i = 0; i < places->near; i++) {
        const void **row = row_of(places, address, i);
        if (__atomic_load_n(row, __ATOMIC_ACQUIRE) == address)
            return row;
    }
    return NULL;
}

static bool make(struct places *places)
{
    if (places_are_made(places))
        return true;
    size_t bytes = places->count * places->row_bytes;
    char *none = NULL, *fresh = memory_map(bytes);
    if (fresh != NULL && !__atomic_compare_exchange_n(&places->rows, &none, fresh, false,
                             __ATOMIC_RELEASE, __ATOMIC_RELAXED))
        memory_unmap(fresh, bytes); /* another thread's is there */
    return fresh != NULL;
}

void *places_take(struct places *places, const void *address)
{
    if (!make(places))
        return NULL;
    for (uint32_t i = 0; i < places->near; i++) {
        const void *none = NULL, **row = row_of(places, address, i);
        if (__atomic_compare_exchange_n(
                row, &none, address, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
            return row;
    }
    return NULL;
}
