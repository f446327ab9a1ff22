/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sampling rules as AWS X-Ray tells them, in JSON (X-Ray API 2016-04-12, GetSamplingRules). Pure.
 *
 * A rule names services, their types, resources, hosts, methods and paths by patterns with `*` and
 * `?`, in either case. What a process is does not change: rules for other services, and those that
 * ask for what is not known here (a type, a resource, attributes), are left out when they are read.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "text.h"

enum { XRAY_RULES_MAX = 128, XRAY_TEXTS_MAX = 200, XRAY_NAME_MAX = 32 };

/* How a rule is used: not part of what was told as a rule. Host threads count and take; the
 * exporter's thread sets the rest (xray_targets.h). Words by themselves, no lock. */
struct xray_use {
    uint64_t threshold;      /* FixedRate of now: of the last target, or as the rule has it */
    uint64_t spent_ns;       /* of the reservoir: limiter.h */
    uint64_t quota_cost_ns;  /* of one request of the quota; 0: it is none */
    uint64_t quota_until_ns; /* monotonic; before it the quota counts, then one a second is lent */
    uint64_t due_ns;         /* not to be told about before */
    uint32_t matched, sampled, borrowed; /* since they were told last */
};

struct xray_rule {
    uint64_t threshold; /* probability.h: FixedRate, of what the reservoir does not keep */
    struct xray_use use;
    int32_t priority; /* the least one counts */
    bool has_reservoir;
    uint8_t host, method, path; /* lengths of the patterns, which lie behind each other */
    uint8_t name_length;        /* 0: none by which it could be told about */
    char name[XRAY_NAME_MAX];   /* escapes as they stand */
    char texts[XRAY_TEXTS_MAX];
};

struct xray_rules {
    uint32_t count;
    struct xray_rule rules[XRAY_RULES_MAX]; /* in their order */
};

/* False: no JSON, or no rules; *rules is then of no use. Rules with longer patterns, or beyond the
 * number, are as if they were not told. */
bool xray_rules_parse(struct slice json, struct slice service_name, struct xray_rules *rules);

/* The first that is for such a request; NULL: none is. Of a call nothing is known: all empty. */
struct xray_rule *xray_rule_of(
    struct xray_rules *rules, struct slice host, struct slice method, struct slice path);

/* But for how they are used. */
bool xray_rules_are_same(const struct xray_rules *one, const struct xray_rules *other);

/* Rules that are told anew and have not changed go on as they were. */
void xray_rules_inherit(struct xray_rules *rules, struct xray_rules *before);
