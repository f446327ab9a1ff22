/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Queues of items, between tasks and between threads: what puts and gets (consumers.c), and in
 * which order the queue itself has the items (queue.c).
 */
#include <stddef.h>

#include "carrier.h"
#include "python.h"
#include "queue.h"

/* What this thread's call of _get or _put, within get or put, has seen. Not where the call began:
 * its stack may be another greenlet's by then. */
static __thread struct py_object *was_put, *was_got;
static __thread struct mark got;

static struct queue *queue_of(struct py_object *arguments)
{
    struct py_object *object = python_object_of(arguments);
    return object == NULL ? NULL : queue_find(object);
}

static long length_of(struct py_object *object, const char *items_name)
{
    struct py_object *items = py.PyObject_GetAttrString(object, items_name);
    long length = items == NULL ? -1 : py.PyObject_Size(items);
    if (items != NULL)
        py.Py_DecRef(items);
    py.PyErr_Clear();
    return length;
}

/* --- what a queue does with its items --------------------------------------------------------- */

static struct py_object *push_by(const char *items_name, struct py_object *original,
    struct py_object *arguments, struct py_object *keywords)
{
    struct py_object *object = python_object_of(arguments);
    long length = object == NULL ? -1 : length_of(object, items_name);
    struct queue *queue = object == NULL ? NULL : queue_find(object);
    if (queue != NULL) {
        struct py_object *item =
            py.PyObject_Size(arguments) > 1 ? py.PyTuple_GetItem(arguments, 1) : NULL;
        struct mark mark;
        if (!nats_puts(queue, item, &mark))
            mark = consumer_puts(queue);
        mark.item = item;
        queue_push(queue, length, mark);
        was_put = object;
    }
    return py.PyObject_Call(original, arguments, keywords);
}

static struct py_object *pop_by(const char *items_name, bool is_last, struct py_object *original,
    struct py_object *arguments, struct py_object *keywords)
{
    struct py_object *object = python_object_of(arguments);
    long length = object == NULL ? -1 : length_of(object, items_name);
    struct queue *queue = object == NULL ? NULL : queue_find(object);
    if (queue != NULL) {
        carrier_drop(got.handle);
        got = queue_pop(queue, length, is_last);
        was_got = object;
    }
    return py.PyObject_Call(original, arguments, keywords);
}

/* What comes first is known by what comes. Comparing items may run code of the program's. */
static struct py_object *pick_by(const char *items_name, struct py_object *original,
    struct py_object *arguments, struct py_object *keywords)
{
    struct py_object *object = python_object_of(arguments);
    long length = object == NULL ? -1 : length_of(object, items_name);
    struct py_object *result = py.PyObject_Call(original, arguments, keywords);
    struct queue *queue = result == NULL || object == NULL ? NULL : queue_find(object);
    if (queue != NULL) {
        carrier_drop(got.handle);
        got = queue_pick(queue, length, result);
        was_got = object;
    }
    return result;
}

static struct py_object *push_task(
    struct py_object *original, struct py_object *arguments, struct py_object *keywords)
{
    return push_by("_queue", original, arguments, keywords);
}

static struct py_object *push_thread(
    struct py_object *original, struct py_object *arguments, struct py_object *keywords)
{
    return push_by("queue", original, arguments, keywords);
}

static struct py_object *first_task(
    struct py_object *original, struct py_object *arguments, struct py_object *keywords)
{
    return pop_by("_queue", false, original, arguments, keywords);
}

static struct py_object *last_task(
    struct py_object *original, struct py_object *arguments, struct py_object *keywords)
{
    return pop_by("_queue", true, original, arguments, keywords);
}

static struct py_object *first_thread(
    struct py_object *original, struct py_object *arguments, struct py_object *keywords)
{
    return pop_by("queue", false, original, arguments, keywords);
}

static struct py_object *last_thread(
    struct py_object *original, struct py_object *arguments, struct py_object *keywords)
{
    return pop_by("queue", true, original, arguments, keywords);
}

static struct py_object *least_task(
    struct py_object *original, struct py_object *arguments, struct py_object *keywords)
{
    return pick_by("_queue", original, arguments, keywords);
}

static struct py_object *least_thread(
    struct py_object *original, struct py_object *arguments, struct py_object *keywords)
{
    return pick_by("queue", original, arguments, keywords);
}

/* --- what the program does with a queue ------------------------------------------------------- */

/* A coroutine's beginning: it takes later. */
static struct py_object *ask(
    struct py_object *original, struct py_object *arguments, struct py_object *keywords)
{
    struct queue *queue = queue_of(arguments);
    if (queue != NULL)
        consumer_asks(queue);
    return py.PyObject_Call(original, arguments, keywords);
}

/* Where the queue has an order of its own, who put the item is not known. */
static struct mark mark_of(const struct queue *queue)
{
    struct mark mark = {0};
    if (was_got == queue->self) {
        mark = got;
        got.handle = CARRIER_NONE;
    }
    was_got = NULL;
    return mark;
}

static struct py_object *get(
    struct py_object *original, struct py_object *arguments, struct py_object *keywords)
{
    struct queue *queue = queue_of(arguments);
    if (queue == NULL)
        return py.PyObject_Call(original, arguments, keywords);
    consumer_asks(queue);
    was_got = NULL;
    struct py_object *result = greenlets_call_kept(original, arguments, keywords);
    struct python_error error = python_set_aside();
    struct mark mark = mark_of(queue);
    if (result == NULL)
        consumer_fails(queue);
    else
        consumer_takes(queue, mark);
    carrier_drop(mark.handle);
    python_put_back(error);
    return result;
}

static struct py_object *put(
    struct py_object *original, struct py_object *arguments, struct py_object *keywords)
{
    was_put = NULL;
    struct py_object *result = greenlets_call_kept(original, arguments, keywords);
    struct py_object *object = result == NULL ? NULL : python_object_of(arguments);
    if (object == NULL || was_put == object)
        return result;
    struct queue *queue = queue_find(object);
    if (queue != NULL)
        carrier_drop(consumer_puts(queue).handle);
    return result;
}

static struct python_place rows[] = {
    {PLACE("asyncio.queues", "Queue", "get"), .call = ask},
    {PLACE("asyncio.queues", "Queue", "get_nowait"), .call = get},
    {PLACE("asyncio.queues", "Queue", "put_nowait"), .call = put},
    {PLACE("asyncio.queues", "Queue", "_put"), .call = push_task},
    {PLACE("asyncio.queues", "Queue", "_get"), .call = first_task},
    {PLACE("asyncio.queues", "LifoQueue", "_put"), .call = push_task},
    {PLACE("asyncio.queues", "LifoQueue", "_get"), .call = last_task},
    {PLACE("asyncio.queues", "PriorityQueue", "_put"), .call = push_task},
    {PLACE("asyncio.queues", "PriorityQueue", "_get"), .call = least_task},
    {PLACE("queue", "Queue", "get"), .call = get},
    {PLACE("queue", "Queue", "put"), .call = put},
    {PLACE("queue", "Queue", "_put"), .call = push_thread},
    {PLACE("queue", "Queue", "_get"), .call = first_thread},
    {PLACE("queue", "LifoQueue", "_put"), .call = push_thread},
    {PLACE("queue", "LifoQueue", "_get"), .call = last_thread},
    {PLACE("queue", "PriorityQueue", "_put"), .call = push_thread},
    {PLACE("queue", "PriorityQueue", "_get"), .call = least_thread},
};

const struct python_places queue_places = {rows, sizeof(rows) / sizeof(rows[0])};
