/* SPDX-License-Identifier: Apache-2.0 */
/* What the executors tell. Threads of Java's, outside any observe block. */
#include "carrier.h"
#include "given.h"
#include "java.h"
#include "jvm.h"
#include "kafka_natives.h"
#include "pool.h"

#define CONCURRENT "java/util/concurrent/"

#define JETTY "org/eclipse/jetty/"

#define KAFKA "org/apache/kafka/clients/consumer/"

#define RABBIT "com/rabbitmq/client/impl/"

const struct executor_class executors_classes[EXECUTOR_CLASSES + SERVER_CLASSES + OTHER_CLASSES] = {
    {CONCURRENT "ThreadPoolExecutor", 0, 6},
    {CONCURRENT "ScheduledThreadPoolExecutor", 6, 1},
    {CONCURRENT "ForkJoinPool$WorkQueue", 7, 2},
    {CONCURRENT "ForkJoinTask", 9, 1},
    {CONCURRENT "CompletableFuture", 10, 3},
    {CONCURRENT "CompletableFuture$AsyncSupply", 13, 1},
    {CONCURRENT "CompletableFuture$AsyncRun", 13, 1},
    {CONCURRENT "CompletableFuture$Completion", 14, 1},
    {CONCURRENT "CompletableFuture$UniCompletion", 15, 1},
    {"java/lang/Thread", 16, 1},
    {"org/apache/tomcat/util/threads/ThreadPoolExecutor", 0, 6},
    {JETTY "util/thread/QueuedThreadPool", 17, 3},
    {JETTY "util/thread/ReservedThreadExecutor$ReservedThread", 20, 1},
    {JETTY "server/HttpConnection", 21, 4},
    {JETTY "server/internal/HttpConnection", 21, 4},
    {JETTY "server/HttpChannel", 25, 1},
    {"org/jboss/threads/EnhancedQueueExecutor", 26, 2},
    {"org/jboss/threads/EnhancedQueueExecutor$Task", 13, 2},
    {RABBIT "ConsumerDispatcher", 39, 1},
    {RABBIT "ConsumerWorkService$WorkPoolRunnable", 40, 2},
    {KAFKA "KafkaConsumer", 33, 2},
    {KAFKA "ConsumerRecords$ConcatenatedIterable$1", 35, 1},
    {KAFKA "ConsumerRecords", 36, 2},
    {"org/apache/kafka/common/utils/AbstractIterator", 38, 1},
    {"jdk/internal/net/http/Http1Exchange$Http1Publisher$WriteTask", 28, 3},
    {CONCURRENT "ArrayBlockingQueue", 31, 2},
    {CONCURRENT "LinkedBlockingDeque", 31, 2},
    {CONCURRENT "LinkedBlockingQueue", 31, 2},
    {CONCURRENT "LinkedTransferQueue", 31, 2},
    {CONCURRENT "PriorityBlockingQueue", 31, 2},
    {CONCURRENT "SynchronousQueue", 31, 2},
};

const struct edit executors_edits[] = {
    {"execute", "", AT_START, NATIVE_GIVE, LOAD_FIRST},
    {"runWorker", "beforeExecute", BEFORE_CALL, NATIVE_ENTER, LOAD_TOP},
    {"getTask", "", AT_START, NATIVE_LEAVE},
    {"getTask", "", BEFORE_RETURN, NATIVE_ENTER, LOAD_TOP},
    {"processWorkerExit", "", AT_START, NATIVE_LEAVE},
    {"reject", "", AT_START, NATIVE_FORGET, LOAD_FIRST},

    {"schedule", "delayedExecute", BEFORE_CALL, NATIVE_GIVE, LOAD_TOP},

    {"push", "", AT_START, NATIVE_GIVE, LOAD_FIRST},
    {"lockedPush", "", AT_START, NATIVE_GIVE, LOAD_FIRST, .is_optional = true},

    {"doExec", "", AROUND, NATIVE_BEGIN, LOAD_THIS},

    {"asyncSupplyStage", "execute", BEFORE_CALL, NATIVE_GIVE, LOAD_TOP},
    {"asyncRunStage", "execute", BEFORE_CALL, NATIVE_GIVE, LOAD_TOP},
    {"postComplete", "", AROUND, NATIVE_SAVE, LOAD_THIS},

    {"run", "", AROUND, NATIVE_BEGIN, LOAD_THIS},
    {"<init>", "", BEFORE_RETURN, NATIVE_GIVE, LOAD_THIS},
    {"claim", "", AT_START, NATIVE_SWITCH, LOAD_THIS},

    {"start", "start0", BEFORE_CALL, NATIVE_GIVE, LOAD_TOP},

    {"execute", "", AT_START, NATIVE_GIVE, LOAD_FIRST},
    {"runJob", "", AT_START, NATIVE_LEAVE},
    {"runJob", "", AROUND, NATIVE_BEGIN, LOAD_FIRST},

    {"run", "run", BEFORE_CALL, NATIVE_LEAVE},

    {"onFillable", "fillRequestBuffer", BEFORE_CALL, NATIVE_LEAVE},
    {"onFillable", "handle", BEFORE_CALL, NATIVE_SERVE, .is_optional = true},
    {"onFillable", "run", BEFORE_CALL, NATIVE_SERVE, .is_optional = true},
    {"onFillable", "", BEFORE_RETURN, NATIVE_LEAVE},

    {"execute", "", AT_START, NATIVE_RENEW, LOAD_FIRST},

    {"execute", "tryExecute", BEFORE_CALL, NATIVE_GIVE, LOAD_TOP},
    {"safeRun", "", AROUND, NATIVE_BEGIN, LOAD_FIRST},

    {"<init>", "", BEFORE_RETURN, NATIVE_GIVE, LOAD_THIS},
    {"run", "", AROUND, NATIVE_SAVE, LOAD_THIS},
    {"run", "", AT_START, NATIVE_SWITCH, LOAD_THIS},

    {"take", "", AT_START, NATIVE_SEEK},
    {"poll", "", AT_START, NATIVE_SEEK},

    {"poll", "", AT_START, NATIVE_POLLS, LOAD_THIS},
    {"close", "", AT_START, NATIVE_ASKS},

    {"makeNext", "", AT_START, NATIVE_ASKS},

    {"records", "", AT_START, NATIVE_ASKS},
    {"records", "unmodifiableList", BEFORE_CALL, NATIVE_LISTS, LOAD_TOP},

    {"next", "", BEFORE_RETURN, NATIVE_HANDS, LOAD_TOP},

    {"handleDelivery", "", AT_START, NATIVE_BRINGS, LOAD_THIS},

    {"run", "run", BEFORE_CALL, NATIVE_WORK, LOAD_TOP},
    {"run", "finishWorkBlock", BEFORE_CALL, NATIVE_WORKED},
};

static void give(struct jni *env, void *class, void *task)
{
    struct carrier_claim claim = carrier_claim();
    if (claim.is_certain && java_queues_end != NULL && jni_is_instance(env, task, java_queues_end))
        claim.is_certain = false;
    given_put((uint32_t)java_identity(env, task), claim);
}

/* It is at one request at a time, also when it has run for another. */
static void renew(struct jni *env, void *class, void *task)
{
    given_renew((uint32_t)java_identity(env, task));
}

static void forget(struct jni *env, void *class, void *task)
{
    given_forget((uint32_t)java_identity(env, task));
}

static void enter_claimed(struct carrier_claim claim)
{
    if (claim.handle == CARRIER_NONE || claim.is_certain)
        carrier_enter(claim.handle, true);
    else
        carrier_enter_guess(claim.handle);
    carrier_unclaim(claim.handle);
}

/* A worker's loop that began before it was changed goes on as it was, so a task is taken where it
 * is got. Before it is run only the first of a worker has not been: that is as the worker is, else.
 */
static void enter(struct jni *env, void *class, void *task)
{
    struct carrier_claim claim;
    if (given_take((uint32_t)java_identity(env, task), &claim))
        enter_claimed(claim);
}

static void leave(struct jni *env, void *class)
{
    carrier_enter(CARRIER_NONE, false);
}

/* What it has read since it left whatever it was in, it works for now. */
static void serve(struct jni *env, void *class)
{
    carrier_serve_read();
}

/* What is taken from a queue may be of anybody. Who has read its request itself is at that still.
 */
static void seek(struct jni *env, void *class)
{
    struct carrier_view view = carrier_look();
    if (!view.is_request || !carrier_is_live(view.handle))
        carrier_enter(CARRIER_NONE, false);
}

/* It is its maker's until it waits for something, as the threads of others are. */
void executors_thread_start(struct jvmti *tools, struct jni *env, void *thread)
{
    struct carrier_claim claim = {0};
    if (given_take((uint32_t)java_identity(env, thread), &claim) && claim.is_certain)
        carrier_return((struct carrier_view){.handle = claim.handle});
    carrier_unclaim(claim.handle);
}

/* --- tasks inside tasks ----------------------------------------------------------------------- */

/* A thread that waits for a task runs others meanwhile. */
struct outer {
    uint64_t pool_link;
    struct carrier_view view; /* its handle is held */
    uint32_t below, plain;    /* what was on top */
};
static struct pool outers = {.block_shift = 6};
_Static_assert(sizeof(struct outer) <= 1 << 6, "it fits its block");

static __thread struct {
    uint32_t top;        /* of the tasks that took their thread from another's */
    uint32_t plain : 30; /* tasks above it that did not */
    uint32_t is_known : 1, carries_virtual : 1;
} nest;

/* What a virtual thread goes on with is not of who woke it. */
bool executors_on_virtual(struct jni *env)
{
    if (!nest.is_known && java_carries_virtual != NULL)
        nest.carries_virtual = jni_is_instance(env, java_thread(env, NULL), java_carries_virtual);
    nest.is_known = true;
    return nest.carries_virtual;
}

static bool push(void)
{
    uint32_t index = pool_take(&outers);
    struct outer *outer = index == 0 ? NULL : pool_block(&outers, index);
    if (outer == NULL)
        return false;
    outer->view = carrier_look();
    outer->below = nest.top;
    outer->plain = nest.plain;
    carrier_hold(outer->view.handle);
    nest.top = index;
    nest.plain = 0;
    return true;
}

/* What nobody has given is called by who is at work. */
static void begin(struct jni *env, void *class, void *task)
{
    struct carrier_claim claim = {0};
    bool is_given = given_take((uint32_t)java_identity(env, task), &claim);
    if (executors_on_virtual(env)) {
        carrier_unclaim(claim.handle);
        claim = (struct carrier_claim){0};
        is_given = true;
    }
    struct carrier_view view = carrier_look();
    bool is_there = view.handle == claim.handle && (view.is_carried || view.is_request);
    bool is_other = is_given && !is_there;
    if (is_other && push()) {
        enter_claimed(claim);
        return;
    }
    nest.plain++;
    carrier_unclaim(claim.handle);
    if (is_other)
        carrier_enter(CARRIER_NONE, false); /* no memory */
}

static void save(struct jni *env, void *class, void *future)
{
    if (!push())
        nest.plain++;
}

/* Until `save` ends: what is to be done belongs to who asked for it. */
static void change(struct jni *env, void *class, void *completion)
{
    struct carrier_claim claim = {0};
    given_look((uint32_t)java_identity(env, completion), &claim);
    struct carrier_view view = carrier_look();
    bool is_sure = view.is_request || (view.is_carried && !view.is_guess);
    if (view.handle != claim.handle || !is_sure)
        enter_claimed(claim);
    else
        carrier_unclaim(claim.handle);
}

static void end(struct jni *env, void *class)
{
    uint32_t index = nest.top;
    if (nest.plain > 0 || index == 0) {
        nest.plain -= nest.plain > 0;
        return;
    }
    struct outer *outer = pool_block(&outers, index);
    struct carrier_view view = outer->view;
    nest.top = outer->below;
    nest.plain = outer->plain;
    pool_give(&outers, index);
    carrier_return(view);
    carrier_drop(view.handle);
}

void *const executors_natives[NATIVE_COUNT] = {
    [NATIVE_GIVE] = give,
    [NATIVE_FORGET] = forget,
    [NATIVE_ENTER] = enter,
    [NATIVE_LEAVE] = leave,
    [NATIVE_BEGIN] = begin,
    [NATIVE_END] = end,
    [NATIVE_SAVE] = save,
    [NATIVE_SWITCH] = change,
    [NATIVE_SERVE] = serve,
    [NATIVE_RENEW] = renew,
    [NATIVE_SEEK] = seek,
    [NATIVE_POLLS] = kafka_polls,
    [NATIVE_ASKS] = kafka_asks,
    [NATIVE_HANDS] = kafka_hands,
    [NATIVE_LISTS] = kafka_lists,
    [NATIVE_BRINGS] = amqp_deliver,
    [NATIVE_WORK] = amqp_work,
    [NATIVE_WORKED] = amqp_worked,
};
