/* SPDX-License-Identifier: Apache-2.0 */
/* How long a head takes: exchanges of a request and an answer, each fed whole. Not a test. */
#include "protocol.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

enum { ROUNDS = 2000000, REPEATS = 5 };

static const char request[] = "GET /api/v1/carts/1234?expand=items HTTP/1.1\r\n"
                              "Host: shop.example:8080\r\n"
                              "User-Agent: python-requests/2.28.1\r\n"
                              "Accept-Encoding: gzip, deflate\r\n"
                              "Accept: */*\r\n"
                              "Connection: keep-alive\r\n"
                              "Content-Type: application/json\r\n"
                              "X-Request-Id: 6f1ed002ab5595859014ebf0951522d9\r\n"
                              "\r\n";

static const char response[] = "HTTP/1.1 200 OK\r\n"
                               "Server: nginx/1.22.1\r\n"
                               "Date: Mon, 01 Jan 2024 00:00:00 GMT\r\n"
                               "Content-Type: application/json\r\n"
                               "Content-Length: 0\r\n"
                               "Connection: keep-alive\r\n"
                               "Cache-Control: no-store, must-revalidate, max-age=0\r\n"
                               "X-Request-Id: 6f1ed002ab5595859014ebf0951522d9\r\n"
                               "\r\n";

static size_t told;

static bool count(struct sink *sink, const struct event *event)
{
    told += event->length + 1;
    return true;
}

static double now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static double feed_ns(const struct protocol *protocol, void *state, enum direction direction,
    const char *text, size_t length, struct sink *sink)
{
    double start = now_ns();
    if (protocol->feed(state, direction, (const uint8_t *)text, length, sink) != length) {
        printf("# lost\n");
    }
    return now_ns() - start;
}

/* Both together; then the share of each is estimated by timing them singly. */
static void measure(const struct protocol *protocol)
{
    static _Alignas(16) uint8_t state[STATE_BYTES_MAX];
    struct sink sink = {count};
    double singly[2] = {0};
    protocol->start(state, DIRECTION_IN);
    double start = now_ns();
    for (int i = 0; i < ROUNDS; i++) {
        protocol->feed(state, DIRECTION_IN, (const uint8_t *)request, sizeof request - 1, &sink);
        protocol->feed(state, DIRECTION_OUT, (const uint8_t *)response, sizeof response - 1, &sink);
    }
    double both = (now_ns() - start) / ROUNDS;
    for (int i = 0; i < ROUNDS / 10; i++) {
        singly[0] += feed_ns(protocol, state, DIRECTION_IN, request, sizeof request - 1, &sink);
        singly[1] += feed_ns(protocol, state, DIRECTION_OUT, response, sizeof response - 1, &sink);
    }
    double share = singly[0] / (singly[0] + singly[1]);
    printf("%s: request of %zu bytes %.0f ns, response of %zu bytes %.0f ns\n", protocol->name,
        sizeof request - 1, both * share, sizeof response - 1, both * (1 - share));
}

int main(void)
{
    for (int i = 0; i < REPEATS; i++) {
        measure(protocol_rows[0]);
    }
    return told == 0;
}
