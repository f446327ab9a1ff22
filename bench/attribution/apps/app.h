/* SPDX-License-Identifier: Apache-2.0 */
/* What the small C and C++ workloads share: ports from the environment, requests of the form
 * "GET /<cell>/<token>", blocking calls to the backend, answers that hold the token. For servers
 * that block where they like; those with loops of their own use parts. */
#pragma once

#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <time.h>

#include "../../../tests/hosts/host.h"

enum { HEAD_BYTES = 4096 };

struct request {
    char cell[32];
    char token[32];
};

static inline int app_port(const char *name)
{
    const char *value = getenv(name);
    EXPECT(value != NULL);
    return atoi(value);
}

static inline struct sockaddr_in app_loopback(int port)
{
    struct sockaddr_in to;
    memset(&to, 0, sizeof(to));
    to.sin_family = AF_INET;
    to.sin_port = htons((uint16_t)port);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return to;
}

static inline void app_no_delay(int fd)
{
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

static inline int app_listen(void)
{
    struct sockaddr_in to = app_loopback(app_port("APP_PORT"));
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    signal(SIGPIPE, SIG_IGN);
    EXPECT(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0);
    EXPECT(bind(fd, (struct sockaddr *)&to, sizeof(to)) == 0 && listen(fd, 1024) == 0);
    return fd;
}

static inline int app_connect(void)
{
    struct sockaddr_in to = app_loopback(app_port("BACK_HTTP"));
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    EXPECT(connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0);
    app_no_delay(fd);
    return fd;
}

/* False: not the whole head. */
static inline bool app_parse(const char *head, struct request *request)
{
    return strstr(head, "\r\n\r\n") != NULL &&
           sscanf(head, "GET /%31[^/ ]/%31[^/ ?]", request->cell, request->token) == 2;
}

static inline void app_send(int fd, const char *text)
{
    size_t length = strlen(text);
    EXPECT(send(fd, text, length, MSG_NOSIGNAL) == (ssize_t)length || errno == EPIPE ||
           errno == ECONNRESET);
}

static inline void app_reply(int fd, const struct request *request)
{
    char reply[160];
    snprintf(reply, sizeof(reply), "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n%s",
        strlen(request->token), request->token);
    app_send(fd, reply);
}

static inline void app_ask(int fd, const struct request *request, int k)
{
    char call[160];
    snprintf(call, sizeof(call), "GET /%s.%d HTTP/1.1\r\nHost: back\r\n\r\n", request->token, k);
    app_send(fd, call);
}

/* All of an answer of the backend, which has a length: a head of a few lines and a token. */
static inline bool app_is_answer(const char *answer)
{
    const char *end = strstr(answer, "\r\n\r\n"), *length = strcasestr(answer, "Content-Length:");
    return end != NULL && length != NULL && strlen(end + 4) >= strtoul(length + 15, NULL, 10);
}

static inline void app_await(int fd)
{
    char answer[HEAD_BYTES];
    size_t have = 0;
    do {
        ssize_t got = recv(fd, answer + have, sizeof(answer) - 1 - have, 0);
        EXPECT(got > 0);
        have += (size_t)got;
        answer[have] = '\0';
    } while (!app_is_answer(answer));
}

static inline void app_call(int fd, const struct request *request, int k)
{
    app_ask(fd, request, k);
    app_await(fd);
}

/* A call over a connection of its own. */
static inline void app_call_fresh(const struct request *request, int k)
{
    int fd = app_connect();
    app_call(fd, request, k);
    close(fd);
}

/* The next request of a client that may be read, which is small and so comes whole; false: it has
 * gone, and is closed. */
static inline bool app_take(int client, struct request *request)
{
    char head[HEAD_BYTES];
    ssize_t got = recv(client, head, sizeof(head) - 1, 0);
    if (got <= 0) {
        close(client);
        return false;
    }
    head[got] = '\0';
    EXPECT(app_parse(head, request));
    return true;
}

/* Reads the next request of a client, by a blocking socket; false: it has gone. */
static inline bool app_read(int fd, struct request *request)
{
    char head[HEAD_BYTES];
    size_t have = 0;
    for (;;) {
        ssize_t got = recv(fd, head + have, sizeof(head) - 1 - have, 0);
        if (got <= 0)
            return false;
        have += (size_t)got;
        head[have] = '\0';
        if (app_parse(head, request))
            return true;
    }
}
