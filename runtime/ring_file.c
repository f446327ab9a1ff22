/* SPDX-License-Identifier: Apache-2.0 */
/* The file of rings. Threads that come together when there is none each make one, and the first
 * that is whole is the process's: nobody waits for anybody. */
#include "ring_file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>

#include "format.h"
#include "losses.h"
#include "memory.h"
#include "metrics_file.h"
#include "open.h"
#include "otlp.h"
#include "process.h"
#include "resource.h"
#include "sys.h"

static struct ring_file *file AT_START; /* NULL: none */
static uint32_t is_refused;             /* none can be made */
static bool are_losses_told AT_START;   /* of this process */

/* What the making of one needs, and a host's stack has no room for. */
struct making {
    struct otlp_process facts;
    char path[RING_PATH_BYTES_MAX];
};

static struct ring_file *own_file(void)
{
    return __atomic_load_n(&file, __ATOMIC_ACQUIRE);
}

static bool is_error(long result)
{
    return result < 0 && result > -4096;
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

/* ---- its rings ---- */

/* A place that is given up while others take the next ones stays a hole: it reads as an empty ring.
 */
static struct ring *add_ring(struct ring_file *home, int descriptor, bool in_use)
{
    uint32_t index = __atomic_fetch_add(&home->rings_begun, 1, __ATOMIC_RELAXED);
    uint32_t next = index + 1;
    uint64_t offset = RING_FILE_HEADER_BYTES + (uint64_t)index * RING_BYTES;
    struct ring *ring = index < RINGS_MAX ? map_pages(descriptor, offset, RING_BYTES) : NULL;
    if (ring == NULL) {
        __atomic_compare_exchange_n(
            &home->rings_begun, &next, index, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
        return NULL;
    }
    ring->in_use = in_use;
    count_at_least(&home->ring_count, next);
    if (rings_offer(ring))
        return ring;
    memory_unmap(ring, RING_BYTES);
    return NULL;
}

static int open_again(const struct ring_file *home)
{
    if (home == NULL || home->path[0] == '\0')
        return -1;
    return (int)sys(SYS_openat, AT_FDCWD, home->path, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
}

struct ring *rings_add_own(void)
{
    struct ring_file *home = own_file();
    int descriptor = process_may_call() ? open_again(home) : -1;
    if (descriptor < 0)
        return NULL;
    struct ring *ring = add_ring(home, descriptor, true);
    sys(SYS_close, descriptor);
    return ring;
}

/* Whoever comes by while the file is not locked looks into it, and holds the lock for that. */
static void hold(struct ring_file *home, int descriptor)
{
    if (!home->is_locked && sys(SYS_flock, descriptor, LOCK_EX | LOCK_NB) == 0)
        home->is_locked = 1;
}

void rings_keep_spare(int descriptor)
{
    struct ring_file *home = own_file();
    if (home == NULL || descriptor < 0)
        return;
    hold(home, descriptor);
    if (rings_need_spare())
        add_ring(home, descriptor, false);
}

/* ---- making it ---- */

/* The magic comes last: whoever dies before has left a file that nobody believes. */
static void fill_header(struct ring_file *made, const struct config *config, struct making *making)
{
    made->version = RING_VERSION;
    made->pid = (uint32_t)sys(SYS_getpid);
    made->clock_offset_ns = process_clock_offset_ns();
    made->start_ns = made->alive_ns = process_monotonic_ns() + made->clock_offset_ns;
    memcpy(made->run_id, config->run_id, sizeof(config->run_id));
    memcpy(made->service_name, config->service_name, sizeof(made->service_name));
    memcpy(made->path, making->path, sizeof(made->path));
    if (config->measures && config->signals[SIGNAL_METRICS].destination == DESTINATION_OTLP)
        made->measures = RING_MEASURES | (config->delta ? RING_MEASURES_DELTA : 0) |
                         (config->exponential ? RING_MEASURES_EXPONENTIAL : 0);
    resource_begin(&making->facts);
    made->resource_place =
        (uint32_t)otlp_resource(config, &making->facts, made->resource, RING_RESOURCE_BYTES_MAX);
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    memcpy(made->magic, "BURDOCK", 8);
}

static int create(const struct config *config, char path[RING_PATH_BYTES_MAX])
{
    struct format format;
    long opened = -EEXIST; /* of two threads at the same nanosecond */
    for (int i = 0; i < 8 && opened == -EEXIST; i++) {
        format_start(&format, path, RING_PATH_BYTES_MAX);
        format_text(&format, config->run_directory);
        format_text(&format, "/burdock-");
        format_number(&format, (uint64_t)sys(SYS_getpid));
        format_text(&format, "-");
        format_hex(&format, process_monotonic_ns());
        format_text(&format, ".ring");
        if (!format.fits)
            return -1;
        opened = sys(
            SYS_openat, AT_FDCWD, path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    }
    return (int)opened;
}

static struct ring_file *make(const struct config *config)
{
    struct making *making = memory_map(sizeof(*making));
    struct ring_file *made = NULL;
    int descriptor = making == NULL ? -1 : create(config, making->path);
    if (descriptor >= 0) {
        made = map_pages(descriptor, 0, RING_FILE_HEADER_BYTES);
        if (made != NULL)
            fill_header(made, config, making);
        else
            sys(SYS_unlinkat, AT_FDCWD, making->path, 0);
        sys(SYS_close, descriptor);
    }
    if (making != NULL)
        memory_unmap(making, sizeof(*making));
    return made;
}

/* Everybody says it: who made it may not have come so far. */
static void begin_notes(struct ring_file *home)
{
    __atomic_store_n(&open_slots, (struct open_slot *)((uint8_t *)home + RING_FILE_OPEN_AT) - 1,
        __ATOMIC_RELEASE);
}

bool rings_make_file(const struct config *config)
{
    struct ring_file *home = own_file();
    if (home != NULL || __atomic_load_n(&is_refused, __ATOMIC_RELAXED) || !process_may_call())
        return home != NULL;
    struct ring_file *made = make(config);
    if (made == NULL) {
        home = own_file();
    } else if (__atomic_compare_exchange_n(
                   &file, &home, made, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
        home = made;
        counters_move(made->counters);
    } else {
        sys(SYS_unlinkat, AT_FDCWD, made->path, 0);
        memory_unmap(made, RING_FILE_HEADER_BYTES);
    }
    if (home != NULL)
        begin_notes(home);
    else
        __atomic_store_n(&is_refused, 1, __ATOMIC_RELAXED);
    return home != NULL;
}

/* It is beyond our reach: in another root, of another user, or taken for a dead process's. */
static void give_up(void)
{
    rings_disown();
    __atomic_store_n(&open_slots, NULL, __ATOMIC_RELEASE);
    __atomic_store_n(&file, NULL, __ATOMIC_RELEASE);
}

int rings_take_file(const struct config *config)
{
    __atomic_store_n(&is_refused, 0, __ATOMIC_RELAXED); /* a thread may be of another user now */
    for (int i = 0; i < 2 && rings_make_file(config); i++) {
        struct ring_file *home = own_file();
        int descriptor = open_again(home);
        if (descriptor >= 0) {
            hold(home, descriptor);
            return descriptor;
        }
        give_up();
    }
    return -1;
}

void rings_set_resource(const uint8_t *resource, size_t bytes)
{
    struct ring_file *home = own_file();
    if (home == NULL)
        return;
    uint32_t at = ring_file_resource_at(home) + ring_file_resource_bytes(home);
    if (bytes > RING_RESOURCE_BYTES_MAX - at) /* the first one has to do */
        return;
    memcpy(home->resource + at, resource, bytes);
    __atomic_store_n(&home->resource_place, at << 16 | (uint32_t)bytes, __ATOMIC_RELEASE);
}

void rings_file_forked(void)
{
    /* Exchanges that the parent began know where they are noted: its notes are not ours. */
    if (file != NULL)
        sys(SYS_mmap, file, RING_FILE_HEADER_BYTES, PROT_READ | PROT_WRITE,
            MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0);
    open_slots = NULL;
    file = NULL;
    is_refused = 0;
    are_losses_told = false;
}

/* ---- its end ---- */

void rings_remove_file(void)
{
    struct ring_file *home = own_file();
    if (home != NULL && home->path[0] == '\0')
        return;
    if (home != NULL) {
        metrics_file_remove(AT_FDCWD, home->path);
        if (open_any(home)) {
            home->is_locked = 0; /* an end that counts as no crash */
            return;
        }
    }
    counters_gather();
    if (!are_losses_told)
        are_losses_told = losses_tell(config.run_directory, config.run_id, counters);
    if (home == NULL)
        return;
    sys(SYS_unlinkat, AT_FDCWD, home->path, 0);
    home->path[0] = '\0';
}

void rings_unlock(void)
{
    if (own_file() != NULL)
        own_file()->is_locked = 0;
}

const char *rings_file_path(void)
{
    struct ring_file *home = own_file();
    return home == NULL ? "" : home->path;
}

bool rings_are_callers(void)
{
    const struct ring_file *home = own_file();
    return home == NULL || !process_may_call() || home->pid == (uint32_t)sys(SYS_getpid);
}

bool rings_have_file(void)
{
    return own_file() != NULL;
}

/* ---- what others read in it ---- */

/* Has one of them been counted since it was `seen`? */
static bool has_grown(const uint8_t *which, size_t count, uint64_t *seen)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += counter_now(which[i]);
    bool grown = sum > *seen;
    *seen = sum;
    return grown;
}

/* What `burdock status` judges by. */
static void note_health(struct ring_file *home)
{
    static const uint8_t exported[] = {COUNTER_SPANS_EXPORTED, COUNTER_LOGS_EXPORTED};
    static const uint8_t losses[] = {COUNTER_SPANS_DROPPED_RING, COUNTER_SPANS_DROPPED_MEMORY,
        COUNTER_SPANS_DROPPED_EXPORT, COUNTER_SPANS_REJECTED, COUNTER_EXPORT_FAILED,
        COUNTER_LOGS_DROPPED_RING, COUNTER_LOGS_DROPPED_EXPORT, COUNTER_LOGS_REJECTED};
    struct ring_health *health = &home->health;
    uint64_t now = process_monotonic_ns() + process_clock_offset_ns();
    if (has_grown(exported, sizeof(exported), &health->exported))
        health->exported_ns = now;
    if (has_grown(losses, sizeof(losses), &health->lost))
        health->troubled_ns = now;
    health->used_max = rings_used_max();
    health->updated_ns = now;
}

struct store_intent *rings_intent(void)
{
    struct ring_file *home = own_file();
    return home == NULL ? NULL : &home->intent;
}

void rings_counters_sent(const uint64_t sent[COUNTER_COUNT])
{
    struct ring_file *home = own_file();
    if (home != NULL)
        memcpy(home->counters_sent, sent, sizeof(home->counters_sent));
}

void rings_publish_counters(void)
{
    struct ring_file *home = own_file();
    if (home == NULL)
        return;
    note_health(home);
    home->clock_offset_ns = process_clock_offset_ns();
    home->alive_ns = process_monotonic_ns() + home->clock_offset_ns;
    __atomic_store_n(&home->counters[COUNTER_SPANS_RECORDED], rings_recorded(), __ATOMIC_RELAXED);
    __atomic_store_n(
        &home->counters[COUNTER_LOGS_RECORDED], rings_recorded_logs(), __ATOMIC_RELAXED);
    connection_count(&home->connections);
    if (__atomic_load_n(&process.broken, __ATOMIC_ACQUIRE) && process.broken_why != NULL &&
        !home->broken) {
        struct format why;
        format_start(&why, home->broken_why, sizeof(home->broken_why));
        format_text(&why, process.broken_why);
        home->broken = 1;
    }
}
