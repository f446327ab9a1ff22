/* SPDX-License-Identifier: Apache-2.0 */
#include "unpack.h"

#include <string.h>
#include <zlib.h>

enum {
    CODE_BITS_MAX = 15,
    LITERALS = 288, /* and lengths: 0 to 255, the end of a block, lengths */
    DISTANCES = 30,
    END_OF_BLOCK = 256,
    LENGTHS_AT = 257,
    LENGTHS = 29,
    QUICK_BITS = 10, /* codes that are not longer are found by one look */
    BROKEN = 0xffff
};

/* 3.2.2. Codes count upwards within a length; the quick ones: symbol << 4 | length, by their bits
 * as they come. */
struct code {
    uint16_t counts[CODE_BITS_MAX + 1], symbols[LITERALS], quick[1 << QUICK_BITS];
};

/* Of the bits that are held, `padding` came behind the stream's end. */
struct stream {
    struct line_bytes *in;
    uint64_t held;
    unsigned bits, padding;
    uint8_t *out;
    size_t done, size;
};

static struct code literals, distances;

/* --- bits ---------------------------------------------------------------------------------- */

/* Holds 48 bits at least: as many as a symbol, a distance and what they need beside may take. What
 * is above `bits` is what will come there. */
__attribute__((always_inline)) static inline void hold(struct stream *stream)
{
    struct line_bytes *in = stream->in;
    if (stream->bits >= 48)
        return;
    if (in->end - in->next >= 8) {
        uint64_t more;
        memcpy(&more, in->next, sizeof(more));
        stream->held |= more << stream->bits;
        in->next += (63 - stream->bits) / 8;
        stream->bits |= 56;
        return;
    }
    for (; stream->bits < 48; stream->bits += 8) {
        stream->padding += has_bytes(in) ? 0 : 8;
        stream->held |= (uint64_t)take_byte(in) << stream->bits;
    }
}

__attribute__((always_inline)) static inline void drop(struct stream *stream, unsigned bits)
{
    stream->held >>= bits;
    stream->bits -= bits;
}

/* Of those that are held. */
__attribute__((always_inline)) static inline unsigned take_held(
    struct stream *stream, unsigned bits)
{
    unsigned value = (unsigned)stream->held & ((1u << bits) - 1);
    drop(stream, bits);
    return value;
}

static unsigned take(struct stream *stream, unsigned bits)
{
    hold(stream);
    return take_held(stream, bits);
}

/* --- codes --------------------------------------------------------------------------------- */

static unsigned reversed(unsigned value, unsigned bits)
{
    unsigned other = 0;
    for (; bits > 0; bits--, value >>= 1)
        other = other << 1 | (value & 1);
    return other;
}

static void note_quick(struct code *code, unsigned symbol, unsigned value, unsigned bits)
{
    for (unsigned at = reversed(value, bits); at < 1 << QUICK_BITS; at += 1u << bits)
        code->quick[at] = (uint16_t)(symbol << 4 | bits);
}

/* False: there are more codes than bits can tell apart; or fewer, unless it is one that may be
 * alone.
 */
static bool make_code(struct code *code, const uint8_t *bits_of, unsigned count, bool may_be_alone)
{
    uint16_t next[CODE_BITS_MAX + 2] = {0}, place[CODE_BITS_MAX + 2] = {0};
    memset(code, 0, sizeof(*code));
    for (unsigned symbol = 0; symbol < count; symbol++)
        code->counts[bits_of[symbol]]++;
    unsigned used = count - code->counts[0];
    code->counts[0] = 0;
    int left = 1;
    for (unsigned bits = 1; bits <= CODE_BITS_MAX; bits++) {
        left = 2 * left - code->counts[bits];
        if (left < 0)
            return false;
        next[bits + 1] = (uint16_t)((next[bits] + code->counts[bits]) << 1);
        place[bits + 1] = (uint16_t)(place[bits] + code->counts[bits]);
    }
    for (unsigned symbol = 0; symbol < count; symbol++) {
        unsigned bits = bits_of[symbol];
        if (bits == 0)
            continue;
        code->symbols[place[bits]++] = (uint16_t)symbol;
        if (bits <= QUICK_BITS)
            note_quick(code, symbol, next[bits], bits);
        next[bits]++;
    }
    return left == 0 || used == 0 || (may_be_alone && used == 1 && code->counts[1] == 1);
}

/* Bit by bit: what is longer than a quick one, or is no code. As those of `quick`. */
__attribute__((noinline)) static unsigned find_long(const struct code *code, uint64_t held)
{
    unsigned value = 0, first = 0, place = 0;
    for (unsigned bits = 1; bits <= CODE_BITS_MAX; bits++) {
        unsigned count = code->counts[bits];
        value = value << 1 | (held >> (bits - 1) & 1);
        if (value - first < count)
            return (unsigned)code->symbols[place + value - first] << 4 | bits;
        place += count;
        first = (first + count) << 1;
    }
    return BROKEN << 4;
}

/* Of what is held. */
__attribute__((always_inline)) static inline unsigned take_symbol(
    struct stream *stream, const struct code *code)
{
    unsigned found = code->quick[stream->held & ((1 << QUICK_BITS) - 1)];
    if (found == 0)
        found = find_long(code, stream->held);
    drop(stream, found & 15);
    return found >> 4;
}

/* --- blocks -------------------------------------------------------------------------------- */

/* 3.2.4. */
static bool read_stored(struct stream *stream)
{
    drop(stream, stream->bits % 8);
    unsigned length = take(stream, 16);
    if ((take(stream, 16) ^ length) != 0xffff || length > stream->size - stream->done)
        return false;
    for (; length > 0; length--)
        stream->out[stream->done++] = (uint8_t)take(stream, 8);
    return true;
}

/* 3.2.5. The tables there, as a rule. */
__attribute__((always_inline)) static inline unsigned take_length(
    struct stream *stream, unsigned symbol)
{
    unsigned at = symbol - LENGTHS_AT, more = at < 8 || at == LENGTHS - 1 ? 0 : at / 4 - 1;
    if (at == LENGTHS - 1)
        return 258;
    return 3 + (at < 8 ? at : (4 + at % 4) << more) + take_held(stream, more);
}

__attribute__((always_inline)) static inline size_t take_distance(
    struct stream *stream, unsigned symbol)
{
    unsigned more = symbol < 4 ? 0 : symbol / 2 - 1;
    return 1 + (symbol < 4 ? symbol : (2 + symbol % 2) << more) + take_held(stream, more);
}

/* Byte by byte: it may repeat what it has just written. */
__attribute__((always_inline)) static inline bool copy(struct stream *stream, unsigned length)
{
    unsigned symbol = take_symbol(stream, &distances);
    if (symbol >= DISTANCES)
        return false;
    size_t distance = take_distance(stream, symbol);
    if (distance > stream->done || length > stream->size - stream->done)
        return false;
    uint8_t *to = stream->out + stream->done;
    for (unsigned i = 0; i < length; i++)
        to[i] = (to - distance)[i];
    stream->done += length;
    return true;
}

__attribute__((always_inline)) static inline bool read_symbols(struct stream *stream)
{
    for (;;) {
        hold(stream);
        unsigned symbol = take_symbol(stream, &literals);
        if (symbol == END_OF_BLOCK)
            return true;
        if (symbol < END_OF_BLOCK) {
            if (stream->done == stream->size)
                return false;
            stream->out[stream->done++] = (uint8_t)symbol;
        } else if (symbol >= LENGTHS_AT + LENGTHS || !copy(stream, take_length(stream, symbol))) {
            return false;
        }
    }
}

/* With a copy that lies in registers. */
static bool read_coded(struct stream *stream)
{
    struct stream own = *stream;
    bool is_whole = read_symbols(&own);
    *stream = own;
    return is_whole;
}

/* 3.2.6. */
static void make_fixed(void)
{
    uint8_t bits_of[LITERALS];
    memset(bits_of, 8, 144);
    memset(bits_of + 144, 9, 112);
    memset(bits_of + 256, 7, 24);
    memset(bits_of + 280, 8, 8);
    make_code(&literals, bits_of, LITERALS, false);
    memset(bits_of, 5, DISTANCES);
    make_code(&distances, bits_of, DISTANCES, false); /* two of their codes are none */
}

/* 3.2.7: how long the codes are, in a code of their own. */
static bool take_code_lengths(struct stream *stream, uint8_t *bits_of, unsigned count)
{
    for (unsigned at = 0; at < count;) {
        hold(stream);
        unsigned symbol = take_symbol(stream, &literals), repeats = 1;
        uint8_t bits = symbol < 16 ? (uint8_t)symbol : 0;
        if (symbol > 18 || (symbol == 16 && at == 0))
            return false;
        if (symbol == 16) {
            bits = bits_of[at - 1];
            repeats = 3 + take(stream, 2);
        } else if (symbol > 16) {
            repeats = symbol == 17 ? 3 + take(stream, 3) : 11 + take(stream, 7);
        }
        if (repeats > count - at)
            return false;
        memset(bits_of + at, bits, repeats);
        at += repeats;
    }
    return true;
}

static bool make_dynamic(struct stream *stream)
{
    static const uint8_t order[] = {
        16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15};
    uint8_t bits_of[LITERALS + DISTANCES + 2] = {0};
    unsigned literal_count = 257 + take(stream, 5), distance_count = 1 + take(stream, 5);
    unsigned count = 4 + take(stream, 4);
    for (unsigned i = 0; i < count; i++)
        bits_of[order[i]] = (uint8_t)take(stream, 3);
    if (literal_count > LITERALS - 2 || distance_count > DISTANCES ||
        !make_code(&literals, bits_of, sizeof(order), false) ||
        !take_code_lengths(stream, bits_of, literal_count + distance_count))
        return false;
    return bits_of[END_OF_BLOCK] != 0 && make_code(&literals, bits_of, literal_count, true) &&
           make_code(&distances, bits_of + literal_count, distance_count, true);
}

static bool read_block(struct stream *stream, unsigned type)
{
    switch (type) {
    case 0:
        return read_stored(stream);
    case 1:
        make_fixed();
        return read_coded(stream);
    case 2:
        return make_dynamic(stream) && read_coded(stream);
    default:
        return false;
    }
}

/* RFC 1950, 2.2: deflate, no dictionary. */
static bool read_head(struct stream *stream)
{
    unsigned method = take(stream, 8), flags = take(stream, 8);
    return (method & 15) == 8 && method >> 4 <= 7 && (method << 8 | flags) % 31 == 0 &&
           (flags & 0x20) == 0;
}

static bool read_checksum(struct stream *stream)
{
    uint32_t sum = 0;
    drop(stream, stream->bits % 8);
    for (int i = 0; i < 4; i++)
        sum = sum << 8 | take(stream, 8);
    return sum == adler32(1, stream->out, (uInt)stream->size);
}

bool unpack_zlib(struct line_bytes *in, uint8_t *out, size_t size)
{
    struct stream stream = {.in = in, .out = out, .size = size};
    bool is_last = false;
    if (!read_head(&stream))
        return false;
    while (!is_last) {
        is_last = take(&stream, 1) != 0;
        if (!read_block(&stream, take(&stream, 2)))
            return false;
    }
    return stream.done == size && read_checksum(&stream) && stream.padding <= stream.bits;
}
