/* SPDX-License-Identifier: Apache-2.0 */
#include "ring.h"

#include <string.h>

#include "exporter.h"
#include "memory.h"
#include "process.h"
#include "ring_file.h"
#include "sys.h"
#include "thread.h"

static struct ring *rings[RINGS_MAX];
static uint32_t ring_count AT_START;
static uint32_t durable_free; /* rings of the file that no thread owns */
static uint64_t used_max;     /* bytes */

enum { WAKE_BYTES = RING_CAPACITY / 4, LOGS_BYTES_MAX = RING_CAPACITY / 4 * 3 };

static bool claim(struct ring *ring)
{
    uint32_t expected = 0;
    if (__atomic_load_n(&ring->in_use, __ATOMIC_RELAXED) != 0 ||
        !__atomic_compare_exchange_n(
            &ring->in_use, &expected, 1, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
        return false;
    if (!ring->is_private)
        __atomic_sub_fetch(&durable_free, 1, __ATOMIC_RELAXED);
    return true;
}

void count_at_least(uint32_t *count, uint32_t wanted)
{
    uint32_t seen = __atomic_load_n(count, __ATOMIC_RELAXED);
    while (seen < wanted && !__atomic_compare_exchange_n(
                                count, &seen, wanted, true, __ATOMIC_RELEASE, __ATOMIC_RELAXED))
        ;
}

static bool publish(struct ring *ring)
{
    for (uint32_t i = __atomic_load_n(&ring_count, __ATOMIC_RELAXED); i < RINGS_MAX; i++) {
        struct ring *expected = NULL;
        if (__atomic_compare_exchange_n(
                &rings[i], &expected, ring, false, __ATOMIC_RELEASE, __ATOMIC_RELAXED)) {
            count_at_least(&ring_count, i + 1);
            return true;
        }
    }
    return false;
}

bool rings_offer(struct ring *ring)
{
    bool is_free = ring->in_use == 0;
    if (is_free)
        __atomic_add_fetch(&durable_free, 1, __ATOMIC_RELAXED);
    if (publish(ring))
        return true;
    if (is_free)
        __atomic_sub_fetch(&durable_free, 1, __ATOMIC_RELAXED);
    return false;
}

bool rings_need_spare(void)
{
    return __atomic_load_n(&durable_free, __ATOMIC_RELAXED) == 0;
}

void rings_disown(void)
{
    for (uint32_t i = 0; i < rings_count(); i++)
        if (rings_at(i) != NULL)
            __atomic_store_n(&rings_at(i)->is_private, 1, __ATOMIC_RELAXED);
    __atomic_store_n(&durable_free, 0, __ATOMIC_RELAXED);
}

static struct ring *private_ring(void)
{
    if (!process_may_call())
        return NULL;
    struct ring *ring = memory_map(RING_BYTES);
    if (ring == NULL)
        return NULL;
    ring->is_private = 1;
    ring->in_use = 1;
    if (publish(ring)) {
        counter_add(COUNTER_RINGS_PRIVATE, 1);
        return ring;
    }
    memory_unmap(ring, RING_BYTES);
    return NULL;
}

/* A ready one of the file, then a private one that another thread left. */
static struct ring *acquire_existing(bool is_private)
{
    uint32_t count = rings_count();
    for (uint32_t i = 0; i < count; i++) {
        struct ring *ring = rings_at(i);
        if (ring != NULL && ring->is_private == is_private && claim(ring))
            return ring;
    }
    return NULL;
}

static struct ring *acquire(void)
{
    struct ring *ring = acquire_existing(false);
    if (ring == NULL)
        ring = rings_add_own();
    if (ring == NULL)
        ring = acquire_existing(true);
    return ring != NULL ? ring : private_ring();
}

/* A thread that was too early for the file moves to it as soon as it can. */
static inline __attribute__((always_inline)) void settle(struct thread *self)
{
    if (self->ring == NULL) {
        self->ring = acquire();
        return;
    }
    if (!self->ring->is_private || __atomic_load_n(&durable_free, __ATOMIC_RELAXED) == 0)
        return;
    struct ring *durable = acquire_existing(false);
    if (durable == NULL)
        return;
    ring_release(self);
    self->ring = durable;
}

static void pad_to_end(struct ring *ring, uint64_t head, size_t position)
{
    struct record *padding = (struct record *)(ring->data + position);
    padding->bytes = (uint32_t)(RING_CAPACITY - position);
    padding->kind = RECORD_PADDING;
    __atomic_store_n(&ring->head, head + padding->bytes, __ATOMIC_RELEASE);
}

static inline __attribute__((always_inline)) struct record *reserve(
    struct thread *self, size_t bytes, size_t bytes_max, enum counter no_ring, enum counter no_room)
{
    settle(self);
    if (self->ring == NULL) {
        counter_add(no_ring, 1);
        return NULL;
    }
    struct ring *ring = self->ring;
    uint64_t head = ring->head;
    uint64_t used = head - __atomic_load_n(&ring->tail, __ATOMIC_ACQUIRE);
    size_t position = head % RING_CAPACITY;
    size_t to_end = RING_CAPACITY - position;
    size_t needed = bytes > to_end ? bytes + to_end : bytes;
    if (used + needed > bytes_max) {
        counter_add(no_room, 1);
        exporter_wake(true);
        return NULL;
    }
    if (bytes > to_end) {
        pad_to_end(ring, head, position);
        position = 0;
    }
    return (struct record *)(ring->data + position);
}

struct record *ring_reserve(struct thread *self, size_t bytes)
{
    return reserve(
        self, bytes, RING_CAPACITY, COUNTER_SPANS_DROPPED_MEMORY, COUNTER_SPANS_DROPPED_RING);
}

struct record *ring_reserve_log(struct thread *self, size_t bytes)
{
    return reserve(
        self, bytes, LOGS_BYTES_MAX, COUNTER_LOGS_DROPPED_RING, COUNTER_LOGS_DROPPED_RING);
}

static inline __attribute__((always_inline)) void commit(
    struct ring *ring, const struct record *record, uint64_t *count)
{
    uint64_t head = ring->head + record->bytes;
    __atomic_store_n(&ring->head, head, __ATOMIC_SEQ_CST);
    __atomic_store_n(count, *count + 1, __ATOMIC_RELAXED);
    uint64_t used = head - __atomic_load_n(&ring->tail, __ATOMIC_RELAXED);
    exporter_wake(used > WAKE_BYTES || ring->is_private); /* a private one dies with the process */
}

void ring_commit(struct thread *self, const struct record *record)
{
    commit(self->ring, record, &self->ring->records);
}

void ring_commit_log(struct thread *self, const struct record *record)
{
    commit(self->ring, record, &self->ring->logs);
}

void ring_release(struct thread *self)
{
    struct ring *ring = self->ring;
    self->ring = NULL;
    if (ring == NULL)
        return;
    if (!ring->is_private)
        __atomic_add_fetch(&durable_free, 1, __ATOMIC_RELAXED);
    __atomic_store_n(&ring->in_use, 0, __ATOMIC_RELEASE);
}

void rings_forked(void)
{
    for (uint32_t i = 0; i < ring_count; i++) {
        if (rings[i] != NULL)
            memory_unmap(rings[i], RING_BYTES);
        rings[i] = NULL;
    }
    ring_count = 0;
    durable_free = 0;
    used_max = 0;
    rings_file_forked();
}

static bool is_sane(const struct record *record, size_t available)
{
    return record->bytes >= RECORD_ALIGNMENT && record->bytes <= available &&
           record->bytes % RECORD_ALIGNMENT == 0 &&
           (record->kind == RECORD_PADDING || record->bytes >= sizeof(struct record));
}

uint64_t ring_head(const struct ring *ring)
{
    return __atomic_load_n(&ring->head, __ATOMIC_SEQ_CST);
}

const struct record *ring_next(struct ring *ring, uint64_t *cursor, uint64_t head)
{
    while (*cursor != head) {
        uint64_t used = head - *cursor;
        size_t position = *cursor % RING_CAPACITY;
        size_t available = RING_CAPACITY - position;
        const struct record *record = (const struct record *)(ring->data + position);
        if (used > RING_CAPACITY || !is_sane(record, available < used ? available : used)) {
            *cursor = head; /* a damaged file: nothing in it can be believed */
            return NULL;
        }
        *cursor += record->bytes;
        if (record->kind != RECORD_PADDING)
            return record;
    }
    return NULL;
}

uint64_t ring_cursor(const struct ring *ring)
{
    return ring->tail;
}

void ring_consume(struct ring *ring, uint64_t cursor)
{
    __atomic_store_n(&ring->tail, cursor, __ATOMIC_RELEASE);
}

uint32_t rings_count(void)
{
    return __atomic_load_n(&ring_count, __ATOMIC_ACQUIRE);
}

struct ring *rings_at(uint32_t index)
{
    return __atomic_load_n(&rings[index], __ATOMIC_ACQUIRE);
}

bool rings_are_exposed(void)
{
    for (uint32_t i = 0; i < rings_count(); i++) {
        struct ring *ring = rings_at(i);
        if (ring != NULL && ring->is_private &&
            __atomic_load_n(&ring->head, __ATOMIC_RELAXED) != ring->tail)
            return true;
    }
    return false;
}

static uint64_t sum(bool of_logs)
{
    uint64_t records = 0;
    for (uint32_t i = 0; i < rings_count(); i++) {
        struct ring *ring = rings_at(i);
        if (ring != NULL)
            records += __atomic_load_n(of_logs ? &ring->logs : &ring->records, __ATOMIC_RELAXED);
    }
    return records;
}

uint64_t rings_recorded(void)
{
    return sum(false);
}

uint64_t rings_recorded_logs(void)
{
    return sum(true);
}

uint64_t rings_counter(enum counter counter)
{
    if (counter == COUNTER_SPANS_RECORDED || counter == COUNTER_LOGS_RECORDED)
        return sum(counter == COUNTER_LOGS_RECORDED);
    return counter_now(counter);
}

uint64_t rings_used_max(void)
{
    return __atomic_load_n(&used_max, __ATOMIC_RELAXED);
}

void rings_look_at_use(void)
{
    for (uint32_t i = 0; i < rings_count(); i++) {
        struct ring *ring = rings_at(i);
        uint64_t used =
            ring == NULL ? 0 : __atomic_load_n(&ring->head, __ATOMIC_RELAXED) - ring->tail;
        if (used > used_max)
            __atomic_store_n(&used_max, used, __ATOMIC_RELAXED);
    }
}
