/* SPDX-License-Identifier: Apache-2.0 */
#include "stream.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <time.h>

#include "config.h"
#include "counters.h"
#include "exporter.h"
#include "stream_internal.h"
#include "sys.h"
#include "text_pool.h"

/* Why an exchange ends that did not end by itself. */
enum cause { CAUSE_PROTOCOL, CAUSE_PEER, CAUSE_HOST, CAUSE_ERROR };

struct stream_sink {
    struct sink sink; /* first: what a parser gets */
    struct thread *self;
    struct connection *connection;
    enum cause cause;
    const char *error; /* CAUSE_ERROR: error.type */
};

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

static const char *error_type(int error)
{
    for (size_t i = 0; i < sizeof(error_types) / sizeof(error_types[0]); i++)
        if (error_types[i].error == error)
            return error_types[i].type;
    return "_OTHER";
}

/* --- exchanges of a connection ------------------------------------------------------------- */

struct exchange *stream_find(struct connection *connection, uint32_t serial)
{
    struct exchange *prepared = connection->prepared;
    if (prepared != NULL && prepared->serial == serial)
        return prepared;
    if (connection->last != NULL && connection->last->serial == serial)
        return connection->last;
    for (struct exchange *exchange = connection->first; exchange; exchange = exchange->next)
        if (exchange->serial == serial)
            return exchange;
    return NULL;
}

static void append(struct connection *connection, struct exchange *exchange)
{
    if (connection->last == NULL)
        connection->first = exchange;
    else
        connection->last->next = exchange;
    connection->last = exchange;
}

static void take_out(struct connection *connection, struct exchange *exchange)
{
    struct exchange **link = &connection->first;
    struct exchange *before = NULL;
    while (*link != NULL && *link != exchange) {
        before = *link;
        link = &(*link)->next;
    }
    if (*link == NULL) {
        process_break("an exchange was not where its connection said");
        return;
    }
    *link = exchange->next;
    if (connection->last == exchange)
        connection->last = before;
}

static struct context *current_of(const struct connection *connection)
{
    if (connection->first != NULL && connection->first->requested)
        return connection->first->context;
    return NULL;
}

static void disown(struct connection *connection)
{
    struct context *owner = connection->owner;
    connection->owner = NULL;
    if (owner == NULL)
        return;
    attribution_call_end(owner);
    context_drop(owner);
}

static void own(struct connection *connection, struct context *context)
{
    if (context == NULL || context->ended)
        return;
    context_hold(context);
    attribution_call_begin(context);
    connection->owner = context;
}

struct exchange *stream_prepare(struct thread *self, struct connection *connection, uint32_t serial)
{
    struct exchange *exchange = exchange_take(self, serial, false);
    if (exchange == NULL)
        return NULL;
    struct context *owner = connection->used ? NULL : connection->owner;
    exchange_identify_client(self, exchange, attribution_parent(self, owner));
    connection->prepared = exchange;
    return exchange;
}

/* The connection's first request is on its way: the claim of who opened it has been honoured. */
static void begin(struct stream_sink *sink, uint32_t serial)
{
    struct connection *connection = sink->connection;
    struct exchange *exchange = connection->prepared;
    bool is_server = !connection->requests_out;
    if (exchange != NULL && exchange->serial == serial) {
        connection->prepared = NULL;
        exchange_forget_texts(exchange);
    } else if ((exchange = exchange_take(sink->self, serial, is_server)) == NULL)
        return;
    append(connection, exchange);
}

static void serve(struct thread *self, struct exchange *exchange)
{
    attribution_request(self, exchange->context);
}

static void requested_server(struct stream_sink *sink, struct exchange *exchange)
{
    exchange_identify_server(sink->self, exchange);
    if (exchange->context != NULL && sink->connection->first == exchange)
        serve(sink->self, exchange);
}

static void requested_client(struct stream_sink *sink, struct exchange *exchange)
{
    struct connection *connection = sink->connection;
    if (!exchange->has_ids) {
        struct context *owner = connection->used ? NULL : connection->owner;
        exchange_identify_client(sink->self, exchange, attribution_parent(sink->self, owner));
    }
    if ((exchange->present & 1u << FIELD_TRACEPARENT) && !exchange->forwarded)
        exchange_adopt(exchange);
    else if (!exchange->injected && config.propagators != 0)
        counter_add(COUNTER_INJECT_SKIPPED, 1);
    disown(connection);
}

static void on_request(struct stream_sink *sink, struct exchange *exchange)
{
    exchange->requested = true;
    exporter_need();
    if (exchange->is_server)
        requested_server(sink, exchange);
    else
        requested_client(sink, exchange);
    sink->connection->used = true;
}

static const char *error_of(
    const struct stream_sink *sink, const struct exchange *exchange, enum end_reason reason)
{
    const struct connection *connection = sink->connection;
    bool is_answered = reason == END_TRUNCATED;
    if (reason == END_COMPLETE || reason == END_SWITCHED)
        return NULL;
    if (sink->cause == CAUSE_ERROR)
        return sink->error;
    if (exchange->is_server)
        return is_answered ? "response_truncated"
                           : (connection->peer_gone ? "client_disconnected" : "no_response");
    if (sink->cause == CAUSE_HOST) /* the program gave up: by its clock, or because it wanted to */
        return connection->wait_timed_out || sink->self->wait_timed_out ? "timeout" : NULL;
    return is_answered ? "response_truncated" : "connection_closed";
}

static struct peer peer_of(struct connection *connection)
{
    if (connection->peer_text[0] == '\0')
        address_format(&connection->peer, connection->peer_text);
    return (struct peer){connection->peer_text, connection->peer.port};
}

static void end(struct stream_sink *sink, struct exchange *exchange, enum end_reason reason)
{
    struct connection *connection = sink->connection;
    if (exchange->requested && exchange->has_ids && exchange_is_recorded(exchange))
        exchange_record(sink->self, exchange, connection->protocol, peer_of(connection),
            error_of(sink, exchange, reason));
    take_out(connection, exchange);
    if (exchange->is_server && exchange->context != NULL)
        attribution_answered(sink->self, exchange->context);
    /* Answers to several contexts' calls in one read: which of them runs next is not known. */
    if (!exchange->is_server && exchange->context != sink->self->current)
        attribution_leave(sink->self);
    exchange_free(exchange);
    struct context *next = current_of(connection);
    if (next != NULL && !connection->requests_out)
        serve(sink->self, connection->first);
}

static void forget(struct connection *connection, struct exchange *exchange)
{
    take_out(connection, exchange);
    if (connection->prepared == exchange)
        connection->prepared = NULL;
    exchange_free(exchange);
}

void stream_unprepare(struct connection *connection)
{
    if (connection->prepared != NULL)
        forget(connection, connection->prepared);
}

static void on_number(struct exchange *exchange, const struct event *event)
{
    exchange->numbers[event->field] = event->number;
    if (event->field == FIELD_STATUS && (event->number >= 200 || event->number == 101))
        exchange->has_response = true;
}

static bool on_event(struct sink *base, const struct event *event)
{
    struct stream_sink *sink = (struct stream_sink *)base;
    struct connection *connection = sink->connection;
    if (event->kind == EVENT_BEGIN) {
        begin(sink, event->exchange);
        return true;
    }
    struct exchange *exchange = stream_find(connection, event->exchange);
    if (exchange == NULL)
        return true; /* there was no memory for it: counted then */
    switch (event->kind) {
    case EVENT_TEXT:
        exchange->present |= 1u << event->field;
        exchange_add_text(exchange, event);
        break;
    case EVENT_NUMBER:
        on_number(exchange, event);
        break;
    case EVENT_REQUEST:
        on_request(sink, exchange);
        break;
    case EVENT_RECEIVED:
        if (exchange->is_server && exchange->context != NULL)
            attribution_request_complete(exchange->context);
        break;
    case EVENT_RESPONSE:
        exchange->responded = true;
        if (exchange->is_server && exchange->context != NULL)
            attribution_answering(exchange->context);
        break;
    case EVENT_END:
        connection->switched = event->reason == END_SWITCHED;
        connection->tunnels = connection->switched && exchange->numbers[FIELD_STATUS] != 101;
        end(sink, exchange, event->reason);
        break;
    case EVENT_VOID:
        forget(connection, exchange);
        break;
    case EVENT_BEGIN:
    case EVENT_SPLICE:
        break;
    }
    return true;
}

static struct stream_sink sink_for(
    struct thread *self, struct connection *connection, enum cause cause, const char *error)
{
    return (struct stream_sink){{on_event}, self, connection, cause, error};
}

void stream_take_over(struct thread *self, struct connection *connection)
{
    struct stream_sink sink = sink_for(self, connection, CAUSE_PROTOCOL, NULL);
    struct exchange *exchange = connection->prepared;
    memcpy(connection->protocol_state, self->scan_state, connection->protocol->state_bytes);
    connection->prepared = NULL;
    connection->feeds++;
    append(connection, exchange);
    on_request(&sink, exchange);
}

/* --- feeding ------------------------------------------------------------------------------- */

static void give_up(struct thread *self, struct connection *connection, int fd)
{
    if (connection->used)
        counter_add(COUNTER_CONNECTIONS_LOST, 1);
    while (connection->first != NULL) {
        struct exchange *exchange = connection->first;
        if (exchange->requested)
            counter_add(COUNTER_SPANS_ABANDONED, 1);
        if (exchange->is_server && exchange->context != NULL)
            attribution_answered(self, exchange->context);
        forget(connection, exchange);
    }
    stream_unprepare(connection);
    disown(connection);
    connection_ignore(self, connection, fd);
}

enum verdict stream_probe(const struct connection *connection, struct prefix prefixes[2],
    enum direction direction, const uint8_t *data, size_t length, const struct protocol **protocol,
    enum direction *requests, uint32_t *refused)
{
    memcpy(prefixes, connection->prefixes, sizeof(connection->prefixes));
    struct prefix *prefix = &prefixes[direction];
    size_t room = PREFIX_BYTES_MAX - prefix->length;
    size_t more = length < room ? length : room;
    memcpy(prefix->bytes + prefix->length, data, more);
    prefix->length += (uint8_t)more;
    *refused = connection->refused;
    bool undecided = false;
    for (uint32_t i = 0; protocol_rows[i] != NULL; i++) {
        if (*refused & 1u << i)
            continue;
        enum verdict verdict = protocol_rows[i]->probe(prefixes, requests);
        if (verdict == VERDICT_YES) {
            *protocol = protocol_rows[i];
            return VERDICT_YES;
        }
        if (verdict == VERDICT_NO || prefix->length == PREFIX_BYTES_MAX)
            *refused |= 1u << i;
        else
            undecided = true;
    }
    return undecided ? VERDICT_MORE : VERDICT_NO;
}

/* Is the connection claimed, now that these bytes have been seen? If so they are still to be fed.
 */
__attribute__((noinline)) static bool decide(struct thread *self, struct connection *connection,
    int fd, enum direction direction, const uint8_t *data, size_t length)
{
    struct prefix prefixes[2];
    const struct protocol *protocol;
    enum direction requests;
    size_t before = connection->prefixes[direction].length;
    switch (stream_probe(connection, prefixes, direction, data, length, &protocol, &requests,
        &connection->refused)) {
    case VERDICT_NO:
        give_up(self, connection, fd);
        return false;
    case VERDICT_MORE:
        memcpy(connection->prefixes, prefixes, sizeof(prefixes));
        return false;
    case VERDICT_YES:
        break;
    }
    connection->state = CONNECTION_CLAIMED;
    connection->protocol = protocol;
    connection->requests_out = requests == DIRECTION_OUT;
    protocol->start(connection->protocol_state, requests);
    if (requests == direction && before > 0)
        stream_feed(self, connection, fd, direction, prefixes[direction].bytes, before);
    return connection->state == CONNECTION_CLAIMED;
}

/* After 101 the stream belongs to a protocol we were not asked to follow; after CONNECT it is a
 * fresh connection to somewhere else. */
static bool after_switch(struct thread *self, struct connection *connection, int fd)
{
    connection->switched = false;
    if (connection->first != NULL || !connection->requests_out || !connection->tunnels) {
        give_up(self, connection, fd);
        return false;
    }
    connection->state = CONNECTION_UNDECIDED;
    connection->refused = 0;
    memset(connection->prefixes, 0, sizeof(connection->prefixes));
    return true;
}

void stream_feed(struct thread *self, struct connection *connection, int fd,
    enum direction direction, const uint8_t *data, size_t length)
{
    while (length > 0 && connection->state != CONNECTION_IGNORED) {
        if (connection->state == CONNECTION_UNDECIDED &&
            !decide(self, connection, fd, direction, data, length))
            return;
        struct stream_sink sink = sink_for(self, connection, CAUSE_PROTOCOL, NULL);
        connection->feeds++;
        size_t used = connection->protocol->feed(
            connection->protocol_state, direction, data, length, &sink.sink);
        if (used == FEED_LOST) {
            give_up(self, connection, fd);
            return;
        }
        if (connection->switched && !after_switch(self, connection, fd))
            return;
        data += used;
        length -= used;
    }
}

void stream_feed_range(struct thread *self, struct connection *connection, int fd,
    enum direction direction, const struct iovec *iov, int count, size_t from, size_t length)
{
    for (int i = 0; i < count && length > 0; i++) {
        if (from >= iov[i].iov_len) {
            from -= iov[i].iov_len;
            continue;
        }
        size_t part = iov[i].iov_len - from;
        if (part > length)
            part = length;
        stream_feed(self, connection, fd, direction, (const uint8_t *)iov[i].iov_base + from, part);
        length -= part;
        from = 0;
    }
}

static void skip(struct thread *self, struct connection *connection, int fd,
    enum direction direction, uint64_t length)
{
    struct stream_sink sink = sink_for(self, connection, CAUSE_PROTOCOL, NULL);
    connection->feeds++;
    if (connection->state == CONNECTION_CLAIMED &&
        connection->protocol->skip(connection->protocol_state, direction, length, &sink.sink))
        return;
    if (connection->state != CONNECTION_IGNORED)
        give_up(self, connection, fd);
}

static void finish(struct thread *self, struct connection *connection, enum direction direction,
    enum cause cause, const char *error)
{
    struct stream_sink sink = sink_for(self, connection, cause, error);
    connection->feeds++;
    if (connection->state == CONNECTION_CLAIMED)
        connection->protocol->finish(connection->protocol_state, direction, &sink.sink);
}

/* Ends whatever is open: the stream is broken in both directions. */
static void end_all(
    struct thread *self, struct connection *connection, enum cause cause, const char *error)
{
    enum direction answers = connection->requests_out ? DIRECTION_IN : DIRECTION_OUT;
    struct stream_sink sink = sink_for(self, connection, cause, error);
    finish(self, connection, answers, cause, error);
    while (connection->first != NULL) {
        struct exchange *exchange = connection->first;
        end(&sink, exchange, exchange->has_response ? END_TRUNCATED : END_UNANSWERED);
    }
}

static void connect_failed(struct thread *self, struct connection *connection, const char *error)
{
    struct context *parent = attribution_parent(self, connection->owner);
    connection->connecting = false;
    if (connection->peer.family == AF_INET || connection->peer.family == AF_INET6) {
        exporter_need();
        exchange_record_connect(self, parent, peer_of(connection), connection->connect_ns, error);
    }
    disown(connection);
}

void stream_failed(struct thread *self, struct connection *connection, int fd, int error)
{
    if (error == EAGAIN || error == EINTR || error == EINPROGRESS || error == ENOTCONN ||
        error == EINVAL || error == EFAULT || error == ENOMEM || error == EBADF ||
        error == EMSGSIZE || error == ENOBUFS)
        return;
    connection->peer_gone = true;
    if (connection->connecting)
        connect_failed(self, connection, error_type(error));
    else if (connection->state == CONNECTION_CLAIMED && connection->requests_out)
        end_all(self, connection, CAUSE_ERROR, error_type(error));
}

/* A program that waits by epoll alone learns that its client left without reading a thing. When it
 * closes without having answered, the kernel is asked. */
static void notice_peer(struct connection *connection, int fd)
{
    uint8_t state = 0; /* the first byte of struct tcp_info */
    socklen_t length = sizeof(state);
    if (fd < 0 || connection->peer_gone || connection->requests_out || connection->first == NULL ||
        !process_may_call())
        return;
    if (sys(SYS_getsockopt, fd, IPPROTO_TCP, TCP_INFO, &state, &length) == 0)
        connection->peer_gone = state == TCP_CLOSE_WAIT || state == TCP_CLOSE;
}

static void end_in_host(struct thread *self, struct connection *connection)
{
    if (connection->connecting && connection->wait_timed_out)
        connect_failed(self, connection, "timeout");
    if (connection->state == CONNECTION_CLAIMED)
        end_all(self, connection, CAUSE_HOST, NULL);
}

void stream_end(struct thread *self, struct connection *connection, int fd)
{
    /* The program closes what it had opened for a context: it is at work on that context. */
    struct context *context = connection->owner;
    if (context == NULL && connection->requests_out)
        context = current_of(connection);
    if (context != NULL)
        attribution_touch(self, context);
    notice_peer(connection, fd);
    end_in_host(self, connection);
    stream_unprepare(connection);
    if (connection->pending.text_index != 0)
        text_give(true, connection->pending.text_index);
    disown(connection);
}

/* --- reports ------------------------------------------------------------------------------- */

/* The right to observe this connection; errno is kept until leave. */
struct visit {
    struct thread *self;
    struct connection *connection;
    int saved_errno;
};

static bool enter(struct visit *visit, const struct sight *sight)
{
    visit->saved_errno = errno;
    visit->self = observe_open();
    if (visit->self == NULL) {
        /* Bytes pass unseen: the stream can no longer be followed. A vfork child's are its own. */
        if (thread_in_vfork == 0)
            __atomic_store_n(&sight->connection->unseen, true, __ATOMIC_RELAXED);
        return false;
    }
    visit->connection = sight->connection;
    if (!process.broken && connection_enter(visit->self, sight)) {
        bool unseen = __atomic_load_n(&visit->connection->unseen, __ATOMIC_RELAXED);
        if (visit->connection->state != CONNECTION_IGNORED && !unseen)
            return true;
        give_up(visit->self, visit->connection, sight->fd);
        connection_leave(visit->self, visit->connection);
    }
    observe_close(visit->self);
    errno = visit->saved_errno;
    return false;
}

static void leave(struct visit *visit)
{
    connection_leave(visit->self, visit->connection);
    observe_close(visit->self);
    errno = visit->saved_errno;
}

static void touch(struct visit *visit)
{
    struct connection *connection = visit->connection;
    struct context *context = current_of(connection);
    if (context == NULL && !connection->used)
        context = connection->owner;
    if (context != NULL)
        attribution_touch(visit->self, context);
}

static void ended_by_peer(struct visit *visit)
{
    struct connection *connection = visit->connection;
    connection->peer_gone = true;
    finish(visit->self, connection, DIRECTION_IN, CAUSE_PEER, NULL);
}

/* One thread sends, another reads: the answer may be here before the sender is back from its call.
 * That call is waited for, once and not for long: it may be sending a large body. */
static bool await_request(struct visit *visit, const struct sight *sight)
{
    struct connection *connection = visit->connection;
    struct timespec nap = {0, STREAM_NAP_NS};
    uint32_t seen = __atomic_load_n(&connection->sending, __ATOMIC_ACQUIRE);
    if ((seen & 1) == 0 || seen == connection->sent_late || !process_may_call())
        return true;
    int naps = 0;
    connection_leave(visit->self, connection);
    while (
        __atomic_load_n(&connection->sending, __ATOMIC_ACQUIRE) == seen && naps++ < STREAM_NAPS_MAX)
        sys(SYS_nanosleep, &nap, NULL);
    if (connection_enter(visit->self, sight)) {
        connection->sent_late = seen;
        return true;
    }
    observe_close(visit->self);
    errno = visit->saved_errno;
    return false;
}

/* Nothing was read because the stream has ended, not because nothing was asked for. */
static bool has_room(const struct iovec *iov, int count)
{
    for (int i = 0; i < count; i++)
        if (iov[i].iov_len > 0)
            return true;
    return false;
}

void stream_received(const struct sight *sight, const struct iovec *iov, int count, ssize_t result)
{
    struct visit visit;
    if ((result < 0 && errno == EAGAIN) || !enter(&visit, sight))
        return;
    if (result > 0 && !await_request(&visit, sight))
        return;
    touch(&visit);
    if (result > 0) {
        visit.connection->connecting = false;
        visit.connection->wait_timed_out = false;
        stream_feed_range(
            visit.self, visit.connection, sight->fd, DIRECTION_IN, iov, count, 0, (size_t)result);
    } else if (result < 0)
        stream_failed(visit.self, visit.connection, sight->fd, visit.saved_errno);
    else if (has_room(iov, count))
        ended_by_peer(&visit);
    leave(&visit);
}

void stream_received_into(const struct sight *sight, void *buffer, size_t size, ssize_t result)
{
    struct iovec iov = {buffer, size};
    stream_received(sight, &iov, 1, result);
}

void stream_received_unseen(const struct sight *sight, ssize_t result)
{
    struct visit visit;
    if (result <= 0 || !enter(&visit, sight))
        return;
    touch(&visit);
    skip(visit.self, visit.connection, sight->fd, DIRECTION_IN, (uint64_t)result);
    leave(&visit);
}

void stream_sent(const struct sight *sight, const struct outgoing *out, ssize_t result)
{
    struct visit visit;
    if (result == 0 || (result < 0 && errno == EAGAIN) || !enter(&visit, sight)) {
        stream_done_sending(sight);
        return;
    }
    touch(&visit);
    if (result > 0) {
        visit.connection->connecting = false;
        stream_feed_range(visit.self, visit.connection, sight->fd, DIRECTION_OUT, out->iov,
            out->count, 0, (size_t)result);
    } else
        stream_failed(visit.self, visit.connection, sight->fd, visit.saved_errno);
    stream_done_sending(sight);
    leave(&visit);
}

void stream_sent_unseen(const struct sight *sight, ssize_t result)
{
    struct visit visit;
    if (result <= 0 || !enter(&visit, sight))
        return;
    touch(&visit);
    skip(visit.self, visit.connection, sight->fd, DIRECTION_OUT, (uint64_t)result);
    leave(&visit);
}

/* --- descriptors --------------------------------------------------------------------------- */

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
    if (self->current != NULL && self->current->ended)
        attribution_leave(self); /* the next request is somebody else's */
    connection_make(self, fd, ORIGIN_ACCEPTED, &address);
    observe_close(self);
    errno = saved_errno;
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
        descriptor_set(fd, SLOT_PLAIN);
        return;
    }
    if (result != 0 && !in_progress && error_type(error)[0] == '_')
        return;
    struct connection *connection = connection_make(self, fd, ORIGIN_CONNECTED, peer);
    if (connection == NULL)
        return;
    connection->identity = connection_identity(fd);
    connection->connecting = result != 0;
    connection->connect_ns = start_ns;
    own(connection, self->current);
    if (result != 0 && !in_progress) {
        connect_failed(self, connection, error_type(error));
        connection_release(self, fd);
    }
}

void stream_connected(
    int fd, const struct sockaddr *peer, socklen_t length, uint64_t start_ns, int result)
{
    int error = errno;
    struct sight sight;
    struct address address = {0};
    /* The kernel read the address only if it did not object to it. */
    if (start_ns != 0 && (result == 0 || (error != EFAULT && error != EINVAL && error != EBADF)))
        address_set(&address, peer, length);
    if (start_ns == 0 || address.family == 0 || descriptor_slot(fd) >= SLOT_FIRST) {
        /* A second connect() asks how the first one went. */
        if (start_ns != 0 && stream_look(fd, &sight) && result != 0 && error != EISCONN &&
            error != EALREADY)
            stream_socket_error(fd, error);
        errno = error;
        return;
    }
    struct thread *self = observe_open();
    if (self != NULL) {
        connect_reported(self, fd, &address, start_ns, result, error);
        observe_close(self);
    }
    errno = error;
}

void stream_socket_error(int fd, int error)
{
    struct sight sight;
    struct visit visit;
    if (descriptor_slot(fd) < SLOT_FIRST || !stream_look(fd, &sight) || !enter(&visit, &sight))
        return;
    touch(&visit);
    if (error != 0)
        stream_failed(visit.self, visit.connection, fd, error);
    visit.connection->connecting = false;
    leave(&visit);
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
    struct thread *self = observe_open();
    if (self != NULL) {
        connection_release(self, fd);
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

void stream_duplicated(int from, int to)
{
    if (from == to || thread_in_vfork != 0 || thread_is_exempt())
        return;
    if (descriptor_slot(from) < SLOT_LISTENER && descriptor_slot(to) < SLOT_LISTENER) {
        if (descriptor_slot(to) != descriptor_slot(from))
            descriptor_set(to, descriptor_slot(from));
        return;
    }
    int saved_errno = errno;
    struct thread *self = observe_open();
    if (self != NULL) {
        connection_share(self, from, to);
        observe_close(self);
    }
    errno = saved_errno;
}

void stream_shut(int fd, int how)
{
    struct sight sight;
    struct visit visit;
    if (how == SHUT_RD || descriptor_slot(fd) < SLOT_FIRST || !stream_look(fd, &sight) ||
        !enter(&visit, &sight))
        return;
    finish(visit.self, visit.connection, DIRECTION_OUT, CAUSE_HOST, NULL);
    leave(&visit);
}

void stream_plain(int fd)
{
    stream_closing(fd);
    if (thread_in_vfork == 0 && !thread_is_exempt())
        descriptor_set(fd, SLOT_PLAIN);
}

void stream_unknown(int fd)
{
    stream_closing(fd);
}

/* --- waiting ------------------------------------------------------------------------------- */

void stream_waited(bool timed_out)
{
    struct thread *self = thread_self;
    if (self == NULL) /* this thread has touched nothing of interest yet */
        return;
    int saved_errno = errno;
    if ((self = observe_open()) != NULL) {
        attribution_wait(self);
        self->wait_timed_out = timed_out;
        observe_close(self);
    }
    errno = saved_errno;
}

bool stream_thread_is_known(void)
{
    return thread_self != NULL && thread_in_vfork == 0 && !thread_is_exempt();
}

bool stream_is_foreign(int fd, bool alone)
{
    uint32_t slot = descriptor_slot(fd);
    struct sight sight;
    if (slot == SLOT_LISTENER)
        return true;
    if (alone || slot < SLOT_FIRST || !stream_look(fd, &sight))
        return false;
    /* Read without the lock: the pointers are only compared. */
    const struct connection *connection = sight.connection;
    struct exchange *first = __atomic_load_n(&connection->first, __ATOMIC_RELAXED);
    struct context *context = first == NULL ? NULL : first->context;
    if (connection->requests_out || connection->origin == ORIGIN_CONNECTED)
        return context != NULL && context != thread_self->current;
    return context == NULL || context != thread_self->current;
}

void stream_wait_timed_out(int fd)
{
    struct sight sight;
    if (descriptor_slot(fd) >= SLOT_FIRST && stream_look(fd, &sight))
        sight.connection->wait_timed_out = true;
}
