/* SPDX-License-Identifier: Apache-2.0 */
/* Which traces are kept, by the variables that say so. */
#include "config.h"
#include "counters.h"
#include "probability.h"
#include "propagation.h"
#include "sampler.h"
#include "tap.h"
#include "trust.h"

#include <arpa/inet.h>
#include <string.h>

static char *arguments[] = {"/usr/bin/shop", NULL};

#define READ(...) config_read(&config, (char *[]){__VA_ARGS__, NULL}, arguments, "/usr/bin/shop")

/* Of a trace whose random bits begin with this byte. */
static struct sampler_answer ask_as(uint8_t random, int parent_flags, const char *tracestate,
    const char *method, const char *target)
{
    uint8_t trace_id[16] = {[9] = random};
    struct sampler_question question = {trace_id, parent_flags, {tracestate, strlen(tracestate)},
        *method != '\0', {method, strlen(method)}, {target, strlen(target)}};
    return sampler_decide(&question);
}

static struct sampler_answer ask(uint8_t random, int parent_flags, const char *tracestate)
{
    return ask_as(random, parent_flags, tracestate, "", "");
}

static bool is(struct sampler_answer answer, bool is_sampled, bool is_ours, uint64_t threshold)
{
    return answer.is_sampled == is_sampled && answer.is_ours == is_ours &&
           answer.threshold == threshold;
}

static void test_plain(void)
{
    READ("PATH=/bin");
    CHECK(config.samples_plainly, "by default the sampler need not be asked");
    CHECK(is(ask(0, -1, ""), true, true, 0), "and would say the same: what begins here is kept");
    CHECK(is(ask(0xff, 0, ""), false, false, 0) && is(ask(0, 1, ""), true, false, 0),
        "a caller's word counts");
    READ("OTEL_TRACES_SAMPLER=parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG=1");
    CHECK(config.samples_plainly, "a ratio of 1 is the same");
    static char *const others[] = {"always_on", "always_off", "parentbased_always_off"};
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        char text[64] = "OTEL_TRACES_SAMPLER=";
        READ(strcat(text, others[i]));
        CHECK(!config.samples_plainly, "%s is not the plain case", others[i]);
    }
}

static void test_ratio(void)
{
    const uint64_t quarter = UINT64_C(0xc) << 52;
    READ("OTEL_TRACES_SAMPLER=parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG=0.25");
    CHECK(is(ask(0xc0, -1, ""), true, true, quarter), "at the threshold: kept, and told by which");
    CHECK(is(ask(0xbf, -1, ""), false, true, 0), "below it: not kept, nothing to tell");
    CHECK(is(ask(0, FLAG_SAMPLED, ""), true, false, 0),
        "the caller's word counts, and its threshold");
    READ("OTEL_TRACES_SAMPLER=traceidratio", "OTEL_TRACES_SAMPLER_ARG=0.25");
    CHECK(is(ask(0, FLAG_SAMPLED, ""), false, true, 0), "not parent-based: it does not");
    CHECK(is(ask(0, FLAG_SAMPLED, "ot=rv:c0000000000000"), true, true, quarter),
        "the explicit random value decides, not the trace id");
    CHECK(is(ask(0xff, 0, "ot=rv:bfffffffffffff"), false, true, 0), "also to reject");
    CHECK(is(ask(0xff, 0, "ot=rv:bff"), true, true, quarter), "unless it is none");
}

static void test_off(void)
{
    READ("OTEL_TRACES_SAMPLER=always_off");
    CHECK(is(ask(0xff, FLAG_SAMPLED, "ot=rv:ffffffffffffff"), false, true, 0),
        "always_off: never, whatever the random bits are");
}

/* Does a request that came in without a parent fit the rule? */
static bool drops(const char *method, const char *target)
{
    return !ask_as(0xff, -1, "", method, target).is_sampled;
}

static void test_rules(void)
{
    READ("BURDOCK_SAMPLER_RULES= off path=/health|/ready* ;off method=OPTIONS;;off path=/b "
         "method=P*T");
    CHECK(config.rule_count == 3 && config.problem_count == 0 && !config.samples_plainly,
        "three rules, an empty one is none");
    CHECK(drops("GET", "/health") && drops("GET", "/health?a=/b") && drops("GET", "/readyz") &&
              drops("GET", "/ready/now#x") && drops("GET", "http://host:80/health?x"),
        "a path fits without its query, and without scheme and host");
    CHECK(!drops("GET", "/healthz") && !drops("GET", "/a/health") && !drops("GET", "/") &&
              !drops("GET", "http://host/"),
        "and is to fit as a whole");
    CHECK(drops("OPTIONS", "*") && !drops("options", "*"), "a method alone fits all paths");
    CHECK(drops("PUT", "/b") && drops("POST", "/b") && !drops("GET", "/b") && !drops("PUT", "/c"),
        "path and method are to fit both");
    CHECK(ask(0, -1, "").is_sampled, "a call has no path");
    CHECK(is(ask_as(0, FLAG_SAMPLED, "", "GET", "/health"), false, true, 0),
        "off counts whatever the caller says");
    CHECK(is(ask_as(0, FLAG_SAMPLED, "", "GET", "/else"), true, false, 0),
        "where no rule fits it does");
}

static void test_rule_kinds(void)
{
    READ("OTEL_TRACES_SAMPLER=parentbased_always_off",
        "BURDOCK_SAMPLER_RULES=on path=/pay;0.5 path=/p*;off");
    CHECK(is(ask_as(0, 0, "", "GET", "/pay"), true, true, 0), "on counts whatever the caller says");
    CHECK(is(ask_as(0x80, -1, "", "GET", "/p"), true, true, UINT64_C(1) << 55) &&
              is(ask_as(0x7f, -1, "", "GET", "/p"), false, true, 0),
        "a ratio is for traces that begin here");
    CHECK(is(ask_as(0, FLAG_SAMPLED, "", "GET", "/p"), true, false, 0),
        "of others the caller has decided");
    CHECK(is(ask(0xff, FLAG_SAMPLED, ""), false, true, 0),
        "a rule without conditions is for calls, too");
    READ("BURDOCK_SAMPLER_RULES=off exe=cron*;off exe=/opt/*/shop;0.5 exe=a|s*p path=/x");
    CHECK(config.rule_count == 1 && config.problem_count == 0 && config.rules[0].is_ratio,
        "rules for other programs are dropped at once");
    READ("BURDOCK_SAMPLER_RULES=off exe=/usr/*");
    CHECK(config.rule_count == 1 && !ask(0, -1, "").is_sampled, "the path of a program");
}

static void test_bad_rules(void)
{
    static const char *const bad[] = {"of path=/a", "off path", "off path=", "off =/a",
        "off host=a", "off path=a", "off path=/a|b", "2 path=/a", "path=/a off", "-0.5"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char text[96];
        snprintf(text, sizeof(text), "BURDOCK_SAMPLER_RULES=%s;off path=/ok", bad[i]);
        READ(text);
        CHECK(config.problem_count == 1 && config.rule_count == 1 && drops("GET", "/ok"),
            "\"%s\" is a problem, and takes no other rule with it", bad[i]);
    }
    char many[512] = "BURDOCK_SAMPLER_RULES=";
    for (int i = 0; i <= CONFIG_RULES_MAX; i++)
        strcat(many, "off path=/a;");
    READ(many);
    CHECK(config.problem_count == 1 && config.rule_count == CONFIG_RULES_MAX, "one rule too many");
}

static bool begins_at(uint64_t now_ns)
{
    uint8_t trace_id[16] = {1};
    struct sampler_question question = {.trace_id = trace_id, .parent_flags = -1, .now_ns = now_ns};
    return sampler_decide(&question).is_sampled;
}

static void test_limit(void)
{
    const uint64_t second = 1000000000;
    unsigned at_once = 0, later = 0;
    READ("BURDOCK_SPANS_PER_SECOND=10");
    CHECK(!config.samples_plainly && config.problem_count == 0, "a limit is not the plain case");
    for (int i = 0; i < 100; i++)
        at_once += begins_at(5 * second);
    CHECK(at_once == 10, "a second's worth is saved up: %u", at_once);
    CHECK(__atomic_load_n(&counters[COUNTER_SAMPLER_LIMITED], __ATOMIC_RELAXED) == 90,
        "the others are counted");
    for (uint64_t i = 0; i < 1000; i++)
        later += begins_at(5 * second + i * second / 100);
    CHECK(later >= 98 && later <= 100, "then ten a second: %u in ten seconds", later);
    for (int i = 0; i < 30; i++)
        sampler_charge(20 * second);
    CHECK(!begins_at(20 * second) && !begins_at(22 * second) && begins_at(22 * second + second / 5),
        "spans of traces that are kept already are paid for later");
    for (int i = 0; i < 1000; i++)
        sampler_charge(30 * second);
    CHECK(begins_at(41 * second), "but no longer than ten seconds");
    READ("BURDOCK_SPANS_PER_SECOND=10", "OTEL_TRACES_SAMPLER=traceidratio",
        "OTEL_TRACES_SAMPLER_ARG=0.25");
    struct sampler_answer answer = ask(0xff, -1, "");
    CHECK(answer.threshold == 0, "no threshold is told where it does not decide alone");
    READ("BURDOCK_SPANS_PER_SECOND=0");
    CHECK(config.problem_count == 1 && config.samples_plainly, "0 is no limit, but a problem");
}

static struct address address_of(int family, const char *text)
{
    struct address address = {.family = (uint8_t)family};
    if (family == AF_INET || family == AF_INET6)
        inet_pton(family, text, address.ip);
    return address;
}

static void test_trust(void)
{
    static const struct {
        int family;
        const char *text;
        bool is_private;
    } rows[] = {{AF_INET, "10.0.0.1", true}, {AF_INET, "127.0.0.1", true},
        {AF_INET, "11.0.0.1", false}, {AF_INET, "172.16.0.1", true},
        {AF_INET, "172.31.255.255", true}, {AF_INET, "172.32.0.1", false},
        {AF_INET, "172.15.0.1", false}, {AF_INET, "192.168.1.1", true},
        {AF_INET, "192.169.1.1", false}, {AF_INET, "169.254.1.1", true},
        {AF_INET, "100.64.0.1", false}, {AF_INET, "0.0.0.0", false}, {AF_INET6, "::1", true},
        {AF_INET6, "fd00::1", true}, {AF_INET6, "fc00::1", true}, {AF_INET6, "fe80::1", true},
        {AF_INET6, "2001:db8::1", false}, {AF_INET6, "::", false}, {AF_INET6, "fec0::1", false},
        {AF_INET6, "::ffff:10.1.1.1", true}, {AF_INET6, "::ffff:8.8.8.8", false},
        {AF_INET6, "a00::1", false}, {AF_UNIX, "", true}, {AF_UNSPEC, "", false}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct address address = address_of(rows[i].family, rows[i].text);
        READ("BURDOCK_TRUST=private");
        bool is_believed = trust_believes(&address);
        READ("BURDOCK_TRUST=none");
        CHECK(is_believed == rows[i].is_private && !trust_believes(&address), "%d %s: private %d",
            rows[i].family, rows[i].text, rows[i].is_private);
    }
    READ("BURDOCK_TRUST=some");
    CHECK(
        config.trust == TRUST_NONE && config.problem_count == 1, "what is not understood is none");
    READ("OTEL_PROPAGATORS=b3", "BURDOCK_TRUST=all");
    CHECK(!config.w3c_of_all && config.problem_count == 0, "all, in whichever format");
}

int main(void)
{
    test_plain();
    test_ratio();
    test_off();
    test_rules();
    test_rule_kinds();
    test_bad_rules();
    test_limit();
    test_trust();
    return tap_done();
}
