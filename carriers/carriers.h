/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Code of ours inside a language's runtime: it keeps the context in which each of the program's
 * tasks was made and tells whose task runs (carrier.h has the rule). One folder a runtime, one row
 * in carriers.c.
 *
 * A carrier is on where it recognises its runtime exactly and is in BURDOCK_CARRIERS. Otherwise it
 * is off without a word, and the rules over libc alone decide: its way in may fail at any step, and
 * the program is then what it is without it.
 */
#pragma once

#include <stdint.h>

struct carrier {
    uint32_t bit; /* of config.carriers */
    /* Constructor, before the program's own: no thread but this one, no allocation by malloc. */
    void (*start)(char *const *argv);
};

extern const struct carrier carrier_node;

/* Constructor, last: starts what recognises its runtime. */
void carriers_start(char *const *argv);
