/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes that leave: POSIX write and send families, sendfile and splice. */
#include <fcntl.h>
#include <limits.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "hook.h"
#include "logs.h"
#include "readable.h"
#include "stream.h"

enum { FLAG_COMPAT = INT32_MIN }; /* MSG_CMSG_COMPAT: sendmsg() refuses what send() takes */

/* Urgent bytes are no part of the stream; a zero-copy buffer must stay as the host keeps it. */
static bool is_editable(int flags)
{
    return (flags & (MSG_OOB | MSG_ZEROCOPY | MSG_FASTOPEN | FLAG_COMPAT)) == 0;
}

/* Sends through us if lines have to be inserted. False: the caller makes the host's own call. */
static bool sent_by_us(const struct sight *sight, const struct outgoing *out, ssize_t *result)
{
    return stream_send(sight, out, result) ||
           (stream_is_pending(sight) && !stream_flush(sight, out->flags, result));
}

/* No connections; logs, maybe. is_one: by write; else by writev. */
__attribute__((noinline)) static ssize_t write_elsewhere(
    int fd, const struct iovec *iov, int count, bool is_one);

HOOK_STREAM(ssize_t, write, (int fd, const void *buffer, size_t size), (fd, buffer, size),
    stream_is_plain(fd))
{
    struct sight sight;
    if (!stream_look(fd, &sight))
        return write_elsewhere(fd, &(struct iovec){(void *)buffer, size}, 1, true);
    struct iovec iov = {(void *)buffer, size};
    struct outgoing out = {&iov, 1, 0, buffer != NULL};
    ssize_t result;
    if (sent_by_us(&sight, &out, &result))
        return result;
    result = ORIGINAL(write)(fd, buffer, size);
    stream_sent(&sight, &out, result);
    return result;
}

HOOK_STREAM(ssize_t, writev, (int fd, const struct iovec *iov, int count), (fd, iov, count),
    stream_is_plain(fd))
{
    struct sight sight;
    if (!stream_look(fd, &sight))
        return write_elsewhere(fd, iov, count, false);
    struct outgoing out = {iov, count, 0, iov != NULL && count > 0 && count <= IOV_MAX, true};
    ssize_t result;
    if (sent_by_us(&sight, &out, &result))
        return result;
    result = ORIGINAL(writev)(fd, iov, count);
    stream_sent(&sight, &out, result);
    return result;
}

static ssize_t write_plainly(int fd, const struct iovec *iov, int count, bool is_one)
{
    return is_one ? ORIGINAL(write)(fd, iov->iov_base, iov->iov_len)
                  : ORIGINAL(writev)(fd, iov, count);
}

static ssize_t write_elsewhere(int fd, const struct iovec *iov, int count, bool is_one)
{
    ssize_t result;
    if (!logs_has(fd))
        return write_plainly(fd, iov, count, is_one);
    if (logs_write(fd, iov, count, &result))
        return result;
    result = write_plainly(fd, iov, count, is_one);
    logs_written(fd, iov, count, result);
    return result;
}

HOOK_STREAM(ssize_t, send, (int fd, const void *buffer, size_t size, int flags),
    (fd, buffer, size, flags), stream_is_plain(fd))
{
    struct sight sight;
    if (!stream_look(fd, &sight))
        return ORIGINAL(send)(fd, buffer, size, flags);
    struct iovec iov = {(void *)buffer, size};
    struct outgoing out = {&iov, 1, flags, is_editable(flags) && buffer != NULL};
    ssize_t result;
    if (sent_by_us(&sight, &out, &result))
        return result;
    result = ORIGINAL(send)(fd, buffer, size, flags);
    if (!(flags & MSG_OOB))
        stream_sent(&sight, &out, result);
    return result;
}

HOOK_STREAM(ssize_t, sendto,
    (int fd, const void *buffer, size_t size, int flags, const struct sockaddr *to,
        socklen_t to_length),
    (fd, buffer, size, flags, to, to_length), stream_is_plain(fd))
{
    struct sight sight;
    if (!stream_look(fd, &sight))
        return ORIGINAL(sendto)(fd, buffer, size, flags, to, to_length);
    struct iovec iov = {(void *)buffer, size};
    struct outgoing out = {&iov, 1, flags, is_editable(flags) && to == NULL && buffer != NULL};
    ssize_t result;
    if (sent_by_us(&sight, &out, &result))
        return result;
    result = ORIGINAL(sendto)(fd, buffer, size, flags, to, to_length);
    if (!(flags & MSG_OOB))
        stream_sent(&sight, &out, result);
    return result;
}

static struct outgoing outgoing_message(const struct msghdr *message, int flags)
{
    return (struct outgoing){message->msg_iov, (int)message->msg_iovlen, flags,
        is_editable(flags) && message->msg_name == NULL && message->msg_controllen == 0 &&
            message->msg_iovlen <= IOV_MAX && message->msg_iov != NULL,
        true};
}

HOOK_STREAM(ssize_t, sendmsg, (int fd, const struct msghdr *message, int flags),
    (fd, message, flags), stream_is_plain(fd))
{
    struct sight sight;
    if (!stream_look(fd, &sight))
        return ORIGINAL(sendmsg)(fd, message, flags);
    struct outgoing out = {.flags = flags};
    if (readable(message, sizeof(*message)))
        out = outgoing_message(message, flags);
    ssize_t result;
    if (sent_by_us(&sight, &out, &result))
        return result;
    result = ORIGINAL(sendmsg)(fd, message, flags);
    if (result > 0)
        out = outgoing_message(message, flags); /* the kernel has read it */
    if (!(flags & MSG_OOB))
        stream_sent(&sight, &out, result);
    return result;
}

HOOK_STREAM(int, sendmmsg, (int fd, struct mmsghdr *messages, unsigned int count, int flags),
    (fd, messages, count, flags), stream_is_plain(fd))
{
    struct sight sight;
    ssize_t flushed;
    if (!stream_look(fd, &sight))
        return ORIGINAL(sendmmsg)(fd, messages, count, flags);
    if (!stream_flush(&sight, flags, &flushed))
        return (int)flushed;
    int result = ORIGINAL(sendmmsg)(fd, messages, count, flags);
    for (int i = 0; i < result; i++) {
        struct outgoing out = outgoing_message(&messages[i].msg_hdr, flags);
        stream_sent(&sight, &out, messages[i].msg_len);
    }
    return result;
}

HOOK_STREAM(ssize_t, sendfile, (int to, int from, off_t *offset, size_t size),
    (to, from, offset, size), stream_is_plain(to))
{
    struct sight sight;
    ssize_t result;
    if (!stream_look(to, &sight))
        return ORIGINAL(sendfile)(to, from, offset, size);
    if (!stream_flush(&sight, 0, &result))
        return result;
    result = ORIGINAL(sendfile)(to, from, offset, size);
    stream_sent_unseen(&sight, result);
    return result;
}

HOOK_STREAM(ssize_t, sendfile64, (int to, int from, off64_t *offset, size_t size),
    (to, from, offset, size), stream_is_plain(to))
{
    struct sight sight;
    ssize_t result;
    if (!stream_look(to, &sight))
        return ORIGINAL(sendfile64)(to, from, offset, size);
    if (!stream_flush(&sight, 0, &result))
        return result;
    result = ORIGINAL(sendfile64)(to, from, offset, size);
    stream_sent_unseen(&sight, result);
    return result;
}

HOOK_STREAM(ssize_t, splice,
    (int from, off64_t *from_offset, int to, off64_t *to_offset, size_t size, unsigned int flags),
    (from, from_offset, to, to_offset, size, flags), stream_is_plain(from) && stream_is_plain(to))
{
    struct sight sight_from, sight_to;
    bool watches_from = stream_look(from, &sight_from);
    bool watches_to = stream_look(to, &sight_to);
    ssize_t result;
    if (watches_to && !stream_flush(&sight_to, 0, &result))
        return result;
    result = ORIGINAL(splice)(from, from_offset, to, to_offset, size, flags);
    if (watches_from)
        stream_received_unseen(&sight_from, result);
    if (watches_to)
        stream_sent_unseen(&sight_to, result);
    return result;
}
