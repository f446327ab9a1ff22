/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tasks that a request makes, and that serve others besides. Such a one is handed work by a list,
 * which nobody sees, and tells who waits that it is done. It becomes a *suspect* (consumers.c), for
 * good and so without a parent, when
 *
 *   - it completes a future that something of a request waits for: it has handed something in, and
 *     may go on with whatever lies in the list;
 *   - it sets an Event for another request's;
 *   - it waits for an Event that two requests have set, or a Condition that two have notified which
 *     had not waited for it before: what they tell of may be anybody's.
 *
 * A lock, a pool or a queue that lets the next one in hands nothing over. What is known to do that
 * by futures of its own, or by a Condition, is in the table below. A task that has read its request
 * itself is none of these.
 */
#include <stddef.h>
#include <string.h>

#include "carrier.h"
#include "note.h"
#include "python.h"
#include "text.h"
#include "queue.h"

static __thread struct queue *signal; /* the Event or Condition that is being told of */

void signals_release(bool begins)
{
    python_thread.releases += begins ? 1 : -1;
}

bool signals_are_releases(void)
{
    return python_thread.releases > 0;
}

/* Of a request, made in it: its for ever, so far. What takes from queues is consumers.c's. */
static bool is_made(struct py_object *capsule, struct py_object *context)
{
    const struct note *note = note_of(capsule);
    return note != NULL && note->state == NOTE_REQUEST && note->handle != CARRIER_NONE &&
           note->asker == NULL && !note->has_taken &&
           (note->is_made || !note_is_own(capsule, context));
}

/* What runs in the context, which is entered, is nobody's from now on. */
static bool suspect(struct py_object *capsule, struct py_object *context)
{
    struct py_object *new = note_make(CARRIER_NONE);
    if (new == NULL)
        return false;
    struct note *note = note_of(new);
    note->state = NOTE_SUSPECT;
    note->home = carrier_hold(note_request(note_of(capsule)));
    note->is_made = true;
    note_put(new, context);
    return true;
}

static void suspect_here(struct py_object *capsule)
{
    if (!suspect(capsule, current_context))
        return;
    struct py_object *own = current_get();
    current_enter(own, current_context);
    if (own != NULL)
        py.Py_DecRef(own);
}

void signals_hand_in(void)
{
    struct py_object *capsule = current_get();
    if (python_thread.releases == 0 && current_context != NULL && is_made(capsule, current_context))
        suspect_here(capsule);
    py.Py_DecRef(capsule);
}

static uint32_t request_of(struct py_object *capsule)
{
    return capsule == NULL ? CARRIER_NONE : note_request(note_of(capsule));
}

/* In the context of what is woken: whose is it? */
static uint32_t wake(struct py_object *context, uint32_t request)
{
    struct py_object *capsule = current_get();
    uint32_t woken = request_of(capsule);
    if (signal != NULL && signal->is_work && woken != request && is_made(capsule, context))
        suspect(capsule, context);
    if (capsule != NULL)
        py.Py_DecRef(capsule);
    return woken;
}

void signals_wake(struct py_object *context)
{
    struct py_object *waker = current_get();
    uint32_t request = request_of(waker), woken = CARRIER_NONE;
    bool hands_in = python_thread.releases == 0 && current_context != NULL &&
                    context != current_context && is_made(waker, current_context) &&
                    tasks_have_loop() && tasks_is_task();
    if ((hands_in || signal != NULL) && py.PyContext_Enter(context) == 0) {
        woken = wake(context, request);
        py.PyContext_Exit(context);
    }
    py.PyErr_Clear();
    if (hands_in && woken != CARRIER_NONE && (signal == NULL || woken != request))
        suspect_here(waker);
    if (waker != NULL)
        py.Py_DecRef(waker);
}

/* By a task: a callback of the loop tells of what was read. */
static struct queue *signal_of(struct py_object *arguments)
{
    struct py_object *object = python_object_of(arguments);
    bool is_known = object != NULL && tasks_have_loop() && tasks_is_task();
    struct queue *signal = is_known ? queue_find(object) : NULL;
    return signal == NULL || signal->lets_in ? NULL : signal;
}

static struct py_object *tell(struct queue *told, struct py_object *original,
    struct py_object *arguments, struct py_object *keywords)
{
    struct queue *outer = signal;
    signal = told;
    struct py_object *result = py.PyObject_Call(original, arguments, keywords);
    signal = outer;
    return result;
}

static struct py_object *set(
    struct py_object *original, struct py_object *arguments, struct py_object *keywords)
{
    struct queue *event = signal_of(arguments);
    struct py_object *capsule = current_get();
    if (event != NULL)
        queue_feed(event, request_of(capsule));
    if (capsule != NULL)
        py.Py_DecRef(capsule);
    return tell(event, original, arguments, keywords);
}

static struct py_object *release(
    struct py_object *original, struct py_object *arguments, struct py_object *keywords)
{
    signals_release(true);
    struct py_object *result = py.PyObject_Call(original, arguments, keywords);
    signals_release(false);
    return result;
}

/* A pool is asked: its users wait at its Condition, and let each other in. */
static struct py_object *acquire(
    struct py_object *original, struct py_object *arguments, struct py_object *keywords)
{
    struct py_object *pool = python_object_of(arguments);
    struct py_object *condition = pool == NULL ? NULL : py.PyObject_GetAttrString(pool, "_cond");
    struct queue *queue = condition == NULL ? NULL : queue_find(condition);
    if (queue != NULL)
        queue->lets_in = true;
    if (condition != NULL)
        py.Py_DecRef(condition);
    py.PyErr_Clear();
    return py.PyObject_Call(original, arguments, keywords);
}

/* Who has waited, and now lets another one in, had something of a pool. */
static struct py_object *notify(
    struct py_object *original, struct py_object *arguments, struct py_object *keywords)
{
    struct queue *condition = signal_of(arguments);
    struct py_object *capsule = current_get();
    uint32_t request = request_of(capsule);
    if (condition != NULL && !queue_repay(condition, request))
        queue_feed(condition, request);
    if (capsule != NULL)
        py.Py_DecRef(capsule);
    signals_release(true);
    struct py_object *result = tell(condition, original, arguments, keywords);
    signals_release(false);
    return result;
}

static void wait_for(struct queue *told, bool is_condition)
{
    struct py_object *capsule = current_get();
    if (is_condition && !queue_owes(told, request_of(capsule)))
        queue_owe(told, request_of(capsule));
    if (told->is_work && current_context != NULL && is_made(capsule, current_context))
        suspect_here(capsule);
    if (capsule != NULL)
        py.Py_DecRef(capsule);
}

static struct py_object *wait_event(
    struct py_object *original, struct py_object *arguments, struct py_object *keywords)
{
    struct queue *event = signal_of(arguments);
    if (event != NULL)
        wait_for(event, false);
    return py.PyObject_Call(original, arguments, keywords);
}

static struct py_object *wait_condition(
    struct py_object *original, struct py_object *arguments, struct py_object *keywords)
{
    struct queue *condition = signal_of(arguments);
    if (condition != NULL)
        wait_for(condition, true);
    return py.PyObject_Call(original, arguments, keywords);
}

static py_method *original_cancel;

static void *our_cancel(void *self, void *a, void *b, void *c)
{
    signals_release(true);
    void *result = original_cancel(self, a, b, c);
    signals_release(false);
    return result;
}

/* Who asks to be told of a future that is done is told at once: nobody has completed it now. */
static union {
    py_method *method;
    py_wide_method *call;
} adds[2];

static void *add(int which, void *self, void *const arguments[4])
{
    signals_release(true);
    void *result = adds[which].call(self, arguments[0], arguments[1], arguments[2], arguments[3]);
    signals_release(false);
    return result;
}

static void *add_to_future(void *self, void *a, void *b, void *c, void *d)
{
    return add(0, self, (void *[]){a, b, c, d});
}

static void *add_to_task(void *self, void *a, void *b, void *c, void *d)
{
    return add(1, self, (void *[]){a, b, c, d});
}

static struct python_place rows[] = {
    {PLACE("_asyncio", "Task", "cancel"), {our_cancel}, &original_cancel},
    {PLACE("_asyncio", "Future", "add_done_callback"), {.wide = add_to_future}, &adds[0].method},
    {PLACE("_asyncio", "Task", "add_done_callback"), {.wide = add_to_task}, &adds[1].method},
    {PLACE("asyncio.locks", "Event", "set"), .call = set},
    {PLACE("asyncio.locks", "Event", "wait"), .call = wait_event},
    {PLACE("asyncio.locks", "Condition", "notify"), .call = notify},
    {PLACE("asyncio.locks", "Condition", "wait"), .call = wait_condition},
    {PLACE("asyncio.locks", "Condition", "wait_for"), .call = wait_condition},
};

const struct python_places signal_places = {rows, sizeof(rows) / sizeof(rows[0])};

/* Of pools, what asks for one of their things. */
#define ANYIO_LOCKS "anyio._core._synchronization"
/* clang-format off */
static const char table[] =
    PLACE("asyncio.locks", "Lock", "_wake_up_first") /* a Condition may have kept release */
    PLACE("asyncio.locks", "Semaphore", "release")
    PLACE("threading", "Semaphore", "release")
    PLACE("threading", "BoundedSemaphore", "release")
    PLACE(ANYIO_LOCKS, "Lock", "release")
    PLACE(ANYIO_LOCKS, "Condition", "notify")
    PLACE(ANYIO_LOCKS, "Condition", "notify_all")
    PLACE(ANYIO_LOCKS, "Semaphore", "release")
    PLACE("anyio._backends._asyncio", "CapacityLimiter", "release_on_behalf_of")
    PLACE("anyio.streams.memory", "MemoryObjectSendStream", "send_nowait")
    PLACE("anyio.streams.memory", "MemoryObjectReceiveStream", "receive_nowait")
    PLACE("aiohttp.connector", "BaseConnector", "_release_waiter")
    PLACE("httpcore._async.connection_pool", "RequestStatus", "set_connection")
    PLACE("httpcore._async.connection_pool", "AsyncPoolRequest", "assign_to_connection")
    PLACE("twisted.internet.defer", "DeferredLock", "release")
    PLACE("twisted.internet.defer", "DeferredSemaphore", "release")
    PLACE("aiomysql.pool", "Pool", "acquire")
    PLACE("aiopg.pool", "Pool", "acquire")
    PLACE("asyncmy.pool", "Pool", "acquire");
/* clang-format on */

uint32_t signals_look(struct py_object *modules)
{
    static uint32_t is_done;
    uint32_t missing = 0, bit = 1;
    for (const char *at = table; *at != '\0'; bit <<= 1) {
        struct python_place place = {.path = at};
        place.call = strcmp(text_nth(at, 2), "acquire") == 0 ? acquire : release;
        at = text_nth(at, 3);
        if ((is_done & bit) == 0 && python_fill(&place, modules))
            is_done |= bit;
        py.PyErr_Clear();
        missing += (is_done & bit) == 0;
    }
    return missing;
}
