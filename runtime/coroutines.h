/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What coroutines of a program's runtime carry, by their addresses: whose a coroutine is from its
 * first step to its last, or until another one has its address. Those of one thread, the first that
 * keeps something; any other thread finds nothing and may keep nothing. Not in a signal handler.
 *
 *   at most COROUTINES_MAX are known; where there are more, those of requests that are over are
 *   forgotten, and of what does not fit nothing is known
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum { COROUTINES_MAX = 12 * 1024 };

/* False: nothing is known of it. CARRIER_NONE: it is nobody's. */
bool coroutines_find(const void *coroutine, uint32_t *handle);
/* The handle's hold goes with it. Nothing may be known of the coroutine. */
void coroutines_keep(const void *coroutine, uint32_t handle);
void coroutines_forget(const void *coroutine);
/* It waits for its next step, or that begins: carrier_rest. */
void coroutines_rest(const void *coroutine, bool begins);
