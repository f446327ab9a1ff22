/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A host with a malloc of its own. While one of its calls to libc is on the stack nobody may come
 * to its malloc: the library allocates nothing on a host thread. The first request is told apart,
 * since it starts the exporter; its cost goes to stderr.
 */
#include <malloc.h>
#include <poll.h>
#include <pthread.h>
#include <sys/uio.h>

#include "host.h"

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *block, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);
extern void __libc_free(void *block);

static __thread bool inside;
static unsigned calls, bytes;

static void note(size_t size)
{
    if (!inside)
        return;
    __atomic_fetch_add(&calls, 1, __ATOMIC_RELAXED);
    __atomic_fetch_add(&bytes, (unsigned)size, __ATOMIC_RELAXED);
}

void *malloc(size_t size)
{
    note(size);
    return __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    note(count * size);
    return __libc_calloc(count, size);
}

void *realloc(void *block, size_t size)
{
    note(size);
    return __libc_realloc(block, size);
}

void *memalign(size_t alignment, size_t size)
{
    note(size);
    return __libc_memalign(alignment, size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
    note(size);
    return __libc_memalign(alignment, size);
}

void free(void *block)
{
    note(0);
    __libc_free(block);
}

#define INSIDE(call)                     \
    __extension__({                      \
        inside = true;                   \
        __typeof__(call) answer_ = call; \
        inside = false;                  \
        answer_;                         \
    })

static const char request[] = "POST /malloc?of=host HTTP/1.1\r\nHost: h\r\nUser-Agent: x\r\n"
                              "Content-Length: 5\r\n\r\nhello";
static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
enum { REQUEST = sizeof(request) - 1, ANSWER = sizeof(answer) - 1, ROUNDS = 250 };

static size_t server_reads(int fd, unsigned round, char *buffer, size_t size)
{
    struct iovec iov = {buffer, size};
    ssize_t got = round % 3 == 0   ? INSIDE(read(fd, buffer, size))
                  : round % 3 == 1 ? INSIDE(recv(fd, buffer, size, 0))
                                   : INSIDE(readv(fd, &iov, 1));
    EXPECT(got > 0);
    return (size_t)got;
}

/* Both ends are visible, and each request is read where the next is sent from. */
static void exchange(const struct host_pair *pair, unsigned round)
{
    char buffer[1024];
    struct iovec iov = {(void *)request, REQUEST};
    struct pollfd poll_fd = {pair->client, POLLIN, 0};
    ssize_t sent = round % 3 == 0   ? INSIDE(write(pair->client, request, REQUEST))
                   : round % 3 == 1 ? INSIDE(send(pair->client, request, REQUEST, 0))
                                    : INSIDE(writev(pair->client, &iov, 1));
    EXPECT(sent == REQUEST);
    size_t used = 0;
    while (memmem(buffer, used, "hello", 5) == NULL)
        used += server_reads(pair->server, round, buffer + used, sizeof(buffer) - used);
    EXPECT(INSIDE(write(pair->server, answer, ANSWER)) == ANSWER);
    EXPECT(INSIDE(poll(&poll_fd, 1, 1000)) == 1);
    for (used = 0; used < ANSWER;)
        used += server_reads(pair->client, round, buffer + used, sizeof(buffer) - used);
}

static void connection(unsigned rounds)
{
    struct sockaddr_storage address;
    socklen_t length;
    int listener = host_listen(false, &address, &length);
    struct host_pair pair = {socket(AF_INET, SOCK_STREAM, 0), -1};
    EXPECT(INSIDE(connect(pair.client, (struct sockaddr *)&address, length)) == 0);
    pair.server = INSIDE(accept(listener, NULL, NULL));
    EXPECT(pair.server >= 0);
    for (unsigned i = 0; i < rounds; i++)
        exchange(&pair, i);
    int other = INSIDE(dup(pair.server));
    EXPECT(INSIDE(shutdown(pair.server, SHUT_WR)) == 0);
    EXPECT(INSIDE(close(other)) == 0 && INSIDE(close(pair.server)) == 0);
    EXPECT(INSIDE(close(pair.client)) == 0 && INSIDE(close(listener)) == 0);
}

static void *work(void *unused)
{
    for (int i = 0; i < 5; i++)
        connection(ROUNDS / 10);
    return unused;
}

static void nothing_allocated(void)
{
    pthread_t threads[4];
    connection(1);
    fprintf(stderr, "the first request: %u calls, %u bytes\n", calls, bytes);
    calls = 0;
    connection(ROUNDS);
    for (int i = 0; i < 4; i++)
        EXPECT(pthread_create(&threads[i], NULL, work, NULL) == 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    printf("%u calls\n", calls);
}

static const struct host_case cases[] = {
    {"nothing_allocated", nothing_allocated, "1502 SERVER/200=751 CLIENT/200=751"},
    {NULL, NULL, NULL},
};

int main(int argc, char **argv)
{
    return host_main(cases, argc, argv);
}
