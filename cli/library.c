/* SPDX-License-Identifier: Apache-2.0 */
#include "library.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"

#if defined(__x86_64__)
#define TRIPLET "x86_64-linux-gnu"
#elif defined(__aarch64__)
#define TRIPLET "aarch64-linux-gnu"
#endif

#define SEPARATORS " :"

static const char *const places[] = {
    "../lib/" TRIPLET "/burdock/libburdock.so", "../lib/burdock/libburdock.so",
    "../lib64/burdock/libburdock.so", "../lib/libburdock.so",
    "../preload/libburdock.so", /* the build tree */
};

static char *own_directory(void)
{
    char path[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", path, sizeof path - 1);
    if (length <= 0)
        return duplicate(".");
    path[length] = 0;
    char *slash = strrchr(path, '/');
    *slash = 0;
    return duplicate(path);
}

static char *resolve(const char *path, int mode)
{
    return access(path, mode) == 0 ? realpath(path, NULL) : NULL;
}

char *beside_find(const char *const *paths, size_t count, int mode)
{
    char *directory = own_directory(), *found = NULL;
    for (size_t i = 0; !found && i < count; i++) {
        char *candidate = format_text("%s/%s", directory, paths[i]);
        found = resolve(candidate, mode);
        free(candidate);
    }
    free(directory);
    return found;
}

enum library_problem library_find(char **path)
{
    const char *given = getenv("BURDOCK_LIBRARY");
    bool is_given = given && *given;
    *path = is_given ? resolve(given, R_OK)
                     : beside_find(places, sizeof places / sizeof places[0], R_OK);
    if (!*path) {
        *path = is_given ? duplicate(given) : format_text("%s/%s", own_directory(), places[0]);
        return LIBRARY_MISSING;
    }
    return strpbrk(*path, SEPARATORS) ? LIBRARY_UNUSABLE_PATH : LIBRARY_FOUND;
}

char *library_heap(const char *path)
{
    const char *name = strrchr(path, '/');
    int directory = name == NULL ? 0 : (int)(name - path) + 1;
    return format_text("%.*slibburdock-heap.so", directory, path);
}

void library_complain(enum library_problem problem, const char *path)
{
    if (problem == LIBRARY_MISSING)
        complain(path, "the library is not there or not readable",
            "reinstall, or set BURDOCK_LIBRARY to its path");
    if (problem == LIBRARY_UNUSABLE_PATH)
        complain(path, "LD_PRELOAD cannot hold a path with a space or a colon",
            "move the library or set BURDOCK_LIBRARY");
}

char *library_preload(const char *path, const char *existing)
{
    size_t own = strlen(path);
    char *value = allocate(own + (existing ? strlen(existing) : 0) + 2);
    char *at = stpcpy(value, path);
    while (existing && *existing) {
        size_t length = strcspn(existing, SEPARATORS);
        bool is_own = length == own && memcmp(existing, path, own) == 0;
        if (length && !is_own) {
            *at++ = ':';
            at = mempcpy(at, existing, length);
        }
        existing += length + (existing[length] != 0);
    }
    *at = 0;
    return value;
}
