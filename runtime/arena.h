/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory for libraries that ask for an allocator: handed out from the front of a caller's block and
 * never taken back one by one; the block is reused as a whole. One owner at a time.
 * Invariant: used <= bytes.
 */
#pragma once

#include <protobuf-c/protobuf-c.h>
#include <stddef.h>
#include <stdint.h>

struct arena {
    uint8_t *base; /* aligned to 16 */
    size_t bytes;
    size_t used;
};

/* NULL: no room. */
static inline void *arena_take(void *arena, size_t bytes)
{
    struct arena *from = arena;
    if (bytes > from->bytes - from->used)
        return NULL;
    size_t rounded = (bytes + 15) & ~(size_t)15;
    void *taken = from->base + from->used;
    from->used = rounded > from->bytes - from->used ? from->bytes : from->used + rounded;
    return taken;
}

static inline void arena_keep(void *arena, void *block)
{
}

static inline ProtobufCAllocator arena_protobuf(struct arena *arena)
{
    return (ProtobufCAllocator){arena_take, arena_keep, arena};
}
