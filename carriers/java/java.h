/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HotSpot, whose classes may be changed while they are in use. Once, when the first connection was
 * accepted: a thread of ours comes into the machine, defines one class of natives (classfile.h),
 * has the methods below call them, and goes. No option is needed.
 *
 * | method | what it calls |
 * |---|---|
 * | ThreadPoolExecutor.execute | give(task) |
 * | .runWorker, before beforeExecute | enter(task) |
 * | .getTask, .processWorkerExit | leave() |
 * | .getTask, before it returns | enter(task) |
 * | .reject | forget(task) |
 * | Tomcat's ThreadPoolExecutor | the same |
 * | Jetty's QueuedThreadPool.execute | give(task) |
 * | .runJob | leave(), begin(task) ... end() |
 * | its ReservedThread.run, before task.run | leave(): what it is given is nobody's |
 * | its HttpConnection.onFillable, before fillRequestBuffer and at its end | leave() |
 * | .onFillable, before handle or run | serve(): the thread handles what it has just read |
 * | its HttpChannel.execute | renew(task) |
 * | JBoss's EnhancedQueueExecutor.execute, before tryExecute | give(task) |
 * | .safeRun | begin(task) ... end() |
 * | its Task.<init>, .run, of later versions | give(this), begin(this) ... end() |
 * | what java.net.http writes a request with: .<init> | give(this) |
 * | .run | save(this), change(this) ... end() |
 * | take and poll of the JDK's blocking queues | seek() |
 * | ScheduledThreadPoolExecutor.schedule, before delayedExecute | give(task) |
 * | ForkJoinPool.WorkQueue.push, .lockedPush | give(task) |
 * | ForkJoinTask.doExec | begin(this) ... end() |
 * | CompletableFuture.asyncSupplyStage, .asyncRunStage, before execute | give(task) |
 * | .AsyncSupply.run, .AsyncRun.run | begin(this) ... end() |
 * | .Completion.<init>, at its end | give(this) |
 * | .UniCompletion.claim, before what is to be done then | change(this) |
 * | .postComplete, which does what has waited for a result | save(this) ... end() |
 * | RabbitMQ's ConsumerDispatcher.handleDelivery | brings(this) |
 * | its WorkPoolRunnable.run, before run | work(runnable) |
 * | .run, before finishWorkBlock | worked() |
 * | Thread.start, before start0 | give(this); the new thread tells by an event |
 * | Kafka's KafkaConsumer.poll | polls(this) |
 * | .close, its ConsumerRecords.records, the iterator's makeNext | asks() |
 * | .records, before unmodifiableList | lists(list) |
 * | its AbstractIterator.next, before it returns | hands(record) |
 *
 * Classes of clients are looked for once more when a connection of theirs is there.
 *
 * What is scheduled to run again and again is nobody's: it is given by no `schedule`.
 *
 * The machine's own functions are found in what defines JNI_GetCreatedJavaVMs, and no header of it
 * is used.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "classfile.h"

struct jni;   /* JNIEnv */
struct jvmti; /* jvmtiEnv */

/* As carriers.c has it. */
bool java_install(void);
/* When a connection of a client's is there. True: they are changed, or will never be. */
bool java_look_again(void);

/* The same, after that, for clients whose classes come later: when the thread was brought a
 * message. True: no more of them are looked for. */
bool java_brought(void);
extern uint32_t java_in_use; /* natives that methods call: bits */

void amqp_deliver(struct jni *, void *class, void *dispatcher);
void amqp_work(struct jni *, void *class, void *runnable);
void amqp_worked(struct jni *, void *class);

/* The functions of the natives, as classfile_natives names them. */
extern void *const executors_natives[NATIVE_COUNT];

void executors_thread_start(struct jvmti *, struct jni *, void *thread);
/* The thread runs virtual ones. */
bool executors_on_virtual(struct jni *);

/* The JDK's, then those of servers, which have a loader of their own and may be missing, and what
 * else of the JDK's may be. */
struct executor_class {
    char name[74];
    uint8_t first, edits;
};
enum { EXECUTOR_CLASSES = 10, SERVER_CLASSES = 14, OTHER_CLASSES = 7 };
enum { CLIENT_CLASSES = 4 }; /* the last ones of those: clients that are used late */
extern const struct executor_class
    executors_classes[EXECUTOR_CLASSES + SERVER_CLASSES + OTHER_CLASSES];
extern const struct edit executors_edits[];

extern struct jvmti *java_tools;                             /* of natives that are called */
extern int32_t (*java_identity)(struct jni *, void *object); /* JVM_IHashCode */

/* What the JDK's HTTP client gives to its executor: the ends of queues that many requests share.
 * NULL: there is no such class. */
extern void *java_queues_end;

/* A thread of this class runs virtual threads, and this tells which one the caller is. NULL: the
 * machine has none. */
extern void *java_carries_virtual;
extern void *(*java_thread)(struct jni *, void *class);
