/* SPDX-License-Identifier: Apache-2.0 */
#include "otlp_answer.h"

#include <string.h>

#include "arena.h"
#include "json_find.h"
#include "otlp.pb-c.h"
#include "text.h"

/* The words may end up in a terminal: no control characters, no malformed UTF-8. */
static void set_message(struct otlp_answer *answer, const char *text, size_t length)
{
    size_t used = 0;
    for (size_t at = 0; at < length;) {
        unsigned bytes = utf8_sequence((const uint8_t *)text + at, length - at);
        if (used + (bytes ? bytes : 1) >= sizeof(answer->message))
            break;
        if (bytes > 1)
            memcpy(answer->message + used, text + at, bytes);
        else if (bytes == 1)
            answer->message[used] = text[at] < ' ' || text[at] == 0x7F ? ' ' : text[at];
        else
            answer->message[used] = '?';
        used += bytes ? bytes : 1;
        at += bytes ? bytes : 1;
    }
    answer->message[used] = 0;
}

static struct slice json_of(const struct http_answer *http)
{
    return (struct slice){(const char *)http->body, http->body_length};
}

static bool is_json(const struct http_answer *http)
{
    size_t at = 0;
    while (at < http->body_length && memchr(" \t\r\n", http->body[at], 4) != NULL)
        at++;
    return at < http->body_length && http->body[at] == '{';
}

static void set_json_message(struct otlp_answer *answer, struct slice json, const char *member)
{
    char text[sizeof(answer->message)];
    struct slice words = json_find(json, member);
    /* What is longer is cut, and loses nothing but its end. */
    if (words.length > sizeof(text) - 8) {
        set_message(answer, words.data + 1, sizeof(text) - 8);
        return;
    }
    set_message(answer, text, json_characters(words, text, sizeof(text)));
}

/* An answer in JSON: 64-bit numbers stand as texts, or as numbers. */
static void read_json_success(struct otlp_answer *answer, const struct http_answer *http)
{
    static const char *const names[] = {
        "rejectedSpans", "rejectedDataPoints", "rejectedLogRecords"};
    struct slice partial = json_find(json_of(http), "partialSuccess"), rejected = {NULL, 0};
    uint64_t number;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]) && rejected.length == 0; i++)
        rejected = json_find(partial, names[i]);
    if (rejected.length >= 2 && rejected.data[0] == '"')
        rejected = (struct slice){rejected.data + 1, rejected.length - 2};
    answer->rejected = number_parse(rejected, INT64_MAX, &number) ? (int64_t)number : 0;
    set_json_message(answer, partial, "errorMessage");
}

static void read_success(
    struct otlp_answer *answer, const struct http_answer *http, ProtobufCAllocator *allocator)
{
    Otlp__ExportTraceServiceResponse *response =
        otlp__export_trace_service_response__unpack(allocator, http->body_length, http->body);
    if (response == NULL || response->partial_success == NULL)
        return;
    const Otlp__ExportTracePartialSuccess *partial = response->partial_success;
    answer->rejected = partial->rejected_spans > 0 ? partial->rejected_spans : 0;
    set_message(answer, partial->error_message, strlen(partial->error_message));
}

static void read_failure(
    struct otlp_answer *answer, const struct http_answer *http, ProtobufCAllocator *allocator)
{
    if (!http->protobuf && is_json(http) && json_find(json_of(http), "message").length > 0) {
        set_json_message(answer, json_of(http), "message");
        return;
    }
    if (!http->protobuf) {
        set_message(answer, (const char *)http->body, http->body_length);
        return;
    }
    Otlp__RpcStatus *status = otlp__rpc_status__unpack(allocator, http->body_length, http->body);
    if (status)
        set_message(answer, status->message, strlen(status->message));
}

static enum otlp_outcome outcome_of(int status)
{
    if (status >= 200 && status < 300)
        return OTLP_ACCEPTED;
    if (status == 429 || status == 502 || status == 503 || status == 504)
        return OTLP_RETRY;
    return OTLP_REFUSED;
}

static void refuse(struct otlp_answer *answer, const char *why)
{
    answer->outcome = OTLP_REFUSED;
    set_message(answer, why, strlen(why));
}

void otlp_answer_read(struct otlp_answer *answer, const struct http_answer *http, bool closed,
    uint8_t *memory, size_t bytes)
{
    answer->status = http->status;
    if (http->oversize) {
        refuse(answer, "the answer is longer than 4 MiB");
        return;
    }
    if (!http->head_complete && closed)
        return; /* no answer: still OTLP_RETRY */
    if (http->status == 0) {
        refuse(answer, "the answer is not HTTP/1.1; is this the port of gRPC?");
        return;
    }
    /* The status decides. What is broken or too long behind its line, or a body that breaks off,
     * takes nothing but the collector's words with it. */
    answer->outcome = outcome_of(http->status);
    answer->retry_after_ms = http->retry_after_ms;
    struct arena arena = {memory, bytes, 0};
    ProtobufCAllocator allocator = arena_protobuf(&arena);
    if (answer->outcome != OTLP_ACCEPTED)
        read_failure(answer, http, &allocator);
    else if (http->protobuf)
        read_success(answer, http, &allocator);
    else if (is_json(http))
        read_json_success(answer, http);
}
