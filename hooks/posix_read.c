/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes that arrive: POSIX read and recv families and their fortified twins (glibc, debug/). */
#include <errno.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "hook.h"
#include "logs.h"
#include "stream.h"

/* No declaration of these is in a public header: glibc's ABI, debug/read_chk.c and its neighbours.
 */
ssize_t __read_chk(int fd, void *buffer, size_t size, size_t room);
ssize_t __recv_chk(int fd, void *buffer, size_t size, size_t room, int flags);
ssize_t __recvfrom_chk(int fd, void *buffer, size_t size, size_t room, int flags,
    struct sockaddr *from, socklen_t *from_length);

/* Peeked bytes come again; urgent and error-queue data are not part of the stream. */
static bool is_stream_read(int flags)
{
    return (flags & (MSG_PEEK | MSG_OOB | MSG_ERRQUEUE)) == 0;
}

/* What is not followed was read. */
__attribute__((noinline)) static ssize_t elsewhere(int fd, ssize_t result)
{
    logs_read(fd, result);
    return result;
}

static ssize_t received(
    const struct sight *sight, void *buffer, size_t size, int flags, ssize_t result)
{
    if ((flags & MSG_TRUNC) == 0)
        return stream_received_into(sight, buffer, size, result);
    stream_received_unseen(sight, result); /* TCP: discarded, nothing was written to buffer */
    return result;
}

HOOK_STREAM(
    ssize_t, read, (int fd, void *buffer, size_t size), (fd, buffer, size), stream_is_plain(fd))
{
    struct sight sight;
    if (!stream_look(fd, &sight))
        return elsewhere(fd, ORIGINAL(read)(fd, buffer, size));
    return received(&sight, buffer, size, 0, ORIGINAL(read)(fd, buffer, size));
}

HOOK_STREAM(ssize_t, __read_chk, (int fd, void *buffer, size_t size, size_t room),
    (fd, buffer, size, room), stream_is_plain(fd))
{
    struct sight sight;
    if (!stream_look(fd, &sight))
        return elsewhere(fd, ORIGINAL(__read_chk)(fd, buffer, size, room));
    return received(&sight, buffer, size, 0, ORIGINAL(__read_chk)(fd, buffer, size, room));
}

HOOK_STREAM(ssize_t, readv, (int fd, const struct iovec *iov, int count), (fd, iov, count),
    stream_is_plain(fd))
{
    struct sight sight;
    if (!stream_look(fd, &sight))
        return elsewhere(fd, ORIGINAL(readv)(fd, iov, count));
    ssize_t result = ORIGINAL(readv)(fd, iov, count);
    stream_received(&sight, iov, count, result);
    return result;
}

HOOK_STREAM(ssize_t, recv, (int fd, void *buffer, size_t size, int flags),
    (fd, buffer, size, flags), stream_is_plain(fd))
{
    struct sight sight;
    if (!is_stream_read(flags) || !stream_look(fd, &sight))
        return elsewhere(fd, ORIGINAL(recv)(fd, buffer, size, flags));
    return received(&sight, buffer, size, flags, ORIGINAL(recv)(fd, buffer, size, flags));
}

HOOK_STREAM(ssize_t, __recv_chk, (int fd, void *buffer, size_t size, size_t room, int flags),
    (fd, buffer, size, room, flags), stream_is_plain(fd))
{
    struct sight sight;
    if (!is_stream_read(flags) || !stream_look(fd, &sight))
        return elsewhere(fd, ORIGINAL(__recv_chk)(fd, buffer, size, room, flags));
    return received(
        &sight, buffer, size, flags, ORIGINAL(__recv_chk)(fd, buffer, size, room, flags));
}

HOOK_STREAM(ssize_t, recvfrom,
    (int fd, void *buffer, size_t size, int flags, struct sockaddr *from, socklen_t *from_length),
    (fd, buffer, size, flags, from, from_length), stream_is_plain(fd))
{
    struct sight sight;
    if (!is_stream_read(flags) || !stream_look(fd, &sight))
        return elsewhere(fd, ORIGINAL(recvfrom)(fd, buffer, size, flags, from, from_length));
    return received(&sight, buffer, size, flags,
        ORIGINAL(recvfrom)(fd, buffer, size, flags, from, from_length));
}

HOOK_STREAM(ssize_t, __recvfrom_chk,
    (int fd, void *buffer, size_t size, size_t room, int flags, struct sockaddr *from,
        socklen_t *from_length),
    (fd, buffer, size, room, flags, from, from_length), stream_is_plain(fd))
{
    struct sight sight;
    if (!is_stream_read(flags) || !stream_look(fd, &sight))
        return elsewhere(
            fd, ORIGINAL(__recvfrom_chk)(fd, buffer, size, room, flags, from, from_length));
    return received(&sight, buffer, size, flags,
        ORIGINAL(__recvfrom_chk)(fd, buffer, size, room, flags, from, from_length));
}

/* Descriptors that came along (SCM_RIGHTS) have numbers of which an older meaning may be known. */
static void forget_received_descriptors(const struct msghdr *message)
{
    for (struct cmsghdr *control = CMSG_FIRSTHDR(message); control != NULL;
         control = CMSG_NXTHDR((struct msghdr *)message, control)) {
        if (control->cmsg_level != SOL_SOCKET || control->cmsg_type != SCM_RIGHTS)
            continue;
        const int *numbers = (const int *)CMSG_DATA(control);
        size_t count = (control->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++)
            stream_unknown(numbers[i]);
    }
}

HOOK(ssize_t, recvmsg, (int fd, struct msghdr *message, int flags))
{
    struct sight sight;
    bool is_watched = is_stream_read(flags) && stream_look(fd, &sight);
    ssize_t result = ORIGINAL(recvmsg)(fd, message, flags);
    if (result >= 0 && message->msg_controllen > 0)
        forget_received_descriptors(message);
    if (!is_watched)
        return elsewhere(fd, result);
    if (result < 0)
        stream_received(&sight, NULL, 0, result); /* the message may be what the kernel refused */
    else if (flags & MSG_TRUNC)
        stream_received_unseen(&sight, result);
    else
        stream_received(&sight, message->msg_iov, (int)message->msg_iovlen, result);
    return result;
}

HOOK_STREAM(int, recvmmsg,
    (int fd, struct mmsghdr *messages, unsigned int count, int flags, struct timespec *timeout),
    (fd, messages, count, flags, timeout), stream_is_plain(fd))
{
    struct sight sight;
    if (!is_stream_read(flags) || !stream_look(fd, &sight))
        return elsewhere(fd, ORIGINAL(recvmmsg)(fd, messages, count, flags, timeout));
    int result = ORIGINAL(recvmmsg)(fd, messages, count, flags, timeout);
    for (int i = 0; i < result; i++)
        if (flags & MSG_TRUNC)
            stream_received_unseen(&sight, messages[i].msg_len);
        else
            stream_received(&sight, messages[i].msg_hdr.msg_iov,
                (int)messages[i].msg_hdr.msg_iovlen, messages[i].msg_len);
    return result;
}
