/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nats-py 2: a task a connection reads messages and puts each into its subscription's queue, from
 * which other tasks take it. What that is, is told from the wire; which of them it is, of
 * JetStream, by the subject that its acknowledgement goes to, which no other has.
 *
 * | Client | makes a message of what it has read, and puts it into the queue next |
 * | Subscription | its task calls the program's function with one after the other... |
 * | | ...or the program takes them: next_msg(), which fetch() calls, too; `async for` |
 *
 * Whoever asks the queue again is done with what it took. What is sent is written by a task of its
 * own, often for several at once: that is nobody's then.
 */
#include <stddef.h>
#include <string.h>

#include "carrier.h"
#include "messages.h"
#include "python.h"
#include "queue.h"

/* Until it is put. */
static struct {
    struct py_object *item;
    struct mark mark;
} come;

static void forget(void)
{
    struct py_object *item = come.item;
    come.item = NULL;
    carrier_drop(come.mark.handle);
    come.mark.handle = CARRIER_NONE;
    py.Py_DecRef(item);
}

bool nats_puts(struct queue *queue, struct py_object *item, struct mark *mark)
{
    if (come.item == NULL || come.item != item)
        return false;
    *mark = come.mark;
    come.mark.handle = CARRIER_NONE;
    forget();
    queue->is_work = queue->is_handed = true;
    return true;
}

/* protocols/nats_line.c: of a subject that is acknowledged; 0: it is none. */
static uint64_t key_of(struct py_object *subject)
{
    const char *bytes = subject == NULL ? NULL : py.PyBytes_AsString(subject);
    long length = bytes == NULL ? 0 : py.PyObject_Size(subject);
    if (length < 8 || memcmp(bytes, "$JS.ACK.", 8) != 0)
        length = 0;
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (long i = 0; i < length; i++)
        hash = (hash ^ (uint8_t)bytes[i]) * UINT64_C(0x100000001b3);
    py.PyErr_Clear();
    return length > 0 ? hash : 0;
}

static struct message message_of(struct py_object *client, struct py_object *reply)
{
    uint64_t key = key_of(reply);
    struct py_object *writer =
        key == 0 ? NULL : python_attribute_of(python_attribute(client, "_transport"), "_io_writer");
    struct py_object *transport = python_attribute_of(writer, "_transport");
    int fd = transport == NULL ? -1 : message_descriptor(message_socket_of(transport));
    return (struct message){fd, key};
}

/* ..., subject, reply, payload, headers */
static struct py_object *build(
    struct py_object *original, struct py_object *arguments, struct py_object *keywords)
{
    enum { BEHIND = 3 };
    struct py_object *item = py.PyObject_Call(original, arguments, keywords);
    struct py_object *client = item == NULL ? NULL : python_object_of(arguments);
    long count = client == NULL ? 0 : py.PyObject_Size(arguments);
    if (count <= BEHIND)
        return item;
    forget();
    struct message message = message_of(client, py.PyTuple_GetItem(arguments, count - BEHIND));
    uint32_t handle = message_take(message);
    if (handle == CARRIER_NONE)
        return item;
    py.Py_IncRef(item);
    come.item = item;
    come.mark = (struct mark){.handle = handle, .is_known = true, .message = message};
    return item;
}

/* The object's queue; NULL: it has none. */
static struct queue *queue_in(struct py_object *arguments, const char *name)
{
    struct py_object *object = python_attribute(python_object_of(arguments), name);
    struct queue *queue = object == NULL ? NULL : queue_find(object);
    py.Py_DecRef(object);
    return queue;
}

static struct py_object *call_each(
    struct py_object *original, struct py_object *arguments, struct py_object *keywords)
{
    struct queue *queue = queue_in(arguments, "_pending_queue");
    if (queue != NULL)
        queue->is_called = true;
    return py.PyObject_Call(original, arguments, keywords);
}

static struct py_object *ask(const char *name, struct py_object *original,
    struct py_object *arguments, struct py_object *keywords)
{
    struct queue *queue = queue_in(arguments, name);
    if (queue != NULL)
        consumer_asks(queue);
    return py.PyObject_Call(original, arguments, keywords);
}

static struct py_object *next_message(
    struct py_object *original, struct py_object *arguments, struct py_object *keywords)
{
    return ask("_pending_queue", original, arguments, keywords);
}

static struct py_object *next(
    struct py_object *original, struct py_object *arguments, struct py_object *keywords)
{
    return ask("_queue", original, arguments, keywords);
}

static struct py_object *flush(
    struct py_object *original, struct py_object *arguments, struct py_object *keywords)
{
    struct queue *queue = queue_in(arguments, "_flush_queue");
    if (queue != NULL)
        queue->is_sent = true;
    return py.PyObject_Call(original, arguments, keywords);
}

static struct py_object *write_all(
    struct py_object *original, struct py_object *arguments, struct py_object *keywords)
{
    bool is_known = python_object_of(arguments) == NULL || py.PyObject_Size(arguments) != 2 ||
                    py.PyObject_Size(py.PyTuple_GetItem(arguments, 1)) < 2;
    struct py_object *token = is_known ? NULL : current_be_nobodys();
    struct py_object *result = py.PyObject_Call(original, arguments, keywords);
    struct python_error error = python_set_aside();
    if (token != NULL)
        current_leave(token);
    python_put_back(error);
    return result;
}

static struct python_place rows[] = {
    {PLACE("nats.aio.client", "Client", "_build_message"), .call = build},
    {PLACE("nats.aio.client", "Client", "_flusher"), .call = flush},
    {PLACE("nats.aio.subscription", "Subscription", "_wait_for_msgs"), .call = call_each},
    {PLACE("nats.aio.subscription", "Subscription", "next_msg"), .call = next_message},
    {PLACE("nats.aio.subscription", "_SubscriptionMessageIterator", "__anext__"), .call = next},
    {PLACE("nats.aio.transport", "TcpTransport", "writelines"), .call = write_all},
};

const struct python_places nats_places = {rows, sizeof(rows) / sizeof(rows[0])};
