/* SPDX-License-Identifier: Apache-2.0 */
/* Copies of few bytes: calling memcpy costs more than they do. Any thread. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Two moves that overlap cover each range of lengths. */
static inline void copy_short(void *to, const void *from, size_t length)
{
    uint8_t *out = to;
    const uint8_t *in = from;
    if (length > 32) {
        memcpy(out, in, length);
    } else if (length >= 16) {
        memcpy(out, in, 16);
        memcpy(out + length - 16, in + length - 16, 16);
    } else if (length >= 8) {
        memcpy(out, in, 8);
        memcpy(out + length - 8, in + length - 8, 8);
    } else if (length >= 4) {
        memcpy(out, in, 4);
        memcpy(out + length - 4, in + length - 4, 4);
    } else {
        for (size_t i = 0; i < length; i++)
            out[i] = in[i];
    }
}
