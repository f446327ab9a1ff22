/* SPDX-License-Identifier: Apache-2.0 */
#include "metrics_file.h"

#include <fcntl.h>
#include <string.h>

#include "crc32c.h"
#include "format.h"
#include "memory.h"
#include "process.h"
#include "ring.h"
#include "store.h"
#include "sys.h"

enum { PART_BYTES = 1024 * 1024 };

bool metrics_file_name(char out[METRICS_PATH_BYTES], const char *ring, const char *suffix)
{
    struct format path;
    format_start(&path, out, METRICS_PATH_BYTES);
    format_text(&path, ring);
    format_text(&path, METRICS_FILE_SUFFIX);
    format_text(&path, suffix);
    return *ring != '\0' && path.fits;
}

/* The frame's header goes in front of the batch, which has room left. */
static bool append(int descriptor, struct otlp_batch *batch)
{
    uint32_t length = (uint32_t)(batch->limit - batch->start);
    uint32_t checksum = crc32c(batch->start, length);
    uint8_t *frame = batch->start - STORE_HEADER_BYTES;
    if (frame < batch->base)
        return false;
    memcpy(frame, "BRDK", 4);
    memcpy(frame + 4, &length, 4);
    memcpy(frame + 8, &checksum, 4);
    long bytes = batch->limit - frame;
    return sys(SYS_write, descriptor, frame, bytes) == bytes;
}

static bool write_parts(const struct metrics *metrics, int descriptor, uint8_t *memory,
    const uint8_t *resource, size_t resource_bytes)
{
    struct metrics_part part = {.now_ns = process_monotonic_ns() + process_clock_offset_ns()};
    struct otlp_batch batch;
    otlp_batch_reset(&batch, memory, PART_BYTES);
    while (metrics_write(metrics, &batch, &part)) {
        if (batch.spans > 0 &&
            (!otlp_batch_finish(&batch, resource, resource_bytes) || !append(descriptor, &batch)))
            return false;
        otlp_batch_reset(&batch, memory, PART_BYTES);
    }
    return true;
}

static void replace(
    const struct metrics *metrics, const uint8_t *resource, size_t resource_bytes, uint8_t *memory)
{
    char path[METRICS_PATH_BYTES], other[METRICS_PATH_BYTES];
    if (!metrics_file_name(path, rings_file_path(), "") ||
        !metrics_file_name(other, rings_file_path(), METRICS_NEW))
        return;
    long descriptor = sys(
        SYS_openat, AT_FDCWD, other, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (descriptor < 0)
        return;
    bool is_whole = write_parts(metrics, (int)descriptor, memory, resource, resource_bytes);
    sys(SYS_close, descriptor);
    if (!is_whole || sys(SYS_renameat, AT_FDCWD, other, AT_FDCWD, path) != 0)
        sys(SYS_unlinkat, AT_FDCWD, other, 0);
}

void metrics_file_write(struct metrics *metrics, const uint8_t *resource, size_t resource_bytes)
{
    bool is_due = metrics->due_ns != 0 && process_monotonic_ns() >= metrics->due_ns;
    if (metrics->memory == NULL || (metrics->added == metrics->filed && !is_due))
        return;
    uint8_t *memory = memory_map(PART_BYTES);
    if (memory == NULL)
        return;
    replace(metrics, resource, resource_bytes, memory);
    memory_unmap(memory, PART_BYTES);
    metrics->filed = metrics->added;
}

void metrics_file_remove(int directory, const char *ring)
{
    static const char suffixes[][sizeof(METRICS_STATE_NEW)] = {
        "", METRICS_NEW, METRICS_STATE, METRICS_STATE_NEW};
    char path[METRICS_PATH_BYTES];
    for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++)
        if (metrics_file_name(path, ring, suffixes[i]))
            sys(SYS_unlinkat, directory, path, 0);
}
