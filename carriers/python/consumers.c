/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a task, or a thread, becomes by taking from a queue. It is one of
 *
 *   nobody's      no request made it and none woke it
 *   request's     it was made in one, or has adopted one
 *   suspect       nobody's for now: a request's that has taken an item that another request put;
 *                 it may be a consumer that its request has started, or use a pool
 *   consumer      of one queue, between two items: nobody's, and nobody but an item moves it
 *   with an item  a consumer: of the request that put the item, for certain
 *
 * | is | does | is then |
 * | nobody's | asks a queue | consumer |
 * | consumer | takes from a queue of work what a request fed | with an item |
 * | consumer | takes from a pool | nobody's |
 * | with an item | asks again | consumer |
 * | with an item | takes more before it did anything for that | consumer, until it did something |
 * | with an item | takes a stranger's item from another queue | consumer |
 * | request's | takes another one's item | suspect |
 * | suspect | puts into the queue, which is not known to be of work | request's |
 * | suspect | takes a further item after its request, having put nothing | with an item |
 * | request's, and woken by it | takes what that fed from a queue of work | with an item |
 *
 * Whoever has read its own request is no consumer; a queue from which such a one takes what
 * requests have put there may be a pool that several of them have filled at once. Where a task of
 * its own does the taking (asyncio.wait_for), what waits for it becomes the same.
 */
#include <stddef.h>

#include "carrier.h"
#include "note.h"
#include "python.h"
#include "queue.h"

/* The running context has a new capsule: what was made under the old one keeps that. The handle and
 * the home are not held yet. */
static struct note *become(enum note_state state, uint64_t queue, uint32_t handle, uint32_t home)
{
    struct py_object *capsule = note_make(carrier_hold(handle));
    if (capsule == NULL)
        return NULL;
    struct note *note = note_of(capsule);
    note->state = state;
    note->queue = queue;
    note->home = carrier_hold(home);
    note_put(capsule, current_context);
    current_enter(capsule, current_context);
    return note;
}

/* What waits for what it takes has the old capsule, or is known already. */
static void follow(struct note *note, const struct note *was, bool is_own)
{
    note->follower = is_own ? was->follower : was->serial;
    note->is_shared =
        is_own ? was->is_shared : was->is_read || (was->owner == NULL && was->thread == NULL);
}

/* The same by what it takes. */
static void take(const struct queue *queue, struct py_object *old, enum note_state state,
    uint32_t handle, bool is_batch)
{
    struct note *was = note_of(old);
    bool is_own = note_is_own(old, current_context);
    struct note *asker = is_own ? note_of(was->asker) : was;
    if (asker != NULL && !asker->is_read)
        asker->untold = queue->number;
    uint32_t home = state == NOTE_SUSPECT ? note_request(was) : CARRIER_NONE;
    struct note *note = become(state, queue->number, handle, home);
    if (note == NULL)
        return;
    note->has_taken = true;
    note->is_batch = is_batch;
    note->is_made = !is_own || was->is_made;
    follow(note, was, is_own);
}

/* What has `old` in the running context becomes what the taker is. */
static bool follow_as(
    const struct note *old, bool is_own, struct note *taker, struct py_object *context)
{
    /* One of several may not be what waited. */
    bool is_certain = taker->state == NOTE_CONSUMER && !taker->is_shared;
    struct py_object *new = note_make(is_certain ? carrier_hold(taker->handle) : CARRIER_NONE);
    if (new == NULL)
        return false;
    struct note *note = note_of(new);
    note->state = is_certain ? NOTE_CONSUMER : NOTE_SUSPECT;
    note->home = is_certain ? CARRIER_NONE : carrier_hold(note_request(old));
    note->queue = taker->queue;
    note->has_taken = taker->has_taken;
    note->is_batch = taker->is_batch;
    note->is_made = !is_own || old->is_made;
    note->is_shared = taker->is_shared;
    note->handed = taker->handed;
    note->message = taker->message;
    taker->handed = CARRIER_NONE;
    note->follower = is_own ? 0 : old->serial;
    note_put(new, context);
    return true;
}

bool consumer_follows(struct py_object *capsule, struct py_object *context, struct note *taker)
{
    const struct note *old = note_of(capsule);
    bool is_own = note_is_own(capsule, context);
    if (old == NULL || taker == NULL || taker->follower != old->serial ||
        taker->state == NOTE_REQUEST || (is_own && old->is_read))
        return false;
    return follow_as(old, is_own, taker, context);
}

/* Its time was over in the turn in which something was taken for it. What its other tasks do is
 * theirs as before. */
bool consumer_catches_up(struct py_object *capsule, struct py_object *context)
{
    const struct note *old = note_of(capsule);
    if (old == NULL || old->untold == 0 || !note_is_own(capsule, context))
        return false;
    enum note_state state = old->state == NOTE_CONSUMER ? NOTE_CONSUMER : NOTE_SUSPECT;
    struct note taker = {.state = state, .queue = old->untold, .has_taken = true, .is_batch = true};
    return follow_as(old, true, &taker, context);
}

/* --- asks ----------------------------------------------------------------------------------- */

static bool is_nobodys(struct py_object *capsule)
{
    if (capsule == NULL) {
        struct carrier_view view = carrier_look();
        return view.handle == CARRIER_NONE || (view.is_carried && !view.is_started) ||
               tasks_are_scheduled();
    }
    const struct note *note = note_of(capsule);
    if (note_is_orphan(capsule, current_context))
        return !note->is_read;
    return note_request(note) == CARRIER_NONE && (note->state == NOTE_REQUEST || !note->has_taken);
}

static bool is_of(const struct note *note, const struct queue *queue)
{
    return note != NULL && note->state != NOTE_REQUEST && note->queue == queue->number;
}

/* What asks again did not do one taking for another, and is done with what it took. */
static void ask_again(const struct queue *queue, struct note *note)
{
    if (note->is_asked)
        return; /* a function of its client's within another one */
    note->is_shared = true;
    if (note->state == NOTE_SUSPECT)
        return;
    bool is_batch = note->uses == 0 && note->has_taken && !queue->is_called;
    note_end(note);
    if (note->handle != CARRIER_NONE || queue->is_handed)
        note = become(NOTE_CONSUMER, note->queue, CARRIER_NONE, CARRIER_NONE);
    if (note == NULL)
        return;
    note->is_batch = note->has_taken = is_batch;
    note->is_asked = queue->is_handed;
}

/* What is a request's has a capsule of its own from here on, so that what follows its taking is it
 * alone. A thread that a request started is its until that is over. */
static void ask_first(struct py_object *capsule)
{
    bool is_thread = capsule == NULL;
    struct carrier_view view = carrier_look();
    struct note *was = note_of(capsule);
    if (is_thread ? view.is_request : note_is_own(capsule, current_context)) {
        if (!is_thread)
            was->is_shared = was->is_shared || was->has_taken;
        return;
    }
    struct note *note =
        become(NOTE_REQUEST, 0, is_thread ? view.handle : note_request(was), CARRIER_NONE);
    if (note == NULL || is_thread)
        return;
    note->is_made = true;
    follow(note, was, false);
    py.Py_IncRef(capsule);
    note->asker = capsule;
    struct py_object *before = was->asker; /* one is enough: no chain grows */
    was->asker = NULL;
    if (before != NULL)
        py.Py_DecRef(before);
}

void consumer_asks(struct queue *queue)
{
    greenlets_refresh();
    struct py_object *capsule = current_get();
    struct note *note = note_of(capsule);
    if (is_of(note, queue)) {
        if (note_is_own(capsule, current_context))
            ask_again(queue, note);
    } else if (is_nobodys(capsule))
        become(NOTE_CONSUMER, queue->number, CARRIER_NONE, CARRIER_NONE);
    else if (!queue_is_pool(queue) && (note == NULL || note->state != NOTE_SUSPECT))
        ask_first(capsule);
    if (capsule != NULL)
        py.Py_DecRef(capsule);
}

void consumer_fails(const struct queue *queue)
{
    greenlets_refresh();
    struct py_object *capsule = current_get();
    struct py_object *own = NULL;
    if (capsule != NULL && note_of(capsule)->state == NOTE_REQUEST)
        ask_first(capsule);
    if (capsule != NULL)
        own = current_get();
    if (own != NULL && note_is_own(own, current_context))
        note_of(own)->failed = queue->number;
    if (own != NULL)
        py.Py_DecRef(own);
    if (capsule != NULL)
        py.Py_DecRef(capsule);
}

/* --- takes ---------------------------------------------------------------------------------- */

static bool is_fed(const struct mark *mark)
{
    return mark->is_known && mark->handle != CARRIER_NONE && !mark->is_returned;
}

static bool is_strange(const struct queue *queue, const struct mark *mark, uint32_t request)
{
    if (!mark->is_known)
        return queue->is_work ||
               (!queue->has_returns && queue->feeder != CARRIER_NONE && queue->feeder != request);
    return mark->handle != request && (is_fed(mark) || queue->is_work);
}

/* What a request has fed it does not owe: another task of it may put the next one. */
static void owe(struct queue *queue, const struct mark *mark, uint32_t request)
{
    bool is_filled = queue->has_returns || queue->feeder == CARRIER_NONE;
    if (mark->is_returned || (!is_fed(mark) && is_filled))
        queue_owe(queue, request);
}

/* Has it taken before and done nothing for that? A task that does the taking for the consumer was
 * made by it, which is no use. */
static bool is_batch(const struct note *note, bool is_own)
{
    return note->has_taken && note->uses <= (is_own ? 0 : 1);
}

/* A suspect has outlived its request and takes one item of others after another. */
static bool is_proven(const struct note *note, const struct queue *queue, const struct mark *mark)
{
    return queue_is_believed(queue) && note->has_taken && is_fed(mark) &&
           !carrier_is_live(note->home);
}

static void take_again(struct queue *queue, const struct mark *mark, struct py_object *capsule)
{
    struct note *note = note_of(capsule);
    bool is_own = note_is_own(capsule, current_context);
    bool is_several = is_batch(note, is_own);
    if (note->state == NOTE_SUSPECT && !is_proven(note, queue, mark)) {
        note->has_taken = true;
        note->uses = 0;
    } else if (note->state == NOTE_CONSUMER && is_own && queue_is_pool(queue))
        become(NOTE_REQUEST, 0, CARRIER_NONE, CARRIER_NONE);
    else {
        bool is_known = !is_several && is_fed(mark) && queue_is_believed(queue);
        take(queue, capsule, NOTE_CONSUMER, is_known ? mark->handle : CARRIER_NONE, is_several);
    }
}

/* It is not a consumer of this queue, as far as is known. */
static void take_first(struct queue *queue, const struct mark *mark, struct py_object *capsule)
{
    struct note *note = note_of(capsule);
    uint32_t request = note_request(note);
    bool is_own = note_is_own(capsule, current_context);
    bool is_reader = is_own && note->is_read;
    if (!is_reader && is_strange(queue, mark, request)) {
        if (is_own && note->state == NOTE_CONSUMER)
            become(NOTE_CONSUMER, note->queue, CARRIER_NONE, CARRIER_NONE);
        else
            take(queue, capsule, NOTE_SUSPECT, CARRIER_NONE, false);
    } else if (!is_reader && is_own && note->is_woken && is_fed(mark) && queue_is_believed(queue))
        take(queue, capsule, NOTE_CONSUMER, mark->handle, false);
    else {
        queue->is_used |= is_reader && is_fed(mark);
        owe(queue, mark, request);
        note->has_taken = true;
    }
}

/* It is this message, unless others are at hand that it has taken before. */
static void take_message(const struct queue *queue, const struct mark *mark, struct py_object *old)
{
    bool is_batch = note_of(old)->is_batch;
    uint32_t handle = is_batch ? CARRIER_NONE : mark->handle;
    take(queue, old, NOTE_CONSUMER, handle, is_batch);
    struct py_object *capsule = current_get();
    struct note *note = note_of(capsule);
    if (note != NULL && capsule != old) {
        note->is_told = true;
        note->handed = carrier_hold(mark->handle);
        note->message = mark->message;
    }
    py.Py_DecRef(capsule);
}

void consumer_takes(struct queue *queue, struct mark mark)
{
    if (queue->is_handed && mark.handle == CARRIER_NONE)
        return; /* what a server says, or it is not known */
    greenlets_refresh();
    struct py_object *capsule = current_get();
    if (capsule == NULL) {
        queue->is_used |= is_fed(&mark);
        owe(queue, &mark, carrier_look().handle);
        return;
    }
    if (is_of(note_of(capsule), queue) && queue->is_handed)
        take_message(queue, &mark, capsule);
    else if (is_of(note_of(capsule), queue))
        take_again(queue, &mark, capsule);
    else
        take_first(queue, &mark, capsule);
    py.Py_DecRef(capsule);
}

/* --- puts ----------------------------------------------------------------------------------- */

/* It was in use, not in hand: the suspect is its request's, and nobody's consumer is nobody's. */
static void acquit(struct queue *queue, struct note *note)
{
    note->has_taken = false;
    queue->has_returns = true;
    if (queue->is_work)
        return;
    note->handle = note->home;
    note->home = CARRIER_NONE;
    note->state = NOTE_REQUEST;
    note->queue = 0;
}

static bool returns(struct queue *queue, struct note *note, uint32_t request)
{
    bool is_taker = is_of(note, queue);
    if (is_taker && note->state == NOTE_CONSUMER && note->handle != CARRIER_NONE)
        return false;
    if (is_taker && note->has_taken) {
        acquit(queue, note);
        return true;
    }
    if (queue_repay(queue, request))
        return true;
    if (note == NULL || note->failed != queue->number)
        return false;
    note->failed = 0; /* it made what it did not get */
    queue->has_returns = true;
    return true;
}

struct mark consumer_puts(struct queue *queue)
{
    greenlets_refresh();
    struct py_object *capsule = current_get();
    struct note *note = note_of(capsule);
    uint32_t request = note == NULL ? carrier_take_sure() : note_given(note);
    bool is_returned = returns(queue, note, request);
    if (!is_returned)
        queue_feed(queue, request);
    if (note != NULL && note->state == NOTE_SUSPECT) {
        carrier_drop(request); /* it may be what it took from another one */
        request = CARRIER_NONE;
    }
    if (note != NULL) {
        note->uses += !queue->is_sent;
        py.Py_DecRef(capsule);
    }
    return (struct mark){.handle = request, .is_known = true, .is_returned = is_returned};
}
