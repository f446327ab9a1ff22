/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The relay, seen from the command: a process apart (folder relay/) that sends what needs https or
 * grpc, for all processes of a user that have the same settings. Whoever needs it first starts it;
 * it ends by itself when nobody does any more.
 */
#pragma once

#include <stdbool.h>

#include "config.h"

enum relay_state {
    RELAY_RUNS,
    RELAY_ABSENT, /* its program is not installed, or was not built */
    RELAY_SILENT  /* it could not be started */
};

static inline bool relay_is_needed(const struct config *settings)
{
    return settings->relay_url[0] != '\0' && !settings->disabled;
}

bool relay_is_installed(void);

/* Sees to it that the relay of these settings runs, and tells it that this process needs it. The
 * relay has nothing of ours: no descriptor, no terminal, no process group. Waits until it listens,
 * for three seconds at most. */
enum relay_state relay_ensure(const struct config *settings);

/* The same for a verb that sends: a line on stderr if it does not run. */
bool relay_ready(const struct config *settings);

/* What it says of itself and of a signal. */
struct relay_signal {
    bool is_told, is_troubled;
    uint64_t accepted, again, refused;
    char trouble[256];
};
struct relay_told {
    int pid;
    struct relay_signal signals[SIGNAL_COUNT];
    uint64_t spool_sent, spool_lost;
};

/* Asks the relay that a user's processes with these settings have. False: it does not answer. */
bool relay_ask(const struct config *settings, unsigned user, struct relay_told *told);
