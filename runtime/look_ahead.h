/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looking ahead over what the host is about to send: which edit is due, and where. Works on a copy
 * of the parser's state, since the real one advances only over bytes that the kernel took. Under
 * the connection's lock, in an observe block; leaves its copy in self->scan_state and the edit's
 * bytes in self->lines.
 */
#pragma once

#include "stream_internal.h"

/* Fills plan, whose from, limit and total are set, for out's bytes from plan->from on. */
void look_ahead(struct thread *self, struct connection *connection, const struct outgoing *out,
    struct plan *plan);

static inline size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}
