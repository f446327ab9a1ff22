/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes of a class, which is big-endian, in and out. What does not fit fails once and for all. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct in {
    const uint8_t *at, *end;
    bool failed;
};

/* NULL: there are not so many. */
static inline const uint8_t *in_skip(struct in *in, size_t count)
{
    const uint8_t *at = in->at;
    if (in->failed || (size_t)(in->end - at) < count) {
        in->failed = true;
        return NULL;
    }
    in->at += count;
    return at;
}

static inline uint32_t in_take(struct in *in, int bytes)
{
    const uint8_t *at = in_skip(in, (size_t)bytes);
    uint32_t value = 0;
    for (int i = 0; at != NULL && i < bytes; i++)
        value = value << 8 | at[i];
    return value;
}

struct out {
    uint8_t *bytes;
    size_t used, room;
    bool failed;
};

static inline void out_copy(struct out *out, const void *bytes, size_t count)
{
    if (bytes == NULL || out->room - out->used < count) {
        out->failed = true;
        return;
    }
    memcpy(out->bytes + out->used, bytes, count);
    out->used += count;
}

static inline void out_put(struct out *out, uint32_t value, int bytes)
{
    uint8_t text[4] = {value >> 24, value >> 16, value >> 8, value};
    out_copy(out, text + 4 - bytes, (size_t)bytes);
}

/* Writes again what was put at `where`. */
static inline void out_mend(struct out *out, size_t where, uint32_t value, int bytes)
{
    size_t used = out->used;
    out->used = where;
    out_put(out, value, bytes);
    out->used = used;
}
