/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes in hexadecimal, as identifiers of traces and spans are shown. */
#pragma once

#include <stdint.h>
#include <stdio.h>

static inline void hex_print(FILE *stream, const uint8_t *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++)
        fprintf(stream, "%02x", bytes[i]);
}
