/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a library in C is asked for now and does when its program's event loop turns, as hooks of
 * its functions tell. Any thread, outside an observe block, not in a signal handler; one that finds
 * the thread busy inside us does nothing.
 */
#pragma once

#include "carrier.h"

/* The request that the thread is in has work done by the library: it does not seem to wait, until
 * callbacks_begin or carrier_unclaim. is_certain: a call made now would be its. */
struct carrier_claim callbacks_claim(void);

/* What was claimed is called back, and has been; then the thread is where it was before. It is
 * believed while nobody waits: a program that has a queue of its own may take another one's work
 * from there. The second gives the claim back. CARRIER_NONE: it is not known whose it is. */
struct carrier_view callbacks_begin(struct carrier_claim claim);
void callbacks_end(struct carrier_claim claim, struct carrier_view before);

/* The library has been given the answer of the request that fd's connection is at. is_own: if that
 * is what the thread is in. */
void callbacks_answer(int fd, bool is_own);
/* It has been given what goes out next on fd's connection, if that is at nothing: it is of the
 * thread's request. */
void callbacks_send(int fd);
