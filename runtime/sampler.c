/* SPDX-License-Identifier: Apache-2.0 */
#include "sampler.h"

#include <string.h>

#include "config.h"
#include "counters.h"
#include "limiter.h"
#include "probability.h"
#include "propagation.h"
#include "sampler_remote.h"

static uint64_t random_of(const struct sampler_question *question)
{
    struct probability said =
        probability_read(question->tracestate.data, question->tracestate.length);
    return said.has_random ? said.random : probability_random(question->trace_id);
}

struct sampler_answer sampler_by_threshold(
    const struct sampler_question *question, uint64_t threshold)
{
    bool is_sampled = threshold == 0 || random_of(question) >= threshold;
    return (struct sampler_answer){
        .is_sampled = is_sampled, .is_ours = true, .threshold = is_sampled ? threshold : 0};
}

/* --- rules ---------------------------------------------------------------------------------- */

struct slice sampler_path(struct slice target)
{
    size_t end = 0, start = 0;
    while (end < target.length && target.data[end] != '?' && target.data[end] != '#')
        end++;
    if (end > 0 && target.data[0] != '/') {
        const char *colon = memchr(target.data, ':', end);
        start = colon == NULL ? end : (size_t)(colon - target.data) + 3;
        while (start < end && target.data[start] != '/')
            start++;
    }
    if (start >= end)
        return (struct slice){"/", 1};
    return (struct slice){target.data + start, end - start};
}

static bool fits(struct config_pattern pattern, struct slice text)
{
    struct slice patterns = {config.sampler_rules + pattern.offset, pattern.length};
    return pattern.length == 0 || config_pattern_fits(patterns, text);
}

/* Calls have no path yet when they are decided about: only what is for all of a program is for
 * them. */
static const struct config_rule *rule_of(const struct sampler_question *question)
{
    struct slice path = {"", 0};
    if (question->is_served && config.rule_count > 0)
        path = sampler_path(question->target);
    for (uint32_t i = 0; i < config.rule_count; i++) {
        const struct config_rule *rule = &config.rules[i];
        bool is_general = rule->path.length == 0 && rule->method.length == 0;
        if (is_general ||
            (question->is_served && fits(rule->path, path) && fits(rule->method, question->method)))
            return rule;
    }
    return NULL;
}

/* --- the budget ----------------------------------------------------------------------------- */

static uint64_t spent_ns;

void sampler_charge(uint64_t now_ns)
{
    if (config.span_cost_ns != 0)
        limiter_take(&spent_ns, config.span_cost_ns, now_ns, true);
}

/* How many a trace stands for is not known any more. */
static struct sampler_answer within_budget(struct sampler_answer answer, uint64_t now_ns)
{
    if (!answer.is_sampled || config.span_cost_ns == 0)
        return answer;
    answer.threshold = 0;
    answer.is_sampled = limiter_take(&spent_ns, config.span_cost_ns, now_ns, false);
    counter_add(COUNTER_SAMPLER_LIMITED, !answer.is_sampled);
    return answer;
}

struct sampler_answer sampler_decide(const struct sampler_question *question)
{
    const struct config_rule *rule = rule_of(question);
    bool has_word = question->parent_flags >= 0 && config.sampler_parent_based;
    if (has_word && (rule == NULL || rule->is_ratio))
        return (struct sampler_answer){.is_sampled = question->parent_flags & FLAG_SAMPLED};
    struct sampler_answer answer;
    if (rule == NULL && config.sampler >= SAMPLER_JAEGER)
        answer = sampler_remote_decide(question);
    else
        answer = sampler_by_threshold(
            question, rule == NULL ? config.sampler_threshold : rule->threshold);
    answer.is_dropped = rule != NULL && !rule->is_ratio && !answer.is_sampled;
    return within_budget(answer, question->now_ns);
}
