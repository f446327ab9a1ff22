/* SPDX-License-Identifier: Apache-2.0 */
/* Exponential buckets against the formula, taken by libm's logarithm. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "exponential.h"
#include "tap.h"

enum { VALUES = 3000, ROUNDS = 200, INDEXES = 200000 };

static uint64_t seed = 88172645463325252u;

static uint64_t roll(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed;
}

/* The i of (base^i, base^(i+1)]. Near a bound libm's last digit may not know: INT32_MIN. */
static int32_t formula(double value, int scale)
{
    long double at = log2l((long double)value) * ldexpl(1, scale);
    int exponent;
    bool is_power = frexp(value, &exponent) == 0.5; /* what else has an integer logarithm? */
    if (!is_power && fabsl(at - roundl(at)) < 1e-11L)
        return INT32_MIN;
    return (int32_t)ceill(is_power ? roundl(at) : at) - 1;
}

static void test_index(void)
{
    unsigned right = 0, unsure = 0;
    for (unsigned i = 0; i < INDEXES; i++) {
        double value = (double)(roll() >> (roll() % 60 + 1)) / 1e9;
        value = value == 0 ? 1e-9 : value;
        int32_t wanted = formula(value, EXPONENTIAL_SCALE_MAX);
        unsure += wanted == INT32_MIN;
        right += wanted == INT32_MIN || exponential_index(value) == wanted;
    }
    CHECK(
        right == INDEXES && unsure < 10, "%u of %u indexes (%u too near)", right, INDEXES, unsure);
    bool is_sound = true;
    for (int power = -40; power < 40; power++) {
        double bound = ldexp(1, power);
        is_sound &= exponential_index(bound) == power * (1 << 20) - 1;
        is_sound &= exponential_index(nextafter(bound, 1e300)) == power * (1 << 20);
        is_sound &= exponential_index(nextafter(bound, 0)) == power * (1 << 20) - 1;
    }
    CHECK(is_sound, "powers of two belong to the bucket beneath, their neighbours by their size");
}

static double random_value(unsigned spread)
{
    return (double)(1 + roll() % (1ull << (1 + spread))) / 1e9;
}

/* All values counted anew at the histogram's scale. */
static bool is_right(const struct exponential *histogram, const double *values, unsigned count)
{
    uint64_t wanted[EXPONENTIAL_BUCKETS_MAX] = {0}, zeros = 0;
    for (unsigned i = 0; i < count; i++) {
        if (values[i] == 0) {
            zeros++;
            continue;
        }
        int32_t index = exponential_index(values[i]) >> (EXPONENTIAL_SCALE_MAX - histogram->scale);
        int32_t wide = formula(values[i], histogram->scale);
        if (wide != INT32_MIN && wide != index)
            return false;
        if (index < histogram->first || index >= histogram->first + (int32_t)histogram->used)
            return false;
        wanted[index - histogram->first]++;
    }
    return zeros == histogram->zeros && memcmp(wanted, histogram->buckets, sizeof(wanted)) == 0 &&
           (histogram->used == 0 ||
               (wanted[0] > 0 && wanted[histogram->used - 1] > 0)); /* no wider than need be */
}

/* One scale more would not have had room. */
static bool is_finest(const struct exponential *histogram, const double *values, unsigned count)
{
    int32_t low = INT32_MAX, high = INT32_MIN, shift = EXPONENTIAL_SCALE_MAX - histogram->scale - 1;
    for (unsigned i = 0; i < count; i++) {
        int32_t index = values[i] == 0 ? 0 : exponential_index(values[i]);
        low = values[i] != 0 && index < low ? index : low;
        high = values[i] != 0 && index > high ? index : high;
    }
    return shift < 0 || (high >> shift) - (low >> shift) >= EXPONENTIAL_BUCKETS_MAX;
}

static void test_add(void)
{
    static double values[VALUES];
    static struct exponential histogram;
    unsigned right = 0, finest = 0;
    for (unsigned round = 0; round < ROUNDS; round++) {
        unsigned count = (unsigned)(roll() % VALUES), spread = (unsigned)(roll() % 50);
        exponential_reset(&histogram);
        for (unsigned i = 0; i < count; i++) {
            values[i] = roll() % 50 == 0 ? 0 : random_value(spread);
            exponential_add(&histogram, values[i]);
        }
        right += is_right(&histogram, values, count);
        finest += is_finest(&histogram, values, count);
    }
    CHECK(right == ROUNDS, "%u of %u histograms hold every value where it belongs", right, ROUNDS);
    CHECK(finest == ROUNDS, "%u of %u at the finest scale there is", finest, ROUNDS);
    exponential_reset(&histogram);
    for (int i = 0; i < 5; i++)
        exponential_add(&histogram, 0.25);
    CHECK(histogram.scale == 20 && histogram.used == 1 && histogram.buckets[0] == 5 &&
              histogram.first == -2 * (1 << 20) - 1,
        "one value stays at the highest scale");
    exponential_add(&histogram, 1e-9);
    exponential_add(&histogram, 1e9);
    CHECK(histogram.scale == 1 && histogram.used <= EXPONENTIAL_BUCKETS_MAX,
        "a nanosecond and thirty years share one, at scale %d", histogram.scale);
}

int main(void)
{
    test_index();
    test_add();
    return tap_done();
}
