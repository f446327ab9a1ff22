/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes that arrive: POSIX read and recv families and their fortified twins (glibc, debug/). */
#include <errno.h>
#include <limits.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "hook.h"
#include "logs.h"
#include "readable.h"
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

/* The kernel reads an array of buffers before it fills them. One that lies in what it fills, or
 * that another thread uses again meanwhile, is another one afterwards: its mark tells. */
enum { UNMARKED }; /* it is not known that it can be read */

static uint64_t mixed(uint64_t mark, uint64_t word)
{
    const uint64_t odd = 0x9e3779b97f4a7c15;
    mark = (mark ^ word) * odd;
    return mark ^ mark >> 32;
}

static uint64_t mark_of(const struct iovec *iov, size_t count)
{
    uint64_t mark = count;
    if (count > IOV_MAX || !readable_all(iov, count * sizeof(*iov)))
        return UNMARKED;
    for (size_t i = 0; i < count; i++)
        mark = mixed(mixed(mark, (uintptr_t)iov[i].iov_base), iov[i].iov_len);
    return mark | 1;
}

/* What was read into buffers with this mark. */
static void received_into(
    const struct sight *sight, const struct iovec *iov, size_t count, uint64_t mark, ssize_t result)
{
    if (result < 0)
        stream_received(sight, NULL, 0, result); /* the array may be what the kernel refused */
    else if (mark != UNMARKED && mark_of(iov, count) == mark)
        stream_received(sight, iov, (int)count, result);
    else
        stream_received_unseen(sight, result);
}

HOOK_STREAM(ssize_t, readv, (int fd, const struct iovec *iov, int count), (fd, iov, count),
    stream_is_plain(fd))
{
    struct sight sight;
    if (!stream_look(fd, &sight))
        return elsewhere(fd, ORIGINAL(readv)(fd, iov, count));
    uint64_t mark = mark_of(iov, (size_t)count);
    ssize_t result = ORIGINAL(readv)(fd, iov, count);
    received_into(&sight, iov, (size_t)count, mark, result);
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
    const char *end = (char *)message->msg_control + message->msg_controllen;
    for (struct cmsghdr *control = CMSG_FIRSTHDR(message); control != NULL;
         control = CMSG_NXTHDR((struct msghdr *)message, control)) {
        if (control->cmsg_level != SOL_SOCKET || control->cmsg_type != SCM_RIGHTS)
            continue;
        size_t room = (size_t)(end - (char *)control), length = control->cmsg_len;
        const int *numbers = (const int *)CMSG_DATA(control);
        for (size_t at = CMSG_LEN(sizeof(int)); at <= length && at <= room; at += sizeof(int))
            stream_unknown(*numbers++);
    }
}

HOOK(ssize_t, recvmsg, (int fd, struct msghdr *message, int flags))
{
    struct sight sight;
    struct msghdr given = {0}; /* the message may lie in what is filled */
    bool is_watched = is_stream_read(flags) && stream_look(fd, &sight);
    /* A thread of which nothing is known remembers no page: it would ask the kernel each time. */
    bool is_known = (is_watched || thread_self != NULL) && readable(message, sizeof(*message));
    uint64_t mark = UNMARKED;
    if (is_known)
        given = *message;
    if (is_known && is_watched)
        mark = mark_of(given.msg_iov, given.msg_iovlen);
    ssize_t result = ORIGINAL(recvmsg)(fd, message, flags);
    if (result >= 0 && message->msg_controllen > 0) {
        if (!is_known)
            given.msg_control = message->msg_control;
        given.msg_controllen = message->msg_controllen; /* what the kernel writes last */
        forget_received_descriptors(&given);
    }
    if (!is_watched)
        return elsewhere(fd, result);
    if (result >= 0 && (flags & MSG_TRUNC))
        stream_received_unseen(&sight, result);
    else
        received_into(&sight, given.msg_iov, given.msg_iovlen, mark, result);
    return result;
}

enum { MARKED_MAX = 64 }; /* messages of one call */

static uint64_t mark_of_all(const struct mmsghdr *messages, unsigned count)
{
    uint64_t mark = count;
    if (count > MARKED_MAX || !readable_all(messages, count * sizeof(*messages)))
        return UNMARKED;
    for (unsigned i = 0; i < count; i++) {
        const struct msghdr *message = &messages[i].msg_hdr;
        mark = mixed(mark, (uintptr_t)message->msg_iov);
        mark = mixed(mark, mark_of(message->msg_iov, message->msg_iovlen));
    }
    return mark | 1;
}

HOOK_STREAM(int, recvmmsg,
    (int fd, struct mmsghdr *messages, unsigned int count, int flags, struct timespec *timeout),
    (fd, messages, count, flags, timeout), stream_is_plain(fd))
{
    struct sight sight;
    if (!is_stream_read(flags) || !stream_look(fd, &sight))
        return elsewhere(fd, ORIGINAL(recvmmsg)(fd, messages, count, flags, timeout));
    uint64_t mark = mark_of_all(messages, count);
    int result = ORIGINAL(recvmmsg)(fd, messages, count, flags, timeout);
    bool is_seen = result > 0 && !(flags & MSG_TRUNC) && mark != UNMARKED &&
                   mark_of_all(messages, count) == mark;
    for (int i = 0; i < result; i++)
        if (is_seen)
            stream_received(&sight, messages[i].msg_hdr.msg_iov,
                (int)messages[i].msg_hdr.msg_iovlen, messages[i].msg_len);
        else
            stream_received_unseen(&sight, messages[i].msg_len);
    return result;
}
