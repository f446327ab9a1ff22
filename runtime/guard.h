/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The crash guard: a service that keeps ending abruptly soon after it has begun to talk is left
 * alone from then on, since it may be us. It is on where the library was preloaded for the whole
 * machine, so that nobody asked for this program in particular, or by BURDOCK_CRASH_GUARD.
 *
 * Who notices is the next process of the same service and user, when it recovers the ring file that
 * the dead one left. What it counts is in a file beside the rings; the constructor of every later
 * one asks whether there is such a file: one system call. A file is believed if it is the user's
 * own. A ring file does not tell a crash from a kill: both count, if the process lived less than a
 * minute.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "config.h"

enum {
    GUARD_DEATHS_MAX = 5, /* so many, in as many different seconds, */
    GUARD_WITHIN_S = 300, /* within this time, */
    GUARD_EARLY_S = 60,   /* each so soon after the first exchange: denied */
    GUARD_PATH_BYTES = CONFIG_TEXT_MAX + 64
};

#define GUARD_SUFFIX ".guard"

struct guard {
    char magic[8]; /* "BRDKGRD\0" */
    char service_name[256];
    uint64_t deaths_s[GUARD_DEATHS_MAX]; /* when they were noticed, the latest first; 0: none */
    uint64_t denied_s;                   /* since when; 0: it is not */
};

/* What is known of the service of config under this user. False: nothing. */
bool guard_read(const struct config *config, uint32_t user, struct guard *guard);

/* Constructor: is this service, under this user, to be left alone? */
bool guard_denies(const struct config *config);

/* Exporter thread: a process of this service has just been found dead early. */
void guard_count(const struct config *config, uint64_t now_s);
