/* SPDX-License-Identifier: Apache-2.0 */
#include "sampler.h"

#include "config.h"
#include "probability.h"
#include "propagation.h"

static uint64_t random_of(const struct sampler_question *question)
{
    struct probability said =
        probability_read(question->tracestate.data, question->tracestate.length);
    return said.has_random ? said.random : probability_random(question->trace_id);
}

static struct sampler_answer by_threshold(
    const struct sampler_question *question, uint64_t threshold)
{
    bool is_sampled = threshold == 0 || random_of(question) >= threshold;
    return (struct sampler_answer){is_sampled, true, is_sampled ? threshold : 0};
}

struct sampler_answer sampler_decide(const struct sampler_question *question)
{
    bool has_parent = question->parent_flags >= 0;
    if (config.sampler_parent_based && has_parent)
        return (struct sampler_answer){.is_sampled = question->parent_flags & FLAG_SAMPLED};
    return by_threshold(question, config.sampler_threshold);
}
