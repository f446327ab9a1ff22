/* SPDX-License-Identifier: Apache-2.0 */
/* The reports of hooks about descriptors: connections begin, are shared, end. */
#include <errno.h>
#include <limits.h>
#include <sys/socket.h>

#include "logs.h"
#include "readable.h"
#include "ring.h"
#include "stream_internal.h"
#include "sys.h"

void stream_accepted(int listener, int fd, const struct sockaddr *peer, socklen_t length)
{
    int saved_errno = errno;
    struct thread *self = observe_open();
    if (self == NULL) {
        stream_closing(fd); /* whatever the number meant before */
        return;
    }
    struct address address;
    address_set(&address, peer, length);
    if (descriptor_slot(listener) != SLOT_LISTENER)
        descriptor_set(listener, SLOT_LISTENER);
    attribution_stray(self);
    if (self->current != NULL && self->current->ended)
        attribution_leave(self); /* the next request is somebody else's */
    struct connection *connection = connection_make(self, fd, ORIGIN_ACCEPTED, &address);
    if (connection != NULL) {
        connection->made_unit = self->unit;
        connection_leave(self, connection);
    }
    observe_close(self);
    errno = saved_errno;
}

socklen_t stream_peer_room(const struct sockaddr *peer, const socklen_t *length)
{
    bool is_told = process.page != NULL && peer != NULL && readable(length, sizeof(*length));
    return is_told ? *length : 0;
}

uint64_t stream_connect_time(void)
{
    return process.page == NULL ? 0 : process_monotonic_ns();
}

static bool is_stream(int fd)
{
    int type = 0;
    socklen_t length = sizeof(type);
    return process_may_call() &&
           sys(SYS_getsockopt, fd, SOL_SOCKET, SO_TYPE, &type, &length) == 0 && type == SOCK_STREAM;
}

static void connect_reported(struct thread *self, int fd, const struct address *peer,
    uint64_t start_ns, int result, int error)
{
    bool in_progress = result != 0 && (error == EINPROGRESS || error == EINTR);
    if (!is_stream(fd)) {
        connection_release(self, fd);
        descriptor_set(fd, logs_unfollowed());
        return;
    }
    if (result != 0 && !in_progress && stream_error_type(error)[0] == '_')
        return;
    struct connection *connection = connection_make(self, fd, ORIGIN_CONNECTED, peer);
    if (connection == NULL)
        return;
    pooling_connects(connection, result != 0);
    connection->connect_ns = start_ns;
    connection->made_unit = self->unit;
    stream_own(self, connection);
    if (result != 0 && !in_progress) {
        stream_connect_failed(self, connection, stream_error_type(error));
        connection_release(self, fd); /* it ends when we leave it */
    }
    connection_leave(self, connection);
}

/* A second connect() asks how the first one went. What was accepted nobody can connect: then the
 * number is another one by now. */
static bool is_known(struct thread *self, int fd, int result)
{
    struct sight sight;
    if (descriptor_slot(fd) < SLOT_FIRST || !stream_look(fd, &sight) ||
        !connection_enter(self, &sight))
        return false;
    bool is_known = result != 0 || sight.connection->origin != ORIGIN_ACCEPTED;
    connection_leave(self, sight.connection);
    return is_known;
}

void stream_connected(
    int fd, const struct sockaddr *peer, socklen_t length, uint64_t start_ns, int result)
{
    int error = errno;
    bool again = false;
    struct address address = {0};
    struct thread *self = start_ns == 0 ? NULL : observe_open();
    if (self != NULL) {
        /* The kernel, or a filter before it, may have refused without reading the address. */
        if ((result == 0 || (error != EFAULT && error != EINVAL && error != EBADF)) &&
            readable(peer, length))
            address_set(&address, peer, length);
        again = is_known(self, fd, result);
        if (!again && address.family != 0)
            connect_reported(self, fd, &address, start_ns, result, error);
        observe_close(self);
    }
    if (again && result != 0 && error != EISCONN && error != EALREADY)
        stream_socket_error(fd, error);
    errno = error;
}

void stream_socket_error(int fd, int error)
{
    struct sight sight;
    struct visit visit;
    if (descriptor_slot(fd) < SLOT_FIRST || !stream_look(fd, &sight) ||
        !stream_enter(&visit, &sight))
        return;
    stream_touch(&visit, DIRECTION_IN);
    if ((visit.connection->making & MAKING_CONNECTS) && visit.connection->opener.context == NULL)
        attribution_touch_guess(visit.self, NULL);
    if (error != 0)
        stream_failed(visit.self, visit.connection, fd, error);
    pooling_connected(visit.connection);
    stream_leave(&visit);
}

/* A server on an event loop gives up what it had asked for a request before it logs that. Whoever
 * closes another's has come to it by an event, or a timer. */
static bool is_aside(struct thread *self, int fd)
{
    struct sight sight;
    if (!config.joins_logs || !stream_look(fd, &sight) || !connection_enter(self, &sight))
        return false;
    bool is_aside =
        sight.connection->origin == ORIGIN_CONNECTED && stream_any(sight.connection) == NULL;
    connection_leave(self, sight.connection);
    return is_aside;
}

void stream_closing(int fd)
{
    uint32_t slot = descriptor_slot(fd);
    if (slot == SLOT_UNKNOWN || thread_in_vfork != 0 || thread_is_exempt())
        return;
    if (slot < SLOT_FIRST) {
        if ((uint32_t)fd < descriptor_limit)
            __atomic_store_n(&descriptor_table[fd], SLOT_UNKNOWN, __ATOMIC_RELAXED);
        return;
    }
    int saved_errno = errno;
    uint64_t last_ns = thread_self == NULL ? 0 : thread_self->now_ns;
    struct thread *self = observe_open();
    if (self != NULL) {
        bool aside = is_aside(self, fd);
        connection_release(self, fd);
        if (aside)
            self->now_ns = last_ns;
        observe_close(self);
    } else
        connection_abandon(fd); /* inside a signal handler: never left stale */
    errno = saved_errno;
}

void stream_closing_range(unsigned first, unsigned last)
{
    uint32_t highest = __atomic_load_n(&descriptor_highest, __ATOMIC_RELAXED);
    if (descriptor_limit == 0)
        return;
    for (unsigned fd = first; fd <= last && fd <= highest; fd++)
        stream_closing((int)fd);
}

void stream_process_ends(void)
{
    struct sight sight = {.fd = -1};
    if (process.page == NULL || process_is_child() || thread_in_vfork != 0 || thread_is_exempt() ||
        connection_next(0, &sight) == 0 || !rings_are_callers())
        return;
    process.is_over = true;
    stream_closing_range(0, UINT_MAX);
    struct thread *self = observe_open();
    if (self == NULL)
        return;
    for (uint32_t index = 0; (index = connection_next(index, &sight)) != 0;)
        if (connection_enter(self, &sight)) { /* it has no descriptor */
            stream_end_in_host(self, sight.connection);
            connection_leave(self, sight.connection);
        }
    observe_close(self);
}

void stream_sends_unseen(int fd)
{
    struct sight sight;
    struct thread *self = descriptor_slot(fd) < SLOT_FIRST ? NULL : observe_open();
    if (self == NULL)
        return;
    if (stream_look(fd, &sight) && connection_enter(self, &sight)) {
        sight.connection->answers_unseen = true;
        connection_leave(self, sight.connection);
    }
    observe_close(self);
}

void stream_duplicated(int from, int to)
{
    if (from == to || thread_in_vfork != 0 || thread_is_exempt())
        return;
    uint32_t slot = descriptor_slot(from);
    if (slot < SLOT_LISTENER && descriptor_slot(to) < SLOT_LISTENER) {
        /* A log may be one by its number. */
        uint64_t entry = slot == SLOT_UNKNOWN ? SLOT_UNKNOWN : logs_classify(to);
        if (descriptor_entry(to) != entry)
            descriptor_set(to, entry);
        return;
    }
    int saved_errno = errno;
    struct thread *self = observe_open();
    if (self != NULL) {
        connection_share(self, from, to);
        observe_close(self);
    } else
        connection_abandon(to); /* looked at when it is used; never left stale */
    errno = saved_errno;
}

void stream_shut(int fd, int how)
{
    struct sight sight;
    struct visit visit;
    if (how == SHUT_RD || descriptor_slot(fd) < SLOT_FIRST || !stream_look(fd, &sight) ||
        !stream_enter(&visit, &sight))
        return;
    stream_finish(visit.self, visit.connection, DIRECTION_OUT, CAUSE_HOST, NULL);
    stream_leave(&visit);
}

void stream_plain(int fd)
{
    stream_closing(fd);
    if (thread_in_vfork == 0 && !thread_is_exempt())
        descriptor_set(fd, logs_unfollowed());
}

void stream_unknown(int fd)
{
    stream_closing(fd);
}
