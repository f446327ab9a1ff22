/* SPDX-License-Identifier: Apache-2.0 */
#include "sampling.h"

#include "config.h"
#include "exporter.h"
#include "sampler.h"
#include "text_pool.h"

static struct slice text_of(const struct exchange *exchange, enum field field)
{
    return (struct slice){exchange_text(exchange, field), exchange->texts[field].length};
}

static struct sampler_question question_of(
    const struct exchange *exchange, const uint8_t trace_id[16], int parent_flags)
{
    struct sampler_question question = {.trace_id = trace_id,
        .parent_flags = parent_flags,
        .tracestate = {"", 0},
        .is_served = exchange->is_server,
        .now_ns = exchange->start_ns};
    if (exchange->is_server) {
        question.method = text_of(exchange, FIELD_METHOD);
        question.target = text_of(exchange, FIELD_TARGET);
        question.host = text_of(exchange, FIELD_HOST);
    }
    return question;
}

/* Of a trace that is kept already all is, but what it costs counts. */
static bool pay(const struct exchange *exchange, bool is_sampled)
{
    if (is_sampled)
        sampler_charge(exchange->start_ns);
    return is_sampled;
}

static bool ask(struct exchange *exchange, const struct sampler_question *question)
{
    if (config.sampler >= SAMPLER_JAEGER)
        exporter_need(); /* whoever asks for the strategy; nothing may ever be recorded without */
    struct sampler_answer answer = sampler_decide(question);
    exchange->is_ours = answer.is_ours;
    exchange->threshold = answer.threshold;
    exchange->ids.flags |= answer.is_dropped ? FLAG_DROPPED : 0;
    return answer.is_ours ? answer.is_sampled : pay(exchange, answer.is_sampled);
}

bool sampling_begins(struct exchange *exchange)
{
    struct sampler_question question = question_of(exchange, exchange->ids.trace_id, -1);
    exchange->threshold = 0;
    if (exchange->is_decided)
        return false; /* it says itself */
    return ask(exchange, &question);
}

/* A parent in the process has been decided about by the same sampler. Of one that the process was
 * started with, a call tells what the process does. */
bool sampling_goes_on(
    struct exchange *exchange, const struct trace_ids *parent, bool parent_is_remote)
{
    struct sampler_question question = question_of(exchange, parent->trace_id, parent->flags);
    const struct context *context = exchange->context;
    exchange->threshold = 0;
    if (!parent_is_remote)
        return pay(exchange, parent->flags & FLAG_SAMPLED);
    if (exchange->is_server)
        question.tracestate = text_of(exchange, FIELD_TRACESTATE);
    else if (context != NULL)
        question.tracestate = (struct slice){context_texts(context), context->tracestate_length};
    bool is_sampled = ask(exchange, &question);
    if (!exchange->is_server)
        exchange->threshold = 0;
    return is_sampled;
}

bool sampling_decides(const struct exchange *exchange, const struct trace_ids *parent)
{
    struct sampler_question question = question_of(exchange, parent->trace_id, -1);
    return config.samples_plainly || sampler_decide(&question).is_sampled;
}

/* --- the tracestate ------------------------------------------------------------------------ */

/* What a caller says is passed on if it can be true: of a trace that is sampled, and that it would
 * have sampled. */
static bool holds(const struct trace_ids *ids, const struct probability *said)
{
    uint64_t random = said->has_random ? said->random : probability_random(ids->trace_id);
    return (ids->flags & FLAG_SAMPLED) && said->has_threshold && random >= said->threshold;
}

size_t sampling_tracestate(const struct exchange *exchange, char *text, size_t length)
{
    struct probability said = probability_read(text, length);
    bool is_right = exchange->is_ours ? !said.is_told && exchange->threshold == 0
                                      : !said.is_told || holds(&exchange->ids, &said);
    if (is_right || config.sdk_disabled || length > TEXT_CARRIED_MAX)
        return length;
    return probability_write(text, length, exchange->threshold);
}

size_t sampling_tracestate_of_process(const struct trace_ids *ids, char *text, size_t length)
{
    struct probability said = probability_read(text, length);
    if (!said.is_told || config.sdk_disabled || (config.sampler_parent_based && holds(ids, &said)))
        return length;
    return probability_write(text, length, 0);
}
