/* SPDX-License-Identifier: Apache-2.0 */
/* One HTTP exchange as most victims make it: the client through libc, its peer past it. */
#pragma once

#include "host.h"

static const char request[] = "GET /exchange HTTP/1.1\r\nHost: h\r\n\r\n";
static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
enum { REQUEST = sizeof(request) - 1, ANSWER = sizeof(answer) - 1 };

/* The head of a request, with whatever lines were inserted. */
static inline void expect_request(int fd)
{
    char buffer[1024];
    size_t got = 0;
    while (memmem(buffer, got, "\r\n\r\n", 4) == NULL) {
        long more = raw_read(fd, buffer + got, sizeof(buffer) - got);
        EXPECT(more > 0 || more == -EINTR);
        got += more > 0 ? (size_t)more : 0;
    }
}

static inline void read_answer(int fd)
{
    char buffer[ANSWER];
    for (size_t got = 0; got < ANSWER;) {
        ssize_t more = read(fd, buffer + got, ANSWER - got);
        EXPECT(more > 0 || errno == EINTR);
        got += more > 0 ? (size_t)more : 0;
    }
    EXPECT(memcmp(buffer, answer, ANSWER) == 0);
}

static inline void exchange(const struct host_pair *pair)
{
    EXPECT(write(pair->client, request, REQUEST) == REQUEST);
    expect_request(pair->server);
    host_raw_write_all(pair->server, answer, ANSWER);
    read_answer(pair->client);
}

static inline void finish(const struct host_pair *pair)
{
    EXPECT(close(pair->client) == 0 && close(pair->server) == 0);
}

static inline void exchanges(int count)
{
    struct host_pair pair = host_connect(false, false);
    for (int i = 0; i < count; i++)
        exchange(&pair);
    finish(&pair);
}

static inline void *exchanges_on_thread(void *count)
{
    exchanges((int)(intptr_t)count);
    return NULL;
}
