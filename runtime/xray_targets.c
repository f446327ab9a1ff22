/* SPDX-License-Identifier: Apache-2.0 */
#include "xray_targets.h"

#include <string.h>

#include "json_read.h"
#include "json_write.h"
#include "probability.h"

enum { QUOTA_MAX = 1000000, AHEAD_S_MAX = 3600 };
static const uint64_t second_ns = 1000000000;

/* --- what is told ---------------------------------------------------------------------------- */

static uint32_t take_count(uint32_t *count)
{
    return __atomic_exchange_n(count, 0, __ATOMIC_RELAXED);
}

static void write_report(struct json_writer *w, const struct xray_rule *rule, const char *client,
    uint64_t unix_s, const struct xray_report *report)
{
    json_put_open(w, NULL, '{');
    json_put_open(w, "RuleName", '"');
    json_put_raw(w, rule->name, rule->name_length);
    json_put_close(w, '"');
    json_put_text(w, "ClientID", client, XRAY_CLIENT_BYTES);
    json_put_integer(w, "Timestamp", (int64_t)unix_s);
    json_put_integer(w, "RequestCount", report->matched);
    json_put_integer(w, "SampledCount", report->sampled);
    json_put_integer(w, "BorrowCount", report->borrowed);
    json_put_close(w, '}');
}

bool xray_statistics_take(struct xray_rules *rules, const char client[XRAY_CLIENT_BYTES],
    struct xray_now now, struct xray_statistics *taken, char *out, size_t room)
{
    struct json_writer w = {.at = out, .limit = out + room};
    taken->count = 0;
    json_put_open(&w, NULL, '{');
    json_put_open(&w, "SamplingStatisticsDocuments", '[');
    for (uint32_t i = 0; i < rules->count && taken->count < XRAY_BATCH_MAX; i++) {
        struct xray_rule *rule = &rules->rules[i];
        struct xray_use *use = &rule->use;
        if (rule->name_length == 0 || now.monotonic_ns < use->due_ns ||
            __atomic_load_n(&use->matched, __ATOMIC_RELAXED) == 0)
            continue;
        struct xray_report *report = &taken->reports[taken->count++];
        *report = (struct xray_report){
            i, take_count(&use->matched), take_count(&use->sampled), take_count(&use->borrowed)};
        use->due_ns = now.monotonic_ns + XRAY_INTERVAL_S * second_ns;
        write_report(&w, rule, client, now.unix_s, report);
    }
    json_put_close(&w, ']');
    json_put_close(&w, '}');
    json_put_raw(&w, "", 1);
    if (w.full)
        xray_statistics_return(rules, taken);
    return taken->count > 0 && !w.full;
}

void xray_statistics_return(struct xray_rules *rules, const struct xray_statistics *taken)
{
    for (uint32_t i = 0; i < taken->count; i++) {
        const struct xray_report *report = &taken->reports[i];
        struct xray_use *use = &rules->rules[report->rule].use;
        __atomic_fetch_add(&use->matched, report->matched, __ATOMIC_RELAXED);
        __atomic_fetch_add(&use->sampled, report->sampled, __ATOMIC_RELAXED);
        __atomic_fetch_add(&use->borrowed, report->borrowed, __ATOMIC_RELAXED);
    }
}

/* --- what is told back ----------------------------------------------------------------------- */

/* A negative number: it was not told. */
struct target {
    struct slice name;
    double rate, quota, until_s, interval_s;
};

struct answer {
    struct target targets[XRAY_BATCH_MAX];
    uint32_t count;
    double modified_s;
    bool is_there, asks_for_rules;
};

/* Null, or a time as a text: as if it was not told. */
static double number_of(struct json *json)
{
    char first = json_peek(json);
    if ((first >= '0' && first <= '9') || first == '-')
        return json_number(json);
    json_pass(json, JSON_DEPTH_MAX);
    return -1;
}

static void read_target(struct json *json, struct target *target)
{
    struct slice name;
    *target = (struct target){{"", 0}, -1, -1, -1, -1};
    for (bool begins = true; json_member(json, begins, &name); begins = false) {
        if (slice_is(name, "RuleName") && json_peek(json) == '"')
            target->name = json_string(json);
        else if (slice_is(name, "FixedRate"))
            target->rate = number_of(json);
        else if (slice_is(name, "ReservoirQuota"))
            target->quota = number_of(json);
        else if (slice_is(name, "ReservoirQuotaTTL"))
            target->until_s = number_of(json);
        else if (slice_is(name, "Interval"))
            target->interval_s = number_of(json);
        else
            json_pass(json, JSON_DEPTH_MAX);
    }
}

static void read_targets(struct json *json, struct answer *answer)
{
    struct target target;
    answer->is_there = true;
    for (bool first = true; json_element(json, first); first = false) {
        read_target(json, &target);
        if (answer->count < XRAY_BATCH_MAX && target.name.length > 0)
            answer->targets[answer->count++] = target;
    }
}

/* A rule that X-Ray does not know any more (4xx). */
static void read_unprocessed(struct json *json, struct answer *answer)
{
    struct slice name;
    if (json_peek(json) != '[') {
        json_pass(json, JSON_DEPTH_MAX);
        return;
    }
    for (bool first = true; json_element(json, first); first = false)
        for (bool begins = true; json_member(json, begins, &name); begins = false) {
            if (!slice_is(name, "ErrorCode") || json_peek(json) != '"') {
                json_pass(json, JSON_DEPTH_MAX);
                continue;
            }
            struct slice code = json_string(json);
            answer->asks_for_rules |= code.length > 0 && code.data[0] == '4';
        }
}

static bool read_answer(struct slice text, struct answer *answer)
{
    struct json json = {text.data, text.data + text.length, false};
    struct slice name;
    answer->count = 0;
    answer->modified_s = -1;
    answer->is_there = answer->asks_for_rules = false;
    for (bool begins = true; json_member(&json, begins, &name); begins = false) {
        if (slice_is(name, "SamplingTargetDocuments"))
            read_targets(&json, answer);
        else if (slice_is(name, "UnprocessedStatistics"))
            read_unprocessed(&json, answer);
        else if (slice_is(name, "LastRuleModification"))
            answer->modified_s = number_of(&json);
        else
            json_pass(&json, JSON_DEPTH_MAX);
    }
    return answer->is_there && json_is_over(&json);
}

static double within(double value, double least, double most)
{
    return value < least ? least : value > most ? most : value;
}

static void set(uint64_t *word, uint64_t value)
{
    __atomic_store_n(word, value, __ATOMIC_RELAXED);
}

static void use_target(struct xray_use *use, const struct target *target, struct xray_now now)
{
    if (target->rate >= 0)
        set(&use->threshold, probability_threshold(within(target->rate, 0, 1)));
    if (target->quota >= 0) {
        uint64_t quota = (uint64_t)within(target->quota, 0, QUOTA_MAX);
        set(&use->quota_cost_ns, quota == 0 ? 0 : second_ns / quota);
    }
    if (target->until_s >= 0) {
        double ahead_s = within(target->until_s - (double)now.unix_s, 0, AHEAD_S_MAX);
        set(&use->quota_until_ns, now.monotonic_ns + (uint64_t)ahead_s * second_ns);
    }
    if (target->interval_s >= 0)
        use->due_ns =
            now.monotonic_ns + (uint64_t)within(target->interval_s, 1, AHEAD_S_MAX) * second_ns;
}

bool xray_targets_take(
    struct xray_rules *rules, struct slice json, struct xray_now now, uint64_t *modified_s)
{
    struct answer answer;
    *modified_s = 0;
    if (!read_answer(json, &answer))
        return false;
    for (uint32_t i = 0; i < answer.count; i++)
        for (uint32_t j = 0; j < rules->count; j++) {
            const struct slice name = {rules->rules[j].name, rules->rules[j].name_length};
            if (slice_equal(name, answer.targets[i].name))
                use_target(&rules->rules[j].use, &answer.targets[i], now);
        }
    *modified_s = (uint64_t)within(answer.modified_s, 0, 1e15);
    if (answer.asks_for_rules)
        *modified_s = UINT64_MAX;
    return true;
}
