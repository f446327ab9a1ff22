/* SPDX-License-Identifier: Apache-2.0 */
/* Strategies as Jaeger tells them. */
#include "probability.h"
#include "strategy.h"
#include "tap.h"

#include <stdlib.h>
#include <string.h>

static struct strategy strategy;

/* In memory of its exact size, for the sanitizers. */
static bool parse(const char *text, size_t length)
{
    char *copy = malloc(length + 1);
    memcpy(copy, text, length);
    copy = realloc(copy, length > 0 ? length : 1);
    bool is_one = strategy_parse((struct slice){copy, length}, &strategy);
    free(copy);
    return is_one;
}

static bool told(const char *text)
{
    return parse(text, strlen(text));
}

#define HALF (UINT64_C(1) << 55)

static void test_kinds(void)
{
    CHECK(told("{\"strategyType\":\"PROBABILISTIC\",\"probabilisticSampling\":{\"samplingRate\":0."
               "5}}") &&
              !strategy.is_limited && strategy.threshold == HALF && strategy.cost_ns == 0,
        "a probability");
    CHECK(told("{\"strategyType\":0,\"probabilisticSampling\":{\"samplingRate\":5e-1},"
               "\"rateLimitingSampling\":null,\"operationSampling\":null}\n") &&
              strategy.threshold == HALF,
        "the kind as a number, the others as null, an exponent");
    CHECK(told("{\"probabilisticSampling\":{}}") && strategy.threshold == PROBABILITY_NEVER,
        "a rate that is not told is 0");
    CHECK(told("{\"probabilisticSampling\":{\"samplingRate\":7}}") && strategy.threshold == 0,
        "more than all is all");
    CHECK(told("{\"rateLimitingSampling\":{\"maxTracesPerSecond\":5},\"probabilisticSampling\":"
               "{\"samplingRate\":1}}") &&
              strategy.is_limited && strategy.cost_ns / 1000 == 200000,
        "a limit counts before a probability");
    CHECK(told("{\"rateLimitingSampling\":{\"maxTracesPerSecond\":0}}") && strategy.is_limited &&
              strategy.cost_ns == 0,
        "a limit of nothing");
    CHECK(told("{\"rateLimitingSampling\":{\"maxTracesPerSecond\":1e-30}}") && strategy.cost_ns > 0,
        "or nearly nothing");
}

static const char operations[] =
    " { \"strategyType\" : 0 , \"probabilisticSampling\" : {\"samplingRate\":1}, "
    "\"operationSampling\":{\"defaultSamplingProbability\":0.5,"
    "\"defaultLowerBoundTracesPerSecond\":0.1,\"defaultUpperBoundTracesPerSecond\":1e+2,"
    "\"perOperationStrategies\":[{\"operation\":\"GET\",\"probabilisticSampling\":{"
    "\"samplingRate\":"
    "0.25}}, {\"more\":[1,{\"a\":[true,\"]}\\\"\"]}],\"operation\":\"a \\\"b\\\"\"} ] } } ";

static void test_operations(void)
{
    CHECK(told(operations) && !strategy.is_limited && strategy.threshold == HALF, "a default");
    CHECK(
        strategy.cost_ns / 1000 == 10000000, "a lower bound: %lu", (unsigned long)strategy.cost_ns);
    CHECK(strategy.operation_count == 2 && strategy.operations[0].length == 3 &&
              memcmp(strategy.operations[0].name, "GET", 3) == 0 &&
              strategy.operations[0].threshold == UINT64_C(0xc) << 52,
        "operations with their own");
    CHECK(strategy.operations[1].threshold == PROBABILITY_NEVER, "a rate that is not told");
    char many[64 * 1024] = "{\"operationSampling\":{\"perOperationStrategies\":[";
    for (int i = 0; i < STRATEGY_OPERATIONS_MAX + 10; i++)
        sprintf(many + strlen(many), "%s{\"operation\":\"op%d\"}", i > 0 ? "," : "", i);
    strcat(many, "]}}");
    CHECK(
        told(many) && strategy.operation_count == STRATEGY_OPERATIONS_MAX, "not too many of them");
    CHECK(told("{\"operationSampling\":{\"perOperationStrategies\":[]}}"), "or none at all");
}

static void test_bad(void)
{
    static const char *const bad[] = {"", "nonsense", "[]", "{}", "{\"strategyType\":0}",
        "{\"probabilisticSampling\":{\"samplingRate\":\"x\"}}",
        "{\"probabilisticSampling\":{\"samplingRate\":0.5}} x",
        "{\"probabilisticSampling\":{\"samplingRate\":0.5}", "{\"probabilisticSampling\":3}",
        "{\"a\":[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]],\"probabilisticSampling\":{}}",
        "{\"a\" 1,\"probabilisticSampling\":{}}", "{,\"probabilisticSampling\":{}}"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        CHECK(!told(bad[i]), "no strategy: %s", bad[i]);
    char beyond[1024] = "{\"rateLimitingSampling\":{\"maxTracesPerSecond\":";
    char *end = beyond + strlen(beyond);
    memset(end, '9', 641); /* more digits before the point, and behind it, than a number holds */
    end[320] = '.';
    strcpy(end + 641, "}}");
    CHECK(!told(beyond), "no strategy: what is no number");
    size_t whole = strlen(operations), wrong = 0;
    while (operations[whole - 1] == ' ')
        whole--;
    for (size_t length = 0; length < whole; length++)
        wrong += parse(operations, length);
    CHECK(wrong == 0, "nor is one that was cut");
    char text[sizeof(operations)];
    srand(11);
    for (int i = 0; i < 20000; i++) { /* the sanitizers judge */
        memcpy(text, operations, sizeof(text));
        for (int change = 0; change < 3; change++)
            text[(size_t)rand() % (sizeof(text) - 1)] = "\"{}[],:\\0e\1"[rand() % 11];
        parse(text, sizeof(text) - 1);
    }
}

int main(void)
{
    test_kinds();
    test_operations();
    test_bad();
    return tap_done();
}
