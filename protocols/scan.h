/* SPDX-License-Identifier: Apache-2.0 */
/* Looking for a byte of a small value, eight bytes at a time. Never reads outside at..end. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/*
 * The first index in at..end whose byte is below `limit` (at most 128), or end. A word is tested
 * by subtracting the limit from each byte: borrows can only raise false alarms above a true one.
 */
static inline size_t scan_below(const uint8_t *data, size_t at, size_t end, uint8_t limit)
{
    const uint64_t ones = UINT64_C(0x0101010101010101);
    while (end - at >= sizeof(uint64_t)) {
        uint64_t word;
        memcpy(&word, data + at, sizeof word);
        if (((word - ones * limit) & ~word & (ones << 7)) != 0) {
            break;
        }
        at += sizeof word;
    }
    while (at < end && data[at] >= limit) {
        at++;
    }
    return at;
}
