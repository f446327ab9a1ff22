/* SPDX-License-Identifier: Apache-2.0 */
#include "ring.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>

#include "exporter.h"
#include "format.h"
#include "memory.h"
#include "metrics_file.h"
#include "open.h"
#include "process.h"
#include "sys.h"
#include "thread.h"

static struct ring *rings[RINGS_MAX];
static uint32_t ring_count;
static uint32_t durable_free;  /* rings of the file that no thread owns */
static struct ring_file *file; /* NULL: none */
static uint64_t used_max;      /* bytes */
static char file_path[CONFIG_TEXT_MAX + 64];

enum { WAKE_BYTES = RING_CAPACITY / 4, LOGS_BYTES_MAX = RING_CAPACITY / 4 * 3 };

static bool is_error(long result)
{
    return result < 0 && result > -4096;
}

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

static void count_at_least(uint32_t wanted)
{
    uint32_t count = __atomic_load_n(&ring_count, __ATOMIC_RELAXED);
    while (count < wanted && !__atomic_compare_exchange_n(&ring_count, &count, wanted, true,
                                 __ATOMIC_RELEASE, __ATOMIC_RELAXED))
        ;
}

static bool publish(struct ring *ring)
{
    for (uint32_t i = __atomic_load_n(&ring_count, __ATOMIC_RELAXED); i < RINGS_MAX; i++) {
        struct ring *expected = NULL;
        if (__atomic_compare_exchange_n(
                &rings[i], &expected, ring, false, __ATOMIC_RELEASE, __ATOMIC_RELAXED)) {
            count_at_least(i + 1);
            return true;
        }
    }
    return false;
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
    if (publish(ring))
        return ring;
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

static bool add_ring(int descriptor);

/* Nobody else makes a ring ahead of need, and what lies in a private one would be lost. Of two
 * threads that come here together one takes a private ring this time, and moves later. */
static struct ring *added_here(void)
{
    static uint32_t is_adding;
    uint32_t expected = 0;
    if (exporter_adds_rings() || file == NULL || !process_may_call() ||
        !__atomic_compare_exchange_n(
            &is_adding, &expected, 1, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
        return NULL;
    long descriptor = sys(SYS_openat, AT_FDCWD, file_path, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
    bool added = !is_error(descriptor) && add_ring((int)descriptor);
    if (!is_error(descriptor))
        sys(SYS_close, descriptor);
    __atomic_store_n(&is_adding, 0, __ATOMIC_RELEASE);
    return added ? acquire_existing(false) : NULL;
}

static struct ring *acquire(void)
{
    struct ring *ring = acquire_existing(false);
    if (ring == NULL)
        ring = added_here();
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
            sys(SYS_munmap, rings[i], RING_BYTES);
        rings[i] = NULL;
    }
    /* Exchanges that the parent began know where they are noted: its notes are not ours. */
    if (file != NULL)
        sys(SYS_mmap, file, RING_FILE_HEADER_BYTES, PROT_READ | PROT_WRITE,
            MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0);
    ring_count = 0;
    durable_free = 0;
    used_max = 0;
    open_slots = NULL;
    file = NULL;
    file_path[0] = '\0';
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

static bool reserve_pages(int descriptor, uint64_t offset, uint64_t bytes)
{
    struct {
        uint64_t soft, hard;
    } limit = {0, 0};
    /* Beyond RLIMIT_FSIZE the kernel would send SIGXFSZ. */
    if (sys(SYS_prlimit64, 0, 1 /* RLIMIT_FSIZE */, 0, &limit) != 0 || limit.soft < offset + bytes)
        return false;
    return sys(SYS_fallocate, descriptor, 0, offset, bytes) == 0;
}

static void *map_pages(int descriptor, uint64_t offset, uint64_t bytes)
{
    if (!reserve_pages(descriptor, offset, bytes))
        return NULL;
    long memory = sys(SYS_mmap, 0, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, offset);
    return is_error(memory) ? NULL : (void *)memory;
}

static bool add_ring(int descriptor)
{
    uint64_t offset = RING_FILE_HEADER_BYTES + (uint64_t)file->ring_count * RING_BYTES;
    struct ring *ring = map_pages(descriptor, offset, RING_BYTES);
    if (ring == NULL)
        return false;
    file->ring_count++;
    __atomic_add_fetch(&durable_free, 1, __ATOMIC_RELAXED);
    if (publish(ring))
        return true;
    __atomic_sub_fetch(&durable_free, 1, __ATOMIC_RELAXED);
    return false;
}

/* The magic comes last: whoever dies before has left a file that nobody believes. */
static void fill_header(
    const struct config *config, const uint8_t *resource, size_t bytes, bool locked)
{
    file->version = RING_VERSION;
    file->pid = (uint32_t)sys(SYS_getpid);
    file->clock_offset_ns = process_clock_offset_ns();
    file->start_ns = file->alive_ns = process_monotonic_ns() + file->clock_offset_ns;
    memcpy(file->run_id, config->run_id, sizeof(config->run_id));
    memcpy(file->service_name, config->service_name, sizeof(file->service_name));
    file->resource_bytes = (uint32_t)bytes;
    memcpy(file->resource, resource, bytes);
    file->is_locked = locked;
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    memcpy(file->magic, "BURDOCK", 8);
}

bool rings_open_file(
    const struct config *config, const uint8_t *resource, size_t resource_bytes, int *descriptor)
{
    struct format path;
    format_start(&path, file_path, sizeof(file_path));
    format_text(&path, config->run_directory);
    format_text(&path, "/burdock-");
    format_number(&path, (uint64_t)sys(SYS_getpid));
    format_text(&path, "-");
    format_hex(&path, process_monotonic_ns());
    format_text(&path, ".ring");
    *descriptor = -1;
    if (!path.fits || resource_bytes > RING_RESOURCE_BYTES_MAX)
        return false;
    long opened = sys(
        SYS_openat, AT_FDCWD, file_path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (opened < 0) {
        file_path[0] = '\0';
        return false;
    }
    *descriptor = (int)opened;
    bool locked = sys(SYS_flock, opened, LOCK_EX | LOCK_NB) == 0;
    file = map_pages(*descriptor, 0, RING_FILE_HEADER_BYTES);
    if (file != NULL) {
        fill_header(config, resource, resource_bytes, locked);
        if (add_ring(*descriptor)) {
            __atomic_store_n(&open_slots,
                (struct open_slot *)((uint8_t *)file + RING_FILE_OPEN_AT) - 1, __ATOMIC_RELEASE);
            return true;
        }
    }
    rings_remove_file();
    return false;
}

void rings_keep_spare(int descriptor)
{
    if (file == NULL || descriptor < 0)
        return;
    if (__atomic_load_n(&durable_free, __ATOMIC_RELAXED) > 0)
        return;
    add_ring(descriptor);
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
    return __atomic_load_n(&counters[counter], __ATOMIC_RELAXED);
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

/* What `burdock status` judges by. A new file's counters are zero. */
static void note_health(void)
{
    static const uint8_t losses[] = {COUNTER_SPANS_DROPPED_RING, COUNTER_SPANS_DROPPED_MEMORY,
        COUNTER_SPANS_DROPPED_EXPORT, COUNTER_SPANS_REJECTED, COUNTER_EXPORT_FAILED,
        COUNTER_LOGS_DROPPED_RING, COUNTER_LOGS_DROPPED_EXPORT, COUNTER_LOGS_REJECTED};
    struct ring_health *health = &file->health;
    uint64_t now = process_monotonic_ns() + process_clock_offset_ns();
    if (counters[COUNTER_SPANS_EXPORTED] > file->counters[COUNTER_SPANS_EXPORTED] ||
        counters[COUNTER_LOGS_EXPORTED] > file->counters[COUNTER_LOGS_EXPORTED])
        health->exported_ns = now;
    for (size_t i = 0; i < sizeof(losses); i++)
        if (counters[losses[i]] > file->counters[losses[i]])
            health->troubled_ns = now;
    health->used_max = rings_used_max();
    health->updated_ns = now;
}

void rings_publish_counters(void)
{
    if (file == NULL)
        return;
    note_health();
    file->clock_offset_ns = process_clock_offset_ns();
    file->alive_ns = process_monotonic_ns() + file->clock_offset_ns;
    memcpy(file->counters, counters, sizeof(file->counters));
    file->counters[COUNTER_SPANS_RECORDED] = rings_recorded();
    file->counters[COUNTER_LOGS_RECORDED] = rings_recorded_logs();
    connection_count(&file->connections);
    if (__atomic_load_n(&process.broken, __ATOMIC_ACQUIRE) && process.broken_why != NULL &&
        !file->broken) {
        struct format why;
        format_start(&why, file->broken_why, sizeof(file->broken_why));
        format_text(&why, process.broken_why);
        file->broken = 1;
    }
}

void rings_remove_file(void)
{
    if (file_path[0] != '\0') {
        sys(SYS_unlinkat, AT_FDCWD, file_path, 0);
        metrics_file_remove(AT_FDCWD, file_path);
    }
    file_path[0] = '\0';
}

void rings_unlock(void)
{
    if (file != NULL)
        file->is_locked = 0;
}

const char *rings_file_path(void)
{
    return file_path;
}

bool rings_have_file(void)
{
    return file != NULL;
}
