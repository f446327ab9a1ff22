/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Insertion of context into requests inside TLS: as inject.c does for sockets, by the rules of TLS
 * libraries. A library that could not finish a write wants to be given the same bytes again, at the
 * same place, for the host calls again with its own. So what is edited lies in a block that stays
 * where it is until the library has taken all of it:
 *
 *     host's bytes before | lines (inserted) or ids (in place) | host's bytes up to the next head
 *
 * Promises to the host: it gets the count of its own bytes; what the library answers when it takes
 * none is handed on as it is; never short unless the library was.
 *
 *   edit.text_index != 0: the block is under way;  edit.piece != 0: the host's own buffer is
 *   edit.done: the host's bytes that this call of its has got rid of, block not included
 */
#include <errno.h>
#include <string.h>

#include "counters.h"
#include "look_ahead.h"
#include "secure_internal.h"

/* Fills the block; false: what is to be edited does not fit. */
static bool build(
    struct thread *self, struct secure_edit *edit, const struct plan *plan, const char *host)
{
    size_t lines = plan->kind == EDIT_INSERT ? plan->length : 0;
    size_t removed = lines > 0 ? plan->removed : 0;
    size_t needed = plan->offset + plan->length + removed;
    bool fits = needed <= TEXT_BIG_BYTES - 2;
    uint32_t index = fits ? self->spare_text : plan->is_wide ? text_take_wide(needed) : 0;
    if (index == 0)
        return false;
    size_t room = fits ? TEXT_BIG_BYTES : needed;
    size_t taken = smaller(plan->limit, room - lines);
    char *block = text_block(true, index);
    memcpy(block, host, plan->offset);
    memcpy(block + plan->offset, look_ahead_edit(self, plan), plan->length);
    size_t behind = plan->offset + plan->length, from = behind - lines + removed;
    size_t length = taken + lines - removed;
    memcpy(block + behind, host + from, taken - from);
    memcpy(block + length, host + plan->offset, removed);
    edit->text_index = index;
    if (fits)
        self->spare_text = 0;
    edit->length = (uint32_t)length;
    edit->before = (uint32_t)plan->offset;
    edit->inserted = (uint32_t)lines;
    edit->removed = (uint32_t)removed;
    edit->serial = plan->serial;
    edit->sent = 0;
    return true;
}

/* What goes out next: a block of ours, or that many of the host's own bytes. */
static void plan_next(struct session *session, const char *host, size_t length)
{
    struct visit visit;
    session->edit.piece = length;
    if (length == 0 || !secure_enter(&visit, session))
        return;
    struct connection *connection = visit.connection;
    if (is_candidate(connection)) {
        struct iovec iov = {(void *)host, length};
        struct outgoing out = {.iov = &iov, .count = 1, .editable = true};
        struct plan *plan = &visit.self->plan;
        *plan = (struct plan){.limit = length, .total = length};
        touch_opened(visit.self, connection);
        look_ahead(visit.self, connection, &out, plan);
        session->edit.piece = plan->limit;
        if (plan->kind != EDIT_NONE && look_ahead_has_block(visit.self) &&
            build(visit.self, &session->edit, plan, host))
            session->edit.piece = 0;
        thread_let_go_texts(visit.self);
    }
    stream_leave(&visit);
}

/* How many of the block's first bytes are the host's. */
static size_t of_host(const struct secure_edit *edit, size_t sent)
{
    if (sent <= edit->before)
        return sent;
    return sent - smaller(sent - edit->before, edit->inserted) + edit->removed;
}

/* The library took more of the block. */
static void account(struct session *session, size_t taken)
{
    struct secure_edit *edit = &session->edit;
    size_t from = edit->sent, to = from + taken, lines_end = edit->before + edit->inserted;
    const uint8_t *block = (const uint8_t *)text_block(true, edit->text_index);
    struct visit visit;
    edit->sent = (uint32_t)to;
    edit->done += of_host(edit, to) - of_host(edit, from);
    if (secure_enter(&visit, session)) {
        struct exchange *exchange = stream_find(visit.connection, edit->serial);
        if (to > edit->before && exchange != NULL) {
            exchange->injected = true;
            exchange->marks |= edit->removed > 0 ? RECORD_REWRITTEN : 0;
        }
        bool replaces = from <= edit->before && to > edit->before;
        stream_touch(&visit, DIRECTION_OUT);
        if (from < edit->before)
            secure_feed(
                &visit, session, DIRECTION_OUT, block + from, smaller(to, edit->before) - from);
        if (replaces && edit->removed > 0)
            secure_feed(&visit, session, DIRECTION_OUT, block + edit->length, edit->removed);
        if (to > lines_end) {
            size_t behind = from > lines_end ? from : lines_end;
            secure_feed(&visit, session, DIRECTION_OUT, block + behind, to - behind);
        }
        stream_leave(&visit);
    }
    if (to == edit->length) {
        text_give(true, edit->text_index);
        edit->text_index = 0;
    }
}

/* Offers what is under way once. Answers what the library did. */
static ssize_t offer(
    struct secure_call *call, const char *host, struct secure_way *way, bool *is_short)
{
    struct secure_edit *edit = &call->session->edit;
    bool is_ours = edit->text_index != 0;
    const char *from = is_ours        ? text_block(true, edit->text_index) + edit->sent
                       : host == NULL ? NULL
                                      : host + edit->done;
    size_t length = is_ours ? edit->length - edit->sent : edit->piece;
    ssize_t taken = way->write(way, from, length);
    if (taken <= 0)
        return taken;
    *is_short = !is_ours && (size_t)taken < length;
    if (is_ours) {
        account(call->session, (size_t)taken);
        return taken;
    }
    edit->done += (size_t)taken;
    edit->piece = 0;
    if (host == NULL)
        secure_sent_unseen(call, (size_t)taken);
    else
        secure_sent(call, from, (size_t)taken);
    return taken;
}

ssize_t secure_write(
    struct secure_call *call, const void *buffer, size_t length, struct secure_way *way)
{
    struct session *session = call->session;
    struct secure_edit *edit = &session->edit;
    bool is_short = false;
    if (buffer != NULL && edit->text_index == 0 && edit->done + edit->piece > length)
        edit->piece = edit->done = 0; /* too few to be what was refused: the host gave that up */
    do {
        bool goes_on = edit->text_index != 0 || edit->piece != 0;
        if (!goes_on) {
            int saved_errno = errno;
            plan_next(session, (const char *)buffer + edit->done, length - edit->done);
            errno = saved_errno;
        }
        ssize_t taken = offer(call, buffer, way, &is_short);
        if (taken <= 0)
            return taken;
    } while (edit->text_index != 0 || (edit->done < length && !is_short && buffer != NULL));
    size_t done = edit->done;
    edit->done = 0;
    return (ssize_t)done;
}
