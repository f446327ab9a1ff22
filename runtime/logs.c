/* SPDX-License-Identifier: Apache-2.0 */
#include "logs.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "attribution.h"
#include "config.h"
#include "format.h"
#include "counters.h"
#include "logs_edit.h"
#include "logs_internal.h"
#include "logs_record.h"
#include "originals.h"
#include "readable.h"
#include "sys.h"
#include "text.h"

_Static_assert(THREAD_LINES_MAX >= 2 * LOGS_WRITE_MAX, "a write fits twice: as it is, and edited");

/* --- which descriptors ----------------------------------------------------------------------- */

static bool identify(int fd, struct stat *status)
{
    return sys(SYS_newfstatat, fd, "", status, AT_EMPTY_PATH) == 0;
}

static uint32_t hash_of(const struct stat *status)
{
    uint64_t hash = status->st_ino * 0x9e3779b97f4a7c15u ^ status->st_dev * 0xbf58476d1ce4e5b9u;
    return (uint32_t)((hash ^ hash >> 29) * 0x94d049bb133111ebu >> 32) & ~(uint32_t)LOGS_IN_LINE;
}

/* Which file an entry stands for. */
static uint32_t mark_of(uint64_t entry)
{
    return (uint32_t)(entry >> 32) & ~(uint32_t)LOGS_IN_LINE;
}

/* All files of a folder by a star at the end, but not those of its folders. */
static bool is_named(struct slice path)
{
    struct slice item, rest = {config.logs, strlen(config.logs)};
    while (slice_split(&rest, ',', &item)) {
        bool is_folder = item.length > 0 && item.data[item.length - 1] == '*';
        size_t length = item.length - is_folder;
        if (length == 0 || item.data[0] != '/' || path.length < length ||
            memcmp(path.data, item.data, length))
            continue;
        if (is_folder ? memchr(path.data + length, '/', path.length - length) == NULL
                      : path.length == length)
            return true;
    }
    return false;
}

enum { NAMED_PATH_MAX = 512 }; /* of a file; the host's stack may be small */

static bool is_named_file(int fd)
{
    char link[] = "/proc/self/fd/0123456789", path[NAMED_PATH_MAX];
    struct format format;
    format_start(&format, link + sizeof("/proc/self/fd/") - 1, sizeof("0123456789"));
    format_number(&format, (uint64_t)fd);
    long length = sys(SYS_readlinkat, AT_FDCWD, link, path, sizeof(path));
    return length > 0 && length < NAMED_PATH_MAX && is_named((struct slice){path, (size_t)length});
}

static bool is_terminal(int fd)
{
    struct winsize size;
    return sys(SYS_ioctl, fd, TIOCGWINSZ, &size) == 0;
}

/* Who writes anywhere in a file may count its bytes; what only grows is nobody's data. Where its
 * own standard output begins no program knows. */
static bool is_fit(int fd, bool by_number, const struct stat *status)
{
    long flags = sys(SYS_fcntl, fd, F_GETFL);
    if (flags < 0 || (flags & O_DIRECT) || (flags & O_ACCMODE) == O_RDONLY)
        return false;
    if (S_ISREG(status->st_mode))
        return by_number || ((flags & O_ACCMODE) == O_WRONLY && (flags & O_APPEND));
    return S_ISFIFO(status->st_mode) || (S_ISCHR(status->st_mode) && is_terminal(fd));
}

uint64_t logs_classify(int fd)
{
    struct stat status;
    bool joins = config.joins_logs;
    if ((!joins && !process.is_heir) || fd < 0)
        return SLOT_PLAIN;
    if (!process_may_call() || !identify(fd, &status))
        return SLOT_STRANGE;
    bool by_number = joins && fd < 8 && (config.logs_descriptors & 1u << fd);
    if (joins && (by_number || is_named_file(fd)) && is_fit(fd, by_number, &status))
        return (uint64_t)hash_of(&status) << 32 | SLOT_LOG;
    bool is_quiet = S_ISREG(status.st_mode) || (!joins && S_ISCHR(status.st_mode));
    return is_quiet ? SLOT_PLAIN : SLOT_STRANGE;
}

void logs_stray(void)
{
    if (thread_self == NULL || thread_in_vfork != 0 || thread_is_exempt())
        return;
    thread_self->answered_ns = 0; /* there is no block of which it could be told */
    if (thread_self->current == NULL || !thread_self->current->is_inherited) {
        attribution_stray(thread_self);
        return;
    }
    struct thread *self = observe_open();
    if (self == NULL)
        return;
    attribution_stray(self);
    observe_close(self);
}

void logs_note_end(int fd, uint64_t entry, bool in_line)
{
    uint64_t bit = (uint64_t)LOGS_IN_LINE << 32;
    uint64_t noted = in_line ? entry | bit : entry & ~bit;
    if (noted != entry)
        descriptor_replace(fd, entry, noted);
}

/* --- what the kernel did not take of ours ----------------------------------------------------- */

enum { DEBT_NONE, DEBT_HELD, DEBT_OPEN, DEBTS_MAX = 4 };
static struct debt {
    uint32_t state; /* who changes the rest holds it */
    uint32_t epoch; /* a forked child owes nothing */
    int fd;
    uint32_t mark;
    uint32_t at, length;
    char text[LOGS_OURS_MAX];
} debts[DEBTS_MAX];
static uint32_t debts_open; /* while it is not 0, no other line gets anything */

static bool hold(struct debt *debt, uint32_t state)
{
    return __atomic_compare_exchange_n(
        &debt->state, &state, DEBT_HELD, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
}

static void leave(struct debt *debt, uint32_t state)
{
    __atomic_store_n(&debt->state, state, __ATOMIC_RELEASE);
}

bool logs_has_debts(void)
{
    return __atomic_load_n(&debts_open, __ATOMIC_RELAXED) != 0;
}

static void owe(int fd, uint64_t entry, const char *text, size_t length)
{
    for (struct debt *debt = debts; debt < debts + DEBTS_MAX; debt++) {
        if (!hold(debt, DEBT_NONE))
            continue;
        debt->epoch = process.epoch;
        debt->fd = fd;
        debt->mark = mark_of(entry);
        debt->at = 0;
        debt->length = (uint32_t)length;
        memcpy(debt->text, text, length);
        __atomic_fetch_add(&debts_open, 1, __ATOMIC_RELAXED);
        leave(debt, DEBT_OPEN);
        return;
    }
}

/* What was closed is owed nothing. */
static bool is_due(const struct debt *debt)
{
    uint64_t entry = descriptor_entry(debt->fd);
    return debt->epoch == process.epoch && (uint32_t)entry == SLOT_LOG &&
           mark_of(entry) == debt->mark;
}

/* False: the kernel takes nothing still, and says why. */
static bool pay(struct debt *debt)
{
    ssize_t went = 0;
    while (is_due(debt) && debt->at < debt->length && went >= 0) {
        went = originals.write(debt->fd, debt->text + debt->at, debt->length - debt->at);
        debt->at += went > 0 ? (uint32_t)went : 0;
    }
    if (went >= 0)
        __atomic_fetch_sub(&debts_open, 1, __ATOMIC_RELAXED);
    leave(debt, went < 0 ? DEBT_OPEN : DEBT_NONE);
    return went >= 0;
}

static bool pay_all(int fd)
{
    for (struct debt *debt = debts; debt < debts + DEBTS_MAX; debt++) {
        if (!hold(debt, DEBT_OPEN))
            continue;
        if (debt->fd != fd && is_due(debt))
            leave(debt, DEBT_OPEN);
        else if (!pay(debt))
            return false;
    }
    return true;
}

/* --- a write ---------------------------------------------------------------------------------- */

struct lines {
    struct thread *self;
    uint64_t last_ns; /* now_ns of the thread's block before ours */
    int fd;
    uint64_t entry;
    char *text, *out; /* the host's bytes, and what is written for them */
    size_t length;
    struct logs_edit edit;
};

/* The host's bytes, as they are now: another thread may change its buffer. */
static bool gather(struct lines *lines, const struct iovec *iov, int count)
{
    if (!readable_all(iov, sizeof(*iov) * (size_t)count))
        return false;
    for (int i = 0; i < count; i++) {
        size_t length = iov[i].iov_len;
        if (length >= LOGS_WRITE_MAX - lines->length || !readable(iov[i].iov_base, length))
            return false;
        memcpy(lines->text + lines->length, iov[i].iov_base, length);
        lines->length += length;
    }
    return true;
}

static bool is_roomy(int fd)
{
    struct pollfd poll = {.fd = fd, .events = POLLOUT};
    struct timespec no_time = {0, 0};
    return sys(SYS_ppoll, &poll, 1, &no_time, NULL, 0) == 1 && poll.revents == POLLOUT;
}

/* A file that must not grow beyond a limit ends the program that tries, by a signal. */
static bool is_unlimited(void)
{
    struct rlimit limit;
    return sys(SYS_prlimit64, 0, RLIMIT_FSIZE, NULL, &limit) == 0 &&
           limit.rlim_cur == RLIM_INFINITY;
}

/* Of a pipe that has room the kernel takes PIPE_BUF bytes as a whole (pipe(7)). */
bool logs_is_taken_whole(int fd, uint64_t entry, size_t length)
{
    struct stat status;
    if (!identify(fd, &status) || hash_of(&status) != mark_of(entry))
        return false;
    if (S_ISREG(status.st_mode))
        return is_unlimited();
    return length <= PIPE_BUF && is_roomy(fd);
}

/* The host's own, shorter bytes might go: let it try. */
static bool is_for_want_of_room(int error)
{
    return error == EAGAIN || error == ENOSPC || error == EDQUOT || error == ENOMEM;
}

/* What the kernel took may end in the middle of ours. Answers the host's bytes. */
static size_t complete(struct lines *lines, size_t taken)
{
    size_t due = logs_due(&lines->edit, taken);
    ssize_t went = 1;
    while (due > 0 && went > 0) {
        went = originals.write(lines->fd, lines->out + taken, due);
        if (went > 0) {
            taken += (size_t)went;
            due -= (size_t)went;
        }
    }
    if (due > 0)
        owe(lines->fd, lines->entry, lines->out + taken, due);
    return logs_of_host(&lines->edit, taken);
}

static void record_edited(const struct lines *lines, const struct trace_ids *ids, ssize_t result)
{
    struct iovec whole = {lines->text, lines->length};
    if (config.records_logs && result > 0)
        logs_record(lines->self, lines->fd, ids, &whole, 1, (size_t)result);
}

static bool write_edited(struct lines *lines, ssize_t *result)
{
    ssize_t taken = originals.write(lines->fd, lines->out, lines->edit.length);
    int error = errno;
    if (taken < 0 && is_for_want_of_room(error))
        return false;
    *result = taken > 0 ? (ssize_t)complete(lines, (size_t)taken) : taken;
    if (*result > 0)
        logs_note_end(lines->fd, lines->entry, lines->text[*result - 1] != '\n');
    errno = error;
    return true;
}

static bool join(struct lines *lines, const struct iovec *iov, int count, ssize_t *result)
{
    const struct trace_ids *ids = attribution_of_line(lines->self, lines->last_ns);
    struct logs_form form = {config.logs_suffix, config.logs_several};
    if (ids == NULL || !trace_id_is_set(ids->trace_id) || !gather(lines, iov, count))
        return false;
    if (!logs_edit(lines->text, lines->length, &form, ids, lines->out, &lines->edit) ||
        !logs_is_taken_whole(lines->fd, lines->entry, lines->edit.length) ||
        !write_edited(lines, result))
        return false;
    record_edited(lines, ids, *result);
    return true;
}

/* Never inlined: it is done before the stack is needed. */
__attribute__((noinline)) static bool act(struct thread *self, uint64_t last_ns, int fd,
    const struct iovec *iov, int count, ssize_t *result)
{
    if (logs_has_debts() && !pay_all(fd)) {
        *result = -1;
        return true;
    }
    struct lines lines = {.self = self,
        .last_ns = last_ns,
        .fd = fd,
        .entry = descriptor_entry(fd),
        .out = self->lines,
        .text = self->lines + LOGS_WRITE_MAX};
    bool may_join = (uint32_t)lines.entry == SLOT_LOG && !(lines.entry >> 32 & LOGS_IN_LINE) &&
                    !logs_has_debts() && !process.broken && process_may_call();
    return may_join && join(&lines, iov, count, result);
}

bool logs_write(int fd, const struct iovec *iov, int count, ssize_t *result)
{
    int saved_errno = errno;
    if (originals.write == NULL || count <= 0 || count > IOV_MAX)
        return false;
    uint64_t last_ns = thread_self == NULL ? 0 : thread_self->now_ns;
    struct thread *self = observe_open();
    if (self == NULL)
        return false;
    bool done = act(self, last_ns, fd, iov, count, result);
    self->now_ns = last_ns; /* as if there had been no block */
    observe_close(self);
    if (!done || *result >= 0)
        errno = saved_errno;
    return done;
}

/* The kernel has read what it took. */
static char last_of(const struct iovec *iov, int count, size_t taken)
{
    const char *last = NULL;
    for (int i = 0; i < count && taken > 0; i++) {
        size_t part = iov[i].iov_len < taken ? iov[i].iov_len : taken;
        if (part > 0)
            last = (const char *)iov[i].iov_base + part - 1;
        taken -= part;
    }
    return last == NULL ? '\n' : *last;
}

/* Of a write that went out as it was. A line has the ids that it would have got, whatever else kept
 * it as it is: of a part of a line that is the first one. */
__attribute__((noinline)) static void record(
    int fd, uint64_t entry, const struct iovec *iov, int count, size_t taken)
{
    int saved_errno = errno;
    uint64_t last_ns = thread_self == NULL ? 0 : thread_self->now_ns;
    struct thread *self = thread_is_exempt() ? NULL : observe_open();
    if (self == NULL) {
        counter_add(COUNTER_LOGS_DROPPED_UNSEEN, 1);
        return;
    }
    bool is_one = !(entry >> 32 & LOGS_IN_LINE) && !process.broken &&
                  (config.logs_several || !logs_are_several(iov, count, taken));
    const struct trace_ids *ids = is_one ? attribution_of_line(self, last_ns) : NULL;
    bool is_known = ids != NULL && trace_id_is_set(ids->trace_id);
    logs_record(self, fd, is_known ? ids : NULL, iov, count, taken);
    self->now_ns = last_ns;
    observe_close(self);
    errno = saved_errno;
}

void logs_written(int fd, const struct iovec *iov, int count, ssize_t result)
{
    uint64_t entry = descriptor_entry(fd);
    if (result <= 0 || (uint32_t)entry != SLOT_LOG)
        return;
    if (thread_in_vfork == 0)
        logs_note_end(fd, entry, last_of(iov, count, (size_t)result) != '\n');
    if (config.records_logs && process.page != NULL)
        record(fd, entry, iov, count, (size_t)result);
}

/* With an end or without one: the message as a line, and back. */
static bool join_message(
    struct thread *self, const struct trace_ids *ids, char *text, size_t length)
{
    struct logs_form form = {config.logs_suffix, false};
    struct logs_edit edit;
    char *line = self->lines + LOGS_WRITE_MAX;
    if (ids == NULL || length >= LOGS_MESSAGE_MAX)
        return false;
    bool has_end = text[length - 1] == '\n';
    memcpy(line, text, length);
    line[length] = '\n';
    if (!logs_edit(line, length + !has_end, &form, ids, self->lines, &edit) ||
        edit.length - !has_end >= LOGS_MESSAGE_MAX)
        return false;
    memcpy(text, self->lines, edit.length - !has_end);
    text[edit.length - !has_end] = '\0';
    return true;
}

bool logs_join_message(char text[LOGS_MESSAGE_MAX], size_t length, unsigned severity)
{
    int saved_errno = errno;
    uint64_t last_ns = thread_self == NULL ? 0 : thread_self->now_ns;
    struct thread *self = observe_open();
    if (self == NULL)
        return false;
    const struct trace_ids *ids = process.broken ? NULL : attribution_of_line(self, last_ns);
    if (ids != NULL && !trace_id_is_set(ids->trace_id))
        ids = NULL;
    size_t kept = length < LOGS_MESSAGE_MAX ? length : LOGS_MESSAGE_MAX - 1;
    if (config.records_logs)
        logs_record_message(self, severity, ids, text, kept, length - kept);
    bool joined = join_message(self, ids, text, length);
    self->now_ns = last_ns;
    observe_close(self);
    errno = saved_errno;
    return joined;
}
