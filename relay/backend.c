/* SPDX-License-Identifier: Apache-2.0 */
#include "backend.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clients.h"
#include "grpc.h"
#include "process.h"
#include "transfer.h"
#include "url.h"

enum { CONNECTIONS_MAX = 8, AWAY_MAX_S = 3600 };

/* ---- targets ---- */

/* libcurl takes a text without a value for a header to leave out, unless it ends with ';'. */
static bool add_header(struct curl_slist **list, struct slice line)
{
    char text[CONFIG_LIST_MAX + 2];
    if (line.length >= CONFIG_LIST_MAX)
        return false;
    memcpy(text, line.data, line.length);
    text[line.length] = '\0';
    char *colon = strchr(text, ':');
    if (colon != NULL && strspn(colon + 1, " \t") == strlen(colon + 1))
        memcpy(colon, ";", 2);
    struct curl_slist *longer = curl_slist_append(*list, text);
    if (longer == NULL)
        return false;
    *list = longer;
    return true;
}

static bool make_headers(struct target *target, const char *configured)
{
    struct slice line, rest = {configured, strlen(configured)};
    const char *type = target->settings->json ? "Content-Type: application/json"
                                              : "Content-Type: application/x-protobuf";
    while (slice_split(&rest, '\n', &line)) {
        line.length -= line.length > 0 && line.data[line.length - 1] == '\r';
        if (line.length > 0 && !add_header(&target->headers, line))
            return false;
    }
    static const char no_expect[] = "Expect:"; /* as it stands: libcurl is to send none */
    struct curl_slist *longer = curl_slist_append(target->headers, no_expect);
    if (longer == NULL)
        return false;
    target->headers = longer;
    if (target->settings->grpc)
        return grpc_headers(&target->headers, target->settings);
    return add_header(&target->headers, (struct slice){type, strlen(type)}) &&
           (!target->settings->gzip ||
               add_header(&target->headers, (struct slice){"Content-Encoding: gzip", 22}));
}

/* Of a grpc endpoint only the server counts; of a socket, nothing is left to name. */
static bool make_url(struct target *target)
{
    struct url url;
    char *text = target->request_url;
    size_t room = sizeof target->request_url;
    if (!url_parse(target->url, &url))
        return false;
    const char *path = target->settings->grpc ? grpc_path(target->signal) : target->settings->path;
    if (url.scheme == URL_UNIX) {
        target->socket = url.path.data;
        snprintf(text, room, "http://localhost%s", path);
    } else if (target->settings->grpc) {
        snprintf(text, room, "%s://%.*s%s", url.scheme == URL_HTTPS ? "https" : "http",
            (int)url.authority.length, url.authority.data, path);
    } else {
        snprintf(text, room, "%s", target->url);
    }
    return true;
}

static bool open_target(struct target *target, const struct config *config, enum signal signal)
{
    if (!config->signals[signal].is_relayed)
        return true;
    *target = (struct target){.settings = &config->signals[signal],
        .tls = &config->tls[signal],
        .signal = signal,
        .url = config->urls[signal]};
    tally_open(&target->tally, signal, target->url);
    return make_url(target) && make_headers(target, config->headers[signal]);
}

bool backend_open(struct backend *backend, const struct config *config)
{
    *backend = (struct backend){0};
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return false;
    backend->multi = curl_multi_init();
    if (backend->multi == NULL)
        return false;
    curl_multi_setopt(backend->multi, CURLMOPT_MAX_HOST_CONNECTIONS, (long)CONNECTIONS_MAX);
    for (unsigned i = 0; i < SIGNAL_COUNT; i++)
        if (!open_target(&backend->targets[i], config, (enum signal)i))
            return false;
    return true;
}

void backend_close(struct backend *backend)
{
    curl_multi_cleanup(backend->multi);
    for (unsigned i = 0; i < SIGNAL_COUNT; i++)
        curl_slist_free_all(backend->targets[i].headers);
    curl_global_cleanup();
}

/* ---- requests ---- */

static void refuse(struct client *client, int status, const char *words, uint32_t retry_after_s)
{
    struct reply reply = {.status = status,
        .retry_after_s = retry_after_s,
        .type = "text/plain",
        .body = (const uint8_t *)words,
        .body_bytes = strlen(words)};
    client_answer(client, &reply);
}

/* Seconds that the collector has asked us all to wait for; 0: it has not. */
static uint32_t away_for(const struct target *target)
{
    uint64_t now = process_monotonic_ns();
    return target->away_until_ns <= now
               ? 0
               : (uint32_t)((target->away_until_ns - now + 999999999) / 1000000000);
}

void backend_post(struct backend *backend, enum signal signal, struct client *client, uint8_t *body,
    size_t length)
{
    struct target *target = &backend->targets[signal];
    uint32_t away_s = away_for(target);
    if (away_s > 0) {
        refuse(client, 503, "the collector has asked to be left alone", away_s);
    } else {
        struct transfer *transfer = transfer_new(target, client, body, length);
        if (transfer == NULL) {
            /* What cannot be told as JSON today cannot be tomorrow. */
            refuse(client, target->settings->json ? 400 : 503, "no memory, or no request", 0);
        } else if (curl_multi_add_handle(backend->multi, transfer->easy) != CURLM_OK) {
            transfer_free(transfer);
            refuse(client, 503, "libcurl takes no more", 0);
        } else {
            client_wait(client, transfer);
        }
    }
    free(body);
}

static void settle(struct backend *backend, struct transfer *transfer, CURLcode result)
{
    struct target *target = transfer->target;
    struct verdict verdict;
    transfer_judge(transfer, result, &verdict);
    bool was_away = target->tally.is_troubled;
    tally_add(&target->tally, verdict.kind, verdict.words);
    if (verdict.kind == VERDICT_AGAIN && verdict.reply.retry_after_s > 0) {
        uint32_t wait_s =
            verdict.reply.retry_after_s < AWAY_MAX_S ? verdict.reply.retry_after_s : AWAY_MAX_S;
        target->away_until_ns = process_monotonic_ns() + wait_s * 1000000000ull;
    }
    if (verdict.kind == VERDICT_ACCEPTED && was_away && backend->came_back != NULL)
        backend->came_back();
    client_answer(transfer->client, &verdict.reply);
    verdict_free(&verdict);
}

void backend_abort(struct backend *backend, struct transfer *transfer)
{
    curl_multi_remove_handle(backend->multi, transfer->easy);
    transfer_free(transfer);
}

void backend_work(struct backend *backend)
{
    int running, left;
    CURLMsg *message;
    curl_multi_perform(backend->multi, &running);
    while ((message = curl_multi_info_read(backend->multi, &left)) != NULL) {
        struct transfer *transfer;
        CURLcode result = message->data.result;
        if (message->msg != CURLMSG_DONE)
            continue;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &transfer);
        settle(backend, transfer, result);
        backend_abort(backend, transfer);
    }
}
