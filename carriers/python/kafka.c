/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Clients of Kafka that speak its protocol themselves: they fetch many records at once, ahead, and
 * hand them to their program one by one, or some at a time. What is handed out has a span from then
 * on until the consumer is asked for more, and what its program does meanwhile is for that.
 *
 * | kafka-python 2 and 3 | |
 * |---|---|
 * | KafkaConsumer | `for` and next() hand out a record; poll() some: one span, linked to each;
 * `for` polls by itself |
 *
 * | aiokafka | |
 * |---|---|
 * | AIOKafkaConsumer | getone() and getmany() are coroutines, `async for` calls the former |
 * | FetchResult | hands out, in the step of the task that gets it |
 *
 * To its program a consumer is a queue of work (consumers.c), so what asks again before it did
 * anything for what it has may collect: it is not believed until it did something again.
 */
#include <stddef.h>
#include <string.h>

#include "../protocols/context_names.h"
#include "../protocols/messaging.h"
#include "carrier.h"
#include "context.h"
#include "message.h"
#include "note.h"
#include "python.h"
#include "queue.h"

/* --- what a span says ------------------------------------------------------------------------- */

static long number_of(struct py_object *record, const char *name)
{
    struct py_object *value = python_attribute(record, name);
    long number = value == NULL ? -1 : py.PyLong_AsLong(value);
    py.PyErr_Clear();
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

/* The reference goes with it. */
static void tell(struct exchange *exchange, enum field field, struct py_object *object)
{
    struct bytes bytes = bytes_of(object);
    if (bytes.bytes != NULL)
        call_text(exchange, field, bytes.bytes, bytes.length);
    py.Py_DecRef(object);
}

static void tell_header(
    struct exchange *exchange, struct py_object *name, struct py_object *value, bool is_one)
{
    struct bytes text = bytes_of(name), content = bytes_of(value);
    enum field field = text.bytes == NULL ? FIELD_COUNT : context_field(text.bytes, text.length);
    if (field == FIELD_COUNT || content.bytes == NULL)
        return;
    if (is_one || context_is_named(field))
        message_header(exchange, text.bytes, content.bytes, content.length);
    if (!is_one && context_is_parent(field))
        message_link(exchange, content.bytes, field == FIELD_TRACEPARENT ? content.length : 0);
}

/* is_one: their context is the parent's, else it is linked. */
static void tell_headers(struct exchange *exchange, struct py_object *record, bool is_one)
{
    struct py_object *headers = python_attribute(record, "headers");
    long count = headers == NULL ? 0 : py.PyObject_Size(headers);
    for (long i = 0; i < count; i++) {
        struct py_object *header = py.PySequence_GetItem(headers, i);
        struct py_object *name = header == NULL ? NULL : py.PySequence_GetItem(header, 0),
                         *value = header == NULL ? NULL : py.PySequence_GetItem(header, 1);
        tell_header(exchange, name, value, is_one);
        py.Py_DecRef(name);
        py.Py_DecRef(value);
        py.Py_DecRef(header);
    }
    py.PyErr_Clear();
    py.Py_DecRef(headers);
}

/* Is it one of the library's own records? */
static bool is_record(struct py_object *object, struct py_object *type)
{
    return object != NULL && ((struct python_head *)object)->type == type;
}

static void tell_place(struct exchange *exchange, struct py_object *record)
{
    call_number(exchange, FIELD_ROWS, number_of(record, "partition") + 1);
    tell(exchange, FIELD_DESTINATION, python_attribute(record, "topic"));
}

static void tell_one(struct exchange *exchange, struct py_object *record)
{
    call_number(exchange, FIELD_STATUS, number_of(record, "offset"));
    tell(exchange, FIELD_ROUTING, python_attribute(record, "key"));
    tell_place(exchange, record);
    tell_headers(exchange, record, true);
}

/* --- what is in hand -------------------------------------------------------------------------- */

static void leave(struct queue *queue, struct note *note)
{
    struct exchange *exchange = queue->message;
    queue->message = NULL;
    if (exchange != NULL && message_done(exchange) && note != NULL && note->queue == queue->number)
        note->uses++; /* also what was not called by Python's own code */
}

/* Whoever runs asks for more. What the consumer itself sends meanwhile is no use of what it took:
 * how often that was used by then. */
static struct queue *ask(struct py_object *consumer, uint32_t *uses)
{
    struct queue *queue = consumer == NULL ? NULL : queue_find(consumer);
    if (queue == NULL || queue->is_inside)
        return NULL;
    struct py_object *capsule = current_get();
    leave(queue, note_of(capsule));
    py.Py_DecRef(capsule);
    queue->is_work = queue->is_asked = true;
    consumer_asks(queue);
    capsule = current_get();
    *uses = capsule == NULL ? 0 : note_of(capsule)->uses;
    py.Py_DecRef(capsule);
    return queue;
}

/* What is not believed is linked to what is called. */
static void enter(struct note *note, struct context *context)
{
    context->is_uncertain = note->handle == CARRIER_NONE;
    if (context->is_uncertain)
        note->handle = carrier_hold(context->index);
    if (note->handle != context->index)
        return;
    note->is_told = true;
    carrier_enter(note->handle, true);
    if (!tasks_are_scheduled())
        carrier_work(note->handle);
}

/* The exchange goes with it. */
static void take(struct queue *queue, struct exchange *exchange)
{
    struct context *context = message_given(exchange, LIBRARY_KAFKA);
    if (context == NULL)
        return;
    uint32_t handle = context->index;
    leave(queue, NULL); /* another task's */
    queue->message = exchange;
    queue->is_asked = false;
    consumer_takes(queue, (struct mark){.handle = handle, .is_known = true});
    struct py_object *capsule = current_get();
    struct note *note = note_of(capsule);
    if (note == NULL || note->state != NOTE_CONSUMER || note->queue != queue->number)
        leave(queue, NULL); /* a request's, which it is to answer */
    else
        enter(note, context);
    py.Py_DecRef(capsule);
}

static struct exchange *begin(void)
{
    struct exchange *exchange = message_begin(true);
    if (exchange != NULL)
        call_number(exchange, FIELD_VERSION, MESSAGE_PROCESS);
    return exchange;
}

/* --- kafka-python ----------------------------------------------------------------------------- */

static void tell_settings(struct exchange *exchange, struct py_object *consumer)
{
    static const struct {
        const char *name;
        enum field field;
    } told[] = {{"client_id", FIELD_USER_AGENT}, {"group_id", FIELD_SUBSCRIPTION}};
    struct py_object *settings = python_attribute(consumer, "config");
    for (size_t i = 0; settings != NULL && i < sizeof(told) / sizeof(told[0]); i++) {
        struct py_object *value = py.PyDict_GetItemString(settings, told[i].name);
        py.Py_IncRef(value);
        tell(exchange, told[i].field, value);
    }
    py.PyErr_Clear();
    py.Py_DecRef(settings);
}

static struct py_object *type_of_records(void)
{
    static struct py_object *type;
    if (type == NULL)
        type = tasks_attribute("kafka.consumer.fetcher", "ConsumerRecord");
    return type;
}

/* A list of records of one partition: more of what came at once. Answers how many there are. */
static long tell_list(struct exchange *exchange, struct py_object *list)
{
    long count = list == NULL ? 0 : py.PyObject_Size(list), told = 0;
    for (long i = 0; i < count; i++) {
        struct py_object *record = py.PySequence_GetItem(list, i);
        if (is_record(record, type_of_records())) {
            if (i == 0)
                tell_place(exchange, record);
            tell_headers(exchange, record, false);
            told++;
        }
        py.Py_DecRef(record);
    }
    py.PyErr_Clear();
    return told;
}

/* What poll() answered: lists by their partitions; a new reference to the first record of the only
 * list, or NULL if there are more. */
static struct py_object *only_one(struct py_object *lists)
{
    struct py_object *list = py.PyObject_Size(lists) == 1 ? py.PySequence_GetItem(lists, 0) : NULL;
    struct py_object *record =
        list != NULL && py.PyObject_Size(list) == 1 ? py.PySequence_GetItem(list, 0) : NULL;
    py.PyErr_Clear();
    py.Py_DecRef(list);
    return record;
}

static void tell_lists(struct exchange *exchange, struct py_object *lists)
{
    struct py_object *record = only_one(lists);
    long count = py.PyObject_Size(lists), told = 0;
    for (long i = 0; i < count && record == NULL; i++) {
        struct py_object *list = py.PySequence_GetItem(lists, i);
        told += tell_list(exchange, list);
        py.Py_DecRef(list);
    }
    if (record != NULL)
        tell_one(exchange, record);
    else
        call_number(exchange, FIELD_BATCH, told);
    py.Py_DecRef(record);
    py.PyErr_Clear();
}

/* Are they the library's own? */
static bool are_records(struct py_object *lists)
{
    struct py_object *list =
        lists == NULL || py.PyObject_Size(lists) <= 0 ? NULL : py.PySequence_GetItem(lists, 0);
    struct py_object *record = list == NULL ? NULL : py.PySequence_GetItem(list, 0);
    bool are = is_record(record, type_of_records());
    py.PyErr_Clear();
    py.Py_DecRef(record);
    py.Py_DecRef(list);
    return are;
}

static void take_polled(struct queue *queue, struct py_object *consumer, struct py_object *result)
{
    struct py_object *lists = py.PyDict_Values(result);
    struct exchange *exchange = are_records(lists) ? begin() : NULL;
    if (exchange != NULL) {
        tell_lists(exchange, lists);
        tell_settings(exchange, consumer);
        take(queue, exchange);
    }
    py.PyErr_Clear();
    py.Py_DecRef(lists);
}

static void take_one(struct queue *queue, struct py_object *consumer, struct py_object *record)
{
    struct exchange *exchange = is_record(record, type_of_records()) ? begin() : NULL;
    if (exchange == NULL)
        return;
    tell_one(exchange, record);
    tell_settings(exchange, consumer);
    take(queue, exchange);
}

static struct py_object *hand_out(
    void (*taken)(struct queue *, struct py_object *consumer, struct py_object *result),
    struct py_object *original, struct py_object *arguments, struct py_object *keywords)
{
    struct py_object *consumer = python_object_of(arguments);
    uint32_t uses = 0;
    struct queue *queue = ask(consumer, &uses);
    if (queue == NULL)
        return py.PyObject_Call(original, arguments, keywords);
    queue->is_inside = true;
    struct py_object *result = py.PyObject_Call(original, arguments, keywords);
    struct python_error error = python_set_aside();
    queue->is_inside = false;
    struct py_object *capsule = current_get();
    if (capsule != NULL)
        note_of(capsule)->uses = uses;
    py.Py_DecRef(capsule);
    if (result != NULL)
        taken(queue, consumer, result);
    python_put_back(error);
    return result;
}

static struct py_object *next_record(
    struct py_object *original, struct py_object *arguments, struct py_object *keywords)
{
    return hand_out(take_one, original, arguments, keywords);
}

static struct py_object *poll(
    struct py_object *original, struct py_object *arguments, struct py_object *keywords)
{
    return hand_out(take_polled, original, arguments, keywords);
}

static struct py_object *close(
    struct py_object *original, struct py_object *arguments, struct py_object *keywords)
{
    uint32_t uses;
    ask(python_object_of(arguments), &uses);
    return py.PyObject_Call(original, arguments, keywords);
}

static struct python_place rows[] = {
    {PLACE("kafka.consumer.group", "KafkaConsumer", "__next__"), .call = next_record},
    {PLACE("kafka.consumer.group", "KafkaConsumer", "poll"), .call = poll},
    {PLACE("kafka.consumer.group", "KafkaConsumer", "close"), .call = close},
};

const struct python_places kafka_places = {rows, sizeof(rows) / sizeof(rows[0])};
