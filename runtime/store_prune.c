/* SPDX-License-Identifier: Apache-2.0 */
#include "store_prune.h"

#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>

#include "sys.h"

enum { LISTING_BYTES = 4096 };

struct dirent64 { /* the kernel's, getdents64(2) */
    uint64_t inode;
    int64_t offset;
    uint16_t length;
    uint8_t type;
    char name[];
};

static bool store_name(const char *name)
{
    size_t length = strnlen(name, STORE_NAME_BYTES_MAX);
    return length < STORE_NAME_BYTES_MAX && length > 16 + 5 &&
           strspn(name, "0123456789abcdef") == 16 && name[16] == '-' &&
           strcmp(name + length - 5, ".otlp") == 0;
}

/* <start>-<pid>-<tag>.otlp */
static bool has_tag(const char *name, const char *tag)
{
    const char *found = strrchr(name, '-') + 1;
    return tag == NULL ||
           (strncmp(found, tag, strlen(tag)) == 0 && strcmp(found + strlen(tag), ".otlp") == 0);
}

/* A name begins with the time of its file in fixed width, so names sort by age. */
static void note_file(
    struct store_survey *survey, const char *after, const char *name, uint64_t bytes)
{
    survey->total += bytes;
    if (strcmp(name, after) <= 0)
        return;
    unsigned at = survey->count;
    while (at > 0 && strcmp(name, survey->oldest[at - 1].name) < 0)
        at--;
    if (at == STORE_OLDEST_MAX)
        return;
    if (survey->count < STORE_OLDEST_MAX)
        survey->count++;
    memmove(&survey->oldest[at + 1], &survey->oldest[at],
        (survey->count - at - 1) * sizeof(survey->oldest[0]));
    memcpy(survey->oldest[at].name, name, strlen(name) + 1);
    survey->oldest[at].bytes = bytes;
}

static void note_entry(
    int directory, const char *name, const char *after, struct store_survey *survey)
{
    struct stat status;
    if (sys(SYS_newfstatat, directory, name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
        S_ISREG(status.st_mode))
        note_file(survey, after, name, (uint64_t)status.st_size);
}

bool store_look(int directory, const char *tag, const char *after, struct store_survey *survey)
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
            if (store_name(entry->name) && has_tag(entry->name, tag))
                note_entry(directory, entry->name, after, survey);
            at += entry->length;
        }
    }
}

static bool take_away(const struct store_remover *remover, int directory, const char *name)
{
    return remover->remove != NULL ? remover->remove(remover->context, directory, name)
                                   : sys(SYS_unlinkat, directory, name, 0) == 0;
}

bool store_prune(int directory, uint64_t bytes_max, const struct store_remover *remover)
{
    struct store_survey survey;
    char after[STORE_NAME_BYTES_MAX] = "";
    bool is_more;
    do {
        if (!store_look(directory, NULL, after, &survey))
            return false;
        for (unsigned i = 0; i < survey.count && survey.total > bytes_max; i++)
            if (take_away(remover, directory, survey.oldest[i].name))
                survey.total -= survey.oldest[i].bytes;
        /* What could not be removed is somebody else's: the next look begins behind it. */
        is_more = survey.total > bytes_max && survey.count == STORE_OLDEST_MAX;
        if (is_more)
            memcpy(after, survey.oldest[survey.count - 1].name, sizeof(after));
    } while (is_more);
    return survey.total <= bytes_max;
}
