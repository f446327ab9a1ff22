/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Small readers of text: UTF-8, percent-encoding, lists, numbers. Pure and independent of the
 * locale; any thread. A struct slice names bytes in somebody else's memory, not terminated.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct slice {
    const char *data;
    size_t length;
};

/* ASCII letters are compared without regard to case; `word` is terminated. */
bool slice_is(struct slice slice, const char *word);
/* Byte by byte. */
bool slice_equal(struct slice one, struct slice other);

/* Without blanks (SP, HTAB) at both ends. */
struct slice slice_trim(struct slice slice);

/* Of texts behind each other, each ended by '\0': the one behind n others. One pointer to all of
 * them is one place for the loader to write, where a table of pointers is many. */
static inline const char *text_nth(const char *texts, unsigned n)
{
    while (n-- > 0)
        texts += __builtin_strlen(texts) + 1;
    return texts;
}

/* Is all of it as the pattern says, in which `*` stands for any bytes, or none? */
bool slice_matches(struct slice text, struct slice pattern);
/* The same in either case, and `?` stands for any one byte. */
bool slice_matches_loosely(struct slice text, struct slice pattern);

/* Takes the text before the next `separator` off the front of *rest, trimmed. False: *rest is
 * used up. "a,,b" has three items, "" has none. */
bool slice_split(struct slice *rest, char separator, struct slice *item);

/* Bytes of the well-formed UTF-8 sequence at text (Unicode 15, table 3-7), 0 if there is none. */
static inline unsigned utf8_sequence(const uint8_t *text, size_t length)
{
    uint8_t lead = text[0];
    if (lead < 0x80)
        return 1;
    if (lead < 0xC2 || lead > 0xF4)
        return 0;
    unsigned bytes = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
    if (length < bytes)
        return 0;
    /* Only the second byte has other bounds: no overlong forms, no surrogates, no more than
     * U+10FFFF. */
    uint8_t low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
    uint8_t high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
    if (text[1] < low || text[1] > high)
        return 0;
    for (unsigned i = 2; i < bytes; i++)
        if ((text[i] & 0xC0) != 0x80)
            return 0;
    return bytes;
}

bool utf8_valid(const char *text, size_t length);

/* Replaces %XX. False: a '%' without two hexadecimal digits, or no room. Output is not terminated;
 * *length is its size, never more than the input's. */
bool percent_decode(struct slice text, char *out, size_t room, size_t *length);

/* A decimal number without sign and of digits only. False: something else, or beyond max. */
bool number_parse(struct slice text, uint64_t max, uint64_t *number);
