/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a library does for its caller, told by its functions since no connection shows it: an
 * exchange of no connection, reported by the hooks of that library. A row in libraries.def tells it
 * as a span.
 *
 *     struct exchange *call = call_begin();
 *     if (call != NULL)
 *         call_text(call, FIELD_QUERY, text, length);
 *     ... the original ...
 *     if (call != NULL)
 *         call_end(call, LIBRARY_SQLITE, is_error);
 *
 * Its parent is what the thread is at work on when it begins. It does not count as something that
 * its request waits for: while the library works its thread does, and between two calls of the
 * library the program may wait for anything.
 *
 * What takes several calls of the library is kept meanwhile by the address of what it is about, a
 * statement: call_put, call_find, call_take. Such an address is used by one thread at a time, or
 * under the library's lock; where a program breaks that, counts may be wrong, nothing else.
 *
 * Host threads, outside any observe block; errno is kept; no lock, no memory of the host's.
 *
 * | key     | who               | may                                                  |
 * | NULL    | call_put          | claim the place by compare-and-swap                  |
 * | claimed | who claimed it    | write the rest; then publish the key, or NULL        |
 * | a key   | who uses the key  | count; claim it by compare-and-swap to take it out   |
 */
#pragma once

#include "../protocols/library.h"
#include "config.h"
#include "exchange.h"
#include "process.h"

/* One that is under way. */
struct call {
    struct exchange *exchange; /* NULL: not told, but it may begin again */
    int64_t count;             /* the hook's */
};

enum { CALL_ROW_SHIFT = 10, CALL_ROW_WIDTH = 8 };

struct call_row {
    _Alignas(64) const void *keys[CALL_ROW_WIDTH];
    struct call calls[CALL_ROW_WIDTH];
};

extern struct call_row call_rows[1 << CALL_ROW_SHIFT];

/* Is anything told in this process? */
static inline bool call_is_told(void)
{
    return process.page != NULL && config.records;
}

/* NULL: not to be told. */
struct exchange *call_begin(void);
/* It began earlier: by process_monotonic_ns. */
static inline void call_began(struct exchange *exchange, uint64_t start_ns)
{
    exchange->start_ns = start_ns;
}
void call_text(struct exchange *exchange, enum field field, const void *text, size_t length);
static inline void call_number(struct exchange *exchange, enum field field, int64_t number)
{
    exchange->numbers[field] = number;
}
/* The exchange is gone then. */
void call_end(struct exchange *exchange, enum library library, bool is_error);

static inline struct call_row *call_row(const void *key)
{
    uint64_t hash = (uint64_t)(uintptr_t)key * UINT64_C(0x9E3779B97F4A7C15);
    return &call_rows[hash >> (64 - CALL_ROW_SHIFT)];
}

/* NULL: nothing is under way with it that we know of. */
static inline struct call *call_find(const void *key)
{
    struct call_row *row = call_row(key);
    for (unsigned i = 0; i < CALL_ROW_WIDTH; i++)
        if (__atomic_load_n(&row->keys[i], __ATOMIC_ACQUIRE) == key)
            return &row->calls[i];
    return NULL;
}

/* NULL: there is no room; the exchange is forgotten, and that is counted. */
struct call *call_put(const void *key, struct call call);
/* Takes it out. False: there is none. */
bool call_take(const void *key, struct call *taken);
