/* SPDX-License-Identifier: Apache-2.0 */
#include "metrics_state.h"

#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>

#include "crc32c.h"
#include "memory.h"
#include "metrics_file.h"
#include "metrics_internal.h"
#include "sys.h"

enum {
    NUMBERS_BYTES = offsetof(struct series, saved),
    GROWTH_BYTES = 128 * 1024, /* of a file, beside four times what it said when it was whole */
    FILE_BYTES_MAX = 64 * 1024 * 1024,
    SCALE_MIN = -11
};

struct state_frame {
    uint32_t checksum; /* of what follows it */
    uint32_t bytes;    /* all */
    uint32_t version;  /* RING_VERSION */
    uint32_t generation;
    uint64_t begun_ns, sent_ns;
    uint32_t is_last, is_changed;
};

struct state_series {
    uint32_t index;
    uint32_t has_exponential;
};

_Static_assert(NUMBERS_BYTES % 8 == 0 && sizeof(struct exponential) % 8 == 0, "all lies aligned");

static uint32_t generation; /* that was written */

/* ---- writing ---- */

struct saving {
    struct metrics *metrics;
    uint8_t *memory;
    size_t room, used;
    long descriptor;
    uint64_t at;
    bool is_good;
};

void metrics_state_reaches(struct ring *ring, uint64_t cursor)
{
    ring->counted[(generation + 1) % 2] = cursor;
}

static void put_out(struct saving *saving, bool is_last)
{
    struct state_frame *frame = (struct state_frame *)saving->memory;
    const struct metrics *metrics = saving->metrics;
    *frame = (struct state_frame){.bytes = (uint32_t)saving->used,
        .version = RING_VERSION,
        .generation = generation + 1,
        .begun_ns = metrics->begun_ns,
        .sent_ns = metrics->sent_ns,
        .is_last = is_last,
        .is_changed = metrics->is_changed};
    frame->checksum = crc32c(saving->memory + sizeof(uint32_t), saving->used - sizeof(uint32_t));
    saving->is_good &= sys(SYS_pwrite64, saving->descriptor, saving->memory, saving->used,
                           saving->at) == (long)saving->used;
    saving->at += saving->used;
    saving->used = sizeof(*frame);
}

static void put(struct saving *saving, const void *data, size_t bytes)
{
    memcpy(saving->memory + saving->used, data, bytes);
    saving->used += bytes;
}

static void put_series(struct saving *saving, uint32_t index)
{
    const struct metrics_memory *memory = saving->metrics->memory;
    struct series *series = &saving->metrics->memory->series[index];
    struct state_series head = {index, memory->exponentials != NULL};
    if (saving->room - saving->used <
        sizeof(head) + NUMBERS_BYTES + sizeof(struct exponential) + SERIES_KEY_BYTES_MAX + 8)
        put_out(saving, false);
    put(saving, &head, sizeof(head));
    put(saving, series, NUMBERS_BYTES);
    if (head.has_exponential)
        put(saving, &memory->exponentials[index], sizeof(struct exponential));
    put(saving, memory->keys + series->key_at, series->key_bytes);
    saving->used = (saving->used + 7) / 8 * 8;
    series->saved = series->count;
}

static bool write_state(struct saving *saving, bool is_whole)
{
    const struct metrics_memory *memory = saving->metrics->memory;
    saving->used = sizeof(struct state_frame);
    saving->is_good = true;
    for (uint32_t i = 0; i < memory->series_count; i++)
        if (is_whole || memory->series[i].count != memory->series[i].saved)
            put_series(saving, i);
    put_out(saving, true);
    return saving->is_good;
}

static void let_go(struct metrics *metrics)
{
    if (metrics->state != 0)
        sys(SYS_close, metrics->state - 1);
    metrics->state = 0;
}

/* Under another name, then in the place of the one before. */
static void write_anew(struct saving *saving)
{
    struct metrics *metrics = saving->metrics;
    char path[METRICS_PATH_BYTES], other[METRICS_PATH_BYTES];
    let_go(metrics);
    if (!metrics_file_name(path, rings_file_path(), METRICS_STATE) ||
        !metrics_file_name(other, rings_file_path(), METRICS_STATE_NEW))
        return;
    saving->descriptor = sys(
        SYS_openat, AT_FDCWD, other, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (saving->descriptor < 0)
        return;
    metrics->state = (int)saving->descriptor + 1;
    if (write_state(saving, true) && sys(SYS_renameat, AT_FDCWD, other, AT_FDCWD, path) == 0) {
        metrics->state_whole_bytes = saving->at;
        return;
    }
    sys(SYS_unlinkat, AT_FDCWD, other, 0);
    let_go(metrics);
}

void metrics_state_save(struct metrics *metrics, bool always, uint8_t *memory, size_t room)
{
    struct saving saving = {.metrics = metrics, .memory = memory, .room = room};
    if (metrics->memory == NULL || metrics->ended_ns != 0 || *rings_file_path() == '\0' ||
        metrics->config->signals[SIGNAL_METRICS].destination != DESTINATION_OTLP ||
        (!always && metrics->added == metrics->state_added))
        return;
    if (metrics->state == 0 ||
        metrics->state_bytes > 4 * metrics->state_whole_bytes + GROWTH_BYTES) {
        write_anew(&saving);
    } else {
        saving.descriptor = metrics->state - 1;
        saving.at = metrics->state_bytes;
        if (!write_state(&saving, false))
            let_go(metrics);
    }
    metrics->state_bytes = saving.at;
    metrics->state_added = metrics->added;
    generation += metrics->state != 0;
}

/* ---- reading ---- */

static bool is_key(const uint8_t *key, size_t bytes)
{
    struct key_head head;
    while (bytes >= sizeof(head)) {
        memcpy(&head, key, sizeof(head));
        size_t length = sizeof(head) + (head.length == KEY_NUMBER ? sizeof(uint64_t) : head.length);
        if (head.attribute >= ATTRIBUTE_COUNT || length > bytes)
            return false;
        key += length;
        bytes -= length;
    }
    return bytes == 0;
}

static bool is_exponential(const struct exponential *histogram)
{
    return histogram->scale >= SCALE_MIN && histogram->scale <= EXPONENTIAL_SCALE_MAX &&
           histogram->first > -(1 << 30) && histogram->first < 1 << 30 &&
           histogram->used <= EXPONENTIAL_BUCKETS_MAX;
}

static void enter(struct metrics_memory *memory, const struct series *series)
{
    uint32_t at = (uint32_t)(series->hash % INDEX_SIZE);
    memory->series_count++;
    memory->counts[series->measure]++;
    if (series->is_overflow) {
        memory->overflow[series->measure] = (uint16_t)memory->series_count;
        return;
    }
    while (memory->index[at] != 0)
        at = (at + 1) % INDEX_SIZE;
    memory->index[at] = (uint16_t)memory->series_count;
}

/* One of a frame; moves behind it. False: it is none. */
static bool read_series(struct metrics_memory *memory, const uint8_t **at, const uint8_t *end)
{
    struct state_series head;
    struct series series = {0};
    struct exponential histogram = {0};
    if ((size_t)(end - *at) < sizeof(head) + NUMBERS_BYTES)
        return false;
    memcpy(&head, *at, sizeof(head));
    memcpy(&series, *at + sizeof(head), NUMBERS_BYTES);
    *at += sizeof(head) + NUMBERS_BYTES;
    if (head.has_exponential) {
        if ((size_t)(end - *at) < sizeof(histogram))
            return false;
        memcpy(&histogram, *at, sizeof(histogram));
        *at += sizeof(histogram);
    }
    size_t key_bytes = series.key_bytes, padded = (key_bytes + 7) / 8 * 8;
    if (head.index > memory->series_count || head.index >= SERIES_MAX ||
        series.measure >= MEASURE_COUNT || key_bytes > SERIES_KEY_BYTES_MAX ||
        series.key_at > KEYS_BYTES - key_bytes || padded > (size_t)(end - *at) ||
        !is_key(*at, key_bytes) || (head.has_exponential && !is_exponential(&histogram)))
        return false;
    memcpy(memory->keys + series.key_at, *at, key_bytes);
    *at += padded;
    memcpy(&memory->series[head.index], &series, NUMBERS_BYTES);
    if (memory->exponentials != NULL)
        memory->exponentials[head.index] = histogram;
    if (memory->keys_used < series.key_at + key_bytes)
        memory->keys_used = (uint32_t)(series.key_at + key_bytes);
    if (head.index == memory->series_count)
        enter(memory, &series);
    return true;
}

/* NULL: there is no whole one. */
static const struct state_frame *frame_at(const uint8_t *at, const uint8_t *end)
{
    const struct state_frame *frame = (const struct state_frame *)at;
    if ((size_t)(end - at) < sizeof(*frame) || frame->bytes < sizeof(*frame) ||
        frame->bytes % 8 != 0 || frame->bytes > (size_t)(end - at) ||
        frame->version != RING_VERSION ||
        crc32c(at + sizeof(uint32_t), frame->bytes - sizeof(uint32_t)) != frame->checksum)
        return NULL;
    return frame;
}

/* Behind the last frame that ends a generation. */
static const uint8_t *end_of(const uint8_t *at, const uint8_t *limit)
{
    const uint8_t *end = at;
    const struct state_frame *frame;
    while ((frame = frame_at(at, limit)) != NULL) {
        at += frame->bytes;
        if (frame->is_last)
            end = at;
    }
    return end;
}

static uint32_t read_state(struct metrics *metrics, const uint8_t *at, const uint8_t *end)
{
    uint32_t found = 0;
    for (end = end_of(at, end); at < end;) {
        const struct state_frame *frame = (const struct state_frame *)at;
        const uint8_t *series = at + sizeof(*frame);
        at += frame->bytes;
        while (series < at)
            if (!read_series(metrics->memory, &series, at))
                return 0;
        found = frame->generation;
        metrics->begun_ns = frame->begun_ns;
        metrics->sent_ns = frame->sent_ns;
        metrics->is_changed = frame->is_changed != 0;
    }
    return found;
}

static int open_state(int directory, const char *ring, size_t *bytes)
{
    char path[METRICS_PATH_BYTES];
    struct stat status;
    if (!metrics_file_name(path, ring, METRICS_STATE))
        return -1;
    int descriptor =
        (int)sys(SYS_openat, directory, path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0);
    if (descriptor < 0)
        return -1;
    if (sys(SYS_newfstatat, descriptor, "", &status, AT_EMPTY_PATH) == 0 &&
        S_ISREG(status.st_mode) && status.st_size > 0 && status.st_size <= FILE_BYTES_MAX) {
        *bytes = (size_t)status.st_size;
        return descriptor;
    }
    sys(SYS_close, descriptor);
    return -1;
}

uint32_t metrics_state_load(struct metrics *metrics, int directory, const char *ring)
{
    size_t bytes = 0;
    uint32_t found = 0;
    int descriptor = open_state(directory, ring, &bytes);
    if (descriptor < 0)
        return 0;
    uint8_t *memory = memory_map(bytes);
    if (memory != NULL && metrics_begin(metrics)) {
        long got = sys(SYS_pread64, descriptor, memory, bytes, 0);
        found = got <= 0 ? 0 : read_state(metrics, memory, memory + got);
    }
    if (memory != NULL)
        memory_unmap(memory, bytes);
    sys(SYS_close, descriptor);
    return found;
}
