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
 */
#include <stddef.h>
#include <string.h>

#include "carrier.h"
#include "note.h"
#include "python.h"

struct message {
    int fd;
    uint64_t key;
};

/* Of instances alone: no code of the program's runs. */
static struct py_object *follow(struct py_object *object, const char *const *names)
{
    py.Py_IncRef(object);
    for (; *names != NULL && object != NULL; names++) {
        struct py_object *next = py.PyObject_GetAttrString(object, *names);
        py.Py_DecRef(object);
        object = next;
    }
    return object;
}

static long number_of(struct py_object *object, const char *const *names)
{
    struct py_object *found = follow(object, names);
    long number = found == NULL ? -1 : py.PyLong_AsLong(found);
    if (found != NULL)
        py.Py_DecRef(found);
    return number;
}

static long descriptor_of(struct py_object *channel)
{
    static const char *const path[] = {"connection", "_transport", "_sock", "fileno", NULL};
    struct py_object *fileno = follow(channel, path);
    struct py_object *result = fileno == NULL ? NULL : py.PyObject_CallObject(fileno, NULL);
    long fd = result == NULL ? -1 : py.PyLong_AsLong(result);
    if (fileno != NULL)
        py.Py_DecRef(fileno);
    if (result != NULL)
        py.Py_DecRef(result);
    return fd;
}

/* AMQP's messages are numbered by channel and delivery tag: amqp_key. */
static struct message message_of(struct py_object *channel, struct py_object *method)
{
    static const char *const number[] = {"channel_number", NULL};
    static const char *const tag[] = {"delivery_tag", NULL};
    struct message message = {-1, 0};
    long of_channel = number_of(channel, number), of_message = number_of(method, tag);
    if (of_channel > 0 && of_message > 0) {
        message.fd = (int)descriptor_of(channel);
        message.key = (uint64_t)of_channel << 48 | (uint64_t)of_message;
    }
    py.PyErr_Clear();
    return message;
}

static struct message message_of_blocking(struct py_object *channel, struct py_object *method)
{
    static const char *const path[] = {"_impl", NULL};
    struct py_object *inner = follow(channel, path);
    struct message message = {-1, 0};
    if (inner != NULL) {
        message = message_of(inner, method);
        py.Py_DecRef(inner);
    }
    py.PyErr_Clear();
    return message;
}

/* The function is called for the message, if that is known. */
static struct py_object *work(struct message message, struct py_object *function,
    struct py_object *arguments, struct py_object *keywords)
{
    uint32_t handle = message.fd < 0 ? CARRIER_NONE : carrier_take_message(message.fd, message.key);
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
    if (capsule != NULL)
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

static bool is_handed(struct py_object *function)
{
    struct py_object *found = py.PyObject_GetAttrString(function, "__func__");
    bool is_ours = found != NULL && found == wrap_of(hand);
    if (found != NULL)
        py.Py_DecRef(found);
    py.PyErr_Clear();
    return is_ours;
}

/* A method of ours that is bound to the function: whoever looks for garbage sees through it. */
static bool hand_by(struct py_object *consumer)
{
    struct py_object *function = py.PyObject_GetAttrString(consumer, "on_message_callback");
    struct py_object *ours = NULL;
    if (function != NULL && function != tasks_none() && !is_handed(function))
        ours = py.PyMethod_New(wrap_of(hand), function);
    if (ours != NULL) {
        py.PyObject_SetAttrString(consumer, "on_message_callback", ours);
        py.Py_DecRef(ours);
    }
    if (function != NULL)
        py.Py_DecRef(function);
    py.PyErr_Clear();
    return ours != NULL;
}

/* A consumer's row in the dictionary of this name: a new reference or NULL. */
static struct py_object *consumer_of(
    struct py_object *self, const char *rows_name, struct py_object *method)
{
    const char *const rows_path[] = {rows_name, NULL};
    static const char *const tag_path[] = {"consumer_tag", NULL};
    struct py_object *tag = follow(method, tag_path), *rows = follow(self, rows_path);
    struct py_object *row = tag == NULL || rows == NULL ? NULL : py.PyDict_GetItem(rows, tag);
    if (row != NULL)
        py.Py_IncRef(row);
    if (tag != NULL)
        py.Py_DecRef(tag);
    if (rows != NULL)
        py.Py_DecRef(rows);
    py.PyErr_Clear();
    return row;
}

static const char put_aside_name[] = "_on_consumer_message_delivery";

/* self, channel, method, properties, body */
static struct py_object *put_aside(
    struct py_object *original, struct py_object *arguments, struct py_object *keywords)
{
    struct py_object *self = python_object_of(arguments);
    if (self != NULL && py.PyObject_Size(arguments) == 5) {
        struct py_object *method = py.PyTuple_GetItem(arguments, 2);
        struct py_object *row = consumer_of(self, "_consumer_infos", method);
        if (row != NULL && hand_by(row)) {
            struct message message = message_of_blocking(self, method);
            carrier_drop(carrier_take_message(message.fd, message.key)); /* from now on */
        }
        if (row != NULL)
            py.Py_DecRef(row);
    }
    return py.PyObject_Call(original, arguments, keywords);
}

static bool is_put_aside(struct py_object *function)
{
    struct py_object *name = py.PyObject_GetAttrString(function, "__name__");
    const char *text = name == NULL ? NULL : py.PyUnicode_AsUTF8(name);
    bool is_it = text != NULL && strcmp(text, put_aside_name) == 0;
    if (name != NULL)
        py.Py_DecRef(name);
    py.PyErr_Clear();
    return is_it;
}

/* self, a frame with the method, one with the properties, body */
static struct py_object *deliver(
    struct py_object *original, struct py_object *arguments, struct py_object *keywords)
{
    struct message message = {-1, 0};
    struct py_object *self = python_object_of(arguments), *method = NULL, *function = NULL;
    if (self != NULL && py.PyObject_Size(arguments) == 4)
        method = py.PyObject_GetAttrString(py.PyTuple_GetItem(arguments, 1), "method");
    if (method != NULL)
        function = consumer_of(self, "_consumers", method);
    if (function != NULL && !is_put_aside(function))
        message = message_of(self, method);
    if (function != NULL)
        py.Py_DecRef(function);
    if (method != NULL)
        py.Py_DecRef(method);
    py.PyErr_Clear();
    return work(message, original, arguments, keywords);
}

static struct python_place rows[] = {
    {"pika.adapters.blocking_connection", "BlockingChannel", put_aside_name, .call = put_aside},
    {"pika.channel", "Channel", "_on_deliver", .call = deliver},
};

const struct python_places message_places = {rows, sizeof(rows) / sizeof(rows[0])};
