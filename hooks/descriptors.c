/* SPDX-License-Identifier: Apache-2.0 */
/* The lives of descriptors: who connects, accepts, duplicates and closes them. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "alone.h"
#include "carrier.h"
#include "hook.h"
#include "process.h"
#include "sandbox.h"
#include "logs_stdio.h"
#include "stream.h"
#include "sys.h"

HOOK(int, connect, (int fd, const struct sockaddr *peer, socklen_t length))
{
    uint64_t start_ns = stream_connect_time();
    int result = ORIGINAL(connect)(fd, peer, length);
    stream_connected(fd, peer, length, start_ns, result);
    if (__builtin_expect(process.epoch > 1 && carrier_connecting != NULL, 0))
        carrier_connecting(__builtin_return_address(0));
    return result;
}

/* The kernel tells an address's whole length even if it had room for less. */
static socklen_t smaller(socklen_t a, socklen_t b)
{
    return a < b ? a : b;
}

/* Who accepts serves: the moment at which runtimes get their carriers. */
static void accepted(int listener, int fd, const struct sockaddr *peer, socklen_t length)
{
    stream_accepted(listener, fd, peer, length);
    carrier_serves();
}

HOOK(int, accept, (int fd, struct sockaddr *peer, socklen_t *length))
{
    socklen_t room = stream_peer_room(peer, length);
    int result = ORIGINAL(accept)(fd, peer, length);
    if (result >= 0)
        accepted(fd, result, peer, room == 0 ? 0 : smaller(room, *length));
    return result;
}

HOOK(int, accept4, (int fd, struct sockaddr *peer, socklen_t *length, int flags))
{
    socklen_t room = stream_peer_room(peer, length);
    int result = ORIGINAL(accept4)(fd, peer, length, flags);
    if (result >= 0)
        accepted(fd, result, peer, room == 0 ? 0 : smaller(room, *length));
    return result;
}

/* How an asynchronous connect() went: the program asks, so it is at work on that connection. */
HOOK(int, getsockopt, (int fd, int level, int name, void *value, socklen_t *length))
{
    int result = ORIGINAL(getsockopt)(fd, level, name, value, length);
    if (name == SO_ERROR && level == SOL_SOCKET && result == 0 && *length >= sizeof(int))
        stream_socket_error(fd, *(int *)value);
    else if (name == TCP_INFO && level == IPPROTO_TCP && carrier_asked != NULL)
        carrier_asked(fd);
    return result;
}

HOOK(int, close, (int fd))
{
    stream_closing(fd);
    return ORIGINAL(close)(fd);
}

/* glibc before 2.34. Who finds our name by dlsym gets what the kernel answers. */
__attribute__((used)) static int absent_close_range(
    unsigned int first, unsigned int last, int flags)
{
    return (int)sys_result(sys(SYS_close_range, first, last, flags));
}

HOOK_OR(absent_close_range, int, close_range, (unsigned int first, unsigned int last, int flags))
{
    if ((flags & CLOSE_RANGE_CLOEXEC) == 0)
        stream_closing_range(first, last);
    return ORIGINAL(close_range)(first, last, flags);
}

/* glibc before 2.34; the kernel's own call is as old as Linux 5.9. */
__attribute__((used)) static void absent_closefrom(int first)
{
    unsigned from = first < 0 ? 0 : (unsigned)first;
    if (sys(SYS_close_range, from, ~0u, 0) == 0)
        return;
    for (unsigned fd = from; fd < DESCRIPTORS_MAX; fd++)
        sys(SYS_close, fd);
}

HOOK_OR(absent_closefrom, void, closefrom, (int first))
{
    stream_closing_range(first < 0 ? 0 : (unsigned)first, UINT_MAX);
    ORIGINAL(closefrom)(first);
}

HOOK(int, shutdown, (int fd, int how))
{
    int result = ORIGINAL(shutdown)(fd, how);
    if (result == 0)
        stream_shut(fd, how);
    return result;
}

HOOK(int, dup, (int fd))
{
    int result = ORIGINAL(dup)(fd);
    if (result >= 0)
        stream_duplicated(fd, result);
    return result;
}

HOOK(int, dup2, (int fd, int to))
{
    int result = ORIGINAL(dup2)(fd, to);
    if (result >= 0)
        stream_duplicated(fd, to);
    return result;
}

HOOK(int, dup3, (int fd, int to, int flags))
{
    int result = ORIGINAL(dup3)(fd, to, flags);
    if (result >= 0)
        stream_duplicated(fd, to);
    return result;
}

static bool duplicates(int command)
{
    return command == F_DUPFD || command == F_DUPFD_CLOEXEC;
}

/* The argument's type depends on the command, but it is passed in a register in every case. */
HOOK(int, fcntl, (int fd, int command, ...))
{
    va_list arguments;
    va_start(arguments, command);
    void *argument = va_arg(arguments, void *);
    va_end(arguments);
    int result = ORIGINAL(fcntl)(fd, command, argument);
    if (duplicates(command) && result >= 0)
        stream_duplicated(fd, result);
    return result;
}

HOOK(int, fcntl64, (int fd, int command, ...))
{
    va_list arguments;
    va_start(arguments, command);
    void *argument = va_arg(arguments, void *);
    va_end(arguments);
    int result = ORIGINAL(fcntl64)(fd, command, argument);
    if (duplicates(command) && result >= 0)
        stream_duplicated(fd, result);
    return result;
}

/* A program's talk with its own children is not looked at. */
HOOK(int, socketpair, (int domain, int type, int protocol, int fds[2]))
{
    int result = ORIGINAL(socketpair)(domain, type, protocol, fds);
    if (result == 0) {
        stream_plain(fds[0]);
        stream_plain(fds[1]);
    }
    return result;
}

static void closing_file(FILE *file)
{
    int saved_errno = errno;
    logs_closing(file);
    if (file != NULL && process.page != NULL) {
        int fd = fileno(file); /* -1 and EBADF for a stream without a descriptor */
        if (__fpending(file) != 0)
            stream_sends_unseen(fd);
        stream_closing(fd);
    }
    errno = saved_errno;
}

HOOK(int, fclose, (FILE * file))
{
    closing_file(file);
    return ORIGINAL(fclose)(file);
}

HOOK(FILE *, freopen, (const char *path, const char *mode, FILE *file))
{
    closing_file(file);
    return ORIGINAL(freopen)(path, mode, file);
}

HOOK(FILE *, freopen64, (const char *path, const char *mode, FILE *file))
{
    closing_file(file);
    return ORIGINAL(freopen64)(path, mode, file);
}

/* libuv closes its sockets by system call number. The six argument registers are passed on whether
 * or not the caller gave that many. */
HOOK(long, syscall, (long number, ...))
{
    va_list arguments;
    long a[6];
    va_start(arguments, number);
    for (int i = 0; i < 6; i++)
        a[i] = va_arg(arguments, long);
    va_end(arguments);
    if (number == SYS_close)
        stream_closing((int)a[0]);
#ifdef SYS_dup2
    else if (number == SYS_dup2 && a[0] != a[1])
        stream_closing((int)a[1]);
#endif
    else if (number == SYS_dup3)
        stream_closing((int)a[1]);
    else if (number == SYS_close_range && (a[2] & CLOSE_RANGE_CLOEXEC) == 0)
        stream_closing_range((unsigned)a[0], (unsigned)a[1]);
    else if (number == SYS_seccomp)
        sandbox_by_seccomp((unsigned long)a[0], (unsigned long)a[2]);
    else if (number == SYS_prctl)
        sandbox_by_prctl((unsigned long)a[0], (unsigned long)a[1], (unsigned long)a[2]);
    else if (number == SYS_unshare)
        alone_for_unshare((unsigned long)a[0]);
    else if (number == SYS_setns)
        alone_for_setns((int)a[0], (unsigned long)a[1]);
    else if (number == SYS_exit)
        exporter_retire();
    return ORIGINAL(syscall)(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
