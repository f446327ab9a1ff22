/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The variable and its capsules. A capsule knows the context into which it was put (weakly): there
 * it was *adopted*, and may be replaced once its request is over. Contexts copied from that one
 * share the capsule: what runs in them was *made* in the request, and is its for ever. What takes
 * from queues is consumers.c's.
 */
#include <stddef.h>

#include "carrier.h"
#include "note.h"
#include "python.h"

__thread struct py_object *current_context;
__thread struct python_thread python_thread;
static struct py_object *variable;

bool current_start(void)
{
    variable = py.PyContextVar_New("burdock", NULL);
    return variable != NULL;
}

struct note *note_of(struct py_object *capsule)
{
    return capsule == NULL ? NULL : py.PyCapsule_GetPointer(capsule, NULL);
}

static uint32_t handle_of(struct py_object *capsule)
{
    return capsule == NULL ? CARRIER_NONE : note_of(capsule)->handle;
}

bool note_is_own(struct py_object *capsule, struct py_object *context)
{
    const struct note *note = note_of(capsule);
    if (note == NULL)
        return false;
    if (note->owner == NULL)
        return note->thread == &current_context && context == NULL;
    return py.PyWeakref_GetObject(note->owner) == context;
}

uint32_t note_request(const struct note *note)
{
    return note->state == NOTE_SUSPECT ? note->home : note->handle;
}

/* Of a request, or suspected, only while that is at work. */
static bool is_adopted(struct py_object *capsule, struct py_object *context)
{
    const struct note *note = note_of(capsule);
    return note->state != NOTE_CONSUMER && !note->is_made && note_is_own(capsule, context);
}

bool note_is_orphan(struct py_object *capsule, struct py_object *context)
{
    return capsule == NULL ||
           (is_adopted(capsule, context) && !carrier_is_live(note_request(note_of(capsule))));
}

void note_end(struct note *note)
{
    uint32_t handed = note->handed;
    note->handed = CARRIER_NONE;
    if (handed != CARRIER_NONE)
        carrier_worked(note->message.fd, note->message.key, handed);
    carrier_drop(handed);
}

static void destroy(struct py_object *capsule)
{
    struct note *note = note_of(capsule);
    carrier_drop(note->handle);
    carrier_drop(note->home);
    note_end(note);
    if (note->owner != NULL)
        py.Py_DecRef(note->owner);
    if (note->asker != NULL)
        py.Py_DecRef(note->asker);
    py.PyMem_Free(note);
}

struct py_object *note_make(uint32_t handle)
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

static struct py_object *capture(uint32_t handle)
{
    return handle == CARRIER_NONE ? NULL : note_make(handle);
}

struct py_object *current_get(void)
{
    struct py_object *capsule = NULL;
    if (py.PyContextVar_Get(variable, NULL, &capsule) != 0)
        py.PyErr_Clear();
    return capsule;
}

uint32_t note_given(const struct note *note)
{
    struct carrier_view view = carrier_look();
    uint32_t request = note_request(note);
    bool is_message = view.is_message && view.handle == request;
    bool is_one_of_many = note->thread != NULL && is_message && !note->is_told;
    return is_one_of_many ? CARRIER_NONE : carrier_hold(request);
}

struct py_object *current_made(void)
{
    struct py_object *capsule = current_get();
    if (capsule == NULL)
        return capture(carrier_take_sure());
    uint32_t given = note_given(note_of(capsule));
    carrier_drop(given);
    if (given != note_request(note_of(capsule)) || note_is_orphan(capsule, current_context)) {
        py.Py_DecRef(capsule);
        return note_make(CARRIER_NONE); /* what waits may be for the next request as well */
    }
    note_of(capsule)->uses++;
    return capsule;
}

struct py_object *current_put(struct py_object *capsule)
{
    struct py_object *token = py.PyContextVar_Set(variable, capsule);
    if (token == NULL)
        py.PyErr_Clear();
    return token;
}

struct py_object *current_be_nobodys(void)
{
    struct py_object *capsule = note_make(CARRIER_NONE);
    if (capsule == NULL)
        return NULL;
    struct py_object *token = current_put(capsule);
    current_enter(capsule, current_context);
    py.Py_DecRef(capsule);
    return token;
}

void current_leave(struct py_object *token)
{
    if (py.PyContextVar_Reset(variable, token) != 0)
        py.PyErr_Clear(); /* the context is another one by now */
    py.Py_DecRef(token);
}

void note_put(struct py_object *capsule, struct py_object *context)
{
    if (context == NULL)
        note_of(capsule)->thread = &current_context;
    else
        note_of(capsule)->owner = py.PyWeakref_NewRef(context, NULL);
    struct py_object *token = current_put(capsule);
    if (token != NULL)
        py.Py_DecRef(token);
    py.PyErr_Clear();
    py.Py_DecRef(capsule);
}

static struct served served_by(struct served old, struct served new)
{
    if (old.connection == 0 || new.connection == 0)
        return old.connection == 0 ? new : old;
    return old.connection == new.connection ? new : (struct served){-1, SERVES_MANY};
}

/* The running context has the handle, whose hold goes with it, and serves this one as well. */
static void set(
    struct py_object *context, uint32_t handle, bool is_read, bool is_woken, struct served served)
{
    struct py_object *capsule = handle == CARRIER_NONE ? NULL : note_make(handle);
    if (capsule == NULL)
        return;
    struct note *note = note_of(capsule);
    note->is_read = is_read;
    note->is_woken = is_woken;
    note->is_made = context == NULL; /* a thread works for what it reads until it reads */
    note->served = served;
    struct py_object *old = current_get();
    if (note_is_own(old, context))
        note->served = served_by(note_of(old)->served, served);
    if (old != NULL)
        py.Py_DecRef(old);
    note_put(capsule, context);
}

/* The running context is new: it adopts the handle, whose hold goes with it, and serves this. */
static void begin(struct py_object *context, uint32_t handle, struct served served)
{
    struct py_object *capsule = note_make(handle);
    if (capsule == NULL)
        return;
    note_of(capsule)->is_woken = handle != CARRIER_NONE;
    note_of(capsule)->served = served;
    note_put(capsule, context);
}

void current_make_late(struct py_object *context)
{
    struct py_object *old = current_get();
    const struct note *note = note_of(old);
    if (note != NULL && note->handle != CARRIER_NONE && note_is_orphan(old, current_context) &&
        py.PyContext_Enter(context) == 0) {
        begin(context, carrier_hold(note->handle), note->served);
        py.PyContext_Exit(context);
    }
    py.PyErr_Clear();
    if (old != NULL)
        py.Py_DecRef(old);
}

void current_serve(struct py_object *context, int fd, uint64_t connection)
{
    uint32_t request = connection == 0 ? CARRIER_NONE : carrier_take_of(fd, connection);
    carrier_drop(request);
    /* Once a request is there it may have been made for that one alone. */
    if (connection == 0 || request != CARRIER_NONE || py.PyContext_Enter(context) != 0) {
        py.PyErr_Clear();
        return;
    }
    struct py_object *old = current_get();
    if (note_is_orphan(old, context))
        begin(context, CARRIER_NONE, (struct served){fd, connection});
    if (old != NULL)
        py.Py_DecRef(old);
    py.PyContext_Exit(context);
}

static struct py_object *attend(struct py_object *context)
{
    struct py_object *capsule = current_get();
    if (consumer_catches_up(capsule, context)) {
        py.Py_DecRef(capsule);
        capsule = current_get();
    }
    struct served served = capsule == NULL ? (struct served){-1, 0} : note_of(capsule)->served;
    bool serves_one = served.connection != 0 && served.connection != SERVES_MANY;
    if (!serves_one || !note_is_orphan(capsule, context))
        return capsule;
    py.Py_DecRef(capsule);
    set(context, carrier_take_of(served.fd, served.connection), true, true, served);
    return current_get();
}

void current_attend(void)
{
    struct py_object *capsule = attend(current_context);
    if (capsule != NULL)
        py.Py_DecRef(capsule);
}

bool current_begin(struct py_object *context, struct py_object **capsule)
{
    if (py.PyContext_Enter(context) != 0) {
        py.PyErr_Clear();
        return false;
    }
    *capsule = attend(context);
    py.PyContext_Exit(context);
    return true;
}

/* The context may be that of all connections of a server: nothing stays in it. */
struct py_object *current_lend(struct py_object *context)
{
    struct carrier_view view = carrier_look();
    if (view.handle == CARRIER_NONE || view.is_carried || py.PyContext_Enter(context) != 0) {
        py.PyErr_Clear();
        return NULL;
    }
    if (view.is_message)
        carrier_follow();
    struct py_object *capsule = capture(carrier_take()), *token = NULL;
    if (capsule != NULL) {
        note_of(capsule)->is_read = view.is_request;
        note_of(capsule)->owner = py.PyWeakref_NewRef(context, NULL);
        token = current_put(capsule);
        py.Py_DecRef(capsule);
    }
    py.PyErr_Clear();
    py.PyContext_Exit(context);
    return token;
}

void current_return(struct py_object *context, struct py_object *token)
{
    if (py.PyContext_Enter(context) != 0) {
        py.PyErr_Clear();
        py.Py_DecRef(token);
        return;
    }
    current_leave(token);
    py.PyContext_Exit(context);
}

void current_enter(struct py_object *capsule, struct py_object *context)
{
    uint32_t handle = handle_of(capsule);
    if (handle != CARRIER_NONE) {
        bool is_sure = !is_adopted(capsule, context) || carrier_is_live(handle);
        carrier_enter(handle, is_sure && !note_of(capsule)->is_tried);
        return;
    }
    /* A thread that serves one request at a time is not told whose that is. */
    struct carrier_view view = carrier_look();
    if (view.handle != CARRIER_NONE &&
        (capsule != NULL || (view.is_carried && !view.is_started) || tasks_are_scheduled()))
        carrier_enter(CARRIER_NONE, false);
}

struct py_object *current_call(struct py_object *capsule, struct py_object *function,
    struct py_object *arguments, struct py_object *keywords)
{
    struct carrier_view before = carrier_look();
    carrier_hold(before.handle);
    python_thread.has_fired |= note_of(capsule)->is_tried;
    struct py_object *token = current_put(capsule);
    current_enter(capsule, current_context);
    struct py_object *result = py.PyObject_Call(function, arguments, keywords);
    struct python_error error = python_set_aside();
    if (token != NULL)
        current_leave(token);
    if (before.is_started) /* what else comes is not for that one */
        carrier_enter(CARRIER_NONE, false);
    else
        carrier_return(before);
    carrier_drop(before.handle);
    python_put_back(error);
    return result;
}

void current_tell(void)
{
    struct py_object *capsule = current_get();
    current_enter(capsule, current_context);
    if (capsule == NULL)
        return;
    note_of(capsule)->uses++;
    py.Py_DecRef(capsule);
}

/* A loop's callback is at work on what it read. A task that read an answer stays what it is. */
static bool learns(struct py_object *capsule, const struct carrier_view *view)
{
    return view->is_request || note_is_orphan(capsule, current_context) || !tasks_is_task();
}

void current_learn(int fd)
{
    struct carrier_view view = carrier_look();
    if (view.handle == CARRIER_NONE)
        return;
    if (view.is_message && tasks_are_scheduled())
        carrier_follow();
    struct py_object *capsule = current_get();
    if (handle_of(capsule) == view.handle)
        current_enter(capsule, current_context);
    else if (!view.is_request && !view.is_message && greenlets_refresh())
        ; /* an answer on a connection that others use, too */
    else if (capsule == NULL && !tasks_are_scheduled())
        ; /* the thread's one request: nobody needs to be told */
    else if (learns(capsule, &view)) {
        struct served served = {fd, view.is_request && fd >= 0 ? carrier_serves_by(fd) : 0};
        set(current_context, carrier_take(), view.is_request, false, served);
        carrier_enter(view.handle, true);
    } else
        current_enter(capsule, current_context);
    if (capsule != NULL)
        py.Py_DecRef(capsule);
    if (view.is_request)
        python_look_again();
}

/* Who reads for a connection wakes what serves it. A task wakes its workers. */
static struct served served_of(const struct note *waker, bool is_task)
{
    bool is_reader = waker != NULL && waker->is_read && !is_task;
    return is_reader ? waker->served : (struct served){-1, 0};
}

/* Not by another task while a request waits: the work may be that one's. */
static void adopt(struct py_object *context, struct note *waker, bool is_use)
{
    uint32_t handle = carrier_look().handle;
    struct py_object *capsule = current_get();
    if (waker != NULL && note_of(capsule) == waker)
        waker->uses += is_use; /* what it made, or itself */
    else if (!consumer_follows(capsule, context, waker) && carrier_is_live(handle) &&
             handle_of(capsule) != handle && note_is_orphan(capsule, context)) {
        bool is_task = tasks_is_task();
        if (!is_task || !carrier_somebody_starves())
            set(context, carrier_take(), carrier_look().is_request, true,
                served_of(waker, is_task));
    }
    if (capsule != NULL)
        py.Py_DecRef(capsule);
}

void current_adopt(struct py_object *context, bool is_use)
{
    struct py_object *waker = current_get();
    struct note *note = note_of(waker);
    if ((note != NULL && note->state != NOTE_REQUEST) || carrier_is_live(carrier_look().handle)) {
        if (py.PyContext_Enter(context) == 0) {
            adopt(context, note, is_use);
            py.PyContext_Exit(context);
        } else
            py.PyErr_Clear(); /* it runs: it woke itself */
    }
    if (waker != NULL)
        py.Py_DecRef(waker);
}
