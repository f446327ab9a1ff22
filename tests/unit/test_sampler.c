/* SPDX-License-Identifier: Apache-2.0 */
/* Which traces are kept, by the variables that say so. */
#include "config.h"
#include "probability.h"
#include "propagation.h"
#include "sampler.h"
#include "tap.h"

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

int main(void)
{
    test_plain();
    test_ratio();
    test_off();
    return tap_done();
}
