/* SPDX-License-Identifier: Apache-2.0 */
#include "recover.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "format.h"
#include "guard.h"
#include "losses.h"
#include "memory.h"
#include "metrics_file.h"
#include "open.h"
#include "process.h"
#include "recover_metrics.h"
#include "sys.h"

enum { STILLBORN_AFTER_S = 2 }; /* st_mtim is of a coarser clock than ours */

static bool has_name(const char *name)
{
    size_t length = strlen(name);
    return strncmp(name, "burdock-", 8) == 0 && length > 13 &&
           strcmp(name + length - 5, ".ring") == 0;
}

static bool is_text(const char *text, size_t room, const char *wanted)
{
    return wanted == NULL || (memchr(text, '\0', room) != NULL && strcmp(text, wanted) == 0);
}

/* It has died, and its parent has not asked yet how. A main thread that has left the others alone
 * looks like it, but for their number. proc(5): PID (NAME) STATE, and NUM_THREADS is the 20th. */
static bool is_zombie(uint32_t pid)
{
    char path[32], text[512];
    struct format format;
    format_start(&format, path, sizeof(path));
    format_text(&format, "/proc/");
    format_number(&format, pid);
    format_text(&format, "/stat");
    long descriptor = sys(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0)
        return false;
    long got = sys(SYS_read, descriptor, text, sizeof(text) - 1);
    sys(SYS_close, descriptor);
    text[got > 0 ? got : 0] = '\0';
    const char *at = strrchr(text, ')');
    if (at == NULL || at[1] != ' ' || at[2] != 'Z')
        return false;
    for (int field = 2; at != NULL && field < 20; field++)
        at = strchr(at + 1, ' ');
    return at != NULL && at[1] <= '1' && at[2] == ' ';
}

/* Asked before anything else is read: what a living process still writes or sends is its own. */
static bool is_of_living(int descriptor)
{
    uint32_t pid = 0, is_locked = 0;
    sys(SYS_pread64, descriptor, &pid, sizeof(pid), offsetof(struct ring_file, pid));
    sys(SYS_pread64, descriptor, &is_locked, sizeof(is_locked),
        offsetof(struct ring_file, is_locked));
    return pid == 0 || /* it is being made */
           (!is_locked && sys(SYS_kill, pid, 0) != -ESRCH && !is_zombie(pid));
}

static bool is_ring_file(const struct ring_file *file, uint64_t bytes)
{
    return memcmp(file->magic, "BURDOCK", 8) == 0 && file->version == RING_VERSION &&
           file->ring_count <= RINGS_MAX &&
           ring_file_resource_at(file) + ring_file_resource_bytes(file) <=
               RING_RESOURCE_BYTES_MAX &&
           RING_FILE_HEADER_BYTES + (uint64_t)file->ring_count * RING_BYTES <= bytes;
}

static bool is_wanted(const struct ring_file *file, const char *service_name, const char *run_id)
{
    return is_text(file->service_name, sizeof(file->service_name), service_name) &&
           is_text(file->run_id, sizeof(file->run_id), run_id);
}

static struct ring *ring_of(struct ring_file *file, uint32_t index)
{
    return (struct ring *)((uint8_t *)file + RING_FILE_HEADER_BYTES + (size_t)index * RING_BYTES);
}

static bool is_empty(struct ring_file *file)
{
    if (open_any(file))
        return false;
    for (uint32_t i = 0; i < file->ring_count; i++) {
        struct ring *ring = ring_of(file, i);
        uint64_t cursor = ring_cursor(ring);
        if (ring_next(ring, &cursor, ring_head(ring)) != NULL)
            return false;
    }
    return true;
}

static uint64_t unix_ns(void)
{
    return process_monotonic_ns() + process_clock_offset_ns();
}

/* What the process had stored when it died, but not given back. */
static void pass_stored(struct ring_file *file)
{
    if (!store_was_appended(&file->intent))
        return;
    for (uint32_t i = 0; i < file->ring_count; i++) {
        struct ring *ring = ring_of(file, i);
        if (ring->storing > ring->tail && ring->storing <= ring->head)
            ring->tail = ring->storing;
    }
}

/* The last one is of what was open when the process died. */
static void drain_file(
    struct delivery *delivery, struct ring_file *file, struct ring *rings[RINGS_MAX + 1])
{
    uint32_t count = file->ring_count;
    struct ring *open = memory_map(RING_BYTES);
    if (open != NULL) {
        open_tell(file, rings, count, open, unix_ns());
        rings[count++] = open;
    }
    pass_stored(file); /* what has a span there was not open */
    delivery_drain(delivery, rings, count, file->resource + ring_file_resource_at(file),
        ring_file_resource_bytes(file));
    if (open != NULL)
        memory_unmap(open, RING_BYTES);
}

/* Where those begin who try again: what was delivered is not to be delivered by them as well. */
static void write_tails(int descriptor, struct ring_file *file)
{
    for (uint32_t i = 0; i < file->ring_count; i++) {
        struct ring *ring = ring_of(file, i);
        uint64_t at = (uint64_t)((uint8_t *)&ring->tail - (uint8_t *)file);
        sys(SYS_pwrite64, descriptor, &ring->tail, sizeof(ring->tail), at);
    }
}

struct wanted {
    struct delivery *delivery;
    const struct config *config;
    const char *service_name;
    const char *run_id;
    uint64_t *lost; /* NULL: told to whom it concerns */
};

/* True: the file has served. One that holds nothing more is anybody's to remove. */
static bool settle_file(struct ring_file *file, uint64_t bytes, const struct wanted *wanted,
    int directory, const char *name)
{
    struct delivery *delivery = wanted->delivery;
    struct ring *rings[RINGS_MAX + 1];
    struct metrics metrics;
    if (!is_ring_file(file, bytes))
        return false;
    bool is_drained = is_empty(file);
    bool is_meant = is_wanted(file, wanted->service_name, wanted->run_id);
    if (!is_drained && !is_meant)
        return false;
    for (uint32_t i = 0; i < file->ring_count; i++)
        rings[i] = ring_of(file, i);
    bool has_metrics = recover_metrics_find(&metrics, delivery, file, rings, directory, name);
    if (!is_drained)
        drain_file(delivery, file, rings);
    if (has_metrics && is_meant && !delivery->is_stuck)
        delivery->is_stuck = !recover_metrics_send(&metrics, delivery, file) && delivery->keeps;
    metrics_end(&metrics);
    return !delivery->is_stuck && (is_meant || !has_metrics);
}

/* Whose files may we believe? Our own; a command also those of daemons that changed their user
 * meanwhile: its own run's, or all, by hand. */
static bool is_ours(const struct stat *status, bool is_command)
{
    return S_ISREG(status->st_mode) && status->st_nlink == 1 &&
           (is_command || status->st_uid == (uid_t)sys(SYS_geteuid));
}

/* Opened and not claimed by its living owner or another recoverer, or -1. */
static int claim(int directory, const char *name, bool is_command, struct stat *status)
{
    long descriptor =
        sys(SYS_openat, directory, name, O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (descriptor < 0)
        return -1;
    if (sys(SYS_flock, descriptor, LOCK_EX | LOCK_NB) == 0 &&
        sys(SYS_newfstatat, descriptor, "", status, AT_EMPTY_PATH) == 0 &&
        is_ours(status, is_command) &&
        status->st_size <= RING_FILE_HEADER_BYTES + (off_t)RINGS_MAX * RING_BYTES)
        return (int)descriptor;
    sys(SYS_close, descriptor);
    return -1;
}

/* Its maker died before the header was whole: there is nothing in it, and nobody to finish it. The
 * name tells who that was; in another namespace of process ids he may live, and needs the time. */
static bool is_stillborn(int descriptor, const char *name, const struct stat *status)
{
    char magic[8] = "";
    long pid = 0;
    for (const char *at = name + strlen("burdock-"); *at >= '0' && *at <= '9' && pid < 1 << 30;
         at++)
        pid = pid * 10 + (*at - '0');
    sys(SYS_pread64, descriptor, magic, sizeof(magic), 0);
    return memcmp(magic, (char[8]){0}, sizeof(magic)) == 0 && pid > 0 &&
           sys(SYS_kill, pid, 0) == -ESRCH &&
           unix_ns() > ((uint64_t)status->st_mtim.tv_sec + STILLBORN_AFTER_S) * 1000000000u;
}

/* A copy, not a mapping: a mapped file that somebody shortens would raise SIGBUS in us, or in the
 * host that we live in. */
static bool copy_file(int descriptor, uint8_t *out, uint64_t at, uint64_t bytes)
{
    while (at < bytes) {
        long got = sys(SYS_pread64, descriptor, out + at, bytes - at, at);
        if (got <= 0)
            return false;
        at += (uint64_t)got;
    }
    return true;
}

static uint64_t waiting_in(int descriptor, uint32_t rings)
{
    uint64_t waiting = 0;
    for (uint32_t i = 0; i < rings && i < RINGS_MAX; i++) {
        struct ring ring;
        uint64_t at = RING_FILE_HEADER_BYTES + (uint64_t)i * RING_BYTES;
        if (sys(SYS_pread64, descriptor, &ring, sizeof(ring), at) == (long)sizeof(ring))
            waiting += ring.head - ring.tail;
    }
    return waiting;
}

/* False: what is in it is another service's. Each process asks this of each file that lies there,
 * at its start, and one that ends soon waits for that: so a megabyte is read only where it counts.
 */
static bool copy_head(int descriptor, struct ring_file *out, const struct wanted *wanted)
{
    const uint64_t first = offsetof(struct ring_file, counters);
    if (!copy_file(descriptor, (uint8_t *)out, 0, first))
        return false;
    bool is_meant = is_wanted(out, wanted->service_name, wanted->run_id);
    return (is_meant || waiting_in(descriptor, out->ring_count) == 0) &&
           copy_file(descriptor, (uint8_t *)out, first, RING_FILE_HEADER_BYTES) &&
           (is_meant || !open_any(out));
}

/* Its exporter holds the lock to an orderly end. */
static bool died_early(const struct ring_file *file, const char *service_name)
{
    return service_name != NULL && file->is_locked && is_wanted(file, service_name, NULL) &&
           unix_ns() - file->start_ns < GUARD_EARLY_S * 1000000000ull;
}

static void tell_losses(const struct wanted *wanted, const struct ring_file *file)
{
    if (wanted->lost == NULL && memchr(file->run_id, '\0', sizeof(file->run_id)) != NULL)
        losses_tell(wanted->config->run_directory, file->run_id, file->counters);
    for (unsigned i = 0; i < COUNTER_COUNT && wanted->lost != NULL; i++)
        wanted->lost[i] += counter_losses >> i & 1 ? file->counters[i] : 0;
}

static void take_over(
    struct wanted *wanted, int descriptor, uint64_t bytes, int directory, const char *name)
{
    struct ring_file *file = memory_map(bytes);
    if (file == NULL)
        return;
    if (copy_head(descriptor, file, wanted) &&
        copy_file(descriptor, (uint8_t *)file, RING_FILE_HEADER_BYTES, bytes) &&
        settle_file(file, bytes, wanted, directory, name)) {
        /* Before the file goes: we, too, may be about to crash. */
        if (wanted->config->crash_guard && died_early(file, wanted->service_name))
            guard_count(wanted->config, unix_ns() / 1000000000u);
        tell_losses(wanted, file);
        sys(SYS_unlinkat, directory, name, 0);
        metrics_file_remove(directory, name);
    } else if (wanted->delivery->is_stuck) {
        write_tails(descriptor, file);
    }
    memory_unmap(file, bytes);
}

static void recover_file(struct wanted *wanted, int directory, const char *name)
{
    struct stat status;
    if (wanted->delivery->is_stuck)
        return; /* nothing can be delivered now */
    int descriptor = claim(directory, name, wanted->service_name == NULL, &status);
    if (descriptor < 0)
        return;
    if (is_stillborn(descriptor, name, &status))
        sys(SYS_unlinkat, directory, name, 0);
    else if (status.st_size >= RING_FILE_HEADER_BYTES && !is_of_living(descriptor))
        take_over(wanted, descriptor, (uint64_t)status.st_size, directory, name);
    sys(SYS_close, descriptor);
}

typedef void visitor(void *argument, int directory, const char *name);

static void for_each_file(const struct config *config, visitor *visit, void *argument)
{
    _Alignas(8) char entries[4096];
    long directory =
        sys(SYS_openat, AT_FDCWD, config->run_directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0)
        return;
    long got;
    while ((got = sys(SYS_getdents64, directory, entries, sizeof(entries))) > 0)
        for (long at = 0; at < got;) {
            struct dirent64 *entry = (struct dirent64 *)(entries + at);
            if (has_name(entry->d_name))
                visit(argument, (int)directory, entry->d_name);
            at += entry->d_reclen;
        }
    sys(SYS_close, directory);
}

static void visit_dead(void *argument, int directory, const char *name)
{
    recover_file(argument, directory, name);
}

void recover_dead(struct delivery *delivery, const struct config *config, const char *service_name,
    const char *run_id, uint64_t *lost)
{
    struct wanted wanted = {delivery, config, service_name, run_id, lost};
    for_each_file(config, visit_dead, &wanted);
}

struct sought {
    char prefix[40];
    struct ring_file *out;
    uint64_t waiting;
    bool found;
};

static void visit_sought(void *argument, int directory, const char *name)
{
    struct sought *sought = argument;
    if (strncmp(name, sought->prefix, strlen(sought->prefix)) != 0)
        return;
    long descriptor = sys(SYS_openat, directory, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (descriptor < 0)
        return;
    long got = sys(SYS_pread64, descriptor, sought->out, sizeof(*sought->out), 0);
    if (got == (long)sizeof(*sought->out) && memcmp(sought->out->magic, "BURDOCK", 8) == 0) {
        sought->found = true;
        sought->waiting = waiting_in((int)descriptor, sought->out->ring_count);
    }
    sys(SYS_close, descriptor);
}

bool recover_counters(
    const struct config *config, uint32_t pid, struct ring_file *out, uint64_t *waiting)
{
    struct sought sought = {.out = out};
    struct format prefix;
    format_start(&prefix, sought.prefix, sizeof(sought.prefix));
    format_text(&prefix, "burdock-");
    format_number(&prefix, pid);
    format_text(&prefix, "-");
    for_each_file(config, visit_sought, &sought);
    *waiting = sought.waiting;
    return sought.found;
}
