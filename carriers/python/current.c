/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The variable and its capsules. A capsule knows the context into which it was put (weakly): there
 * it was *adopted*, and may be replaced once its request is over. Contexts copied from that one
 * share the capsule: what runs in them was *made* in the request, and is its for ever.
 */
#include <stddef.h>

#include "carrier.h"
#include "python.h"

__thread struct py_object *current_context;
static struct py_object *variable;

bool current_start(void)
{
    variable = py.PyContextVar_New("burdock", NULL);
    return variable != NULL;
}

static uint32_t handle_of(struct py_object *capsule)
{
    return capsule == NULL ? CARRIER_NONE
                           : (uint32_t)(uintptr_t)py.PyCapsule_GetPointer(capsule, NULL);
}

static bool is_adopted(struct py_object *capsule, struct py_object *context)
{
    struct py_object *owner = py.PyCapsule_GetContext(capsule);
    return owner != NULL && py.PyWeakref_GetObject(owner) == context;
}

static bool is_orphan(struct py_object *capsule, struct py_object *context)
{
    return capsule == NULL ||
           (is_adopted(capsule, context) && !carrier_is_live(handle_of(capsule)));
}

static void destroy(struct py_object *capsule)
{
    struct py_object *owner = py.PyCapsule_GetContext(capsule);
    carrier_drop(handle_of(capsule));
    if (owner != NULL)
        py.Py_DecRef(owner);
}

struct py_object *current_capture(void)
{
    uint32_t handle = carrier_take();
    if (handle == CARRIER_NONE)
        return NULL;
    struct py_object *capsule = py.PyCapsule_New((void *)(uintptr_t)handle, NULL, destroy);
    if (capsule == NULL) {
        py.PyErr_Clear();
        carrier_drop(handle);
    }
    return capsule;
}

struct py_object *current_get(void)
{
    struct py_object *capsule = NULL;
    if (py.PyContextVar_Get(variable, NULL, &capsule) != 0)
        py.PyErr_Clear();
    return capsule;
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

/* Into the running context, which is `context` if that is not NULL, what the thread is in. */
static void set(struct py_object *context)
{
    struct py_object *capsule = current_capture();
    if (capsule == NULL)
        return;
    struct py_object *owner = context == NULL ? NULL : py.PyWeakref_NewRef(context, NULL);
    if (owner != NULL)
        py.PyCapsule_SetContext(capsule, owner);
    struct py_object *token = current_put(capsule);
    if (token != NULL)
        py.Py_DecRef(token);
    py.Py_DecRef(capsule);
}

void current_enter(struct py_object *capsule, struct py_object *context)
{
    uint32_t handle = handle_of(capsule);
    if (handle != CARRIER_NONE) {
        carrier_enter(handle, !is_adopted(capsule, context) || carrier_is_live(handle));
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

void current_adopt(struct py_object *context)
{
    uint32_t handle = carrier_look().handle;
    if (!carrier_is_live(handle))
        return;
    if (py.PyContext_Enter(context) != 0) { /* it runs: it woke itself */
        py.PyErr_Clear();
        return;
    }
    struct py_object *capsule = current_get();
    if (handle_of(capsule) != handle && is_orphan(capsule, context))
        set(context);
    py.PyContext_Exit(context);
    if (capsule != NULL)
        py.Py_DecRef(capsule);
}
