/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looking ahead over what the host is about to send: which edit is due, and where. Works on a copy
 * of the parser's state, since the real one advances only over bytes that the kernel took. Under
 * the connection's lock, in an observe block; leaves its copy in self->scan_state and the edit's
 * bytes in self->lines.
 */
#pragma once

#include "stream_internal.h"

enum edit_kind { EDIT_NONE, EDIT_INSERT, EDIT_REPLACE };

/* What to do with the host's bytes from `from` on. Offsets count the host's bytes of this call. */
struct plan {
    size_t from;
    size_t limit; /* end of what goes out in this system call */
    size_t total;
    bool splits;     /* another head begins at limit, which needs a look of its own */
    bool is_told;    /* the look-ahead began with this head and told all there is up to limit */
    bool is_request; /* ... and the head is complete */
    enum edit_kind kind;
    size_t offset; /* of the edit */
    size_t length; /* of the edit's bytes; for REPLACE also of the host's */
    uint32_t serial;
};

/* Fills plan, whose from, limit and total are set, for out's bytes from plan->from on. */
void look_ahead(struct thread *self, struct connection *connection, const struct outgoing *out,
    struct plan *plan);

static inline size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}
