/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looking for a byte of a small value, sixteen bytes at a time. Never reads outside 0..end.
 *
 * The vectors are the compiler's own: every processor has some form of them, and only how the
 * lanes of a comparison become bits is said for each.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { SCAN_LANES = 16 };

typedef uint8_t scan_lanes __attribute__((vector_size(SCAN_LANES)));

static inline scan_lanes scan_load(const uint8_t *data)
{
    scan_lanes lanes;
    memcpy(&lanes, data, sizeof lanes);
    return lanes;
}

/* Bit i is lane i of what a comparison gave: all ones or all zeros. */
static inline uint32_t scan_bits(scan_lanes found)
{
#if defined(__SSE2__)
    typedef char signed_lanes __attribute__((vector_size(SCAN_LANES)));
    return (uint32_t)__builtin_ia32_pmovmskb128((signed_lanes)found);
#else
    uint32_t bits = 0;
    for (int i = 0; i < SCAN_LANES; i++) {
        bits |= (uint32_t)(found[i] & 1) << i;
    }
    return bits;
#endif
}

/* The first index in at..end whose byte is below `limit`, or end. What is left of a last block is
 * looked at together with what comes before it, to stay inside the buffer. */
static inline size_t scan_below(const uint8_t *data, size_t at, size_t end, uint8_t limit)
{
    for (; end - at >= SCAN_LANES; at += SCAN_LANES) {
        uint32_t bits = scan_bits((scan_lanes)(scan_load(data + at) < limit));
        if (bits != 0) {
            return at + (size_t)__builtin_ctz(bits);
        }
    }
    if (end >= SCAN_LANES) {
        uint32_t bits = scan_bits((scan_lanes)(scan_load(data + end - SCAN_LANES) < limit));
        bits >>= SCAN_LANES - (end - at);
        return bits != 0 ? at + (size_t)__builtin_ctz(bits) : end;
    }
    while (at < end && data[at] >= limit) {
        at++;
    }
    return at;
}
