/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How long heads take, each fed whole, and how long describing an exchange takes. Not a test.
 * Requests are pipelined, so that each direction is timed alone and the clock is read rarely.
 */
#include "protocol.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { ROUNDS = 6400, REPEATS = 15, PIPELINED = EXCHANGES_OPEN_MAX / 2 };

struct shape {
    const char *name;
    enum direction direction; /* of a server: requests come IN, answers go OUT */
    const char *text;
};

#define OTHER_REQUEST "GET / HTTP/1.1\r\n\r\n"
#define OTHER_RESPONSE "HTTP/1.1 204 No Content\r\n\r\n"

static const struct shape shapes[] = {
    {"request, no header", DIRECTION_IN, OTHER_REQUEST},
    {"request, wrk", DIRECTION_IN, "GET /x HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n"},
    {"request, curl", DIRECTION_IN,
        "GET /index.html HTTP/1.1\r\n"
        "Host: localhost:8080\r\n"
        "User-Agent: curl/7.88.1\r\n"
        "Accept: */*\r\n"
        "\r\n"},
    {"request, library", DIRECTION_IN,
        "GET /api/v1/carts/1234?expand=items HTTP/1.1\r\n"
        "Host: shop.example:8080\r\n"
        "User-Agent: python-requests/2.28.1\r\n"
        "Accept-Encoding: gzip, deflate\r\n"
        "Accept: */*\r\n"
        "Connection: keep-alive\r\n"
        "Content-Type: application/json\r\n"
        "X-Request-Id: 6f1ed002ab5595859014ebf0951522d9\r\n"
        "\r\n"},
    {"request, browser", DIRECTION_IN,
        "GET /catalogue/search?q=garden+chairs&page=2 HTTP/1.1\r\n"
        "Host: www.shop.example\r\n"
        "Connection: keep-alive\r\n"
        "Cache-Control: max-age=0\r\n"
        "Upgrade-Insecure-Requests: 1\r\n"
        "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
        "Chrome/120.0.0.0 Safari/537.36\r\n"
        "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8\r\n"
        "Sec-Fetch-Site: same-origin\r\n"
        "Sec-Fetch-Mode: navigate\r\n"
        "Referer: https://www.shop.example/catalogue\r\n"
        "Accept-Encoding: gzip, deflate, br\r\n"
        "Accept-Language: en-GB,en;q=0.9\r\n"
        "Cookie: session=6f1ed002ab5595859014ebf0951522d9; theme=light\r\n"
        "\r\n"},
    {"request, to upstream", DIRECTION_IN,
        "GET /api/v1/carts/1234 HTTP/1.0\r\n"
        "Host: backend\r\n"
        "X-Real-IP: 192.0.2.17\r\n"
        "X-Forwarded-For: 192.0.2.17\r\n"
        "X-Forwarded-Proto: https\r\n"
        "Connection: close\r\n"
        "User-Agent: curl/7.88.1\r\n"
        "Accept: */*\r\n"
        "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n"
        "\r\n"},
    {"request, post", DIRECTION_IN,
        "POST /api/v1/carts HTTP/1.1\r\n"
        "Host: shop.example\r\n"
        "User-Agent: python-requests/2.28.1\r\n"
        "Content-Type: application/json\r\n"
        "Content-Length: 17\r\n"
        "\r\n"
        "{\"item\": \"chair\"}"},
    {"response, no header", DIRECTION_OUT, OTHER_RESPONSE},
    {"response, nginx file", DIRECTION_OUT,
        "HTTP/1.1 200 OK\r\n"
        "Server: nginx/1.22.1\r\n"
        "Date: Mon, 01 Jan 2024 00:00:00 GMT\r\n"
        "Content-Type: text/html\r\n"
        "Content-Length: 0\r\n"
        "Last-Modified: Mon, 01 Jan 2024 00:00:00 GMT\r\n"
        "Connection: keep-alive\r\n"
        "ETag: \"65920080-267\"\r\n"
        "Accept-Ranges: bytes\r\n"
        "\r\n"},
    {"response, nginx chunked", DIRECTION_OUT,
        "HTTP/1.1 200 OK\r\n"
        "Server: nginx/1.22.1\r\n"
        "Date: Mon, 01 Jan 2024 00:00:00 GMT\r\n"
        "Content-Type: application/json\r\n"
        "Transfer-Encoding: chunked\r\n"
        "Connection: keep-alive\r\n"
        "\r\n"
        "5\r\nhello\r\n0\r\n\r\n"},
    {"response, application", DIRECTION_OUT,
        "HTTP/1.1 200 OK\r\n"
        "Server: nginx/1.22.1\r\n"
        "Date: Mon, 01 Jan 2024 00:00:00 GMT\r\n"
        "Content-Type: application/json\r\n"
        "Content-Length: 0\r\n"
        "Connection: keep-alive\r\n"
        "Cache-Control: no-store, must-revalidate, max-age=0\r\n"
        "X-Request-Id: 6f1ed002ab5595859014ebf0951522d9\r\n"
        "\r\n"},
};

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

static double feed_ns(
    const struct protocol *protocol, void *state, enum direction direction, const char *text)
{
    struct sink sink = {count};
    size_t length = strlen(text);
    double start = now_ns();
    for (int i = 0; i < PIPELINED; i++) {
        if (protocol->feed(state, direction, (const uint8_t *)text, length, &sink) != length) {
            printf("# lost: %s\n", text);
            exit(1);
        }
    }
    return (now_ns() - start) / PIPELINED;
}

/* The least of several: what else runs on the machine only ever adds. */
static double measure_shape(const struct protocol *protocol, const struct shape *shape)
{
    static _Alignas(16) uint8_t state[STATE_BYTES_MAX];
    bool is_request = shape->direction == DIRECTION_IN;
    double least = 1e9;
    for (int i = 0; i < REPEATS; i++) {
        double sums[2] = {0};
        protocol->start(state, DIRECTION_IN);
        for (int k = 0; k < ROUNDS / PIPELINED; k++) {
            sums[DIRECTION_IN] +=
                feed_ns(protocol, state, DIRECTION_IN, is_request ? shape->text : OTHER_REQUEST);
            sums[DIRECTION_OUT] +=
                feed_ns(protocol, state, DIRECTION_OUT, is_request ? OTHER_RESPONSE : shape->text);
        }
        double mean = sums[shape->direction] / (ROUNDS / PIPELINED);
        least = mean < least ? mean : least;
    }
    return least;
}

static void take_text(
    struct describer *out, enum attribute attribute, const void *text, size_t length)
{
    told += length;
}

static void take_number(struct describer *out, enum attribute attribute, int64_t number)
{
    told++;
}

static void take_open(struct describer *out, enum attribute attribute)
{
    told++;
}

static void take_piece(struct describer *out, const void *text, size_t length)
{
    told += length;
}

static void take_mark(struct describer *out)
{
    told++;
}

static double measure_describe(const struct protocol *protocol, const struct facts *facts)
{
    struct describer out = {.text = take_text,
        .number = take_number,
        .open = take_open,
        .append = take_piece,
        .close = take_mark,
        .name = take_piece,
        .error = take_mark,
        .untouched = take_mark};
    double least = 1e9;
    for (int i = 0; i < REPEATS; i++) {
        double start = now_ns();
        for (int k = 0; k < ROUNDS; k++) {
            protocol->describe(facts, &out);
        }
        double mean = (now_ns() - start) / ROUNDS;
        least = mean < least ? mean : least;
    }
    return least;
}

static struct fact fact(const char *text)
{
    return (struct fact){(const uint8_t *)text, (uint32_t)strlen(text)};
}

static void print_describe(const struct protocol *protocol, bool is_server)
{
    struct facts facts = {.is_server = is_server,
        .has_response = true,
        .peer_address = fact("127.0.0.1"),
        .peer_port = 8080,
        .numbers = {[FIELD_STATUS] = 200, [FIELD_VERSION] = 11}};
    facts.texts[FIELD_METHOD] = fact("GET");
    facts.texts[FIELD_TARGET] = fact("/api/v1/carts/1234?expand=items&page=2");
    facts.texts[FIELD_HOST] = fact("shop.example:8080");
    facts.texts[FIELD_USER_AGENT] = fact("python-requests/2.28.1");
    printf("%-24s            %6.1f ns\n", is_server ? "describe, server" : "describe, client",
        measure_describe(protocol, &facts));
}

int main(void)
{
    const struct protocol *protocol = protocol_rows[0];
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        const struct shape *shape = &shapes[i];
        printf("%-24s %4zu bytes %6.1f ns\n", shape->name, strlen(shape->text),
            measure_shape(protocol, shape));
    }
    print_describe(protocol, true);
    print_describe(protocol, false);
    return told == 0;
}
