/* SPDX-License-Identifier: Apache-2.0 */
#include "fake_kernel.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hook.h"
#include "originals.h"

struct kernel kernel;

void hooks_resolve(void) /* every original that is called is set below */
{
}

long hooks_missing(void)
{
    return -1;
}

void require(bool holds, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "does not hold: %s\n", what);
    abort();
}

static ssize_t fail(int error)
{
    errno = error;
    return -1;
}

static ssize_t give(const struct iovec *iov, int count)
{
    size_t given = 0;
    if (kernel.error != 0)
        return fail(kernel.error);
    for (int i = 0; i < count && kernel.incoming_left > 0; i++) {
        size_t part = iov[i].iov_len < kernel.incoming_left ? iov[i].iov_len : kernel.incoming_left;
        memcpy(iov[i].iov_base, kernel.incoming, part);
        kernel.incoming += part;
        kernel.incoming_left -= part;
        given += part;
    }
    return (ssize_t)given;
}

static size_t how_many(size_t offered)
{
    uint8_t wanted =
        kernel.takes_at < sizeof(kernel.takes) ? kernel.takes[kernel.takes_at++] : TAKES_ALL;
    if (wanted == TAKES_ALL)
        return offered;
    return wanted < 128 ? (wanted < offered ? wanted : offered) : offered * (wanted - 127u) / 128;
}

static ssize_t take(int fd, const struct iovec *iov, size_t count)
{
    struct stream *stream = &kernel.streams[fd - FIRST_FD];
    size_t offered = 0, taken = 0;
    if (kernel.error != 0)
        return fail(kernel.error);
    for (size_t i = 0; i < count; i++)
        offered += iov[i].iov_len;
    size_t room = how_many(offered);
    if (room == 0)
        return offered == 0 ? 0 : fail(EAGAIN);
    for (size_t i = 0; i < count && taken < room; i++) {
        size_t part = iov[i].iov_len < room - taken ? iov[i].iov_len : room - taken;
        require(stream->got + part <= STREAM_MAX, "the kernel's side fits");
        memcpy(stream->kernel + stream->got, iov[i].iov_base, part);
        stream->got += part;
        taken += part;
    }
    return (ssize_t)taken;
}

static ssize_t fake_read(int fd, void *buffer, size_t size)
{
    return give(&(struct iovec){buffer, size}, 1);
}

static ssize_t fake_read_chk(int fd, void *buffer, size_t size, size_t room)
{
    return fake_read(fd, buffer, size);
}

static ssize_t fake_readv(int fd, const struct iovec *iov, int count)
{
    return give(iov, count);
}

static ssize_t fake_recv(int fd, void *buffer, size_t size, int flags)
{
    const uint8_t *before = kernel.incoming;
    size_t left = kernel.incoming_left;
    ssize_t result = fake_read(fd, buffer, size);
    if (flags & MSG_PEEK) {
        kernel.incoming = before;
        kernel.incoming_left = left;
    }
    return result;
}

static ssize_t fake_recvfrom(
    int fd, void *buffer, size_t size, int flags, struct sockaddr *from, socklen_t *from_length)
{
    return fake_recv(fd, buffer, size, flags);
}

static ssize_t fake_recvmsg(int fd, struct msghdr *message, int flags)
{
    return give(message->msg_iov, (int)message->msg_iovlen);
}

static ssize_t fake_write(int fd, const void *buffer, size_t size)
{
    return take(fd, &(struct iovec){(void *)buffer, size}, 1);
}

static ssize_t fake_writev(int fd, const struct iovec *iov, int count)
{
    return take(fd, iov, (size_t)count);
}

static ssize_t fake_send(int fd, const void *buffer, size_t size, int flags)
{
    return fake_write(fd, buffer, size);
}

static ssize_t fake_sendmsg(int fd, const struct msghdr *message, int flags)
{
    return take(fd, message->msg_iov, message->msg_iovlen);
}

static ssize_t fake_sendfile(int to, int from, off_t *offset, size_t size)
{
    kernel.streams[to - FIRST_FD].is_blurred = true;
    return kernel.error != 0 ? fail(kernel.error) : (ssize_t)how_many(size);
}

static int fake_accept4(int fd, struct sockaddr *peer, socklen_t *length, int flags)
{
    *(struct sockaddr_in *)peer = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = 7};
    *length = sizeof(struct sockaddr_in);
    return kernel.accepted;
}

static int fake_connect(int fd, const struct sockaddr *peer, socklen_t length)
{
    return kernel.error != 0 ? (int)fail(kernel.error) : 0;
}

static int fake_close(int fd)
{
    return 0;
}

static int fake_shutdown(int fd, int how)
{
    return kernel.error != 0 ? (int)fail(kernel.error) : 0;
}

static int fake_dup2(int fd, int to)
{
    return to;
}

static int fake_getsockopt(int fd, int level, int name, void *value, socklen_t *length)
{
    *(int *)value = kernel.error;
    return 0;
}

static int fake_epoll_wait(int epoll, struct epoll_event *events, int count, int timeout)
{
    return kernel.ready;
}

static int fake_poll(struct pollfd *fds, nfds_t count, int timeout)
{
    return kernel.ready;
}

static void set_originals(void)
{
    original_read = fake_read;
    original___read_chk = fake_read_chk;
    original_readv = fake_readv;
    original_recv = fake_recv;
    original_recvfrom = fake_recvfrom;
    original_recvmsg = fake_recvmsg;
    original_write = fake_write;
    original_writev = fake_writev;
    original_send = originals.send = fake_send;
    original_sendmsg = originals.sendmsg = fake_sendmsg;
    original_sendfile = fake_sendfile;
    original_accept4 = fake_accept4;
    original_connect = fake_connect;
    original_close = fake_close;
    original_shutdown = fake_shutdown;
    original_dup2 = fake_dup2;
    original_getsockopt = fake_getsockopt;
    original_epoll_wait = fake_epoll_wait;
    original_poll = fake_poll;
}

void kernel_start(void)
{
    for (int fd = FIRST_FD; fd <= LISTENER; fd++) {
        int made = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        require(dup2(made, fd) == fd, "there are descriptors");
        close(made);
    }
    set_originals();
}
