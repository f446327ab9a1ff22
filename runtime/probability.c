/* SPDX-License-Identifier: Apache-2.0 */
#include "probability.h"

#include <string.h>

#include "propagation.h"
#include "text.h"

enum { DIGITS = 14, DIGITS_TOLD = 4, MEMBER_VALUE_MAX = 256 };

static unsigned digit_at(uint64_t threshold, unsigned place)
{
    return threshold >> 4 * (DIGITS - 1 - place) & 15;
}

uint64_t probability_threshold(double ratio)
{
    uint64_t kept = (uint64_t)(ratio * (double)PROBABILITY_NEVER + 0.5);
    uint64_t threshold = PROBABILITY_NEVER - (kept < PROBABILITY_NEVER ? kept : PROBABILITY_NEVER);
    unsigned digits = DIGITS_TOLD;
    if (threshold == PROBABILITY_NEVER)
        return threshold;
    for (unsigned i = 0; i < DIGITS && digit_at(threshold, i) == 15; i++)
        digits++;
    if (digits >= DIGITS)
        return threshold;
    uint64_t unit = UINT64_C(1) << 4 * (DIGITS - digits);
    return (threshold + unit / 2) & ~(unit - 1);
}

uint64_t probability_random(const uint8_t trace_id[16])
{
    uint64_t random = 0;
    for (int i = 9; i < 16; i++)
        random = random << 8 | trace_id[i];
    return random;
}

/* Hexadecimal digits in lower case, of which those that are missing at the end are 0. */
static bool digits_parse(struct slice text, uint64_t *number)
{
    uint64_t value = 0;
    if (text.length == 0 || text.length > DIGITS)
        return false;
    for (size_t i = 0; i < DIGITS; i++) {
        char digit = i < text.length ? text.data[i] : '0';
        if (digit >= '0' && digit <= '9')
            value = value << 4 | (uint64_t)(digit - '0');
        else if (digit >= 'a' && digit <= 'f')
            value = value << 4 | (uint64_t)(digit - 'a' + 10);
        else
            return false;
    }
    *number = value;
    return true;
}

static bool starts(struct slice text, const char *with, size_t length)
{
    return text.length >= length && memcmp(text.data, with, length) == 0;
}

/* The list's member of ours, "ot=" included; length 0: none. */
static struct slice member_of(const char *text, size_t length)
{
    struct slice item, rest = {text, length};
    while (slice_split(&rest, ',', &item))
        if (starts(item, "ot=", 3))
            return item;
    return (struct slice){text, 0};
}

struct probability probability_read(const char *text, size_t length)
{
    struct probability said = {0};
    struct slice part, rest = member_of(text, length);
    if (rest.length == 0)
        return said;
    rest = (struct slice){rest.data + 3, rest.length - 3};
    while (slice_split(&rest, ';', &part)) {
        struct slice value = {part.data + 3, part.length - 3};
        if (starts(part, "th:", 3)) {
            said.is_told = true;
            said.has_threshold = digits_parse(value, &said.threshold);
        } else if (starts(part, "rv:", 3))
            said.has_random = value.length == DIGITS && digits_parse(value, &said.random);
    }
    return said;
}

static size_t put_threshold(char *out, uint64_t threshold)
{
    unsigned count = threshold == 0 ? 1 : DIGITS - (unsigned)__builtin_ctzll(threshold) / 4;
    memcpy(out, "th:", 3);
    for (unsigned i = 0; i < count; i++)
        out[3 + i] = "0123456789abcdef"[digit_at(threshold, i)];
    return 3 + count;
}

size_t probability_put(char out[PROBABILITY_TEXT_MAX], uint64_t threshold)
{
    memcpy(out, "ot=", 3);
    return 3 + put_threshold(out + 3, threshold);
}

/* The member anew, into `out`; 0: nothing is left to be said. */
static size_t rebuild(char *out, struct slice member, uint64_t threshold)
{
    struct slice part, rest = {member.data, member.length};
    size_t at = threshold == 0 ? 3 : probability_put(out, threshold);
    memcpy(out, "ot=", 3);
    if (rest.length > 0)
        rest = (struct slice){rest.data + 3, rest.length - 3};
    while (slice_split(&rest, ';', &part)) {
        if (starts(part, "th:", 3) || part.length == 0)
            continue;
        if (at > 3)
            out[at++] = ';';
        memcpy(out + at, part.data, part.length);
        at += part.length;
    }
    return at > 3 ? at : 0;
}

/* Without the member; it and the comma of it are gone. */
static size_t take_out(char *text, size_t length, struct slice member)
{
    size_t at = (size_t)(member.data - text), end = at + member.length;
    if (end < length)
        end++;
    else if (at > 0)
        at--;
    memmove(text + at, text + end, length - end);
    return length - (end - at);
}

static size_t without_last_beyond(const char *text, size_t length, unsigned members_max)
{
    unsigned members = 1;
    for (size_t i = 0; i < length; i++)
        if (text[i] == ',' && ++members > members_max)
            return i;
    return length;
}

size_t probability_write(char *text, size_t length, uint64_t threshold)
{
    char ours[3 + MEMBER_VALUE_MAX + PROBABILITY_GROWTH_MAX];
    struct slice member = member_of(text, length);
    if (member.length > 3 + MEMBER_VALUE_MAX)
        return length; /* not clean */
    size_t count = rebuild(ours, member, threshold);
    if (count > 3 + MEMBER_VALUE_MAX)
        count = rebuild(ours, member, 0);
    for (; member.length > 0; member = member_of(text, length))
        length = take_out(text, length, member);
    if (count == 0)
        return length;
    length = without_last_beyond(text, length, TRACESTATE_MEMBERS_MAX - 1);
    size_t gap = count + (length > 0);
    memmove(text + gap, text, length);
    memcpy(text, ours, count);
    if (length > 0)
        text[count] = ',';
    return gap + length;
}
