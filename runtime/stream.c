/* SPDX-License-Identifier: Apache-2.0 */
/* The reports of hooks about bytes. */
#include "stream.h"

#include <errno.h>
#include <time.h>

#include "carrier.h"
#include "config.h"
#include "logs.h"
#include "memory.h"
#include "passing.h"
#include "stream_internal.h"
#include "sys.h"

/* The exchange that will probably end, while there is other work to do. Read without the lock: what
 * has gone meanwhile is asked for in vain. */
static void prefetch(const struct connection *connection)
{
    const struct exchange *first = __atomic_load_n(&connection->first, __ATOMIC_RELAXED);
    if (first == NULL)
        return;
    for (size_t i = 0; i < EXCHANGE_WARM_BYTES; i += 64)
        __builtin_prefetch((const uint8_t *)first + i);
    __builtin_prefetch(__atomic_load_n(&connection->current, __ATOMIC_RELAXED));
}

bool stream_enter(struct visit *visit, const struct sight *sight)
{
    visit->saved_errno = errno;
    prefetch(sight->connection);
    visit->self = observe_open();
    if (visit->self == NULL) {
        /* Bytes pass unseen: the stream can no longer be followed. A vfork child's are its own. */
        if (thread_in_vfork == 0)
            __atomic_store_n(&sight->connection->unseen, STREAM_LOST, __ATOMIC_RELAXED);
        return false;
    }
    visit->connection = sight->connection;
    if (!process.broken && connection_enter(visit->self, sight)) {
        uint8_t unseen = __atomic_load_n(&visit->connection->unseen, __ATOMIC_RELAXED);
        if (visit->connection->state != CONNECTION_IGNORED && unseen == STREAM_SEEN)
            return true;
        if (unseen != STREAM_SECURE || visit->connection->state == CONNECTION_IGNORED)
            stream_give_up(visit->self, visit->connection, sight->fd);
        connection_leave(visit->self, visit->connection);
    }
    observe_close(visit->self);
    errno = visit->saved_errno;
    return false;
}

void stream_leave(struct visit *visit)
{
    connection_leave(visit->self, visit->connection);
    observe_close(visit->self);
    errno = visit->saved_errno;
}

/* What comes in is about a call of which it is not known whose it is. */
static bool is_answer(const struct connection *connection, enum direction direction)
{
    return direction == DIRECTION_IN && connection->requests_out && connection->first != NULL &&
           connection->first->requested;
}

__attribute__((noinline, cold)) static void be_given(struct visit *visit)
{
    if (!stream_is_heirs(visit->connection, visit->self->current))
        attribution_leave(visit->self);
}

void stream_touch(struct visit *visit, enum direction direction)
{
    struct connection *connection = visit->connection;
    struct context *context = connection->current;
    if (context != NULL && direction == DIRECTION_IN)
        attribution_touch(visit->self, context);
    else if (context != NULL && !connection->requests_out) { /* else it may send for another one */
        attribution_check(visit->self, context);
        attribution_use(visit->self, context);
    } else if (is_answer(connection, direction))
        attribution_touch_guess(visit->self, connection->first->guess);
    else if (direction == DIRECTION_IN && connection->previous != NULL &&
             !connection->previous->ended)
        attribution_touch(visit->self, connection->previous); /* what follows its answer: the end */
    else if (connection->opener.context != NULL || connection->opener.is_doubtful)
        attribution_touch_opened(visit->self, &connection->opener);
    else if (direction == DIRECTION_IN && attribution_may_be_given(visit->self))
        be_given(visit);
}

static void ended_by_peer(struct visit *visit)
{
    struct connection *connection = visit->connection;
    connection->peer_gone = true;
    stream_finish(visit->self, connection, DIRECTION_IN, CAUSE_PEER, NULL);
}

/* One thread sends, another reads: the answer may be here before the sender is back from its call.
 * That call is waited for, once and not for long: it may be sending a large body. If the peer has
 * all of it, the sender has only lost its processor, and will be back. */
__attribute__((noinline)) static bool await_request(
    struct visit *visit, const struct sight *sight, uint32_t seen)
{
    struct connection *connection = visit->connection;
    struct timespec nap = {0, STREAM_NAP_NS};
    if (seen == connection->sent_late || !process_may_call())
        return true;
    connection_leave(visit->self, connection);
    for (int naps = 0;
         __atomic_load_n(&connection->sending, __ATOMIC_ACQUIRE) == seen && naps < STREAM_NAPS_MAX;
         naps++) {
        if (naps >= STREAM_NAPS_BLOCKED && !connection_is_drained(sight->fd))
            break;
        sys(SYS_nanosleep, &nap, NULL);
    }
    if (connection_enter(visit->self, sight)) {
        connection->sent_late = seen;
        return true;
    }
    observe_close(visit->self);
    errno = visit->saved_errno;
    return false;
}

static bool is_told(struct visit *visit, const struct sight *sight)
{
    uint32_t seen = __atomic_load_n(&visit->connection->sending, __ATOMIC_ACQUIRE);
    return (seen & 1) == 0 || await_request(visit, sight, seen);
}

/* Nothing was read because the stream has ended, not because nothing was asked for. */
static bool has_room(const struct iovec *iov, int count)
{
    for (int i = 0; i < count; i++)
        if (iov[i].iov_len > 0)
            return true;
    return false;
}

bool stream_has_unsettled AT_START;

static void note_unsettled(struct thread *self, const struct sight *sight)
{
    self->unsettled_fd = sight->fd + 1;
    self->source = sight->connection;
    self->source_generation = sight->generation;
    self->source_fd = sight->fd;
    __atomic_store_n(&stream_has_unsettled, true, __ATOMIC_RELAXED);
    carrier_want();
}

/* Answers what the host is to get: more than result only if is_editable. */
static inline __attribute__((always_inline)) ssize_t receive(
    const struct sight *sight, const struct iovec *iov, int count, ssize_t result, bool is_editable)
{
    struct visit visit;
    if (result < 0 && errno == EAGAIN)
        return result;
    if (!stream_enter(&visit, sight)) {
        logs_stray();
        return result;
    }
    if (result > 0 && !is_told(&visit, sight))
        return result;
    bool inserts = is_editable && result > 0 && config.inserts_inbound;
    visit.self->inbound.splices = 0;
    stream_touch(&visit, DIRECTION_IN);
    if (result > 0) {
        pooling_connected(visit.connection);
        visit.connection->wait_timed_out = false;
        if (__builtin_expect(visit.connection->held != NULL, 0))
            stream_leave_deliveries(visit.self, visit.connection);
        stream_feed_taken(
            visit.self, visit.connection, sight->fd, DIRECTION_IN, iov, count, (size_t)result);
    } else if (result < 0)
        stream_failed(visit.self, visit.connection, sight->fd, visit.saved_errno);
    else if (has_room(iov, count))
        ended_by_peer(&visit);
    if (__builtin_expect(visit.connection->held != NULL, 0))
        note_unsettled(visit.self, sight);
    if (__builtin_expect(inserts, 0) && visit.self->inbound.splices == 1)
        result = passing_insert(&visit, iov->iov_base, (size_t)result, iov->iov_len);
    stream_leave(&visit);
    carrier_read();
    return result;
}

void stream_received(const struct sight *sight, const struct iovec *iov, int count, ssize_t result)
{
    receive(sight, iov, count, result, false);
}

ssize_t stream_received_into(const struct sight *sight, void *buffer, size_t size, ssize_t result)
{
    struct iovec iov = {buffer, size};
    return receive(sight, &iov, 1, result, true);
}

void stream_received_unseen(const struct sight *sight, ssize_t result)
{
    struct visit visit;
    if (result <= 0 || !stream_enter(&visit, sight))
        return;
    stream_touch(&visit, DIRECTION_IN);
    stream_skip(visit.self, visit.connection, sight->fd, DIRECTION_IN, (uint64_t)result);
    stream_leave(&visit);
}

void stream_sent(const struct sight *sight, const struct outgoing *out, ssize_t result)
{
    struct visit visit;
    if (result == 0 || (result < 0 && errno == EAGAIN) || !stream_enter(&visit, sight)) {
        stream_done_sending(sight);
        return;
    }
    stream_touch(&visit, DIRECTION_OUT);
    if (result > 0) {
        pooling_connected(visit.connection);
        stream_feed_taken(visit.self, visit.connection, sight->fd, DIRECTION_OUT, out->iov,
            out->count, (size_t)result);
    } else
        stream_failed(visit.self, visit.connection, sight->fd, visit.saved_errno);
    stream_done_sending(sight);
    stream_leave(&visit);
}

void stream_sent_unseen(const struct sight *sight, ssize_t result)
{
    struct visit visit;
    if (result <= 0 || !stream_enter(&visit, sight))
        return;
    stream_touch(&visit, DIRECTION_OUT);
    stream_skip(visit.self, visit.connection, sight->fd, DIRECTION_OUT, (uint64_t)result);
    stream_leave(&visit);
}
