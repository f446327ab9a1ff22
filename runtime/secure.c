/* SPDX-License-Identifier: Apache-2.0 */
#include "secure.h"

#include <errno.h>
#include <string.h>

#include "config.h"
#include "counters.h"
#include "logs.h"
#include "memory.h"
#include "passing.h"
#include "pool.h"
#include "secure_internal.h"
#include "text_pool.h"

/* Sessions by key: a row of eight for each hash, searched whole. Keys are put and taken by
 * compare-and-swap; nobody else uses a key while its library's call lasts. */
enum { ROW_SHIFT = 13, ROW_WIDTH = 8 };

struct row {
    const void *keys[ROW_WIDTH];
    uint32_t indexes[ROW_WIDTH];
};

static struct pool sessions = {.block_shift = 8};
_Static_assert(sizeof(struct session) <= 1 << 8, "a session fits its block");
static struct row *rows;

static struct row *all_rows(void)
{
    struct row *seen = __atomic_load_n(&rows, __ATOMIC_ACQUIRE);
    if (seen != NULL || !process_may_call())
        return seen;
    struct row *fresh = memory_map(sizeof(*fresh) << ROW_SHIFT);
    if (fresh == NULL ||
        __atomic_compare_exchange_n(&rows, &seen, fresh, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
        return fresh;
    memory_unmap(fresh, sizeof(*fresh) << ROW_SHIFT);
    return seen;
}

static struct row *row_of(const void *key)
{
    struct row *all = all_rows();
    uint64_t hash = (uint64_t)(uintptr_t)key * UINT64_C(0x9E3779B97F4A7C15);
    return all == NULL ? NULL : &all[hash >> (64 - ROW_SHIFT)];
}

/* Makes no table where nobody has been put into it. */
static struct row *row_if_any(const void *key)
{
    return key == NULL || __atomic_load_n(&rows, __ATOMIC_RELAXED) == NULL ? NULL : row_of(key);
}

static struct session *find(struct row *row, const void *key)
{
    for (unsigned i = 0; i < ROW_WIDTH; i++)
        if (__atomic_load_n(&row->keys[i], __ATOMIC_ACQUIRE) == key)
            return pool_block(&sessions, __atomic_load_n(&row->indexes[i], __ATOMIC_ACQUIRE));
    return NULL;
}

static bool put(struct row *row, struct session *session)
{
    static const char claimed; /* the address of no session */
    for (unsigned i = 0; i < ROW_WIDTH; i++) {
        const void *expected = NULL;
        if (!__atomic_compare_exchange_n(
                &row->keys[i], &expected, &claimed, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
            continue;
        __atomic_store_n(&row->indexes[i], session->index, __ATOMIC_RELEASE);
        __atomic_store_n(&row->keys[i], session->key, __ATOMIC_RELEASE);
        return true;
    }
    return false;
}

static struct session *make(struct thread *self, struct row *row, const void *key)
{
    uint32_t index = pool_take(&sessions);
    struct session *session = index == 0 ? NULL : pool_block(&sessions, index);
    if (session == NULL) {
        counter_add(COUNTER_TLS_NOT_FOLLOWED, 1);
        return NULL;
    }
    session->index = index;
    session->key = key;
    session->start_ns = thread_now(self);
    session->unit = self->unit;
    if (put(row, session))
        return session;
    counter_add(COUNTER_TLS_NOT_FOLLOWED, 1);
    pool_give(&sessions, index);
    return NULL;
}

/* The call that the thread is in: one that was left by siglongjmp has no frame below the stack. */
static const struct secure_mark *call_of(const struct thread *self)
{
    bool lives =
        self->secure.key != NULL && self->secure.frame > (uintptr_t)__builtin_frame_address(0);
    return lives ? &self->secure : NULL;
}

bool secure_begin(struct secure_call *call, const void *key)
{
    int saved_errno = errno;
    struct thread *self = key == NULL ? NULL : observe_open();
    if (self == NULL)
        return false;
    const struct secure_mark *outer = call_of(self);
    struct row *row = outer != NULL && outer->key == key ? NULL : row_of(key);
    call->session = row == NULL ? NULL : find(row, key);
    if (row != NULL && call->session == NULL && !process.broken)
        call->session = make(self, row, key);
    if (call->session != NULL) {
        memset(&call->before, 0, sizeof(call->before));
        if (outer != NULL)
            call->before = *outer;
        self->secure = (struct secure_mark){key, (uintptr_t)call, call->session->index};
    }
    observe_close(self);
    errno = saved_errno;
    return call->session != NULL;
}

void secure_end(struct secure_call *call)
{
    thread_self->secure = call->before;
}

/* --- links --------------------------------------------------------------------------------- */

/* From here on the stream is the session's: what was open before belongs to another one. */
static void adopt(struct thread *self, struct session *session, const struct sight *sight)
{
    struct connection *connection = sight->connection;
    struct exchange *exchange;
    while ((exchange = stream_any(connection)) != NULL)
        stream_forget(connection, exchange);
    stream_unprepare(connection);
    kept_end(&connection->kept);
    if (connection->state == CONNECTION_CLAIMED && connection->protocol->secured != NULL) {
        connection->protocol->secured(connection->protocol_state);
    } else {
        connection->state = CONNECTION_UNDECIDED; /* the state's bytes are those of the prefixes */
        memset(connection->prefixes, 0, sizeof(connection->prefixes));
    }
    connection->refused = 0;
    connection->switched = connection->tunnels = connection->shake_told = false;
    __atomic_store_n(&connection->unseen, STREAM_SECURE, __ATOMIC_RELAXED);
    session->sight = *sight;
}

static void adopt_bare(struct session *session, bool is_server)
{
    struct thread *self = observe_open();
    if (self == NULL)
        return;
    struct connection *connection =
        connection_make_bare(self, is_server ? ORIGIN_ACCEPTED : ORIGIN_UNKNOWN);
    session->ignored = connection == NULL;
    if (connection != NULL) {
        struct sight sight = {connection, connection->generation, -1};
        adopt(self, session, &sight);
        session->is_bare = true;
        connection_leave(self, connection);
    }
    observe_close(self);
}

static bool is_unfollowed(int fd)
{
    return descriptor_slot(fd) == logs_unfollowed();
}

static void adopt_descriptor(struct session *session, int fd)
{
    struct sight sight;
    if (is_unfollowed(fd))
        descriptor_set(fd, SLOT_UNKNOWN); /* what went before was of no protocol that we know */
    if (!stream_look(fd, &sight)) {
        session->ignored = is_unfollowed(fd); /* else it is not connected yet */
        return;
    }
    struct thread *self = observe_open();
    if (self == NULL)
        return;
    if (connection_enter(self, &sight)) {
        if (session->sight.connection == NULL) /* NSS lets one thread read while another writes */
            adopt(self, session, &sight);
        connection_leave(self, sight.connection);
    }
    observe_close(self);
}

void secure_link(struct secure_call *call, int fd, bool is_server, bool is_open, bool is_memory)
{
    int saved_errno = errno;
    if (is_open && !call->session->is_known)
        call->session->is_late = true;
    if (fd >= 0)
        adopt_descriptor(call->session, fd);
    else if (is_open || is_memory)
        adopt_bare(call->session, is_server);
    errno = saved_errno;
}

/* The first bytes of a record (RFC 8446, 5.1): its type and a version. */
static bool is_record(const uint8_t *data, size_t length)
{
    return length >= 3 && data[0] >= 20 && data[0] <= 24 && data[1] == 3 && data[2] <= 4;
}

bool secure_learn(
    struct thread *self, struct connection *connection, int fd, const uint8_t *data, size_t length)
{
    const struct secure_mark *mark = call_of(self);
    if (mark == NULL || connection->unseen != STREAM_SEEN || !is_record(data, length))
        return false;
    struct session *session = pool_block(&sessions, mark->session);
    if (session->key != mark->key || session->sight.connection != NULL || session->ignored)
        return false;
    struct sight sight = {connection, connection->generation, fd};
    adopt(self, session, &sight);
    return true;
}

static void leave_connection(struct session *session)
{
    struct thread *self = session->is_bare ? observe_open() : NULL;
    if (self == NULL)
        return; /* a descriptor's is its descriptor's to end */
    if (connection_enter(self, &session->sight)) {
        connection_drop(session->sight.connection);
        connection_leave(self, session->sight.connection);
    }
    observe_close(self);
}

/* OpenSSL clears a session itself when its handshake begins. */
static bool is_under_way(const void *key)
{
    const struct secure_mark *mark = thread_self == NULL ? NULL : call_of(thread_self);
    return mark != NULL && mark->key == key;
}

void secure_forget(const void *key)
{
    if (is_under_way(key))
        return;
    struct row *row = row_if_any(key);
    for (unsigned i = 0; row != NULL && i < ROW_WIDTH; i++) {
        if (__atomic_load_n(&row->keys[i], __ATOMIC_ACQUIRE) != key)
            continue;
        int saved_errno = errno;
        struct session *session = pool_block(&sessions, row->indexes[i]);
        leave_connection(session);
        if (session->edit.text_index != 0)
            text_give(true, session->edit.text_index);
        session->key = NULL;
        __atomic_store_n(&row->keys[i], NULL, __ATOMIC_RELEASE);
        pool_give(&sessions, session->index);
        errno = saved_errno;
        return;
    }
}

void secure_hold(const void *key)
{
    struct secure_call call;
    if (!secure_begin(&call, key))
        return;
    __atomic_add_fetch(&call.session->holds, 1, __ATOMIC_RELAXED);
    secure_end(&call);
}

void secure_drop(const void *key)
{
    struct row *row = row_if_any(key);
    struct session *session = row == NULL ? NULL : find(row, key);
    if (session == NULL)
        return;
    if (__atomic_load_n(&session->holds, __ATOMIC_RELAXED) == 0)
        secure_forget(key);
    else
        __atomic_sub_fetch(&session->holds, 1, __ATOMIC_RELAXED);
}

/* --- reports ------------------------------------------------------------------------------- */

bool secure_enter(struct visit *visit, struct session *session)
{
    const struct sight *sight = &session->sight;
    visit->saved_errno = errno;
    if (sight->connection == NULL || session->ignored)
        return false;
    visit->connection = sight->connection;
    visit->self = observe_open();
    if (visit->self == NULL) {
        session->ignored = true; /* bytes pass unseen */
        return false;
    }
    if (!process.broken && connection_enter(visit->self, sight)) {
        if (visit->connection->state != CONNECTION_IGNORED &&
            visit->connection->unseen == STREAM_SECURE)
            return true;
        stream_give_up(visit->self, visit->connection, sight->fd);
        connection_leave(visit->self, visit->connection);
    }
    session->ignored = true;
    observe_close(visit->self);
    errno = visit->saved_errno;
    return false;
}

void secure_feed(struct visit *visit, struct session *session, enum direction direction,
    const uint8_t *data, size_t length)
{
    pooling_connected(visit->connection);
    stream_feed(visit->self, visit->connection, session->sight.fd, direction, data, length);
    secure_tell(session, visit->connection);
}

size_t secure_received(struct secure_call *call, void *buffer, size_t length, size_t size)
{
    struct visit visit;
    if (!secure_enter(&visit, call->session))
        return length;
    visit.self->inbound.splices = 0;
    visit.connection->wait_timed_out = false;
    stream_touch(&visit, DIRECTION_IN);
    if (visit.connection->held != NULL)
        stream_leave_deliveries(visit.self, visit.connection);
    secure_feed(&visit, call->session, DIRECTION_IN, buffer, length);
    if (config.inserts_inbound && visit.self->inbound.splices == 1)
        length = (size_t)passing_insert(&visit, buffer, length, size);
    stream_leave(&visit);
    carrier_read();
    return length;
}

static void pass_unseen(struct secure_call *call, enum direction direction, size_t length)
{
    struct visit visit;
    if (!secure_enter(&visit, call->session))
        return;
    stream_touch(&visit, direction);
    stream_skip(visit.self, visit.connection, call->session->sight.fd, direction, length);
    stream_leave(&visit);
}

void secure_received_unseen(struct secure_call *call, size_t length)
{
    pass_unseen(call, DIRECTION_IN, length);
}

void secure_sent_unseen(struct secure_call *call, size_t length)
{
    pass_unseen(call, DIRECTION_OUT, length);
}

void secure_sent(struct secure_call *call, const void *buffer, size_t length)
{
    struct visit visit;
    if (!secure_enter(&visit, call->session))
        return;
    stream_touch(&visit, DIRECTION_OUT);
    secure_feed(&visit, call->session, DIRECTION_OUT, buffer, length);
    stream_leave(&visit);
}

bool secure_is_of_network(int error)
{
    return error != 0 && strcmp(stream_error_type(error), "_OTHER") != 0;
}

void secure_stopped(struct secure_call *call, enum secure_outcome outcome)
{
    struct visit visit;
    if (outcome == SECURE_AGAIN || !secure_enter(&visit, call->session))
        return;
    stream_touch(&visit, DIRECTION_IN);
    if (outcome == SECURE_FAILED && secure_is_of_network(visit.saved_errno))
        stream_failed(visit.self, visit.connection, call->session->sight.fd, visit.saved_errno);
    else {
        visit.connection->peer_gone = true;
        stream_finish(visit.self, visit.connection, DIRECTION_IN, CAUSE_PEER, NULL);
    }
    stream_leave(&visit);
}
