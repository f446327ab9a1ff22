/* SPDX-License-Identifier: Apache-2.0 */
/* Returns from waits: the boundary between one request's work and the next's. A wait whose set can
 * deliver nothing but the current request's own events is none. */
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/select.h>

#include "hook.h"
#include "readable.h"
#include "stream.h"
#include "sys.h"

enum { ASKED_MAX = 1024 };   /* of a poll's descriptors, to see whether one is a broker's */
enum { PART_MAX = 1 << 30 }; /* of a time-out: more is for ever */

int __poll_chk(struct pollfd *fds, nfds_t count, int timeout, size_t room);
int __ppoll_chk(struct pollfd *fds, nfds_t count, const struct timespec *timeout,
    const sigset_t *mask, size_t room);

/* How long a wait is at most, in nanoseconds; -1: for ever, or it cannot be looked at. Of a thread
 * that has touched nothing of interest nobody asks: then nothing is looked at. */
static int64_t of_milliseconds(int timeout)
{
    return timeout < 0 ? -1 : timeout * INT64_C(1000000);
}

static int64_t of_parts(int64_t seconds, int64_t part, int64_t part_ns)
{
    if (seconds < 0 || seconds > PART_MAX || part < 0 || part > PART_MAX)
        return -1;
    return seconds * INT64_C(1000000000) + part * part_ns;
}

static int64_t of_timespec(const struct timespec *timeout)
{
    if (timeout == NULL || !stream_thread_is_known() || !readable(timeout, sizeof(*timeout)))
        return -1;
    return of_parts(timeout->tv_sec, timeout->tv_nsec, 1);
}

static int64_t of_timeval(const struct timeval *timeout)
{
    if (timeout == NULL || !stream_thread_is_known() || !readable(timeout, sizeof(*timeout)))
        return -1;
    return of_parts(timeout->tv_sec, timeout->tv_usec, 1000);
}

/* One descriptor that is no listener is a thread waiting for its own business. */
static bool is_boundary(const struct pollfd *fds, nfds_t count)
{
    for (nfds_t i = 0; i < count; i++)
        if (fds[i].fd >= 0 && stream_is_foreign(fds[i].fd, count == 1))
            return true;
    return false;
}

static bool is_own(const struct pollfd *fds, nfds_t count)
{
    for (nfds_t i = 0; i < count; i++)
        if (fds[i].fd >= 0 && stream_is_own(fds[i].fd))
            return true;
    return false;
}

/* How an isolated loop's wait is to go on (runtime/isolation.h). */
enum share {
    SHARE_ALL,
    SHARE_ONE, /* of what is ready */
    SHARE_NONE /* as if nothing was: the kernel is asked all the same, and may refuse */
};

static enum share share_of(bool sleeps)
{
    int most = 2;
    if (stream_drains(STREAM_POLLS, &most, sleeps))
        return SHARE_NONE;
    return most == 1 ? SHARE_ONE : SHARE_ALL;
}

/* What the kernel has just written. */
static int share_poll(struct pollfd *fds, nfds_t count, int result, enum share share)
{
    int only = -1;
    if (share == SHARE_ALL || result <= 0)
        return result;
    for (nfds_t i = 0; share == SHARE_ONE && i < count; i++)
        if (fds[i].revents != 0)
            only = stream_turn(fds[i].fd, only);
    result = 0;
    for (nfds_t i = 0; i < count; i++) {
        fds[i].revents = (short)(fds[i].fd == only ? fds[i].revents : 0);
        result += fds[i].revents != 0;
    }
    if (only >= 0)
        stream_give(only);
    return result;
}

/* A wait of no time is a mere look at what is there. */
static int after_poll(const struct pollfd *fds, nfds_t count, int64_t timeout_ns, int result)
{
    if (result < 0 || !stream_thread_is_known())
        return result; /* fds may be what the kernel refused */
    if (timeout_ns != 0 && stream_is_after_answer() && !is_own(fds, count))
        stream_sleep();
    if (result == 0 && timeout_ns != 0)
        for (nfds_t i = 0; i < count; i++)
            stream_wait_timed_out(fds[i].fd);
    if (is_boundary(fds, count))
        stream_waited(count > 1 ? STREAM_POLLS : -1, result, timeout_ns);
    return result;
}

static enum share share_before(const struct pollfd *fds, nfds_t count, int64_t timeout_ns)
{
    if (count < 2 || !readable_all(fds, count * sizeof(*fds)) || !is_boundary(fds, count))
        return SHARE_ALL;
    for (nfds_t i = 0; i < count; i++)
        if ((fds[i].events & POLLOUT) != 0 && fds[i].fd >= 0)
            stream_asks_to_write(fds[i].fd);
    return share_of(timeout_ns != 0);
}

/* Who waits for a broker asks it for more. */
static enum share before_poll(const struct pollfd *fds, nfds_t count, int64_t timeout_ns)
{
    if (__builtin_expect(stream_has_unsettled, 0) && count > 0 && count <= ASKED_MAX &&
        readable_all(fds, count * sizeof(*fds)))
        for (nfds_t i = 0; i < count; i++)
            stream_asks(fds[i].fd, timeout_ns == 0);
    return __builtin_expect(stream_isolates_polls(), 0) ? share_before(fds, count, timeout_ns)
                                                        : SHARE_ALL;
}

static int after_shared_poll(
    struct pollfd *fds, nfds_t count, int64_t timeout_ns, int result, enum share share)
{
    if (share != SHARE_ALL)
        result = share_poll(fds, count, result, share);
    return share == SHARE_NONE ? result : after_poll(fds, count, timeout_ns, result);
}

static int made(int epoll)
{
    stream_epoll_made(epoll);
    return epoll;
}

HOOK(int, epoll_create, (int size))
{
    return made(ORIGINAL(epoll_create)(size));
}

HOOK(int, epoll_create1, (int flags))
{
    return made(ORIGINAL(epoll_create1)(flags));
}

/* Most descriptors can be written at any time, so without EPOLLET a program asks only for those
 * that it is going to write to. */
HOOK(int, epoll_ctl, (int epoll, int operation, int fd, struct epoll_event *event))
{
    int result = ORIGINAL(epoll_ctl)(epoll, operation, fd, event);
    if (result == 0 && operation != EPOLL_CTL_DEL &&
        (event->events & (EPOLLOUT | EPOLLET)) == EPOLLOUT)
        stream_asks_to_write(fd);
    stream_epoll_changed(epoll, operation, fd);
    return result;
}

/* An epoll set of a program belongs to its event loop: it holds listeners, wake-ups, everybody's
 * connections. But one that is made for this wait is as a poll's. */
static int after_epoll(int epoll, int result, int64_t timeout_ns)
{
    struct pollfd only = {.fd = stream_epoll_only(epoll, result)};
    if (only.fd >= 0)
        return after_poll(&only, 1, timeout_ns, result);
    stream_waited(epoll, result, timeout_ns);
    return result;
}

HOOK(int, epoll_wait, (int epoll, struct epoll_event *events, int count, int timeout))
{
    stream_asks(-1, false);
    if (stream_drains(epoll, &count, timeout != 0))
        return 0;
    return after_epoll(
        epoll, ORIGINAL(epoll_wait)(epoll, events, count, timeout), of_milliseconds(timeout));
}

HOOK(int, epoll_pwait,
    (int epoll, struct epoll_event *events, int count, int timeout, const sigset_t *mask))
{
    stream_asks(-1, false);
    if (mask == NULL && stream_drains(epoll, &count, timeout != 0))
        return 0;
    return after_epoll(epoll, ORIGINAL(epoll_pwait)(epoll, events, count, timeout, mask),
        of_milliseconds(timeout));
}

/* glibc before 2.35; the kernel's own call is as old as Linux 5.11. */
__attribute__((used)) static int absent_epoll_pwait2(int epoll, struct epoll_event *events,
    int count, const struct timespec *timeout, const sigset_t *mask)
{
    return (int)sys_result(sys(SYS_epoll_pwait2, epoll, events, count, timeout, mask, _NSIG / 8));
}

HOOK_OR(absent_epoll_pwait2, int, epoll_pwait2,
    (int epoll, struct epoll_event *events, int count, const struct timespec *timeout,
        const sigset_t *mask))
{
    stream_asks(-1, false);
    int64_t timeout_ns = of_timespec(timeout);
    if (mask == NULL && stream_drains(epoll, &count, timeout_ns != 0))
        return 0;
    return after_epoll(
        epoll, ORIGINAL(epoll_pwait2)(epoll, events, count, timeout, mask), timeout_ns);
}

HOOK(int, poll, (struct pollfd * fds, nfds_t count, int timeout))
{
    int64_t timeout_ns = of_milliseconds(timeout);
    enum share share = before_poll(fds, count, timeout_ns);
    return after_shared_poll(fds, count, timeout_ns, ORIGINAL(poll)(fds, count, timeout), share);
}

HOOK(int, __poll_chk, (struct pollfd * fds, nfds_t count, int timeout, size_t room))
{
    int64_t timeout_ns = of_milliseconds(timeout);
    enum share share = before_poll(fds, count, timeout_ns);
    return after_shared_poll(
        fds, count, timeout_ns, ORIGINAL(__poll_chk)(fds, count, timeout, room), share);
}

HOOK(int, ppoll,
    (struct pollfd * fds, nfds_t count, const struct timespec *timeout, const sigset_t *mask))
{
    int64_t timeout_ns = of_timespec(timeout);
    enum share share = before_poll(fds, count, timeout_ns);
    return after_shared_poll(
        fds, count, timeout_ns, ORIGINAL(ppoll)(fds, count, timeout, mask), share);
}

HOOK(int, __ppoll_chk,
    (struct pollfd * fds, nfds_t count, const struct timespec *timeout, const sigset_t *mask,
        size_t room))
{
    int64_t timeout_ns = of_timespec(timeout);
    enum share share = before_poll(fds, count, timeout_ns);
    return after_shared_poll(
        fds, count, timeout_ns, ORIGINAL(__ppoll_chk)(fds, count, timeout, mask, room), share);
}

static bool is_in(const fd_set *set, int fd)
{
    return set != NULL && (__FDS_BITS(set)[fd / __NFDBITS] & __FD_MASK(fd)) != 0;
}

/* What a select waits for: the sets are overwritten by the call. */
struct selection {
    fd_set *sets[3]; /* to read, to write, errors */
    int limit;
    bool is_boundary, is_several;
    enum share share;
};

static size_t bytes_of(int limit)
{
    return limit > 0 ? ((size_t)limit + __NFDBITS - 1) / __NFDBITS * sizeof(__fd_mask) : 0;
}

static bool is_readable(const struct selection *selection, int limit)
{
    for (int i = 0; i < 3; i++)
        if (selection->sets[i] != NULL && !readable_all(selection->sets[i], bytes_of(limit)))
            return false;
    return true;
}

static void share_select(struct selection *selection, int64_t timeout_ns)
{
    if (selection->limit > ASKED_MAX || !is_readable(selection, selection->limit))
        return;
    for (int fd = 0; fd < selection->limit; fd++)
        if (is_in(selection->sets[1], fd))
            stream_asks_to_write(fd);
    selection->share = share_of(timeout_ns != 0);
}

static void before_select(struct selection *selection, int64_t timeout_ns)
{
    const fd_set *reads = selection->sets[0], *writes = selection->sets[1];
    int members = 0, only = -1;
    bool is_foreign = false, is_own = false;
    if (!stream_thread_is_known())
        return;
    /* Like the kernel, no further than there are descriptors. */
    uint32_t highest = __atomic_load_n(&descriptor_highest, __ATOMIC_RELAXED);
    int limit = selection->limit;
    if (limit > 0 && (uint32_t)limit > highest + 1)
        limit = (int)highest + 1;
    selection->is_boundary = true;
    if (!is_readable(selection, limit))
        return;
    for (int fd = 0; fd < limit; fd++) {
        if (!is_in(reads, fd) && !is_in(writes, fd))
            continue;
        members++;
        only = fd;
        stream_asks(fd, timeout_ns == 0);
        is_foreign = is_foreign || stream_is_foreign(fd, false);
        is_own = is_own || stream_is_own(fd);
    }
    if (timeout_ns != 0 && (members == 0 || stream_is_after_answer()) && !is_own)
        stream_sleep();
    selection->is_boundary = members == 1 ? stream_is_foreign(only, true) : is_foreign;
    selection->is_several = members > 1;
    if (selection->is_boundary && selection->is_several && stream_isolates_polls())
        share_select(selection, timeout_ns);
}

/* What the kernel has just written. */
static int shared_select(const struct selection *selection, int result)
{
    int only = -1;
    if (result <= 0)
        return result;
    for (int fd = 0; selection->share == SHARE_ONE && fd < selection->limit; fd++)
        for (int i = 0; i < 3; i++)
            if (is_in(selection->sets[i], fd))
                only = stream_turn(fd, only);
    result = 0;
    for (int i = 0; i < 3; i++) {
        bool is_ready = only >= 0 && is_in(selection->sets[i], only);
        if (selection->sets[i] != NULL)
            memset(selection->sets[i], 0, bytes_of(selection->limit));
        if (is_ready)
            __FDS_BITS(selection->sets[i])[only / __NFDBITS] = __FD_MASK(only);
        result += is_ready;
    }
    if (only >= 0)
        stream_give(only);
    return result;
}

static int after_select(const struct selection *selection, int64_t timeout_ns, int result)
{
    if (selection->share != SHARE_ALL)
        result = shared_select(selection, result);
    if (selection->is_boundary && selection->share != SHARE_NONE)
        stream_waited(selection->is_several ? STREAM_POLLS : -1, result, timeout_ns);
    return result;
}

HOOK(int, select,
    (int limit, fd_set *reads, fd_set *writes, fd_set *errors, struct timeval *timeout))
{
    int64_t timeout_ns = of_timeval(timeout); /* the call changes it */
    struct selection selection = {{reads, writes, errors}, limit};
    before_select(&selection, timeout_ns);
    return after_select(
        &selection, timeout_ns, ORIGINAL(select)(limit, reads, writes, errors, timeout));
}

HOOK(int, pselect,
    (int limit, fd_set *reads, fd_set *writes, fd_set *errors, const struct timespec *timeout,
        const sigset_t *mask))
{
    int64_t timeout_ns = of_timespec(timeout);
    struct selection selection = {{reads, writes, errors}, limit};
    before_select(&selection, timeout_ns);
    return after_select(
        &selection, timeout_ns, ORIGINAL(pselect)(limit, reads, writes, errors, timeout, mask));
}
