/* SPDX-License-Identifier: Apache-2.0 */
/* How streams end, and what is said of what had no answer then. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>

#include "exporter.h"
#include "stream_internal.h"
#include "sys.h"
#include "text_pool.h"

/* Of struct tcp_info what is asked for here (linux/tcp.h; the last since Linux 4.6). */
struct tcp_info_begin {
    uint8_t state;
    _Alignas(8) uint8_t unused[120];
    uint64_t bytes_received;
    uint32_t segs_out, segs_in, notsent_bytes, min_rtt, data_segs_in, data_segs_out;
};
_Static_assert(offsetof(struct tcp_info_begin, bytes_received) == 128, "as the kernel has it");

static const struct {
    int error;
    const char *type;
} error_types[] = {
    {ECONNREFUSED, "connection_refused"},
    {ECONNRESET, "connection_reset"},
    {EPIPE, "connection_reset"},
    {ECONNABORTED, "connection_reset"},
    {ETIMEDOUT, "timeout"},
    {EHOSTUNREACH, "host_unreachable"},
    {ENETUNREACH, "network_unreachable"},
};

const char *stream_error_type(int error)
{
    for (size_t i = 0; i < sizeof(error_types) / sizeof(error_types[0]); i++)
        if (error_types[i].error == error)
            return error_types[i].type;
    return "_OTHER";
}

/* What a program was started with it may answer by stdio, which exit flushes after us. */
static const char *no_answer(const struct connection *connection)
{
    if (connection->answers_unseen)
        return NULL;
    if (connection->peer_gone)
        return "client_disconnected";
    if (!process.is_over)
        return "no_response";
    return connection->origin == ORIGIN_UNKNOWN ? NULL : "process_exited";
}

const char *stream_error_of(
    const struct stream_sink *sink, const struct exchange *exchange, enum end_reason reason)
{
    const struct connection *connection = sink->connection;
    bool is_answered = reason == END_TRUNCATED;
    if (reason == END_COMPLETE || reason == END_SWITCHED)
        return NULL;
    if (sink->cause == CAUSE_ERROR)
        return sink->error;
    if (exchange->is_server && !exchange->is_delivery)
        return is_answered ? "response_truncated" : no_answer(connection);
    if (sink->cause == CAUSE_HOST) /* the program gave up: by its clock, or because it wanted to */
        return connection->wait_timed_out || sink->self->wait_timed_out ? "timeout" : NULL;
    return is_answered ? "response_truncated" : "connection_closed";
}

/* Ends whatever is open: the stream is broken in both directions. */
static void end_all(
    struct thread *self, struct connection *connection, enum cause cause, const char *error)
{
    enum direction answers = connection->requests_out ? DIRECTION_IN : DIRECTION_OUT;
    struct stream_sink sink = stream_sink_for(self, connection, cause, error);
    stream_finish(self, connection, answers, cause, error);
    while (connection->first != NULL) {
        struct exchange *exchange = connection->first;
        stream_end_exchange(
            &sink, exchange, exchange->has_response ? END_TRUNCATED : END_UNANSWERED);
    }
    while (connection->delivered != NULL)
        stream_end_delivery(&sink, connection->delivered, END_COMPLETE);
}

void stream_connect_failed(struct thread *self, struct connection *connection, const char *error)
{
    struct decision decision = attribution_parent(self, &connection->opener);
    pooling_connected(connection);
    if (connection->peer.family == AF_INET || connection->peer.family == AF_INET6) {
        exporter_need();
        exchange_record_attempt(self, RECORD_CONNECT, false, decision, stream_peer(connection),
            connection->connect_ns, connection->made_unit, error);
    }
    stream_disown(connection);
}

void stream_failed(struct thread *self, struct connection *connection, int fd, int error)
{
    if (error == EAGAIN || error == EINTR || error == EINPROGRESS || error == ENOTCONN ||
        error == EINVAL || error == EFAULT || error == ENOMEM || error == EBADF ||
        error == EMSGSIZE || error == ENOBUFS)
        return;
    connection->peer_gone = true;
    if (connection->making & MAKING_CONNECTS)
        stream_connect_failed(self, connection, stream_error_type(error));
    else if (connection->state == CONNECTION_CLAIMED && connection->requests_out)
        end_all(self, connection, CAUSE_ERROR, stream_error_type(error));
}

/* Of nothing on this connection was an answer seen. */
static bool is_first_unanswered(const struct connection *connection)
{
    const struct exchange *first = connection->first;
    return connection->state == CONNECTION_CLAIMED && connection->protocol->only_answers &&
           connection->unseen != STREAM_SECURE && first->serial == 0 && !first->has_response;
}

static bool ask_kernel(int fd, struct tcp_info_begin *info)
{
    socklen_t length = sizeof(*info);
    memset(info, 0, sizeof(*info));
    return fd >= 0 && process_may_call() &&
           sys(SYS_getsockopt, fd, IPPROTO_TCP, TCP_INFO, info, &length) == 0;
}

static bool has_sent(const struct tcp_info_begin *info)
{
    return info->data_segs_out != 0 || info->notsent_bytes != 0;
}

/* The end of the stream counts as a byte. */
static bool has_read(int fd, const struct tcp_info_begin *info)
{
    int unread = 0;
    return sys(SYS_ioctl, fd, FIONREAD, &unread) == 0 &&
           info->bytes_received > (uint64_t)unread + 1;
}

/* A program that waits by epoll alone learns that its client left without reading a thing; one that
 * answers by stdio, or reads answers so, does it where nobody sees it. When it closes, the kernel
 * is asked. */
static void notice_unseen(struct connection *connection, int fd)
{
    struct tcp_info_begin info;
    const struct exchange *first = connection->first;
    bool is_client = connection->requests_out;
    if (first == NULL || (is_client && first->next == NULL))
        return;
    bool is_known = ask_kernel(fd, &info);
    if (is_known && !is_client)
        connection->peer_gone |= info.state == TCP_CLOSE_WAIT || info.state == TCP_CLOSE;
    if (!is_first_unanswered(connection))
        return;
    if (is_known)
        connection->answers_unseen |= is_client ? has_read(fd, &info) : has_sent(&info);
    else if (connection->peer.family == AF_UNIX && !is_client) /* nobody can say */
        connection->answers_unseen |= first->next != NULL;
}

bool stream_may_have_answered(struct connection *connection)
{
    struct tcp_info_begin info;
    return is_first_unanswered(connection) &&
           (connection->peer.family == AF_UNIX || /* nobody can say */
               (ask_kernel(connection_descriptor(connection), &info) && has_sent(&info)));
}

void stream_end_in_host(struct thread *self, struct connection *connection)
{
    if ((connection->making & MAKING_CONNECTS) && connection->wait_timed_out)
        stream_connect_failed(self, connection, "timeout");
    if (connection->state == CONNECTION_CLAIMED)
        end_all(self, connection, CAUSE_HOST, NULL);
}

void stream_end(struct thread *self, struct connection *connection, int fd)
{
    /* The program closes what it had opened for a context: it is at work on that context. */
    struct context *context = connection->opener.context;
    if (context == NULL && connection->requests_out)
        context = connection->current;
    if (connection->opener.is_doubtful)
        attribution_touch_opened(self, &connection->opener);
    else if (context != NULL)
        attribution_opened(self, context);
    notice_unseen(connection, fd);
    if (connection->answers_unseen && connection->first != NULL && connection->first->next != NULL)
        stream_give_up(self, connection, fd); /* which of them were answered, and when? */
    stream_end_in_host(self, connection);
    pooling_over(connection);
    attribution_closed(self, context);
    stream_unprepare(connection);
    if (connection->pending.text_index != 0)
        text_give(true, connection->pending.text_index);
    stream_disown(connection);
    kept_end(&connection->kept);
}
