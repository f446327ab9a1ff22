/* SPDX-License-Identifier: Apache-2.0 */
/*
 * load PORT CONCURRENCY REQUESTS LETTER PATH SECONDS: a closed loop over loopback. Each request has
 * a token of its own, <LETTER><n>q, put where PATH has '*', and its answer must hold the token. A
 * connection is kept as long as the server keeps it. Prints what came of it as JSON.
 */
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>

#include "../../tests/hosts/host.h"

enum { CONCURRENCY_MAX = 1024, ANSWER_BYTES = 16 * 1024 };

struct lane {
    int fd;
    bool is_used; /* an answer came over this connection before */
    char token[32];
    double asked_us;
    size_t have;
    char answer[ANSWER_BYTES + 1];
};

static struct lane lanes[CONCURRENCY_MAX];
static const char *letter, *path;
static int port, epoll;
static size_t wanted, asked, answered, failures;
static char first_failure[600];
static float *latency_us;

static double now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static void open_lane(struct lane *lane)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = lane};
    lane->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    lane->is_used = false;
    EXPECT(setsockopt(lane->fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int)) == 0);
    EXPECT(connect(lane->fd, (struct sockaddr *)&to, sizeof(to)) == 0);
    EXPECT(epoll_ctl(epoll, EPOLL_CTL_ADD, lane->fd, &event) == 0);
}

static void reopen(struct lane *lane)
{
    close(lane->fd);
    open_lane(lane);
}

static void ask(struct lane *lane)
{
    char request[1024];
    const char *star = strchr(path, '*');
    int length =
        snprintf(request, sizeof(request), "GET %.*s%s%s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n",
            (int)(star - path), path, lane->token, star + 1, port);
    lane->have = 0;
    lane->asked_us = now_us();
    send(lane->fd, request, (size_t)length, MSG_NOSIGNAL); /* if it is closed, reading tells */
}

static void next(struct lane *lane)
{
    if (asked == wanted) { /* the server's own end of it is no answer */
        close(lane->fd);
        return;
    }
    snprintf(lane->token, sizeof(lane->token), "%s%zuq", letter, asked++);
    ask(lane);
}

/* The whole answer is here: by its length, its last chunk, or the end of the connection. */
static bool is_whole(const char *answer, bool at_end)
{
    const char *end = strstr(answer, "\r\n\r\n");
    if (end == NULL)
        return false;
    const char *length = strcasestr(answer, "\r\nContent-Length:");
    if (length != NULL && length < end)
        return strlen(end + 4) >= strtoul(length + 17, NULL, 10);
    const char *chunked = strcasestr(answer, "\r\nTransfer-Encoding: chunked");
    if (chunked != NULL && chunked < end)
        return strncmp(end + 4, "0\r\n\r\n", 5) == 0 || strstr(end + 4, "\r\n0\r\n\r\n") != NULL;
    return at_end;
}

static void judge(struct lane *lane)
{
    latency_us[answered++] = (float)(now_us() - lane->asked_us);
    bool holds = strncmp(lane->answer, "HTTP/1.", 7) == 0 &&
                 strncmp(lane->answer + 8, " 200", 4) == 0 &&
                 strstr(lane->answer, lane->token) != NULL;
    if (!holds && failures++ == 0)
        snprintf(first_failure, sizeof(first_failure), "%s: %.500s", lane->token, lane->answer);
}

static void take(struct lane *lane)
{
    ssize_t got = read(lane->fd, lane->answer + lane->have, ANSWER_BYTES - lane->have);
    bool at_end = got <= 0;
    if (!at_end)
        lane->have += (size_t)got;
    lane->answer[lane->have] = '\0';
    if (at_end && lane->have == 0 && lane->is_used) { /* it was closed before it was asked */
        reopen(lane);
        ask(lane);
        return;
    }
    if (!at_end && !is_whole(lane->answer, at_end))
        return;
    judge(lane);
    lane->is_used = true;
    if (at_end || strcasestr(lane->answer, "\r\nConnection: close") != NULL)
        reopen(lane);
    next(lane);
}

static int compare(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static void print_text(const char *text)
{
    for (; *text != '\0'; text++)
        putchar(*text < ' ' || strchr("\"\\\x7f", *text) != NULL ? ' ' : *text);
}

int main(int argc, char **argv)
{
    EXPECT(argc == 7);
    port = atoi(argv[1]);
    size_t concurrency = strtoul(argv[2], NULL, 10);
    wanted = strtoul(argv[3], NULL, 10);
    letter = argv[4];
    path = argv[5];
    EXPECT(concurrency > 0 && concurrency <= CONCURRENCY_MAX && strchr(path, '*') != NULL);
    latency_us = calloc(wanted + 1, sizeof(*latency_us));
    epoll = epoll_create1(0);
    for (size_t i = 0; i < concurrency; i++) {
        open_lane(&lanes[i]);
        next(&lanes[i]);
    }
    double start = now_us(), end = start + atof(argv[6]) * 1e6;
    while (answered < wanted && now_us() < end) {
        struct epoll_event events[64];
        int count = epoll_wait(epoll, events, 64, 100);
        for (int i = 0; i < count; i++)
            take(events[i].data.ptr);
    }
    qsort(latency_us, answered, sizeof(*latency_us), compare);
    printf("{\"requests\": %zu, \"answered\": %zu, \"failures\": %zu, \"seconds\": %.3f, "
           "\"p50\": %.1f, \"p99\": %.1f, \"first_failure\": \"",
        wanted, answered, failures, (now_us() - start) / 1e6, (double)latency_us[answered / 2],
        (double)latency_us[answered * 99 / 100]);
    print_text(first_failure);
    printf("\"}\n");
    return 0;
}
