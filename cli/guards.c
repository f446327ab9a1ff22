/* SPDX-License-Identifier: Apache-2.0 */
#include "guards.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cli.h"

/* A plain file only: the directory may be writable for all, and a fifo would hold us for ever. */
static bool read_guard(const char *path, struct guard *guard)
{
    struct stat status;
    int descriptor = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (descriptor < 0)
        return false;
    bool whole = fstat(descriptor, &status) == 0 && S_ISREG(status.st_mode) &&
                 read(descriptor, guard, sizeof *guard) == (ssize_t)sizeof *guard &&
                 memcmp(guard->magic, "BRDKGRD", 8) == 0;
    close(descriptor);
    guard->service_name[sizeof guard->service_name - 1] = 0;
    return whole;
}

static bool is_guard(const char *name)
{
    size_t length = strlen(name), suffix = strlen(GUARD_SUFFIX);
    return strncmp(name, "burdock-", 8) == 0 && length > suffix &&
           strcmp(name + length - suffix, GUARD_SUFFIX) == 0;
}

int guards_visit(const struct config *settings, guard_visitor *visit, void *argument)
{
    int count = 0;
    DIR *directory = opendir(settings->run_directory);
    struct dirent *entry;
    while (directory && (entry = readdir(directory))) {
        struct guard guard;
        char *path = format_text("%s/%s", settings->run_directory, entry->d_name);
        if (is_guard(entry->d_name) && read_guard(path, &guard)) {
            visit(path, &guard, argument);
            count++;
        }
        free(path);
    }
    if (directory)
        closedir(directory);
    return count;
}

char *guard_reason(const struct guard *guard)
{
    char since[32] = "";
    time_t denied = (time_t)guard->denied_s;
    struct tm parts;
    if (localtime_r(&denied, &parts))
        strftime(since, sizeof since, "%F %T", &parts);
    return format_text(
        "%s is left alone since %s: %d times within %d s it ended abruptly, each less "
        "than %d s after its first exchange",
        guard->service_name, since, GUARD_DEATHS_MAX, GUARD_WITHIN_S, GUARD_EARLY_S);
}

struct wanted {
    const char *name;
    int removed;
    int error;
};

static void allow(const char *path, const struct guard *guard, void *argument)
{
    struct wanted *wanted = argument;
    if (strcmp(guard->service_name, wanted->name) != 0)
        return;
    if (unlink(path) == 0)
        wanted->removed++;
    else
        wanted->error = errno;
}

int verb_allow(int argc, char **argv)
{
    struct config settings;
    if (argc != 2 || *argv[1] == '-') {
        complain("allow", "name one service", "burdock doctor lists those that are left alone");
        return STATUS_USAGE;
    }
    struct wanted wanted = {.name = argv[1]};
    settings_read(&settings);
    guards_visit(&settings, allow, &wanted);
    if (wanted.error)
        complain(argv[1], strerror(wanted.error), "run it as that user or as root");
    else if (wanted.removed == 0)
        complain(argv[1], "no crash guard knows this service", NULL);
    return wanted.error || wanted.removed == 0 ? STATUS_FAILED : STATUS_OK;
}
