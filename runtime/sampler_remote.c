/* SPDX-License-Identifier: Apache-2.0 */
#include "sampler_remote.h"

#include <string.h>

#include "config.h"
#include "counters.h"
#include "format.h"
#include "limiter.h"
#include "probability.h"
#include "process.h"
#include "strategy.h"

enum { PATIENCE_MS = 2000 };

static struct strategy strategies[2];
static uint32_t in_use; /* 1 or 2; 0: none has been told yet */
static struct otlp_http http = {.descriptor = -1};
static uint64_t due_ns = UINT64_MAX;

/* --- host threads --------------------------------------------------------------------------- */

/* Operations are names of spans: of what is served the method, which is all that is known yet. */
static struct strategy_operation *operation_of(struct strategy *strategy, struct slice name)
{
    for (uint32_t i = 0; i < strategy->operation_count && i < STRATEGY_OPERATIONS_MAX; i++) {
        struct strategy_operation *operation = &strategy->operations[i];
        if (operation->length == name.length &&
            memcmp(operation->name, name.data, name.length) == 0)
            return operation;
    }
    return NULL;
}

/* By the probability, or to reach the lower bound, which both count for. */
static struct sampler_answer decide(const struct sampler_question *question, uint64_t threshold,
    uint64_t cost_ns, uint64_t *spent_ns)
{
    struct sampler_answer answer = sampler_by_threshold(question, threshold);
    bool is_bound = cost_ns != 0 && limiter_take(spent_ns, cost_ns, question->now_ns, false);
    answer.is_sampled |= is_bound;
    return answer;
}

struct sampler_answer sampler_remote_decide(const struct sampler_question *question)
{
    uint32_t number = __atomic_load_n(&in_use, __ATOMIC_ACQUIRE);
    if (number == 0)
        return sampler_by_threshold(question, config.sampler_threshold);
    struct strategy *strategy = &strategies[number - 1];
    if (strategy->is_limited)
        return decide(question, PROBABILITY_NEVER, strategy->cost_ns, &strategy->spent_ns);
    struct strategy_operation *operation = operation_of(strategy, question->method);
    if (operation != NULL)
        return decide(question, operation->threshold, strategy->cost_ns, &operation->spent_ns);
    return decide(question, strategy->threshold, strategy->cost_ns, &strategy->spent_ns);
}

/* --- the exporter's thread ------------------------------------------------------------------- */

void sampler_remote_start(uint8_t *scratch)
{
    otlp_http_init(&http, scratch, OTLP_HTTP_SCRATCH_BYTES);
    due_ns = config.sampler == SAMPLER_JAEGER && config.sampler_url[0] != '\0' ? 0 : UINT64_MAX;
}

uint64_t sampler_remote_due(void)
{
    return due_ns;
}

static void put_encoded(struct format *out, const char *text)
{
    for (; *text != '\0'; text++) {
        bool is_plain = (*text >= '0' && *text <= '9') || (*text >= 'A' && *text <= 'Z') ||
                        (*text >= 'a' && *text <= 'z') || strchr("-._~", *text) != NULL;
        const char code[] = {
            '%', "0123456789ABCDEF"[*text >> 4 & 15], "0123456789ABCDEF"[*text & 15]};
        if (is_plain)
            format_bytes(out, text, 1);
        else
            format_bytes(out, code, sizeof(code));
    }
}

/* But for what has been spent of it. */
static bool is_same(const struct strategy *one, const struct strategy *other)
{
    bool is_same = one->is_limited == other->is_limited && one->threshold == other->threshold &&
                   one->cost_ns == other->cost_ns && one->operation_count == other->operation_count;
    for (uint32_t i = 0; is_same && i < one->operation_count; i++) {
        const struct strategy_operation *a = &one->operations[i], *b = &other->operations[i];
        is_same = a->threshold == b->threshold && a->length == b->length &&
                  memcmp(a->name, b->name, a->length) == 0;
    }
    return is_same;
}

static void take(struct slice json)
{
    uint32_t number = in_use;
    struct strategy *next = &strategies[number == 1];
    if (!strategy_parse(json, next)) {
        counter_add(COUNTER_SAMPLER_REMOTE_FAILED, 1);
        return;
    }
    if (number == 0 || !is_same(next, &strategies[number - 1]))
        __atomic_store_n(&in_use, number == 1 ? 2 : 1, __ATOMIC_RELEASE);
}

void sampler_remote_poll(const uint64_t *stop_ns)
{
    static char url[CONFIG_TEXT_MAX + 3 * sizeof(config.service_name) + 16];
    struct format out;
    struct slice body;
    uint64_t now = process_monotonic_ns();
    format_start(&out, url, sizeof(url));
    format_text(&out, config.sampler_url);
    format_text(&out, strchr(config.sampler_url, '?') == NULL ? "?service=" : "&service=");
    put_encoded(&out, config.service_name);
    if (otlp_http_get(&http, url, now + PATIENCE_MS * 1000000ull, stop_ns, &body))
        take(body);
    else
        counter_add(COUNTER_SAMPLER_REMOTE_FAILED, 1);
    otlp_http_close(&http);
    due_ns = process_monotonic_ns() + config.sampler_poll_ms * 1000000ull;
}
