/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How rules of X-Ray were used is told, and quotas come back (X-Ray API 2016-04-12,
 * GetSamplingTargets). The exporter's thread; host threads go on counting meanwhile. Pure.
 *
 * A rule that was used since is told about when its interval is over, with the requests that it
 * fitted, those that it kept, and apart from them those that it kept on loan. What is told back is
 * for this process: how many a second it may keep, until when, and at what rate the rest. What
 * others say is held within what it can be: at most a million a second, an hour, and an interval of
 * one second to an hour.
 */
#pragma once

#include "xray_rules.h"

enum { XRAY_BATCH_MAX = 25, XRAY_CLIENT_BYTES = 24, XRAY_INTERVAL_S = 10 };

struct xray_now {
    uint64_t monotonic_ns, unix_s;
};

/* What one request tells. */
struct xray_statistics {
    uint32_t count;
    struct xray_report {
        uint32_t rule, matched, sampled, borrowed;
    } reports[XRAY_BATCH_MAX];
};

/* Takes the counts of rules that are due, and writes them as JSON, terminated. False: none is due,
 * or there is no room. They are due again after their interval in any case. */
bool xray_statistics_take(struct xray_rules *rules, const char client[XRAY_CLIENT_BYTES],
    struct xray_now now, struct xray_statistics *taken, char *out, size_t room);

/* It could not be told: it goes with the next. */
void xray_statistics_return(struct xray_rules *rules, const struct xray_statistics *taken);

/* False: no JSON, or nothing that was asked for; nothing is changed then. *modified_s: when
 * somebody last changed the rules, or UINT64_MAX: they are to be asked for in any case; 0: it says
 * nothing. */
bool xray_targets_take(
    struct xray_rules *rules, struct slice json, struct xray_now now, uint64_t *modified_s);
