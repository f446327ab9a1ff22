/* SPDX-License-Identifier: Apache-2.0 */
#include "transfer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <zlib.h>

#include "grpc.h"
#include "otlp_json.h"

/* ---- what is sent ---- */

uint8_t *transfer_gzip(const uint8_t *data, size_t length, size_t *out_length)
{
    enum { GZIP_FORMAT = 16, MEMORY_LEVEL = 8 };
    z_stream stream = {0};
    if (deflateInit2(&stream, Z_BEST_SPEED, Z_DEFLATED, MAX_WBITS + GZIP_FORMAT, MEMORY_LEVEL,
            Z_DEFAULT_STRATEGY) != Z_OK)
        return NULL;
    size_t room = deflateBound(&stream, length);
    uint8_t *out = malloc(room);
    stream.next_in = (uint8_t *)data;
    stream.avail_in = (unsigned)length;
    stream.next_out = out;
    stream.avail_out = (unsigned)room;
    bool is_done = out != NULL && deflate(&stream, Z_FINISH) == Z_STREAM_END;
    *out_length = stream.total_out;
    deflateEnd(&stream);
    if (is_done)
        return out;
    free(out);
    return NULL;
}

static uint8_t *copy_of(const void *data, size_t length)
{
    uint8_t *copy = malloc(length + 1);
    if (copy != NULL)
        memcpy(copy, data, length);
    return copy;
}

static uint8_t *body_for(
    const struct target *target, const uint8_t *body, size_t length, size_t *made)
{
    const struct config_signal *settings = target->settings;
    if (settings->grpc)
        return grpc_frame(body, length, settings->gzip, made);
    if (settings->json) {
        struct json_text json = otlp_json(target->signal, body, length);
        if (json.text == NULL)
            return NULL;
        body = (const uint8_t *)json.text;
        length = json.length;
    }
    *made = length;
    return settings->gzip ? transfer_gzip(body, length, made) : copy_of(body, length);
}

/* ---- what is answered ---- */

size_t transfer_take_body(char *data, size_t size, size_t count, void *context)
{
    struct transfer *transfer = context;
    size_t length = size * count, wanted = transfer->answer_bytes + length;
    transfer->is_oversize |= wanted > TRANSFER_ANSWER_BYTES_MAX;
    if (transfer->is_oversize)
        return 0;
    if (wanted > transfer->answer_room) {
        uint8_t *more = realloc(transfer->answer, wanted * 2);
        if (more == NULL)
            return 0;
        transfer->answer = more;
        transfer->answer_room = wanted * 2;
    }
    memcpy(transfer->answer + transfer->answer_bytes, data, length);
    transfer->answer_bytes = wanted;
    return length;
}

static const char *const field_names[] = {[FIELD_TYPE] = "content-type",
    [FIELD_STATUS] = "grpc-status",
    [FIELD_MESSAGE] = "grpc-message",
    [FIELD_DETAILS] = "grpc-status-details-bin",
    [FIELD_CODING] = "grpc-encoding"};

size_t transfer_take_field(char *data, size_t size, size_t count, void *context)
{
    struct transfer *transfer = context;
    struct slice line = {data, size * count};
    const char *colon = memchr(data, ':', line.length);
    bool is_first = line.length > 5 && memcmp(data, "HTTP/", 5) == 0;
    while (line.length > 0 && (data[line.length - 1] == '\n' || data[line.length - 1] == '\r'))
        line.length--;
    transfer->has_head = !is_first && (transfer->has_head || line.length == 0);
    for (unsigned i = 0; i < FIELD_COUNT && (colon != NULL || is_first); i++) {
        struct slice name = {data, is_first ? 0 : (size_t)(colon - data)};
        if (!is_first && !slice_is(name, field_names[i]))
            continue;
        free(transfer->fields[i]);
        transfer->fields[i] = NULL;
        if (is_first)
            continue;
        struct slice value = slice_trim((struct slice){colon + 1, line.length - name.length - 1});
        if (value.length <= TRANSFER_FIELD_BYTES_MAX)
            transfer->fields[i] = strndup(value.data, value.length);
    }
    return size * count;
}

/* ---- libcurl ---- */

static void set_tls(CURL *easy, const struct config_tls *tls)
{
    curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    if (tls->certificate[0] != '\0') {
        curl_easy_setopt(easy, CURLOPT_CAINFO, tls->certificate);
        curl_easy_setopt(easy, CURLOPT_CAPATH, NULL); /* nor those that the machine trusts */
    }
    if (tls->client_certificate[0] != '\0')
        curl_easy_setopt(easy, CURLOPT_SSLCERT, tls->client_certificate);
    if (tls->client_key[0] != '\0')
        curl_easy_setopt(easy, CURLOPT_SSLKEY, tls->client_key);
}

/* libcurl before 8.0 garbles the second request on such a connection. */
static void forbid_reuse_of_h2c(CURL *easy)
{
    enum { FIRST_GOOD = 0x080000 };
    if (curl_version_info(CURLVERSION_NOW)->version_num >= FIRST_GOOD)
        return;
    curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L);
    curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, 1L);
}

static void set_target(CURL *easy, const struct target *target)
{
    bool is_https = strncmp(target->request_url, "https", 5) == 0;
    long version = CURL_HTTP_VERSION_1_1;
    if (is_https)
        version = CURL_HTTP_VERSION_2TLS;
    else if (target->settings->grpc)
        version = CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE;
    if (version == CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE)
        forbid_reuse_of_h2c(easy);
    curl_easy_setopt(easy, CURLOPT_URL, target->request_url);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, version);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, target->headers);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)target->settings->timeout_ms);
    curl_easy_setopt(easy, CURLOPT_USERAGENT,
        "Burdock/" BURDOCK_VERSION " OTel-OTLP-Exporter-C/" BURDOCK_VERSION);
    if (target->socket != NULL)
        curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, target->socket);
    set_tls(easy, target->tls);
}

static void set_transfer(CURL *easy, struct transfer *transfer)
{
    set_target(easy, transfer->target);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_PIPEWAIT, 1L); /* one connection is enough where it is HTTP/2 */
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)transfer->sent_bytes);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, transfer->sent);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, transfer_take_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, transfer);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, transfer_take_field);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, transfer);
    curl_easy_setopt(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, transfer->error);
    curl_easy_setopt(easy, CURLOPT_PRIVATE, transfer);
}

struct transfer *transfer_new(
    struct target *target, struct client *client, const uint8_t *body, size_t length)
{
    struct transfer *transfer = calloc(1, sizeof *transfer);
    if (transfer == NULL)
        return NULL;
    transfer->target = target;
    transfer->client = client;
    transfer->sent = body_for(target, body, length, &transfer->sent_bytes);
    transfer->easy = transfer->sent == NULL ? NULL : curl_easy_init();
    if (transfer->easy == NULL) {
        transfer_free(transfer);
        return NULL;
    }
    set_transfer(transfer->easy, transfer);
    return transfer;
}

void transfer_free(struct transfer *transfer)
{
    curl_easy_cleanup(transfer->easy);
    for (unsigned i = 0; i < FIELD_COUNT; i++)
        free(transfer->fields[i]);
    free(transfer->answer);
    free(transfer->sent);
    free(transfer);
}

/* ---- what it means ---- */

void verdict_fail(struct verdict *verdict, enum verdict_kind kind, int status, const char *words)
{
    verdict->kind = kind;
    verdict->reply.status = status;
    snprintf(verdict->words, sizeof verdict->words, "%s", words);
    verdict->reply.type = "text/plain";
    verdict->reply.body = (const uint8_t *)verdict->words;
    verdict->reply.body_bytes = strlen(verdict->words);
}

void verdict_free(struct verdict *verdict)
{
    free(verdict->made);
}

/* No answer. A certificate that does not fit today may tomorrow: nothing is thrown away for it. */
static void judge_failure(struct transfer *transfer, CURLcode result, struct verdict *verdict)
{
    const char *words = transfer->error[0] != '\0' ? transfer->error : curl_easy_strerror(result);
    if (transfer->is_oversize)
        verdict_fail(verdict, VERDICT_REFUSED, 500, "the answer is longer than 4 MiB");
    else if (result == CURLE_OPERATION_TIMEDOUT)
        verdict_fail(verdict, VERDICT_AGAIN, 504, words);
    else
        verdict_fail(verdict, VERDICT_AGAIN, 502, words);
}

static const char *type_of(const char *given)
{
    static const char *const known[] = {"application/x-protobuf", "application/json"};
    for (unsigned i = 0; i < 2 && given != NULL; i++)
        if (strncasecmp(given, known[i], strlen(known[i])) == 0)
            return known[i];
    return "text/plain";
}

/* The collector's own answer is handed on: who sent the request knows OTLP/HTTP. */
void transfer_judge_http(struct transfer *transfer, long status, struct verdict *verdict)
{
    verdict->kind = VERDICT_REFUSED;
    if (status >= 200 && status < 300)
        verdict->kind = VERDICT_ACCEPTED;
    else if (status == 429 || status == 502 || status == 503 || status == 504)
        verdict->kind = VERDICT_AGAIN;
    snprintf(verdict->words, sizeof verdict->words, "it answers HTTP %ld", status);
    verdict->reply.status = (int)status;
    verdict->reply.type = type_of(transfer->fields[FIELD_TYPE]);
    verdict->reply.body = transfer->answer;
    verdict->reply.body_bytes = transfer->answer_bytes;
}

static uint32_t retry_after(CURL *easy)
{
    curl_off_t seconds = 0; /* libcurl reads both forms */
    curl_easy_getinfo(easy, CURLINFO_RETRY_AFTER, &seconds);
    return seconds < 0 ? 0 : seconds > UINT32_MAX ? UINT32_MAX : (uint32_t)seconds;
}

void transfer_judge(struct transfer *transfer, CURLcode result, struct verdict *verdict)
{
    long status = 0, version = 0;
    *verdict = (struct verdict){0};
    curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
    /* As in a process: the head decides, a body that breaks off takes the words with it alone. */
    bool is_answered = transfer->has_head && status >= 200 && !transfer->is_oversize &&
                       !transfer->target->settings->grpc;
    if (result != CURLE_OK && !is_answered) {
        judge_failure(transfer, result, verdict);
        return;
    }
    curl_easy_getinfo(transfer->easy, CURLINFO_HTTP_VERSION, &version);
    verdict->reply.retry_after_s = retry_after(transfer->easy);
    if (!transfer->target->settings->grpc)
        transfer_judge_http(transfer, status, verdict);
    else if (version != CURL_HTTP_VERSION_2_0)
        verdict_fail(verdict, VERDICT_AGAIN, 502, "it does not speak HTTP/2, which grpc needs");
    else
        grpc_judge(transfer, status, verdict);
}
