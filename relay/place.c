/* SPDX-License-Identifier: Apache-2.0 */
#include "place.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { TRIES_MAX = 200, BETWEEN_TRIES_MS = 10, BACKLOG = 128 };

static bool split(const char *path, char directory[108])
{
    const char *slash = strrchr(path, '/');
    size_t length = slash == NULL ? 0 : (size_t)(slash - path);
    if (length == 0 || length >= 108)
        return false;
    memcpy(directory, path, length);
    directory[length] = '\0';
    return true;
}

/* Others who may write there could put a socket of theirs in the place of ours. */
static bool directory_is_safe(struct place *place)
{
    char directory[108];
    struct stat status;
    if (!split(place->path, directory)) {
        snprintf(place->why, sizeof place->why, "not the path of a socket in a directory");
        return false;
    }
    mkdir(directory, 0700);
    if (lstat(directory, &status) != 0) {
        snprintf(place->why, sizeof place->why, "%.100s: %s", directory, strerror(errno));
        return false;
    }
    if (S_ISDIR(status.st_mode) && (status.st_uid == geteuid() || status.st_uid == 0) &&
        (status.st_mode & 022) == 0)
        return true;
    snprintf(place->why, sizeof place->why, "%.100s is somebody else's, or others may write there",
        directory);
    return false;
}

static struct sockaddr_un address_of(const struct place *place)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memcpy(address.sun_path, place->path, sizeof place->path);
    return address;
}

static bool somebody_answers(const struct place *place)
{
    struct sockaddr_un address = address_of(place);
    int descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool answers =
        descriptor >= 0 && connect(descriptor, (struct sockaddr *)&address, sizeof address) == 0;
    if (descriptor >= 0)
        close(descriptor);
    return answers;
}

/* Locked, and not removed by whoever held it before us. */
static bool take_lock(struct place *place)
{
    char path[128];
    struct stat status;
    snprintf(path, sizeof path, "%s.lock", place->path);
    place->lock = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (place->lock < 0) {
        snprintf(place->why, sizeof place->why, "%s: %s", path, strerror(errno));
        return false;
    }
    if (flock(place->lock, LOCK_EX | LOCK_NB) == 0 && fstat(place->lock, &status) == 0 &&
        status.st_nlink == 1) {
        if (ftruncate(place->lock, 0) == 0)
            dprintf(place->lock, "%d\n", (int)getpid()); /* for people */
        return true;
    }
    close(place->lock);
    place->lock = -1;
    snprintf(place->why, sizeof place->why, "another relay holds its place and does not answer");
    return false;
}

static bool listen_there(struct place *place)
{
    struct sockaddr_un address = address_of(place);
    mode_t before = umask(0177);
    unlink(place->path);
    place->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    bool listens = place->listener >= 0 &&
                   bind(place->listener, (struct sockaddr *)&address, sizeof address) == 0 &&
                   listen(place->listener, BACKLOG) == 0;
    umask(before);
    if (!listens)
        snprintf(place->why, sizeof place->why, "%s: %s", place->path, strerror(errno));
    return listens;
}

enum place_outcome place_take(struct place *place, const char *path)
{
    const struct timespec pause = {0, BETWEEN_TRIES_MS * 1000000};
    *place = (struct place){.lock = -1, .listener = -1};
    if (strlen(path) >= sizeof place->path) {
        snprintf(place->why, sizeof place->why, "the path of the socket is too long");
        return PLACE_REFUSED;
    }
    memcpy(place->path, path, strlen(path));
    /* One that is about to end hides before it gives its lock back. */
    for (unsigned i = 0; i < TRIES_MAX; i++) {
        if (!directory_is_safe(place))
            return PLACE_REFUSED;
        if (take_lock(place))
            return listen_there(place) ? PLACE_OURS : PLACE_REFUSED;
        if (somebody_answers(place))
            return PLACE_TAKEN;
        nanosleep(&pause, NULL);
    }
    return PLACE_REFUSED;
}

void place_hide(struct place *place)
{
    unlink(place->path);
}

void place_leave(struct place *place)
{
    char name[128];
    snprintf(name, sizeof name, "%s.lock", place->path);
    unlink(name);
    if (split(place->path, name))
        rmdir(name); /* only if nobody else is there */
    close(place->listener);
    close(place->lock);
}
