/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing backwards: a length prefix comes before what it measures, so whoever writes from the end
 * knows every length when it is due, in one pass and without a size calculation. Fields of a
 * message are therefore written from the highest number to the lowest, and a nested message is
 * everything that was written since its end was noted.
 *
 * Room is checked once per span: the sum of all texts and the fixed parts, before anything is
 * written. Only replacing malformed UTF-8 makes a text longer than it was; that growth is paid from
 * `slack`, what is left beyond the sum.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "copy.h"
#include "span.h"

enum wire_type { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

#define TAG(field, type) ((uint32_t)(field) << 3 | (type))

struct writer {
    uint8_t *at;  /* what is written starts here */
    size_t slack; /* bytes by which texts may still grow */
    bool full;    /* they grew more; what is written is void */
};

static inline void put_byte(struct writer *w, uint8_t byte)
{
    *--w->at = byte;
}

static inline void put_varint(struct writer *w, uint64_t value)
{
    if (value < 0x80) {
        put_byte(w, (uint8_t)value);
        return;
    }
    unsigned bits = 64 - (unsigned)__builtin_clzll(value);
    unsigned bytes = (bits + 6) / 7;
    uint8_t *at = w->at -= bytes;
    for (; value >= 0x80; value >>= 7)
        *at++ = (uint8_t)(value | 0x80);
    *at = (uint8_t)value;
}

static inline void put_bytes(struct writer *w, const void *data, size_t length)
{
    w->at -= length;
    copy_short(w->at, data, length);
}

static inline void put_fixed64(struct writer *w, uint64_t value)
{
    put_bytes(w, &value, sizeof(value));
}

static inline void put_fixed32(struct writer *w, uint32_t value)
{
    put_bytes(w, &value, sizeof(value));
}

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "fixed fields are copied as they are");

/* The prefix of a field whose content was written since `end`. Inlined, as the next is, since the
 * call would cost as much as the work. */
__attribute__((always_inline)) static inline void put_prefix(
    struct writer *w, unsigned field, const uint8_t *end)
{
    put_varint(w, (uint64_t)(end - w->at));
    put_varint(w, TAG(field, WIRE_BYTES));
}

__attribute__((always_inline)) static inline void put_field(
    struct writer *w, unsigned field, const void *data, size_t length)
{
    const uint8_t *end = w->at;
    put_bytes(w, data, length);
    put_prefix(w, field, end);
}

/* A text, well-formed whatever it was. */
void otlp_put_text(struct writer *w, unsigned field, const void *text, size_t length);

/* KeyValue as a field of this number; texts are cut to so many characters. */
void otlp_put_attribute(
    struct writer *w, unsigned field, const struct span_attribute *attribute, uint32_t characters);
