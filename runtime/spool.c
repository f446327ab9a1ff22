/* SPDX-License-Identifier: Apache-2.0 */
#include "spool.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "counters.h"
#include "crc32c.h"
#include "format.h"
#include "hash.h"
#include "memory.h"
#include "otlp_read.h"
#include "sys.h"

enum { REMOVAL_BYTES = 2 * 1024 * 1024 };

/* No digits of a hash; 0: it is left as it is. */
static const char marks[SIGNAL_COUNT] = {[SIGNAL_METRICS] = 'm', [SIGNAL_LOGS] = 'l'};

/* ---- where ---- */

/* Of the headers, which hold secrets, too little remains to guess them from: enough to keep two
 * tenants of one collector apart. */
static void make_tag(const struct config *config, enum signal signal, char out[SPOOL_TAG_BYTES])
{
    uint64_t url = hash_text(hash_start(), config->urls[signal]);
    uint64_t headers = hash_text(hash_start(), config->headers[signal]);
    struct format tag;
    format_start(&tag, out, SPOOL_TAG_BYTES);
    format_hex(&tag, (url & ~UINT64_C(0xffff)) | ((headers >> 48) ^ (headers & 0xffff)));
    if (marks[signal] != 0)
        out[0] = marks[signal];
}

static enum signal signal_of(const char *name)
{
    char mark = strrchr(name, '-')[1];
    return mark == marks[SIGNAL_LOGS]      ? SIGNAL_LOGS
           : mark == marks[SIGNAL_METRICS] ? SIGNAL_METRICS
                                           : SIGNAL_TRACES;
}

/* Its own directory, or one in the store's. */
static bool make_directory_name(struct spool *spool, const struct config *config)
{
    struct format name;
    bool is_below = config->spool_directory[0] == '\0';
    format_start(&name, spool->directory, sizeof(spool->directory));
    format_text(&name, is_below ? config->store_directory : config->spool_directory);
    if (is_below) {
        memcpy(spool->parent, config->store_directory, sizeof(spool->parent));
        format_text(&name, "/spool");
    }
    return name.fits && (!is_below || config->store_directory[0] != '\0');
}

static bool remove_oldest(void *context, int directory, const char *name);

void spool_open(struct spool *spool, const struct config *config, enum signal signal)
{
    memset(spool, 0, sizeof(*spool));
    spool->descriptor = -1;
    spool->writer.held = -1;
    spool->signal = signal;
    if (!spool_is_wanted(config, signal) || !make_directory_name(spool, config))
        return;
    make_tag(config, signal, spool->tag);
    uint64_t share = config->spool_bytes_max / 64;
    struct store_place place = {.directory = spool->directory,
        .tag = spool->tag,
        .bytes_max = config->spool_bytes_max,
        .file_bytes_max = share < SPOOL_FILE_BYTES_MAX ? share : SPOOL_FILE_BYTES_MAX,
        .locks = true,
        .remover = {remove_oldest, spool}};
    store_writer_init_at(&spool->writer, &place);
    spool->is_on = true;
}

void spool_close(struct spool *spool)
{
    store_release(&spool->writer);
    spool_rest(spool);
}

/* The store first, for all if root makes it. Where all may write into it, they may here. */
static void make_directories(const struct spool *spool)
{
    struct stat parent;
    if (spool->parent[0] == '\0' || !store_make(spool->parent) ||
        sys(SYS_newfstatat, AT_FDCWD, spool->parent, &parent, 0) != 0 ||
        sys(SYS_mkdirat, AT_FDCWD, spool->directory, 0700) != 0)
        return; /* there already, or the writer tells why not */
    if ((parent.st_mode & 01777) == 01777)
        sys(SYS_fchmodat, AT_FDCWD, spool->directory, 01777);
}

void spool_make(const struct config *config)
{
    struct spool spool;
    unsigned i = 0;
    do
        spool_open(&spool, config, (enum signal)i);
    while (!spool.is_on && ++i < SIGNAL_COUNT);
    if (!spool.is_on)
        return;
    make_directories(&spool);
    store_make(spool.directory);
}

bool spool_append(struct spool *spool, const uint8_t *payload, size_t length, int *error)
{
    *error = -ENOENT;
    if (!spool->is_on)
        return false;
    if (spool->writer.written == 0)
        make_directories(spool);
    return store_append(&spool->writer, payload, length, error);
}

/* ---- counting ---- */

/* ExportTraceServiceRequest.resource_spans, .scope_spans, .spans: fields 1, 2, 2. Those of
 * the requests with logs and metrics have the same numbers. */
static uint32_t count_below(const uint8_t *at, const uint8_t *end, unsigned depth)
{
    static const uint32_t wanted[] = {1, 2, 2};
    uint32_t items = 0;
    struct wire_field field;
    while (wire_next(&at, end, &field))
        if (field.number == wanted[depth] && field.type == WIRE_BYTES)
            items += depth == 2 ? 1 : count_below(field.data, field.data + field.length, depth + 1);
    return items;
}

uint32_t spool_items(const uint8_t *payload, size_t length)
{
    return count_below(payload, payload + length, 0);
}

/* ---- files of nobody ---- */

/* Opened and locked, or -1: it is somebody's, or not what we may believe. */
static int claim(const struct spool *spool, int directory, const char *name)
{
    struct stat status;
    long descriptor =
        sys(SYS_openat, directory, name, O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0);
    if (descriptor < 0)
        return -1;
    if (sys(SYS_flock, descriptor, LOCK_EX | LOCK_NB) == 0 &&
        sys(SYS_fstat, descriptor, &status) == 0 && S_ISREG(status.st_mode) &&
        status.st_nlink == 1 && (spool->takes_others || status.st_uid == (uid_t)sys(SYS_geteuid)))
        return (int)descriptor;
    sys(SYS_close, descriptor);
    return -1;
}

/* The next frame that was not sent, from *offset, which moves behind it: its length; 0: the end. */
static size_t read_frame(int descriptor, uint64_t *offset, uint8_t *buffer, size_t room)
{
    uint8_t header[STORE_HEADER_BYTES];
    uint32_t length, checksum;
    while (sys(SYS_pread64, descriptor, header, sizeof(header), *offset) == sizeof(header)) {
        enum store_frame frame = store_frame_read(header, &length, &checksum);
        uint64_t at = *offset + sizeof(header);
        if (frame == STORE_FRAME_NONE)
            return 0;
        *offset = at + length;
        if (frame == STORE_FRAME_SENT)
            continue;
        if (length > room || sys(SYS_pread64, descriptor, buffer, length, at) != (long)length ||
            crc32c(buffer, length) != checksum)
            return 0;
        return length;
    }
    return 0;
}

/* The store's remover: what is in the file was spooled, and is lost now. */
static bool remove_oldest(void *context, int directory, const char *name)
{
    struct spool *spool = context;
    uint64_t offset = 0, items = 0;
    size_t length;
    int descriptor = claim(spool, directory, name);
    if (descriptor < 0)
        return false;
    uint8_t *buffer = memory_map(REMOVAL_BYTES);
    while (buffer != NULL && (length = read_frame(descriptor, &offset, buffer, REMOVAL_BYTES)) != 0)
        items += spool_items(buffer, length);
    bool is_removed = buffer != NULL && sys(SYS_unlinkat, directory, name, 0) == 0;
    if (buffer != NULL)
        memory_unmap(buffer, REMOVAL_BYTES);
    sys(SYS_close, descriptor);
    if (!is_removed)
        return false;
    static const uint8_t counters_of[SIGNAL_COUNT] = {[SIGNAL_TRACES] = COUNTER_SPANS_DROPPED_SPOOL,
        [SIGNAL_METRICS] = COUNTER_METRICS_FAILED,
        [SIGNAL_LOGS] = COUNTER_LOGS_DROPPED_SPOOL};
    counter_add((enum counter)counters_of[signal_of(name)], items);
    return true;
}

/* ---- sending ---- */

void spool_rest(struct spool *spool)
{
    if (spool->descriptor >= 0)
        sys(SYS_close, spool->descriptor);
    spool->descriptor = -1;
}

/* The last part of the path, if it is a file of this directory. */
static const char *own_name(const struct spool *spool)
{
    return spool->writer.held >= 0 ? spool->writer.path + strlen(spool->directory) + 1 : "";
}

/* Our own is finished when its turn has come. */
static bool take(struct spool *spool, int directory, const char *name)
{
    if (signal_of(name) != spool->signal)
        return false;
    if (strcmp(name, own_name(spool)) == 0)
        store_release(&spool->writer);
    spool->descriptor = claim(spool, directory, name);
    if (spool->descriptor < 0)
        return false;
    memcpy(spool->name, name, strnlen(name, sizeof(spool->name) - 1) + 1);
    spool->offset = 0;
    return true;
}

static bool take_oldest(struct spool *spool, int directory)
{
    struct store_survey survey;
    char after[STORE_NAME_BYTES_MAX];
    memcpy(after, spool->after, sizeof(after));
    for (;;) {
        if (!store_look(directory, spool->takes_all ? NULL : spool->tag, after, &survey))
            return false;
        for (unsigned i = 0; i < survey.count; i++)
            if (take(spool, directory, survey.oldest[i].name))
                return true;
        if (survey.count < STORE_OLDEST_MAX)
            return false;
        memcpy(after, survey.oldest[survey.count - 1].name, sizeof(after));
    }
}

static int open_directory(const struct spool *spool)
{
    return (int)sys(SYS_openat, AT_FDCWD, spool->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
}

uint64_t spool_bytes(const struct spool *spool)
{
    struct store_survey survey = {0};
    int directory = spool->is_on ? open_directory(spool) : -1;
    if (directory < 0)
        return 0;
    store_look(directory, NULL, "", &survey);
    sys(SYS_close, directory);
    return survey.total;
}

/* The file being sent has nothing more. */
static void finish_file(struct spool *spool, int directory)
{
    if (sys(SYS_unlinkat, directory, spool->name, 0) != 0)
        memcpy(spool->after, spool->name, sizeof(spool->after));
    spool_rest(spool);
}

size_t spool_next(struct spool *spool, uint8_t *buffer, size_t room)
{
    if (!spool->is_on)
        return 0;
    int directory = open_directory(spool);
    size_t length = 0;
    while (directory >= 0 && (spool->descriptor >= 0 || take_oldest(spool, directory))) {
        spool->frame_end = spool->offset;
        length = read_frame(spool->descriptor, &spool->frame_end, buffer, room);
        spool->frame_offset = spool->frame_end - length - STORE_HEADER_BYTES;
        if (length != 0)
            break;
        finish_file(spool, directory);
    }
    if (directory >= 0)
        sys(SYS_close, directory);
    return length;
}

/* Where it cannot be marked it is passed over by us, and sent again by who comes after us. */
void spool_settle(struct spool *spool)
{
    if (spool->descriptor < 0)
        return;
    sys(SYS_pwrite64, spool->descriptor, store_sent_mark, sizeof(store_sent_mark),
        spool->frame_offset);
    spool->offset = spool->frame_end;
}
