/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes what reads JSON of others: the members that resources are made of (json_find.c), Jaeger's
 * strategies (strategy.c), X-Ray's rules (xray_rules.c) and targets (xray_targets.c). The first
 * byte says which.
 *
 * What must hold whatever the bytes are:
 *   what is found lies in the text, and is found again in a copy that ends elsewhere
 *   characters fit where they are put, and are not more than stood there
 *   a strategy has thresholds that are some, names that fit, and is the same when read again
 *   rules have thresholds that are some, patterns that fit, an order, and are the same
 *   targets grant nothing for long, and what is none changes nothing
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json_find.h"
#include "probability.h"
#include "strategy.h"
#include "xray_targets.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length);

static void require(bool holds, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "does not hold: %s\n", what);
    abort();
}

static bool lies_in(struct slice part, struct slice whole)
{
    return part.length == 0 ||
           (part.data >= whole.data && part.data + part.length <= whole.data + whole.length);
}

static void check_characters(struct slice value)
{
    char out[64];
    for (size_t room = 0; room <= sizeof(out); room += 16) {
        memset(out, 0x5a, sizeof(out));
        size_t used = json_characters(value, out, room);
        require(used <= room && used <= value.length,
            "characters fit, and are no more than stood there");
        for (size_t i = room; i < sizeof(out); i++)
            require(out[i] == 0x5a, "nothing is written behind the room");
    }
}

static void fuzz_targets(struct slice json)
{
    static struct xray_rules rules;
    const struct xray_now now = {UINT64_C(1) << 40, 1700000000};
    uint64_t modified_s;
    memset(&rules, 0, sizeof(rules));
    rules.count = 2;
    for (uint32_t i = 0; i < rules.count; i++)
        rules.rules[i] = (struct xray_rule){.name = {'r', (char)('0' + i)}, .name_length = 2};
    struct xray_rules before = rules;
    if (!xray_targets_take(&rules, json, now, &modified_s)) {
        require(memcmp(&before, &rules, sizeof(rules)) == 0, "no answer changes nothing");
        return;
    }
    for (uint32_t i = 0; i < rules.count; i++) {
        const struct xray_use *use = &rules.rules[i].use;
        const uint64_t hour_ns = UINT64_C(3600000000000);
        require(use->threshold <= PROBABILITY_NEVER, "a target's threshold");
        require(use->quota_until_ns <= now.monotonic_ns + hour_ns &&
                    use->due_ns <= now.monotonic_ns + hour_ns,
            "nothing is granted for longer than an hour");
    }
}

/* Members of members, as far as they go. */
static void fuzz_find(struct slice json)
{
    static const char *const keys[] = {"a", "Labels", "", "TaskARN", "x.y"};
    for (int depth = 0; depth < 4 && json.length > 0; depth++) {
        struct slice next = {NULL, 0};
        for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
            struct slice value = json_find(json, keys[i]);
            require(lies_in(value, json), "a value lies in its object");
            require(value.length < json.length, "and is less than that");
            check_characters(value);
            next = value.length > 0 ? value : next;
        }
        json = next;
    }
    check_characters(json);
}

static void fuzz_strategy(struct slice json)
{
    static struct strategy first, second;
    if (!strategy_parse(json, &first))
        return;
    require(first.threshold <= PROBABILITY_NEVER, "a threshold");
    require(first.operation_count <= STRATEGY_OPERATIONS_MAX, "not too many operations");
    for (uint32_t i = 0; i < first.operation_count; i++)
        require(first.operations[i].threshold <= PROBABILITY_NEVER &&
                    first.operations[i].length > 0 &&
                    first.operations[i].length <= STRATEGY_NAME_MAX,
            "an operation");
    memset(&second, 0x5a, sizeof(second));
    require(strategy_parse(json, &second) && memcmp(&first, &second, sizeof(first)) == 0,
        "what was there before does not matter");
}

static void fuzz_rules(struct slice json)
{
    static struct xray_rules first, second;
    const struct slice name = {"shop", 4}, path = {"/a/b", 4};
    if (!xray_rules_parse(json, name, &first))
        return;
    require(first.count <= XRAY_RULES_MAX, "not too many rules");
    for (uint32_t i = 0; i < first.count; i++) {
        const struct xray_rule *rule = &first.rules[i];
        require(rule->threshold <= PROBABILITY_NEVER, "a rule's threshold");
        require(rule->host + rule->method + rule->path <= XRAY_TEXTS_MAX, "its patterns fit");
        require(i == 0 || first.rules[i - 1].priority <= rule->priority, "it is in its place");
    }
    const struct xray_rule *rule = xray_rule_of(&first, name, name, path);
    require(rule == NULL || rule < first.rules + first.count, "one of them");
    memset(&second, 0x5a, sizeof(second));
    require(xray_rules_parse(json, name, &second) && xray_rules_are_same(&first, &second),
        "what was there before does not matter to rules");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    if (length == 0)
        return 0;
    char *exact = malloc(length - 1); /* where ASan sees both ends */
    memcpy(exact, data + 1, length - 1);
    struct slice json = {exact, length - 1};
    if (data[0] & 1)
        fuzz_find(json);
    else if (data[0] & 4)
        fuzz_targets(json);
    else if (data[0] & 2)
        fuzz_rules(json);
    else
        fuzz_strategy(json);
    free(exact);
    return 0;
}
