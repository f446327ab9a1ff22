/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The variable and its capsules. A capsule knows the context into which it was put (weakly): there
 * it was *adopted*, and may be replaced once its request is over. Contexts copied from that one
 * share the capsule: what runs in them was *made* in the request, and is its for ever.
 *
 * What takes from a queue while it is nobody's is that queue's *consumer*: it belongs to whoever
 * put the item that it took last, for certain, to nobody between two, and nobody else moves it.
 * Where a task of its own does the taking (asyncio.wait_for), it follows that one.
 */
#include <stddef.h>

#include "carrier.h"
#include "python.h"

struct note {
    uint32_t handle;         /* CARRIER_NONE: a consumer that has no item, or nobody's */
    bool is_read;            /* its own request came in while it was adopted */
    struct py_object *owner; /* weakly, into which it was put; NULL: a thread's own context */
    const void *queue;       /* whose consumer has it; only compared */
    const void *asked;       /* the last queue that a task asked which was woken by chance */
    uint64_t serial;         /* unlike an address not used again */
    uint64_t follower;       /* the serial that what waits for this taking has; 0: nothing does */
};

__thread struct py_object *current_context;
static struct py_object *variable;

bool current_start(void)
{
    variable = py.PyContextVar_New("burdock", NULL);
    return variable != NULL;
}

static struct note *note_of(struct py_object *capsule)
{
    return capsule == NULL ? NULL : py.PyCapsule_GetPointer(capsule, NULL);
}

static uint32_t handle_of(struct py_object *capsule)
{
    return capsule == NULL ? CARRIER_NONE : note_of(capsule)->handle;
}

static bool is_adopted(struct py_object *capsule, struct py_object *context)
{
    const struct note *note = note_of(capsule);
    if (note == NULL)
        return false;
    if (note->owner == NULL)
        return note->queue != NULL && context == NULL;
    return py.PyWeakref_GetObject(note->owner) == context;
}

static bool is_orphan(struct py_object *capsule, struct py_object *context)
{
    return capsule == NULL || (note_of(capsule)->queue == NULL && is_adopted(capsule, context) &&
                                  !carrier_is_live(handle_of(capsule)));
}

static void destroy(struct py_object *capsule)
{
    struct note *note = note_of(capsule);
    carrier_drop(note->handle);
    if (note->owner != NULL)
        py.Py_DecRef(note->owner);
    py.PyMem_Free(note);
}

/* The handle's hold goes with it. */
static struct py_object *make(uint32_t handle)
{
    static uint64_t last_serial;
    struct note *note = py.PyMem_Malloc(sizeof(*note));
    struct py_object *capsule = NULL;
    if (note != NULL) {
        last_serial++;
        *note = (struct note){.handle = handle, .serial = last_serial};
        capsule = py.PyCapsule_New(note, NULL, destroy);
    }
    if (capsule != NULL)
        return capsule;
    py.PyErr_Clear();
    py.PyMem_Free(note);
    carrier_drop(handle);
    return NULL;
}

struct py_object *current_capture(void)
{
    uint32_t handle = carrier_take();
    return handle == CARRIER_NONE ? NULL : make(handle);
}

struct py_object *current_get(void)
{
    struct py_object *capsule = NULL;
    if (py.PyContextVar_Get(variable, NULL, &capsule) != 0)
        py.PyErr_Clear();
    return capsule;
}

struct py_object *current_made(void)
{
    struct py_object *capsule = current_get();
    return capsule == NULL ? current_capture() : capsule;
}

bool current_peek(struct py_object *context, struct py_object **capsule)
{
    if (py.PyContext_Enter(context) != 0) {
        py.PyErr_Clear();
        return false;
    }
    *capsule = current_get();
    py.PyContext_Exit(context);
    return true;
}

struct py_object *current_put(struct py_object *capsule)
{
    struct py_object *token = py.PyContextVar_Set(variable, capsule);
    if (token == NULL)
        py.PyErr_Clear();
    return token;
}

void current_leave(struct py_object *token)
{
    if (py.PyContextVar_Reset(variable, token) != 0)
        py.PyErr_Clear(); /* the context is another one by now */
    py.Py_DecRef(token);
}

/* Into the running context, which is `context` if that is not NULL. The capsule's reference goes
 * with it. */
static void put(struct py_object *capsule, struct py_object *context)
{
    if (capsule == NULL)
        return;
    note_of(capsule)->owner = context == NULL ? NULL : py.PyWeakref_NewRef(context, NULL);
    struct py_object *token = current_put(capsule);
    if (token != NULL)
        py.Py_DecRef(token);
    py.Py_DecRef(capsule);
}

/* What the thread is in. */
static void set(struct py_object *context)
{
    struct py_object *capsule = current_capture();
    if (capsule != NULL)
        note_of(capsule)->is_read = carrier_look().is_request;
    put(capsule, context);
}

void current_enter(struct py_object *capsule, struct py_object *context)
{
    uint32_t handle = handle_of(capsule);
    if (handle != CARRIER_NONE) {
        bool is_certain = note_of(capsule)->queue != NULL || !is_adopted(capsule, context);
        carrier_enter(handle, is_certain || carrier_is_live(handle));
        return;
    }
    /* A thread that serves one request at a time is not told whose that is. */
    struct carrier_view view = carrier_look();
    if (view.handle != CARRIER_NONE && (view.is_carried || tasks_are_scheduled()))
        carrier_enter(CARRIER_NONE, false);
}

void current_tell(void)
{
    struct py_object *capsule = current_get();
    current_enter(capsule, current_context);
    if (capsule != NULL)
        py.Py_DecRef(capsule);
}

/* A loop's callback is at work on what it read. A task that read an answer stays what it is. */
static bool learns(struct py_object *capsule, const struct carrier_view *view)
{
    return view->is_request || is_orphan(capsule, current_context) || !tasks_is_task();
}

void current_learn(void)
{
    struct carrier_view view = carrier_look();
    if (view.handle == CARRIER_NONE)
        return;
    struct py_object *capsule = current_get();
    if (handle_of(capsule) == view.handle)
        current_enter(capsule, current_context);
    else if (capsule == NULL && !tasks_are_scheduled())
        ; /* the thread's one request: nobody needs to be told */
    else if (learns(capsule, &view)) {
        set(current_context);
        carrier_enter(view.handle, true);
    } else
        current_enter(capsule, current_context);
    if (capsule != NULL)
        py.Py_DecRef(capsule);
    if (view.is_request)
        python_look_again();
}

/* The running context is a consumer's, with what it has taken. */
static void consume(
    const void *queue, uint32_t handle, uint64_t follower, struct py_object *context)
{
    struct py_object *capsule = make(carrier_hold(handle));
    if (capsule == NULL)
        return;
    note_of(capsule)->queue = queue;
    note_of(capsule)->follower = follower;
    put(capsule, context);
}

/* What the running context's task has taken is for what waits for it. */
static bool follow(struct py_object *capsule, struct py_object *context, const struct note *taker)
{
    struct note *old = note_of(capsule);
    if (old == NULL || taker == NULL || taker->follower != old->serial)
        return false;
    consume(taker->queue, taker->handle, is_adopted(capsule, context) ? 0 : old->serial, context);
    return true;
}

static void adopt(struct py_object *context, const struct note *waker)
{
    uint32_t handle = carrier_look().handle;
    struct py_object *capsule = current_get();
    if (!follow(capsule, context, waker) && carrier_is_live(handle) &&
        handle_of(capsule) != handle && is_orphan(capsule, context))
        set(context);
    if (capsule != NULL)
        py.Py_DecRef(capsule);
}

void current_adopt(struct py_object *context)
{
    struct py_object *waker = current_get();
    if ((waker != NULL && note_of(waker)->follower != 0) ||
        carrier_is_live(carrier_look().handle)) {
        if (py.PyContext_Enter(context) == 0) {
            adopt(context, note_of(waker));
            py.PyContext_Exit(context);
        } else
            py.PyErr_Clear(); /* it runs: it woke itself */
    }
    if (waker != NULL)
        py.Py_DecRef(waker);
}

/* A thread that serves one request, or was started in one, consumes nothing. */
static bool may_consume(struct py_object *capsule, struct py_object *context)
{
    struct carrier_view view = carrier_look();
    if (capsule == NULL)
        return view.handle == CARRIER_NONE || view.is_carried || tasks_are_scheduled();
    return is_orphan(capsule, context) && !note_of(capsule)->is_read;
}

void current_asks(const void *queue)
{
    struct py_object *capsule = current_get();
    struct note *own = is_adopted(capsule, current_context) ? note_of(capsule) : NULL;
    bool is_consumer = own != NULL && own->queue == queue;
    if (own != NULL && own->queue == NULL)
        own->asked = queue;
    if (is_consumer ? own->handle != CARRIER_NONE : may_consume(capsule, current_context)) {
        consume(queue, CARRIER_NONE, 0, current_context);
        current_tell();
    }
    if (capsule != NULL)
        py.Py_DecRef(capsule);
}

/* It has taken an item that another request put: does it go on with that one? It may as well have
 * taken something to work with, from a pool. */
static void judge(const struct note *note, bool is_own, const void *queue, uint32_t handle)
{
    bool is_woken = note->queue == NULL && !note->is_read && (is_own || note->asked == queue);
    uint64_t follower = is_own ? 0 : note->serial;
    if (note->queue == queue || (is_woken && note->handle == handle))
        consume(queue, handle, follower, current_context);
    else if (note->handle == handle)
        return;
    else if (is_own && note->queue != NULL)
        consume(note->queue, CARRIER_NONE, 0, current_context);
    else if (is_woken || (!is_own && !carrier_is_live(note->handle)))
        consume(queue, CARRIER_NONE, follower, current_context);
    else
        return;
    current_tell();
}

void current_takes(const void *queue, struct py_object *item)
{
    struct py_object *capsule = current_get();
    const struct note *note = note_of(capsule);
    if (note == NULL)
        return;
    judge(note, is_adopted(capsule, current_context), queue, handle_of(item));
    py.Py_DecRef(capsule);
}
