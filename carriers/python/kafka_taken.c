/* SPDX-License-Identifier: Apache-2.0 */
#include <stddef.h>
#include <string.h>

#include "../protocols/context_names.h"
#include "../protocols/messaging.h"
#include "carrier.h"
#include "context.h"
#include "kafka.h"
#include "message.h"
#include "note.h"
#include "python.h"
#include "queue.h"

/* --- what a span says ------------------------------------------------------------------------- */

static long number_of(struct py_object *record, const char *name)
{
    struct py_object *value = python_attribute(record, name);
    long number = value == NULL ? -1 : py.PyLong_AsLong(value);
    py.Py_DecRef(value);
    return number;
}

struct bytes {
    const char *bytes;
    size_t length;
};

/* Of bytes or a text, as long as that is there; of anything else none. */
static struct bytes bytes_of(struct py_object *object)
{
    struct bytes found = {NULL, 0};
    if (object == NULL)
        return found;
    if ((found.bytes = py.PyBytes_AsString(object)) != NULL)
        found.length = (size_t)py.PyObject_Size(object);
    else if ((found.bytes = py.PyUnicode_AsUTF8(object)) != NULL)
        found.length = strlen(found.bytes);
    py.PyErr_Clear();
    return found;
}

static void tell(struct exchange *exchange, enum field field, struct py_object *object)
{
    struct bytes bytes = bytes_of(object);
    if (bytes.bytes != NULL)
        call_text(exchange, field, bytes.bytes, bytes.length);
}

/* The reference goes with it. */
static void tell_taken(struct exchange *exchange, enum field field, struct py_object *object)
{
    tell(exchange, field, object);
    py.Py_DecRef(object);
}

/* A tuple: its name and its value. is_one: its context is the parent's, else it is linked. */
static void tell_header(struct exchange *exchange, struct py_object *header, bool is_one)
{
    struct bytes name = bytes_of(py.PyTuple_GetItem(header, 0)),
                 value = bytes_of(py.PyTuple_GetItem(header, 1));
    enum field field = name.bytes == NULL ? FIELD_COUNT : context_field(name.bytes, name.length);
    if (field == FIELD_COUNT || value.bytes == NULL)
        return;
    if (is_one || context_is_named(field))
        message_header(exchange, name.bytes, value.bytes, value.length);
    if (!is_one && context_is_parent(field))
        message_link(exchange, value.bytes, field == FIELD_TRACEPARENT ? value.length : 0);
}

static void tell_headers(struct exchange *exchange, struct py_object *record, bool is_one)
{
    struct py_object *headers = python_attribute(record, "headers");
    long count = headers == NULL ? 0 : py.PyObject_Size(headers);
    for (long i = 0; i < count; i++) {
        struct py_object *header = py.PySequence_GetItem(headers, i);
        if (header != NULL)
            tell_header(exchange, header, is_one);
        py.Py_DecRef(header);
    }
    py.Py_DecRef(headers);
}

/* Of several partitions there is none, of several topics neither. */
static void tell_place(struct exchange *exchange, struct py_object *record)
{
    enum { SEVERAL = -1 };
    struct py_object *topic = python_attribute(record, "topic");
    struct bytes name = bytes_of(topic);
    bool is_first = exchange->numbers[FIELD_BATCH] == 0;
    call_number(exchange, FIELD_ROWS, is_first ? number_of(record, "partition") + 1 : SEVERAL);
    if (is_first)
        tell(exchange, FIELD_DESTINATION, topic);
    else if (name.bytes == NULL || name.length != exchange->texts[FIELD_DESTINATION].length ||
             memcmp(name.bytes, exchange_text(exchange, FIELD_DESTINATION), name.length) != 0)
        exchange_forget_last(exchange, FIELD_DESTINATION);
    py.Py_DecRef(topic);
}

static void tell_one(struct exchange *exchange, struct py_object *record)
{
    call_number(exchange, FIELD_STATUS, number_of(record, "offset"));
    tell_taken(exchange, FIELD_ROUTING, python_attribute(record, "key"));
    tell_place(exchange, record);
    tell_headers(exchange, record, true);
}

/* Of one partition: more of what came at once. */
static void tell_list(struct exchange *exchange, struct py_object *list)
{
    long count = py.PyObject_Size(list);
    for (long i = 0; i < count; i++) {
        struct py_object *record = py.PySequence_GetItem(list, i);
        if (i == 0)
            tell_place(exchange, record);
        tell_headers(exchange, record, false);
        py.Py_DecRef(record);
    }
    exchange->numbers[FIELD_BATCH] += count;
}

/* The client's name and the group: kafka-python has settings. */
static void tell_client(struct exchange *exchange, struct py_object *consumer)
{
    struct py_object *settings = python_attribute(consumer, "config");
    if (settings != NULL) {
        tell(exchange, FIELD_USER_AGENT, py.PyDict_GetItemString(settings, "client_id"));
        tell(exchange, FIELD_SUBSCRIPTION, py.PyDict_GetItemString(settings, "group_id"));
        py.Py_DecRef(settings);
        return;
    }
    tell_taken(exchange, FIELD_SUBSCRIPTION, python_attribute(consumer, "_group_id"));
    tell_taken(exchange, FIELD_USER_AGENT,
        python_attribute_of(python_attribute(consumer, "_client"), "_client_id"));
}

/* --- what is in hand -------------------------------------------------------------------------- */

/* May a call have been its? */
static bool leave(struct queue *queue)
{
    struct exchange *exchange = queue->message;
    if (exchange == NULL)
        return false;
    const struct context *context = exchange->context;
    bool has_calls = context->has_named_calls || context->may_have_made_calls;
    queue->message = NULL;
    message_done(exchange);
    return has_calls;
}

struct queue *kafka_ask(struct py_object *consumer, uint32_t *uses)
{
    struct queue *queue = consumer == NULL ? NULL : queue_find(consumer);
    if (queue == NULL || queue->is_inside)
        return NULL;
    struct py_object *capsule = current_get();
    if (leave(queue) && capsule != NULL && note_of(capsule)->queue == queue->number)
        note_of(capsule)->uses++; /* also what was not called by Python's own code */
    py.Py_DecRef(capsule);
    queue->is_work = queue->is_asked = true;
    consumer_asks(queue);
    capsule = current_get();
    if (capsule != NULL) {
        note_of(capsule)->asks = queue->number;
        *uses = note_of(capsule)->uses;
    }
    py.Py_DecRef(capsule);
    return queue;
}

struct queue *kafka_asked(void)
{
    struct py_object *capsule = current_get();
    const struct note *note = note_of(capsule);
    struct queue *queue =
        note == NULL || note->state != NOTE_CONSUMER ? NULL : queue_numbered(note->asks);
    py.Py_DecRef(capsule);
    return queue;
}

/* What is not believed is linked to what is called. */
static void enter(struct note *note, struct context *context)
{
    context->is_uncertain = note->handle == CARRIER_NONE;
    if (context->is_uncertain)
        note->handle = carrier_hold(context->index);
    note->is_told = true;
    carrier_enter(note->handle, true);
    if (!tasks_are_scheduled())
        carrier_work(note->handle);
}

static struct exchange *begin(void)
{
    struct exchange *exchange = message_begin(true);
    if (exchange != NULL)
        call_number(exchange, FIELD_VERSION, MESSAGE_PROCESS);
    return exchange;
}

/* The exchange goes with it. */
static void take(struct queue *queue, struct exchange *exchange)
{
    tell_client(exchange, queue->self);
    py.PyErr_Clear();
    struct context *context = message_handed(exchange, LIBRARY_KAFKA, HANDED_TOLD);
    if (context == NULL)
        return;
    leave(queue); /* another task's */
    queue->message = exchange;
    queue->is_asked = false;
    consumer_takes(queue, (struct mark){.handle = context->index, .is_known = true});
    struct py_object *capsule = current_get();
    struct note *note = note_of(capsule);
    if (note != NULL && note->state == NOTE_CONSUMER && note->queue == queue->number)
        enter(note, context);
    else
        leave(queue); /* a request's, which it is to answer */
    py.Py_DecRef(capsule);
}

/* --- records ---------------------------------------------------------------------------------- */

/* Include/cpython/object.h: how types begin. */
struct type {
    struct python_head head;
    intptr_t size;
    const char *name;
};

static bool is_record(const struct py_object *object)
{
    return object != NULL &&
           strcmp(((const struct type *)((const struct python_head *)object)->type)->name,
               "ConsumerRecord") == 0;
}

/* The first of a list, if it is one; a new reference or NULL. */
static struct py_object *first_of(struct py_object *list)
{
    struct py_object *record = list == NULL ? NULL : py.PySequence_GetItem(list, 0);
    if (is_record(record))
        return record;
    py.PyErr_Clear();
    py.Py_DecRef(record);
    return NULL;
}

void kafka_take_one(struct queue *queue, struct py_object *record)
{
    struct exchange *exchange = is_record(record) ? begin() : NULL;
    if (exchange == NULL)
        return;
    tell_one(exchange, record);
    take(queue, exchange);
}

/* Lists by their partitions. */
void kafka_take_polled(struct queue *queue, struct py_object *result)
{
    struct py_object *lists = py.PyDict_Values(result);
    struct py_object *list = lists == NULL ? NULL : py.PySequence_GetItem(lists, 0);
    struct py_object *record = first_of(list);
    struct exchange *exchange = record == NULL ? NULL : begin();
    if (exchange != NULL) {
        long count = py.PyObject_Size(lists);
        if (count == 1 && py.PyObject_Size(list) == 1)
            tell_one(exchange, record);
        else
            for (long i = 0; i < count; i++) {
                py.Py_DecRef(list);
                list = py.PySequence_GetItem(lists, i);
                tell_list(exchange, list);
            }
        take(queue, exchange);
    }
    py.PyErr_Clear();
    py.Py_DecRef(record);
    py.Py_DecRef(list);
    py.Py_DecRef(lists);
}

void kafka_take_all(struct queue *queue, struct py_object *list)
{
    struct py_object *record = first_of(list);
    struct exchange *exchange = record == NULL ? NULL : queue->is_asked ? begin() : queue->message;
    if (exchange != NULL) {
        tell_list(exchange, list);
        if (queue->is_asked)
            take(queue, exchange);
    }
    py.PyErr_Clear();
    py.Py_DecRef(record);
}
