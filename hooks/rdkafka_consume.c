/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages of Kafka that librdkafka hands to its program: the thread that gets one works on it
 * until it asks for more, whichever way, closes its consumer, or its callback has returned.
 * rd_kafka_message_destroy says nothing of that: bindings make an object of their language of a
 * message and destroy it before the program has seen it.
 */
#include <string.h>

#include "../protocols/context_names.h"
#include "../protocols/messaging.h"
#include "foreign.h"
#include "message.h"
#include "rdkafka.h"

typedef void message_callback(rd_kafka_message_t *, void *);

#define FUNCTIONS(X)                                                                               \
    X(rd_kafka_message_t *, rd_kafka_consumer_poll, (rd_kafka_t *, int))                           \
    X(int, rd_kafka_consumer_close, (rd_kafka_t *))                                                \
    X(rd_kafka_message_t *, rd_kafka_consume, (rd_kafka_topic_t *, int32_t, int))                  \
    X(rd_kafka_message_t *, rd_kafka_consume_queue, (rd_kafka_queue_t *, int))                     \
    X(ptrdiff_t, rd_kafka_consume_batch,                                                           \
        (rd_kafka_topic_t *, int32_t, int, rd_kafka_message_t **, size_t))                         \
    X(ptrdiff_t, rd_kafka_consume_batch_queue,                                                     \
        (rd_kafka_queue_t *, int, rd_kafka_message_t **, size_t))                                  \
    X(int, rd_kafka_consume_callback,                                                              \
        (rd_kafka_topic_t *, int32_t, int, message_callback *, void *))                            \
    X(int, rd_kafka_consume_callback_queue, (rd_kafka_queue_t *, int, message_callback *, void *)) \
    X(const char *, rd_kafka_name, (const rd_kafka_t *))                                           \
    X(const char *, rd_kafka_topic_name, (const rd_kafka_topic_t *))                               \
    X(const rd_kafka_conf_t *, rd_kafka_conf, (rd_kafka_t *))                                      \
    X(int, rd_kafka_conf_get, (const rd_kafka_conf_t *, const char *, char *, size_t *))           \
    X(int, rd_kafka_message_headers, (const rd_kafka_message_t *, rd_kafka_headers_t **))          \
    X(int, rd_kafka_header_get_last,                                                               \
        (const rd_kafka_headers_t *, const char *, const void **, size_t *))                       \
    X(int, rd_kafka_header_get_all,                                                                \
        (const rd_kafka_headers_t *, size_t, const char **, const void **, size_t *))

FOREIGN_LIBRARY(consumer, FUNCTIONS);

static bool is_told(const struct consumer *kafka)
{
    return message_is_seen() && kafka->own == NULL;
}

/* --- a message ----------------------------------------------------------------------------- */

static void tell_context(
    const struct consumer *kafka, struct exchange *exchange, const rd_kafka_message_t *message)
{
    static const char *const w3c[] = {"traceparent", "tracestate", "baggage"};
    rd_kafka_headers_t *headers;
    const char *name;
    const void *value;
    size_t length;
    if (!FOREIGN_HAS(kafka, rd_kafka_header_get_last) ||
        kafka->rd_kafka_message_headers(message, &headers) != 0)
        return;
    for (unsigned i = 0; i < sizeof(w3c) / sizeof(w3c[0]); i++)
        if (kafka->rd_kafka_header_get_last(headers, w3c[i], &value, &length) == 0)
            message_header(exchange, w3c[i], value, length);
    bool is_more = !config.w3c && FOREIGN_HAS(kafka, rd_kafka_header_get_all);
    for (size_t i = 0;
         is_more && kafka->rd_kafka_header_get_all(headers, i, &name, &value, &length) == 0; i++)
        if (context_is_named(context_field(name, strlen(name))))
            message_header(exchange, name, value, length);
}

/* client: NULL where the call does not name it. */
static void tell_client(const struct consumer *kafka, struct exchange *exchange, rd_kafka_t *client)
{
    char group[256];
    size_t size = sizeof(group);
    if (client == NULL)
        return;
    const char *name = kafka->rd_kafka_name(client);
    call_text(exchange, FIELD_USER_AGENT, name, rdkafka_client_length(name));
    if (FOREIGN_HAS(kafka, rd_kafka_conf) &&
        kafka->rd_kafka_conf_get(kafka->rd_kafka_conf(client), "group.id", group, &size) == 0)
        call_text(exchange, FIELD_SUBSCRIPTION, group, strlen(group));
}

/* NULL and errors (the end of a partition is one) are no messages. */
static void hand(const struct consumer *kafka, rd_kafka_t *client,
    const rd_kafka_message_t *message, bool is_one)
{
    bool is_message = message != NULL && message->err == 0 && message->rkt != NULL;
    struct exchange *exchange = is_message ? message_begin(true) : NULL;
    if (exchange == NULL)
        return;
    const char *topic = kafka->rd_kafka_topic_name(message->rkt);
    call_number(exchange, FIELD_VERSION, MESSAGE_PROCESS);
    call_number(exchange, FIELD_STATUS, message->offset);
    call_number(exchange, FIELD_ROWS, message->partition < 0 ? 0 : (int64_t)message->partition + 1);
    call_text(exchange, FIELD_DESTINATION, topic, strlen(topic));
    tell_client(kafka, exchange, client);
    tell_context(kafka, exchange, message);
    if (message->key != NULL)
        call_text(exchange, FIELD_ROUTING, message->key, message->key_len);
    message_handed(exchange, LIBRARY_KAFKA, is_one ? HANDED_ONE : HANDED_SEVERAL);
}

/* --- one at a time ------------------------------------------------------------------------- */

HOOK_FOREIGN(rd_kafka_message_t *, rd_kafka_consumer_poll, (rd_kafka_t * client, int timeout_ms))
{
    FOREIGN(consumer);
    message_over();
    rd_kafka_message_t *message = consumer->rd_kafka_consumer_poll(client, timeout_ms);
    if (is_told(consumer))
        hand(consumer, client, message, true);
    return message;
}

HOOK_FOREIGN(rd_kafka_message_t *, rd_kafka_consume,
    (rd_kafka_topic_t * topic, int32_t partition, int timeout_ms))
{
    FOREIGN(consumer);
    message_over();
    rd_kafka_message_t *message = consumer->rd_kafka_consume(topic, partition, timeout_ms);
    if (is_told(consumer))
        hand(consumer, NULL, message, true);
    return message;
}

HOOK_FOREIGN(
    rd_kafka_message_t *, rd_kafka_consume_queue, (rd_kafka_queue_t * queue, int timeout_ms))
{
    FOREIGN(consumer);
    message_over();
    rd_kafka_message_t *message = consumer->rd_kafka_consume_queue(queue, timeout_ms);
    if (is_told(consumer))
        hand(consumer, NULL, message, true);
    return message;
}

HOOK_FOREIGN(int, rd_kafka_consumer_close, (rd_kafka_t * client))
{
    FOREIGN(consumer);
    message_over();
    return consumer->rd_kafka_consumer_close(client);
}

/* --- many ---------------------------------------------------------------------------------- */

static ptrdiff_t handed(
    const struct consumer *kafka, rd_kafka_message_t *const *messages, ptrdiff_t count)
{
    for (ptrdiff_t i = 0; i < count && is_told(kafka); i++)
        hand(kafka, NULL, messages[i], count == 1);
    return count;
}

HOOK_FOREIGN(ptrdiff_t, rd_kafka_consume_batch,
    (rd_kafka_topic_t * topic, int32_t partition, int timeout_ms, rd_kafka_message_t **messages,
        size_t size))
{
    FOREIGN(consumer);
    message_over();
    ptrdiff_t count =
        consumer->rd_kafka_consume_batch(topic, partition, timeout_ms, messages, size);
    return handed(consumer, messages, count);
}

HOOK_FOREIGN(ptrdiff_t, rd_kafka_consume_batch_queue,
    (rd_kafka_queue_t * queue, int timeout_ms, rd_kafka_message_t **messages, size_t size))
{
    FOREIGN(consumer);
    message_over();
    ptrdiff_t count = consumer->rd_kafka_consume_batch_queue(queue, timeout_ms, messages, size);
    return handed(consumer, messages, count);
}

/* --- callbacks ----------------------------------------------------------------------------- */

struct relay {
    const struct consumer *kafka;
    message_callback *callback;
    void *opaque;
};

static void on_message(rd_kafka_message_t *message, void *opaque)
{
    const struct relay *relay = opaque;
    hand(relay->kafka, NULL, message, true);
    relay->callback(message, relay->opaque);
    message_over();
}

HOOK_FOREIGN(int, rd_kafka_consume_callback,
    (rd_kafka_topic_t * topic, int32_t partition, int timeout_ms, message_callback *callback,
        void *opaque))
{
    FOREIGN(consumer);
    struct relay relay = {consumer, callback, opaque};
    message_over();
    if (!is_told(consumer))
        return consumer->rd_kafka_consume_callback(topic, partition, timeout_ms, callback, opaque);
    return consumer->rd_kafka_consume_callback(topic, partition, timeout_ms, on_message, &relay);
}

HOOK_FOREIGN(int, rd_kafka_consume_callback_queue,
    (rd_kafka_queue_t * queue, int timeout_ms, message_callback *callback, void *opaque))
{
    FOREIGN(consumer);
    struct relay relay = {consumer, callback, opaque};
    message_over();
    if (!is_told(consumer))
        return consumer->rd_kafka_consume_callback_queue(queue, timeout_ms, callback, opaque);
    return consumer->rd_kafka_consume_callback_queue(queue, timeout_ms, on_message, &relay);
}

FOREIGN_UNVERSIONED(rd_kafka_consumer_poll);
FOREIGN_UNVERSIONED(rd_kafka_consumer_close);
FOREIGN_UNVERSIONED(rd_kafka_consume);
FOREIGN_UNVERSIONED(rd_kafka_consume_queue);
FOREIGN_UNVERSIONED(rd_kafka_consume_batch);
FOREIGN_UNVERSIONED(rd_kafka_consume_batch_queue);
FOREIGN_UNVERSIONED(rd_kafka_consume_callback);
FOREIGN_UNVERSIONED(rd_kafka_consume_callback_queue);
