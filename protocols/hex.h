/* SPDX-License-Identifier: Apache-2.0 */
/* Digits of hexadecimal numbers. Pure. */
#pragma once

#include <stdint.h>

/* -1: none of a hexadecimal number's digits. */
static inline int hex_value(uint8_t byte)
{
    if (byte >= '0' && byte <= '9') {
        return byte - '0';
    }
    uint8_t lower = byte | 0x20;
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}
