/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Queues of items, between tasks and between threads: beside a queue's items stands, in a deque in
 * the same order, who put each. What a queue does with its items it does in _put and _get, under
 * its own lock if it has one, so the order is the same for certain. Where the two differ in length
 * the program has been at the items itself: of those that are in the queue by then nobody is known.
 */
#include <stddef.h>

#include "python.h"

static struct py_object *deque, *beside, *none;

static bool know(void)
{
    if (deque == NULL) {
        struct py_object *module =
            py.PyDict_GetItemString(py.PyImport_GetModuleDict(), "collections");
        deque = module == NULL ? NULL : py.PyObject_GetAttrString(module, "deque");
        beside = py.PyUnicode_InternFromString("_burdock");
        none = py.Py_BuildValue("");
    }
    return deque != NULL && beside != NULL && none != NULL;
}

/* The deque beside the queue's items; a new reference or NULL. */
static struct py_object *marks_of(struct py_object *queue)
{
    struct py_object *marks = py.PyObject_GetAttr(queue, beside);
    if (marks != NULL)
        return marks;
    py.PyErr_Clear();
    marks = py.PyObject_CallObject(deque, NULL);
    if (marks != NULL && py.PyObject_SetAttr(queue, beside, marks) == 0)
        return marks;
    if (marks != NULL)
        py.Py_DecRef(marks);
    return NULL;
}

static void call(struct py_object *marks, const char *name)
{
    struct py_object *result = py.PyObject_CallMethod(marks, name, NULL);
    if (result != NULL)
        py.Py_DecRef(result);
}

static bool mark(struct py_object *marks, struct py_object *capsule)
{
    struct py_object *result =
        py.PyObject_CallMethod(marks, "append", "O", capsule == NULL ? none : capsule);
    if (result != NULL)
        py.Py_DecRef(result);
    return result != NULL;
}

static long length_of(struct py_object *queue, const char *items_name)
{
    struct py_object *items = py.PyObject_GetAttrString(queue, items_name);
    if (items == NULL)
        return -1;
    long length = py.PyObject_Size(items);
    py.Py_DecRef(items);
    return length;
}

/* As many marks as items. */
static bool align(struct py_object *marks, long length)
{
    long count = py.PyObject_Size(marks);
    if (count == length)
        return true;
    call(marks, "clear");
    for (count = 0; count < length && mark(marks, NULL); count++)
        ;
    return count == length;
}

/* A new reference, or NULL: nobody, or not known. `end` is of the deque's methods. */
static struct py_object *take(struct py_object *queue, const char *items_name, const char *end)
{
    struct py_object *marks = know() ? marks_of(queue) : NULL;
    if (marks == NULL)
        return NULL;
    struct py_object *found = align(marks, length_of(queue, items_name))
                                  ? py.PyObject_CallMethod(marks, end, NULL)
                                  : NULL;
    py.Py_DecRef(marks);
    if (found != none)
        return found;
    py.Py_DecRef(found);
    return NULL;
}

static void give(struct py_object *queue, const char *items_name)
{
    struct py_object *marks = know() ? marks_of(queue) : NULL;
    if (marks == NULL)
        return;
    struct py_object *capsule = current_made();
    if (align(marks, length_of(queue, items_name)))
        mark(marks, capsule);
    if (capsule != NULL)
        py.Py_DecRef(capsule);
    py.Py_DecRef(marks);
}

static struct py_object *queue_of(struct py_object *arguments)
{
    return py.PyTuple_GetItem(arguments, 0);
}

static struct py_object *put_by(const char *items_name, struct py_object *original,
    struct py_object *arguments, struct py_object *keywords)
{
    if (python_is_ours()) {
        give(queue_of(arguments), items_name);
        py.PyErr_Clear();
    }
    return py.PyObject_Call(original, arguments, keywords);
}

/* end NULL: the queue has an order of its own, so who put the item is not known. */
static struct py_object *get_by(const char *items_name, const char *end, struct py_object *original,
    struct py_object *arguments, struct py_object *keywords)
{
    if (!python_is_ours())
        return py.PyObject_Call(original, arguments, keywords);
    struct py_object *queue = queue_of(arguments);
    struct py_object *capsule = end == NULL ? NULL : take(queue, items_name, end);
    py.PyErr_Clear();
    struct py_object *result = py.PyObject_Call(original, arguments, keywords);
    struct python_error error = python_set_aside();
    if (result != NULL)
        current_takes(queue, capsule);
    if (capsule != NULL)
        py.Py_DecRef(capsule);
    python_put_back(error);
    return result;
}

static struct py_object *ask(
    struct py_object *original, struct py_object *arguments, struct py_object *keywords)
{
    if (python_is_ours() && arguments != NULL && py.PyObject_Size(arguments) > 0)
        current_asks(queue_of(arguments));
    py.PyErr_Clear();
    return py.PyObject_Call(original, arguments, keywords);
}

static struct py_object *put_task(
    struct py_object *original, struct py_object *arguments, struct py_object *keywords)
{
    return put_by("_queue", original, arguments, keywords);
}

static struct py_object *put_thread(
    struct py_object *original, struct py_object *arguments, struct py_object *keywords)
{
    return put_by("queue", original, arguments, keywords);
}

static struct py_object *first_task(
    struct py_object *original, struct py_object *arguments, struct py_object *keywords)
{
    return get_by("_queue", "popleft", original, arguments, keywords);
}

static struct py_object *last_task(
    struct py_object *original, struct py_object *arguments, struct py_object *keywords)
{
    return get_by("_queue", "pop", original, arguments, keywords);
}

static struct py_object *first_thread(
    struct py_object *original, struct py_object *arguments, struct py_object *keywords)
{
    return get_by("queue", "popleft", original, arguments, keywords);
}

static struct py_object *last_thread(
    struct py_object *original, struct py_object *arguments, struct py_object *keywords)
{
    return get_by("queue", "pop", original, arguments, keywords);
}

static struct py_object *any(
    struct py_object *original, struct py_object *arguments, struct py_object *keywords)
{
    return get_by(NULL, NULL, original, arguments, keywords);
}

static struct python_place rows[] = {
    {"asyncio.queues", "Queue", "get", .call = ask},
    {"asyncio.queues", "Queue", "get_nowait", .call = ask},
    {"asyncio.queues", "Queue", "_put", .call = put_task},
    {"asyncio.queues", "Queue", "_get", .call = first_task},
    {"asyncio.queues", "LifoQueue", "_put", .call = put_task},
    {"asyncio.queues", "LifoQueue", "_get", .call = last_task},
    {"asyncio.queues", "PriorityQueue", "_get", .call = any},
    {"queue", "Queue", "get", .call = ask},
    {"queue", "Queue", "_put", .call = put_thread},
    {"queue", "Queue", "_get", .call = first_thread},
    {"queue", "LifoQueue", "_put", .call = put_thread},
    {"queue", "LifoQueue", "_get", .call = last_thread},
    {"queue", "PriorityQueue", "_get", .call = any},
};

const struct python_places queue_places = {rows, sizeof(rows) / sizeof(rows[0])};
