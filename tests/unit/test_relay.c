/* SPDX-License-Identifier: Apache-2.0 */
/* What the relay reads of others: heads of requests, answers of gRPC. */
#include "grpc.h"
#include "otlp.pb-c.h"
#include "request.h"
#include "tap.h"

#include <stdlib.h>
#include <string.h>

/* ---- requests ---- */

/* In memory of its exact size, for the sanitizers. */
static int read_head(const char *text, struct request *request)
{
    size_t length = strlen(text);
    char *copy = malloc(length + (length == 0));
    memcpy(copy, text, length);
    int status = request_read((struct slice){copy, length}, request);
    free(copy);
    return status;
}

static void test_requests(void)
{
    static const struct {
        const char *head;
        int status;
        size_t body;
        bool keep_alive;
    } rows[] = {
        {"POST /v1/traces HTTP/1.1\r\nContent-Length: 12\r\n\r\n", 0, 12, true},
        {"POST /v1/traces HTTP/1.1\r\ncontent-type:application/x-protobuf\r\nCONTENT-LENGTH:0\r\n"
         "Connection: close\r\n\r\n",
            0, 0, false},
        {"GET /status HTTP/1.0\r\n\r\n", 0, 0, false},
        {"POST / HTTP/1.1\r\nContent-Length: 67108864\r\n\r\n", 0, 67108864, true},
        {"POST / HTTP/1.1\r\nContent-Length: 67108865\r\n\r\n", 413, 0, false},
        {"POST / HTTP/1.1\r\nContent-Length: 99999999999999999999999\r\n\r\n", 400, 0, false},
        {"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400, 0, false},
        {"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 411, 0, false},
        {"POST / HTTP/1.1\r\nContent-Encoding: gzip\r\n\r\n", 415, 0, false},
        {"POST / HTTP/1.1\r\nContent-Type: application/json\r\n\r\n", 415, 0, false},
        {"PUT / HTTP/1.1\r\n\r\n", 405, 0, false},
        {"POST / HTTP/2.0\r\n\r\n", 400, 0, false},
        {"POST /\r\n\r\n", 400, 0, false},
        {"POST / HTTP/1.1 more\r\n\r\n", 400, 0, false},
        {"POST / HTTP/1.1\r\nno colon\r\n\r\n", 400, 0, false},
        {"\r\n\r\n", 400, 0, false},
        {"", 400, 0, false},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct request request;
        int status = read_head(rows[i].head, &request);
        CHECK(status == rows[i].status &&
                  (status != 0 || (request.body_bytes == rows[i].body &&
                                      request.keep_alive == rows[i].keep_alive)),
            "request %zu: %d", i, status);
    }
}

/* ---- answers ---- */

static struct target target;
static struct transfer transfer;

static void answer(const char *status, const char *message, const char *details, const void *body,
    size_t body_bytes)
{
    for (unsigned i = 0; i < FIELD_COUNT; i++)
        free(transfer.fields[i]);
    free(transfer.answer);
    transfer = (struct transfer){.target = &target, .answer_bytes = body_bytes};
    transfer.fields[FIELD_STATUS] = status ? strdup(status) : NULL;
    transfer.fields[FIELD_MESSAGE] = message ? strdup(message) : NULL;
    transfer.fields[FIELD_DETAILS] = details ? strdup(details) : NULL;
    transfer.answer = malloc(body_bytes + (body_bytes == 0));
    if (body_bytes > 0)
        memcpy(transfer.answer, body, body_bytes);
}

static struct verdict judge(long http_status)
{
    struct verdict verdict = {0};
    grpc_judge(&transfer, http_status, &verdict);
    return verdict;
}

/* opentelemetry-proto 1.11, "Failures": which codes may be repeated. */
static void test_codes(void)
{
    static const char may_repeat[] = "-R--R-----RR--RR-";
    for (int code = 1; code <= 16; code++) {
        char text[4];
        snprintf(text, sizeof(text), "%d", code);
        answer(text, "why%20not", NULL, "", 0);
        struct verdict verdict = judge(200);
        bool repeats = may_repeat[code] == 'R';
        Otlp__RpcStatus *body =
            otlp__rpc_status__unpack(NULL, verdict.reply.body_bytes, verdict.reply.body);
        CHECK(verdict.kind == (repeats ? VERDICT_AGAIN : VERDICT_REFUSED) &&
                  (verdict.reply.status == 503) == repeats && verdict.reply.retry_after_s == 0 &&
                  body != NULL && body->code == code && strstr(body->message, " why not") != NULL,
            "code %d is HTTP %d: %s", code, verdict.reply.status, verdict.words);
        otlp__rpc_status__free_unpacked(body, NULL);
        verdict_free(&verdict);
    }
    static const char *const strange[] = {"17", "-1", "x", "", "99999999999999999999"};
    for (size_t i = 0; i < sizeof(strange) / sizeof(strange[0]); i++) {
        answer(strange[i], NULL, NULL, "", 0);
        struct verdict verdict = judge(200);
        CHECK(verdict.kind == VERDICT_REFUSED, "no code: %s", strange[i]);
        verdict_free(&verdict);
    }
}

static void test_proxies(void)
{
    static const struct {
        long status;
        enum verdict_kind kind;
    } rows[] = {{200, VERDICT_REFUSED}, {400, VERDICT_REFUSED}, {401, VERDICT_REFUSED},
        {404, VERDICT_REFUSED}, {429, VERDICT_AGAIN}, {502, VERDICT_AGAIN}, {503, VERDICT_AGAIN},
        {504, VERDICT_AGAIN}, {500, VERDICT_REFUSED}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        answer(NULL, NULL, NULL, "<html>", 6);
        struct verdict verdict = judge(rows[i].status);
        CHECK(verdict.kind == rows[i].kind, "HTTP %ld without a code", rows[i].status);
        verdict_free(&verdict);
    }
}

/* google.rpc.Status{details: [RetryInfo{retry_delay}]} in base64 without padding. */
static char *details_of(const uint8_t *duration, uint8_t length)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    static const char type[] = "type.googleapis.com/google.rpc.RetryInfo";
    uint8_t bytes[128];
    size_t at = 0;
    bytes[at++] = 0x1A; /* details */
    bytes[at++] = (uint8_t)(2 + sizeof(type) - 1 + 4 + length);
    bytes[at++] = 0x0A;
    bytes[at++] = sizeof(type) - 1;
    memcpy(bytes + at, type, sizeof(type) - 1);
    at += sizeof(type) - 1;
    bytes[at++] = 0x12;
    bytes[at++] = (uint8_t)(2 + length);
    bytes[at++] = 0x0A; /* retry_delay */
    bytes[at++] = length;
    memcpy(bytes + at, duration, length);
    at += length;
    memset(bytes + at, 0, 3);
    char *text = calloc(1, at * 4 / 3 + 8), *out = text;
    for (size_t i = 0; i < at; i += 3) {
        uint32_t three = (uint32_t)bytes[i] << 16 | (uint32_t)bytes[i + 1] << 8 | bytes[i + 2];
        for (unsigned digit = 0; digit < 4 && i * 8 + digit * 6 < at * 8; digit++)
            *out++ = digits[three >> (18 - 6 * digit) & 63];
    }
    return text;
}

static void test_retry_info(void)
{
    static const struct {
        uint8_t duration[12], length;
        const char *code;
        uint32_t seconds;
        enum verdict_kind kind;
    } rows[] = {
        {{0x08, 3}, 2, "14", 3, VERDICT_AGAIN},
        {{0x08, 3, 0x10, 1}, 4, "14", 4, VERDICT_AGAIN},
        {{0}, 0, "14", 0, VERDICT_AGAIN},
        {{0x08, 0xFF, 0xFF, 0xFF, 0xFF, 0x0F}, 6, "14", 3600, VERDICT_AGAIN},
        {{0x08, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01}, 11, "14", 0,
            VERDICT_AGAIN}, /* -1 */
        {{0x08, 3}, 2, "8", 3, VERDICT_AGAIN},
        {{0x08, 3}, 2, "3", 0, VERDICT_REFUSED},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char *details = details_of(rows[i].duration, rows[i].length);
        answer(rows[i].code, NULL, details, "", 0);
        struct verdict verdict = judge(200);
        CHECK(verdict.kind == rows[i].kind && verdict.reply.retry_after_s == rows[i].seconds,
            "delay %zu: %u s", i, verdict.reply.retry_after_s);
        verdict_free(&verdict);
        bool is_calm = true; /* cut anywhere it is no RetryInfo, or one without all of its delay */
        for (size_t cut = strlen(details); cut-- > 0;) {
            details[cut] = '\0';
            answer(rows[i].code, NULL, details, "", 0);
            verdict = judge(200);
            is_calm &= verdict.kind != VERDICT_ACCEPTED;
            verdict_free(&verdict);
        }
        CHECK(is_calm, "delay %zu: cut", i);
        free(details);
    }
    answer("14", NULL, "not base64!", "", 0);
    struct verdict verdict = judge(200);
    CHECK(verdict.kind == VERDICT_AGAIN && verdict.reply.retry_after_s == 0, "details of nothing");
    verdict_free(&verdict);
}

static void test_messages(void)
{
    static const uint8_t message[] = {10, 2, 8, 7}; /* partial_success.rejected_spans = 7 */
    for (int gzip = 0; gzip < 2; gzip++) {
        size_t length;
        uint8_t *frame = grpc_frame(message, sizeof(message), gzip, &length);
        CHECK(frame[0] == gzip && length > 5, "a frame");
        answer("0", NULL, NULL, frame, length);
        struct verdict verdict = judge(200);
        CHECK(verdict.kind == VERDICT_ACCEPTED && verdict.reply.status == 200 &&
                  verdict.reply.body_bytes == sizeof(message) &&
                  memcmp(verdict.reply.body, message, sizeof(message)) == 0,
            "is taken out again");
        verdict_free(&verdict);
        bool is_empty = true;
        for (size_t cut = 0; cut < length; cut++) {
            answer("0", NULL, NULL, frame, cut);
            verdict = judge(200);
            is_empty &= verdict.kind == VERDICT_ACCEPTED && verdict.reply.body_bytes == 0;
            verdict_free(&verdict);
        }
        CHECK(is_empty, "cut it is accepted, and says nothing");
        frame[5] ^= 0xFF; /* no gzip any more */
        answer("0", NULL, NULL, frame, length);
        verdict = judge(200);
        CHECK(verdict.kind == VERDICT_ACCEPTED && (!gzip || verdict.reply.body_bytes == 0),
            "damaged");
        verdict_free(&verdict);
        free(frame);
    }
}

int main(void)
{
    test_requests();
    test_codes();
    test_proxies();
    test_retry_info();
    test_messages();
    answer(NULL, NULL, NULL, "", 0);
    free(transfer.answer);
    return tap_done();
}
