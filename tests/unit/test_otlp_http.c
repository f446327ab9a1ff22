/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The transport against a collector in a thread, which plays one scene per test: good, slow, gone,
 * confused. The reader of answers alone is cut at every byte and fed noise.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>

#include "counters.h"
#include "http_answer.h"
#include "otlp.pb-c.h"
#include "otlp_http.h"
#include "tap.h"

enum { BODY_BYTES = 100 * 1000, LARGE_BYTES = 8 * 1024 * 1024 };

static uint8_t scratch[OTLP_HTTP_SCRATCH_BYTES] __attribute__((aligned(16)));
static uint8_t body[LARGE_BYTES];
static char url[CONFIG_TEXT_MAX];
static struct otlp_target target;
static struct otlp_http http;
static struct otlp_answer answer;

/* ---- the collector ---- */

struct seen {
    char head[8192];
    uint8_t body[BODY_BYTES + 1024];
    size_t body_bytes;
};

static int listener;
static unsigned accepted;
static struct seen seen;
static int port;
static pthread_t collector;

static int take_connection(void)
{
    int descriptor = accept(listener, NULL, NULL);
    accepted++;
    return descriptor;
}

/* Reads a whole request; `seen` is the last complete one. False: the peer closed first. */
static bool take_request(int descriptor)
{
    static struct seen incoming;
    size_t head = 0;
    memset(&incoming, 0, sizeof(incoming));
    while (strstr(incoming.head, "\r\n\r\n") == NULL)
        if (read(descriptor, incoming.head + head, 1) == 1)
            head++;
        else
            return false;
    const char *length = strstr(incoming.head, "Content-Length: ");
    size_t expected = length ? strtoul(length + 16, NULL, 10) : 0;
    while (incoming.body_bytes < expected && incoming.body_bytes < sizeof(incoming.body)) {
        ssize_t got =
            read(descriptor, incoming.body + incoming.body_bytes, expected - incoming.body_bytes);
        if (got <= 0)
            return false;
        incoming.body_bytes += (size_t)got;
    }
    seen = incoming;
    return true;
}

static void reply(int descriptor, const char *text)
{
    send(descriptor, text, strlen(text), MSG_NOSIGNAL);
}

static void drain(int descriptor)
{
    char bytes[4096];
    shutdown(descriptor, SHUT_WR);
    while (read(descriptor, bytes, sizeof(bytes)) > 0)
        ;
    close(descriptor);
}

/* Each scene is one function of the collector; `text` is what it says. */
static const char *text;
static uint8_t *packed;
static size_t packed_bytes;

static void *answers_once(void *unused)
{
    int descriptor = take_connection();
    if (take_request(descriptor))
        reply(descriptor, text);
    drain(descriptor);
    return NULL;
}

static void *answers_packed(void *unused)
{
    char head[256];
    int descriptor = take_connection();
    take_request(descriptor);
    snprintf(head, sizeof(head),
        "HTTP/1.1 %s\r\nContent-Type: application/x-protobuf; v=1\r\nContent-Length: %zu\r\n\r\n",
        text, packed_bytes);
    reply(descriptor, head);
    send(descriptor, packed, packed_bytes, MSG_NOSIGNAL);
    drain(descriptor);
    return NULL;
}

static void *answers_in_pieces(void *unused)
{
    char chunk[64];
    int descriptor = take_connection();
    take_request(descriptor);
    reply(descriptor, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n");
    reply(descriptor, "HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\n"
                      "Transfer-Encoding: chunked\r\n\r\n");
    for (size_t i = 0; i < packed_bytes; i++) {
        int length = snprintf(chunk, sizeof(chunk), "1;x=y\r\n%c\r\n", packed[i]);
        for (int j = 0; j < length; j++)
            send(descriptor, chunk + j, 1, MSG_NOSIGNAL);
    }
    reply(descriptor, "0\r\nTrailer: x\r\n\r\n");
    take_request(descriptor);
    reply(descriptor, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    drain(descriptor);
    return NULL;
}

static void *keeps_alive(void *unused)
{
    int descriptor = take_connection();
    while (take_request(descriptor))
        reply(descriptor, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    close(descriptor);
    return NULL;
}

static void *closes_at_once(void *unused)
{
    close(take_connection());
    return NULL;
}

static void *says_nothing(void *unused)
{
    char bytes[4096];
    int descriptor = take_connection();
    while (read(descriptor, bytes, sizeof(bytes)) > 0)
        ;
    close(descriptor);
    return NULL;
}

/* Serves one request, is gone at the second, serves again. */
static void *goes_stale(void *unused)
{
    int descriptor = take_connection();
    take_request(descriptor);
    reply(descriptor, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    take_request(descriptor);
    close(descriptor);
    descriptor = take_connection();
    take_request(descriptor);
    reply(descriptor, "HTTP/1.1 202 OK\r\nContent-Length: 0\r\n\r\n");
    drain(descriptor);
    return NULL;
}

static void *closes_when_idle(void *unused)
{
    for (unsigned i = 0; i < 2; i++) {
        int descriptor = take_connection();
        take_request(descriptor);
        reply(descriptor, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        close(descriptor);
    }
    return NULL;
}

/* Two connections: the first answers 200, then the second 202, then the first again. */
static void *serves_two(void *unused)
{
    int first = take_connection();
    take_request(first);
    reply(first, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    int second = take_connection();
    take_request(second);
    reply(second, "HTTP/1.1 202 OK\r\nContent-Length: 0\r\n\r\n");
    take_request(first);
    reply(first, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    close(second);
    drain(first);
    return NULL;
}

static void *sends_much(void *unused)
{
    static char bytes[64 * 1024];
    int descriptor = take_connection();
    take_request(descriptor);
    reply(descriptor, text);
    memset(bytes, 'x', sizeof(bytes));
    if (strstr(text, "chunked"))
        memcpy(bytes, "fff9\r\n", 6), memcpy(bytes + sizeof(bytes) - 2, "\r\n", 2);
    bytes[5] = strstr(text, "chunked") ? '\n' : 'x';
    for (unsigned i = 0; i < 100; i++)
        if (send(descriptor, bytes, sizeof(bytes), MSG_NOSIGNAL) <= 0)
            break;
    drain(descriptor);
    return NULL;
}

static bool is_over; /* the scene: nothing more is sent or read by the client */

/* Reads no more than the start, and has little room for the rest: the client cannot have sent all
 * when the answer comes. */
static void *refuses_early(void *unused)
{
    int descriptor = take_connection(), room = 64 * 1024;
    char some[1000];
    setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
    if (read(descriptor, some, sizeof(some)) > 0)
        reply(descriptor, "HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig");
    while (!__atomic_load_n(&is_over, __ATOMIC_RELAXED))
        poll(NULL, 0, 1);
    close(descriptor);
    return NULL;
}

/* ---- the stage ---- */

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void listen_tcp(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof(address);
    listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(listener, (struct sockaddr *)&address, sizeof(address)) || listen(listener, 8) ||
        getsockname(listener, (struct sockaddr *)&address, &length))
        exit(99);
    port = ntohs(address.sin_port);
}

static void begin(void *(*scene)(void *), const char *host)
{
    target = (struct otlp_target){.url = url, .path = "/v1/traces", .headers = ""};
    listen_tcp();
    snprintf(url, sizeof(url), "http://%s:%d/v1/traces", host, port);
    otlp_http_init(&http, scratch, sizeof(scratch));
    accepted = 0;
    is_over = false;
    pthread_create(&collector, NULL, scene, NULL);
}

static void end(void)
{
    otlp_http_close(&http);
    __atomic_store_n(&is_over, true, __ATOMIC_RELAXED);
    pthread_join(collector, NULL);
    close(listener);
}

static enum otlp_outcome post(size_t bytes)
{
    otlp_http_post(&http, &target, body, bytes, now_ns() + 5000000000u, NULL, &answer);
    return answer.outcome;
}

static void test_good(void)
{
    begin(keeps_alive, "127.0.0.1");
    target.headers = "api-key: s\r\n";
    CHECK(post(1000) == OTLP_ACCEPTED && answer.status == 200, "accepted");
    CHECK(strncmp(seen.head, "POST /v1/traces HTTP/1.1\r\n", 26) == 0, "the request line");
    CHECK(strstr(seen.head, "\r\nContent-Type: application/x-protobuf\r\n") &&
              strstr(seen.head, "\r\nHost: 127.0.0.1:") &&
              strstr(seen.head, "\r\napi-key: s\r\n") &&
              strstr(seen.head, "\r\nUser-Agent: Burdock/" BURDOCK_VERSION
                                " OTel-OTLP-Exporter-C/" BURDOCK_VERSION "\r\n"),
        "the fields");
    CHECK(seen.body_bytes == 1000 && memcmp(seen.body, body, 1000) == 0, "the body");
    CHECK((fcntl(http.descriptor, F_GETFD) & FD_CLOEXEC) != 0, "close-on-exec");
    for (unsigned i = 0; i < 5; i++)
        post(BODY_BYTES);
    CHECK(answer.outcome == OTLP_ACCEPTED && accepted == 1, "one connection for all");
    end();

    begin(keeps_alive, "localhost");
    target.gzip = true;
    post(10);
    CHECK(post(BODY_BYTES) == OTLP_ACCEPTED && strstr(seen.head, "\r\nContent-Encoding: gzip\r\n"),
        "compressed, over localhost");
    static uint8_t plain[BODY_BYTES];
    z_stream stream = {.next_in = seen.body,
        .avail_in = (unsigned)seen.body_bytes,
        .next_out = plain,
        .avail_out = sizeof(plain)};
    inflateInit2(&stream, 31);
    int result = inflate(&stream, Z_FINISH);
    inflateEnd(&stream);
    CHECK(result == Z_STREAM_END && stream.total_out == BODY_BYTES &&
              memcmp(plain, body, BODY_BYTES) == 0,
        "and the same again (%zu bytes)", seen.body_bytes);
    end();
}

static void pack_partial(int64_t rejected, const char *message)
{
    Otlp__ExportTracePartialSuccess partial = OTLP__EXPORT_TRACE_PARTIAL_SUCCESS__INIT;
    Otlp__ExportTraceServiceResponse response = OTLP__EXPORT_TRACE_SERVICE_RESPONSE__INIT;
    partial.rejected_spans = rejected;
    partial.error_message = (char *)message;
    response.partial_success = &partial;
    free(packed);
    packed = malloc(otlp__export_trace_service_response__get_packed_size(&response));
    packed_bytes = otlp__export_trace_service_response__pack(&response, packed);
}

static void test_answers(void)
{
    pack_partial(7, "bad\n\x1B[1mspans");
    text = "200 OK";
    begin(answers_packed, "127.0.0.1");
    CHECK(post(10) == OTLP_ACCEPTED && answer.rejected == 7, "partial success");
    CHECK(strcmp(answer.message, "bad  [1mspans") == 0, "its words, safe to print");
    end();
    pack_partial(-3, "x");
    begin(answers_in_pieces, "127.0.0.1");
    CHECK(post(10) == OTLP_ACCEPTED && answer.rejected == 0 && strcmp(answer.message, "x") == 0,
        "interim answers, chunks, byte by byte");
    CHECK(post(10) == OTLP_ACCEPTED && accepted == 1, "and the connection is still good");
    end();

    Otlp__RpcStatus status = OTLP__RPC_STATUS__INIT;
    status.message = "no such thing";
    packed = realloc(packed, otlp__rpc_status__get_packed_size(&status));
    packed_bytes = otlp__rpc_status__pack(&status, packed);
    text = "400 Bad Request";
    begin(answers_packed, "127.0.0.1");
    CHECK(post(10) == OTLP_REFUSED && answer.status == 400 &&
              strcmp(answer.message, "no such thing") == 0,
        "an error as a message");
    end();
    memset(packed, 0xFF, packed_bytes);
    begin(answers_packed, "127.0.0.1");
    CHECK(post(10) == OTLP_REFUSED && answer.message[0] == 0, "an error that does not decode");
    end();

    static const struct {
        const char *text;
        enum otlp_outcome outcome;
        int status;
        uint32_t after_ms;
    } rows[] = {
        {"HTTP/1.1 429 Slow\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n", OTLP_RETRY, 429, 7000},
        {"HTTP/1.1 503 No\r\nretry-after: 99999999\r\n\r\nwords", OTLP_RETRY, 503, UINT32_MAX},
        {"HTTP/1.1 503 No\r\nRetry-After: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n", OTLP_RETRY, 503,
            0},
        {"HTTP/1.1 502 No\r\n\r\n", OTLP_RETRY, 502, 0},
        {"HTTP/1.0 504 No\r\n\r\n", OTLP_RETRY, 504, 0},
        {"HTTP/1.1 500 No\r\n\r\n", OTLP_REFUSED, 500, 0},
        {"HTTP/1.1 301 Gone\r\nLocation: /\r\n\r\n", OTLP_REFUSED, 301, 0},
        {"HTTP/1.1 204\r\n\r\n", OTLP_ACCEPTED, 204, 0},
        {"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", OTLP_ACCEPTED, 200, 0},
        {"HTTP/1.1 200 OK\r\nContent-Le", OTLP_RETRY, 200, 0},
        {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", OTLP_ACCEPTED, 200,
            0},
        {"HTTP/1.1 200 OK\r\nContent-Length: 0, 0\r\n\r\n", OTLP_ACCEPTED, 200, 0},
        {"HTTP/1.1 503 No\r\nRetry-After: 7\r\nno field\r\n\r\n", OTLP_RETRY, 503, 7000},
        {"HTTP/1.1 429 No\r\nX: 1\r\n more: 2\r\nRetry-After: 7\r\n\r\n", OTLP_RETRY, 429, 7000},
        {"SSH-2.0-OpenSSH_9.2\r\n", OTLP_REFUSED, 0, 0},
        {"\x16\x03\x01\x02 garbage garbage", OTLP_REFUSED, 0, 0},
        {"HTTP/1.1 999 No\r\n\r\n", OTLP_REFUSED, 0, 0}, {"", OTLP_RETRY, 0, 0}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        text = rows[i].text;
        begin(answers_once, "127.0.0.1");
        post(10);
        CHECK(answer.outcome == rows[i].outcome && answer.status == rows[i].status &&
                  answer.retry_after_ms == rows[i].after_ms,
            "answer %zu: outcome %d, status %d, %u ms", i, answer.outcome, answer.status,
            answer.retry_after_ms);
        end();
    }
    static const char *const partial[] = {"{\"partialSuccess\":{\"rejectedSpans\":\"4\"}}",
        "\r\n{ \"partialSuccess\": { \"rejectedDataPoints\": 4 } }",
        "{\"partialSuccess\":{\"rejectedLogRecords\":\"4\",\"errorMessage\":\"x\"}}"};
    for (size_t i = 0; i < sizeof(partial) / sizeof(partial[0]); i++) {
        char whole[256];
        snprintf(whole, sizeof(whole),
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n%s", partial[i]);
        text = whole;
        begin(answers_once, "127.0.0.1");
        CHECK(post(10) == OTLP_ACCEPTED && answer.rejected == 4, "partial success as JSON %zu", i);
        end();
    }
    static const char *const forms[] = {
        "%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"};
    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        char date[64], dated[128];
        time_t later = time(NULL) + 100;
        strftime(date, sizeof(date), forms[i], gmtime(&later));
        snprintf(dated, sizeof(dated), "HTTP/1.1 503 No\r\nRetry-After: %s\r\n\r\n", date);
        text = dated;
        begin(answers_once, "127.0.0.1");
        post(10);
        CHECK(answer.retry_after_ms > 95000 && answer.retry_after_ms <= 100000,
            "a date of Retry-After: %s", date);
        end();
    }
    /* The moment, the date, the seconds between them. */
    static const struct {
        int64_t now_s;
        const char *date;
        uint32_t after_s;
    } dates[] = {{784111777 - 60, "Sun, 06 Nov 1994 08:49:37 GMT", 60},
        {784111777 - 60, "Sunday, 06-Nov-94 08:49:37 GMT", 60},
        {784111777 - 60, "Sun Nov  6 08:49:37 1994", 60},
        {784111777 + 864000 - 60, "Wed Nov 16 08:49:37 1994", 60},
        {946684800 - 10, "Saturday, 01-Jan-00 00:00:00 GMT", 10},
        {946684800 + 3600, "Saturday, 01-Jan-00 02:00:00 GMT", 3600},
        {1700000000, "Sunday, 06-Nov-94 08:49:37 GMT", 0},
        {1700000000, "Sunday, 06-Nov-94 08:49:37 CET", 0}, {1700000000, "Sun, 06", 0},
        {1700000000, "Wed Nov 99", 0}, {1700000000, ",", 0}, {1700000000, "", 0},
        {1700000000, "Xxx, 06 Xxx 2094 08:49:37 GMT", 0}};
    for (size_t i = 0; i < sizeof(dates) / sizeof(dates[0]); i++) {
        struct http_answer parsed;
        char head[128];
        uint8_t body[16];
        int length = snprintf(
            head, sizeof(head), "HTTP/1.1 503 No\r\nRetry-After: %s\r\n\r\n", dates[i].date);
        http_answer_init(&parsed, body, sizeof(body), dates[i].now_s);
        http_answer_feed(&parsed, (const uint8_t *)head, (size_t)length);
        CHECK(parsed.retry_after_ms == dates[i].after_s * 1000, "%s at %lld: %u ms", dates[i].date,
            (long long)dates[i].now_s, parsed.retry_after_ms);
    }
}

static void test_trouble(void)
{
    begin(closes_at_once, "127.0.0.1");
    CHECK(post(10) == OTLP_RETRY && answer.status == 0 && accepted == 1, "closed at once: retry");
    end();

    begin(says_nothing, "127.0.0.1");
    uint64_t start = now_ns();
    otlp_http_post(&http, &target, body, 10, start + 200000000u, NULL, &answer);
    uint64_t took = now_ns() - start;
    CHECK(answer.outcome == OTLP_RETRY && took >= 200000000u && took < 1000000000u, "the deadline");
    CHECK(http.descriptor < 0, "a connection with an answer due is not kept");
    end();
    begin(says_nothing, "127.0.0.1");
    uint64_t stop = now_ns() + 100000000u;
    start = now_ns();
    otlp_http_post(&http, &target, body, 10, UINT64_MAX, &stop, &answer);
    took = now_ns() - start;
    CHECK(answer.outcome == OTLP_RETRY && took >= 90000000u && took < 1000000000u,
        "a stop shortens it");
    end();

    begin(refuses_early, "127.0.0.1");
    CHECK(post(LARGE_BYTES) == OTLP_REFUSED && answer.status == 413 &&
              strcmp(answer.message, "big") == 0,
        "an answer before the request was read");
    CHECK(http.descriptor < 0, "ends the connection");
    end();

    static const char *const much[] = {"HTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5000000\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 400 No\r\nX-Long: ", "HTTP/1.1 200 OK\r\nX-Long: "};
    /* What was taken is not counted as lost for the length of a head. */
    static const enum otlp_outcome outcomes[] = {
        OTLP_REFUSED, OTLP_REFUSED, OTLP_REFUSED, OTLP_REFUSED, OTLP_ACCEPTED};
    for (size_t i = 0; i < sizeof(much) / sizeof(much[0]); i++) {
        text = much[i];
        begin(sends_much, "127.0.0.1");
        CHECK(post(10) == outcomes[i] && http.descriptor < 0, "a huge answer, kind %zu", i);
        end();
    }

    begin(closes_at_once, "127.0.0.1");
    post(10);
    end();
    otlp_http_init(&http, scratch, sizeof(scratch));
    CHECK(post(10) == OTLP_RETRY && answer.error == ECONNREFUSED, "nobody listens");
    strcpy(url, "http://no.such.host.invalid/x");
    CHECK(post(10) == OTLP_RETRY && answer.error != 0, "no such name");
    strcpy(url, "ftp://x/");
    CHECK(post(10) == OTLP_REFUSED, "no URL of ours");
}

static void test_stale(void)
{
    begin(goes_stale, "127.0.0.1");
    post(10);
    CHECK(post(10) == OTLP_ACCEPTED && answer.status == 202 && accepted == 2,
        "a kept connection that fails is replaced once");
    end();
    begin(closes_when_idle, "127.0.0.1");
    post(10);
    usleep(50000);
    CHECK(post(10) == OTLP_ACCEPTED && accepted == 2, "one that was closed while idle too");
    end();
}

/* The host closes our number and has a socket of its own there. */
static void test_identity(void)
{
    int pair[2];
    char byte;
    begin(closes_when_idle, "127.0.0.1");
    post(10);
    uint64_t before = counters[COUNTER_IDENTITY_CHANGED];
    int number = http.descriptor >= 0 ? http.descriptor : 900;
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) || dup2(pair[0], number) != number)
        exit(99);
    http.descriptor = number;
    CHECK(post(10) == OTLP_ACCEPTED && accepted == 2, "a new connection is made");
    CHECK(
        recv(pair[1], &byte, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN, "nothing went to the other");
    CHECK(fcntl(number, F_GETFD) >= 0 && http.descriptor != number, "nor was it closed");
    CHECK(counters[COUNTER_IDENTITY_CHANGED] == before + 1, "and it was counted");
    close(number);
    close(pair[0]);
    close(pair[1]);
    end();
}

static void test_fork(void)
{
    begin(serves_two, "127.0.0.1");
    post(10);
    int result = 1;
    pid_t child = fork();
    if (child == 0)
        _exit(post(10) == OTLP_ACCEPTED && answer.status == 202 ? 0 : 1);
    waitpid(child, &result, 0);
    CHECK(result == 0 && accepted == 2, "a forked child makes its own connection");
    CHECK(post(10) == OTLP_ACCEPTED && answer.status == 200 && accepted == 2,
        "and the parent's is as it was");
    end();
}

static void test_unix(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    target = (struct otlp_target){.url = url, .path = "/v1/traces", .headers = ""};
    snprintf(address.sun_path, sizeof(address.sun_path), "/tmp/otlp-http-test-%d", getpid());
    snprintf(url, sizeof(url), "unix://%s", address.sun_path);
    listener = socket(AF_UNIX, SOCK_STREAM, 0);
    if (bind(listener, (struct sockaddr *)&address, sizeof(address)) || listen(listener, 8))
        exit(99);
    otlp_http_init(&http, scratch, sizeof(scratch));
    pthread_create(&collector, NULL, keeps_alive, NULL);
    CHECK(post(10) == OTLP_ACCEPTED && strncmp(seen.head, "POST /v1/traces ", 16) == 0 &&
              strstr(seen.head, "\r\nHost: localhost\r\n"),
        "a Unix socket");
    end();
    unlink(address.sun_path);
}

/* ---- the reader alone ---- */

static void test_reader(void)
{
    static const char whole[] =
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\n"
        "Transfer-Encoding: gzip, chunked\r\n\r\n3\r\nabc\r\n00A ; x\r\n0123456789\r\n0\r\nT: "
        "x\r\n\r\n";
    struct http_answer reader;
    uint8_t kept[16];
    unsigned wrong = 0;
    for (size_t step = 1; step < sizeof(whole); step++) {
        http_answer_init(&reader, kept, sizeof(kept), 0);
        for (size_t at = 0; at < sizeof(whole) - 1; at += step) {
            size_t left = sizeof(whole) - 1 - at;
            size_t length = left < step ? left : step;
            uint8_t *piece = malloc(length); /* exact, for the sanitizer */
            memcpy(piece, whole + at, length);
            http_answer_feed(&reader, piece, length);
            free(piece);
        }
        wrong += reader.phase != HTTP_DONE || !reader.keep_alive || reader.status != 200 ||
                 reader.body_length != 13 || memcmp(kept, "abc0123456789", 13) != 0 ||
                 !reader.protobuf;
    }
    CHECK(wrong == 0, "an answer in pieces of every size");
    for (size_t cut = 0; cut < sizeof(whole) - 1; cut++) {
        http_answer_init(&reader, kept, sizeof(kept), 0);
        http_answer_feed(&reader, (const uint8_t *)whole, cut);
        http_answer_end(&reader);
        wrong += reader.phase != HTTP_BROKEN || reader.keep_alive;
    }
    CHECK(wrong == 0, "cut anywhere it is broken");
    http_answer_init(&reader, kept, sizeof(kept), 0);
    http_answer_feed(&reader, (const uint8_t *)"HTTP/1.1 204 N\r\n\r\nX", 19);
    CHECK(reader.phase == HTTP_DONE && !reader.keep_alive, "unasked bytes end the connection");

    uint64_t seed = 0x853C49E6748FEA9Bu;
    for (unsigned round = 0; round < 30000; round++) {
        uint8_t bytes[sizeof(whole)];
        memcpy(bytes, whole, sizeof(whole));
        for (unsigned i = 0; i < 4; i++) {
            seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
            bytes[(seed >> 8) % sizeof(bytes)] = (uint8_t)(seed >> 40);
        }
        http_answer_init(&reader, kept, sizeof(kept), 0);
        for (unsigned i = 0; i < 3; i++)
            http_answer_feed(&reader, bytes, sizeof(bytes));
        http_answer_end(&reader);
        wrong += reader.body_length > sizeof(kept) ||
                 (reader.phase != HTTP_DONE && reader.phase != HTTP_BROKEN);
    }
    CHECK(wrong == 0, "noise leaves it in a final state");
}

int main(void)
{
    alarm(100);
    for (size_t i = 0; i < sizeof(body); i++)
        body[i] = (uint8_t)(i % 251 * (i >> 12));
    test_reader();
    test_good();
    test_answers();
    test_trouble();
    test_stale();
    test_identity();
    test_fork();
    test_unix();
    free(packed);
    return tap_done();
}
