/* SPDX-License-Identifier: Apache-2.0 */
/*
 * aiormq 6 and 7 (aio-pika): a task a channel reads what comes, and makes one for each delivery,
 * of the coroutine that the program's function has answered. That task is made in the message, and
 * so is for certain all that it makes and waits for.
 *
 * | Channel | is about to read a delivery's body: ours is put into the consumer's row |
 * | the row | is called with the message, and answers the coroutine... |
 * | Base    | ...of which a task is made next |
 *
 * aio-pika's iterator is such a function: it puts what comes into a queue, which gives work then.
 */
#include <stddef.h>
#include <string.h>

#include "carrier.h"
#include "messages.h"
#include "note.h"
#include "python.h"
#include "queue.h"

/* --- by which socket -------------------------------------------------------------------------- */

/* Include/cpython/object.h: types, up to what tells a collector of garbage of the objects that one
 * holds. */
typedef int visit_call(struct py_object *object, void *argument);
struct type {
    struct python_head head;
    intptr_t size;
    const char *name;
    const void *others[19];
    int (*traverse)(struct py_object *object, visit_call *visit, void *argument);
};

static const struct type *type_of(const struct py_object *object)
{
    return (const struct type *)((const struct python_head *)object)->type;
}

/* Until CPython 3.10 a coroutine holds a frame, and that holds what it knows. */
static int visit(struct py_object *object, void *argument)
{
    struct py_object **writer = argument;
    const struct type *type = type_of(object);
    if (*writer == NULL && strcmp(type->name, "StreamWriter") == 0)
        *writer = object;
    else if (*writer == NULL && strcmp(type->name, "frame") == 0)
        type->traverse(object, visit, argument);
    return 0;
}

/* The connection has no name for it: its task for writing was called with it. */
static struct py_object *writer_of(struct py_object *connection)
{
    struct py_object *writer = NULL, *task = python_attribute(connection, "_writer_task");
    struct py_object *coroutine = python_attribute_of(python_attribute_of(task, "task"), "_coro");
    if (coroutine != NULL && strcmp(type_of(coroutine)->name, "coroutine") == 0)
        type_of(coroutine)->traverse(coroutine, visit, &writer);
    py.Py_IncRef(writer);
    py.Py_DecRef(coroutine);
    return writer;
}

/* uvloop's is in C as well. */
struct py_object *message_socket_of(struct py_object *transport)
{
    bool is_uvloops =
        transport != NULL && strcmp(type_of(transport)->name, "uvloop.loop.TCPTransport") == 0;
    if (!is_uvloops)
        return python_attribute_of(transport, "_sock");
    struct py_object *ask = python_attribute_of(transport, "get_extra_info"),
                     *asked = py.Py_BuildValue("(s)", "socket");
    struct py_object *socket =
        ask == NULL || asked == NULL ? NULL : py.PyObject_CallObject(ask, asked);
    py.PyErr_Clear();
    py.Py_DecRef(asked);
    py.Py_DecRef(ask);
    return socket;
}

static struct message message_of(struct py_object *delivered)
{
    struct py_object *channel = python_attribute(delivered, "channel"),
                     *connection = python_attribute(channel, "connection"),
                     *transport = python_attribute_of(writer_of(connection), "_transport");
    struct py_object *delivery = python_attribute(delivered, "delivery");
    struct message message = message_at(message_descriptor(message_socket_of(transport)),
        message_number(python_attribute(channel, "number")),
        message_number(python_attribute_of(delivery, "delivery_tag")));
    py.Py_DecRef(connection);
    py.Py_DecRef(channel);
    return message;
}

/* --- the work on one -------------------------------------------------------------------------- */

struct work {
    struct message message;
    uint32_t handle;             /* held */
    struct py_object *coroutine; /* weakly, with what is called at its end; that has the work */
};

static void destroy(struct py_object *capsule)
{
    struct work *work = py.PyCapsule_GetPointer(capsule, NULL);
    carrier_worked(work->message.fd, work->message.key, work->handle);
    carrier_drop(work->handle);
    py.PyMem_Free(work);
}

/* The work, and the reference to its coroutine, which is gone. */
static struct py_object *end(
    struct py_object *nobody, struct py_object *arguments, struct py_object *keywords)
{
    struct work *work = py.PyCapsule_GetPointer(py.PyTuple_GetItem(arguments, 0), NULL);
    struct py_object *coroutine = work->coroutine;
    work->coroutine = NULL;
    py.Py_DecRef(coroutine);
    py.Py_IncRef(tasks_none());
    return tasks_none();
}

/* What nobody acknowledges is over with the coroutine. */
static void end_with(struct py_object *coroutine, struct message message, uint32_t handle)
{
    static struct py_object *ending;
    ending = ending == NULL ? wrap_make(end) : ending;
    struct work *work = ending == NULL ? NULL : py.PyMem_Malloc(sizeof(*work));
    if (work == NULL)
        return;
    *work = (struct work){message, carrier_hold(handle), NULL};
    struct py_object *capsule = py.PyCapsule_New(work, NULL, destroy),
                     *call = capsule == NULL ? NULL : py.PyMethod_New(ending, capsule);
    if (call != NULL)
        work->coroutine = py.PyWeakref_NewRef(coroutine, call);
    py.Py_DecRef(call);
    py.Py_DecRef(capsule);
    py.PyErr_Clear();
}

/* What the program's function has answered, until its task is made. */
static struct {
    struct py_object *coroutine;
    struct message message;
} handed;

static struct py_object *begin(
    struct py_object *original, struct py_object *arguments, struct py_object *keywords)
{
    struct py_object *coroutine = handed.coroutine;
    struct message message = handed.message;
    handed.coroutine = NULL;
    uint32_t handle = message_take(message);
    struct py_object *capsule = note_make(carrier_hold(handle));
    struct py_object *token = capsule == NULL ? NULL : current_put(capsule);
    struct py_object *result = py.PyObject_Call(original, arguments, keywords);
    struct python_error error = python_set_aside();
    if (token != NULL)
        current_leave(token);
    py.Py_DecRef(capsule);
    if (handle != CARRIER_NONE)
        end_with(coroutine, message, handle);
    carrier_drop(handle);
    py.Py_DecRef(coroutine);
    python_put_back(error);
    return result;
}

/* self, a coroutine */
static struct py_object *make_task(
    struct py_object *original, struct py_object *arguments, struct py_object *keywords)
{
    bool is_handed = handed.coroutine != NULL && python_object_of(arguments) != NULL &&
                     py.PyObject_Size(arguments) == 2 &&
                     py.PyTuple_GetItem(arguments, 1) == handed.coroutine;
    return is_handed ? begin(original, arguments, keywords)
                     : py.PyObject_Call(original, arguments, keywords);
}

/* The function, and what it is called with: the message. */
static struct py_object *hand(
    struct py_object *nobody, struct py_object *all, struct py_object *keywords)
{
    long count = py.PyObject_Size(all);
    struct py_object *arguments = py.PyTuple_GetSlice(all, 1, count);
    if (arguments == NULL)
        return NULL;
    struct py_object *result = py.PyObject_Call(py.PyTuple_GetItem(all, 0), arguments, keywords);
    if (result != NULL && python_is_ours() && count == 2) {
        struct message message = message_of(py.PyTuple_GetItem(arguments, 0));
        struct py_object *before = handed.coroutine;
        handed.message = message;
        handed.coroutine = message.fd < 0 ? NULL : result;
        py.Py_IncRef(handed.coroutine);
        py.Py_DecRef(before);
    }
    py.Py_DecRef(arguments);
    return result;
}

/* --- whom it is called for -------------------------------------------------------------------- */

static bool is_of(const struct py_object *object, const char *module, const char *name)
{
    struct py_object *type = tasks_attribute(module, name);
    py.Py_DecRef(type);
    return type != NULL && ((const struct python_head *)object)->type == type;
}

/* Known to be one of work, before two have fed it. The reference goes with it. */
static void is_work(struct py_object *object)
{
    struct queue *queue = object == NULL ? NULL : queue_find(object);
    if (queue != NULL)
        queue->is_work = true;
    py.Py_DecRef(object);
}

/* An iterator of aio-pika's: its queue, or NULL. */
static struct py_object *queue_behind(struct py_object *callback)
{
    if (!is_of(callback, "functools", "partial"))
        return NULL;
    struct py_object *given = python_attribute(callback, "args"), *queue = NULL;
    struct py_object *method = py.PyObject_Size(given) == 0 ? NULL : py.PyTuple_GetItem(given, 0);
    struct py_object *function = message_function_of(method);
    struct py_object *known =
        python_attribute_of(tasks_attribute("aio_pika.queue", "QueueIterator"), "on_message");
    if (function != NULL && function == known)
        queue = python_attribute_of(python_attribute(method, "__self__"), "_queue");
    py.Py_DecRef(known);
    py.Py_DecRef(function);
    py.Py_DecRef(given);
    return queue;
}

/* self, the method, its header */
static struct py_object *read_content(
    struct py_object *original, struct py_object *arguments, struct py_object *keywords)
{
    static struct py_object *handing;
    struct py_object *self = python_object_of(arguments);
    if (handing == NULL && self != NULL)
        handing = wrap_make(hand);
    if (handing != NULL && self != NULL && py.PyObject_Size(arguments) == 3) {
        struct py_object *method = py.PyTuple_GetItem(arguments, 1);
        struct py_object *callback = message_consumer_of(self, "consumers", method);
        struct py_object *ours = message_handed_by(handing, callback);
        struct py_object *rows = ours == NULL ? NULL : python_attribute(self, "consumers");
        struct py_object *tag = python_attribute(method, "consumer_tag");
        if (rows != NULL && py.PyDict_SetItem(rows, tag, ours) == 0) {
            is_work(python_attribute(self, "write_queue"));
            is_work(queue_behind(callback));
        }
        py.PyErr_Clear();
        py.Py_DecRef(tag);
        py.Py_DecRef(rows);
        py.Py_DecRef(ours);
        py.Py_DecRef(callback);
    }
    return py.PyObject_Call(original, arguments, keywords);
}

static struct python_place rows[] = {
    {PLACE("aiormq.channel", "Channel", "_read_content"), .call = read_content},
    {PLACE("aiormq.base", "Base", "create_task"), .call = make_task},
};

const struct python_places aiormq_places = {rows, sizeof(rows) / sizeof(rows[0])};
