/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Code of ours inside the runtimes of languages: it knows which task runs, which the C library's
 * calls do not tell (runtime/carrier.h). A carrier is put in its place when the process accepts its
 * first connection and its runtime is recognised exactly; otherwise nothing happens, without a
 * word.
 *
 * What a carrier does inside its runtime it does as that runtime's own code would: it allocates by
 * the runtime's allocator, and may wait for the runtime's lock. No other layer may.
 */
#pragma once

/* Constructor, once the configuration is read. */
void carriers_start(void);
