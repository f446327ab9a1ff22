/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Clients of Kafka that speak its protocol themselves: they fetch many records at once, ahead, and
 * hand them to their program one by one, or some at a time. What is handed out has a span from then
 * on until the consumer is asked for more, and what its program does meanwhile is for that.
 *
 * | kafka-python 2 and 3 | |
 * |---|---|
 * | KafkaConsumer | `for` and next() hand out a record; poll(), which `for` calls, some: one span |
 *
 * | aiokafka | |
 * |---|---|
 * | AIOKafkaConsumer | getone() and getmany() are coroutines, `async for` calls the former |
 * | FetchResult | hands out, in the step of the task that gets it |
 *
 * To its program a consumer is a queue of work (consumers.c), so what asks again before it did
 * anything for what it has may collect: it is not believed until it did something again.
 */
#include "kafka.h"

#include <stddef.h>

#include "note.h"
#include "python.h"
#include "queue.h"

static struct py_object *hand_out(void (*take)(struct queue *, struct py_object *result),
    struct py_object *original, struct py_object *arguments, struct py_object *keywords)
{
    uint32_t uses = 0;
    struct queue *queue = kafka_ask(python_object_of(arguments), &uses);
    if (queue == NULL)
        return py.PyObject_Call(original, arguments, keywords);
    queue->is_inside = true;
    struct py_object *result = py.PyObject_Call(original, arguments, keywords);
    struct python_error error = python_set_aside();
    queue->is_inside = false;
    struct py_object *capsule = current_get();
    if (capsule != NULL)
        note_of(capsule)->uses = uses; /* what the consumer sent meanwhile is none */
    py.Py_DecRef(capsule);
    if (result != NULL)
        take(queue, result);
    python_put_back(error);
    return result;
}

static struct py_object *next_record(
    struct py_object *original, struct py_object *arguments, struct py_object *keywords)
{
    return hand_out(kafka_take_one, original, arguments, keywords);
}

static struct py_object *poll(
    struct py_object *original, struct py_object *arguments, struct py_object *keywords)
{
    return hand_out(kafka_take_polled, original, arguments, keywords);
}

/* That is the beginning of a coroutine, or nothing comes of it. */
static struct py_object *ask(
    struct py_object *original, struct py_object *arguments, struct py_object *keywords)
{
    uint32_t uses;
    kafka_ask(python_object_of(arguments), &uses);
    return py.PyObject_Call(original, arguments, keywords);
}

static struct py_object *give(void (*take)(struct queue *, struct py_object *result),
    struct py_object *original, struct py_object *arguments, struct py_object *keywords)
{
    struct py_object *result = py.PyObject_Call(original, arguments, keywords);
    struct queue *queue = result == NULL || !python_is_ours() ? NULL : kafka_asked();
    if (queue != NULL)
        take(queue, result);
    return result;
}

static struct py_object *get_one(
    struct py_object *original, struct py_object *arguments, struct py_object *keywords)
{
    return give(kafka_take_one, original, arguments, keywords);
}

static struct py_object *get_all(
    struct py_object *original, struct py_object *arguments, struct py_object *keywords)
{
    return give(kafka_take_all, original, arguments, keywords);
}

static struct python_place rows[] = {
    {PLACE("kafka.consumer.group", "KafkaConsumer", "__next__"), .call = next_record},
    {PLACE("kafka.consumer.group", "KafkaConsumer", "poll"), .call = poll},
    {PLACE("kafka.consumer.group", "KafkaConsumer", "close"), .call = ask},
    {PLACE("aiokafka.consumer.consumer", "AIOKafkaConsumer", "getone"), .call = ask},
    {PLACE("aiokafka.consumer.consumer", "AIOKafkaConsumer", "getmany"), .call = ask},
    {PLACE("aiokafka.consumer.consumer", "AIOKafkaConsumer", "stop"), .call = ask},
    {PLACE("aiokafka.consumer.fetcher", "FetchResult", "getone"), .call = get_one},
    {PLACE("aiokafka.consumer.fetcher", "FetchResult", "getall"), .call = get_all},
};

const struct python_places kafka_places = {rows, sizeof(rows) / sizeof(rows[0])};
