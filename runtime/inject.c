/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Insertion of context into requests inside the host's own call.
 *
 * The parser's state advances only over bytes that the kernel took. To find the place, a copy of
 * the state looks ahead over what the host offers. One edit per system call:
 *
 *     host's bytes before | lines (inserted) or ids (in place) | host's bytes up to the next head
 *
 * Promises to the host: it gets the count of its own bytes; never 0 for a call that offered some;
 * never short unless the kernel was short; EAGAIN only from the kernel. Lines stand before the
 * final empty line of the head, so the host is bound to send more: what the kernel did not take of
 * them is `pending` and goes out before the host's next byte.
 */
#include <errno.h>
#include <string.h>

#include "counters.h"
#include "originals.h"
#include "stream_internal.h"
#include "text_pool.h"

struct originals originals;

enum edit_kind { EDIT_NONE, EDIT_INSERT, EDIT_REPLACE };

/* What to do with the host's bytes from `from` on. Offsets count the host's bytes of this call. */
struct plan {
    size_t from;
    size_t limit; /* end of what goes out in this system call */
    size_t total;
    bool splits; /* another head begins at limit, which needs a look of its own */
    enum edit_kind kind;
    size_t offset; /* of the edit */
    size_t length; /* of the edit's bytes; for REPLACE also of the host's */
    uint32_t serial;
};

struct scan {
    struct sink sink;
    struct thread *self;
    struct connection *connection;
    struct plan *plan;
    size_t base;      /* offset of the chunk being fed */
    bool beyond;      /* in a head behind the one that this system call is about */
    bool feeding_old; /* replaying the prefix: those bytes are sent already */
};

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

static void limit_at(struct scan *scan, size_t offset)
{
    if (offset < scan->plan->limit)
        scan->plan->limit = offset;
}

/* Lines may be cut short by the kernel; without a block to keep the rest in none are inserted. */
static bool can_keep_rest(struct thread *self)
{
    if (self->spare_text == 0)
        self->spare_text = text_take(true);
    return self->spare_text != 0;
}

/* One head per system call: ids are made for the next once this one's first byte has left. */
static void on_begin(struct scan *scan, const struct event *event)
{
    struct connection *connection = scan->connection;
    size_t offset = scan->base + event->offset;
    if (stream_find(connection, event->exchange) != NULL)
        return;
    bool is_first = scan->feeding_old || offset == scan->plan->from;
    if (scan->plan->kind == EDIT_NONE && (connection->prepared == NULL || is_first)) {
        stream_unprepare(connection);
        stream_prepare(scan->self, connection, event->exchange);
        return;
    }
    scan->beyond = true;
    scan->plan->splits = true;
    limit_at(scan, offset);
}

/* A program that passes its client's headers on sends the traceparent that it received: its own
 * server span's parent. Ours is to stand between, so our ids take the place of those. */
static bool passes_on(const struct exchange *exchange, const uint8_t *text, size_t length)
{
    struct trace_ids ids;
    const struct context *context = exchange->context;
    return context != NULL && context->has_remote && length == TRACEPARENT_LENGTH &&
           traceparent_parse(text, length, &ids) &&
           memcmp(ids.trace_id, exchange->ids.trace_id, sizeof(ids.trace_id)) == 0 &&
           memcmp(ids.span_id, context->remote_id, sizeof(ids.span_id)) == 0;
}

static void replace(struct scan *scan, struct exchange *exchange, const struct event *event)
{
    struct plan *plan = scan->plan;
    size_t position = event->first ? 0 : exchange->texts[FIELD_TRACEPARENT].length;
    if (plan->kind != EDIT_NONE || position + event->length > TRACEPARENT_LENGTH)
        return;
    char ids[TRACEPARENT_LENGTH];
    traceparent_format(ids, &exchange->ids);
    memcpy(scan->self->lines, ids + position, event->length);
    plan->kind = EDIT_REPLACE;
    plan->offset = scan->base + event->offset;
    plan->length = event->length;
    plan->serial = exchange->serial;
}

static void on_text(struct scan *scan, struct exchange *exchange, const struct event *event)
{
    exchange->present |= 1u << event->field;
    if (event->field != FIELD_TRACEPARENT || scan->feeding_old || event->length == 0)
        return;
    /* Whole, though it may not be known yet that no folded line follows. */
    if (event->first && passes_on(exchange, event->text, event->length))
        exchange->forwarded = true;
    if (exchange->forwarded)
        replace(scan, exchange, event);
}

static bool on_splice(struct scan *scan, struct exchange *exchange, const struct event *event)
{
    struct plan *plan = scan->plan;
    if (exchange->injected || (exchange->present & 1u << FIELD_TRACEPARENT))
        return true;
    if (plan->kind != EDIT_NONE || !can_keep_rest(scan->self))
        return true;
    plan->length = exchange_lines(exchange, scan->self->lines, event->bare_lf);
    if (plan->length == 0) {
        exchange->injected = true;
        return true;
    }
    plan->kind = EDIT_INSERT;
    plan->offset = scan->base + event->offset;
    plan->serial = exchange->serial;
    return true;
}

static bool on_event(struct sink *base, const struct event *event)
{
    struct scan *scan = (struct scan *)base;
    if (scan->beyond)
        return false; /* where the parser can pause, it does */
    if (event->kind == EVENT_BEGIN) {
        on_begin(scan, event);
        return true;
    }
    if (event->kind != EVENT_TEXT && event->kind != EVENT_SPLICE)
        return true;
    struct exchange *exchange = stream_find(scan->connection, event->exchange);
    if (exchange == NULL || !exchange->has_ids)
        return true;
    if (event->kind == EVENT_SPLICE)
        return on_splice(scan, exchange, event);
    on_text(scan, exchange, event);
    return true;
}

/* The first bytes from `skip` on, as many as a probe can use. */
static size_t gather(const struct outgoing *out, size_t skip, uint8_t bytes[PREFIX_BYTES_MAX])
{
    size_t used = 0;
    for (int i = 0; i < out->count && used < PREFIX_BYTES_MAX; i++) {
        size_t length = out->iov[i].iov_len;
        if (skip >= length) {
            skip -= length;
            continue;
        }
        size_t part = smaller(length - skip, PREFIX_BYTES_MAX - used);
        memcpy(bytes + used, (const uint8_t *)out->iov[i].iov_base + skip, part);
        used += part;
        skip = 0;
    }
    return used;
}

/* A copy of the parser's state to look ahead with; NULL: nothing here is ours to edit. */
__attribute__((noinline)) static const struct protocol *scan_start(
    struct scan *scan, const struct outgoing *out)
{
    struct connection *connection = scan->connection;
    struct thread *self = scan->self;
    if (connection->state == CONNECTION_CLAIMED) {
        const struct protocol *claimed = connection->protocol;
        memcpy(self->scan_state, connection->protocol_state, claimed->state_bytes);
        return connection->requests_out ? claimed : NULL;
    }
    struct prefix prefixes[2];
    const struct protocol *protocol;
    enum direction requests;
    uint32_t refused;
    uint8_t bytes[PREFIX_BYTES_MAX];
    size_t sent = connection->prefixes[DIRECTION_OUT].length;
    if (connection->origin == ORIGIN_ACCEPTED ||
        stream_probe(connection, prefixes, DIRECTION_OUT, bytes,
            gather(out, scan->plan->from, bytes), &protocol, &requests, &refused) != VERDICT_YES ||
        requests != DIRECTION_OUT)
        return NULL;
    protocol->start(self->scan_state, requests);
    scan->feeding_old = true;
    if (sent > 0 && protocol->feed(self->scan_state, DIRECTION_OUT, prefixes[DIRECTION_OUT].bytes,
                        sent, &scan->sink) == FEED_LOST)
        return NULL;
    scan->feeding_old = false;
    return protocol;
}

/* Looks ahead over out's bytes from plan->from on, at most THREAD_IOV_MAX - 4 buffers. */
static void look_ahead(struct thread *self, struct connection *connection,
    const struct outgoing *out, struct plan *plan)
{
    struct scan scan = {.sink = {on_event}, .self = self, .connection = connection, .plan = plan};
    const struct protocol *protocol = NULL;
    size_t base = 0, skip = plan->from;
    int buffers = 0;
    for (int i = 0; i < out->count && base < plan->limit; base += out->iov[i++].iov_len) {
        size_t length = out->iov[i].iov_len;
        if (skip >= length) {
            skip -= length;
            continue;
        }
        if (++buffers > THREAD_IOV_MAX - 4)
            limit_at(&scan, base);
        if (protocol == NULL && buffers == 1)
            protocol = scan_start(&scan, out);
        scan.base = base + skip;
        if (protocol == NULL || protocol->feed(self->scan_state, DIRECTION_OUT,
                                    (const uint8_t *)out->iov[i].iov_base + skip, length - skip,
                                    &scan.sink) != length - skip)
            protocol = NULL; /* no HTTP any more, switched, or enough seen */
        skip = 0;
    }
}

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
    size_t from = plan->from;
    if (pending->text_index != 0)
        self->iov[count++] = (struct iovec){
            text_block(true, pending->text_index) + pending->sent, pending->length - pending->sent};
    if (plan->kind != EDIT_NONE) {
        count = add_host(self, count, out, from, plan->offset);
        self->iov[count++] = (struct iovec){self->lines, plan->length};
        from = plan->offset + (plan->kind == EDIT_REPLACE ? plan->length : 0);
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

static struct division divide(const struct plan *plan, size_t pending, size_t taken)
{
    struct division division = {.pending = smaller(taken, pending)};
    taken -= division.pending;
    division.host = taken;
    size_t before = plan->offset - plan->from;
    if (plan->kind == EDIT_INSERT && taken > before) {
        division.inserted = smaller(taken - before, plan->length);
        division.host = taken - division.inserted;
    }
    return division;
}

static void keep_rest(struct thread *self, struct pending *pending, size_t sent, size_t length)
{
    *pending = (struct pending){self->spare_text, (uint32_t)sent, (uint32_t)length};
    memcpy(text_block(true, self->spare_text), self->lines, length);
    self->spare_text = 0;
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
    if (exchange != NULL)
        exchange->injected = true;
    if (division->inserted < plan->length)
        keep_rest(self, pending, division->inserted, plan->length);
}

struct send {
    struct thread *self;
    const struct sight *sight;
    const struct outgoing *out;
    bool gone; /* the connection was closed or taken from us while we sent */
    bool failed;
};

/* One system call. Answers the host's bytes that went out, or -1 with errno from the kernel; sets
 * *stopped if the kernel was short. */
static ssize_t send_plan(struct send *send, struct plan *plan, bool *stopped)
{
    struct connection *connection = send->sight->connection;
    struct thread *self = send->self;
    int count = assemble(self, &connection->pending, send->out, plan);
    size_t pending = connection->pending.length - connection->pending.sent;
    size_t offered = 0;
    for (int i = 0; i < count; i++)
        offered += self->iov[i].iov_len;
    struct msghdr message = {.msg_iov = self->iov, .msg_iovlen = (size_t)count};
    int more = plan->limit < plan->total ? MSG_MORE : 0;
    connection_leave(self, connection); /* the host may block here; its other thread may read */
    ssize_t taken = originals.sendmsg(send->sight->fd, &message, send->out->flags | more);
    int error = errno;
    *stopped = taken < (ssize_t)offered;
    send->gone = !connection_enter(self, send->sight);
    struct division division = divide(plan, pending, taken < 0 ? 0 : (size_t)taken);
    send->failed = taken < 0;
    if (send->gone) {
        errno = error;
        return taken < 0 ? -1 : (ssize_t)division.host;
    }
    if (taken < 0) {
        stream_failed(self, connection, send->sight->fd, error);
        errno = error;
        return -1;
    }
    account(self, connection, plan, &division);
    stream_feed_range(self, connection, send->sight->fd, DIRECTION_OUT, send->out->iov,
        send->out->count, plan->from, division.host);
    return (ssize_t)division.host;
}

static size_t total_of(const struct outgoing *out)
{
    size_t total = 0;
    for (int i = 0; i < out->count; i++)
        total += out->iov[i].iov_len;
    return total;
}

/* The connection is gone, but the host's call is not: what is left of it goes out as it is. */
static void send_rest(struct send *send, size_t *sent)
{
    size_t total = total_of(send->out);
    while (*sent < total) {
        struct thread *self = send->self;
        int count = add_host(self, 0, send->out, *sent, total);
        struct msghdr message = {.msg_iov = self->iov, .msg_iovlen = (size_t)count};
        ssize_t taken = originals.sendmsg(send->sight->fd, &message, send->out->flags);
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
    counter_add(COUNTER_IDENTITY_CHANGED, 1);
    connection_ignore(send->self, connection, send->sight->fd);
    return false;
}

/* An answer may come back before we do: whoever reads it waits for us. */
static void note_head(struct connection *connection)
{
    const struct exchange *last = connection->last;
    if (connection->prepared != NULL || (last != NULL && !last->requested))
        __atomic_store_n(&connection->sending, (connection->sending + 1) | 1, __ATOMIC_RELEASE);
}

/* Sends until everything is out or the kernel was short. False: nothing to insert, nothing done. */
static bool send_all(struct send *send, ssize_t *result)
{
    struct connection *connection = send->sight->connection;
    int saved_errno = errno;
    size_t total = total_of(send->out), sent = 0;
    bool stopped = false, acted = false;
    while (sent < total && !stopped && !send->gone) {
        struct plan plan = {.from = sent, .limit = total, .total = total};
        if (connection->state != CONNECTION_IGNORED)
            look_ahead(send->self, connection, send->out, &plan);
        note_head(connection);
        bool edits = plan.kind != EDIT_NONE || plan.splits || connection->pending.text_index != 0;
        if (!acted && (!edits || !is_ours_to_edit(send)))
            return false;
        acted = true;
        ssize_t went = send_plan(send, &plan, &stopped);
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
        errno = saved_errno;
    return acted;
}

static bool is_candidate(const struct connection *connection)
{
    return connection->state == CONNECTION_UNDECIDED ? connection->origin != ORIGIN_ACCEPTED
                                                     : connection->requests_out;
}

/* Would this call be edited at all? Asked without the lock; asked again under it. */
static bool may_edit(const struct sight *sight, const struct outgoing *out)
{
    if (!out->editable || originals.sendmsg == NULL || !process_may_call())
        return false;
    return sight->connection->pending.text_index != 0 ||
           (!process.broken && is_candidate(sight->connection));
}

static void touch_owner(struct thread *self, struct connection *connection)
{
    if (!connection->used && connection->owner != NULL)
        attribution_touch(self, connection->owner);
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
    struct send send = {.self = self, .sight = sight, .out = out};
    bool done = false;
    if (connection->state != CONNECTION_IGNORED || connection->pending.text_index != 0) {
        touch_owner(self, connection);
        errno = saved_errno;
        done = send_all(&send, result);
    }
    int error = errno;
    if (!send.gone)
        connection_leave(self, connection);
    if (done)
        stream_done_sending(sight);
    observe_close(self);
    errno = done ? error : saved_errno;
    return done;
}

bool stream_flush(const struct sight *sight, int flags, ssize_t *result)
{
    static const struct iovec nothing;
    int kept = flags & (MSG_DONTWAIT | MSG_NOSIGNAL); /* ours are neither urgent nor zero-copy */
    struct outgoing out = {.iov = &nothing, .count = 0, .flags = kept | MSG_MORE};
    if (sight->connection->pending.text_index == 0 || originals.sendmsg == NULL)
        return true;
    struct thread *self = observe_open();
    if (self == NULL || !connection_enter(self, sight)) {
        if (self != NULL)
            observe_close(self);
        return true;
    }
    struct send send = {.self = self, .sight = sight, .out = &out};
    bool clear = true;
    while (clear && !send.gone && sight->connection->pending.text_index != 0) {
        struct plan plan = {0};
        bool stopped;
        clear = send_plan(&send, &plan, &stopped) >= 0;
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
