/* SPDX-License-Identifier: Apache-2.0 */
/* The doctor on the relay: does it run, and does what it sends arrive? */
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#include "cli.h"
#include "endpoint.h"
#include "findings.h"
#include "relay.h"
#include "spool.h"

static void tell_absent(struct findings *findings, const struct config *settings)
{
    static struct spool spool;
    spool_open(&spool, settings, SIGNAL_TRACES);
    if (!spool.is_on)
        spool_open(&spool, settings, SIGNAL_LOGS);
    finding_add(findings, FINDING_WARN,
        format_text("no relay runs that would send by https or grpc with these settings: %" PRIu64
                    " bytes wait in the spool",
            spool_bytes(&spool)),
        relay_is_installed()
            ? "start the program with burdock run, or run burdock relay as its user"
            : "burdock was built without it: build it with libcurl's headers, or use an http:// "
              "collector");
    spool_close(&spool);
}

static void tell_signal(struct findings *findings, const char *name, const char *url,
    const struct relay_told *told, const struct relay_signal *signal)
{
    const char *why = NULL;
    if (signal->is_troubled) {
        finding_add(findings, FINDING_FAIL,
            format_text("relay (process %d): %s to %s: %s", told->pid, name, url, signal->trouble),
            "correct it; spans and logs wait in the spool meanwhile");
        return;
    }
    if (signal->accepted == 0)
        why = endpoint_unreachable(url);
    if (why)
        finding_add(findings, FINDING_FAIL,
            format_text("endpoint %s is not reachable: %s", url, why),
            "correct it, or start a collector there");
    else
        finding_add(findings, FINDING_OK,
            format_text("relay (process %d): %s to %s: %" PRIu64 " requests accepted, %" PRIu64
                        " to be sent again, %" PRIu64 " refused",
                told->pid, name, url, signal->accepted, signal->again, signal->refused),
            NULL);
}

void doctor_relay(struct findings *findings, const struct config *settings, unsigned user)
{
    struct relay_told told;
    if (!relay_is_needed(settings))
        return;
    if (!relay_ask(settings, user, &told) && !relay_ask(settings, geteuid(), &told)) {
        tell_absent(findings, settings);
        return;
    }
    for (unsigned i = 0; i < SIGNAL_COUNT; i++)
        if (told.signals[i].is_told)
            tell_signal(
                findings, signal_name((enum signal)i), settings->urls[i], &told, &told.signals[i]);
    if (told.spool_lost > 0)
        finding_add(findings, FINDING_WARN,
            format_text("relay (process %d): %" PRIu64
                        " spans or lines of logs of the spool were refused",
                told.pid, told.spool_lost),
            "look at the collector");
}
