/* SPDX-License-Identifier: Apache-2.0 */
#include "strategy.h"

#include <string.h>

#include "json_read.h"
#include "probability.h"

static bool is(struct slice name, const char *wanted)
{
    return name.length == strlen(wanted) && memcmp(name.data, wanted, name.length) == 0;
}

static double clamp(double ratio)
{
    return ratio < 0 ? 0 : ratio > 1 ? 1 : ratio;
}

/* The one number of an object that has this name; 0 if it is not told, as proto3 has it. */
static double number_in(struct json *json, const char *wanted)
{
    struct slice name;
    double found = 0;
    for (bool is_first = true; json_member(json, is_first, &name); is_first = false)
        if (is(name, wanted))
            found = json_number(json);
        else
            json_pass(json, JSON_DEPTH_MAX);
    return found;
}

static uint64_t cost_of(double per_second)
{
    const double nanoseconds = 1e9, day = 86400;
    if (per_second <= 0)
        return 0;
    return per_second < 1 / day ? (uint64_t)(nanoseconds * day)
                                : (uint64_t)(nanoseconds / per_second) + 1;
}

static void read_operation(struct json *json, struct strategy *strategy)
{
    struct strategy_operation operation = {.threshold = PROBABILITY_NEVER};
    struct slice name, title = {"", 0};
    for (bool is_first = true; json_member(json, is_first, &name); is_first = false)
        if (is(name, "operation"))
            title = json_string(json);
        else if (is(name, "probabilisticSampling"))
            operation.threshold = probability_threshold(clamp(number_in(json, "samplingRate")));
        else
            json_pass(json, JSON_DEPTH_MAX);
    if (title.length == 0 || title.length > sizeof(operation.name) ||
        strategy->operation_count == STRATEGY_OPERATIONS_MAX)
        return;
    operation.length = (uint8_t)title.length;
    memcpy(operation.name, title.data, title.length);
    strategy->operations[strategy->operation_count++] = operation;
}

static void read_operations(struct json *json, struct strategy *strategy)
{
    struct slice name;
    strategy->is_limited = false;
    strategy->threshold = PROBABILITY_NEVER;
    strategy->cost_ns = 0;
    for (bool is_first = true; json_member(json, is_first, &name); is_first = false) {
        if (is(name, "defaultSamplingProbability"))
            strategy->threshold = probability_threshold(clamp(json_number(json)));
        else if (is(name, "defaultLowerBoundTracesPerSecond"))
            strategy->cost_ns = cost_of(json_number(json));
        else if (!is(name, "perOperationStrategies"))
            json_pass(json, JSON_DEPTH_MAX);
        else {
            for (bool begins = true; json_element(json, begins); begins = false)
                read_operation(json, strategy);
        }
    }
}

/* Of what is there the first counts: operations, a limit, a probability. `null` is not there. */
static void read_strategy(struct json *json, struct strategy *strategy, unsigned *found)
{
    struct slice name;
    for (bool is_first = true; json_member(json, is_first, &name); is_first = false) {
        bool is_there = json_peek(json) == '{';
        if (is_there && is(name, "operationSampling")) {
            read_operations(json, strategy);
            *found = 3;
        } else if (is_there && is(name, "rateLimitingSampling") && *found < 2) {
            strategy->is_limited = true;
            strategy->cost_ns = cost_of(number_in(json, "maxTracesPerSecond"));
            *found = 2;
        } else if (is_there && is(name, "probabilisticSampling") && *found < 1) {
            strategy->threshold = probability_threshold(clamp(number_in(json, "samplingRate")));
            *found = 1;
        } else
            json_pass(json, JSON_DEPTH_MAX);
    }
}

bool strategy_parse(struct slice text, struct strategy *strategy)
{
    struct json json = {text.data, text.data + text.length, false};
    unsigned found = 0;
    memset(strategy, 0, sizeof(*strategy));
    read_strategy(&json, strategy, &found);
    return found > 0 && json_is_over(&json);
}
