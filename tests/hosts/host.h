/* SPDX-License-Identifier: Apache-2.0 */
/* What the victims share: expectations, pairs of connected sockets, a generator of random numbers.
 * HOST_TRACED in the environment tells a victim that the library is there; its output must be the
 * same either way. */
#pragma once

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "raw.h"

#define EXPECT(condition)                                                                         \
    do {                                                                                          \
        if (!(condition)) {                                                                       \
            fprintf(                                                                              \
                stderr, "%s:%d: not so: %s (errno %d)\n", __FILE__, __LINE__, #condition, errno); \
            abort();                                                                              \
        }                                                                                         \
    } while (0)

static inline bool host_is_traced(void)
{
    return getenv("HOST_TRACED") != NULL;
}

static inline uint64_t host_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    return *state ^= *state << 17;
}

static inline size_t host_below(uint64_t *state, size_t limit)
{
    return (size_t)(host_random(state) >> 11) % limit;
}

/* A listening socket on a free port, or on a name of the abstract namespace. */
static inline int host_listen(bool is_unix, struct sockaddr_storage *address, socklen_t *length)
{
    int fd = socket(is_unix ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    memset(address, 0, sizeof(*address));
    if (is_unix) {
        struct sockaddr_un *un = (struct sockaddr_un *)address;
        un->sun_family = AF_UNIX;
        *length = sizeof(sa_family_t); /* the kernel picks a name */
    } else {
        struct sockaddr_in *in = (struct sockaddr_in *)address;
        in->sin_family = AF_INET;
        in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        *length = sizeof(*in);
    }
    EXPECT(bind(fd, (struct sockaddr *)address, *length) == 0);
    EXPECT(listen(fd, 64) == 0);
    *length = sizeof(*address);
    EXPECT(getsockname(fd, (struct sockaddr *)address, length) == 0);
    return fd;
}

struct host_pair {
    int client; /* connected by connect() */
    int server; /* accepted past libc, or by accept() */
};

static inline struct host_pair host_connect(bool is_unix, bool accepts_visibly)
{
    struct sockaddr_storage address;
    socklen_t length;
    int listener = host_listen(is_unix, &address, &length);
    struct host_pair pair = {socket(address.ss_family, SOCK_STREAM, 0), -1};
    EXPECT(connect(pair.client, (struct sockaddr *)&address, length) == 0);
    pair.server = accepts_visibly ? accept(listener, NULL, NULL) : (int)raw_accept(listener);
    EXPECT(pair.server >= 0);
    sys_call(SYS_close, listener, 0, 0, 0, 0, 0);
    return pair;
}

/* A victim of several cases: `--list` prints their names and what each leaves in the store, as
 * "12 SERVER/200=10 SERVER/404=2" (NULL: not counted); `NAME` runs one. */
struct host_case {
    const char *name;
    void (*run)(void);
    const char *spans;
};

/* What else must be as bare when a case has ended: open descriptors, signals, errno. */
static inline void host_print_state(int error)
{
    sigset_t blocked;
    struct sigaction action;
    printf("errno %d\n", error);
    for (int fd = 0; fd < 4096; fd++)
        if (fcntl(fd, F_GETFD) != -1)
            printf("descriptor %d, flags %x\n", fd, (unsigned)fcntl(fd, F_GETFL));
    pthread_sigmask(SIG_SETMASK, NULL, &blocked);
    for (int signal = 1; signal <= SIGRTMAX; signal++) {
        if (sigismember(&blocked, signal) == 1)
            printf("signal %d blocked\n", signal);
        if (sigaction(signal, NULL, &action) == 0 && action.sa_handler != SIG_DFL)
            printf("signal %d %s\n", signal, action.sa_handler == SIG_IGN ? "ignored" : "handled");
    }
}

static inline int host_main(const struct host_case *cases, int argc, char **argv)
{
    bool lists = argc == 2 && strcmp(argv[1], "--list") == 0;
    for (; cases->name != NULL && argc >= 2; cases++) {
        if (lists)
            printf("%s %s\n", cases->name, cases->spans == NULL ? "" : cases->spans);
        else if (strcmp(argv[1], cases->name) == 0) {
            errno = 0;
            cases->run();
            host_print_state(errno);
            return 0;
        }
    }
    return lists ? 0 : 2;
}

/* Reads past libc until `length` bytes have come. */
static inline void host_raw_read_all(int fd, void *buffer, size_t length)
{
    for (size_t got = 0; got < length;) {
        long more = raw_read(fd, (char *)buffer + got, length - got);
        EXPECT(more > 0 || more == -EINTR);
        got += more > 0 ? (size_t)more : 0;
    }
}

static inline void host_raw_write_all(int fd, const void *buffer, size_t length)
{
    for (size_t done = 0; done < length;) {
        long more = raw_write(fd, (const char *)buffer + done, length - done);
        EXPECT(more > 0 || more == -EINTR);
        done += more > 0 ? (size_t)more : 0;
    }
}
