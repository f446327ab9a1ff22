/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses that the kernel refuses, in every argument of every call that we hook: the program gets
 * its error, and the connection goes on. What each call answered is printed, so that bare and
 * traced can be compared. */
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/uio.h>
#include <sys/wait.h>

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

/* --- arguments within what the kernel fills ------------------------------------------------------
 */

/* Of many pages; the one in the middle has no access. */
static struct iovec *torn_vectors(void)
{
    char *pages = mmap(NULL, 12288, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct iovec *vectors = (struct iovec *)pages;
    for (size_t i = 0; i < 12288 / sizeof(*vectors); i++)
        vectors[i] = (struct iovec){(void *)request, 1};
    EXPECT(mprotect(pages + 4096, 4096, PROT_NONE) == 0);
    return vectors;
}

static ssize_t call_torn_readv(int fd, void *vectors)
{
    return readv(fd, vectors, 600);
}

static ssize_t call_torn_recvmsg(int fd, void *vectors)
{
    return recvmsg(fd, &(struct msghdr){.msg_iov = vectors, .msg_iovlen = 600}, 0);
}

static ssize_t call_torn_writev(int fd, void *vectors)
{
    return writev(fd, vectors, 600);
}

static ssize_t call_torn_sendmsg(int fd, void *vectors)
{
    return sendmsg(fd, &(struct msghdr){.msg_iov = vectors, .msg_iovlen = 600}, MSG_NOSIGNAL);
}

static void torn_arrays(void)
{
    ssize_t (*const torn[])(int fd, void *vectors) = {
        call_torn_readv, call_torn_recvmsg, call_torn_writev, call_torn_sendmsg};
    struct iovec *vectors = torn_vectors();
    struct host_pair pair = host_connect(false, false);
    for (int round = 0; round < 3; round++) {
        for (size_t call = 0; call < sizeof(torn) / sizeof(torn[0]); call++)
            EXPECT(torn[call](pair.client, vectors) == -1 && errno == EFAULT);
        client_exchange(pair.client, pair.server);
    }
    close(pair.client);
}

union filled {
    char bytes[1024];
    struct iovec vectors[4];
    struct {
        char before[64];
        struct msghdr message;
        struct iovec vector;
    } held;
    struct {
        struct mmsghdr messages[2];
        struct iovec vectors[2];
    } many;
};

static ssize_t fill_by_readv(int fd, union filled *filled)
{
    filled->vectors[0] = (struct iovec){filled->bytes, 3};
    filled->vectors[1] = (struct iovec){filled->bytes + 3, 0};
    filled->vectors[2] = (struct iovec){filled->bytes + 3, sizeof(filled->bytes) - 3};
    return readv(fd, filled->vectors, 3);
}

static ssize_t fill_by_recvmsg_vectors(int fd, union filled *filled)
{
    filled->vectors[0] = (struct iovec){filled->bytes, sizeof(filled->bytes)};
    return recvmsg(fd, &(struct msghdr){.msg_iov = filled->vectors, .msg_iovlen = 1}, 0);
}

/* It writes to the message, too, when the bytes are there. */
static ssize_t fill_by_recvmsg(int fd, union filled *filled)
{
    filled->held.vector = (struct iovec){filled->bytes, sizeof(filled->bytes)};
    filled->held.message = (struct msghdr){.msg_iov = &filled->held.vector, .msg_iovlen = 1};
    return recvmsg(fd, &filled->held.message, 0);
}

static ssize_t fill_by_recvmmsg(int fd, union filled *filled)
{
    for (size_t i = 0; i < 2; i++) {
        filled->many.vectors[i] = (struct iovec){&filled->many.vectors[i], 1};
        filled->many.messages[i].msg_hdr =
            (struct msghdr){.msg_iov = &filled->many.vectors[i], .msg_iovlen = 1};
    }
    return recvmmsg(fd, filled->many.messages, 2, MSG_DONTWAIT, NULL);
}

/* What comes makes a pointer of each word that leads nowhere. */
static void within_buffers(void)
{
    ssize_t (*const fills[])(int fd, union filled *filled) = {
        fill_by_readv, fill_by_recvmsg_vectors, fill_by_recvmsg, fill_by_recvmmsg};
    for (size_t call = 0; call < sizeof(fills) / sizeof(fills[0]); call++)
        for (int kind = 0; kind < 4; kind++) {
            struct host_pair pair = host_connect(false, !(kind & 1));
            int fd = kind & 1 ? pair.client : pair.server;
            int peer = kind & 1 ? pair.server : pair.client;
            union filled filled = {0};
            char many[600];
            if (kind & 2)
                ((kind & 1) ? client_exchange : server_exchange)(fd, peer);
            if (kind == 3)
                EXPECT(write(fd, request, REQUEST) == REQUEST);
            memset(many, 'x', sizeof(many));
            memcpy(many, kind & 1 ? answer : request, kind & 1 ? ANSWER : REQUEST);
            host_raw_write_all(peer, many, sizeof(many));
            printf("filled %zu, %d: %zd\n", call, kind, fills[call](fd, &filled));
            close(pair.client);
            close(pair.server);
        }
}

/* A descriptor comes with bytes that are put where the message is. */
static void with_descriptors(void)
{
    int pair[2], pipes[2];
    union filled filled = {0};
    char bytes[600], control[CMSG_SPACE(2 * sizeof(int))] = {0};
    struct iovec vector = {bytes, sizeof(bytes)};
    struct msghdr message = {.msg_iov = &vector,
        .msg_iovlen = 1,
        .msg_control = control,
        .msg_controllen = sizeof(control)};
    struct host_pair known = host_connect(false, false);
    client_exchange(known.client, known.server);
    EXPECT(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0 && pipe(pipes) == 0);
    CMSG_FIRSTHDR(&message)->cmsg_level = SOL_SOCKET;
    CMSG_FIRSTHDR(&message)->cmsg_type = SCM_RIGHTS;
    CMSG_FIRSTHDR(&message)->cmsg_len = CMSG_LEN(sizeof(pipes));
    memcpy(CMSG_DATA(CMSG_FIRSTHDR(&message)), pipes, sizeof(pipes));
    memset(bytes, 'x', sizeof(bytes));
    EXPECT(sendmsg(pair[0], &message, 0) == sizeof(bytes));
    filled.held.vector = (struct iovec){filled.bytes, sizeof(filled.bytes)};
    filled.held.message = (struct msghdr){.msg_iov = &filled.held.vector,
        .msg_iovlen = 1,
        .msg_control = control,
        .msg_controllen = sizeof(control)};
    EXPECT(recvmsg(pair[1], &filled.held.message, 0) == sizeof(bytes));
    printf("%zu bytes came along\n", filled.held.message.msg_controllen);
    close(known.client);
}

/* --- environments --------------------------------------------------------------------------------
 */

static void execute(char *const *variables, const char *what)
{
    char *arguments[] = {"true", NULL};
    int fd = open("/bin/true", O_RDONLY | O_CLOEXEC);
    pid_t child = -1;
    int status = 0;
    printf("%s: execve %d", what, execve("/bin/true", arguments, variables));
    printf(" %d, execvpe %d", errno, execvpe("true", arguments, variables));
    printf(" %d, fexecve %d", errno, fexecve(fd, arguments, variables));
    int error = posix_spawn(&child, "/bin/true", NULL, NULL, arguments, variables);
    if (error == 0)
        EXPECT(waitpid(child, &status, 0) == child);
    printf(" %d, posix_spawn %d %d\n", errno, error, status);
    close(fd);
}

/* With BURDOCK_FOLLOW they are read before the kernel has looked. */
static void environments(void)
{
    char *pages = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    EXPECT(mprotect(pages + 4096, 4096, PROT_NONE) == 0);
    char **without_end = (char **)(pages + 4096 - 2 * sizeof(char *));
    without_end[0] = without_end[1] = "A=1";
    execute(without_end, "variables without an end");
    execute((char **)1, "variables at 1");
    execute((char *[]){"A=1", (char *)1, NULL}, "a variable at 1");
    execute((char *[]){"A=1", pages + 4096, NULL}, "a variable without access");
    memcpy(pages + 4096 - 11, "LD_PRELOAD=", 11);
    execute((char *[]){pages + 4096 - 11, NULL}, "a variable without an end");
}

static const struct host_case cases[] = {
    {"no_address", no_address, NULL},
    {"no_access", no_access, NULL},
    {"end_of_access", end_of_access, NULL},
    {"goes_on", goes_on, "3 CLIENT/200=3"},
    {"torn_arrays", torn_arrays, "3 CLIENT/200=3"},
    {"within_buffers", within_buffers, NULL},
    {"with_descriptors", with_descriptors, "1 CLIENT/200=1"},
    {"environments", environments, NULL},
    {NULL, NULL, NULL},
};

int main(int argc, char **argv)
{
    return host_main(cases, argc, argv);
}
