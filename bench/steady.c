/* SPDX-License-Identifier: Apache-2.0 */
/*
 * steady PORT PATH RATE SECONDS: asks for PATH on loopback RATE times a second, over 32 connections
 * that are kept, however fast the server is: two servers so loaded do the same work, and differ in
 * what they need for it. Prints the number of requests and their latency as JSON.
 */
#include <sys/epoll.h>
#include <time.h>

#include "../tests/hosts/host.h"

enum { CONNECTIONS = 32, REQUESTS_MAX = 4 * 1000 * 1000, BUFFER_BYTES = 64 * 1024 };

static int sockets[CONNECTIONS];
static double asked_at[CONNECTIONS]; /* 0: nothing is due */
static long left[CONNECTIONS];       /* bytes of the answer */
static float latency_us[REQUESTS_MAX];
static size_t answered;
static char request[1024], buffer[BUFFER_BYTES];
static size_t request_bytes;
static long answer_bytes;

static double now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static void open_connections(int port, int epoll)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    for (uint32_t i = 0; i < CONNECTIONS; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.u32 = i};
        sockets[i] = socket(AF_INET, SOCK_STREAM, 0);
        EXPECT(connect(sockets[i], (struct sockaddr *)&to, sizeof(to)) == 0);
        EXPECT(epoll_ctl(epoll, EPOLL_CTL_ADD, sockets[i], &event) == 0);
    }
}

/* All answers are alike: the first tells how long they are. */
static void learn(void)
{
    long got = 0;
    char *end = NULL;
    EXPECT(write(sockets[0], request, request_bytes) == (ssize_t)request_bytes);
    while (end == NULL) {
        ssize_t more = read(sockets[0], buffer + got, sizeof(buffer) - 1 - (size_t)got);
        EXPECT(more > 0);
        got += more;
        buffer[got] = '\0';
        end = strstr(buffer, "\r\n\r\n");
    }
    const char *length = strcasestr(buffer, "\r\nContent-Length:");
    EXPECT(strncmp(buffer, "HTTP/1.1 200", 12) == 0 && length != NULL);
    answer_bytes = end + 4 - buffer + atol(length + 17);
    while (got < answer_bytes)
        got += read(sockets[0], buffer, sizeof(buffer));
}

/* False: its last answer is still due; it is asked for as soon as that is here. */
static bool ask(int at, double due)
{
    if (asked_at[at] != 0)
        return false;
    asked_at[at] = due;
    left[at] = answer_bytes;
    EXPECT(write(sockets[at], request, request_bytes) == (ssize_t)request_bytes);
    return true;
}

static void take(uint32_t at)
{
    ssize_t got = read(sockets[at], buffer, sizeof(buffer));
    EXPECT(got > 0 && got <= left[at] && asked_at[at] != 0);
    left[at] -= got;
    if (left[at] > 0)
        return;
    latency_us[answered++] = (float)(now_us() - asked_at[at]);
    asked_at[at] = 0;
}

static int compare(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
    EXPECT(argc == 5);
    double gap_us = 1e6 / atof(argv[3]);
    size_t wanted = (size_t)(atof(argv[3]) * atof(argv[4]));
    EXPECT(wanted > 0 && wanted <= REQUESTS_MAX);
    int epoll = epoll_create1(0);
    request_bytes = (size_t)snprintf(
        request, sizeof(request), "GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", argv[2]);
    open_connections(atoi(argv[1]), epoll);
    learn();
    double start = now_us();
    for (size_t sent = 0; answered < wanted;) {
        double due = start + (double)sent * gap_us, wait = due - now_us();
        if (sent < wanted && wait <= 0 && ask((int)(sent % CONNECTIONS), due)) {
            sent++;
            continue;
        }
        if (sent == wanted || wait <= 0)
            wait = 1000;
        struct epoll_event events[CONNECTIONS];
        struct timespec timeout = {0, (long)(wait * 1000)};
        int count = epoll_pwait2(epoll, events, CONNECTIONS, &timeout, NULL);
        for (int i = 0; i < count; i++)
            take(events[i].data.u32);
    }
    qsort(latency_us, answered, sizeof(*latency_us), compare);
    printf("{\"requests\": %zu, \"p50\": %.1f, \"p99\": %.1f}\n", answered,
        (double)latency_us[answered / 2], (double)latency_us[answered * 99 / 100]);
    return 0;
}
