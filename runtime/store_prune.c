/* SPDX-License-Identifier: Apache-2.0 */
#include "store_prune.h"

#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>

#include "sys.h"

enum { LISTING_BYTES = 4096, OLDEST_MAX = 32 };

struct dirent64 { /* the kernel's, getdents64(2) */
    uint64_t inode;
    int64_t offset;
    uint16_t length;
    uint8_t type;
    char name[];
};

/* A name begins with the time of its file in fixed width, so names sort by age. */
struct store_file {
    char name[STORE_NAME_BYTES_MAX];
    uint64_t bytes;
};

/* One look at the directory: the sum, and the oldest files in order. */
struct survey {
    uint64_t total;
    unsigned count;
    struct store_file oldest[OLDEST_MAX];
};

static bool store_name(const char *name)
{
    size_t length = strnlen(name, STORE_NAME_BYTES_MAX);
    return length < STORE_NAME_BYTES_MAX && length > 16 + 5 &&
           strspn(name, "0123456789abcdef") == 16 && name[16] == '-' &&
           strcmp(name + length - 5, ".otlp") == 0;
}

static void note_file(struct survey *survey, const char *name, uint64_t bytes)
{
    survey->total += bytes;
    unsigned at = survey->count;
    while (at > 0 && strcmp(name, survey->oldest[at - 1].name) < 0)
        at--;
    if (at == OLDEST_MAX)
        return;
    if (survey->count < OLDEST_MAX)
        survey->count++;
    memmove(&survey->oldest[at + 1], &survey->oldest[at],
        (survey->count - at - 1) * sizeof(survey->oldest[0]));
    memcpy(survey->oldest[at].name, name, strlen(name) + 1);
    survey->oldest[at].bytes = bytes;
}

static void note_entry(int directory, const char *name, struct survey *survey)
{
    struct stat status;
    if (!store_name(name))
        return;
    if (sys(SYS_newfstatat, directory, name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
        S_ISREG(status.st_mode))
        note_file(survey, name, (uint64_t)status.st_size);
}

static bool look(int directory, struct survey *survey)
{
    _Alignas(struct dirent64) char listing[LISTING_BYTES];
    survey->total = 0;
    survey->count = 0;
    if (sys(SYS_lseek, directory, 0, SEEK_SET) < 0)
        return false;
    for (;;) {
        long got = sys(SYS_getdents64, directory, listing, sizeof(listing));
        if (got <= 0)
            return got == 0;
        for (long at = 0; at < got;) {
            struct dirent64 *entry = (struct dirent64 *)(listing + at);
            note_entry(directory, entry->name, survey);
            at += entry->length;
        }
    }
}

bool store_prune(int directory, uint64_t bytes_max)
{
    struct survey survey;
    bool removed;
    do {
        removed = false;
        if (!look(directory, &survey))
            return false;
        for (unsigned i = 0; i < survey.count && survey.total > bytes_max; i++) {
            if (sys(SYS_unlinkat, directory, survey.oldest[i].name, 0) != 0)
                continue; /* somebody else's, in a directory for all */
            survey.total -= survey.oldest[i].bytes;
            removed = true;
        }
    } while (survey.total > bytes_max && removed);
    return survey.total <= bytes_max;
}
