/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Libraries that read many messages at once and hand them to their program one after the other:
 * whatever has been read, what the program's function does is for the message it was called with.
 *
 * | pika 1.0 to 1.4 | |
 * |---|---|
 * | BlockingChannel | puts messages aside, and calls the program's function later: ours is put into
 * the consumer's row when the first message comes, since by then it has been registered |
 * | Channel | below it, calls the function of a program with an event loop |
 *
 * | py-amqp 2 to 5 (kombu, Celery) | |
 * |---|---|
 * | AbstractChannel | is given each method as it has come; of a delivery the program's function is
 * called from there. Channels hold the functions below it from when they are opened on |
 *
 * | dramatiq 1 and 2 (by pika) | |
 * |---|---|
 * | _ConsumerThread | puts what pika's generator has handed to it into a queue for others |
 */
#include <stddef.h>
#include <string.h>

#include "amqp.h"
#include "carrier.h"
#include "messages.h"
#include "note.h"
#include "python.h"

long message_number(struct py_object *object)
{
    long value = object == NULL ? -1 : py.PyLong_AsLong(object);
    py.Py_DecRef(object);
    py.PyErr_Clear();
    return value;
}

int message_descriptor(struct py_object *socket)
{
    struct py_object *ask = python_attribute_of(socket, "fileno");
    int fd = (int)message_number(ask == NULL ? NULL : py.PyObject_CallObject(ask, NULL));
    py.Py_DecRef(ask);
    return fd;
}

/* socket: what its transport calls it. */
static int descriptor_of(struct py_object *channel, const char *socket)
{
    struct py_object *connection = python_attribute(channel, "connection");
    return message_descriptor(
        python_attribute_of(python_attribute_of(connection, "_transport"), socket));
}

struct message message_at(int fd, long channel, long tag)
{
    bool is_known = channel > 0 && tag > 0;
    return (struct message){is_known ? fd : -1, amqp_key((uint16_t)channel, (uint64_t)tag)};
}

static const char in_method[] = "delivery_tag";

/* name: what its tag is called by what has it. */
static struct message message_of(
    struct py_object *channel, struct py_object *delivery, const char *name)
{
    return message_at(descriptor_of(channel, "_sock"),
        message_number(python_attribute(channel, "channel_number")),
        message_number(python_attribute(delivery, name)));
}

static struct message message_of_blocking(struct py_object *channel, struct py_object *method)
{
    struct py_object *inner = python_attribute(channel, "_impl");
    struct message message = message_of(inner, method, in_method);
    py.Py_DecRef(inner);
    return message;
}

uint32_t message_take(struct message message)
{
    return message.fd < 0 ? CARRIER_NONE : carrier_take_message(message.fd, message.key);
}

/* The function is called for the message, if that is known. */
static struct py_object *work(struct message message, struct py_object *function,
    struct py_object *arguments, struct py_object *keywords)
{
    uint32_t handle = message_take(message);
    if (handle == CARRIER_NONE)
        return py.PyObject_Call(function, arguments, keywords);
    struct py_object *capsule = note_make(carrier_hold(handle));
    struct py_object *token = capsule == NULL ? NULL : current_put(capsule);
    carrier_work(handle);
    struct py_object *result = py.PyObject_Call(function, arguments, keywords);
    struct python_error error = python_set_aside();
    carrier_worked(message.fd, message.key, handle);
    if (token != NULL)
        current_leave(token);
    py.Py_DecRef(capsule);
    carrier_drop(handle);
    python_put_back(error);
    return result;
}

/* The function, and what it is called with: channel, method, properties, body. */
static struct py_object *hand(
    struct py_object *nobody, struct py_object *all, struct py_object *keywords)
{
    long count = py.PyObject_Size(all);
    struct py_object *arguments = py.PyTuple_GetSlice(all, 1, count);
    if (arguments == NULL)
        return NULL;
    struct message message = {-1, 0};
    if (python_is_ours() && count == 5)
        message =
            message_of_blocking(py.PyTuple_GetItem(arguments, 0), py.PyTuple_GetItem(arguments, 1));
    struct py_object *result = work(message, py.PyTuple_GetItem(all, 0), arguments, keywords);
    py.Py_DecRef(arguments);
    return result;
}

static struct py_object *handing(void)
{
    static struct py_object *one;
    if (one == NULL)
        one = wrap_make(hand);
    return one;
}

struct py_object *message_function_of(struct py_object *callback)
{
    static void *method_type;
    if (method_type == NULL) {
        struct py_object *one = py.PyMethod_New(handing(), tasks_none());
        method_type = one == NULL ? NULL : ((struct python_head *)one)->type;
        py.Py_DecRef(one);
    }
    bool is_method = callback != NULL && ((struct python_head *)callback)->type == method_type;
    return is_method ? python_attribute(callback, "__func__") : NULL;
}

struct py_object *message_handed_by(struct py_object *ours, struct py_object *callback)
{
    struct py_object *function = message_function_of(callback);
    bool is_programs = callback != NULL && callback != tasks_none() && function != ours;
    struct py_object *method = is_programs ? py.PyMethod_New(ours, callback) : NULL;
    py.PyErr_Clear();
    py.Py_DecRef(function);
    return method;
}

/* False: it is there. */
static bool hand_by(struct py_object *consumer)
{
    static const char name[] = "on_message_callback";
    struct py_object *callback = python_attribute(consumer, name),
                     *ours = message_handed_by(handing(), callback);
    bool is_put = ours != NULL && py.PyObject_SetAttrString(consumer, name, ours) == 0;
    py.PyErr_Clear();
    py.Py_DecRef(ours);
    py.Py_DecRef(callback);
    return is_put;
}

struct py_object *message_consumer_of(
    struct py_object *self, const char *rows_name, struct py_object *method)
{
    struct py_object *tag = python_attribute(method, "consumer_tag"),
                     *rows = python_attribute(self, rows_name);
    struct py_object *row = tag == NULL || rows == NULL ? NULL : py.PyDict_GetItem(rows, tag);
    py.Py_IncRef(row);
    py.PyErr_Clear();
    py.Py_DecRef(tag);
    py.Py_DecRef(rows);
    return row;
}

#define PUT_ASIDE "_on_consumer_message_delivery"

/* self, channel, method, properties, body */
static struct py_object *put_aside(
    struct py_object *original, struct py_object *arguments, struct py_object *keywords)
{
    struct py_object *self = python_object_of(arguments);
    if (self != NULL && py.PyObject_Size(arguments) == 5) {
        struct py_object *method = py.PyTuple_GetItem(arguments, 2);
        struct py_object *row = message_consumer_of(self, "_consumer_infos", method);
        if (row != NULL && hand_by(row))
            carrier_drop(message_take(message_of_blocking(self, method))); /* from now on */
        py.Py_DecRef(row);
    }
    return py.PyObject_Call(original, arguments, keywords);
}

static bool is_put_aside(struct py_object *callback)
{
    struct py_object *function = message_function_of(callback),
                     *name = python_attribute(function, "__name__");
    const char *text = name == NULL ? NULL : py.PyUnicode_AsUTF8(name);
    bool is_it = text != NULL && strcmp(text, PUT_ASIDE) == 0;
    py.PyErr_Clear();
    py.Py_DecRef(name);
    py.Py_DecRef(function);
    return is_it;
}

/* self, a frame with the method, one with the properties, body */
static struct py_object *deliver(
    struct py_object *original, struct py_object *arguments, struct py_object *keywords)
{
    struct message message = {-1, 0};
    struct py_object *self = python_object_of(arguments);
    if (self != NULL && py.PyObject_Size(arguments) == 4) {
        struct py_object *method = python_attribute(py.PyTuple_GetItem(arguments, 1), "method");
        struct py_object *callback = message_consumer_of(self, "_consumers", method);
        if (callback != NULL && !is_put_aside(callback))
            message = message_of(self, method, in_method);
        py.Py_DecRef(callback);
        py.Py_DecRef(method);
    }
    return work(message, original, arguments, keywords);
}

/* Of bytes or a memoryview, in the network's order. */
static uint64_t integer_at(struct py_object *payload, long at, int bytes)
{
    uint64_t value = 0;
    for (int i = 0; i < bytes; i++)
        value = value << 8 | (uint8_t)message_number(py.PySequence_GetItem(payload, at + i));
    return value;
}

/* basic.deliver: class, method, the consumer's tag as a short string, the delivery's
 * (4.2.5, 1.8.3.13). */
static uint64_t delivery_tag_in(struct py_object *payload)
{
    enum { BASIC_DELIVER_ID = 60 << 16 | 60, CLASS_AND_METHOD = 4 };
    if (integer_at(payload, 0, CLASS_AND_METHOD) != BASIC_DELIVER_ID)
        return 0;
    long length = (long)integer_at(payload, CLASS_AND_METHOD, 1);
    return integer_at(payload, CLASS_AND_METHOD + 1 + length, sizeof(uint64_t));
}

/* self, which method it is, its frame's payload, the message */
static struct py_object *dispatch(
    struct py_object *original, struct py_object *arguments, struct py_object *keywords)
{
    struct message message = {-1, 0};
    struct py_object *self = python_object_of(arguments);
    if (self != NULL && py.PyObject_Size(arguments) == 4) {
        uint64_t tag = delivery_tag_in(py.PyTuple_GetItem(arguments, 2));
        if (tag != 0)
            message = message_at(descriptor_of(self, "sock"),
                message_number(python_attribute(self, "channel_id")), (long)tag);
    }
    return work(message, original, arguments, keywords);
}

/* A thread that reads, and what it has read: it puts that into a queue of work. */
static struct py_object *put_in(
    struct py_object *original, struct py_object *arguments, struct py_object *keywords)
{
    struct message message = {-1, 0};
    struct py_object *self = python_object_of(arguments);
    if (self != NULL && py.PyObject_Size(arguments) == 2) {
        struct py_object *consumer = python_attribute(self, "consumer");
        struct py_object *channel =
            python_attribute_of(python_attribute_of(consumer, "channel"), "_impl");
        if (channel != NULL)
            message = message_of(channel, py.PyTuple_GetItem(arguments, 1), "_tag");
        py.Py_DecRef(channel);
    }
    return work(message, original, arguments, keywords);
}

static struct python_place rows[] = {
    {PLACE("pika.adapters.blocking_connection", "BlockingChannel", PUT_ASIDE), .call = put_aside},
    {PLACE("pika.channel", "Channel", "_on_deliver"), .call = deliver},
    {PLACE("amqp.abstract_channel", "AbstractChannel", "dispatch_method"), .call = dispatch},
    {PLACE("dramatiq.worker", "_ConsumerThread", "handle_message"), .call = put_in},
};

const struct python_places message_places = {rows, sizeof(rows) / sizeof(rows[0])};
