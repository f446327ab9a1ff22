/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stands below the library in LD_PRELOAD: what a thread has sent on a socket is with the peer, and
 * answered, while the thread itself gets its processor back only 60 ms later.
 */
#include <dlfcn.h>
#include <errno.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define BELOW(name) ((__typeof__(name) *)dlsym(RTLD_NEXT, #name))

static ssize_t late(int fd, ssize_t sent)
{
    static const struct timespec while_others_run = {0, 60 * 1000 * 1000};
    struct stat status;
    int error = errno;
    if (sent > 0 && fstat(fd, &status) == 0 && S_ISSOCK(status.st_mode))
        nanosleep(&while_others_run, NULL);
    errno = error;
    return sent;
}

ssize_t write(int fd, const void *buffer, size_t size)
{
    return late(fd, BELOW(write)(fd, buffer, size));
}

ssize_t send(int fd, const void *buffer, size_t size, int flags)
{
    return late(fd, BELOW(send)(fd, buffer, size, flags));
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    return late(fd, BELOW(sendmsg)(fd, message, flags));
}
