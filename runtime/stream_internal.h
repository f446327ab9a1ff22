/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of stream.h share. Under the connection's lock, unless said otherwise. */
#pragma once

#include "config.h"
#include "pooling.h"
#include "stream.h"

/* Why an exchange ends that did not end by itself. */
enum cause { CAUSE_PROTOCOL, CAUSE_PEER, CAUSE_HOST, CAUSE_ERROR };

struct stream_sink {
    struct sink sink; /* first: what a parser gets */
    struct thread *self;
    struct connection *connection;
    enum cause cause;
    const char *error; /* CAUSE_ERROR: error.type */
};

/* The right to observe this connection; errno is kept until leave. */
struct visit {
    struct thread *self;
    struct connection *connection;
    int saved_errno;
};

/* stream.c. Not under the lock: takes it. False: nothing is to be observed here. */
bool stream_enter(struct visit *visit, const struct sight *sight);
void stream_leave(struct visit *visit);
/* The thread works for whoever the connection belongs to. */
void stream_touch(struct visit *visit, enum direction direction);

static inline bool is_edited(const struct protocol *protocol)
{
    return protocol->edits == EDITS_ALWAYS ||
           (protocol->edits == EDITS_STATEMENTS && config.comments_statements) ||
           (protocol->edits == EDITS_ENTRIES && (config.redis_streams || config.redis_envelope));
}

/* Of what a server's side sends. */
static inline bool is_answer_edited(const struct protocol *protocol)
{
    return config.answer_headers != 0 && protocol->edits_answers;
}

/* stream_exchange.c */
struct stream_sink stream_sink_for(
    struct thread *self, struct connection *connection, enum cause cause, const char *error);
struct peer stream_peer(struct connection *connection);
void stream_own(struct thread *self, struct connection *connection);
/* What the program puts there now goes out later: the next request of an idle one is whose the
 * thread is in. */
void stream_own_next(struct thread *self, struct connection *connection);
void stream_disown(struct connection *connection);
void stream_end_exchange(
    struct stream_sink *sink, struct exchange *exchange, enum end_reason reason);
void stream_forget(struct connection *connection, struct exchange *exchange);
/* Any one that is open; NULL: none. */
static inline struct exchange *stream_any(const struct connection *connection)
{
    return connection->first != NULL ? connection->first : connection->delivered;
}
void stream_record(
    const struct stream_sink *sink, const struct exchange *exchange, const char *error);

/* stream_deliveries.c */
/* BEGIN, REQUEST, RECEIVED and END of one that is delivered (not COMPLETE: it was cut while it
 * came); SETTLE of either kind; LEAVE. */
void stream_deliver(struct stream_sink *sink, const struct event *event);
void stream_delivered(struct stream_sink *sink, struct exchange *exchange);
void stream_delivery_received(struct stream_sink *sink, struct exchange *exchange, bool is_taken);
void stream_end_delivery(
    struct stream_sink *sink, struct exchange *exchange, enum end_reason reason);
void stream_settle(struct stream_sink *sink, const struct event *event);
/* True: what has come is told of by another exchange, and is to be forgotten. */
bool stream_pass(struct stream_sink *sink, const struct exchange *come, const struct event *event);
void stream_release(struct stream_sink *sink, const struct event *event);
/* What is sent now may be for another message than the one that the thread is at work on. */
void stream_doubt(struct thread *self);
void stream_ask(struct stream_sink *sink, bool is_of_any);
/* A carrier tells from now on which message of the connection is worked on. False: the thread is at
 * a request that has asked for them. */
bool stream_tell(struct thread *self, struct connection *connection);
/* The same; now it is this one: its context, not held. NULL: it is not in hand, or is no task of
 * its own. */
struct context *stream_tell_delivery(
    struct thread *self, struct connection *connection, uint64_t key);
/* The work on the one of this context is done; what nobody acknowledges ends. */
void stream_end_told(struct thread *self, struct connection *connection, uint64_t key,
    const struct context *context);
/* More was read: the program has asked for it. */
void stream_leave_deliveries(struct thread *self, struct connection *connection);
/* It waits for more, there, or only looks whether there is more. */
void stream_rest(struct thread *self, struct connection *connection, int fd, bool looks);

/* stream_ends.c */
const char *stream_error_type(int error); /* error.type of an errno; "_OTHER" */
/* The error.type of one that ends for this reason; NULL: none. */
const char *stream_error_of(
    const struct stream_sink *sink, const struct exchange *exchange, enum end_reason reason);
/* Of a server's: may the first request, which is open, have been answered where that was not seen?
 * Asks the kernel, if no answer was ever seen here. */
bool stream_may_have_answered(struct connection *connection);
/* The program has closed it, or ends: what is open of it is over. */
void stream_end_in_host(struct thread *self, struct connection *connection);
void stream_connect_failed(struct thread *self, struct connection *connection, const char *error);

/* stream_feed.c */
/* Nothing more can be followed here: what is open is abandoned and counted. */
void stream_give_up(struct thread *self, struct connection *connection, int fd);
void stream_skip(struct thread *self, struct connection *connection, int fd,
    enum direction direction, uint64_t length);
void stream_finish(struct thread *self, struct connection *connection, enum direction direction,
    enum cause cause, const char *error);

/* Probes with `length` more bytes of one direction. YES: *protocol and *requests are set. */
enum verdict stream_probe(const struct connection *connection, struct prefix prefixes[2],
    enum direction direction, const uint8_t *data, size_t length, const struct protocol **protocol,
    enum direction *requests, uint32_t *refused);

/* Feeds accepted bytes of the host. */
void stream_feed(struct thread *self, struct connection *connection, int fd,
    enum direction direction, const uint8_t *data, size_t length);
/* Feeds the range [from, from + length) of an iovec. */
void stream_feed_range(struct thread *self, struct connection *connection, int fd,
    enum direction direction, const struct iovec *iov, int count, size_t from, size_t length);

/* Feeds the first `length` bytes of an iovec. Nearly all calls have one buffer. */
static inline void stream_feed_taken(struct thread *self, struct connection *connection, int fd,
    enum direction direction, const struct iovec *iov, int count, size_t length)
{
    if (count == 1 && __builtin_expect(self->parts == NULL, 1))
        stream_feed(self, connection, fd, direction, iov->iov_base, length);
    else
        stream_feed_range(self, connection, fd, direction, iov, count, 0, length);
}

/* A call failed with this errno: what cannot go on ends. */
void stream_failed(struct thread *self, struct connection *connection, int fd, int error);

/* How long an answer's reader waits for who sent the request, in naps (of 0.1 ms, as the kernel
 * rounds them): 10 ms if that one may be blocked, 250 ms if it cannot be. */
enum { STREAM_NAP_NS = 50 * 1000, STREAM_NAPS_BLOCKED = 100, STREAM_NAPS_MAX = 2500 };

/* Its bytes have been fed, or did not go. */
static inline void stream_done_sending(const struct sight *sight)
{
    uint32_t sending = __atomic_load_n(&sight->connection->sending, __ATOMIC_RELAXED);
    if (sending & 1)
        __atomic_store_n(&sight->connection->sending, sending + 1, __ATOMIC_RELEASE);
}

/* Is this the connection to a server, opened there and not used yet, or to a broker, used by it
 * last, of what a forked child was forked in? What it is told there is for that, or is a message.
 */
bool stream_is_heirs(const struct connection *connection, const struct context *current);
struct exchange *stream_find(struct connection *connection, uint32_t serial);
/* The exchange of a request about to be sent, with ids and parent; NULL: no memory. */
struct exchange *stream_prepare(
    struct thread *self, struct connection *connection, const struct event *begin);
/* All that the look-ahead saw went out: its state and what it told become the connection's. */
void stream_take_over(struct thread *self, struct connection *connection);
/* What was prepared is not going to be sent after all. */
void stream_unprepare(struct connection *connection);
