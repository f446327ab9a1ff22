/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where requests go: a target for each signal, and libcurl's connections to them, which are kept.
 * One thread. A request is tried once; who sent it repeats it, from its spool.
 */
#pragma once

#include <curl/curl.h>

#include "config.h"
#include "tally.h"

struct client;

/* What the other end of a socket is answered. */
struct reply {
    int status;
    uint32_t retry_after_s; /* 0: nothing is said of it */
    const char *type;       /* of the body, static */
    const uint8_t *body;
    size_t body_bytes;
};

struct target {
    const struct config_signal *settings; /* NULL: this signal is not relayed */
    const struct config_tls *tls;
    enum signal signal;
    const char *url;                       /* as configured */
    char request_url[2 * CONFIG_TEXT_MAX]; /* as libcurl is to have it */
    const char *socket;                    /* the path of unix://, or NULL */
    struct curl_slist *headers;
    uint64_t away_until_ns; /* as it has said itself: Retry-After, RetryInfo */
    struct tally tally;
};

struct backend {
    CURLM *multi;
    struct target targets[SIGNAL_COUNT];
    void (*came_back)(void); /* what waits in the spool can be sent */
};

bool backend_open(struct backend *backend, const struct config *config);
void backend_close(struct backend *backend);

/* Sends a request of a signal that is relayed on; `body` is taken over (malloc). The client is
 * answered, now or later. */
void backend_post(struct backend *backend, enum signal signal, struct client *client, uint8_t *body,
    size_t length);

struct transfer;
/* Its client has gone. */
void backend_abort(struct backend *backend, struct transfer *transfer);

/* Goes on with all that is under way. */
void backend_work(struct backend *backend);
