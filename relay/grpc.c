/* SPDX-License-Identifier: Apache-2.0 */
#include "grpc.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "grpc.pb-c.h"
#include "otlp.pb-c.h"
#include "text.h"

enum { PREFIX_BYTES = 5, CODES = 17, RETRY_AFTER_MAX_S = 3600 };
enum code { CODE_OK = 0, CODE_UNKNOWN = 2, CODE_RESOURCE_EXHAUSTED = 8, CODE_UNAVAILABLE = 14 };

/* What a code is called, and the status of OTLP/HTTP that means the same: 503 may be repeated. */
static const struct meaning {
    const char *name;
    int status;
} meanings[CODES] = {{"OK", 200}, {"CANCELLED", 503}, {"UNKNOWN", 500}, {"INVALID_ARGUMENT", 400},
    {"DEADLINE_EXCEEDED", 503}, {"NOT_FOUND", 404}, {"ALREADY_EXISTS", 400},
    {"PERMISSION_DENIED", 403}, {"RESOURCE_EXHAUSTED", 400}, {"FAILED_PRECONDITION", 400},
    {"ABORTED", 503}, {"OUT_OF_RANGE", 503}, {"UNIMPLEMENTED", 404}, {"INTERNAL", 500},
    {"UNAVAILABLE", 503}, {"DATA_LOSS", 503}, {"UNAUTHENTICATED", 401}};

const char *grpc_path(enum signal signal)
{
    static const char *const paths[SIGNAL_COUNT] = {
        [SIGNAL_TRACES] = "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
        [SIGNAL_METRICS] = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
        [SIGNAL_LOGS] = "/opentelemetry.proto.collector.logs.v1.LogsService/Export"};
    return paths[signal];
}

uint8_t *grpc_frame(const uint8_t *message, size_t length, bool gzip, size_t *out_length)
{
    size_t packed_length = length;
    uint8_t *packed = gzip ? transfer_gzip(message, length, &packed_length) : NULL;
    uint8_t *frame = malloc(PREFIX_BYTES + packed_length);
    if (frame != NULL && (packed != NULL || !gzip)) {
        const uint8_t prefix[PREFIX_BYTES] = {gzip, (uint8_t)(packed_length >> 24),
            (uint8_t)(packed_length >> 16), (uint8_t)(packed_length >> 8), (uint8_t)packed_length};
        memcpy(frame, prefix, sizeof prefix);
        memcpy(frame + PREFIX_BYTES, gzip ? packed : message, packed_length);
        *out_length = PREFIX_BYTES + packed_length;
    } else {
        free(frame);
        frame = NULL;
    }
    free(packed);
    return frame;
}

static bool add_header(struct curl_slist **list, const char *header)
{
    struct curl_slist *longer = curl_slist_append(*list, header);
    if (longer != NULL)
        *list = longer;
    return longer != NULL;
}

/* Timeouts have eight digits at most. */
bool grpc_headers(struct curl_slist **list, const struct config_signal *settings)
{
    char timeout[48];
    bool is_long = settings->timeout_ms > 99999999;
    snprintf(timeout, sizeof timeout, "grpc-timeout: %" PRIu32 "%c",
        is_long ? settings->timeout_ms / 1000 : settings->timeout_ms, is_long ? 'S' : 'm');
    return add_header(list, "Content-Type: application/grpc") && add_header(list, "TE: trailers") &&
           add_header(list, "grpc-accept-encoding: gzip, identity") &&
           (!settings->gzip || add_header(list, "grpc-encoding: gzip")) &&
           (settings->timeout_ms == 0 || add_header(list, timeout));
}

/* ---- the answer's message ---- */

static uint8_t *inflate_gzip(const uint8_t *data, size_t length, size_t *out_length)
{
    enum { GZIP_FORMAT = 16 };
    z_stream stream = {.next_in = (uint8_t *)data, .avail_in = (unsigned)length};
    uint8_t *out = malloc(TRANSFER_ANSWER_BYTES_MAX);
    if (out == NULL || inflateInit2(&stream, MAX_WBITS + GZIP_FORMAT) != Z_OK) {
        free(out);
        return NULL;
    }
    stream.next_out = out;
    stream.avail_out = TRANSFER_ANSWER_BYTES_MAX;
    bool is_whole = inflate(&stream, Z_FINISH) == Z_STREAM_END;
    *out_length = stream.total_out;
    inflateEnd(&stream);
    if (is_whole)
        return out;
    free(out);
    return NULL;
}

/* Accepted in any case: its message can only tell of a partial success. */
static void hand_on_message(struct transfer *transfer, struct verdict *verdict)
{
    const uint8_t *at = transfer->answer;
    verdict->kind = VERDICT_ACCEPTED;
    verdict->reply.status = 200;
    verdict->reply.type = "application/x-protobuf";
    if (transfer->answer_bytes < PREFIX_BYTES)
        return;
    size_t length = (size_t)at[1] << 24 | (size_t)at[2] << 16 | (size_t)at[3] << 8 | at[4];
    if (length > transfer->answer_bytes - PREFIX_BYTES)
        return;
    verdict->reply.body = at + PREFIX_BYTES;
    verdict->reply.body_bytes = length;
    if (at[0] == 0)
        return;
    verdict->made = inflate_gzip(at + PREFIX_BYTES, length, &verdict->reply.body_bytes);
    verdict->reply.body = verdict->made;
    if (verdict->made == NULL)
        verdict->reply.body_bytes = 0;
}

/* ---- failures ---- */

/* RFC 4648, 4, with padding or without. Answers the bytes; NULL: it is none. */
static uint8_t *base64_decode(const char *text, size_t *length)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t count = strcspn(text, "=");
    uint8_t *out = malloc(count + 1);
    uint32_t bits = 0;
    unsigned held = 0;
    *length = 0;
    for (size_t i = 0; out != NULL && i < count; i++) {
        const char *digit = memchr(digits, text[i], 64);
        if (digit == NULL) {
            free(out);
            return NULL;
        }
        bits = bits << 6 | (uint32_t)(digit - digits);
        held += 6;
        if (held < 8)
            continue;
        held -= 8;
        out[(*length)++] = (uint8_t)(bits >> held);
    }
    return out;
}

static bool read_retry_info(const Grpc__Detail *detail, uint32_t *seconds)
{
    static const char type[] = "google.rpc.RetryInfo";
    size_t length = strlen(detail->type_url), known = sizeof type - 1;
    if (length < known || strcmp(detail->type_url + length - known, type) != 0)
        return false;
    Grpc__RetryInfo *info = grpc__retry_info__unpack(NULL, detail->value.len, detail->value.data);
    if (info == NULL)
        return false;
    int64_t whole = info->retry_delay == NULL ? 0 : info->retry_delay->seconds;
    whole += info->retry_delay != NULL && info->retry_delay->nanos > 0;
    *seconds = whole < 0 ? 0 : whole > RETRY_AFTER_MAX_S ? RETRY_AFTER_MAX_S : (uint32_t)whole;
    grpc__retry_info__free_unpacked(info, NULL);
    return true;
}

/* Is there a RetryInfo in the details, and which delay does it name, in whole seconds? */
static bool find_retry_info(const char *details, uint32_t *seconds)
{
    size_t length;
    bool is_there = false;
    uint8_t *bytes = details == NULL ? NULL : base64_decode(details, &length);
    Grpc__Status *status = bytes == NULL ? NULL : grpc__status__unpack(NULL, length, bytes);
    for (size_t i = 0; status != NULL && i < status->n_details && !is_there; i++)
        is_there = read_retry_info(status->details[i], seconds);
    if (status != NULL)
        grpc__status__free_unpacked(status, NULL);
    free(bytes);
    return is_there;
}

/* The body that OTLP/HTTP has for a failure. */
static void make_body(struct verdict *verdict, int code)
{
    Otlp__RpcStatus body = OTLP__RPC_STATUS__INIT;
    body.code = code;
    body.message = verdict->words;
    verdict->made = malloc(otlp__rpc_status__get_packed_size(&body));
    if (verdict->made == NULL)
        return;
    verdict->reply.type = "application/x-protobuf";
    verdict->reply.body = verdict->made;
    verdict->reply.body_bytes = otlp__rpc_status__pack(&body, verdict->made);
}

/* What gRPC's libraries for Go, C++ and Java say of a message. */
static bool tells_of_size(const char *words)
{
    return strstr(words, "larger than max") != NULL ||
           strstr(words, "exceeds maximum size") != NULL;
}

static void judge_code(struct transfer *transfer, int code, struct verdict *verdict)
{
    char message[128], words[sizeof verdict->words];
    const char *given = transfer->fields[FIELD_MESSAGE];
    size_t length = 0;
    uint32_t seconds = 0;
    bool may_repeat = meanings[code].status == 503;
    int status = meanings[code].status;
    if (given != NULL &&
        !percent_decode((struct slice){given, strlen(given)}, message, sizeof message, &length))
        length = 0;
    snprintf(words, sizeof words, "it answers %s %.*s", meanings[code].name, (int)length, message);
    if (find_retry_info(transfer->fields[FIELD_DETAILS], &seconds)) {
        if (code == CODE_RESOURCE_EXHAUSTED) {
            may_repeat = true; /* only then: it recovers */
            status = 429;
        }
        if (may_repeat)
            verdict->reply.retry_after_s = seconds;
    } else if (code == CODE_RESOURCE_EXHAUSTED && tells_of_size(words)) {
        status = 413; /* so that it is split */
    }
    verdict_fail(verdict, may_repeat ? VERDICT_AGAIN : VERDICT_REFUSED, status, words);
    make_body(verdict, code);
}

/* A proxy's answer has no code ("HTTP to gRPC Status Code Mapping"). */
static int code_of_http(long status)
{
    static const struct {
        long status;
        int code;
    } known[] = {
        {400, 13}, {401, 16}, {403, 7}, {404, 12}, {429, 14}, {502, 14}, {503, 14}, {504, 14}};
    for (unsigned i = 0; i < sizeof known / sizeof known[0]; i++)
        if (known[i].status == status)
            return known[i].code;
    return CODE_UNKNOWN;
}

void grpc_judge(struct transfer *transfer, long status, struct verdict *verdict)
{
    const char *text = transfer->fields[FIELD_STATUS];
    uint64_t code;
    if (text == NULL || !number_parse((struct slice){text, strlen(text)}, CODES - 1, &code))
        code = text == NULL && status != 200 ? (uint64_t)code_of_http(status) : CODE_UNKNOWN;
    if (code == CODE_OK)
        hand_on_message(transfer, verdict);
    else
        judge_code(transfer, (int)code, verdict);
}
