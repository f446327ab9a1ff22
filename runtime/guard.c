/* SPDX-License-Identifier: Apache-2.0 */
#include "guard.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "format.h"
#include "hash.h"
#include "sys.h"

static const char magic[8] = "BRDKGRD";

/* The name of a service may hold what a file's name may not. */
static bool make_path(const struct config *config, uint32_t user, char out[GUARD_PATH_BYTES])
{
    struct format path;
    format_start(&path, out, GUARD_PATH_BYTES);
    format_text(&path, config->run_directory);
    format_text(&path, "/burdock-");
    format_hex(&path, hash_text(hash_start(), config->service_name));
    format_text(&path, "-");
    format_number(&path, user);
    format_text(&path, GUARD_SUFFIX);
    return path.fits;
}

/* Opened, and the user's own; or -1. */
static int open_own(const struct config *config, uint32_t user, int flags)
{
    char path[GUARD_PATH_BYTES];
    struct stat status;
    if (!make_path(config, user, path))
        return -1;
    long descriptor =
        sys(SYS_openat, AT_FDCWD, path, flags | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0600);
    if (descriptor < 0)
        return -1;
    if (sys(SYS_newfstatat, descriptor, "", &status, AT_EMPTY_PATH) == 0 &&
        S_ISREG(status.st_mode) && status.st_uid == user)
        return (int)descriptor;
    sys(SYS_close, descriptor);
    return -1;
}

bool guard_read(const struct config *config, uint32_t user, struct guard *guard)
{
    int descriptor = open_own(config, user, O_RDONLY);
    if (descriptor < 0)
        return false;
    long got = sys(SYS_pread64, descriptor, guard, sizeof(*guard), 0);
    sys(SYS_close, descriptor);
    return got == (long)sizeof(*guard) && memcmp(guard->magic, magic, sizeof(magic)) == 0 &&
           memcmp(guard->service_name, config->service_name, sizeof(guard->service_name)) == 0;
}

bool guard_denies(const struct config *config)
{
    struct guard guard;
    return guard_read(config, (uint32_t)sys(SYS_geteuid), &guard) && guard.denied_s != 0;
}

static void note(struct guard *guard, uint64_t now_s)
{
    if (guard->deaths_s[0] == now_s)
        return; /* many at once are one event: a service that was told to end */
    memmove(guard->deaths_s + 1, guard->deaths_s, sizeof(guard->deaths_s) - sizeof(uint64_t));
    guard->deaths_s[0] = now_s;
    uint64_t first_s = guard->deaths_s[GUARD_DEATHS_MAX - 1];
    if (first_s != 0 && first_s <= now_s && now_s - first_s <= GUARD_WITHIN_S)
        guard->denied_s = now_s;
}

void guard_count(const struct config *config, uint64_t now_s)
{
    struct guard guard;
    uint32_t user = (uint32_t)sys(SYS_geteuid);
    if (!guard_read(config, user, &guard)) {
        memset(&guard, 0, sizeof(guard));
        memcpy(guard.magic, magic, sizeof(magic));
        memcpy(guard.service_name, config->service_name, sizeof(guard.service_name));
    }
    note(&guard, now_s);
    int descriptor = open_own(config, user, O_WRONLY | O_CREAT);
    if (descriptor < 0)
        return;
    sys(SYS_pwrite64, descriptor, &guard, sizeof(guard), 0);
    sys(SYS_close, descriptor);
}
