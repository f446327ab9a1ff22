/* SPDX-License-Identifier: Apache-2.0 */
/* Sampling rules as X-Ray tells them. */
#include "probability.h"
#include "tap.h"
#include "xray_rules.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct xray_rules rules;

#define SLICE(text) ((struct slice){text, strlen(text)})
#define HALF (UINT64_C(1) << 55)
#define RULE(more) "{\"SamplingRule\":{\"Attributes\":{},\"Version\":1," more "}}"
#define ANY "\"ServiceType\":\"*\",\"ResourceARN\":\"*\",\"ReservoirSize\":1,"
#define ALL "\"Host\":\"*\",\"HTTPMethod\":\"*\",\"URLPath\":\"*\""
#define RECORDS(list) "{\"NextToken\":null,\"SamplingRuleRecords\":[" list "]}"

/* In memory of its exact size, for the sanitizers. */
static bool parse(const char *text, size_t length)
{
    char *copy = malloc(length > 0 ? length : 1);
    memcpy(copy, text, length);
    bool are_some = xray_rules_parse((struct slice){copy, length}, SLICE("shop"), &rules);
    free(copy);
    return are_some;
}

static bool told(const char *text)
{
    return parse(text, strlen(text));
}

static int32_t priority_of(const char *host, const char *method, const char *path)
{
    const struct xray_rule *rule = xray_rule_of(&rules, SLICE(host), SLICE(method), SLICE(path));
    return rule == NULL ? -1 : rule->priority;
}

static const char some[] = RECORDS(RULE(
    "\"RuleName\":\"Default\",\"Priority\":10000,\"FixedRate\":0.5,\"ServiceName\":\"*\"," ANY
        ALL) "," RULE("\"Priority\":3,\"FixedRate\":1,\"ServiceName\":\"other\"," ANY
        ALL) "," RULE("\"Priority\":2,\"FixedRate\":0,\"ServiceName\":\"SH?P\",\"ServiceType\":\"*"
                      "\","
                      "\"ResourceARN\":\"*\",\"ReservoirSize\":0,\"Host\":\"*.example\","
                      "\"HTTPMethod\":\"G*\","
                      "\"URLPath\":\"/a?c/*\"") "," RULE("\"Priority\":1,\"ServiceName\":\"*\","
                                                         "\"ServiceType\":\"AWS::EC2::Instance\","
                                                         "\"ResourceARN\":\"*\",\"FixedRate\":"
                                                         "1," ALL) ",{\"CreatedAt\":1.5e9,"
                                                                   "\"SamplingRule\":{"
                                                                   "\"Attributes\":{\"a\":\"b\"},"
                                                                   "\"Priority\":1,"
                                                                   "\"FixedRate\":1,"
                                                                   "\"ServiceName\":\"*\"," ANY ALL
                                                                   "}}");

static void test_rules(void)
{
    CHECK(told(some) && rules.count == 2,
        "rules for other services, for a type or for attributes are left out");
    CHECK(
        rules.rules[0].priority == 2 && rules.rules[1].priority == 10000, "the first counts first");
    CHECK(rules.rules[0].threshold == PROBABILITY_NEVER && !rules.rules[0].has_reservoir &&
              rules.rules[1].threshold == HALF && rules.rules[1].has_reservoir,
        "rates and reservoirs");
    CHECK(priority_of("shop.example", "GET", "/abc/d") == 2, "patterns fit");
    CHECK(priority_of("SHOP.Example", "get", "/ABC/") == 2, "in either case");
    CHECK(priority_of("shop.example", "GET", "/ac/d") == 10000 &&
              priority_of("shop.example", "POST", "/abc/d") == 10000 &&
              priority_of("example", "GET", "/abc/d") == 10000 && priority_of("", "", "") == 10000,
        "or the next one counts");
    CHECK(told(RECORDS("")) && rules.count == 0 && priority_of("a", "GET", "/") == -1,
        "there may be none");
    CHECK(told(RECORDS(RULE("\"ServiceName\":\"*\",\"FixedRate\":7,\"Priority\":-5," ANY ALL))) &&
              rules.rules[0].threshold == 0 && rules.rules[0].priority == 0,
        "numbers are held within what they can be");
}

static void test_sameness(void)
{
    static struct xray_rules before;
    told(some);
    before = rules;
    rules.rules[0].use.spent_ns = 7;
    CHECK(xray_rules_are_same(&before, &rules), "what has been spent is no difference");
    rules.rules[1].threshold++;
    CHECK(!xray_rules_are_same(&before, &rules), "a rate is");
}

static void test_bad(void)
{
    size_t taken = 0, length = sizeof(some) - 1;
    for (size_t i = 0; i < length; i++)
        taken += parse(some, i);
    CHECK(taken == 0, "cut off anywhere they are none");
    CHECK(!told("") && !told("{}") && !told("[]") && !told("null") && !told("<html>") &&
              !told("{\"SamplingRuleRecords\":null}") && !told("{\"SamplingRuleRecords\":[]} x"),
        "nor is something else");
}

static void test_bounds(void)
{
    char pattern[256], text[640];
    memset(pattern, 'x', sizeof(pattern));
    for (int length = XRAY_TEXTS_MAX; length <= XRAY_TEXTS_MAX + 1; length++) {
        snprintf(text, sizeof(text),
            RECORDS(
                RULE("\"ServiceName\":\"*\",\"Host\":\"\",\"HTTPMethod\":\"\",\"URLPath\":\"%.*s\","
                     "\"ServiceType\":\"*\",\"ResourceARN\":\"*\"")),
            length, pattern);
        CHECK(told(text) && rules.count == (length == XRAY_TEXTS_MAX), "a pattern of %d bytes",
            length);
    }
    size_t used = 0, rule = strlen(RULE("\"ServiceName\":\"*\"," ANY ALL) ",");
    char *many = malloc((XRAY_RULES_MAX + 2) * rule + 64);
    used += (size_t)sprintf(many, "{\"SamplingRuleRecords\":[");
    for (int i = 0; i <= XRAY_RULES_MAX; i++)
        used += (size_t)sprintf(
            many + used, "%s%s", i > 0 ? "," : "", RULE("\"ServiceName\":\"*\"," ANY ALL));
    sprintf(many + used, "]}");
    CHECK(told(many) && rules.count == XRAY_RULES_MAX, "no more than there is room for");
    free(many);
}

int main(void)
{
    test_rules();
    test_sameness();
    test_bad();
    test_bounds();
    return tap_done();
}
