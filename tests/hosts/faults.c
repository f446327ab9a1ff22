/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stands below the library in LD_PRELOAD and makes the calls that send behave as badly as a kernel
 * may: short counts, EAGAIN, EINTR. FAULTS: one call in so many fails so. Only sockets are touched.
 */
#include <dlfcn.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "raw.h"

#define BELOW(name) ((__typeof__(name) *)dlsym(RTLD_NEXT, #name))

static uint64_t state = 88172645463325252u;
static unsigned one_in;

__attribute__((constructor)) static void start(void)
{
    const char *text = getenv("FAULTS");
    one_in = text == NULL ? 0 : (unsigned)atoi(text);
}

static uint64_t next(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    return state ^= state << 17;
}

/* 0: nothing; -1: fail, errno is set; else at most so many bytes. */
static ssize_t fault(int fd, size_t size)
{
    struct stat status;
    if (one_in == 0 || size == 0 || next() >> 20 & 1)
        if (one_in == 0 || (next() >> 20) % one_in != 0)
            return 0;
    if (sys_call(SYS_fstat, fd, (long)&status, 0, 0, 0, 0) != 0 || !S_ISSOCK(status.st_mode))
        return 0;
    switch (next() >> 20 & 7) {
    case 0:
        errno = EAGAIN;
        return -1;
    case 1:
        errno = EINTR;
        return -1;
    default:
        return size <= 1 ? 0 : (ssize_t)(1 + (next() >> 20) % (size < 200 ? size : 200));
    }
}

static size_t total(const struct iovec *iov, size_t count)
{
    size_t sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += iov[i].iov_len;
    return sum;
}

static size_t cut(struct iovec *to, const struct iovec *from, size_t count, size_t most)
{
    size_t used = 0;
    for (; used < count && most > 0; used++) {
        to[used] = from[used];
        if (to[used].iov_len > most)
            to[used].iov_len = most;
        most -= to[used].iov_len;
    }
    return used;
}

ssize_t write(int fd, const void *buffer, size_t size)
{
    ssize_t most = fault(fd, size);
    return most < 0 ? -1 : BELOW(write)(fd, buffer, most > 0 ? (size_t)most : size);
}

ssize_t send(int fd, const void *buffer, size_t size, int flags)
{
    ssize_t most = fault(fd, size);
    return most < 0 ? -1 : BELOW(send)(fd, buffer, most > 0 ? (size_t)most : size, flags);
}

ssize_t sendto(
    int fd, const void *buffer, size_t size, int flags, const struct sockaddr *to, socklen_t length)
{
    ssize_t most = fault(fd, size);
    return most < 0 ? -1
                    : BELOW(sendto)(fd, buffer, most > 0 ? (size_t)most : size, flags, to, length);
}

ssize_t writev(int fd, const struct iovec *iov, int count)
{
    struct iovec parts[128];
    ssize_t most = count > 128 ? 0 : fault(fd, total(iov, (size_t)count));
    if (most < 0)
        return -1;
    if (most > 0) {
        count = (int)cut(parts, iov, (size_t)count, (size_t)most);
        iov = parts;
    }
    return BELOW(writev)(fd, iov, count);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    struct iovec parts[128];
    struct msghdr copy = *message;
    ssize_t most =
        copy.msg_iovlen > 128 ? 0 : fault(fd, total(message->msg_iov, message->msg_iovlen));
    if (most < 0)
        return -1;
    if (most > 0) {
        copy.msg_iovlen = cut(parts, message->msg_iov, message->msg_iovlen, (size_t)most);
        copy.msg_iov = parts;
    }
    return BELOW(sendmsg)(fd, &copy, flags);
}
