/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RabbitMQ's client (5.0 to 5.25): one thread reads the messages of a connection and puts them into
 * a queue of its channel's; threads of a pool take up to 16 from there, and call the program's
 * function with one after the other. Threads of Java's, outside any observe block.
 */
#include "amqp.h"

#include "carrier.h"
#include "java.h"
#include "jvm.h"
#include "pool.h"

#define IMPL "Lcom/rabbitmq/client/impl/"

/* Connections by their objects' identity hashes; with more of them the oldest go. */
enum { CONNECTIONS = 64, TRIES = 2000 };
static struct {
    uint32_t hash;
    struct carrier_source source;
} connections[CONNECTIONS];
static uint32_t busy, next;

static bool lock(void)
{
    for (int i = 0; i < TRIES; i++)
        if (!__atomic_exchange_n(&busy, 1, __ATOMIC_ACQUIRE))
            return true;
    return false;
}

static void unlock(void)
{
    __atomic_store_n(&busy, 0, __ATOMIC_RELEASE);
}

static void keep(uint32_t hash, struct carrier_source source)
{
    uint32_t i = 0;
    while (i < CONNECTIONS && connections[i].hash != hash)
        i++;
    if (i == CONNECTIONS)
        i = next++ % CONNECTIONS;
    connections[i].hash = hash;
    connections[i].source = source;
}

static struct carrier_source find(uint32_t hash)
{
    for (uint32_t i = 0; i < CONNECTIONS; i++)
        if (connections[i].hash == hash)
            return connections[i].source;
    return (struct carrier_source){0};
}

static uint32_t connection_of(struct jni *env, void *dispatcher)
{
    void *connection = jni_object_in(env, dispatcher, "connection", IMPL "AMQConnection;");
    if (connection == NULL)
        return 0;
    uint32_t hash = (uint32_t)java_identity(env, connection);
    jni_forget(env, connection);
    return hash;
}

/* By the thread that has read it, before it reads anything else. */
void amqp_deliver(struct jni *env, void *class, void *dispatcher)
{
    struct carrier_source source = carrier_source();
    if (!(java_in_use & 1u << NATIVE_WORK) || source.connection == NULL)
        return;
    uint32_t hash = connection_of(env, dispatcher);
    if (hash == 0 || !lock())
        return;
    keep(hash, source);
    unlock();
    carrier_tell(&source);
}

struct at_work {
    uint64_t pool_link;
    uint64_t key;
    uint32_t handle; /* held */
    int fd;
};
static struct pool all_at_work = {.block_shift = 5};
_Static_assert(sizeof(struct at_work) <= 1 << 5, "it fits its block");

void amqp_worked(struct jni *env, void *class)
{
    uint32_t *at_work = carrier_note();
    if (at_work == NULL || *at_work == 0)
        return;
    struct at_work one = *(struct at_work *)pool_block(&all_at_work, *at_work);
    pool_give(&all_at_work, *at_work);
    *at_work = 0;
    carrier_worked(one.fd, one.key, one.handle);
    carrier_drop(one.handle);
}

/* A channel that was opened again counts on where it was; the broker begins anew. */
static uint64_t key_of(struct jni *env, void *dispatcher, void *envelope)
{
    void *channel = jni_object_in(env, dispatcher, "channel", "Lcom/rabbitmq/client/Channel;");
    int64_t tag = jni_number_in(env, envelope, "_deliveryTag", true);
    int64_t offset = jni_number_in(env, channel, "activeDeliveryTagOffset", true);
    int64_t number = jni_number_in(env, channel, "_channelNumber", false);
    jni_forget(env, channel);
    tag -= offset > 0 ? offset : 0;
    return number > 0 && tag > 0 ? amqp_key((uint16_t)number, (uint64_t)tag) : 0;
}

void amqp_work(struct jni *env, void *class, void *runnable)
{
    amqp_worked(env, class);
    struct carrier_source source = {0};
    uint64_t key = 0;
    void *envelope = jni_object_in(env, runnable, "val$envelope", "Lcom/rabbitmq/client/Envelope;");
    void *dispatcher = envelope == NULL
                           ? NULL
                           : jni_object_in(env, runnable, "this$0", IMPL "ConsumerDispatcher;");
    uint32_t hash = dispatcher == NULL ? 0 : connection_of(env, dispatcher);
    if (hash != 0)
        key = key_of(env, dispatcher, envelope);
    jni_forget(env, dispatcher);
    jni_forget(env, envelope);
    if (key != 0 && lock()) {
        source = find(hash);
        unlock();
    }
    carrier_enter(CARRIER_NONE, false); /* the pool's thread is nobody's else */
    uint32_t handle = key == 0 ? CARRIER_NONE : carrier_take_brought(&source, key);
    uint32_t *at_work = carrier_note(),
             index = handle == CARRIER_NONE ? 0 : pool_take(&all_at_work);
    if (index == 0 || at_work == NULL) {
        carrier_drop(handle);
        return;
    }
    struct at_work *one = pool_block(&all_at_work, index);
    one->handle = handle;
    one->key = key;
    one->fd = source.fd;
    *at_work = index;
    carrier_work(handle);
}
