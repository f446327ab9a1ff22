/* SPDX-License-Identifier: Apache-2.0 */
#include "lost.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "losses.h"

/* Its command was killed: nobody will read it. */
static bool is_orphan(int directory, const char *name)
{
    struct loss first = {0};
    size_t length = strlen(name);
    if (strncmp(name, "burdock-", 8) != 0 || length < 7 ||
        strcmp(name + length - 7, ".losses") != 0)
        return false;
    int file = openat(directory, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    bool is_read = file >= 0 && read(file, &first, sizeof first) == sizeof first;
    if (file >= 0)
        close(file);
    return is_read && first.name[0] == '\0' && first.count > 0 && first.count <= INT32_MAX &&
           kill((pid_t)first.count, 0) != 0 && errno == ESRCH;
}

static void orphans_remove(const char *run_directory)
{
    DIR *directory = opendir(run_directory);
    struct dirent *entry;
    while (directory && (entry = readdir(directory)) != NULL)
        if (is_orphan(dirfd(directory), entry->d_name))
            unlinkat(dirfd(directory), entry->d_name, 0);
    if (directory)
        closedir(directory);
}

void lost_begin(const struct config *settings, const char *run_id)
{
    char path[LOSSES_PATH_BYTES];
    const struct loss first = {.count = (uint64_t)getpid()};
    orphans_remove(settings->run_directory);
    if (!losses_path(settings->run_directory, run_id, path))
        return;
    int file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (file < 0)
        return;
    if (write(file, &first, sizeof first) != sizeof first || fchmod(file, 0622) != 0)
        unlink(path);
    close(file);
}

static void add(uint64_t lost[COUNTER_COUNT], const struct loss *loss)
{
    for (int i = 0; i < COUNTER_COUNT; i++)
        if (strncmp(loss->name, counter_name((enum counter)i), sizeof loss->name) == 0)
            lost[i] += loss->count;
}

void lost_end(const struct config *settings, const char *run_id, uint64_t lost[COUNTER_COUNT])
{
    char path[LOSSES_PATH_BYTES];
    struct loss loss;
    FILE *file = losses_path(settings->run_directory, run_id, path) ? fopen(path, "re") : NULL;
    if (!file)
        return;
    while (fread(&loss, sizeof loss, 1, file) == 1)
        add(lost, &loss);
    fclose(file);
    unlink(path);
}

void lost_print(FILE *stream, const uint64_t lost[COUNTER_COUNT])
{
    for (int i = 0; i < COUNTER_COUNT; i++)
        if (counter_losses >> i & 1 && lost[i])
            fprintf(stream, "burdock: lost: %s %" PRIu64 ": %s\n", counter_name((enum counter)i),
                lost[i], counter_text((enum counter)i));
}
