/* SPDX-License-Identifier: Apache-2.0 */
#include "losses.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "format.h"
#include "sys.h"

bool losses_path(const char *run_directory, const char *run_id, char out[LOSSES_PATH_BYTES])
{
    struct format path;
    format_start(&path, out, LOSSES_PATH_BYTES);
    format_text(&path, run_directory);
    format_text(&path, "/burdock-");
    format_text(&path, run_id);
    format_text(&path, ".losses");
    return path.fits && strchr(run_id, '/') == NULL;
}

static size_t gather(const uint64_t *counted, struct loss out[COUNTER_LOSSES])
{
    size_t count = 0;
    for (uint64_t left = counter_losses; left != 0; left &= left - 1) {
        int i = __builtin_ctzll(left);
        uint64_t n = __atomic_load_n(&counted[i], __ATOMIC_RELAXED);
        if (n == 0)
            continue;
        out[count] = (struct loss){.count = n};
        memcpy(out[count].name, counter_name((enum counter)i),
            strnlen(counter_name((enum counter)i), sizeof(out[count].name) - 1));
        count++;
    }
    return count;
}

bool losses_tell(
    const char *run_directory, const char *run_id, const uint64_t counted[COUNTER_COUNT])
{
    char path[LOSSES_PATH_BYTES];
    struct loss losses[COUNTER_LOSSES]; /* on a host's stack */
    struct stat status;
    size_t count = *run_id == '\0' ? 0 : gather(counted, losses);
    if (count == 0 || !losses_path(run_directory, run_id, path))
        return count != 0;
    long descriptor = sys(
        SYS_openat, AT_FDCWD, path, O_WRONLY | O_APPEND | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0);
    if (descriptor < 0)
        return true;
    if (sys(SYS_newfstatat, descriptor, "", &status, AT_EMPTY_PATH) == 0 && S_ISREG(status.st_mode))
        sys(SYS_write, descriptor, losses, count * sizeof(losses[0]));
    sys(SYS_close, descriptor);
    return true;
}
