/* SPDX-License-Identifier: Apache-2.0 */
#include "outlet.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>

#include "otlp_connect.h"
#include "otlp_json.h"
#include "sys.h"

static uint64_t device, inode; /* of the descriptor when the process began */

static bool identity(int descriptor, struct stat *status)
{
    return sys(SYS_newfstatat, descriptor, "", status, AT_EMPTY_PATH) == 0;
}

void outlet_start(const struct config *config)
{
    struct stat status;
    if (config->outlet_descriptor == 0 || !identity(config->outlet_descriptor, &status))
        return;
    device = status.st_dev;
    inode = status.st_ino;
}

/* A daemon that puts its log in the place of its stderr, or a shell's redirection of a child,
 * means it: what is only ever appended to is nobody's data. */
static bool is_log(int descriptor, const struct stat *status)
{
    long flags = sys(SYS_fcntl, descriptor, F_GETFL);
    return S_ISREG(status->st_mode) && flags >= 0 && (flags & O_APPEND) &&
           (flags & O_ACCMODE) == O_WRONLY;
}

int outlet_kept(const struct config *config)
{
    struct stat status;
    int descriptor = config->outlet_descriptor;
    if (descriptor == 0 || !identity(descriptor, &status))
        return -1;
    bool is_same = inode != 0 && status.st_dev == device && status.st_ino == inode;
    return is_same || is_log(descriptor, &status) ? descriptor : -1;
}

static bool write_all(
    int descriptor, const char *text, size_t length, const struct patience *patience)
{
    short seen;
    while (length > 0) {
        if (!patience_poll(patience, descriptor, POLLOUT, &seen))
            return false;
        long taken = sys(SYS_write, descriptor, text, length);
        if (taken == -EAGAIN || taken == -EINTR)
            continue;
        if (taken <= 0)
            return false;
        text += taken;
        length -= (size_t)taken;
    }
    return true;
}

/* Opened for each batch, so that it can be moved away; several processes append to one file. */
static bool append(
    const char *path, const char *text, size_t length, const struct patience *patience)
{
    long descriptor = sys(SYS_openat, AT_FDCWD, path,
        O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0600);
    if (descriptor < 0)
        return false;
    bool is_written = write_all((int)descriptor, text, length, patience);
    sys(SYS_close, descriptor);
    return is_written;
}

static struct json_text made_of(
    enum destination form, enum signal signal, const uint8_t *request, size_t length)
{
    if (form == DESTINATION_CONSOLE)
        return otlp_json_events(signal, request, length);
    struct json_text json = otlp_json(signal, request, length);
    json.length++; /* the line's end */
    return json;
}

bool outlet_write(const struct config *config, enum signal signal, struct config_copy to,
    const uint8_t *request, size_t length, uint64_t deadline_ns, const uint64_t *stop)
{
    struct patience patience = {deadline_ns, stop};
    struct json_text json = made_of(to.destination, signal, request, length);
    if (json.text == NULL)
        return false;
    if (to.outlet == 0)
        return append(config->outlet_paths[signal], json.text, json.length, &patience);
    int descriptor = outlet_kept(config);
    return descriptor >= 0 && write_all(descriptor, json.text, json.length, &patience);
}
