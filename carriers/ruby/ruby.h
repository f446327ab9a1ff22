/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ruby. A thread that a request starts may take another's work from a queue, and need not wait for
 * anything before that, where the interpreter's lock is free: such threads are nobody's.
 *
 * Puma: one thread reads requests, and those of a pool work for them, each for what it takes from a
 * list, which no call tells. But before a thread calls the application, and nowhere else, it asks
 * whether the client is still there: Puma's closed_socket?, by TCP_INFO. From then on it is at work
 * for the request that this connection is at. A client that came by another way than TCP is not
 * asked about.
 */
#pragma once

#include <stdbool.h>

/* Host thread, outside an observe block. */
bool ruby_install(void);

/* The same; false: not yet. */
bool bunny_install(void);
