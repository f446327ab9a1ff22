/* SPDX-License-Identifier: Apache-2.0 */
/* A kernel for hooks: their originals, which take and give what the test has laid out. The hooks
 * are linked under other names (HOOK_SYMBOL of hook.h), so that the test's own calls are libc's. */
#pragma once

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

ssize_t __read_chk(int fd, void *buffer, size_t size, size_t room);

/* The hook, and where it finds its original. */
#define HOOKED(X)                                                                                  \
    X(read)                                                                                        \
    X(readv) X(recv) X(recvfrom) X(recvmsg) X(__read_chk) X(write) X(writev) X(send) X(sendmsg)    \
        X(sendfile) X(accept4) X(connect) X(close) X(shutdown) X(dup2) X(getsockopt) X(epoll_wait) \
            X(poll)
#define DECLARE_HOOK(name)                                          \
    extern __typeof__(name) hooked_##name __asm__("hooked_" #name); \
    extern __typeof__(name) *original_##name;
HOOKED(DECLARE_HOOK)

enum { SOCKETS = 6, FIRST_FD = 600, LISTENER = FIRST_FD + SOCKETS, STREAM_MAX = 1 << 21 };
enum { TAKES_ALL = 255, TAKES_MAX = 3 };

/* What the host was told has gone out, and what the kernel got. */
struct stream {
    bool is_open;
    bool is_blurred; /* bytes went out that this kernel does not see */
    size_t told, got;
    uint8_t host[STREAM_MAX], kernel[STREAM_MAX];
};

/* What the kernel answers next. */
struct kernel {
    struct stream streams[SOCKETS]; /* of the descriptors from FIRST_FD on */
    const uint8_t *incoming;
    size_t incoming_left;
    uint8_t takes[TAKES_MAX]; /* how much of what is offered; then all of it */
    uint8_t takes_at;
    int error;    /* 0: none */
    int accepted; /* a descriptor */
    int ready;    /* events that a wait returns with */
};

extern struct kernel kernel;

/* Ends the program if it does not hold. */
void require(bool holds, const char *what);

/* Makes the descriptors, unconnected sockets, and sets the originals of the hooks. */
void kernel_start(void);
