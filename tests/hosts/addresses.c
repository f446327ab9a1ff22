/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses that the kernel refuses, in every argument of every call that we hook: the program gets
 * its error, and the connection goes on. What each call answered is printed, so that bare and
 * traced can be compared. */
#include <poll.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/uio.h>

#include "host.h"

static const char request[] = "GET /addresses HTTP/1.1\r\nHost: h\r\n\r\n";
static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
enum { REQUEST = sizeof(request) - 1, ANSWER = sizeof(answer) - 1 };

static void client_exchange(int client, int peer)
{
    char buffer[1024];
    EXPECT(write(client, request, REQUEST) == REQUEST);
    EXPECT(raw_read(peer, buffer, sizeof(buffer)) >= REQUEST);
    host_raw_write_all(peer, answer, ANSWER);
    EXPECT(recv(client, buffer, ANSWER, MSG_WAITALL) == ANSWER);
}

static void server_exchange(int server, int peer)
{
    char buffer[1024];
    host_raw_write_all(peer, request, REQUEST);
    EXPECT(read(server, buffer, sizeof(buffer)) == REQUEST);
    EXPECT(write(server, answer, ANSWER) == ANSWER);
    host_raw_read_all(peer, buffer, ANSWER);
}

/* --- calls --------------------------------------------------------------------------------------
 */

static ssize_t call_write(int fd, void *bad)
{
    return write(fd, bad, 100);
}

static ssize_t call_send(int fd, void *bad)
{
    return send(fd, bad, 100, MSG_NOSIGNAL);
}

static ssize_t call_sendto(int fd, void *bad)
{
    return sendto(fd, bad, 100, MSG_NOSIGNAL, NULL, 0);
}

static ssize_t call_writev(int fd, void *bad)
{
    return writev(fd, bad, 2);
}

static ssize_t call_writev_buffer(int fd, void *bad)
{
    struct iovec iov[] = {{bad, 100}, {(void *)request, REQUEST}};
    return writev(fd, iov, 2);
}

static ssize_t call_sendmsg(int fd, void *bad)
{
    return sendmsg(fd, bad, MSG_NOSIGNAL);
}

static ssize_t call_sendmsg_iov(int fd, void *bad)
{
    struct msghdr message = {.msg_iov = bad, .msg_iovlen = 2};
    return sendmsg(fd, &message, MSG_NOSIGNAL);
}

static ssize_t call_sendmsg_buffer(int fd, void *bad)
{
    struct iovec iov = {bad, 100};
    struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
    return sendmsg(fd, &message, MSG_NOSIGNAL);
}

static ssize_t call_sendmmsg(int fd, void *bad)
{
    return sendmmsg(fd, bad, 2, MSG_NOSIGNAL);
}

static ssize_t call_read(int fd, void *bad)
{
    return read(fd, bad, 100);
}

static ssize_t call_recv(int fd, void *bad)
{
    return recv(fd, bad, 100, 0);
}

static ssize_t call_recvfrom_address(int fd, void *bad)
{
    char buffer[10];
    socklen_t length = 16;
    return recvfrom(fd, buffer, sizeof(buffer), 0, bad, &length);
}

static ssize_t call_readv(int fd, void *bad)
{
    return readv(fd, bad, 2);
}

static ssize_t call_recvmsg(int fd, void *bad)
{
    return recvmsg(fd, bad, 0);
}

static ssize_t call_recvmmsg(int fd, void *bad)
{
    return recvmmsg(fd, bad, 2, MSG_DONTWAIT, NULL);
}

static ssize_t call_poll(int fd, void *bad)
{
    return poll(bad, 2, 0);
}

static ssize_t call_select(int fd, void *bad)
{
    struct timeval now = {0, 0};
    return select(fd + 1, bad, NULL, NULL, &now);
}

static ssize_t call_epoll_wait(int fd, void *bad)
{
    struct epoll_event event = {.events = EPOLLIN};
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    EXPECT(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0);
    int result = epoll_wait(epoll, bad, 1, 0), error = errno;
    close(epoll);
    errno = error;
    return result;
}

static ssize_t call_getsockopt(int fd, void *bad)
{
    socklen_t length = sizeof(int);
    return getsockopt(fd, SOL_SOCKET, SO_ERROR, bad, &length);
}

static ssize_t call_getsockopt_length(int fd, void *bad)
{
    int error;
    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, bad);
}

static ssize_t call_connect(int fd, void *bad)
{
    return connect(fd, bad, sizeof(struct sockaddr_in));
}

static ssize_t call_socketpair(int fd, void *bad)
{
    return bad == NULL ? -1 : socketpair(AF_UNIX, SOCK_STREAM, 0, bad);
}

/* On a listener of its own: with a connection waiting, the kernel takes it before it refuses. */
static ssize_t accepted_at(struct sockaddr *peer, socklen_t *length)
{
    struct sockaddr_storage address;
    socklen_t size;
    int listener = host_listen(false, &address, &size);
    int client = socket(AF_INET, SOCK_STREAM, 0);
    EXPECT(connect(client, (struct sockaddr *)&address, size) == 0);
    int result = accept(listener, peer, length), error = errno;
    close(client);
    close(listener);
    if (result >= 0)
        close(result);
    errno = error;
    return result >= 0 ? 0 : -1;
}

static ssize_t call_accept_address(int fd, void *bad)
{
    socklen_t length = 16;
    return accepted_at(bad, &length);
}

static ssize_t call_accept_length(int fd, void *bad)
{
    struct sockaddr_storage peer;
    return accepted_at((struct sockaddr *)&peer, bad);
}

static const struct {
    const char *name;
    ssize_t (*make)(int fd, void *bad);
} calls[] = {
    {"write", call_write},
    {"send", call_send},
    {"sendto", call_sendto},
    {"writev", call_writev},
    {"writev of a buffer", call_writev_buffer},
    {"sendmsg", call_sendmsg},
    {"sendmsg of vectors", call_sendmsg_iov},
    {"sendmsg of a buffer", call_sendmsg_buffer},
    {"sendmmsg", call_sendmmsg},
    {"read", call_read},
    {"recv", call_recv},
    {"recvfrom with an address", call_recvfrom_address},
    {"readv", call_readv},
    {"recvmsg", call_recvmsg},
    {"recvmmsg", call_recvmmsg},
    {"poll", call_poll},
    {"select", call_select},
    {"epoll_wait", call_epoll_wait},
    {"getsockopt", call_getsockopt},
    {"getsockopt with a length", call_getsockopt_length},
    {"connect", call_connect},
    {"socketpair", call_socketpair},
    {"accept with an address", call_accept_address},
    {"accept with a length", call_accept_length},
};

/* --- connections --------------------------------------------------------------------------------
 */

/* A call with `bad` on a connection of its own, on which bytes wait to be read. */
static void try(size_t call, bool is_client, bool is_used, void *bad, const char *what)
{
    struct host_pair pair = host_connect(false, !is_client);
    int fd = is_client ? pair.client : pair.server;
    int peer = is_client ? pair.server : pair.client;
    if (is_used)
        (is_client ? client_exchange : server_exchange)(fd, peer);
    EXPECT(raw_write(peer, "waiting bytes", 13) == 13);
    errno = 0;
    ssize_t result = calls[call].make(fd, bad);
    printf("%s %s, %s, %s: %zd, errno %d\n", is_used ? "used" : "new",
        is_client ? "client" : "server", calls[call].name, what, result, errno);
    close(pair.client);
    close(pair.server);
}

static void *page(void)
{
    return mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static void try_all(void *bad, const char *what)
{
    for (size_t call = 0; call < sizeof(calls) / sizeof(calls[0]); call++)
        for (int kind = 0; kind < 4; kind++)
            try(call, kind & 1, kind & 2, bad, what);
}

static void no_address(void)
{
    try_all(NULL, "none");
    try_all((void *)1, "the first page");
    try_all((void *)-1, "the last byte");
}

static void no_access(void)
{
    char *closed = page();
    EXPECT(mprotect(closed, 4096, PROT_NONE) == 0);
    try_all(closed, "no access");
    EXPECT(munmap(closed, 4096) == 0);
    try_all(closed, "no page");
}

/* The kernel may take what it can read. */
static void end_of_access(void)
{
    char *pages = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    EXPECT(mprotect(pages + 4096, 4096, PROT_NONE) == 0);
    memcpy(pages + 4096 - REQUEST, request, REQUEST);
    for (size_t call = 0; call < 3; call++)
        for (int is_used = 0; is_used < 2; is_used++)
            try(call, true, is_used, pages + 4096 - REQUEST, "a request without access behind it");
}

/* Such calls leave the connection as it was: the next request is traced. */
static void goes_on(void)
{
    struct host_pair pair = host_connect(false, false);
    for (int round = 0; round < 3; round++) {
        char *closed = page();
        EXPECT(mprotect(closed, 4096, PROT_NONE) == 0);
        for (size_t call = 0; call < 9; call++)
            EXPECT(calls[call].make(pair.client, closed) == -1 && errno == EFAULT);
        client_exchange(pair.client, pair.server);
    }
    close(pair.client);
}

static const struct host_case cases[] = {
    {"no_address", no_address, NULL},
    {"no_access", no_access, NULL},
    {"end_of_access", end_of_access, NULL},
    {"goes_on", goes_on, "3 CLIENT/200=3"},
    {NULL, NULL, NULL},
};

int main(int argc, char **argv)
{
    return host_main(cases, argc, argv);
}
