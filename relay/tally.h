/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What became of the requests of a signal, for `burdock doctor` and for the log. No header's value
 * and no query of a URL is ever in it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config.h"

enum verdict_kind { VERDICT_ACCEPTED, VERDICT_AGAIN, VERDICT_REFUSED, VERDICT_COUNT };

struct tally {
    const char *signal; /* static: signal_name */
    char url[CONFIG_TEXT_MAX];
    uint64_t requests[VERDICT_COUNT];
    uint64_t accepted_ns, trouble_ns; /* monotonic; 0: never */
    char trouble[256];                /* the last one's words */
    bool is_troubled;                 /* nothing was accepted since */
};

void tally_open(struct tally *tally, enum signal signal, const char *url);

/* Counts a request; a line in the log if what is said of this signal is new. */
void tally_add(struct tally *tally, enum verdict_kind kind, const char *words);

/* As JSON. Answers the length. */
size_t tally_print(const struct tally *tally, char *out, size_t room);
