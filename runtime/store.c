/* SPDX-License-Identifier: Apache-2.0 */
#include "store.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>

#include "crc32c.h"
#include "format.h"
#include "store_prune.h"
#include "sys.h"

static const uint8_t magic[4] = {'B', 'R', 'D', 'K'};
const uint8_t store_sent_mark[4] = {'S', 'E', 'N', 'T'};

enum {
    OPEN_FLAGS = O_WRONLY | O_APPEND | O_NOFOLLOW | O_CLOEXEC,
    NAME_ATTEMPTS_MAX = 16,
    NAME_BYTES_MAX = 64
};

static void put_u32(uint8_t *out, uint32_t value)
{
    for (unsigned i = 0; i < 4; i++)
        out[i] = (uint8_t)(value >> 8 * i);
}

static uint32_t get_u32(const uint8_t *in)
{
    return (uint32_t)in[0] | (uint32_t)in[1] << 8 | (uint32_t)in[2] << 16 | (uint32_t)in[3] << 24;
}

/* ---- directory ---- */

static int make_directory(const char *path, bool last)
{
    bool shared = last && sys(SYS_geteuid) == 0;
    long made = sys(SYS_mkdirat, AT_FDCWD, path, 0700);
    if (made == -EEXIST)
        return 0;
    if (made == 0 && shared)
        made = sys(SYS_fchmodat, AT_FDCWD, path, 01777); /* mkdir obeys the host's umask */
    else if (made == 0 && sys(SYS_geteuid) == 0)
        made = sys(SYS_fchmodat, AT_FDCWD, path, 0755); /* others must reach what is below */
    return (int)made;
}

static struct stat first_root;

void store_know_root(void)
{
    sys(SYS_newfstatat, AT_FDCWD, "/", &first_root, 0);
}

static bool is_in_jail(void)
{
    struct stat root = first_root;
    sys(SYS_newfstatat, AT_FDCWD, "/", &root, 0);
    return first_root.st_ino != 0 &&
           (root.st_ino != first_root.st_ino || root.st_dev != first_root.st_dev);
}

static int make_path(const char *directory)
{
    char path[CONFIG_TEXT_MAX];
    size_t length = strnlen(directory, sizeof(path));
    if (length == 0 || length == sizeof(path) || is_in_jail())
        return -ENOENT;
    memcpy(path, directory, length + 1);
    while (length > 1 && path[length - 1] == '/')
        path[--length] = 0;
    for (size_t i = 1; i <= length; i++) {
        if (path[i] != '/' && path[i] != 0)
            continue;
        path[i] = 0;
        int made = make_directory(path, i == length);
        if (made != 0 && i == length)
            return made; /* a parent that cannot be made shows when the next one is tried */
        if (i < length)
            path[i] = '/';
    }
    return 0;
}

/* A descriptor of the directory, made if it is missing; else -errno. */
static int open_directory(const char *directory)
{
    if (directory[0] != '/')
        return -ENOENT;
    const int flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;
    long opened = sys(SYS_openat, AT_FDCWD, directory, flags, 0);
    if (opened != -ENOENT)
        return (int)opened;
    int made = make_path(directory);
    return made != 0 ? made : (int)sys(SYS_openat, AT_FDCWD, directory, flags, 0);
}

bool store_make(const char *path)
{
    int directory = open_directory(path);
    if (directory < 0)
        return false;
    sys(SYS_close, directory);
    return true;
}

/* ---- identity ---- */

static bool same_file(int descriptor, const struct store_writer *writer)
{
    struct stat status;
    return sys(SYS_fstat, descriptor, &status) == 0 && status.st_dev == writer->device &&
           status.st_ino == writer->inode;
}

/* The host may have put another file of its own behind the number: that one is not ours to close.
 * Between the question and the close a gap remains that no system call closes. */
static void close_file(int descriptor, const struct store_writer *writer)
{
    if (same_file(descriptor, writer))
        sys(SYS_close, descriptor);
}

void store_release(struct store_writer *writer)
{
    if (writer->held >= 0)
        close_file(writer->held, writer);
    writer->held = -1;
    writer->written = 0;
}

static void close_directory(int descriptor, const struct stat *opened)
{
    struct stat status;
    if (sys(SYS_fstat, descriptor, &status) == 0 && status.st_dev == opened->st_dev &&
        status.st_ino == opened->st_ino)
        sys(SYS_close, descriptor);
}

/* ---- files ---- */

/* <start>-<pid>-<tag or 0>.otlp */
static void make_name(char *out, uint64_t start_ns, int64_t pid, const char *tag)
{
    struct format name;
    format_start(&name, out, NAME_BYTES_MAX);
    format_hex(&name, start_ns);
    format_text(&name, "-");
    format_number(&name, (uint64_t)pid);
    format_text(&name, "-");
    format_text(&name, tag[0] != '\0' ? tag : "0");
    format_text(&name, ".otlp");
}

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static bool is_named(int descriptor)
{
    struct stat status;
    return sys(SYS_fstat, descriptor, &status) == 0 && status.st_nlink == 1;
}

/* Locked before anything is in it, and still there: who sends the files of the dead on may have
 * taken it for one. */
static bool lock_file(int descriptor)
{
    return sys(SYS_flock, descriptor, LOCK_EX | LOCK_NB) == 0 && is_named(descriptor);
}

/* Creates a file nobody else has; its descriptor, or -errno. */
static int create_file(struct store_writer *writer, int directory)
{
    const char *parent = writer->place.directory;
    size_t parent_bytes = strlen(parent);
    char *name = writer->path + parent_bytes + 1;
    uint64_t start_ns = now_ns();
    memcpy(writer->path, parent, parent_bytes);
    writer->path[parent_bytes] = '/';

    for (unsigned i = 0; i < NAME_ATTEMPTS_MAX; i++) {
        make_name(name, start_ns + i, writer->pid, writer->place.tag);
        long opened = sys(SYS_openat, directory, name, OPEN_FLAGS | O_CREAT | O_EXCL, 0600);
        if (opened >= 0 && writer->place.locks && !lock_file((int)opened)) {
            sys(SYS_close, opened);
            continue;
        }
        if (opened != -EEXIST)
            return (int)opened;
    }
    return -EEXIST;
}

static int adopt_file(struct store_writer *writer, int descriptor)
{
    struct stat status;
    long known = sys(SYS_fstat, descriptor, &status);
    if (known != 0)
        return (int)known;
    if (!S_ISREG(status.st_mode) || status.st_size != 0)
        return -EBADF;
    writer->device = status.st_dev;
    writer->inode = status.st_ino;
    writer->written = 0;
    writer->damaged = false;
    return descriptor;
}

/* Begins a new file after making room for all that it may hold, `incoming` at least; its
 * descriptor, or -errno. */
static int begin_file(struct store_writer *writer, uint64_t incoming)
{
    struct stat status;
    const struct store_place *place = &writer->place;
    store_release(writer);
    int directory = open_directory(place->directory);
    if (directory < 0)
        return directory;
    long known = sys(SYS_fstat, directory, &status);
    if (known != 0)
        return (int)known;

    int descriptor = -EDQUOT;
    writer->pid = sys(SYS_getpid);
    uint64_t room = place->file_bytes_max > incoming ? place->file_bytes_max : incoming;
    if (room <= place->bytes_max &&
        store_prune(directory, place->bytes_max - room, &place->remover))
        descriptor = create_file(writer, directory);
    close_directory(directory, &status);
    return descriptor < 0 ? descriptor : adopt_file(writer, descriptor);
}

/* The current file as we left it; else -1 (somebody removed, replaced or changed it). */
static int reopen_file(const struct store_writer *writer)
{
    struct stat status;
    if (writer->held >= 0)
        return same_file(writer->held, writer) && is_named(writer->held) ? writer->held : -1;
    long descriptor = sys(SYS_openat, AT_FDCWD, writer->path, OPEN_FLAGS | O_NONBLOCK, 0);
    if (descriptor < 0)
        return -1;
    if (sys(SYS_fstat, (int)descriptor, &status) == 0 && S_ISREG(status.st_mode) &&
        status.st_dev == writer->device && status.st_ino == writer->inode &&
        (uint64_t)status.st_size == writer->written)
        return (int)descriptor;
    /* Somebody else's file at our path, opened by us a moment ago. */
    sys(SYS_close, (int)descriptor);
    return -1;
}

static int open_file(struct store_writer *writer, uint64_t frame)
{
    bool current = writer->written > 0 && !writer->damaged &&
                   writer->written + frame <= writer->place.file_bytes_max &&
                   writer->pid == sys(SYS_getpid);
    int descriptor = current ? reopen_file(writer) : -1;
    return descriptor >= 0 ? descriptor : begin_file(writer, frame);
}

/* ---- frames ---- */

/* Writing beyond RLIMIT_FSIZE raises SIGXFSZ, which ends a host that expects nothing. */
static bool size_permitted(uint64_t bytes)
{
    struct rlimit limit;
    return sys(SYS_prlimit64, 0, RLIMIT_FSIZE, 0, &limit) != 0 || bytes <= limit.rlim_cur;
}

/* Set last: whoever dies in between has said nothing. */
static void note_intent(const struct store_writer *writer, size_t length, uint32_t checksum)
{
    struct store_intent *intent = writer->intent;
    if (intent == NULL)
        return;
    intent->is_set = 0;
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    intent->length = (uint32_t)length;
    intent->checksum = checksum;
    intent->at = writer->written;
    if (writer->written == 0 || intent->path[0] == '\0') /* another file */
        memcpy(intent->path, writer->path, sizeof(intent->path));
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    intent->is_set = 1;
}

static long write_frame(
    const struct store_writer *writer, int descriptor, const uint8_t *payload, size_t length)
{
    uint8_t header[STORE_HEADER_BYTES];
    uint32_t checksum = crc32c(payload, length);
    memcpy(header, magic, sizeof(magic));
    put_u32(header + 4, (uint32_t)length);
    put_u32(header + 8, checksum);
    note_intent(writer, length, checksum);
    struct iovec parts[2] = {{header, sizeof(header)}, {(void *)payload, length}};
    return sys(SYS_writev, descriptor, parts, 2);
}

static bool append_frame(
    struct store_writer *writer, int descriptor, const uint8_t *payload, size_t length, int *error)
{
    uint64_t frame = STORE_HEADER_BYTES + length;
    if (!size_permitted(writer->written + frame)) {
        *error = -EFBIG;
        return false;
    }
    if (!same_file(descriptor, writer)) {
        *error = -EBADF;
        return false;
    }
    long wrote = write_frame(writer, descriptor, payload, length);
    if (wrote == (long)frame) {
        writer->written += frame;
        return true;
    }
    *error = wrote < 0 ? (int)wrote : -ENOSPC;
    if (wrote > 0)
        writer->damaged =
            !same_file(descriptor, writer) || sys(SYS_ftruncate, descriptor, writer->written) != 0;
    return false;
}

void store_writer_init_at(struct store_writer *writer, const struct store_place *place)
{
    memset(writer, 0, sizeof(*writer));
    writer->place = *place;
    writer->held = -1;
}

/* A small cap has smaller files, since a file is only ever removed whole. */
void store_writer_init(struct store_writer *writer, const struct config *config)
{
    uint64_t share = config->store_bytes_max / 4;
    struct store_place place = {.directory = config->store_directory,
        .tag = config->run_id,
        .bytes_max = config->store_bytes_max,
        .file_bytes_max = share < STORE_FILE_BYTES_MAX ? share : STORE_FILE_BYTES_MAX};
    store_writer_init_at(writer, &place);
}

bool store_append(struct store_writer *writer, const uint8_t *payload, size_t length, int *error)
{
    *error = -EINVAL;
    if (length == 0 || length > STORE_FRAME_BYTES_MAX)
        return false;
    int descriptor = open_file(writer, STORE_HEADER_BYTES + length);
    if (descriptor < 0) {
        *error = descriptor;
        return false;
    }
    bool stored = append_frame(writer, descriptor, payload, length, error);
    /* A file begun for nothing is taken away again, as long as the name still means it. */
    struct stat status;
    if (!stored && writer->written == 0 && !writer->damaged &&
        sys(SYS_newfstatat, AT_FDCWD, writer->path, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
        status.st_dev == writer->device && status.st_ino == writer->inode)
        sys(SYS_unlinkat, AT_FDCWD, writer->path, 0);
    if (writer->place.locks && writer->written > 0)
        writer->held = descriptor;
    else
        close_file(descriptor, writer);
    if (stored)
        *error = 0;
    return stored;
}

/* ---- reading ---- */

enum store_frame store_frame_read(
    const uint8_t header[STORE_HEADER_BYTES], uint32_t *length, uint32_t *checksum)
{
    bool is_kept = memcmp(header, magic, sizeof(magic)) == 0;
    *length = get_u32(header + 4);
    *checksum = get_u32(header + 8);
    if ((!is_kept && memcmp(header, store_sent_mark, sizeof(store_sent_mark)) != 0) ||
        *length == 0 || *length > STORE_FRAME_BYTES_MAX)
        return STORE_FRAME_NONE;
    return is_kept ? STORE_FRAME_KEPT : STORE_FRAME_SENT;
}

bool store_was_appended(const struct store_intent *intent)
{
    uint8_t header[STORE_HEADER_BYTES];
    uint32_t length, checksum;
    struct stat status;
    if (!intent->is_set || memchr(intent->path, '\0', sizeof(intent->path)) == NULL)
        return false;
    long file =
        sys(SYS_openat, AT_FDCWD, intent->path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0);
    if (file < 0)
        return false;
    bool is_there =
        sys(SYS_fstat, file, &status) == 0 && S_ISREG(status.st_mode) &&
        (uint64_t)status.st_size >= intent->at + sizeof(header) + intent->length &&
        sys(SYS_pread64, file, header, sizeof(header), intent->at) == (long)sizeof(header) &&
        store_frame_read(header, &length, &checksum) == STORE_FRAME_KEPT &&
        length == intent->length && checksum == intent->checksum;
    sys(SYS_close, file);
    return is_there;
}

/* The intact frame at the front of [file, file + bytes); 0: none. */
static size_t frame_at(const uint8_t *file, size_t bytes)
{
    uint32_t length, checksum;
    if (bytes < STORE_HEADER_BYTES ||
        store_frame_read(file, &length, &checksum) != STORE_FRAME_KEPT ||
        length > bytes - STORE_HEADER_BYTES ||
        crc32c(file + STORE_HEADER_BYTES, length) != checksum)
        return 0;
    return length;
}

bool store_next(const uint8_t *file, size_t bytes, size_t *offset, const uint8_t **payload,
    size_t *length, uint32_t *torn)
{
    bool damage = false;
    size_t at = *offset;
    while (at < bytes) {
        size_t found = frame_at(file + at, bytes - at);
        *torn += damage && found > 0;
        if (found > 0) {
            *payload = file + at + STORE_HEADER_BYTES;
            *length = found;
            *offset = at + STORE_HEADER_BYTES + found;
            return true;
        }
        damage = true;
        const uint8_t *next = memmem(file + at + 1, bytes - at - 1, magic, sizeof(magic));
        at = next ? (size_t)(next - file) : bytes;
    }
    *torn += damage;
    *offset = bytes;
    return false;
}
