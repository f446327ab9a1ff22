/* SPDX-License-Identifier: Apache-2.0 */
#include "strategy.h"

#include <string.h>

#include "probability.h"

enum { DEPTH_MAX = 16 };

/* --- JSON (RFC 8259), as much of it as is needed -------------------------------------------- */

struct json {
    const char *at, *end;
    bool is_bad; /* from then on nothing is read */
};

static char peek(struct json *json)
{
    while (json->at < json->end && strchr(" \t\r\n", *json->at) != NULL && *json->at != '\0')
        json->at++;
    return json->is_bad || json->at == json->end ? '\0' : *json->at;
}

static bool take(struct json *json, char wanted)
{
    bool is_there = peek(json) == wanted && wanted != '\0';
    json->at += is_there;
    return is_there;
}

static void expect(struct json *json, char wanted)
{
    if (!take(json, wanted))
        json->is_bad = true;
}

/* The text between the quotes, escapes as they stand. */
static struct slice text(struct json *json)
{
    expect(json, '"');
    const char *start = json->at;
    while (!json->is_bad && json->at < json->end && *json->at != '"')
        json->at += *json->at == '\\' && json->end - json->at > 1 ? 2 : 1;
    struct slice found = {start, (size_t)(json->at - start)};
    expect(json, '"');
    return json->is_bad ? (struct slice){"", 0} : found;
}

/* Its own reading: strtod depends on the host's locale. */
static double number(struct json *json)
{
    double value = 0, unit = 1;
    bool is_negative = take(json, '-'), has_digits = false;
    int exponent = 0, digit;
    for (bool is_behind = false; json->at < json->end; json->at++) {
        if (*json->at == '.' && !is_behind) {
            is_behind = true;
            continue;
        }
        digit = *json->at - '0';
        if (digit < 0 || digit > 9)
            break;
        has_digits = true;
        value = value * 10 + digit;
        unit = is_behind ? unit * 10 : unit;
    }
    if (has_digits && json->at < json->end && (*json->at | 0x20) == 'e') {
        json->at++;
        bool is_small = take(json, '-');
        if (!is_small)
            take(json, '+');
        while (json->at < json->end && *json->at >= '0' && *json->at <= '9' && exponent < 100)
            exponent = exponent * 10 + (*json->at++ - '0');
        for (; exponent > 0; exponent--)
            *(is_small ? &unit : &value) *= 10;
    }
    json->is_bad |= !has_digits;
    return is_negative ? -value / unit : value / unit;
}

static bool is_word(char byte)
{
    return (byte >= '0' && byte <= '9') || (byte >= 'A' && byte <= 'Z') ||
           (byte >= 'a' && byte <= 'z') || byte == '+' || byte == '-' || byte == '.';
}

static void pass_value(struct json *json, unsigned depth)
{
    char first = peek(json), end = first == '{' ? '}' : ']';
    if (first == '"') {
        text(json);
        return;
    }
    if (first != '{' && first != '[') { /* a number, or a word */
        const char *start = json->at;
        while (json->at < json->end && is_word(*json->at))
            json->at++;
        json->is_bad |= json->at == start;
        return;
    }
    json->is_bad |= depth == 0;
    expect(json, first);
    if (take(json, end))
        return;
    do {
        if (first == '{') {
            text(json);
            expect(json, ':');
        }
        if (!json->is_bad)
            pass_value(json, depth - 1);
    } while (take(json, ','));
    expect(json, end);
}

/* for (the first; there is one; the next): the members of an object, of which the caller reads or
 * passes the values. */
static bool member(struct json *json, bool is_first, struct slice *name)
{
    if (is_first)
        expect(json, '{');
    if (take(json, '}') || json->is_bad)
        return false;
    if (!is_first)
        expect(json, ',');
    *name = text(json);
    expect(json, ':');
    return !json->is_bad;
}

/* --- the strategy ---------------------------------------------------------------------------- */

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
    for (bool is_first = true; member(json, is_first, &name); is_first = false)
        if (is(name, wanted))
            found = number(json);
        else
            pass_value(json, DEPTH_MAX);
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
    for (bool is_first = true; member(json, is_first, &name); is_first = false)
        if (is(name, "operation"))
            title = text(json);
        else if (is(name, "probabilisticSampling"))
            operation.threshold = probability_threshold(clamp(number_in(json, "samplingRate")));
        else
            pass_value(json, DEPTH_MAX);
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
    for (bool is_first = true; member(json, is_first, &name); is_first = false) {
        if (is(name, "defaultSamplingProbability"))
            strategy->threshold = probability_threshold(clamp(number(json)));
        else if (is(name, "defaultLowerBoundTracesPerSecond"))
            strategy->cost_ns = cost_of(number(json));
        else if (!is(name, "perOperationStrategies"))
            pass_value(json, DEPTH_MAX);
        else {
            expect(json, '[');
            bool is_over = take(json, ']');
            while (!is_over && !json->is_bad) {
                read_operation(json, strategy);
                is_over = !take(json, ',');
                if (is_over)
                    expect(json, ']');
            }
        }
    }
}

/* Of what is there the first counts: operations, a limit, a probability. `null` is not there. */
static void read_strategy(struct json *json, struct strategy *strategy, unsigned *found)
{
    struct slice name;
    for (bool is_first = true; member(json, is_first, &name); is_first = false) {
        bool is_there = peek(json) == '{';
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
            pass_value(json, DEPTH_MAX);
    }
}

bool strategy_parse(struct slice text, struct strategy *strategy)
{
    struct json json = {text.data, text.data + text.length, false};
    unsigned found = 0;
    memset(strategy, 0, sizeof(*strategy));
    read_strategy(&json, strategy, &found);
    return found > 0 && !json.is_bad && peek(&json) == '\0' && json.at == json.end;
}
