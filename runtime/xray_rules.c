/* SPDX-License-Identifier: Apache-2.0 */
#include "xray_rules.h"

#include <string.h>

#include "json_read.h"
#include "probability.h"

/* --- reading --------------------------------------------------------------------------------- */

/* Of one rule, as it stands. */
struct told {
    struct slice name, service, type, resource, host, method, path;
    double rate, priority, reservoir;
    bool has_attributes, is_there;
};

static struct slice *text_in(struct told *told, struct slice name)
{
    static const struct {
        const char *name;
        size_t offset;
    } texts[] = {{"RuleName", offsetof(struct told, name)},
        {"ServiceName", offsetof(struct told, service)},
        {"ServiceType", offsetof(struct told, type)},
        {"ResourceARN", offsetof(struct told, resource)}, {"Host", offsetof(struct told, host)},
        {"HTTPMethod", offsetof(struct told, method)}, {"URLPath", offsetof(struct told, path)}};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        if (slice_is(name, texts[i].name))
            return (struct slice *)((char *)told + texts[i].offset);
    return NULL;
}

static bool has_members(struct json *json)
{
    struct slice name;
    bool found = false;
    if (json_peek(json) != '{') {
        json_pass(json, JSON_DEPTH_MAX); /* null */
        return false;
    }
    for (bool begins = true; json_member(json, begins, &name); begins = false) {
        found = true;
        json_pass(json, JSON_DEPTH_MAX);
    }
    return found;
}

static void read_rule(struct json *json, struct told *told)
{
    struct slice name;
    told->is_there = true;
    for (bool begins = true; json_member(json, begins, &name); begins = false) {
        struct slice *text = text_in(told, name);
        if (text != NULL)
            *text = json_string(json);
        else if (slice_is(name, "Attributes"))
            told->has_attributes = has_members(json);
        else if (slice_is(name, "FixedRate"))
            told->rate = json_number(json);
        else if (slice_is(name, "Priority"))
            told->priority = json_number(json);
        else if (slice_is(name, "ReservoirSize"))
            told->reservoir = json_number(json);
        else
            json_pass(json, JSON_DEPTH_MAX);
    }
}

static void read_record(struct json *json, struct told *told)
{
    struct slice name;
    for (bool begins = true; json_member(json, begins, &name); begins = false)
        if (slice_is(name, "SamplingRule"))
            read_rule(json, told);
        else
            json_pass(json, JSON_DEPTH_MAX);
}

static double within(double value, double least, double most)
{
    return value < least ? least : value > most ? most : value;
}

static void put_pattern(struct xray_rule *rule, uint8_t *length, struct slice pattern)
{
    memcpy(rule->texts + rule->host + rule->method + rule->path, pattern.data, pattern.length);
    *length = (uint8_t)pattern.length;
}

/* Behind those of the same priority that were told before it. */
static void add(struct xray_rules *rules, const struct told *told, struct slice service_name)
{
    const struct slice unknown = {"", 0};
    bool is_ours = told->is_there && slice_matches_loosely(service_name, told->service) &&
                   slice_matches_loosely(unknown, told->type) &&
                   slice_matches_loosely(unknown, told->resource) && !told->has_attributes;
    if (!is_ours || told->host.length + told->method.length + told->path.length > XRAY_TEXTS_MAX ||
        rules->count == XRAY_RULES_MAX)
        return;
    struct xray_rule rule = {.threshold = probability_threshold(within(told->rate, 0, 1)),
        .priority = (int32_t)within(told->priority, 0, INT32_MAX),
        .has_reservoir = told->reservoir > 0};
    rule.use.threshold = rule.threshold;
    if (told->name.length <= XRAY_NAME_MAX) {
        rule.name_length = (uint8_t)told->name.length;
        memcpy(rule.name, told->name.data, told->name.length);
    }
    put_pattern(&rule, &rule.host, told->host);
    put_pattern(&rule, &rule.method, told->method);
    put_pattern(&rule, &rule.path, told->path);
    uint32_t at = rules->count++;
    for (; at > 0 && rules->rules[at - 1].priority > rule.priority; at--)
        rules->rules[at] = rules->rules[at - 1];
    rules->rules[at] = rule;
}

bool xray_rules_parse(struct slice text, struct slice service_name, struct xray_rules *rules)
{
    struct json json = {text.data, text.data + text.length, false};
    struct slice name;
    bool found = false;
    memset(rules, 0, sizeof(*rules));
    for (bool begins = true; json_member(&json, begins, &name); begins = false) {
        if (!slice_is(name, "SamplingRuleRecords")) {
            json_pass(&json, JSON_DEPTH_MAX);
            continue;
        }
        found = true;
        for (bool first = true; json_element(&json, first); first = false) {
            struct told told = {
                .name = {"", 0}, .host = {"", 0}, .method = {"", 0}, .path = {"", 0}};
            read_record(&json, &told);
            if (!json.is_bad)
                add(rules, &told, service_name);
        }
    }
    return found && json_is_over(&json);
}

/* --- what they say ---------------------------------------------------------------------------- */

struct xray_rule *xray_rule_of(
    struct xray_rules *rules, struct slice host, struct slice method, struct slice path)
{
    for (uint32_t i = 0; i < rules->count && i < XRAY_RULES_MAX; i++) {
        struct xray_rule *rule = &rules->rules[i];
        size_t behind_host = rule->host, behind_method = behind_host + rule->method;
        struct slice patterns[] = {{rule->texts, rule->host},
            {rule->texts + behind_host, rule->method}, {rule->texts + behind_method, rule->path}};
        if (behind_method + patterns[2].length <= XRAY_TEXTS_MAX &&
            slice_matches_loosely(host, patterns[0]) &&
            slice_matches_loosely(method, patterns[1]) && slice_matches_loosely(path, patterns[2]))
            return rule;
    }
    return NULL;
}

static bool is_same(const struct xray_rule *a, const struct xray_rule *b)
{
    return a->threshold == b->threshold && a->has_reservoir == b->has_reservoir &&
           a->priority == b->priority && a->host == b->host && a->method == b->method &&
           a->path == b->path && a->name_length == b->name_length &&
           memcmp(a->name, b->name, sizeof(a->name)) == 0 &&
           memcmp(a->texts, b->texts, sizeof(a->texts)) == 0;
}

bool xray_rules_are_same(const struct xray_rules *one, const struct xray_rules *other)
{
    bool are_same = one->count == other->count;
    for (uint32_t i = 0; are_same && i < one->count; i++)
        are_same = is_same(&one->rules[i], &other->rules[i]);
    return are_same;
}

void xray_rules_inherit(struct xray_rules *rules, struct xray_rules *before)
{
    for (uint32_t i = 0; i < rules->count; i++)
        for (uint32_t j = 0; j < before->count; j++)
            if (is_same(&rules->rules[i], &before->rules[j])) {
                rules->rules[i].use = before->rules[j].use;
                break;
            }
}
