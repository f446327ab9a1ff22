/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Code of ours inside the runtimes of languages: it knows which task runs, which the C library's
 * calls do not tell (runtime/carrier.h has the rule). One folder a runtime, one row in carriers.c.
 *
 * A carrier is on where it recognises its runtime exactly and is in BURDOCK_CARRIERS. Otherwise it
 * is off without a word, and the rules over libc alone decide: its way in may fail at any step, and
 * the program is then what it is without it.
 *
 * What a carrier does inside its runtime it does as that runtime's own code would: it allocates by
 * the runtime's allocator, and may wait for the runtime's lock. No other layer may.
 */
#pragma once

/* Constructor, last, once the configuration is read: no thread but this one. */
void carriers_start(char *const *argv);
