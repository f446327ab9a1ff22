/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tables of what a program's library has under an address: a row begins with that, or with NULL
 * where it is free. Whoever takes a row has the rest of it, all zero at first, and gives it back by
 * storing NULL there, released, as the last thing. A table is mapped when its first row is taken,
 * and never unmapped. Any thread, no lock; of one address one thread at a time.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct places {
    char *rows; /* NULL: none was ever taken */
    uint32_t count;
    uint32_t near; /* rows that an address may stand in, one after the other */
    size_t row_bytes;
};

static inline bool places_are_made(const struct places *places)
{
    return __atomic_load_n(&places->rows, __ATOMIC_ACQUIRE) != NULL;
}

/* NULL: it is not there, or is NULL itself. */
void *places_find(const struct places *places, const void *address);
/* A free row for it, which is not there. NULL: there is none near, or no memory. */
void *places_take(struct places *places, const void *address);
