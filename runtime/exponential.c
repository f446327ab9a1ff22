/* SPDX-License-Identifier: Apache-2.0 */
#include "exponential.h"

#include <stdbool.h>
#include <string.h>

void exponential_reset(struct exponential *histogram)
{
    memset(histogram, 0, sizeof(*histogram));
    histogram->scale = EXPONENTIAL_SCALE_MAX;
}

/* `bits` bits of the fraction of log2(x), where x is in [1, 2) with 63 bits behind the point:
 * squaring doubles the logarithm, and whether it passes 1 is its next bit. What each step cuts off
 * doubles with it, to 2^-43 after 20 steps; only 1 itself has a logarithm that ends within them. */
static uint32_t log2_fraction(uint64_t x, unsigned bits)
{
    uint32_t fraction = 0;
    while (bits-- > 0) {
        unsigned __int128 square = (unsigned __int128)x * x; /* 126 bits behind the point */
        bool is_two = square >> 127;
        x = (uint64_t)(square >> (is_two ? 64 : 63));
        fraction = fraction << 1 | is_two;
    }
    return fraction;
}

int32_t exponential_index(double value)
{
    enum { MANTISSA_BITS = 52, BIAS = 1023 };
    uint64_t bits;
    memcpy(&bits, &value, sizeof(bits));
    int32_t exponent = (int32_t)(bits >> MANTISSA_BITS) - BIAS;
    uint64_t mantissa = bits & ((1ull << MANTISSA_BITS) - 1);
    int32_t index = exponent * (1 << EXPONENTIAL_SCALE_MAX);
    if (mantissa == 0) /* a bound, and it belongs to the bucket beneath */
        return index - 1;
    uint64_t x = 1ull << 63 | mantissa << (63 - MANTISSA_BITS);
    return index + (int32_t)log2_fraction(x, EXPONENTIAL_SCALE_MAX);
}

/* 2^shift buckets become one. */
static void sink(struct exponential *histogram, unsigned shift)
{
    uint64_t before[EXPONENTIAL_BUCKETS_MAX];
    int32_t first = histogram->first, used = (int32_t)histogram->used;
    memcpy(before, histogram->buckets, sizeof(before));
    memset(histogram->buckets, 0, sizeof(histogram->buckets));
    histogram->scale -= (int32_t)shift;
    histogram->first = first >> shift;
    for (int32_t i = 0; i < used; i++)
        histogram->buckets[((first + i) >> shift) - histogram->first] += before[i];
    histogram->used =
        used > 0 ? (uint32_t)(((first + used - 1) >> shift) - histogram->first) + 1 : 0;
}

/* Makes the buckets reach from `low` to `high`, which fit. */
static void reach(struct exponential *histogram, int32_t low, int32_t high)
{
    uint32_t before = (uint32_t)(histogram->first - low);
    if (before > 0) {
        memmove(histogram->buckets + before, histogram->buckets,
            histogram->used * sizeof(histogram->buckets[0]));
        memset(histogram->buckets, 0, before * sizeof(histogram->buckets[0]));
    }
    histogram->first = low;
    histogram->used = (uint32_t)(high - low) + 1;
}

void exponential_add(struct exponential *histogram, double value)
{
    if (value == 0) {
        histogram->zeros++;
        return;
    }
    int32_t index = exponential_index(value) >> (EXPONENTIAL_SCALE_MAX - histogram->scale);
    int32_t low = index, high = index;
    unsigned shift = 0;
    if (histogram->used > 0) {
        int32_t last = histogram->first + (int32_t)histogram->used - 1;
        low = histogram->first < index ? histogram->first : index;
        high = last > index ? last : index;
    } else
        histogram->first = index;
    for (; high - low >= EXPONENTIAL_BUCKETS_MAX; shift++) {
        low >>= 1;
        high >>= 1;
    }
    if (shift > 0)
        sink(histogram, shift);
    reach(histogram, low, high);
    histogram->buckets[(index >> shift) - low]++;
}
