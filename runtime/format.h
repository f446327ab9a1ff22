/* SPDX-License-Identifier: Apache-2.0 */
/* Text into a fixed buffer without stdio: always NUL-terminated, `fits` tells the truth. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct format {
    char *at;
    char *limit; /* the last byte, kept for NUL */
    bool fits;
};

static inline void format_start(struct format *format, char *out, size_t room)
{
    format->at = out;
    format->limit = out + room - 1;
    format->fits = true;
    *out = '\0';
}

static inline void format_bytes(struct format *format, const void *bytes, size_t length)
{
    if (length > (size_t)(format->limit - format->at)) {
        format->fits = false;
        return;
    }
    memcpy(format->at, bytes, length);
    format->at += length;
    *format->at = '\0';
}

static inline void format_text(struct format *format, const char *text)
{
    format_bytes(format, text, strlen(text));
}

static inline void format_number(struct format *format, uint64_t number)
{
    char digits[20];
    size_t count = 0;
    do
        digits[sizeof(digits) - ++count] = (char)('0' + number % 10);
    while ((number /= 10) != 0);
    format_bytes(format, digits + sizeof(digits) - count, count);
}

/* Lower-case hexadecimal digits, as few as will do. */
static inline void format_hex_short(struct format *format, uint64_t number)
{
    unsigned shift = number == 0 ? 0 : (63 - (unsigned)__builtin_clzll(number)) & ~3u;
    for (;; shift -= 4) {
        format_bytes(format, &"0123456789abcdef"[number >> shift & 15], 1);
        if (shift == 0)
            return;
    }
}

/* 16 lower-case hexadecimal digits. */
static inline void format_hex(struct format *format, uint64_t number)
{
    char digits[16];
    for (int i = 0; i < 16; i++)
        digits[i] = "0123456789abcdef"[number >> (60 - 4 * i) & 15];
    format_bytes(format, digits, sizeof(digits));
}
