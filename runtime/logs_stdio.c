/* SPDX-License-Identifier: Apache-2.0 */

#pragma GCC optimize("Os") /* nobody comes here who asks for no logs */

#include "logs_stdio.h"

#include <errno.h>
#include <string.h>

#include "attribution.h"
#include "config.h"
#include "counters.h"
#include "logs_edit.h"
#include "logs_internal.h"
#include "logs_record.h"
#include "memory.h"
#include "process.h"
#include "thread.h"

uint8_t logs_stdio AT_START = LOGS_STDIO_UNKNOWN;

bool logs_is_simple(const char *format)
{
    for (const char *at = strchr(format, '%'); at != NULL; at = strchr(at, '%')) {
        at++;
        at += strspn(at, "0123456789.*-+ #'IhlLqjzt");
        if (*at == '$' || *at == 'n')
            return false;
        at += *at != '\0';
    }
    return true;
}

/* --- lines that have begun -------------------------------------------------------------------- */

/* | state | who may change the rest                                |
 * | FREE  | who makes it HELD                                      |
 * | OPEN  | who makes it HELD; anybody may read `file`             |
 * | HELD  | who has made it so, for the time of a copy             |
 * One that a killed or torn away thread held is lost. */
enum { LINE_FREE, LINE_HELD, LINE_OPEN, LINES_MAX = 16, LINE_KEPT_MAX = 2048 };

static struct begun {
    uint32_t state, length;
    const FILE *file;
    const struct thread *thread;
    const char *end;      /* of the stream's buffer when it had been put */
    struct trace_ids ids; /* of the request it was begun in; all zero: none */
    int fd;
    bool is_known; /* its text is there, from its first byte; else a piece of it was not seen */
    bool is_flushed;
    char text[LINE_KEPT_MAX];
} lines[LINES_MAX];
static uint32_t lines_open;

static bool hold(struct begun *line, uint32_t state)
{
    return __atomic_compare_exchange_n(
        &line->state, &state, LINE_HELD, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
}

static void leave(struct begun *line, uint32_t state)
{
    __atomic_fetch_add(&lines_open, state == LINE_OPEN ? 1 : -1, __ATOMIC_RELAXED);
    __atomic_store_n(&line->state, state, __ATOMIC_RELEASE);
}

/* --- what is put ------------------------------------------------------------------------------ */

struct put {
    struct thread *self;
    uint64_t last_ns; /* now_ns of the thread's block before ours */
    FILE *file;
    logs_fwrite *fwrite;
    uint64_t entry; /* of its descriptor */
    int fd;
    int error;     /* errno, as the host's call finds it */
    bool is_known; /* where the line began that it ends */
    char *text, *out;
    size_t kept, length; /* of text: what was put before, and with what is put now */
    struct trace_ids ids;
    struct logs_edit edit;
};

static bool is_empty(const FILE *file)
{
    return file->_IO_write_ptr <= file->_IO_write_base;
}

static bool is_in_line(const struct put *put)
{
    return put->entry >> 32 & LOGS_IN_LINE;
}

/* Has nobody else put or written anything since? */
static bool is_whole(const struct put *put, const struct begun *line)
{
    const FILE *file = put->file;
    return line->is_known && line->thread == put->self && line->fd == put->fd &&
           (file->_IO_write_ptr == line->end || is_empty(file)) &&
           (!line->is_flushed || is_in_line(put));
}

static void take(struct put *put, const struct begun *line)
{
    put->is_known = put->kept == 0 && is_whole(put, line);
    put->kept = put->is_known ? line->length : 0;
    memcpy(put->text, line->text, put->kept);
    put->ids = line->ids;
}

/* What stands in the stream's buffer tells whether a line has ended; else what was seen of it. */
static void look_back(struct put *put)
{
    const FILE *file = put->file;
    bool is_begun = false;
    for (struct begun *line = lines; line < lines + LINES_MAX; line++) {
        if (__atomic_load_n(&lines_open, __ATOMIC_RELAXED) == 0)
            break;
        if (__atomic_load_n(&line->file, __ATOMIC_RELAXED) != file || !hold(line, LINE_OPEN))
            continue;
        take(put, line);
        is_begun = true;
        leave(line, LINE_FREE);
    }
    if (!put->is_known)
        put->is_known =
            is_empty(file) ? !is_begun && !is_in_line(put) : file->_IO_write_ptr[-1] == '\n';
}

/* The ids of now; of a line in pieces only if they are those of all pieces. */
static void identify(struct put *put)
{
    const struct trace_ids *ids =
        put->is_known && !process.broken ? attribution_of_line(put->self, put->last_ns) : NULL;
    bool is_same = ids != NULL && (put->kept == 0 || memcmp(ids, &put->ids, sizeof(*ids)) == 0);
    put->ids = is_same ? *ids : (struct trace_ids){0};
}

/* A lock of the host's, held for the time of a look. */
static void look(struct put *put, bool locks)
{
    put->fd = put->file->_fileno;
    put->is_known = false;
    put->kept = put->length = 0;
    put->out = put->self->lines;
    put->text = put->self->lines + LOGS_WRITE_MAX;
    if (locks)
        flockfile(put->file);
    put->entry = descriptor_entry(put->fd);
    look_back(put);
    if (locks)
        funlockfile(put->file);
    identify(put);
}

static size_t put_bytes(struct put *put, const char *data, size_t length)
{
    errno = put->error;
    size_t went = put->fwrite(data, 1, length, put->file);
    put->error = errno;
    return went;
}

/* --- what stays behind ------------------------------------------------------------------------ */

/* False: its text is not kept, be it too long or not known from its first byte. */
static bool keep(const struct put *put, const char *text, size_t length, bool is_known)
{
    for (struct begun *line = lines; line < lines + LINES_MAX; line++) {
        if (!hold(line, LINE_FREE))
            continue;
        line->is_known = is_known && length <= sizeof(line->text);
        line->length = line->is_known ? (uint32_t)length : 0;
        memcpy(line->text, text, line->length);
        __atomic_store_n(&line->file, put->file, __ATOMIC_RELAXED);
        line->thread = put->self;
        line->end = put->file->_IO_write_ptr;
        line->is_flushed = is_empty(put->file);
        line->ids = put->ids;
        line->fd = put->fd;
        bool is_kept = line->is_known;
        leave(line, LINE_OPEN);
        return is_kept;
    }
    return false;
}

static void record(const struct put *put, const struct iovec *iov, int count, size_t length)
{
    bool is_one = config.logs_several || !logs_are_several(iov, count, SIZE_MAX);
    bool is_known = is_one && trace_id_is_set(put->ids.trace_id);
    if (config.records_logs && length > 0)
        logs_record(put->self, put->fd, is_known ? &put->ids : NULL, iov, count, length);
}

/* All of it went: the begin of a line, if there is one, is kept, and what is whole is recorded. */
static void remember(const struct put *put)
{
    const char *last = memrchr(put->text, '\n', put->length);
    size_t whole = last == NULL ? 0 : (size_t)(last + 1 - put->text);
    bool is_kept = false, in_line = whole < put->length;
    if (is_empty(put->file))
        logs_note_end(put->fd, put->entry, in_line);
    if (in_line)
        is_kept = keep(put, put->text + whole, put->length - whole, whole > 0 || put->is_known);
    record(put, &(struct iovec){put->text, put->length}, 1, is_kept ? whole : put->length);
}

/* --- the calls -------------------------------------------------------------------------------- */

static bool is_joined(struct put *put)
{
    struct logs_form form = {config.logs_suffix, config.logs_several};
    return trace_id_is_set(put->ids.trace_id) && !logs_has_debts() && process_may_call() &&
           logs_edit(put->text, put->length, &form, &put->ids, put->out, &put->edit) &&
           put->edit.ours[0].at >= put->kept &&
           logs_is_taken_whole(put->fd, put->entry, put->edit.length - put->kept);
}

/* The text is gathered. data: the host's own, if it is not to get anything. */
static size_t put_gathered(struct put *put, const char *data)
{
    size_t length = put->length - put->kept, went;
    if (is_joined(put)) {
        went = put_bytes(put, put->out + put->kept, put->edit.length - put->kept);
        went = logs_of_host(&put->edit, put->kept + went) - put->kept;
    } else
        went = put_bytes(put, data, length);
    if (went == length)
        remember(put);
    return went;
}

/* It does not fit: it goes as it is. */
static size_t put_long(struct put *put, const char *data, size_t length)
{
    size_t went = put_bytes(put, data, length);
    struct iovec iov[] = {{put->text, put->kept}, {(void *)data, length}};
    bool in_line = data[length - 1] != '\n';
    if (went != length)
        return went;
    if (is_empty(put->file))
        logs_note_end(put->fd, put->entry, in_line);
    if (in_line)
        keep(put, "", 0, false);
    record(put, iov, 2, put->kept + length);
    return went;
}

/* What is done inside the observe block. False: the host's own call is to be made. */
struct job {
    bool (*run)(struct put *put, struct job *job);
    const struct logs_text *text;
    size_t went;
    const char *format;
    va_list *arguments;
    int result;
};

static bool observe(FILE *file, logs_fwrite *fwrite, bool locks, struct job *job)
{
    struct put put = {.file = file, .fwrite = fwrite, .error = errno};
    put.last_ns = thread_self == NULL ? 0 : thread_self->now_ns;
    put.self = observe_open();
    if (put.self == NULL) {
        if (config.records_logs && !thread_is_exempt())
            counter_add(COUNTER_LOGS_DROPPED_UNSEEN, 1);
        return false;
    }
    look(&put, locks);
    bool done = job->run(&put, job);
    put.self->now_ns = put.last_ns; /* as if there had been no block */
    observe_close(put.self);
    errno = put.error;
    return done;
}

static bool put_text(struct put *put, struct job *job)
{
    const struct logs_text *text = job->text;
    if (text->length < LOGS_WRITE_MAX - put->kept - 1) {
        char *at = put->text + put->kept;
        memcpy(at, text->data, text->length);
        at[text->length] = '\n';
        put->length = put->kept + text->length + text->has_end;
        job->went = put_gathered(put, text->has_end ? at : text->data);
        return true;
    }
    if (!text->has_end) {
        job->went = put_long(put, text->data, text->length);
        return true;
    }
    if (config.records_logs)
        counter_add(COUNTER_LOGS_DROPPED_UNSEEN, 1);
    return false;
}

bool logs_put(
    FILE *file, logs_fwrite *fwrite, bool locks, const struct logs_text *text, size_t *went)
{
    struct job job = {.run = put_text, .text = text};
    if (text->length + text->has_end == 0 || !observe(file, fwrite, locks, &job))
        return false;
    *went = job.went;
    return true;
}

/* What is put past us: whether it ends a line, its format may tell. */
static void pass(const struct put *put, const char *format, int length)
{
    if (length == 0 && put->kept > 0)
        keep(put, put->text, put->kept, true);
    if (length == 0)
        return;
    if (config.records_logs)
        counter_add(COUNTER_LOGS_DROPPED_UNSEEN, 1);
    if (format[strlen(format) - 1] != '\n')
        keep(put, "", 0, false);
}

/* -1: it is not to be, or does not fit. */
static int format_it(const struct put *put, const struct job *job)
{
    va_list copy;
    if (!logs_is_simple(job->format))
        return -1;
    errno = put->error; /* of %m, for the original too */
    va_copy(copy, *job->arguments);
    int length = vsnprintf(put->text + put->kept, LOGS_WRITE_MAX - put->kept, job->format, copy);
    va_end(copy);
    return length < (int)(LOGS_WRITE_MAX - put->kept) ? length : -1;
}

static bool print_text(struct put *put, struct job *job)
{
    int length = format_it(put, job);
    if (length <= 0) {
        pass(put, job->format, length);
        return false;
    }
    put->length = put->kept + (size_t)length;
    size_t went = put_gathered(put, put->text + put->kept);
    job->result = went == (size_t)length ? length : -1;
    return true;
}

bool logs_print(FILE *file, logs_fwrite *fwrite, const char *format, va_list arguments, int *result)
{
    struct job job = {.run = print_text, .format = format};
    va_list copy;
    va_copy(copy, arguments);
    job.arguments = &copy;
    bool done = format != NULL && *format != '\0' && observe(file, fwrite, true, &job);
    va_end(copy);
    if (done)
        *result = job.result;
    return done;
}

static bool tell_rest(struct put *put, struct job *job)
{
    record(put, &(struct iovec){put->text, put->kept}, 1, put->kept);
    return true;
}

void logs_closing(FILE *file)
{
    struct job job = {.run = tell_rest};
    if (logs_stdio == LOGS_STDIO_ON && __atomic_load_n(&lines_open, __ATOMIC_RELAXED) != 0 &&
        logs_may_have_stream(file))
        observe(file, NULL, false, &job);
}
