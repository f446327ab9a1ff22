/* SPDX-License-Identifier: Apache-2.0 */
/* FNV-1a, 64 bits: names of files, for what should not be spelt out in them. Any thread. */
#pragma once

#include <stdint.h>

static inline uint64_t hash_start(void)
{
    return UINT64_C(0xcbf29ce484222325);
}

/* Of a text, continuing that of what stands before it. */
static inline uint64_t hash_text(uint64_t hash, const char *text)
{
    for (; *text != '\0'; text++)
        hash = (hash ^ (uint8_t)*text) * UINT64_C(0x100000001b3);
    return hash;
}
