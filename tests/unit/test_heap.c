/* SPDX-License-Identifier: Apache-2.0 */
/* Whose work a worker does, by the memory that its stack points to. A reader's thread allocates, a
 * worker's runs; what is allocated is memory of ours, since only its addresses matter. */
#include "heap.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "attribution.h"
#include "tap.h"

enum { BLOCKS = 64, BLOCK_BYTES = 96, STACK_BYTES = 1 << 18, ENOUGH = 64 };

static _Alignas(16) char blocks[BLOCKS][BLOCK_BYTES];
static struct thread reader, workers[2];
static const struct heap_watch *watch;
static uint32_t requests, jobs;

static struct context *read_request(void)
{
    struct context *context = context_take();
    memcpy(context->ids.span_id, &(uint64_t){++requests}, sizeof(context->ids.span_id));
    reader.unit++;
    heap_read(&reader, context);
    return context;
}

/* As the allocator tells of it on the reader's thread. */
static char *allocate(void)
{
    char *block = blocks[jobs++ % BLOCKS];
    thread_self = &reader;
    watch->gave(block);
    watch->took(block, BLOCK_BYTES);
    return block;
}

static struct context *found; /* by the last call */
static enum rule rule;

/* Each is a frame that holds what it was called with, since that is needed behind the call. */
#define NEEDED(...) __asm__ volatile("" : : __VA_ARGS__ : "memory")

__attribute__((noinline)) static void call(struct thread *self)
{
    rule = attribution_parent(self, &nobody_opened).rule;
    found = self->current;
}

__attribute__((noinline)) static void work_on(struct thread *self, char *job)
{
    call(self);
    NEEDED("r"(job));
}

__attribute__((noinline)) static void handle(struct thread *self, char *job)
{
    char *volatile own[] = {job, job, job};
    work_on(self, job);
    NEEDED("r"(&own));
}

/* What a worker is to do, from the start of its stack on. */
static struct order {
    struct thread *self;
    char *job, *next; /* NULL: none */
    bool picks;       /* gets a lock first */
} order;

static void *obey(void *nothing)
{
    (void)nothing;
    char *volatile seen = order.next;
    thread_self = order.self;
    heap_thread_started(thread_self, (uintptr_t)__builtin_frame_address(0), STACK_BYTES, NULL);
    thread_self->heap.low = 0;
    if (order.picks) {
        watch->locked();
        watch->unlocked();
    }
    if (order.job != NULL)
        handle(order.self, order.job);
    NEEDED("r"(&seen));
    thread_self = NULL;
    return NULL;
}

/* On a stack that nobody has left anything on. */
static void let_obey(void)
{
    static _Alignas(4096) char stack[STACK_BYTES];
    pthread_attr_t attributes;
    pthread_t thread;
    memset(stack, 0, sizeof(stack));
    bool is_done = pthread_attr_init(&attributes) == 0 &&
                   pthread_attr_setstack(&attributes, stack, sizeof(stack)) == 0 &&
                   pthread_create(&thread, &attributes, obey, NULL) == 0 &&
                   pthread_join(thread, NULL) == 0;
    pthread_attr_destroy(&attributes);
    if (!is_done)
        abort();
}

static void pick(struct thread *self)
{
    order = (struct order){.self = self, .picks = true};
    let_obey();
}

static void work(struct thread *self, char *job)
{
    order = (struct order){.self = self, .job = job};
    let_obey();
}

static bool finds(struct thread *self, char *job, const struct context *context)
{
    order = (struct order){.self = self, .job = job, .picks = true};
    let_obey();
    return found == context;
}

static void test_marks(void)
{
    struct thread *worker = &workers[0];
    struct context *context = read_request();
    char *job = allocate();
    CHECK(finds(worker, job, context), "what it was given is its work");
    work(worker, job + 40);
    CHECK(found == context, "also by a pointer into it");
    work(worker, job + BLOCK_BYTES);
    CHECK(found == NULL, "behind it is something else");
    watch->gave(job);
    CHECK(finds(worker, job, NULL), "what was freed is nobody's");

    context = read_request();
    thread_self = &reader;
    watch->locked();
    job = allocate();
    watch->unlocked();
    CHECK(finds(worker, job, NULL), "under a lock it is the queue's");

    context = read_request();
    thread_self = &reader;
    watch->woke();
    job = allocate();
    CHECK(finds(worker, job, NULL), "after it has woken a worker it is for something else");

    context = read_request();
    heap_read(&reader, context); /* again, and it has not waited */
    job = allocate();
    CHECK(finds(worker, job, NULL), "with two requests at hand it is not known whose");

    pick(worker);
    context = read_request();
    job = allocate();
    work(worker, job);
    CHECK(found == NULL, "what is younger than its last lock it cannot have taken");
    CHECK(finds(worker, job, context), "but then it has");
}

static void test_others(void)
{
    struct context *context = read_request();
    char *job = allocate();
    struct context *other = read_request();
    char *next = allocate();
    order = (struct order){&workers[0], job, next, true};
    let_obey();
    CHECK(found == context, "another's seen in passing is not its work");
    CHECK(finds(&workers[1], next, other), "but the other's");
    CHECK(finds(&workers[1], job, NULL), "a request is one worker's");
    work(&workers[0], job);
    CHECK(found == context, "as long as that has to do with it");
    pick(&workers[0]);
    CHECK(finds(&workers[0], job, NULL), "and then nobody's: the program may use the block again");

    context = read_request();
    job = allocate();
    context->is_overtaken = true;
    CHECK(finds(&workers[0], job, NULL), "what may be answered is over");
    context = read_request();
    job = allocate();
    CHECK(finds(&workers[0], job, context), "which is forgotten with the next lock");
}

static void test_belief(void)
{
    struct thread *worker = &workers[0];
    char *job = NULL;
    for (int i = 0; i < 4 * ENOUGH; i++) {
        struct context *context = read_request();
        job = allocate();
        finds(worker, job, context);
    }
    CHECK(rule == RULE_HEAP, "what was known often enough is believed");
    struct context *context = read_request();
    job = allocate();
    context->ended = true;
    finds(worker, job, NULL);
    context = read_request();
    job = allocate();
    CHECK(finds(worker, job, context) && rule == RULE_AMBIGUOUS,
        "not where memory outlasts its request");
    worker->multiplexes = true;
    CHECK(finds(worker, job, worker->current), "a loop is not asked");
    worker->multiplexes = false;
}

int main(void)
{
    watch = heap_start();
    CHECK(watch != NULL, "the table is there");
    for (uint32_t i = 0; i < 2; i++)
        workers[i].index = i + 1;
    test_marks();
    test_others();
    test_belief();
    return tap_done();
}
