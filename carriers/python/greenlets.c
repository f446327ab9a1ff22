/* SPDX-License-Identifier: Apache-2.0 */
/*
 * greenlets, which gevent makes: each has a context of its own (gr_context), which is empty at its
 * start. One that gevent starts gets what its maker's has of us, in a new context that has nothing
 * else. Nothing is told when another one runs, so a thread that runs them is in nothing but while
 * one of them sends or reads.
 *
 * It is its maker's request's until it takes a lock, or asks an Event or a queue of gevent's: then
 * it may be a worker that others give work, as a thread may be (threads.c), and is nobody's.
 */
#include <stddef.h>

#include "carrier.h"
#include "note.h"
#include "python.h"

static struct py_object *get_current;

void greenlets_look(void)
{
    if (get_current == NULL)
        get_current = tasks_attribute("greenlet", "getcurrent");
}

/* What an event loop runs in greenlets is the loop's. */
static bool is_switched(struct py_object *greenlet)
{
    struct py_object *parent = py.PyObject_GetAttrString(greenlet, "parent");
    if (parent == NULL)
        return false;
    bool is_main = parent == tasks_none();
    py.Py_DecRef(parent);
    return !is_main && !tasks_have_loop();
}

bool greenlets_refresh(void)
{
    struct py_object *greenlet =
        get_current == NULL ? NULL : py.PyObject_CallObject(get_current, NULL);
    if (greenlet == NULL) {
        if (get_current != NULL)
            py.PyErr_Clear();
        return false;
    }
    bool is_green = is_switched(greenlet);
    struct py_object *context = is_green ? py.PyObject_GetAttrString(greenlet, "gr_context") : NULL;
    if (is_green || python_thread.is_green)
        current_context = context == tasks_none() ? NULL : context;
    python_thread.is_green = is_green;
    if (context != NULL)
        py.Py_DecRef(context); /* the thread has it as long as it runs */
    py.PyErr_Clear();
    py.Py_DecRef(greenlet);
    return is_green;
}

void greenlets_leave(void)
{
    carrier_enter(CARRIER_NONE, false);
}

/* --- what starts one -------------------------------------------------------------------------- */

static py_method *original_start, *original_start_later;

/* Of the same request, for this one alone. What takes from queues is consumers.c's. */
static struct py_object *lend(struct py_object *capsule)
{
    const struct note *maker = note_of(capsule);
    if (maker->state != NOTE_REQUEST || maker->handle == CARRIER_NONE)
        return capsule;
    struct py_object *lent = note_make(carrier_hold(maker->handle));
    if (lent != NULL)
        note_of(lent)->is_given = true;
    py.Py_DecRef(capsule);
    return lent;
}

static void give(struct py_object *greenlet, struct py_object *capsule)
{
    struct py_object *context = py.PyContext_New();
    if (context == NULL || py.PyContext_Enter(context) != 0)
        return; /* what is raised is forgotten by who asks */
    struct py_object *token = current_put(capsule);
    py.PyContext_Exit(context);
    if (token != NULL)
        py.Py_DecRef(token);
    py.PyObject_SetAttrString(greenlet, "gr_context", context);
    py.Py_DecRef(context);
}

static void inherit(struct py_object *greenlet)
{
    struct python_error error = python_set_aside();
    struct py_object *context = py.PyObject_GetAttrString(greenlet, "gr_context");
    struct py_object *capsule = context == tasks_none() ? current_get() : NULL;
    if (capsule != NULL && (capsule = lend(capsule)) != NULL) {
        give(greenlet, capsule);
        py.Py_DecRef(capsule);
    }
    if (context != NULL)
        py.Py_DecRef(context);
    py.PyErr_Clear();
    python_put_back(error);
}

static void *our_start(void *self, void *a, void *b, void *c)
{
    if (python_is_ours())
        inherit(self);
    return original_start(self, a, b, c);
}

static void *our_start_later(void *self, void *a, void *b, void *c)
{
    if (python_is_ours())
        inherit(self);
    return original_start_later(self, a, b, c);
}

/* --- what one may be given work by ------------------------------------------------------------ */

struct py_object *greenlets_call_kept(
    struct py_object *original, struct py_object *arguments, struct py_object *keywords)
{
    struct py_object *capsule = python_is_ours() ? current_get() : NULL;
    if (capsule != NULL)
        note_of(capsule)->keeps++;
    signals_release(true);
    struct py_object *result = py.PyObject_Call(original, arguments, keywords);
    signals_release(false);
    if (capsule != NULL) {
        note_of(capsule)->keeps--;
        py.Py_DecRef(capsule);
    }
    return result;
}

void greenlets_hand_in(void)
{
    bool may_be = get_current != NULL && python_is_ours();
    struct py_object *capsule = may_be ? current_get() : NULL;
    struct note *note = note_of(capsule);
    if (note != NULL && note->is_given && note->keeps == 0) {
        carrier_drop(note->handle);
        note->handle = CARRIER_NONE;
        note->is_given = false;
    }
    if (capsule != NULL)
        py.Py_DecRef(capsule);
}

static struct py_object *lock(
    struct py_object *original, struct py_object *arguments, struct py_object *keywords)
{
    if (get_current != NULL && !threads_is_beginning(python_object_of(arguments)))
        greenlets_hand_in();
    return py.PyObject_Call(original, arguments, keywords);
}

static py_method *original_wait, *original_get, *original_simple_get;

static void *our_wait(void *self, void *a, void *b, void *c)
{
    greenlets_hand_in();
    return original_wait(self, a, b, c);
}

static void *our_get(void *self, void *a, void *b, void *c)
{
    greenlets_hand_in();
    return original_get(self, a, b, c);
}

static void *our_simple_get(void *self, void *a, void *b, void *c)
{
    greenlets_hand_in();
    return original_simple_get(self, a, b, c);
}

static struct python_place rows[] = {
    {PLACE("threading", "Thread", "_set_tstate_lock"), .call = greenlets_call_kept},
    {PLACE("gevent.select", "SelectResult", "select"), .call = greenlets_call_kept},
    {PLACE("gevent.select", "poll", "poll"), .call = greenlets_call_kept},
    {PLACE("threading", "_RLock", "acquire"), .call = greenlets_call_kept},
    {PLACE("threading", "_RLock", "__enter__"), .call = greenlets_call_kept},
    {PLACE("gevent.thread", "LockType", "acquire"), .call = lock},
    {PLACE("gevent.thread", "LockType", "__enter__"), .call = lock},
    {PLACE("gevent._gevent_cevent", "Event", "wait"), {our_wait}, &original_wait},
    {PLACE("gevent._gevent_cqueue", "Queue", "get"), {our_get}, &original_get},
    {PLACE("gevent._gevent_cqueue", "SimpleQueue", "get"), {our_simple_get}, &original_simple_get},
    {PLACE("gevent._gevent_cgreenlet", "Greenlet", "start"), {our_start}, &original_start},
    {PLACE("gevent._gevent_cgreenlet", "Greenlet", "start_later"), {our_start_later},
        &original_start_later},
};

const struct python_places greenlet_places = {rows, sizeof(rows) / sizeof(rows[0])};
