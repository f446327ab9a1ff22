/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Apache Kafka's own client: poll() brings many records, which their program takes by an iterator
 * one by one, or in lists by their partitions. What it has taken has a span from then on, and what
 * its thread does is for that, until it asks for the next, or asks or closes the consumer.
 *
 * Who asks for the next before it did anything for what it has may collect: it is not believed
 * until it did something again. Who is at work for a request that is not answered stays with that,
 * and the record is over at once. Not followed are virtual threads, and the lists that Kafka
 * Streams puts into queues of its own.
 *
 * A record in hand is among the thread's messages (message.h), so that it ends with the thread.
 */
#include "kafka_natives.h"

#include <string.h>

#include "../protocols/context_names.h"
#include "../protocols/messaging.h"
#include "carrier.h"
#include "context.h"
#include "java.h"
#include "jvm.h"
#include "message.h"
#include "objects.h"
#include "thread.h"

#define CLIENTS "org/apache/kafka/clients/consumer/"
#define STRING "java/lang/String"
#define HEADERS "org.apache.kafka.common.header."

enum { TEXT_MAX = 2048, GROUP_MAX = 100, GROUPS_MAX = 64 };

bool kafka_is_off;

/* Names of groups, for ever: a process has few. */
static struct group {
    uint8_t length; /* atomic; written last */
    char name[GROUP_MAX];
} groups[GROUPS_MAX];
static uint32_t group_count; /* atomic; of those that somebody writes or has written */

/* Of the calling thread; NULL: it is told nothing of. */
static struct in_hand *own(void)
{
    struct thread *self = thread_self == NULL ? observe_open() : NULL;
    if (self != NULL)
        observe_close(self);
    return thread_self == NULL ? NULL : &thread_self->in_hand;
}

/* --- classes ---------------------------------------------------------------------------------- */

/* Of one loader; once it is published it stays. */
struct kinds {
    uint32_t state;                                   /* atomic */
    void *record, *headers, *header, *string, *bytes; /* classes, weakly */
    void *topic, *partition, *offset, *key, *its_headers, *array, *name, *value;
};
enum { KINDS_MAX = 4, KINDS_FREE = 0, KINDS_BUSY, KINDS_KNOWN };
static struct kinds kinds[KINDS_MAX];

static bool know(struct jni *env, struct kinds *kind, void *record)
{
    void *headers = object_class_beside(env, record, HEADERS "internals.RecordHeaders");
    void *header = object_class_beside(env, record, HEADERS "internals.RecordHeader");
    if (headers == NULL || header == NULL)
        return false;
    kind->topic = object_field_id(env, record, "topic", "L" STRING ";");
    kind->partition = object_field_id(env, record, "partition", "I");
    kind->offset = object_field_id(env, record, "offset", "J");
    kind->key = object_field_id(env, record, "key", "Ljava/lang/Object;");
    kind->its_headers =
        object_field_id(env, record, "headers", "Lorg/apache/kafka/common/header/Headers;");
    kind->array =
        object_method_id(env, headers, "toArray", "()[Lorg/apache/kafka/common/header/Header;");
    kind->name = object_method_id(env, header, "key", "()L" STRING ";");
    kind->value = object_method_id(env, header, "value", "()[B");
    kind->record = object_weak(env, record);
    kind->headers = object_weak(env, headers);
    kind->header = object_weak(env, header);
    kind->string = object_weak(env, jni_find_class(env, STRING));
    kind->bytes = object_weak(env, jni_find_class(env, "[B"));
    for (void *const *one = &kind->record; one <= &kind->value; one++)
        if (*one == NULL)
            return false;
    return true;
}

/* One that is given up stays busy. */
static const struct kinds *learn(struct jni *env, struct kinds *kind, void *class)
{
    uint32_t state = KINDS_FREE;
    if (!object_is_named(class, CLIENTS "ConsumerRecord") ||
        !__atomic_compare_exchange_n(
            &kind->state, &state, KINDS_BUSY, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED) ||
        !know(env, kind, class))
        return NULL;
    __atomic_store_n(&kind->state, KINDS_KNOWN, __ATOMIC_RELEASE);
    return kind;
}

/* NULL: it is no record, or of a class of the program's. */
static const struct kinds *kinds_of(struct jni *env, void *record)
{
    void *class = record == NULL ? NULL : object_class(env, record);
    for (int i = 0; i < KINDS_MAX && class != NULL; i++) {
        uint32_t state = __atomic_load_n(&kinds[i].state, __ATOMIC_ACQUIRE);
        if (state == KINDS_KNOWN && object_is_same(env, class, kinds[i].record))
            return &kinds[i];
        if (state == KINDS_FREE)
            return learn(env, &kinds[i], class);
    }
    return NULL;
}

/* --- what a span says ------------------------------------------------------------------------- */

static size_t topic_of(
    struct jni *env, const struct kinds *kind, void *record, char topic[TEXT_MAX])
{
    return object_text(env, object_field(env, record, kind->topic), topic, TEXT_MAX);
}

static void tell(struct exchange *exchange, enum field field, const char *text, size_t length)
{
    if (length > 0)
        call_text(exchange, field, text, length);
}

/* A text, or bytes; what is made of anything else is the program's affair. */
static void tell_key(
    struct jni *env, const struct kinds *kind, struct exchange *exchange, void *key)
{
    char text[TEXT_MAX];
    void *class = key == NULL ? NULL : object_class(env, key);
    if (class == NULL)
        return;
    if (object_is_same(env, class, kind->string))
        tell(exchange, FIELD_ROUTING, text, object_text(env, key, text, sizeof(text)));
    else if (object_is_same(env, class, kind->bytes))
        tell(exchange, FIELD_ROUTING, text, object_bytes(env, key, text, sizeof(text)));
}

/* is_one: its context is the parent's, else it is linked. */
static void tell_header(
    struct jni *env, const struct kinds *kind, struct exchange *exchange, void *header, bool is_one)
{
    char name[TEXT_MAX], value[TEXT_MAX];
    size_t length = object_text(env, object_call(env, header, kind->name, 0), name, sizeof(name));
    enum field field = length == 0 ? FIELD_COUNT : context_field(name, length);
    if (field == FIELD_COUNT)
        return;
    length = object_bytes(env, object_call(env, header, kind->value, 0), value, sizeof(value));
    if (length > 0 && (is_one || context_is_named(field)))
        message_header(exchange, name, value, length);
    if (length > 0 && !is_one && context_is_parent(field))
        message_link(exchange, value, field == FIELD_TRACEPARENT ? length : 0);
}

static void tell_headers(
    struct jni *env, const struct kinds *kind, struct exchange *exchange, void *record, bool is_one)
{
    void *headers = object_field(env, record, kind->its_headers);
    if (headers == NULL || !object_is_same(env, object_class(env, headers), kind->headers))
        return; /* an interceptor's */
    void *array = object_call(env, headers, kind->array, 0);
    int32_t count = array == NULL ? 0 : object_array_length(env, array);
    for (int32_t i = 0; i < count && object_frame(env); i++) {
        void *header = object_array_element(env, array, i);
        if (header != NULL && object_is_same(env, object_class(env, header), kind->header))
            tell_header(env, kind, exchange, header, is_one);
        object_frame_end(env);
    }
}

static struct exchange *begin(
    struct jni *env, const struct in_hand *hand, const struct kinds *kind, void *record)
{
    char topic[TEXT_MAX];
    struct exchange *exchange = message_begin(true);
    if (exchange == NULL)
        return NULL;
    call_number(exchange, FIELD_VERSION, MESSAGE_PROCESS);
    call_number(exchange, FIELD_ROWS, object_int(env, record, kind->partition) + 1);
    tell(exchange, FIELD_DESTINATION, topic, topic_of(env, kind, record, topic));
    if (hand->group > 0)
        tell(exchange, FIELD_SUBSCRIPTION, groups[hand->group - 1].name,
            groups[hand->group - 1].length);
    return exchange;
}

static void tell_one(
    struct jni *env, const struct kinds *kind, struct exchange *exchange, void *record)
{
    call_number(exchange, FIELD_STATUS, object_long(env, record, kind->offset));
    tell_key(env, kind, exchange, object_field(env, record, kind->key));
    tell_headers(env, kind, exchange, record, true);
}

/* --- what is in hand -------------------------------------------------------------------------- */

static void leave(struct in_hand *hand)
{
    if (hand->handle == CARRIER_NONE)
        return;
    const struct context *context = context_at(hand->handle);
    hand->may_collect =
        !context->has_named_calls && !context->may_have_made_calls && !context->has_made_calls;
    bool is_here = carrier_look().handle == hand->handle;
    hand->handle = CARRIER_NONE;
    message_over();
    if (is_here)
        carrier_enter(CARRIER_NONE, false);
}

/* The exchange goes with it. */
static void take(struct in_hand *hand, struct exchange *exchange)
{
    hand->is_asked = false;
    bool is_anothers = carrier_is_live(hand->asker) || carrier_is_live(carrier_look().handle);
    struct context *context =
        message_handed(exchange, LIBRARY_KAFKA, is_anothers ? HANDED_TOLD : HANDED_ONE);
    if (context == NULL)
        return;
    if (is_anothers) {
        message_done(exchange);
        return;
    }
    context->is_uncertain = hand->may_collect;
    context->is_followed = true;
    hand->handle = context->index;
    carrier_work(hand->handle);
}

static uint8_t group_named(const char *name, size_t length)
{
    uint32_t count = __atomic_load_n(&group_count, __ATOMIC_RELAXED), i = 0;
    for (; i < count && i < GROUPS_MAX; i++)
        if (__atomic_load_n(&groups[i].length, __ATOMIC_ACQUIRE) == length &&
            memcmp(groups[i].name, name, length) == 0)
            return (uint8_t)(i + 1);
    if (i == GROUPS_MAX ||
        (i = __atomic_fetch_add(&group_count, 1, __ATOMIC_RELAXED)) >= GROUPS_MAX)
        return 0;
    memcpy(groups[i].name, name, length);
    __atomic_store_n(&groups[i].length, (uint8_t)length, __ATOMIC_RELEASE);
    return (uint8_t)(i + 1);
}

/* Kafka's own class, of which nothing else is called. */
static uint8_t group_of(struct jni *env, void *consumer)
{
    void *class = object_class(env, consumer);
    if (!object_is_named(class, CLIENTS "KafkaConsumer"))
        return 0;
    void *method =
        object_method_id(env, class, "groupMetadata", "()L" CLIENTS "ConsumerGroupMetadata;");
    void *group = method == NULL ? NULL : object_call(env, consumer, method, 0);
    if (group == NULL)
        return 0; /* it is in none, or of an early version */
    method = object_method_id(env, object_class(env, group), "groupId", "()L" STRING ";");
    char name[GROUP_MAX];
    void *text = method == NULL ? NULL : object_call(env, group, method, 0);
    size_t length = object_text(env, text, name, sizeof(name));
    return length == 0 ? 0 : group_named(name, length);
}

static struct in_hand *ask(struct jni *env, bool is_asked)
{
    struct in_hand *hand = kafka_is_off || executors_on_virtual(env) ? NULL : own();
    if (hand == NULL)
        return NULL;
    leave(hand);
    hand->is_asked = is_asked;
    return hand;
}

void kafka_asks(struct jni *env, void *class)
{
    ask(env, true);
}

/* Of the request for which it asked before it may be led away by waiting for an answer. */
static void note_asker(struct in_hand *hand, uint32_t handle)
{
    if (!carrier_is_live(handle) && carrier_is_live(hand->asker))
        return;
    uint32_t before = hand->asker;
    hand->asker = carrier_is_live(handle) ? carrier_hold(handle) : CARRIER_NONE;
    carrier_drop(before);
}

void kafka_polls(struct jni *env, void *class, void *consumer)
{
    struct in_hand *hand = ask(env, false);
    if (hand == NULL)
        return;
    note_asker(hand, carrier_look().handle);
    int32_t identity = java_identity(env, consumer);
    if (identity == hand->consumer || !object_frame(env))
        return;
    hand->consumer = identity;
    hand->group = group_of(env, consumer);
    object_frame_end(env);
}

/* What it may be given now; NULL: it has not asked. */
static struct in_hand *asked(void)
{
    struct in_hand *hand = thread_self == NULL ? NULL : &thread_self->in_hand;
    return hand != NULL && hand->is_asked ? hand : NULL;
}

void kafka_hands(struct jni *env, void *class, void *record)
{
    struct in_hand *hand = asked();
    const struct kinds *kind = hand == NULL ? NULL : kinds_of(env, record);
    struct exchange *exchange = kind == NULL ? NULL : begin(env, hand, kind, record);
    if (exchange == NULL)
        return;
    tell_one(env, kind, exchange, record);
    take(hand, exchange);
}

/* Its records lie in queues when it has asked for more. */
static bool is_streams(struct jni *env)
{
    void *thread = NULL;
    return jvmti_current_thread(java_tools, &thread) != 0 ||
           object_is_beneath(object_class(env, thread), "org/apache/kafka/streams/");
}

static void tell_list(struct jni *env, const struct kinds *kind, struct exchange *exchange,
    void *list, void *get, int32_t count)
{
    enum { READ_MAX = 1024 };
    for (int32_t i = 0; i < count && i < READ_MAX && object_frame(env); i++) {
        void *record = object_call(env, list, get, i);
        if (record != NULL && kinds_of(env, record) == kind)
            tell_headers(env, kind, exchange, record, false);
        object_frame_end(env);
    }
    call_number(exchange, FIELD_BATCH, count);
}

void kafka_lists(struct jni *env, void *class, void *list)
{
    struct in_hand *hand = asked();
    void *lists = hand == NULL || list == NULL ? NULL : object_class(env, list);
    if (lists == NULL || !object_is_named(lists, "java/util/ArrayList") || is_streams(env))
        return;
    void *get = object_method_id(env, lists, "get", "(I)Ljava/lang/Object;");
    void *size = object_method_id(env, lists, "size", "()I");
    int32_t count = get == NULL || size == NULL ? 0 : object_call_int(env, list, size);
    void *record = count == 0 ? NULL : object_call(env, list, get, 0);
    const struct kinds *kind = kinds_of(env, record);
    struct exchange *exchange = kind == NULL ? NULL : begin(env, hand, kind, record);
    if (exchange == NULL)
        return;
    if (count == 1)
        tell_one(env, kind, exchange, record);
    else
        tell_list(env, kind, exchange, list, get, count);
    take(hand, exchange);
}
