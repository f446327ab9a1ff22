/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Insertion of context into requests, and if asked for into the heads of answers, inside the host's
 * own call.
 *
 * The parser's state advances only over bytes that the kernel took. To find the place, a copy of
 * the state looks ahead over what the host offers. One edit per system call:
 *
 *     host's bytes before | lines (inserted) or ids (in place) | host's bytes up to the next head
 *
 * What is inserted may stand in the place of some of the host's bytes. Those count as taken with
 * its first byte: the host never gets to see a place in the middle of them. If nothing of a request
 * follows, the last of them does not count until all that is inserted has gone: the host offers it
 * again, and the rest goes out in its place. What is to be replaced has to lie in one piece: of
 * several buffers it is copied together first. It may be a megabyte: what is written in its place
 * is in a wide block then (text_pool.h), which is `pending` until all of it has gone.
 *
 * Promises to the host: it gets the count of its own bytes; never 0 for a call that offered some;
 * never short unless the kernel was short; EAGAIN only from the kernel. Lines stand before the
 * final empty line of the head, or take the place of a byte that is offered again, so the host is
 * bound to send more: what the kernel did not take of them is `pending` and goes out before the
 * host's next byte.
 */
#include <errno.h>
#include <string.h>

#include "carrier.h"
#include "counters.h"
#include "memory.h"
#include "originals.h"
#include "look_ahead.h"
#include "readable.h"

struct originals originals AT_START;

/* Appends the host's bytes [from, to) to self->iov. */
static int add_host(
    struct thread *self, int count, const struct outgoing *out, size_t from, size_t to)
{
    size_t base = 0;
    for (int i = 0; i < out->count && base < to; base += out->iov[i++].iov_len) {
        size_t begin = from > base ? from - base : 0;
        size_t end = to - base < out->iov[i].iov_len ? to - base : out->iov[i].iov_len;
        if (begin >= end || count == THREAD_IOV_MAX)
            continue;
        self->iov[count++] = (struct iovec){(char *)out->iov[i].iov_base + begin, end - begin};
    }
    return count;
}

static int assemble(struct thread *self, const struct pending *pending, const struct outgoing *out,
    const struct plan *plan)
{
    int count = 0;
    size_t from = plan->from + pending->covers;
    if (pending->text_index != 0)
        self->iov[count++] = (struct iovec){
            text_block(true, pending->text_index) + pending->sent, pending->length - pending->sent};
    if (plan->kind != EDIT_NONE) {
        count = add_host(self, count, out, from, plan->offset);
        self->iov[count++] = (struct iovec){look_ahead_edit(self, plan), plan->length};
        from = plan->offset + (plan->kind == EDIT_REPLACE ? plan->length : plan->removed);
    }
    return add_host(self, count, out, from, plan->limit);
}

static void give_pending(struct pending *pending)
{
    text_give(true, pending->text_index);
    *pending = (struct pending){0};
}

/* How the bytes that the kernel took divide into what was pending, the host's and the edit's. */
struct division {
    size_t pending;
    size_t host;
    size_t inserted;
};

/* The last byte of those that are replaced is still to be offered again. */
static bool is_covering(const struct plan *plan, const struct division *division)
{
    return division->inserted < plan->length && plan->removed > 0 &&
           plan->offset + plan->removed == plan->limit;
}

static struct division divide(const struct plan *plan, const struct pending *pending, size_t taken)
{
    size_t due = pending->length - pending->sent;
    struct division division = {.pending = smaller(taken, due)};
    taken -= division.pending;
    division.host = taken + (division.pending == due ? pending->covers : 0);
    size_t before = plan->offset - plan->from - pending->covers;
    if (plan->kind == EDIT_INSERT && taken > before) {
        division.inserted = smaller(taken - before, plan->length);
        division.host += plan->removed - division.inserted;
        if (is_covering(plan, &division))
            division.host--;
    }
    return division;
}

static void keep_rest(struct thread *self, struct pending *pending, const struct plan *plan,
    const struct division *division)
{
    uint32_t *held = plan->is_wide ? &self->wide_text : &self->spare_text;
    *pending = (struct pending){
        *held, (uint32_t)division->inserted, (uint32_t)plan->length, is_covering(plan, division)};
    if (!plan->is_wide)
        memcpy(text_block(true, *held), self->lines, plan->length);
    *held = 0;
}

static void account(struct thread *self, struct connection *connection, const struct plan *plan,
    const struct division *division)
{
    struct pending *pending = &connection->pending;
    pending->sent += (uint32_t)division->pending;
    if (pending->text_index != 0 && pending->sent == pending->length)
        give_pending(pending);
    if (division->inserted == 0)
        return;
    struct exchange *exchange = stream_find(connection, plan->serial);
    if (exchange != NULL) {
        exchange->injected = true;
        exchange->marks |= plan->removed > 0 ? RECORD_REWRITTEN : 0;
        if (exchange->is_server)
            stream_touch(&(struct visit){self, connection, errno}, DIRECTION_OUT);
    }
    if (division->inserted < plan->length)
        keep_rest(self, pending, plan, division);
}

struct send {
    struct thread *self;
    const struct sight *sight;
    const struct outgoing *out;
    int saved_errno;
    bool gone; /* the connection was closed or taken from us while we sent */
    bool failed;
};

static size_t total_of(const struct iovec *iov, int count)
{
    size_t total = 0;
    for (int i = 0; i < count; i++)
        total += iov[i].iov_len;
    return total;
}

/* What is in self->iov. The kernel takes one buffer for less than it takes several: a usual head is
 * copied together. */
static ssize_t send_gathered(struct thread *self, int fd, int count, size_t total, int flags)
{
    size_t used = 0;
    if (total > sizeof(self->flat)) {
        struct msghdr message = {.msg_iov = self->iov, .msg_iovlen = (size_t)count};
        return originals.sendmsg(fd, &message, flags);
    }
    for (int i = 0; i < count; used += self->iov[i++].iov_len)
        memcpy(self->flat + used, self->iov[i].iov_base, self->iov[i].iov_len);
    return originals.send(fd, self->flat, total, flags);
}

/* The number stands for something else by now, by a call that we did not see. */
static void let_go(struct send *send)
{
    struct connection *connection = send->sight->connection;
    counter_add(COUNTER_IDENTITY_CHANGED, 1);
    if (connection->pending.text_index != 0)
        give_pending(&connection->pending);
    connection_ignore(send->self, connection, send->sight->fd);
    thread_let_go_texts(send->self);
}

/* One system call. Answers the host's bytes that went out, or -1 with errno from the kernel; sets
 * *stopped if the kernel was short. */
static ssize_t send_plan(struct send *send, struct plan *plan, bool *stopped)
{
    struct connection *connection = send->sight->connection;
    struct thread *self = send->self;
    int count = assemble(self, &connection->pending, send->out, plan);
    struct pending pending = connection->pending; /* as it was offered */
    size_t offered = total_of(self->iov, count);
    int flags = send->out->flags;
    if (plan->limit < plan->total)
        flags = (flags & ~MSG_EOR) | MSG_MORE; /* a part does not end what the host ends */
    uint32_t feeds = connection->feeds;
    connection_leave(self, connection); /* the host may block here; its other thread may read */
    ssize_t taken = send_gathered(self, send->sight->fd, count, offered, flags);
    int error = errno;
    *stopped = taken < (ssize_t)offered;
    send->gone = !connection_enter(self, send->sight);
    struct division division = divide(plan, &pending, taken < 0 ? 0 : (size_t)taken);
    send->failed = taken < 0;
    if (send->gone) {
        errno = error;
        return taken < 0 ? -1 : (ssize_t)division.host;
    }
    if (taken < 0) {
        if (error == ENOTSOCK)
            let_go(send);
        else
            stream_failed(self, connection, send->sight->fd, error);
        errno = error;
        return -1;
    }
    account(self, connection, plan, &division);
    if (plan->is_told && plan->is_request && !*stopped && connection->feeds == feeds &&
        connection->prepared != NULL && connection->state == CONNECTION_CLAIMED) {
        stream_take_over(self, connection); /* the look-ahead came true: no need to read it again */
        return (ssize_t)division.host;
    }
    stream_feed_range(self, connection, send->sight->fd, DIRECTION_OUT, send->out->iov,
        send->out->count, plan->from, division.host);
    return (ssize_t)division.host;
}

/* The connection is gone, but the host's call is not: what is left of it goes out as it is. */
__attribute__((noinline)) static void send_rest(struct send *send, size_t *sent)
{
    size_t total = total_of(send->out->iov, send->out->count);
    while (*sent < total) {
        struct thread *self = send->self;
        int count = add_host(self, 0, send->out, *sent, total);
        ssize_t taken = send_gathered(
            self, send->sight->fd, count, total_of(self->iov, count), send->out->flags);
        if (taken <= 0)
            return;
        *sent += (size_t)taken;
    }
}

/* The first time that we would write: the descriptor must still be the socket that we know. After
 * that its own answers vouch for it, since they parsed. */
static bool is_ours_to_edit(struct send *send)
{
    struct connection *connection = send->sight->connection;
    if (connection->used || connection_is_same(connection, send->sight->fd))
        return true;
    let_go(send);
    return false;
}

/* An answer may come back before we do: whoever reads it waits for us. */
static void note_head(struct connection *connection, const struct plan *plan)
{
    const struct exchange *last = connection->last;
    uint32_t sending = __atomic_load_n(&connection->sending, __ATOMIC_RELAXED);
    if (connection->prepared != NULL || plan->is_greeting ||
        (last != NULL && !last->requested && connection->requests_out))
        __atomic_store_n(&connection->sending, (sending + 1) | 1, __ATOMIC_RELEASE);
}

/* Each head has a look of its own, in the context of whose it is. */
__attribute__((noinline)) static void enter_part(struct thread *self, size_t sent)
{
    self->part_at = sent;
    carrier_part(self);
}

/* Sends until everything is out or the kernel was short. False: nothing to insert, nothing done. */
static bool send_all(struct send *send, ssize_t *result)
{
    struct connection *connection = send->sight->connection;
    struct plan *plan = &send->self->plan;
    bool is_one = send->out->count == 1;
    size_t total = is_one ? send->out->iov->iov_len : total_of(send->out->iov, send->out->count);
    size_t sent = 0;
    bool stopped = false, acted = false;
    while (sent < total && !stopped && !send->gone) {
        *plan = (struct plan){.from = sent, .limit = total, .total = total};
        if (__builtin_expect(send->self->parts != NULL, 0))
            enter_part(send->self, sent);
        if (connection->state != CONNECTION_IGNORED)
            look_ahead(send->self, connection, send->out, plan);
        note_head(connection, plan);
        bool edits = plan->kind != EDIT_NONE || plan->splits || connection->pending.text_index != 0;
        if (!acted && (!edits || !is_ours_to_edit(send)))
            return false;
        acted = true;
        ssize_t went = send_plan(send, plan, &stopped);
        if (went < 0 && sent == 0 && errno == ENOTSOCK)
            return false; /* a file is written to as the host does it */
        if (went < 0)
            break;
        sent += (size_t)went;
        stopped = stopped && sent > 0; /* only ours went out: the host is owed an answer */
    }
    if (send->gone && !stopped && !send->failed)
        send_rest(send, &sent);
    if (acted)
        *result = sent > 0 ? (ssize_t)sent : -1;
    if (sent > 0)
        errno = send->saved_errno;
    return acted;
}

/* Never inlined: it is done before the stack is needed. */
__attribute__((noinline)) static bool is_readable(const struct outgoing *out)
{
    if (out->is_given && !readable_all(out->iov, sizeof(*out->iov) * (size_t)out->count))
        return false;
    for (int i = 0; i < out->count; i++)
        if (!readable(out->iov[i].iov_base, out->iov[i].iov_len))
            return false;
    return true;
}

/* Would this call be edited at all? Asked without the lock; asked again under it. */
static bool may_edit(const struct sight *sight, const struct outgoing *out)
{
    if (!out->editable || originals.sendmsg == NULL || !process_may_call())
        return false;
    return (stream_is_pending(sight) || (!process.broken && is_candidate(sight->connection))) &&
           is_readable(out);
}

bool stream_send(const struct sight *sight, const struct outgoing *out, ssize_t *result)
{
    if (!may_edit(sight, out))
        return false;
    int saved_errno = errno;
    struct thread *self = observe_open();
    if (self == NULL || !connection_enter(self, sight)) {
        if (self != NULL)
            observe_close(self);
        return false;
    }
    struct connection *connection = sight->connection;
    struct send send = {.self = self, .sight = sight, .out = out, .saved_errno = saved_errno};
    bool done = false;
    bool is_ours = connection->state != CONNECTION_IGNORED && connection->unseen != STREAM_SECURE;
    if (is_ours || connection->pending.text_index != 0) {
        touch_opened(self, connection);
        done = send_all(&send, result);
    }
    int error = errno;
    if (!send.gone)
        connection_leave(self, connection);
    if (done) {
        stream_done_sending(sight);
        thread_let_go_texts(self);
    }
    observe_close(self);
    errno = done ? error : saved_errno;
    return done;
}

bool stream_flush(const struct sight *sight, int flags, ssize_t *result)
{
    static const struct iovec nothing;
    int kept = flags & (MSG_DONTWAIT | MSG_NOSIGNAL); /* ours are neither urgent nor zero-copy */
    struct outgoing out = {.iov = &nothing, .count = 0, .flags = kept | MSG_MORE};
    if (!stream_is_pending(sight) || originals.sendmsg == NULL)
        return true;
    struct thread *self = observe_open();
    if (self == NULL || !connection_enter(self, sight)) {
        if (self != NULL)
            observe_close(self);
        return true;
    }
    struct send send = {.self = self, .sight = sight, .out = &out};
    bool clear = true;
    while (
        clear && !send.gone && stream_is_pending(sight) && sight->connection->pending.covers == 0) {
        struct plan plan = {0};
        bool stopped;
        clear = send_plan(&send, &plan, &stopped) >= 0 || errno == ENOTSOCK;
    }
    int error = errno;
    if (!send.gone)
        connection_leave(self, sight->connection);
    observe_close(self);
    errno = error;
    if (!clear)
        *result = -1;
    return clear;
}
