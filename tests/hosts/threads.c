/* SPDX-License-Identifier: Apache-2.0 */
/* Threads on small stacks, cancelled threads, and threads that use one connection. */
#include <fcntl.h>
#include <pthread.h>

#include "exchange.h"

static void *small_stack(void *unused)
{
    exchanges(3);
    return unused;
}

static void small_stacks(void)
{
    pthread_attr_t attributes;
    pthread_t thread;
    pthread_attr_init(&attributes);
    EXPECT(pthread_attr_setstacksize(&attributes, 16384) == 0);
    for (int i = 0; i < 500; i++) {
        EXPECT(pthread_create(&thread, i % 2 ? &attributes : NULL, small_stack, NULL) == 0);
        pthread_join(thread, NULL);
    }
}

static void *blocked_read(void *fd)
{
    char byte;
    (void)!read(*(int *)fd, &byte, 1);
    return NULL;
}

static void cancels(void)
{
    for (int i = 0; i < 50; i++) {
        struct host_pair pair = host_connect(false, false);
        pthread_t thread;
        void *result;
        pthread_create(&thread, NULL, blocked_read, &pair.client);
        usleep(200);
        pthread_cancel(thread);
        pthread_join(thread, &result);
        EXPECT(result == PTHREAD_CANCELED);
        exchange(&pair);
        finish(&pair);
    }
}

static void *blocked_write(void *pair)
{
    static char body[8 << 20];
    int head = sprintf(body, "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n", 9 << 20);
    EXPECT(head > 0);
    for (;;)
        EXPECT(write(((struct host_pair *)pair)->client, body, sizeof(body)) > 0);
}

/* The write gets lines, so it is the library's own call that the thread dies in. */
static void cancelled_in_write(void)
{
    struct host_pair pair = host_connect(false, false);
    pthread_t thread;
    void *result;
    char byte;
    EXPECT(pthread_create(&thread, NULL, blocked_write, &pair) == 0);
    EXPECT(raw_read(pair.server, &byte, 1) == 1);
    EXPECT(pthread_cancel(thread) == 0 && pthread_join(thread, &result) == 0);
    EXPECT(result == PTHREAD_CANCELED);
    finish(&pair);
    exchanges(10);
    EXPECT(pthread_create(&thread, NULL, exchanges_on_thread, (void *)10) == 0);
    EXPECT(pthread_join(thread, NULL) == 0);
}

/* A request that finds no room is sent again, or given up; what follows is traced as ever. */
static void no_room_for_a_request(void)
{
    static char filler[65536];
    struct host_pair pair;
    for (int i = 0; i < 4; i++) {
        long went, filled = 0;
        pair = host_connect(false, false);
        EXPECT(fcntl(pair.client, F_SETFL, O_NONBLOCK) == 0);
        while ((went = raw_write(pair.client, filler, sizeof(filler))) > 0)
            filled += went;
        for (int j = 0; j < 3; j++)
            EXPECT(write(pair.client, request, sizeof(request) - 1) == -1 && errno == EAGAIN);
        EXPECT(fcntl(pair.client, F_SETFL, 0) == 0);
        for (; i % 2 == 0 && filled > 0; filled -= went)
            EXPECT((went = raw_read(pair.server, filler, sizeof(filler))) > 0);
        if (i % 2 == 0)
            exchange(&pair);
        finish(&pair);
    }
    exchanges(10);
}

static struct host_pair duplex;
enum { DUPLEX_REQUESTS = 2000 };

static void *duplex_reader(void *count)
{
    static char buffer[65536];
    size_t wanted = DUPLEX_REQUESTS * (sizeof(answer) - 1);
    while (wanted > 0) {
        ssize_t got = read(duplex.client, buffer, 1 + wanted % 97);
        EXPECT(got > 0);
        wanted -= (size_t)got;
        size_t left = (wanted + sizeof(answer) - 2) / (sizeof(answer) - 1);
        __atomic_store_n((int *)count, DUPLEX_REQUESTS - (int)left, __ATOMIC_RELEASE);
    }
    return NULL;
}

static void *duplex_peer(void *unused)
{
    static char buffer[65536];
    unsigned lines = 0;
    int answered = 0;
    while (answered < DUPLEX_REQUESTS) {
        long got = raw_read(duplex.server, buffer, sizeof(buffer));
        EXPECT(got > 0);
        for (long i = 0; i < got; i++) {
            lines += buffer[i] == '\n';
            static char last[4];
            memmove(last, last + 1, 3);
            last[3] = buffer[i];
            if (memcmp(last, "\r\n\r\n", 4) != 0)
                continue;
            EXPECT(raw_write(duplex.server, answer, sizeof(answer) - 1) == sizeof(answer) - 1);
            answered++;
        }
    }
    EXPECT(lines == (host_is_traced() ? 4u : 3u) * DUPLEX_REQUESTS);
    return unused;
}

/* One thread reads what another writes for, and neither waits for the other. */
static void full_duplex(void)
{
    pthread_t reader, peer;
    static int answered;
    duplex = host_connect(false, false);
    pthread_create(&reader, NULL, duplex_reader, &answered);
    pthread_create(&peer, NULL, duplex_peer, NULL);
    for (int i = 0; i < DUPLEX_REQUESTS; i++) {
        while (i > __atomic_load_n(&answered, __ATOMIC_ACQUIRE) + 10)
            usleep(10);
        EXPECT(write(duplex.client, request, sizeof(request) - 1) == sizeof(request) - 1);
    }
    pthread_join(peer, NULL);
    pthread_join(reader, NULL);
    finish(&duplex);
}

static void closed_by_another(void)
{
    for (int i = 0; i < 300; i++) {
        pthread_t thread;
        int fds[1];
        struct host_pair pair = host_connect(false, false);
        fds[0] = pair.client;
        pthread_create(&thread, NULL, blocked_read, fds);
        usleep((useconds_t)(i % 5 * 20));
        close(pair.client);
        close(pair.server); /* ends the read */
        pthread_join(thread, NULL);
    }
    exchanges(10);
}

static const struct host_case cases[] = {
    {"small_stacks", small_stacks, "1500"},
    {"cancels", cancels, "50"},
    {"cancelled_in_write", cancelled_in_write, "20"},
    {"no_room_for_a_request", no_room_for_a_request, "12"},
    {"full_duplex", full_duplex, "2000"},
    {"closed_by_another", closed_by_another, "10"},
    {NULL, NULL, NULL},
};

int main(int argc, char **argv)
{
    return host_main(cases, argc, argv);
}
