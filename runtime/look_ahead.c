/* SPDX-License-Identifier: Apache-2.0 */
#include "look_ahead.h"

#include <string.h>

#include "config.h"
#include "passing.h"
#include "propagators.h"

struct scan {
    struct sink sink;
    struct thread *self;
    struct connection *connection;
    const struct outgoing *out;
    struct plan *plan;
    const struct protocol *protocol;
    size_t base;      /* offset of the chunk being fed */
    bool beyond;      /* in a head behind the one that this system call is about */
    bool feeding_old; /* replaying the prefix: those bytes are sent already */
    uint32_t present; /* bits of enum field, of a protocol that EDITS_ENTRIES */
    bool records;     /* the head began here: what it says is kept, in case all of it goes out */
};

static void limit_at(struct scan *scan, size_t offset)
{
    if (offset < scan->plan->limit)
        scan->plan->limit = offset;
}

bool look_ahead_has_block(struct thread *self)
{
    if (self->spare_text == 0)
        self->spare_text = text_take(true);
    return self->spare_text != 0;
}

/* One head per system call: ids are made for the next once this one's first byte has left. */
static void on_begin(struct scan *scan, const struct event *event)
{
    struct connection *connection = scan->connection;
    size_t offset =
        scan->base + event->offset; /* its first byte may be in a buffer before, or sent */
    if (stream_find(connection, event->exchange) != NULL)
        return;
    bool is_first = scan->feeding_old || (ptrdiff_t)(offset - scan->plan->from) <= 0;
    if (scan->plan->kind == EDIT_NONE && (connection->prepared == NULL || is_first)) {
        stream_unprepare(connection);
        scan->records = stream_prepare(scan->self, connection, event) != NULL &&
                        connection->state == CONNECTION_CLAIMED;
        return;
    }
    scan->beyond = true;
    scan->plan->splits = true;
    limit_at(scan, offset);
}

/* Do these ids come from a request that is at work here? */
static bool takes_over(struct scan *scan, struct exchange *exchange, const struct trace_ids *ids)
{
    if (!passing_take(scan->self, exchange, ids))
        return false;
    exchange->forwarded = true;
    return true;
}

/* A program that passes its client's headers on sends the traceparent that it received: its own
 * server span's parent. Ours is to stand between, so our ids take the place of those. That it is
 * this head which repeats it says more than any other rule. */
__attribute__((noinline)) static void passes_on(
    struct scan *scan, struct exchange *exchange, const uint8_t *text, size_t length)
{
    struct trace_ids ids;
    if (length == TRACEPARENT_LENGTH && traceparent_parse(text, length, &ids))
        takes_over(scan, exchange, &ids);
}

/* Never inlined: ids would lie on the host's stack below every event. */
__attribute__((noinline)) static void replace(
    struct scan *scan, struct exchange *exchange, const struct event *event)
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

static void on_traceparent(struct scan *scan, struct exchange *exchange, const struct event *event)
{
    if (scan->feeding_old || event->length == 0 || scan->protocol->is_summed)
        return;
    /* Whole, though it may not be known yet that no folded line follows. */
    if (event->first)
        passes_on(scan, exchange, event->text, event->length);
    if (exchange->forwarded)
        replace(scan, exchange, event);
}

/* The same in another format: our span id takes the place of the one in it, once all of what it
 * says has been read, and if its last line is offered whole. Never inlined, as above. */
__attribute__((noinline)) static void on_context(
    struct scan *scan, struct exchange *exchange, const struct event *event)
{
    struct plan *plan = scan->plan;
    struct trace_ids ids;
    size_t at, length;
    char digits[TRACEPARENT_LENGTH];
    /* The texts of one that is only prepared are forgotten once its first byte has left. */
    bool is_whole = exchange == scan->connection->prepared;
    if (is_whole)
        exchange_add_text(exchange, event);
    if (!event->last || !is_whole || scan->feeding_old || scan->protocol->is_summed)
        return;
    struct slice context = {
        exchange_text(exchange, FIELD_CONTEXT), exchange->texts[FIELD_CONTEXT].length};
    if (plan->kind != EDIT_NONE || !propagators_locate(context, &ids, &at, &length) ||
        length != event->length || !takes_over(scan, exchange, &ids))
        return;
    traceparent_format(digits, &exchange->ids);
    memcpy(scan->self->lines, digits + TRACEPARENT_SPAN_AT, TRACEPARENT_SPAN_LENGTH);
    plan->kind = EDIT_REPLACE;
    plan->offset = scan->base + event->offset + at;
    plan->length = TRACEPARENT_SPAN_LENGTH;
    plan->serial = exchange->serial;
}

/* What it has of its own is not added. If that is not all here, nothing is. */
static void on_carried(struct scan *scan, struct exchange *exchange, const struct event *event)
{
    if (exchange == scan->connection->prepared)
        exchange_add_text(exchange, event);
    else
        exchange->texts[FIELD_CARRIED].length = 0;
}

/* True: its text has been taken. */
static bool on_parent(struct scan *scan, struct exchange *exchange, const struct event *event)
{
    if (event->field == FIELD_TRACEPARENT) {
        on_traceparent(scan, exchange, event);
        return false;
    }
    if (event->field == FIELD_CONTEXT)
        on_context(scan, exchange, event);
    else
        on_carried(scan, exchange, event);
    return true;
}

static void on_text(struct scan *scan, struct exchange *exchange, const struct event *event)
{
    exchange->present |= 1u << event->field;
    if (event->field >= FIELD_CARRIED && on_parent(scan, exchange, event))
        return;
    if (scan->records)
        exchange_add_text(exchange, event);
}

/* What would be replaced is all there, and none of it has been sent. */
static bool is_offered(const struct scan *scan, const struct event *splice, size_t offset)
{
    return splice->length == 0 ||
           (!scan->feeding_old && offset >= scan->plan->from + splice->length);
}

/* What would be replaced, in one piece: a request may lie in several buffers. */
static const uint8_t *whole_of(struct scan *scan, const struct event *splice)
{
    if (splice->text != NULL || splice->length == 0)
        return splice->text;
    if (splice->length > TEXT_BIG_BYTES && splice->number == 0)
        return NULL;
    char *whole = text_hold(&scan->self->gathered_text, splice->length);
    const struct outgoing *out = scan->out;
    size_t end = scan->base + splice->offset, from = end - splice->length, base = 0;
    for (int i = 0; whole != NULL && i < out->count && base < end; base += out->iov[i++].iov_len) {
        size_t begin = from > base ? from - base : 0;
        size_t length = smaller(end - base, out->iov[i].iov_len);
        if (begin < length)
            memcpy(whole + (base + begin - from), (char *)out->iov[i].iov_base + begin,
                length - begin);
    }
    return (const uint8_t *)whole;
}

/* What somebody has signed is not ours to edit: the head carries the application's context. */
__attribute__((noinline)) static void keep(
    struct plan *plan, struct exchange *exchange, const struct event *splice)
{
    if (!(splice->key & SPLICE_SIGNED) || plan->kind != EDIT_REPLACE)
        return;
    plan->kind = EDIT_NONE;
    exchange->forwarded = false;
}

/* Never inlined, as above. */
__attribute__((noinline)) static size_t write_anew(
    struct scan *scan, const struct exchange *exchange, const struct event *splice)
{
    const uint8_t *replaced = whole_of(scan, splice);
    if (replaced == NULL && splice->length > 0)
        return 0;
    return exchange_insert(
        scan->self, exchange, scan->protocol->insert, splice, replaced, &scan->plan->is_wide);
}

/* The first bytes from `skip` on, as many as a probe can use. */
__attribute__((noinline)) static size_t gather(
    const struct outgoing *out, size_t skip, uint8_t bytes[PREFIX_BYTES_MAX])
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

/* A request whose body is to carry the context, too: all of it is here, and nothing else is behind
 * it. False: as any other. */
__attribute__((noinline, cold)) static bool write_whole(
    struct scan *scan, const struct exchange *exchange, const struct event *splice)
{
    enum { MESSAGE_BYTES_MIN = 12, MESSAGES_MAX = 1000 };
    struct plan *plan = scan->plan;
    const struct outgoing *out = scan->out;
    size_t offset = scan->base + splice->offset, end = offset + (size_t)splice->number;
    size_t from = offset - splice->other;
    uint8_t start[PREFIX_BYTES_MAX];
    if (scan->feeding_old || offset < plan->from + splice->other || end != plan->total ||
        gather(out, from, start) < sizeof(start) ||
        memcmp(start, protocol_rewritten, sizeof(protocol_rewritten) - 1) != 0)
        return false;
    struct event whole = {.offset = end - scan->base, .length = end - from};
    whole.number = smaller((size_t)splice->number / MESSAGE_BYTES_MIN + 1, MESSAGES_MAX);
    if (out->count == 1)
        whole.text = (const uint8_t *)out->iov->iov_base + from;
    const uint8_t *replaced = whole_of(scan, &whole);
    if (replaced != NULL)
        plan->length = exchange_insert(
            scan->self, exchange, scan->protocol->rewrite, &whole, replaced, &plan->is_wide);
    if (plan->length == 0) {
        plan->is_wide = false;
        thread_let_go_texts(scan->self);
        return false;
    }
    plan->kind = EDIT_INSERT;
    plan->offset = from;
    plan->removed = whole.length;
    plan->serial = exchange->serial;
    return true;
}

static size_t lines_of(
    struct scan *scan, const struct exchange *exchange, const struct event *splice)
{
    char *lines = scan->self->lines;
    if (scan->protocol->insert != NULL)
        return write_anew(scan, exchange, splice);
    size_t length = exchange_lines(exchange, lines, splice->bare_lf);
    if (__builtin_expect((splice->key & SPLICE_XRAY) != 0, 0))
        length += exchange_queue_line(exchange, lines, length, splice->bare_lf);
    return length;
}

/* Is it to carry ids at all? Statements have those of W3C's alone. */
static bool is_carried_by(const struct protocol *protocol)
{
    uint32_t none = PROPAGATOR_BAGGAGE | PROPAGATOR_NEWRELIC | PROPAGATOR_SW8 | PROPAGATOR_ISTIO;
    bool is_statement = protocol->edits == EDITS_STATEMENTS;
    return config.propagators & (is_statement ? PROPAGATOR_TRACECONTEXT : ~none);
}

static bool on_splice(struct scan *scan, struct exchange *exchange, const struct event *event)
{
    struct plan *plan = scan->plan;
    /* What comes in has a traceparent here, so a head without one was not passed on. */
    if (config.inserts_inbound && (exchange->rule == RULE_THREAD || exchange->rule == RULE_OWNER) &&
        (exchange->present & EXCHANGE_HAS_CONTEXT) == 0)
        exchange_doubt(scan->self, exchange);
    if (exchange->injected || (exchange->present & EXCHANGE_HAS_CONTEXT)) {
        if (exchange->forwarded && scan->protocol->insert == NULL)
            keep(plan, exchange, event);
        return true;
    }
    size_t offset = scan->base + event->offset;
    if (plan->kind != EDIT_NONE || !look_ahead_has_block(scan->self) ||
        !is_offered(scan, event, offset))
        return true;
    bool may_be_whole = scan->protocol->rewrite != NULL && (event->key & SPLICE_WHOLE);
    if (__builtin_expect(may_be_whole, 0) && write_whole(scan, exchange, event))
        return true;
    plan->length = lines_of(scan, exchange, event);
    if (plan->length == 0) { /* no lines are wanted, or they cannot be put there: counted later */
        thread_let_go_texts(scan->self);
        exchange->injected = scan->protocol->insert == NULL || !is_carried_by(scan->protocol);
        return true;
    }
    plan->kind = EDIT_INSERT;
    if (__builtin_expect(event->length != 0, 0) && scan->protocol->insert != NULL)
        plan->removed = event->length; /* else 0: lines take nobody's place */
    plan->offset = offset - event->length;
    plan->serial = exchange->serial;
    return true;
}

/* Of an answer that goes out. One edit per system call here, too. */
__attribute__((noinline)) static void on_answer(
    struct scan *scan, const struct exchange *exchange, const struct event *event)
{
    struct plan *plan = scan->plan;
    size_t offset = scan->base + event->offset;
    if (exchange->injected || exchange_answer_headers(exchange, event) == 0)
        return;
    if (plan->kind != EDIT_NONE) {
        plan->splits = true;
        limit_at(scan, offset);
        return;
    }
    if (!look_ahead_has_block(scan->self))
        return;
    plan->kind = EDIT_INSERT;
    plan->length = exchange_answer_lines(exchange, event, scan->self->lines);
    plan->offset = offset;
    plan->serial = exchange->serial;
}

/* EDITS_ENTRIES: of few requests. An exchange is made ready for one that will be, and
 * a system call ends where the next one begins. */
static void on_seldom_splice(struct scan *scan, const struct event *event)
{
    struct plan *plan = scan->plan;
    size_t offset = scan->base + event->offset;
    if ((scan->present & EXCHANGE_HAS_CONTEXT) || !is_offered(scan, event, offset))
        return;
    if (plan->kind != EDIT_NONE) {
        plan->splits = true;
        limit_at(scan, offset - event->length);
        return;
    }
    stream_unprepare(scan->connection);
    struct event begin = {.kind = EVENT_BEGIN, .exchange = event->exchange};
    struct exchange *exchange = stream_prepare(scan->self, scan->connection, &begin);
    if (exchange == NULL)
        return;
    exchange->present = scan->present;
    on_splice(scan, exchange, event);
}

static bool on_seldom(struct sink *base, const struct event *event)
{
    struct scan *scan = (struct scan *)base;
    if (event->kind == EVENT_BEGIN)
        scan->present = 0;
    else if (event->kind == EVENT_TEXT)
        scan->present |= 1u << event->field;
    else if (event->kind == EVENT_SPLICE)
        on_seldom_splice(scan, event);
    return true;
}

static bool on_event(struct sink *base, const struct event *event)
{
    struct scan *scan = (struct scan *)base;
    if (event->kind == EVENT_BEGIN) {
        on_begin(scan, event);
        return true;
    }
    if (event->kind >= EVENT_OF_CONNECTION) {
        scan->records = false;
        if (event->kind == EVENT_DOUBT)
            stream_doubt(scan->self);
        return true;
    }
    if (scan->beyond) {
        if (event->kind == EVENT_SPLICE ||
            (event->kind == EVENT_TEXT && event->field == FIELD_TRACEPARENT))
            limit_at(scan, scan->base + event->offset);
        return true;
    }
    struct exchange *exchange = stream_find(scan->connection, event->exchange);
    if (exchange == NULL || !exchange->has_ids)
        return true;
    if (event->kind == EVENT_SPLICE)
        return on_splice(scan, exchange, event);
    if (event->kind == EVENT_TEXT)
        on_text(scan, exchange, event);
    else if (event->kind == EVENT_NUMBER && scan->records)
        exchange->numbers[event->field] = event->number;
    else if (event->kind == EVENT_REQUEST)
        scan->plan->is_request = true;
    else if (event->kind == EVENT_ANSWER)
        on_answer(scan, exchange, event);
    else if (event->kind == EVENT_KEYED) {
        exchange->key = event->key;
        exchange->is_settled |= event->is_settled;
    } else if (event->kind == EVENT_RECALL || event->kind == EVENT_END || event->kind == EVENT_LINK)
        scan->records = false; /* a text that is elsewhere, more than a head: it is read again */
    else if (event->kind == EVENT_ASK)
        return exchange_wants(exchange, scan->protocol);
    return true;
}

/* A copy of the parser's state to look ahead with; NULL: nothing here is ours to edit. */
__attribute__((noinline)) static const struct protocol *scan_start(
    struct scan *scan, const struct outgoing *out)
{
    struct connection *connection = scan->connection;
    struct thread *self = scan->self;
    if (connection->state == CONNECTION_CLAIMED) {
        const struct protocol *claimed = connection->protocol;
        if (!connection->edits)
            return NULL;
        scan->protocol = claimed;
        if (claimed->edits == EDITS_ENTRIES)
            scan->sink.event = on_seldom;
        memcpy(self->scan_state, connection->protocol_state, claimed->state_bytes);
        return claimed;
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
        requests != DIRECTION_OUT || !is_edited(protocol))
        return NULL;
    scan->protocol = protocol;
    if (protocol->edits == EDITS_ENTRIES)
        scan->sink.event = on_seldom;
    protocol->start(self->scan_state, requests);
    scan->feeding_old = true;
    if (sent > 0 && protocol->feed(self->scan_state, DIRECTION_OUT, prefixes[DIRECTION_OUT].bytes,
                        sent, &scan->sink) == FEED_LOST)
        return NULL;
    scan->feeding_old = false;
    return protocol;
}

/* As many buffers go out at once as there is room for. What is replaced takes none. */
__attribute__((noinline)) static void limit_buffers(const struct outgoing *out, struct plan *plan)
{
    size_t in_place = plan->kind == EDIT_REPLACE ? plan->length : plan->removed;
    size_t behind = plan->offset + in_place, base = 0;
    int room = THREAD_IOV_MAX - 4;
    for (int i = 0; i < out->count && base < plan->limit; base += out->iov[i++].iov_len) {
        size_t end = base + out->iov[i].iov_len;
        bool is_replaced = base >= plan->offset && end <= behind;
        if (end <= plan->from || is_replaced || room-- > 0)
            continue;
        bool is_edited = plan->kind != EDIT_NONE && base >= plan->offset;
        plan->kind = is_edited ? plan->kind : EDIT_NONE;
        plan->limit = is_edited && base < behind ? behind : base;
        return;
    }
}

/* What goes out next is the beginning of a piece that starts `skip` bytes into it. */
__attribute__((noinline)) static void note_sending(
    struct transfers *transfers, const struct iovec *piece, size_t skip)
{
    transfers->sending = (const uint8_t *)piece->iov_base + skip;
    transfers->sending_bytes = piece->iov_len - skip;
}

/* Looks ahead over out's bytes from plan->from on. */
void look_ahead(struct thread *self, struct connection *connection, const struct outgoing *out,
    struct plan *plan)
{
    struct scan scan = {
        .sink = {on_event}, .self = self, .connection = connection, .out = out, .plan = plan};
    const struct protocol *protocol = NULL;
    size_t base = 0, skip = plan->from;
    bool is_first = true;
    for (int i = 0; i < out->count && base < plan->limit; base += out->iov[i++].iov_len) {
        size_t length = out->iov[i].iov_len;
        if (skip >= length) {
            skip -= length;
            continue;
        }
        if (is_first) {
            if (__builtin_expect(self->transfers.turn.frame != 0, 0))
                note_sending(&self->transfers, &out->iov[i], skip);
            protocol = scan_start(&scan, out);
            plan->is_greeting = protocol != NULL && connection->state == CONNECTION_UNDECIDED;
        }
        scan.base = base + skip;
        if (protocol == NULL || protocol->feed(self->scan_state, DIRECTION_OUT,
                                    (const uint8_t *)out->iov[i].iov_base + skip, length - skip,
                                    &scan.sink) != length - skip)
            protocol = NULL; /* no HTTP any more, switched, or enough seen */
        is_first = false;
        skip = 0;
    }
    if (out->count > THREAD_IOV_MAX - 4)
        limit_buffers(out, plan);
    self->transfers.sending = NULL;
    plan->is_told = scan.records && !scan.beyond && protocol != NULL && plan->limit == plan->total;
}
