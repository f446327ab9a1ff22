/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opening a connection within a deadline, and keeping hold of who it is: a host may close any
 * descriptor and the number may be its own socket a moment later. Raw system calls only, except
 * getaddrinfo for names that need it.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "otlp_http.h"
#include "url.h"

/* Until when to wait: the earlier of both. */
struct patience {
    uint64_t deadline_ns; /* CLOCK_MONOTONIC */
    const uint64_t *stop; /* may be NULL; 0 in it: not yet */
};

/* Waits until the descriptor has one of the events of poll(2). False: the time is up. */
bool patience_poll(const struct patience *patience, int descriptor, short events, short *seen);

/* Is the number still the socket that we opened? */
bool otlp_connection_ours(const struct otlp_http *http);

/* Does our user, or root, listen at the socket? In a directory for all anybody could have put it
 * there. */
bool otlp_peer_is_ours(const struct otlp_http *http);

/* Connects to one of the addresses of the URL. False: none answered; errno in *error. */
bool otlp_connect(
    struct otlp_http *http, const struct url *url, const struct patience *patience, int *error);
