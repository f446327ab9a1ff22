/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tasks of Celery. A pool is given each by its request, which has the headers of its message: those
 * of AMQP are known by then (messages.c), of others the thread has just read the one that they
 * name, or it was put off, and is worked on beside that, as the child of the span that has sent it.
 *
 * A pool of processes that are forked (billiard) gives them on by a pipe, to a process that has the
 * request and nothing else, until it comes to the next one.
 *
 * None of the program's code runs here, and no bytecode, so that no signal is looked at.
 */
#include <stddef.h>

#include "carrier.h"
#include "note.h"
#include "python.h"

static bool is_worker(void)
{
    struct py_object *identity =
        python_attribute_of(tasks_attribute("billiard.process", "_current_process"), "_identity");
    bool is_it = identity != NULL && py.PyObject_Size(identity) > 0;
    py.PyErr_Clear();
    py.Py_DecRef(identity);
    return is_it;
}

static const char *text_in(struct py_object *request, const char *name)
{
    struct py_object *text = py.PyDict_GetItemString(request, name);
    return text == NULL || text == tasks_none() ? NULL : py.PyUnicode_AsUTF8(text);
}

/* Not what a task calls by itself, without a message. */
static bool is_of_message(struct py_object *request)
{
    struct py_object *is_eager = py.PyDict_GetItemString(request, "is_eager");
    return is_eager != NULL && py.PyLong_AsLong(is_eager) == 0;
}

static struct py_object *note_of_task(struct py_object *request)
{
    const char *traceparent = text_in(request, "traceparent");
    uint32_t handle = traceparent == NULL
                          ? CARRIER_NONE
                          : carrier_take_remote(traceparent, text_in(request, "tracestate"));
    struct py_object *capsule = note_make(handle);
    if (capsule == NULL)
        return NULL;
    note_of(capsule)->is_made = true;
    note_of(capsule)->is_read = true; /* it takes nobody's work from queues */
    return capsule;
}

static void enter(struct py_object *request)
{
    struct py_object *capsule = is_of_message(request) ? note_of_task(request) : NULL;
    if (capsule == NULL)
        return;
    note_put(capsule, current_context);
    current_enter(capsule, current_context);
}

/* self, the request as a dictionary */
static struct py_object *begin(
    struct py_object *original, struct py_object *arguments, struct py_object *keywords)
{
    if (python_object_of(arguments) != NULL && py.PyObject_Size(arguments) == 2 && is_worker())
        enter(py.PyTuple_GetItem(arguments, 1));
    py.PyErr_Clear();
    return py.PyObject_Call(original, arguments, keywords);
}

/* self, what is called, with what: the task, its number, its request... */
static struct py_object *request_given(struct py_object *arguments)
{
    struct py_object *with =
        py.PyObject_Size(arguments) > 2 ? py.PyTuple_GetItem(arguments, 2) : NULL;
    bool is_task = with != NULL && py.PyObject_Size(with) > 2;
    struct py_object *request = is_task ? py.PyTuple_GetItem(with, 2) : NULL;
    bool is_named = request != NULL && text_in(request, "traceparent") != NULL;
    py.PyErr_Clear();
    return is_named ? request : NULL;
}

static bool is_known(void)
{
    struct py_object *capsule = current_get();
    bool is_it = capsule != NULL && note_of(capsule)->handle != CARRIER_NONE;
    py.Py_DecRef(capsule);
    return is_it;
}

static struct py_object *give(
    struct py_object *original, struct py_object *arguments, struct py_object *keywords)
{
    struct py_object *request = python_is_ours() ? request_given(arguments) : NULL;
    struct py_object *capsule = request == NULL || is_known() ? NULL : note_of_task(request);
    if (capsule == NULL)
        return py.PyObject_Call(original, arguments, keywords);
    struct py_object *result = current_call(capsule, original, arguments, keywords);
    py.Py_DecRef(capsule);
    return result;
}

/* What is on top of a LocalStack on this thread; the stack's reference goes with it. */
static struct py_object *top_of(struct py_object *stack)
{
    struct py_object *local = python_attribute_of(stack, "_local"), *top = NULL;
    py.Py_IncRef(local);
    struct py_object *storage = python_attribute_of(local, "__storage__");
    struct py_object *identify = python_attribute_of(local, "__ident_func__");
    struct py_object *key = identify == NULL ? NULL : py.PyObject_CallObject(identify, NULL);
    struct py_object *mine =
        storage == NULL || key == NULL ? NULL : py.PyDict_GetItem(storage, key);
    struct py_object *items = mine == NULL ? NULL : py.PyDict_GetItemString(mine, "stack");
    long count = items == NULL ? 0 : py.PyObject_Size(items);
    if (count > 0)
        top = py.PySequence_GetItem(items, count - 1);
    py.PyErr_Clear();
    py.Py_DecRef(storage);
    py.Py_DecRef(identify);
    py.Py_DecRef(key);
    return top;
}

void celery_look(void)
{
    if (!is_worker())
        return;
    struct py_object *task = top_of(tasks_attribute("celery._state", "_task_stack"));
    struct py_object *request =
        python_attribute_of(top_of(python_attribute_of(task, "request_stack")), "__dict__");
    if (request != NULL)
        enter(request);
    py.PyErr_Clear();
    py.Py_DecRef(request);
}

static struct python_place rows[] = {
    {PLACE("celery.app.task", "Context", "__init__"), .call = begin},
    {PLACE("celery.concurrency.thread", "TaskPool", "on_apply"), .call = give},
    {PLACE("celery.concurrency.gevent", "TaskPool", "on_apply"), .call = give},
    {PLACE("celery.concurrency.eventlet", "TaskPool", "on_apply"), .call = give},
};

const struct python_places celery_places = {rows, sizeof(rows) / sizeof(rows[0])};
