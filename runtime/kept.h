/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Texts that a connection's protocol says once and means often: prepared statements, the name of a
 * database. Kept per connection by the protocol's own keys (EVENT_KEEP and its neighbours); of
 * equal texts on many connections there is one copy.
 *
 * Under the connection's lock, in an observe block. Copies are shared under a lock that is tried:
 * who does not get it keeps a copy of its own. What goes beyond a limit is not kept, and counted.
 */
#pragma once

#include <stdint.h>

#include "../protocols/protocol.h"

enum {
    KEPT_ENTRIES_MAX = 4096,          /* of one connection */
    KEPT_TEXT_MAX = 16 * 1024 - 512,  /* bytes, as many as an exchange takes; the rest is cut */
    KEPT_BYTES_MAX = 32 * 1024 * 1024 /* of all texts of the process, with what they lie in */
};

struct connection;
struct exchange;

/* What a connection knows of it; all zero: nothing. */
struct kept {
    uint32_t first; /* entries, the last used ones first */
    uint32_t count;
    uint32_t block; /* a text that comes in pieces, one at a time; 0: none */
    uint32_t length;
    uint64_t key; /* of that text */
};

/* KEEP, ALIAS, DROP. What is common to the process is kept likewise, under a lock that is tried. */
void kept_event(struct kept *kept, const struct event *event);
/* RECALL. */
void kept_recall(struct kept *kept, struct exchange *exchange, const struct event *event);
/* The connection is over, or of another protocol from now on. */
void kept_end(struct kept *kept);
/* In a forked child: another thread of the parent's may have been in the middle of something. */
void kept_forked(void);
