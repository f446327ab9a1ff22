/* SPDX-License-Identifier: Apache-2.0 */
/* Thresholds of ratios, and what a tracestate says of them. */
#include "probability.h"
#include "propagation.h"
#include "tap.h"

#include <string.h>

static const char *told(uint64_t threshold)
{
    static char text[PROBABILITY_TEXT_MAX + 1];
    text[probability_put(text, threshold)] = '\0';
    return text + strlen("ot=th:");
}

/* The first rows are examples of the specification. */
static void check_thresholds(void)
{
    static const struct {
        double ratio;
        const char *digits;
    } rows[] = {{.5, "8"}, {.25, "c"}, {.1, "e666"}, {.01, "fd70a"}, {.99, "028f"}, {.75, "4"},
        {1.0 / 3, "aaab"}, {.001, "ffbe77"}, {1e-6, "ffffef39"}, {0x1p-56, "ffffffffffffff"},
        {0x1p-30, "fffffffc"}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint64_t threshold = probability_threshold(rows[i].ratio);
        CHECK(strcmp(told(threshold), rows[i].digits) == 0, "ratio %g is told as %s: %s",
            rows[i].ratio, rows[i].digits, told(threshold));
        char list[64] = "ot=th:";
        strcat(list, rows[i].digits);
        struct probability said = probability_read(list, strlen(list));
        CHECK(said.has_threshold && said.threshold == threshold,
            "and read back as the very threshold that decides");
    }
    CHECK(probability_threshold(1) == 0, "all: nothing is rejected");
    CHECK(probability_threshold(0) == PROBABILITY_NEVER, "none: no trace reaches the threshold");
}

static void check_random(void)
{
    uint8_t id[16] = {9, 9, 9, 9, 9, 9, 9, 9, 9, 0x12, 0x34, 0x56, 0x78, 0x90, 0xab, 0xcd};
    CHECK(probability_random(id) == UINT64_C(0x1234567890abcd), "the last seven bytes decide");
}

static void check_reading(void)
{
    static const struct {
        const char *text;
        bool threshold, random, is_told;
    } rows[] = {{"ot=th:8", true, false, true},
        {"a=1, ot=rv:1234567890abcd;th:0", true, true, true},
        {"ot=rv:1234567890abcd", false, true, false}, {"ot=th:", false, false, true},
        {"ot=th:G", false, false, true}, {"ot=th:A", false, false, true},
        {"ot=th:123456789012345", false, false, true}, {"ot=rv:1234567890abc", false, false, false},
        {"ot=rv:1234567890abcde", false, false, false}, {"rot=th:8", false, false, false},
        {"a=ot", false, false, false}, {"ot=p:8;x:th", false, false, false},
        {"", false, false, false}, {",,", false, false, false}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct probability said = probability_read(rows[i].text, strlen(rows[i].text));
        CHECK(said.has_threshold == rows[i].threshold && said.has_random == rows[i].random &&
                  said.is_told == rows[i].is_told,
            "\"%s\": th %d, rv %d", rows[i].text, rows[i].threshold, rows[i].random);
    }
}

/* In memory of exactly the promised size, for the sanitizers. */
static void check_write(const char *text, uint64_t threshold, const char *wanted)
{
    size_t length = strlen(text), room = length + PROBABILITY_GROWTH_MAX;
    char *list = __builtin_alloca(room);
    memcpy(list, text, length);
    length = probability_write(list, length, threshold);
    CHECK(length == strlen(wanted) && memcmp(list, wanted, length) == 0,
        "\"%.60s\" becomes \"%.60s\": \"%.*s\"", text, wanted, (int)(length < 90 ? length : 90),
        list);
}

static void check_writing(void)
{
    const uint64_t half = UINT64_C(1) << 55;
    check_write("", half, "ot=th:8");
    check_write("", 0, "");
    check_write("ot=th:c", 0, "");
    check_write("a=1,b=2", half, "ot=th:8,a=1,b=2");
    check_write("a=1,ot=th:c,b=2", half, "ot=th:8,a=1,b=2");
    check_write("a=1,ot=th:c", 0, "a=1");
    check_write("ot=th:c,a=1", 0, "a=1");
    check_write(
        "a=1,ot=p:1;th:c;rv:1234567890abcd,b=2", half, "ot=th:8;p:1;rv:1234567890abcd,a=1,b=2");
    check_write("a=1,ot=rv:1234567890abcd;th:c", 0, "ot=rv:1234567890abcd,a=1");
    check_write("ot=th:c,a=1,ot=th:4", half, "ot=th:8,a=1");
    check_write("a=1", PROBABILITY_NEVER - 1, "ot=th:ffffffffffffff,a=1");
}

static void check_limits(void)
{
    char list[1024] = "", wanted[1024] = "ot=th:8";
    for (int i = 0; i < TRACESTATE_MEMBERS_MAX; i++) {
        snprintf(list + strlen(list), 16, "%sk%d=1", i ? "," : "", i);
        if (i < TRACESTATE_MEMBERS_MAX - 1)
            snprintf(wanted + strlen(wanted), 16, ",k%d=1", i);
    }
    check_write(list, UINT64_C(1) << 55, wanted); /* the last of 32 makes room */
    char longest[3 + 256 + 1] = "ot=x:";
    memset(longest + 5, 'y', 254);
    check_write(longest, UINT64_C(1) << 55, longest); /* its value is as long as permitted */
}

int main(void)
{
    check_thresholds();
    check_random();
    check_reading();
    check_writing();
    check_limits();
    return tap_done();
}
