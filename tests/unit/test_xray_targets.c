/* SPDX-License-Identifier: Apache-2.0 */
/* What X-Ray is told of its rules, and what it grants. */
#include "probability.h"
#include "tap.h"
#include "xray_targets.h"

#include <stdlib.h>
#include <string.h>

#define SECOND UINT64_C(1000000000)
#define HALF (UINT64_C(1) << 55)
#define SLICE(text) ((struct slice){text, strlen(text)})

static const char client[] = "0123456789abcdef01234567";
static struct xray_rules rules;
static struct xray_statistics taken;
static char out[8192];
static uint64_t modified_s;

static struct xray_now at(uint64_t seconds)
{
    return (struct xray_now){seconds * SECOND, 1000 + seconds};
}

/* Rules with these names, used so often. */
static void begin(uint32_t count)
{
    memset(&rules, 0, sizeof(rules));
    rules.count = count;
    for (uint32_t i = 0; i < count; i++) {
        struct xray_rule *rule = &rules.rules[i];
        rule->name_length = (uint8_t)snprintf(rule->name, sizeof(rule->name), "rule%u", i);
        rule->use = (struct xray_use){.matched = 10, .sampled = 3, .borrowed = 2};
    }
}

static bool take(uint64_t seconds)
{
    return xray_statistics_take(&rules, client, at(seconds), &taken, out, sizeof(out));
}

/* In memory of its exact size, for the sanitizers. */
static bool parse(const char *text, size_t length, uint64_t seconds)
{
    char *copy = malloc(length > 0 ? length : 1);
    memcpy(copy, text, length);
    bool is_one = xray_targets_take(&rules, (struct slice){copy, length}, at(seconds), &modified_s);
    free(copy);
    return is_one;
}

static bool told(const char *text)
{
    return parse(text, strlen(text), 20);
}

static void test_statistics(void)
{
    begin(1);
    CHECK(take(5) &&
              strcmp(out, "{\"SamplingStatisticsDocuments\":[{\"RuleName\":\"rule0\",\"ClientID\":"
                          "\"0123456789abcdef01234567\",\"Timestamp\":1005,\"RequestCount\":10,"
                          "\"SampledCount\":3,\"BorrowCount\":2}]}") == 0,
        "a rule is told about: %s", out);
    CHECK(!take(30), "not again before it is used");
    rules.rules[0].use.matched = 1;
    CHECK(!take(14) && take(15) && taken.reports[0].matched == 1 && taken.reports[0].sampled == 0,
        "nor before its interval is over");
    rules.rules[0].use.matched = 4;
    xray_statistics_return(&rules, &taken);
    CHECK(rules.rules[0].use.matched == 5, "what could not be told goes with the next");
    rules.rules[0].name_length = 0;
    CHECK(!take(50), "a rule without a name cannot be told about");
    begin(60);
    unsigned batches = 0, all = 0;
    for (; take(5); batches++)
        all += taken.count;
    CHECK(batches == 3 && all == 60, "25 at a time: %u in %u", all, batches);
    begin(3);
    CHECK(!xray_statistics_take(&rules, client, at(5), &taken, out, 200) &&
              rules.rules[2].use.matched == 10,
        "without room nothing is lost");
}

static const char some[] =
    "{\"LastRuleModification\":1.5e3,\"SamplingTargetDocuments\":[{\"RuleName\":\"rule1\","
    "\"FixedRate\":0.5,\"ReservoirQuota\":4,\"ReservoirQuotaTTL\":1050.0,\"Interval\":30},"
    "{\"RuleName\":\"other\",\"FixedRate\":1},{\"FixedRate\":1}],\"UnprocessedStatistics\":[]}";

static void test_targets(void)
{
    begin(2);
    const struct xray_use *use = &rules.rules[1].use;
    CHECK(told(some) && modified_s == 1500, "when the rules were changed");
    CHECK(use->threshold == HALF && use->quota_cost_ns == SECOND / 4 &&
              use->quota_until_ns == 50 * SECOND && use->due_ns == 50 * SECOND,
        "a rate, a quota, until when, and when to ask again");
    CHECK(rules.rules[0].use.threshold == 0 && rules.rules[0].use.quota_until_ns == 0,
        "of that rule alone");
    CHECK(told("{\"SamplingTargetDocuments\":[{\"RuleName\":\"rule1\",\"ReservoirQuota\":0,"
               "\"ReservoirQuotaTTL\":null}],\"LastRuleModification\":\"soon\"}") &&
              use->quota_cost_ns == 0 && use->quota_until_ns == 50 * SECOND &&
              use->threshold == HALF && modified_s == 0,
        "what is not told stays");
    CHECK(told("{\"SamplingTargetDocuments\":[{\"RuleName\":\"rule1\",\"FixedRate\":7e9,"
               "\"ReservoirQuota\":1e99,\"ReservoirQuotaTTL\":1e99,\"Interval\":1e99}]}") &&
              use->threshold == 0 && use->quota_cost_ns == 1000 &&
              use->quota_until_ns == 3620 * SECOND && use->due_ns == 3620 * SECOND,
        "numbers are held within what they can be");
    CHECK(told("{\"SamplingTargetDocuments\":[{\"RuleName\":\"rule1\",\"ReservoirQuotaTTL\":3,"
               "\"Interval\":0}]}") &&
              use->quota_until_ns == 20 * SECOND && use->due_ns == 21 * SECOND,
        "what is over is over, and there is a second between two questions");
    CHECK(told("{\"SamplingTargetDocuments\":[],\"UnprocessedStatistics\":[{\"RuleName\":\"rule1\","
               "\"ErrorCode\":\"400\",\"Message\":\"?\"}]}") &&
              modified_s == UINT64_MAX,
        "a rule that is not known there: all are asked for");
    CHECK(told("{\"SamplingTargetDocuments\":[],\"UnprocessedStatistics\":[{\"ErrorCode\":\"500\"}]"
               "}") &&
              modified_s == 0,
        "but not for another reason");
}

static void test_bad(void)
{
    begin(2);
    struct xray_rules before = rules;
    size_t good = 0;
    for (size_t i = 0; i < sizeof(some) - 1; i++)
        good += parse(some, i, 20);
    good += told("{}") + told("") + told("[]") + told("null") + told("<html>");
    good += told("{\"SamplingTargetDocuments\":null}");
    good += told("{\"SamplingTargetDocuments\":[{\"RuleName\":\"rule1\",\"FixedRate\":1}]} x");
    CHECK(good == 0 && memcmp(&before, &rules, sizeof(rules)) == 0,
        "cut off anywhere, or something else: nothing is changed");
}

static void test_inheritance(void)
{
    static struct xray_rules anew;
    begin(3);
    anew = rules;
    memset(&anew.rules[0].use, 0, sizeof(anew.rules[0].use));
    anew.rules[1].use.matched = 0;
    anew.rules[1].priority = 9;
    anew.rules[2] = anew.rules[0];
    xray_rules_inherit(&anew, &rules);
    CHECK(anew.rules[0].use.matched == 10 && anew.rules[1].use.matched == 0,
        "a rule that has not changed goes on as it was, another begins");
}

int main(void)
{
    test_statistics();
    test_targets();
    test_bad();
    test_inheritance();
    return tap_done();
}
