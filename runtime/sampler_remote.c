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
#include "sys.h"
#include "xray_targets.h"

enum { PATIENCE_MS = 2000 };

static union {
    struct strategy strategy;
    struct xray_rules rules;
} told[2];
static uint32_t in_use;   /* 1 or 2; 0: nothing has been told yet */
static uint64_t spent_ns; /* of X-Ray's reservoir until then, or where no rule is for a request */
static struct otlp_http http = {.descriptor = -1};
static uint64_t due_ns = UINT64_MAX, targets_due_ns = UINT64_MAX;
static uint64_t asked_s; /* when rules were last told, Unix time */
static char client[XRAY_CLIENT_BYTES];

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

static struct sampler_answer decide_by_strategy(
    const struct sampler_question *question, struct strategy *strategy)
{
    if (strategy->is_limited)
        return decide(question, PROBABILITY_NEVER, strategy->cost_ns, &strategy->spent_ns);
    struct strategy_operation *operation = operation_of(strategy, question->method);
    if (operation != NULL)
        return decide(question, operation->threshold, strategy->cost_ns, &operation->spent_ns);
    return decide(question, strategy->threshold, strategy->cost_ns, &strategy->spent_ns);
}

enum { RESERVOIR_COST_NS = 1000000000 }; /* X-Ray lends each process one request a second */

/* The quota while there is one, else what is lent; of the rest a share. */
static struct sampler_answer decide_by_rule(
    const struct sampler_question *question, struct xray_rule *rule)
{
    struct xray_use *use = &rule->use;
    bool has_quota = question->now_ns < __atomic_load_n(&use->quota_until_ns, __ATOMIC_RELAXED);
    uint64_t cost_ns =
        has_quota ? __atomic_load_n(&use->quota_cost_ns, __ATOMIC_RELAXED) : RESERVOIR_COST_NS;
    struct sampler_answer answer =
        sampler_by_threshold(question, __atomic_load_n(&use->threshold, __ATOMIC_RELAXED));
    bool is_taken = rule->has_reservoir && cost_ns != 0 &&
                    limiter_take(&use->spent_ns, cost_ns, question->now_ns, false);
    answer.is_sampled |= is_taken;
    __atomic_fetch_add(&use->matched, 1, __ATOMIC_RELAXED);
    if (answer.is_sampled)
        __atomic_fetch_add(
            is_taken && !has_quota ? &use->borrowed : &use->sampled, 1, __ATOMIC_RELAXED);
    return answer;
}

static struct sampler_answer decide_by_rules(
    const struct sampler_question *question, struct xray_rules *rules)
{
    struct slice path = {"", 0};
    if (question->is_served)
        path = sampler_path(question->target);
    struct xray_rule *rule = xray_rule_of(rules, question->host, question->method, path);
    if (rule == NULL)
        return decide(question, config.sampler_threshold, RESERVOIR_COST_NS, &spent_ns);
    return decide_by_rule(question, rule);
}

struct sampler_answer sampler_remote_decide(const struct sampler_question *question)
{
    uint32_t number = __atomic_load_n(&in_use, __ATOMIC_ACQUIRE);
    bool is_xray = config.sampler == SAMPLER_XRAY;
    if (number == 0)
        return decide(
            question, config.sampler_threshold, is_xray ? RESERVOIR_COST_NS : 0, &spent_ns);
    return is_xray ? decide_by_rules(question, &told[number - 1].rules)
                   : decide_by_strategy(question, &told[number - 1].strategy);
}

/* --- the exporter's thread ------------------------------------------------------------------- */

/* Each process is a client of its own: what the one that it was forked from has counted, or was
 * granted, is not its. */
static void begin_client(void)
{
    uint8_t random[XRAY_CLIENT_BYTES / 2] = {0};
    sys(SYS_getrandom, random, sizeof(random), 0);
    for (unsigned i = 0; i < XRAY_CLIENT_BYTES; i++)
        client[i] = "0123456789abcdef"[random[i / 2] >> (i % 2 == 0 ? 4 : 0) & 15];
    for (uint32_t i = 0; in_use != 0 && i < told[in_use - 1].rules.count; i++) {
        struct xray_rule *rule = &told[in_use - 1].rules.rules[i];
        rule->use = (struct xray_use){.threshold = rule->threshold};
    }
}

void sampler_remote_start(uint8_t *scratch)
{
    otlp_http_init(&http, scratch, OTLP_HTTP_SCRATCH_BYTES);
    due_ns = config.sampler >= SAMPLER_JAEGER && config.sampler_url[0] != '\0' ? 0 : UINT64_MAX;
    targets_due_ns = UINT64_MAX;
    if (config.sampler == SAMPLER_XRAY)
        begin_client();
}

uint64_t sampler_remote_due(void)
{
    return due_ns < targets_due_ns ? due_ns : targets_due_ns;
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

static bool read_strategy(struct slice json, uint32_t next, uint32_t last, bool *is_new)
{
    struct strategy *strategy = &told[next].strategy;
    bool is_one = strategy_parse(json, strategy);
    *is_new = is_one && !is_same(strategy, &told[last].strategy);
    return is_one;
}

static bool read_rules(struct slice json, uint32_t next, uint32_t last, bool *is_new)
{
    const struct slice name = {config.service_name, strlen(config.service_name)};
    bool are_some = xray_rules_parse(json, name, &told[next].rules);
    if (are_some && in_use != 0)
        xray_rules_inherit(&told[next].rules, &told[last].rules);
    *is_new = are_some && !xray_rules_are_same(&told[next].rules, &told[last].rules);
    return are_some;
}

static void take(struct slice json)
{
    uint32_t next = in_use == 1;
    bool is_new;
    bool is_right = config.sampler == SAMPLER_XRAY ? read_rules(json, next, 1 - next, &is_new)
                                                   : read_strategy(json, next, 1 - next, &is_new);
    if (!is_right)
        counter_add(COUNTER_SAMPLER_REMOTE_FAILED, 1);
    else if (in_use == 0 || is_new)
        __atomic_store_n(&in_use, next + 1, __ATOMIC_RELEASE);
}

/* Jaeger is asked for a service's strategy, X-Ray for all rules there are. */
static void put_url(char *url, size_t room)
{
    struct format out;
    format_start(&out, url, room);
    format_text(&out, config.sampler_url);
    if (config.sampler == SAMPLER_XRAY)
        return;
    format_text(&out, strchr(config.sampler_url, '?') == NULL ? "?service=" : "&service=");
    put_encoded(&out, config.service_name);
}

static struct xray_now now(void)
{
    uint64_t monotonic_ns = process_monotonic_ns();
    return (struct xray_now){monotonic_ns, (monotonic_ns + process_clock_offset_ns()) / 1000000000};
}

/* Beside the rules. False: they are asked for elsewhere, nobody knows where. */
static bool put_targets_url(char *url, size_t room)
{
    static const char rules[] = "/GetSamplingRules";
    size_t length = strlen(config.sampler_url), tail = sizeof(rules) - 1;
    struct format out;
    if (length < tail || memcmp(config.sampler_url + length - tail, rules, tail) != 0)
        return false;
    format_start(&out, url, room);
    format_bytes(&out, config.sampler_url, length - tail);
    format_text(&out, "/SamplingTargets");
    return out.fits;
}

/* How the rules were used, 25 at a time. */
static void tell_statistics(const uint64_t *stop_ns)
{
    static char url[CONFIG_TEXT_MAX], question[8192];
    struct xray_rules *rules = &told[in_use - 1].rules;
    struct xray_statistics taken;
    struct slice body;
    uint64_t modified_s;
    targets_due_ns = process_monotonic_ns() + XRAY_INTERVAL_S * 1000000000ull;
    if (!put_targets_url(url, sizeof(url)))
        return;
    while (xray_statistics_take(rules, client, now(), &taken, question, sizeof(question))) {
        uint64_t until = process_monotonic_ns() + PATIENCE_MS * 1000000ull;
        if (!otlp_http_ask(&http, url, question, until, stop_ns, &body)) {
            xray_statistics_return(rules, &taken);
            counter_add(COUNTER_SAMPLER_REMOTE_FAILED, 1);
            break;
        }
        if (!xray_targets_take(rules, body, now(), &modified_s))
            counter_add(COUNTER_SAMPLER_REMOTE_FAILED, 1);
        else if (modified_s > asked_s)
            due_ns = 0;
    }
    otlp_http_close(&http);
    for (uint32_t i = 0; i < rules->count; i++) {
        uint64_t due = rules->rules[i].use.due_ns;
        if (due > process_monotonic_ns() && due < targets_due_ns)
            targets_due_ns = due;
    }
}

static void ask(const uint64_t *stop_ns)
{
    static char url[CONFIG_TEXT_MAX + 3 * sizeof(config.service_name) + 16];
    const char *question = config.sampler == SAMPLER_XRAY ? "{}" : NULL;
    uint64_t until = process_monotonic_ns() + PATIENCE_MS * 1000000ull;
    struct slice body;
    put_url(url, sizeof(url));
    if (otlp_http_ask(&http, url, question, until, stop_ns, &body))
        take(body);
    else
        counter_add(COUNTER_SAMPLER_REMOTE_FAILED, 1);
    otlp_http_close(&http);
    due_ns = process_monotonic_ns() + config.sampler_poll_ms * 1000000ull;
    asked_s = now().unix_s;
    if (config.sampler == SAMPLER_XRAY && in_use != 0 && targets_due_ns == UINT64_MAX)
        targets_due_ns = process_monotonic_ns() + XRAY_INTERVAL_S * 1000000000ull;
}

void sampler_remote_poll(const uint64_t *stop_ns)
{
    if (process_monotonic_ns() >= targets_due_ns)
        tell_statistics(stop_ns);
    if (process_monotonic_ns() >= due_ns)
        ask(stop_ns);
}
