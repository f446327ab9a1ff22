/* SPDX-License-Identifier: Apache-2.0 */
#include "logs_record.h"

#include <fcntl.h>
#include <string.h>

#include "counters.h"
#include "exporter.h"
#include "format.h"
#include "process.h"
#include "ring.h"
#include "sys.h"
#include "thread.h"

_Static_assert(THREAD_LINES_MAX >= 2 * LOGS_BODY_MAX, "a body lies in the first half of lines");

enum { PATH_BYTES_MAX = 512 };
_Static_assert(sizeof(struct record) + 2 * sizeof(struct record_text) + LOGS_BODY_MAX +
                       PATH_BYTES_MAX + RECORD_ALIGNMENT <=
                   RECORD_BYTES_MAX,
    "it is a record");
_Static_assert((size_t)PATH_BYTES_MAX <= THREAD_FLAT_BYTES, "the path lies in flat");

struct telling_of_lines {
    struct thread *self;
    const struct trace_ids *ids;
    uint64_t now_ns; /* since the Unix epoch; of each line one more: sorted, they stay in order */
    uint8_t stream;  /* 1 or 2; RECORD_LOG_SYSLOG and a severity; or 0: it has a path */
    size_t path_length;     /* of what stands in self->flat */
    size_t length, dropped; /* of the line, which begins at self->lines */
};

/* As it is called now: of a file that is moved away, where it is. */
static size_t path_of(int fd, char *out)
{
    char link[] = "/proc/self/fd/0123456789";
    struct format format;
    if (!process_may_call())
        return 0;
    format_start(&format, link + sizeof("/proc/self/fd/") - 1, sizeof("0123456789"));
    format_number(&format, (uint64_t)fd);
    long length = sys(SYS_readlinkat, AT_FDCWD, link, out, PATH_BYTES_MAX);
    return length > 0 && length < PATH_BYTES_MAX && out[0] == '/' ? (size_t)length : 0;
}

static bool is_blank(const char *text, size_t length)
{
    while (length > 0 && (text[length - 1] == ' ' || text[length - 1] == '\t'))
        length--;
    return length == 0;
}

static void put(const struct telling_of_lines *lines, size_t length)
{
    struct thread *self = lines->self;
    struct record *record =
        ring_reserve_log(self, record_rounded(sizeof(*record) + 2 * sizeof(struct record_text) +
                                              length + lines->path_length));
    if (record == NULL)
        return;
    *record = (struct record){.kind = RECORD_LOG,
        .protocol = lines->stream,
        .start_ns = lines->now_ns,
        .end_ns = lines->now_ns,
        .numbers = {(int64_t)lines->dropped}};
    if (lines->ids != NULL) {
        record->flags = lines->ids->flags & (FLAG_SAMPLED | FLAG_RANDOM);
        memcpy(record->trace_id, lines->ids->trace_id, sizeof(record->trace_id));
        memcpy(record->span_id, lines->ids->span_id, sizeof(record->span_id));
    }
    uint8_t *at = record_put_text((uint8_t *)(record + 1), RECORD_TEXT_BODY, self->lines, length);
    at = record_put_text(at, RECORD_TEXT_PATH, self->flat, lines->path_length);
    size_t bytes = (size_t)(at - (uint8_t *)record);
    memset(at, 0, record_rounded(bytes) - bytes);
    record->bytes = (uint32_t)record_rounded(bytes);
    ring_commit_log(self, record);
    if (lines->dropped > 0)
        counter_add(COUNTER_LOGS_TRUNCATED, 1);
}

static void end_line(struct telling_of_lines *lines)
{
    size_t length = lines->length;
    if (length > 0 && lines->dropped == 0 && lines->self->lines[length - 1] == '\r')
        length--; /* of its end */
    if (!is_blank(lines->self->lines, length) || lines->dropped > 0)
        put(lines, length);
    lines->now_ns++;
    lines->length = lines->dropped = 0;
}

static void add(struct telling_of_lines *lines, const char *text, size_t length)
{
    size_t room = LOGS_BODY_MAX - lines->length, kept = length < room ? length : room;
    memcpy(lines->self->lines + lines->length, text, kept);
    lines->length += kept;
    lines->dropped += length - kept;
}

static void take(struct telling_of_lines *lines, const char *text, size_t length)
{
    while (length > 0) {
        const char *end = memchr(text, '\n', length);
        size_t part = end == NULL ? length : (size_t)(end - text);
        add(lines, text, part);
        if (end == NULL)
            return;
        end_line(lines);
        text += part + 1;
        length -= part + 1;
    }
}

bool logs_are_several(const struct iovec *iov, int count, size_t taken)
{
    bool has_ended = false;
    for (int i = 0; i < count && taken > 0; i++) {
        const char *text = iov[i].iov_base;
        size_t length = iov[i].iov_len < taken ? iov[i].iov_len : taken;
        if (length == 0)
            continue;
        const char *end = memchr(text, '\n', length);
        if (has_ended || (end != NULL && end + 1 < text + length))
            return true;
        has_ended = end != NULL;
        taken -= length;
    }
    return false;
}

void logs_record_message(struct thread *self, unsigned severity, const struct trace_ids *ids,
    const char *text, size_t length, size_t dropped)
{
    struct telling_of_lines lines;
    memset(&lines, 0, sizeof(lines));
    lines.self = self;
    lines.ids = ids;
    lines.now_ns = thread_now(self) + process_clock_offset_ns();
    lines.stream = (uint8_t)(RECORD_LOG_SYSLOG + severity);
    exporter_need();
    add(&lines, text, length > 0 && text[length - 1] == '\n' ? length - 1 : length);
    lines.dropped = dropped;
    end_line(&lines);
}

__attribute__((noinline)) void logs_record(struct thread *self, int fd, const struct trace_ids *ids,
    const struct iovec *iov, int count, size_t taken)
{
    struct telling_of_lines lines;
    lines.self = self;
    lines.ids = ids;
    lines.now_ns = thread_now(self) + process_clock_offset_ns();
    lines.stream = fd == 1 || fd == 2 ? (uint8_t)fd : 0;
    lines.path_length = lines.stream == 0 ? path_of(fd, self->flat) : 0;
    lines.length = lines.dropped = 0;
    exporter_need();
    for (int i = 0; i < count && taken > 0; i++) {
        size_t length = iov[i].iov_len < taken ? iov[i].iov_len : taken;
        take(&lines, iov[i].iov_base, length);
        taken -= length;
    }
    end_line(&lines);
}
