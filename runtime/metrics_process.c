/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the system says of the process. On the exporter thread, whose descriptors are its own: what
 * it opens has no number in the host. /proc/self is the process's, so its fd is the host's table.
 */
#include <fcntl.h>
#include <sys/auxv.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "metrics_internal.h"
#include "sys.h"

enum { STAT_THREADS = 20, STAT_VIRTUAL = 23, STAT_RESIDENT = 24 }; /* fields of proc(5), from 1 */

struct entry {
    uint64_t inode, offset;
    uint16_t length;
    uint8_t type;
    char name[];
};

/* Names but for "." and "..". */
static int64_t entries(const char *directory)
{
    _Alignas(8) uint8_t buffer[4096];
    int64_t found = 0;
    long bytes,
        descriptor = sys(SYS_openat, AT_FDCWD, directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor < 0)
        return -1;
    while ((bytes = sys(SYS_getdents64, descriptor, buffer, sizeof(buffer))) > 0) {
        for (long at = 0; at < bytes;) {
            const struct entry *entry = (const struct entry *)(buffer + at);
            found += entry->name[0] != '.';
            at += entry->length;
        }
    }
    sys(SYS_close, descriptor);
    return found;
}

/* The name, field 2, stands in parentheses and may contain anything. */
static const char *after_name(const char *text, const char *end)
{
    while (end > text && end[-1] != ')')
        end--;
    return end;
}

static void read_stat(struct process_figures *figures)
{
    char text[1024];
    long descriptor = sys(SYS_openat, AT_FDCWD, "/proc/self/stat", O_RDONLY | O_CLOEXEC);
    if (descriptor < 0)
        return;
    long bytes = sys(SYS_read, descriptor, text, sizeof(text) - 1);
    sys(SYS_close, descriptor);
    if (bytes <= 0)
        return;
    text[bytes] = '\0';
    int field = 2;
    for (const char *at = after_name(text, text + bytes); *at == ' ';) {
        int64_t number = 0;
        for (at++; *at != ' ' && *at != '\0'; at++)
            number = *at >= '0' && *at <= '9' ? number * 10 + (*at - '0') : 0;
        field++;
        if (field == STAT_THREADS)
            figures->threads = number;
        else if (field == STAT_VIRTUAL)
            figures->virtual = number;
        else if (field == STAT_RESIDENT) {
            figures->resident = number * (int64_t)getauxval(AT_PAGESZ);
            return;
        }
    }
}

static int64_t ns_of(struct timeval time)
{
    return time.tv_sec * 1000000000ll + time.tv_usec * 1000ll;
}

struct process_figures process_figures(void)
{
    struct process_figures figures = {-1, -1, -1, -1, -1, entries("/proc/self/fd")};
    struct rusage usage;
    if (sys(SYS_getrusage, RUSAGE_SELF, &usage) == 0) {
        figures.user_ns = ns_of(usage.ru_utime);
        figures.system_ns = ns_of(usage.ru_stime);
    }
    read_stat(&figures);
    return figures;
}
