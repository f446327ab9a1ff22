/* SPDX-License-Identifier: Apache-2.0 */
#include "text.h"

#include <string.h>

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

static bool blank(char c)
{
    return c == ' ' || c == '\t';
}

bool slice_is(struct slice slice, const char *word)
{
    for (size_t i = 0; i < slice.length; i++)
        if (word[i] == 0 || lower(slice.data[i]) != lower(word[i]))
            return false;
    return word[slice.length] == 0;
}

bool slice_equal(struct slice one, struct slice other)
{
    return one.length == other.length && memcmp(one.data, other.data, one.length) == 0;
}

struct slice slice_trim(struct slice slice)
{
    while (slice.length > 0 && blank(slice.data[0])) {
        slice.data++;
        slice.length--;
    }
    while (slice.length > 0 && blank(slice.data[slice.length - 1]))
        slice.length--;
    return slice;
}

static inline bool is_byte(char byte, char wanted, bool is_loose)
{
    return byte == wanted || (is_loose && (wanted == '?' || lower(byte) == lower(wanted)));
}

/* What the last `*` took grows until the rest fits. */
static inline bool matches(struct slice text, struct slice pattern, bool is_loose)
{
    size_t at = 0, in = 0, star = SIZE_MAX, taken = 0;
    while (at < text.length) {
        if (in < pattern.length && pattern.data[in] == '*') {
            star = in++;
            taken = at;
        } else if (in < pattern.length && is_byte(text.data[at], pattern.data[in], is_loose)) {
            in++;
            at++;
        } else if (star != SIZE_MAX) {
            in = star + 1;
            at = ++taken;
        } else
            return false;
    }
    while (in < pattern.length && pattern.data[in] == '*')
        in++;
    return in == pattern.length;
}

bool slice_matches(struct slice text, struct slice pattern)
{
    return matches(text, pattern, false);
}

bool slice_matches_loosely(struct slice text, struct slice pattern)
{
    return matches(text, pattern, true);
}

bool slice_split(struct slice *rest, char separator, struct slice *item)
{
    if (rest->length == 0)
        return false;
    const char *end = memchr(rest->data, separator, rest->length);
    size_t taken = end ? (size_t)(end - rest->data) : rest->length;
    *item = slice_trim((struct slice){rest->data, taken});
    taken += end != NULL;
    rest->data += taken;
    rest->length -= taken;
    return true;
}

bool utf8_valid(const char *text, size_t length)
{
    for (size_t at = 0; at < length;) {
        unsigned bytes = utf8_sequence((const uint8_t *)text + at, length - at);
        if (bytes == 0)
            return false;
        at += bytes;
    }
    return true;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool percent_decode(struct slice text, char *out, size_t room, size_t *length)
{
    size_t used = 0;
    for (size_t i = 0; i < text.length; i++) {
        char c = text.data[i];
        if (c == '%') {
            if (text.length - i < 3)
                return false;
            int high = hex_digit(text.data[i + 1]);
            int low = hex_digit(text.data[i + 2]);
            if (high < 0 || low < 0)
                return false;
            c = (char)(high << 4 | low);
            i += 2;
        }
        if (used == room)
            return false;
        out[used++] = c;
    }
    *length = used;
    return true;
}

bool number_parse(struct slice text, uint64_t max, uint64_t *number)
{
    uint64_t value = 0;
    if (text.length == 0)
        return false;
    for (size_t i = 0; i < text.length; i++) {
        unsigned digit = (unsigned)(text.data[i] - '0');
        if (digit > 9 || digit > max || value > (max - digit) / 10)
            return false;
        value = value * 10 + digit;
    }
    *number = value;
    return true;
}
