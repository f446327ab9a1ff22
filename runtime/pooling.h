/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whom a client's connections are for. A pool may have one made for a request that waits, and
 * give that request another one that has become free meanwhile; whoever waits then gets the one
 * that was made. So a connection that has brought its caller's answer and at once asks again, while
 * another one to the same port is being made, may ask for whoever that one is for; and what was
 * being made then may be for anybody. So may one whose login is over while others are being made:
 * pools give it to who has waited longest, not to whom it was made for.
 *
 * Any thread, in an observe block, the connection entered. Who serves one request, or has a
 * carrier, is not in doubt.
 */
#pragma once

#include "connection.h"

/* The program has called connect(), which may not be over yet. */
void pooling_connects(struct connection *connection, bool is_under_way);
/* It is over: something is known of how it went. */
__attribute__((cold)) void pooling_settle(struct connection *connection);
static inline void pooling_connected(struct connection *connection)
{
    if (__builtin_expect(connection->making & MAKING_CONNECTS, 0))
        pooling_settle(connection);
}
/* Its first request is over; is_login: it is no call of anybody's. */
__attribute__((cold)) void pooling_ask(struct connection *connection, bool is_login);
static inline void pooling_answered(struct connection *connection, bool is_login)
{
    if (__builtin_expect(connection->making & MAKING_ASKS, 0))
        pooling_ask(connection, is_login);
}
/* Nothing more is seen of it. */
static inline void pooling_over(struct connection *connection)
{
    pooling_connected(connection);
    pooling_answered(connection, false);
}
/* In the child: what the parent is making is none of its own. */
void pooling_forked(void);
/* Its next call is about to be decided: notes with its opener what is doubtful. */
__attribute__((cold)) void pooling_weigh(struct thread *self, struct connection *connection);
OURS int32_t pooling_under_way; /* connections being made, or logging in, to any port */
static inline void pooling_doubt(struct thread *self, struct connection *connection)
{
    bool may_wait = __atomic_load_n(&pooling_under_way, __ATOMIC_RELAXED) > 0;
    bool is_new = !connection->used || (connection->making & MAKING_FRESH);
    if (__builtin_expect(may_wait || is_new, 0))
        pooling_weigh(self, connection);
}
