/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What hooks report: bytes and ends of byte streams, and the lives of descriptors. Host threads,
 * outside any observe block; every function opens its own, keeps errno, and may be called with any
 * arguments that the host passed. Nothing here waits, but for one case: two threads at one
 * connection (connection.h), five milliseconds at most.
 *
 * The way of a call:  stream_is_plain, stream_look, then the original, then one of the reports; for
 * outgoing bytes stream_send first, which makes the call itself if lines have to be inserted.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "connection.h"
#include "descriptor.h"
#include "ours.h"

/* Nothing to observe on fd: two loads. A hook asks this first and leaves by a tail call, so that
 * what is none of our business costs next to nothing. False before the constructor and while inert:
 * then the longer way leads to the original, too. */
static inline bool stream_is_plain(int fd)
{
    return __builtin_expect(
        (uint32_t)fd < descriptor_limit &&
            __atomic_load_n(&descriptor_table[fd], __ATOMIC_RELAXED) == SLOT_PLAIN,
        1);
}

/* Finds the connection of fd. False: nothing to observe after all. */
static inline bool stream_look(int fd, struct sight *sight)
{
    return descriptor_slot(fd) != SLOT_PLAIN && connection_look(fd, sight);
}

/* --- bytes --------------------------------------------------------------------------------- */

/* The original returned `result` after a read into iov; requested: there was room at all. */
void stream_received(const struct sight *sight, const struct iovec *iov, int count, ssize_t result);
/* The same for one buffer. Answers what the host is to get: more than result if a line was put into
 * what was read (passing.h). */
ssize_t stream_received_into(const struct sight *sight, void *buffer, size_t size, ssize_t result);
/* Bytes arrived that the host never gets to see as bytes (MSG_TRUNC, splice). */
void stream_received_unseen(const struct sight *sight, ssize_t result);

struct outgoing {
    const struct iovec *iov;
    int count;
    int flags;     /* of sendmsg, 0 for write */
    bool editable; /* false: control data, addresses, MSG_OOB, MSG_ZEROCOPY: send as it is */
    bool is_given; /* iov is the host's own, too */
};

/* Sends the host's bytes with lines inserted, if any are due, and reports them. False: nothing is
 * to be inserted, nothing was done: call the original, then stream_sent. True: *result and errno
 * are what the host gets. */
bool stream_send(const struct sight *sight, const struct outgoing *out, ssize_t *result);
void stream_sent(const struct sight *sight, const struct outgoing *out, ssize_t result);
/* Are lines of ours cut short, so that their rest is due before the host's next byte? */
static inline bool stream_is_pending(const struct sight *sight)
{
    return __atomic_load_n(&sight->connection->pending.text_index, __ATOMIC_RELAXED) != 0;
}
/* Before bytes go out that we cannot edit: sends what is pending of our lines. False: *result and
 * errno are what the host gets instead of its call. */
bool stream_flush(const struct sight *sight, int flags, ssize_t *result);
void stream_sent_unseen(const struct sight *sight, ssize_t result);

/* --- descriptors --------------------------------------------------------------------------- */

/* The room that an accept() has for the peer's address, 0 if there is none to read. Before it. */
socklen_t stream_peer_room(const struct sockaddr *peer, const socklen_t *length);
void stream_accepted(int listener, int fd, const struct sockaddr *peer, socklen_t length);
/* Monotonic time for stream_connected, 0 while inert. */
uint64_t stream_connect_time(void);
void stream_connected(
    int fd, const struct sockaddr *peer, socklen_t length, uint64_t start_ns, int result);
void stream_socket_error(int fd, int error); /* what SO_ERROR told the host */
void stream_closing(int fd);                 /* before the original */
void stream_closing_range(unsigned first, unsigned last);
/* The process ends, and the kernel closes what is open: what is open of requests ends with it, as
 * by close(). Before the last flush. */
void stream_process_ends(void);
/* Something is going out by stdio, whose writes are inside libc. */
void stream_sends_unseen(int fd);
void stream_duplicated(int from, int to); /* after the original */
void stream_shut(int fd, int how);        /* after the original succeeded */
void stream_plain(int fd);                /* a descriptor that we do not observe */
void stream_unknown(int fd);              /* a descriptor that came from elsewhere */

/* --- waiting ------------------------------------------------------------------------------- */

/* Before a wait for fd, or for a set of epoll (-1): messages that nobody acknowledges are over when
 * the thread that read them asks for more, and so is work after an acknowledgement. looks: it will
 * not sleep, but only sees whether there is more. Two loads where there never were any. */
OURS bool stream_has_unsettled;
void stream_asks_for_more(int fd, bool looks);
static inline void stream_asks(int fd, bool looks)
{
    if (__builtin_expect(stream_has_unsettled, 0))
        stream_asks_for_more(fd, looks);
}
/* The host is to be told once fd can be written, and each time that it looks until it takes that
 * back. */
void stream_asks_to_write(int fd);
/* In the place of a descriptor of epoll: waits by poll and select for several, which are one loop.
 */
enum { STREAM_POLLS = -2 };
/* Before a wait on a descriptor of epoll, whose loop may be isolated. True: the host is to get 0,
 * no event, at once. Else *most is how many it is to get at most. sleeps: it would have waited. */
bool stream_drains(int epoll, int *most, bool sleeps);
/* Is this thread's loop by poll or select isolated? What it is given goes round: of two descriptors
 * that are ready, which one is it its turn of? best: -1: none yet. And that was given to it. */
bool stream_isolates_polls(void);
int stream_turn(int fd, int best);
void stream_give(int fd);
/* The thread returned from a wait that may have delivered an event of anybody's. */
/* epoll: on this descriptor, or STREAM_POLLS; -1: on others. events: the wait's result. timeout_ns:
 * how long it would have waited; -1: for ever, or not known. */
void stream_waited(int epoll, int events, int64_t timeout_ns);
/* The thread has made a descriptor of epoll, and changed what one waits for. */
void stream_epoll_made(int epoll);
void stream_epoll_changed(int epoll, int operation, int fd);
/* Of a wait on one, and its result: the only descriptor in it, if the thread has made it and not
 * waited before, so that it has waited as by poll for that one alone; -1 else. */
int stream_epoll_only(int epoll, int events);
/* Has this thread touched anything of interest yet? If not, its waits mean nothing. */
bool stream_thread_is_known(void);
/* Could a wait for fd deliver something that is not the current context's? A thread that waits for
 * one connection alone waits for its own. */
bool stream_is_foreign(int fd, bool alone);
/* Is fd a connection of the request that the thread is at work on? */
bool stream_is_own(int fd);
/* The thread is about to sleep, or to wait for what is not its request's: then its work after the
 * answer is over. */
void stream_sleep(void);
/* Is it at work on one that was answered, so that a wait matters even if it is no boundary? */
bool stream_is_after_answer(void);
/* The thread is about to wait for another thread. True: stream_unpark is to follow. */
bool stream_park(void);
void stream_unpark(void);
/* A wait for fd alone, or for few, ended by time. */
void stream_wait_timed_out(int fd);
