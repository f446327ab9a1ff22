/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looking ahead over what the host is about to send: which edit is due, and where. Works on a copy
 * of the parser's state, since the real one advances only over bytes that the kernel took. Under
 * the connection's lock, in an observe block; leaves its copy in self->scan_state and the edit's
 * bytes in self->lines or, if they are many, in self->wide_text.
 */
#pragma once

#include "stream_internal.h"
#include "text_pool.h"

/* Fills plan, whose from, limit and total are set, for out's bytes from plan->from on. */
void look_ahead(struct thread *self, struct connection *connection, const struct outgoing *out,
    struct plan *plan);

/* Can anything that this side sends be edited? Without the lock the answer may be old: it is asked
 * again under it. */
static inline bool is_candidate(const struct connection *connection)
{
    return connection->state == CONNECTION_UNDECIDED ? connection->origin != ORIGIN_ACCEPTED
                                                     : connection->edits;
}

/* A big block for self->spare_text: to keep the rest of lines that are cut short, or what TLS
 * libraries want to be given again. False: none is to be had, so nothing is edited. */
bool look_ahead_has_block(struct thread *self);

/* The edit's bytes. */
static inline char *look_ahead_edit(struct thread *self, const struct plan *plan)
{
    return plan->is_wide ? text_block(true, self->wide_text) : self->lines;
}

/* A connection that has not been used yet is about to be written to. */
static inline void touch_opened(struct thread *self, struct connection *connection)
{
    if (!connection->used)
        attribution_touch_opened(self, &connection->opener);
}

static inline size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}
