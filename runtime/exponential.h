/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Base-2 exponential histograms (OpenTelemetry metrics data model 1.60, ExponentialHistogram; SDK:
 * at most 160 buckets, scale 20 at most). Bucket i of scale s holds (base^i, base^(i+1)] with
 * base = 2^(2^-s). Two buckets of one scale are one of the next lower scale, so the scale sinks as
 * the values spread, and no count is ever lost or guessed. Values are durations: none is negative.
 *
 *   0 <= used <= EXPONENTIAL_BUCKETS_MAX; buckets[0 .. used) are those from `first` on
 *
 * Exporter thread. No libm: logarithms are taken bit by bit, exactly where they are integers.
 */
#pragma once

#include <stdint.h>

enum { EXPONENTIAL_BUCKETS_MAX = 160, EXPONENTIAL_SCALE_MAX = 20 };

struct exponential {
    int32_t scale, first;
    uint32_t used;
    uint64_t zeros;
    uint64_t buckets[EXPONENTIAL_BUCKETS_MAX];
};

void exponential_reset(struct exponential *histogram);

/* A finite value, normal or 0. */
void exponential_add(struct exponential *histogram, double value);

/* The bucket of a positive normal number at scale EXPONENTIAL_SCALE_MAX. */
int32_t exponential_index(double value);
