/* SPDX-License-Identifier: Apache-2.0 */
#include "sampler.h"

#include "config.h"
#include "propagation.h"

/* Consistent probability sampling (OpenTelemetry specification, TraceState: probability sampling):
 * the 56 random bits of the trace id against a rejection threshold; sampled iff R >= T. */
static bool by_ratio(const uint8_t trace_id[16])
{
    uint64_t random = 0;
    for (int i = 9; i < 16; i++)
        random = random << 8 | trace_id[i];
    double threshold = (1.0 - config.sampler_ratio) * 72057594037927936.0; /* 2^56 */
    return (double)random >= threshold && config.sampler_ratio > 0;
}

bool sampler_decide(const uint8_t trace_id[16], int parent_flags)
{
    if (config.sampler_parent_based && parent_flags >= 0)
        return parent_flags & FLAG_SAMPLED;
    switch (config.sampler) {
    case SAMPLER_ALWAYS_ON:
        return true;
    case SAMPLER_ALWAYS_OFF:
        return false;
    case SAMPLER_RATIO:
        return by_ratio(trace_id);
    }
    return true;
}
