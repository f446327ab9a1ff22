/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of queues, and what stands beside each. A queue's items and its marks are in the same
 * order, since both change in _put and _get, which a queue calls under its own lock if it has one.
 * Where they differ in length the program has been at the items itself: of those that are in the
 * queue by then nobody is known. Nothing here runs code of the program's but queue_find, before it
 * touches the table.
 */
#include "queue.h"

#include <stddef.h>
#include <string.h>

#include "carrier.h"
#include "message.h"
#include "python.h"

enum { BUCKETS = 256, SWEEP_MIN = 64, MARKS_MAX = 4096, DEBTS_MAX = 1024 };

static struct queue *buckets[BUCKETS];
static uint32_t queues, sweep_at = SWEEP_MIN;

static struct queue **bucket_of(const struct py_object *object)
{
    uint64_t mixed = (uint64_t)(uintptr_t)object * 0x9e3779b97f4a7c15u;
    return &buckets[mixed >> 56];
}

static void forget_marks(struct queue *queue)
{
    for (uint32_t i = 0; i < queue->count; i++)
        carrier_drop(queue->marks[(queue->first + i) % queue->room].handle);
    queue->first = queue->count = 0;
}

static void end_message(struct queue *queue)
{
    if (queue->message != NULL)
        message_done(queue->message);
    queue->message = NULL;
}

static void release(struct queue *queue)
{
    end_message(queue);
    forget_marks(queue);
    for (uint32_t i = 0; i < queue->debt_count; i++)
        carrier_drop(queue->debts[i].handle);
    carrier_drop(queue->feeder);
    py.PyMem_Free(queue->marks);
    py.PyMem_Free(queue->debts);
    py.Py_DecRef(queue->reference);
    py.PyMem_Free(queue);
}

static bool is_there(const struct queue *queue)
{
    return py.PyWeakref_GetObject(queue->reference) == queue->self;
}

/* Queues that are gone; seldom enough to cost each new one little. */
static void sweep(void)
{
    queues = 0;
    for (uint32_t i = 0; i < BUCKETS; i++)
        for (struct queue **at = &buckets[i]; *at != NULL;) {
            struct queue *queue = *at;
            if (is_there(queue)) {
                queues++;
                at = &queue->next;
                continue;
            }
            *at = queue->next;
            release(queue);
        }
    sweep_at = queues < SWEEP_MIN / 2 ? SWEEP_MIN : queues * 2;
}

static struct queue *look_up(struct py_object *object)
{
    for (struct queue *queue = *bucket_of(object); queue != NULL; queue = queue->next)
        if (queue->self == object && is_there(queue))
            return queue;
    return NULL;
}

static struct queue *add(struct py_object *object, struct py_object *reference)
{
    static uint64_t last_number;
    struct queue *queue = py.PyMem_Malloc(sizeof(*queue));
    if (queue == NULL) {
        py.Py_DecRef(reference);
        return NULL;
    }
    if (++queues >= sweep_at)
        sweep();
    last_number++;
    struct queue **bucket = bucket_of(object);
    *queue = (struct queue){
        .self = object, .reference = reference, .next = *bucket, .number = last_number};
    *bucket = queue;
    return queue;
}

struct queue *queue_find(struct py_object *object)
{
    struct queue *queue = look_up(object);
    if (queue != NULL)
        return queue;
    struct py_object *reference = py.PyWeakref_NewRef(object, NULL);
    if (reference == NULL) {
        py.PyErr_Clear();
        return NULL;
    }
    queue = look_up(object); /* that may have collected garbage, and run whatever it is */
    if (queue == NULL)
        return add(object, reference);
    py.Py_DecRef(reference);
    return queue;
}

struct queue *queue_numbered(uint64_t number)
{
    for (uint32_t i = 0; i < BUCKETS; i++)
        for (struct queue *queue = buckets[i]; queue != NULL; queue = queue->next)
            if (queue->number == number && is_there(queue))
                return queue;
    return NULL;
}

void queue_end_messages(void)
{
    for (uint32_t i = 0; i < BUCKETS; i++)
        for (struct queue *queue = buckets[i]; queue != NULL; queue = queue->next)
            end_message(queue);
}

bool queue_is_pool(const struct queue *queue)
{
    return queue->has_returns && !queue->is_work;
}

bool queue_is_believed(const struct queue *queue)
{
    return queue->is_work && !queue->is_used;
}

void queue_feed(struct queue *queue, uint32_t handle)
{
    if (handle == CARRIER_NONE || handle == queue->feeder)
        return;
    if (queue->feeder == CARRIER_NONE)
        queue->feeder = carrier_hold(handle);
    else
        queue->is_work = true;
}

/* A longer array in the place of the old one, of which `count` from `first` on are kept. */
static bool grow(void **array, uint32_t *room, size_t bytes, uint32_t first, uint32_t count)
{
    uint32_t more = *room == 0 ? 4 : *room * 2;
    char *new = py.PyMem_Malloc(more * bytes);
    if (new == NULL)
        return false;
    for (uint32_t i = 0; i < count; i++)
        memcpy(new + i *bytes, (char *)*array + (first + i) % *room * bytes, bytes);
    py.PyMem_Free(*array);
    *array = new;
    *room = more;
    return true;
}

static struct debt *debt_of(struct queue *queue, uint32_t handle)
{
    for (uint32_t i = 0; i < queue->debt_count; i++)
        if (queue->debts[i].handle == handle)
            return &queue->debts[i];
    return NULL;
}

bool queue_owes(struct queue *queue, uint32_t handle)
{
    return debt_of(queue, handle) != NULL;
}

void queue_owe(struct queue *queue, uint32_t handle)
{
    struct debt *debt = handle == CARRIER_NONE ? NULL : debt_of(queue, handle);
    if (debt != NULL)
        debt->count++;
    if (debt != NULL || handle == CARRIER_NONE || queue->debt_count == DEBTS_MAX ||
        (queue->debt_count == queue->debt_room &&
            !grow((void **)&queue->debts, &queue->debt_room, sizeof(*debt), 0, queue->debt_count)))
        return;
    queue->debts[queue->debt_count++] = (struct debt){carrier_hold(handle), 1};
}

bool queue_repay(struct queue *queue, uint32_t handle)
{
    struct debt *debt = debt_of(queue, handle);
    if (debt == NULL)
        return false;
    if (--debt->count == 0) {
        *debt = queue->debts[--queue->debt_count];
        carrier_drop(handle);
    }
    queue->has_returns = true;
    return true;
}

/* As many marks as items; false: too many, or no memory. */
static bool align(struct queue *queue, long length)
{
    if (queue->count == length)
        return true;
    forget_marks(queue);
    if (length < 0 || length > MARKS_MAX)
        return false;
    while (queue->room < length)
        if (!grow((void **)&queue->marks, &queue->room, sizeof(*queue->marks), 0, 0))
            return false;
    for (; queue->count < length; queue->count++)
        queue->marks[queue->count] = (struct mark){0};
    return true;
}

static bool make_room(struct queue *queue)
{
    if (queue->count < queue->room)
        return true;
    if (queue->count == MARKS_MAX || !grow((void **)&queue->marks, &queue->room,
                                         sizeof(*queue->marks), queue->first, queue->count))
        return false;
    queue->first = 0;
    return true;
}

void queue_push(struct queue *queue, long length, struct mark mark)
{
    if (align(queue, length) && make_room(queue))
        queue->marks[(queue->first + queue->count++) % queue->room] = mark;
    else
        carrier_drop(mark.handle);
}

struct mark queue_pop(struct queue *queue, long length, bool is_last)
{
    if (!align(queue, length) || length == 0)
        return (struct mark){0};
    uint32_t at = is_last ? queue->first + queue->count - 1 : queue->first;
    struct mark mark = queue->marks[at % queue->room];
    queue->first = is_last ? queue->first : (queue->first + 1) % queue->room;
    queue->count--;
    return mark;
}

static struct mark *mark_at(struct queue *queue, uint32_t at)
{
    return &queue->marks[(queue->first + at) % queue->room];
}

/* Where the same object is there twice, put by two, nobody knows which of them it is. */
struct mark queue_pick(struct queue *queue, long length, const struct py_object *item)
{
    struct mark *found = NULL, picked = {0};
    bool is_one = true;
    if (!align(queue, length) || length == 0)
        return picked;
    for (uint32_t i = 0; i < queue->count; i++) {
        struct mark *mark = mark_at(queue, i);
        if (mark->item == item && found != NULL && found->item == item)
            is_one = is_one && found->handle == mark->handle;
        if (mark->item == item || (found == NULL && mark->item == NULL))
            found = mark;
    }
    if (found == NULL) {
        forget_marks(queue);
        return picked;
    }
    picked = *found;
    *found = *mark_at(queue, --queue->count);
    if (is_one && picked.item == item)
        return picked;
    carrier_drop(picked.handle);
    return (struct mark){0};
}
