/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What waits in the spool for our endpoint, and whose writers are gone or cannot reach us, is sent
 * by a thread of the relay's own: a client like the others, by the code that processes have for it.
 * Root's relay takes what other users' processes left too: a service that changes its user cannot
 * reach its relay any more.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "config.h"

struct catch_up_state {
    uint64_t sent, lost; /* spans and lines of logs */
    bool waits;          /* there is something, and it cannot be sent now */
};

/* False: there is no spool, or no thread. */
bool catch_up_start(const struct config *config);

/* The collector takes requests again: no need to wait for its next turn. */
void catch_up_now(void);

struct catch_up_state catch_up_state(void);

/* Begins nothing more; the loop still has to answer what is under way. Then the thread can be
 * waited for. */
void catch_up_leave(void);
void catch_up_join(void);
