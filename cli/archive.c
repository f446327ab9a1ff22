/* SPDX-License-Identifier: Apache-2.0 */
#include "archive.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli.h"
#include "store.h"

enum { START_DIGITS = 16 };

/* <start, 16 hex digits>-<pid>-<run id or 0>.otlp; answers where the run id starts, or NULL. */
static const char *run_of(const char *name, size_t *length)
{
    if (strspn(name, "0123456789abcdef") != START_DIGITS || name[START_DIGITS] != '-')
        return NULL;
    const char *pid = name + START_DIGITS + 1;
    size_t digits = strspn(pid, "0123456789");
    const char *run = pid + digits + 1;
    if (digits == 0 || pid[digits] != '-')
        return NULL;
    *length = strcspn(run, ".");
    return strcmp(run + *length, ".otlp") == 0 ? run : NULL;
}

static int is_store_file(const struct dirent *entry)
{
    size_t length;
    return run_of(entry->d_name, &length) != NULL;
}

static bool selected(const char *name, const struct archive_selection *selection)
{
    size_t length;
    const char *run = run_of(name, &length);
    if (selection->file_name && strcmp(name, selection->file_name) != 0)
        return false;
    const char *wanted = selection->run_id;
    return !wanted || (strlen(wanted) == length && strncmp(run, wanted, length) == 0);
}

/* A plain file only: the directory may be writable for all, and a fifo would hold us for ever. */
static const uint8_t *map(const char *directory, const char *name, size_t *bytes)
{
    char *path = format_text("%s/%s", directory, name);
    int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    free(path);
    struct stat facts;
    const void *file = MAP_FAILED;
    *bytes = 0;
    if (descriptor >= 0 && fstat(descriptor, &facts) == 0 && S_ISREG(facts.st_mode)) {
        *bytes = (size_t)facts.st_size;
        file = mmap(NULL, *bytes ? *bytes : 1, PROT_READ, MAP_PRIVATE, descriptor, 0);
    }
    if (descriptor >= 0)
        close(descriptor);
    return file == MAP_FAILED ? NULL : file;
}

static bool file_walk(
    const uint8_t *file, size_t bytes, uint32_t *torn, archive_visit *visit, void *context)
{
    size_t offset = 0, length;
    const uint8_t *payload;
    while (store_next(file, bytes, &offset, &payload, &length, torn)) {
        if (!visit(payload, length, context))
            return false;
    }
    return true;
}

static bool name_walk(const char *directory, const char *name, struct archive_result *result,
    archive_visit *visit, void *context)
{
    size_t bytes;
    const uint8_t *file = map(directory, name, &bytes);
    if (!file) {
        result->unreadable++;
        return true;
    }
    result->files++;
    bool more = file_walk(file, bytes, &result->torn, visit, context);
    munmap((void *)file, bytes ? bytes : 1);
    return more;
}

struct archive_result archive_walk(const char *directory, const struct archive_selection *selection,
    archive_visit *visit, void *context)
{
    struct archive_result result = {0};
    struct dirent **entries;
    int count = *directory ? scandir(directory, &entries, is_store_file, alphasort) : -1;
    bool more = true;
    for (int i = 0; i < count; i++) {
        if (more && selected(entries[i]->d_name, selection))
            more = name_walk(directory, entries[i]->d_name, &result, visit, context);
        free(entries[i]);
    }
    if (count >= 0)
        free(entries);
    return result;
}

bool archive_last(const char *directory, char run_id[RUN_ID_BYTES], char file_name[256])
{
    struct dirent **entries;
    int count = *directory ? scandir(directory, &entries, is_store_file, alphasort) : -1;
    run_id[0] = file_name[0] = 0;
    for (int i = 0; i < count; i++) {
        size_t length;
        const char *run = run_of(entries[i]->d_name, &length);
        if (i == count - 1 && length == RUN_ID_BYTES - 1)
            snprintf(run_id, RUN_ID_BYTES, "%.*s", (int)length, run);
        if (i == count - 1)
            snprintf(file_name, 256, "%s", entries[i]->d_name);
        free(entries[i]);
    }
    if (count >= 0)
        free(entries);
    return count > 0;
}

void archive_report(const struct archive_result *result)
{
    if (result->torn)
        fprintf(stderr, "burdock: store: %u damaged places passed over\n", result->torn);
    if (result->unreadable)
        fprintf(stderr,
            "burdock: store: %u files could not be read; run as the user who wrote them\n",
            result->unreadable);
}
