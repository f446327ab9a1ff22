/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests that a program passes on with their heads, as proxies do: a call whose head repeats the
 * traceparent that a request carried is that request's, whatever else is known of it.
 *
 * A request that carried none is given one on its way in, where the program is known to pass heads
 * on (config.inserts_inbound): the line is put into the bytes that the program's read returned. It
 * names the request's own span, so it is true also where it is only logged.
 */
#pragma once

#include <sys/types.h>

#include "attribution.h"

struct exchange;
struct visit;

/* The context's request carries its trace and this span, by which it can be found from now on while
 * it is not ended. */
void passing_enter(struct context *context, const uint8_t span_id[8]);

/* The request at work that carried these ids: held. NULL: none, or several of which none is the
 * likeliest, the one that the call would be of without its head. */
struct context *passing_find(const struct trace_ids *ids, struct context *likeliest);

/* The call repeats ids: if they are those of a request at work, it is that one's. */
bool passing_take(struct thread *self, struct exchange *exchange, const struct trace_ids *ids);

/* After a read of `length` bytes into a buffer with room for `size`: makes the insertion that the
 * parser said is possible (self->inbound). Answers the bytes that are in the buffer then. */
ssize_t passing_insert(struct visit *visit, char *buffer, size_t length, size_t size);
