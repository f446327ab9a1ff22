/* SPDX-License-Identifier: Apache-2.0 */
/* What one system call is to send: which edit is due, and where. Made by look_ahead.c, carried out
 * by inject.c. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum edit_kind { EDIT_NONE, EDIT_INSERT, EDIT_REPLACE };

/* What to do with the host's bytes from `from` on. Offsets count the host's bytes of this call. */
struct plan {
    size_t from;
    size_t limit; /* end of what goes out in this system call */
    size_t total;
    bool splits;      /* another head begins at limit, which needs a look of its own */
    bool is_told;     /* the look-ahead began with this head and told all there is up to limit */
    bool is_request;  /* ... and the head is complete */
    bool is_greeting; /* the first bytes, of a protocol that we know */
    enum edit_kind kind;
    size_t offset;  /* of the edit */
    size_t length;  /* of the edit's bytes; for REPLACE also of the host's */
    size_t removed; /* INSERT: of the host's bytes from offset on, in whose place it stands */
    bool is_wide;   /* the edit's bytes are in the thread's wide_text, not in its lines */
    uint32_t serial;
};
