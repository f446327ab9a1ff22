/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scratch memory: | request head | compressed body | work |
 * `work` is the compressor's memory first, then that of the answer: what was received, the part of
 * the body that is kept, and what protobuf-c decodes it into.
 */
#include "otlp_http.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <zlib.h>

#include "arena.h"
#include "counters.h"
#include "http_answer.h"
#include "otlp_answer.h"
#include "otlp_connect.h"
#include "otlp_json.h"
#include "process.h"
#include "sys.h"
#include "text.h"
#include "url.h"

enum {
    HEAD_BYTES_MAX = 8 * 1024,
    WORK_BYTES = 320 * 1024, /* deflate takes 268 KiB */
    RECEIVED_BYTES = 16 * 1024,
    KEPT_BYTES = 64 * 1024
};

struct request {
    struct url url;
    const uint8_t *head;
    size_t head_bytes;
    const uint8_t *body;
    size_t body_bytes;
    bool is_relay;
};

/* How an attempt on one connection ended. */
enum attempt { ATTEMPT_ANSWERED, ATTEMPT_BROKE_OFF, ATTEMPT_LATE, ATTEMPT_SILENT };

struct otlp_target otlp_target_of(const struct config *config, enum signal signal)
{
    if (config->signals[signal]
            .is_relayed) /* headers, compression, JSON: it has its own settings */
        return (struct otlp_target){.url = config->relay_url,
            .path = config->signals[signal].path,
            .headers = "",
            .signal = signal,
            .is_relay = true};
    return (struct otlp_target){.url = config->urls[signal],
        .path = config->signals[signal].path,
        .headers = config->headers[signal],
        .gzip = config->signals[signal].gzip,
        .json = config->signals[signal].json,
        .signal = signal};
}

void otlp_http_init(struct otlp_http *http, uint8_t *scratch, size_t scratch_bytes)
{
    *http =
        (struct otlp_http){.descriptor = -1, .scratch = scratch, .scratch_bytes = scratch_bytes};
}

void otlp_http_close(struct otlp_http *http)
{
    if (otlp_connection_ours(http))
        sys(SYS_close, http->descriptor);
    else if (http->descriptor >= 0)
        counter_add(COUNTER_IDENTITY_CHANGED, 1);
    http->descriptor = -1;
}

/* ---- request ---- */

struct builder {
    char *at;
    size_t room;
    bool full;
};

static void add(struct builder *builder, const char *text, size_t length)
{
    builder->full = builder->full || length > builder->room;
    if (builder->full)
        return;
    memcpy(builder->at, text, length);
    builder->at += length;
    builder->room -= length;
}

static void add_text(struct builder *builder, const char *text)
{
    add(builder, text, strlen(text));
}

static void add_number(struct builder *builder, size_t number)
{
    char digits[20];
    size_t at = sizeof(digits);
    do
        digits[--at] = (char)('0' + number % 10);
    while ((number /= 10) != 0);
    add(builder, digits + at, sizeof(digits) - at);
}

static void add_target(struct builder *builder, const struct url *url, const char *path)
{
    if (url->scheme == URL_UNIX) {
        add_text(builder, path);
        return;
    }
    if (url->path.length == 0 || url->path.data[0] != '/')
        add_text(builder, "/");
    add(builder, url->path.data, url->path.length);
}

static bool build_head(
    struct otlp_http *http, const struct otlp_target *target, struct request *request, bool gzip)
{
    struct builder builder = {.at = (char *)http->scratch, .room = HEAD_BYTES_MAX};
    add_text(&builder, request->body == NULL ? "GET " : "POST ");
    add_target(&builder, &request->url, target->path);
    add_text(&builder, " HTTP/1.1\r\nHost: ");
    if (request->url.scheme == URL_UNIX)
        add_text(&builder, "localhost");
    add(&builder, request->url.authority.data, request->url.authority.length);
    add_text(&builder,
        "\r\nUser-Agent: Burdock/" BURDOCK_VERSION " OTel-OTLP-Exporter-C/" BURDOCK_VERSION);
    if (request->body != NULL) {
        add_text(&builder, "\r\nContent-Type: application/");
        add_text(&builder, target->json ? "json" : "x-protobuf");
        add_text(&builder, "\r\nContent-Length: ");
        add_number(&builder, request->body_bytes);
    }
    add_text(&builder, gzip ? "\r\nContent-Encoding: gzip\r\n" : "\r\n");
    add_text(&builder, target->headers);
    add_text(&builder, "\r\n");
    request->head = http->scratch;
    request->head_bytes = HEAD_BYTES_MAX - builder.room;
    return !builder.full;
}

static uint8_t *work(const struct otlp_http *http)
{
    return http->scratch + (http->scratch_bytes - WORK_BYTES) / 16 * 16;
}

static void *zlib_take(void *arena, unsigned items, unsigned bytes)
{
    return arena_take(arena, (size_t)items * bytes);
}

/* Level 1: the exporter shares the host's processors, and spans repeat themselves enough. False:
 * the result has no room, the body goes as it is. */
static bool compress_body(
    struct otlp_http *http, const uint8_t *body, size_t length, struct request *request)
{
    struct arena arena = {work(http), WORK_BYTES, 0};
    z_stream stream = {.zalloc = zlib_take, .zfree = arena_keep, .opaque = &arena};
    uint8_t *out = http->scratch + HEAD_BYTES_MAX;
    enum { GZIP_FORMAT = 16 };
    if (length > UINT32_MAX || deflateInit2(&stream, Z_BEST_SPEED, Z_DEFLATED,
                                   MAX_WBITS + GZIP_FORMAT, 8, Z_DEFAULT_STRATEGY) != Z_OK)
        return false;
    stream.next_in = (uint8_t *)body;
    stream.avail_in = (unsigned)length;
    stream.next_out = out;
    stream.avail_out = (unsigned)(work(http) - out);
    if (deflate(&stream, Z_FINISH) != Z_STREAM_END)
        return false;
    request->body = out;
    request->body_bytes = stream.total_out;
    return true;
}

/* False: the configuration gives no request. */
static bool build_request(struct otlp_http *http, const struct otlp_target *target,
    const uint8_t *body, size_t length, struct request *request)
{
    if (target->json && !target->is_written) {
        struct json_text json = otlp_json(target->signal, body, length);
        body = (const uint8_t *)json.text;
        length = json.length;
    }
    request->body = body;
    request->body_bytes = length;
    request->is_relay = target->is_relay;
    bool is_told = !target->json || body != NULL; /* else there was no memory for it as JSON */
    if (!is_told || http->scratch_bytes < OTLP_HTTP_SCRATCH_BYTES ||
        !url_parse(target->url, &request->url) || request->url.scheme == URL_HTTPS)
        return false;
    bool gzip = target->gzip && compress_body(http, body, length, request);
    return build_head(http, target, request, gzip);
}

/* ---- exchange ---- */

/* An idle connection has nothing to say: end of stream, an error or unasked bytes make it useless.
 */
static bool still_usable(struct otlp_http *http)
{
    char byte;
    /* A child of fork has the same socket; two speakers would garble each other's requests. */
    if (!otlp_connection_ours(http) || http->pid != sys(SYS_getpid))
        return false;
    return sys(SYS_recvfrom, http->descriptor, &byte, 1, MSG_PEEK | MSG_DONTWAIT, 0, 0) == -EAGAIN;
}

/* Sends what is left of both parts; bytes taken, or -errno. */
static long send_some(struct otlp_http *http, const struct request *request, size_t sent)
{
    struct iovec parts[2];
    unsigned count = 0;
    if (sent < request->head_bytes)
        parts[count++] = (struct iovec){(void *)(request->head + sent), request->head_bytes - sent};
    size_t body_sent = sent > request->head_bytes ? sent - request->head_bytes : 0;
    if (body_sent < request->body_bytes)
        parts[count++] =
            (struct iovec){(void *)(request->body + body_sent), request->body_bytes - body_sent};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = count};
    if (!otlp_connection_ours(http))
        return -EBADF;
    return sys(SYS_sendmsg, http->descriptor, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* True: sent as much as the collector wants, an answer is due. A collector may answer and close
 * before it has read everything (413); then the answer is what counts. */
static bool send_request(struct otlp_http *http, const struct request *request,
    const struct patience *patience, bool *whole)
{
    size_t sent = 0, total = request->head_bytes + request->body_bytes;
    while (sent < total) {
        long taken = send_some(http, request, sent);
        short seen;
        if (taken > 0) {
            sent += (size_t)taken;
            continue;
        }
        if (taken == -EPIPE || taken == -ECONNRESET)
            break;
        if (taken == -EINTR)
            continue;
        if (taken != -EAGAIN || !patience_poll(patience, http->descriptor, POLLOUT | POLLIN, &seen))
            return false;
        if (seen & POLLIN)
            break;
    }
    *whole = sent == total;
    return true;
}

static enum attempt receive_answer(
    struct otlp_http *http, struct http_answer *reader, const struct patience *patience)
{
    uint8_t *received = work(http);
    bool any = false;
    while (reader->phase != HTTP_DONE && reader->phase != HTTP_BROKEN) {
        short seen;
        if (!otlp_connection_ours(http))
            return any ? ATTEMPT_BROKE_OFF : ATTEMPT_SILENT;
        long got =
            sys(SYS_recvfrom, http->descriptor, received, RECEIVED_BYTES, MSG_DONTWAIT, 0, 0);
        if (got == -EAGAIN) {
            if (!patience_poll(patience, http->descriptor, POLLIN, &seen))
                return ATTEMPT_LATE;
            continue;
        }
        if (got == -EINTR)
            continue;
        if (got <= 0) {
            http_answer_end(reader);
            return any ? ATTEMPT_BROKE_OFF : ATTEMPT_SILENT;
        }
        any = true;
        http_answer_feed(reader, received, (size_t)got);
    }
    return ATTEMPT_ANSWERED;
}

static enum attempt exchange(struct otlp_http *http, const struct request *request,
    const struct patience *patience, struct http_answer *reader)
{
    bool whole = false;
    http_answer_init(reader, work(http) + RECEIVED_BYTES, KEPT_BYTES, time(NULL));
    if (!send_request(http, request, patience, &whole))
        return otlp_connection_ours(http) ? ATTEMPT_LATE : ATTEMPT_SILENT;
    enum attempt attempt = receive_answer(http, reader, patience);
    if (!whole)
        reader->keep_alive = false;
    return attempt;
}

/* One try on a kept or a new connection. *kept: it was a kept one. */
static enum attempt try_once(struct otlp_http *http, const struct request *request,
    const struct patience *patience, struct http_answer *reader, bool *kept, int *error)
{
    *kept = still_usable(http);
    reader->phase = HTTP_STATUS_LINE;
    if (!*kept) {
        otlp_http_close(http);
        if (!otlp_connect(http, &request->url, patience, error))
            return ATTEMPT_LATE;
        if (request->is_relay && !otlp_peer_is_ours(http)) {
            otlp_http_close(http);
            *error = EPERM;
            return ATTEMPT_LATE;
        }
    }
    return exchange(http, request, patience, reader);
}

static void post(struct otlp_http *http, const struct otlp_target *target, const uint8_t *body,
    size_t length, uint64_t deadline_ns, const uint64_t *stop, struct otlp_answer *answer)
{
    struct patience patience = {deadline_ns, stop};
    struct request request;
    struct http_answer reader;
    bool kept;
    *answer = (struct otlp_answer){.outcome = OTLP_RETRY};
    if (!build_request(http, target, body, length, &request)) {
        answer->outcome = OTLP_REFUSED;
        answer->error = EINVAL;
        return;
    }

    http_answer_init(&reader, NULL, 0, 0);
    enum attempt attempt = try_once(http, &request, &patience, &reader, &kept, &answer->error);
    bool lost = attempt == ATTEMPT_SILENT && (kept || !otlp_connection_ours(http));
    if (lost)
        attempt = try_once(http, &request, &patience, &reader, &kept, &answer->error);

    size_t used = RECEIVED_BYTES + KEPT_BYTES;
    otlp_answer_read(
        answer, &reader, attempt != ATTEMPT_ANSWERED, work(http) + used, WORK_BYTES - used);
    if (attempt != ATTEMPT_ANSWERED || !reader.keep_alive || reader.phase != HTTP_DONE)
        otlp_http_close(http);
}

void otlp_http_post(struct otlp_http *http, const struct otlp_target *target, const uint8_t *body,
    size_t length, uint64_t deadline_ns, const uint64_t *stop, struct otlp_answer *answer)
{
    uint64_t begun_ns = process_monotonic_ns();
    post(http, target, body, length, deadline_ns, stop, answer);
    counter_add(COUNTER_EXPORT_REQUESTS, 1);
    counter_add(COUNTER_EXPORT_MICROSECONDS, (process_monotonic_ns() - begun_ns) / 1000);
    if (answer->outcome != OTLP_ACCEPTED)
        counter_add(COUNTER_EXPORT_FAILED, 1);
}

bool otlp_http_ask(struct otlp_http *http, const char *url, const char *question,
    uint64_t deadline_ns, const uint64_t *stop, struct slice *body)
{
    bool asks = question != NULL;
    struct otlp_target target = {
        .url = url, .path = "/", .headers = "", .json = asks, .is_written = asks};
    struct patience patience = {deadline_ns, stop};
    struct request request;
    struct http_answer reader;
    bool kept;
    int error;
    if (!build_request(
            http, &target, (const uint8_t *)question, asks ? strlen(question) : 0, &request))
        return false;
    http_answer_init(&reader, NULL, 0, 0);
    enum attempt attempt = try_once(http, &request, &patience, &reader, &kept, &error);
    *body = (struct slice){(const char *)reader.body, reader.body_length};
    return attempt == ATTEMPT_ANSWERED && reader.phase == HTTP_DONE && reader.status == 200 &&
           reader.body_total == reader.body_length;
}
