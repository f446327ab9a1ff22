/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OTLP/HTTP over HTTP/1.1 in plaintext, TCP or Unix socket (opentelemetry-proto 1.11, OTLP/HTTP).
 * Raw system calls only; nothing here is seen by our own hooks. One thread at a time per object:
 * the exporter thread, or the command-line tool.
 * What https:// and grpc need goes to the relay's socket, and the relay sends it on.
 * URLs: http://host[:port]/path, port 80 if absent; unix:///path/to.sock (then POST to the signal's
 * path).
 *
 * The connection is kept for the next request. A kept one that fails before any byte of an answer
 * is replaced once, silently: the collector closed it while it was idle. Before each use we ask
 * whether the number is still the socket that we opened; the moment between question and call
 * remains, no system call closes it.
 * Limits: 8 addresses of a name; 64 KiB of an answer's head, 4 MiB of its body. Looking up a name
 * that is neither an address nor localhost is getaddrinfo's: it allocates, and the deadline does
 * not bound it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config.h"

enum otlp_outcome {
    OTLP_ACCEPTED, /* 2xx; see rejected for a partial success */
    OTLP_RETRY,    /* 429, 502, 503, 504, no connection, connection lost, no answer in time */
    OTLP_REFUSED   /* any other answer, one that is not HTTP/1.x or longer than the limit, a request
                    * that cannot be made: must not be sent again */
};

struct otlp_answer {
    enum otlp_outcome outcome;
    int status;              /* HTTP status, 0 if there was no answer */
    int error;               /* errno of a failed connection, else 0 */
    int64_t rejected;        /* partial success: spans rejected */
    uint32_t retry_after_ms; /* from Retry-After (both forms), 0 if absent */
    char message[256];       /* the collector's words, or "" */
};

/* Where a request goes, and how. Texts are the caller's. */
struct otlp_target {
    const char *url;
    const char *path;    /* of the request, where the URL is that of a socket */
    const char *headers; /* "Name: value\r\n"..., or "" */
    bool gzip;
    bool json;       /* else protobuf; the body is given as protobuf in any case, */
    bool is_written; /* but for one that is JSON already */
    enum signal signal;
    bool is_relay; /* whoever listens there has to be of our user, or root */
};

/* As the configuration says it. */
struct otlp_target otlp_target_of(const struct config *config, enum signal signal);

struct otlp_http {
    int descriptor;    /* -1: not connected */
    uint64_t identity; /* SO_COOKIE of our socket, checked before each use */
    int64_t pid;       /* who connected: a forked child makes its own connection */
    uint8_t *scratch;  /* for gzip and answers; caller's, at least OTLP_HTTP_SCRATCH_BYTES */
    size_t scratch_bytes;
};

enum { OTLP_HTTP_SCRATCH_BYTES = 1024 * 1024 };

void otlp_http_init(struct otlp_http *http, uint8_t *scratch, size_t scratch_bytes);

/* Posts one request once, connecting first if needed; the connection stays open for the next.
 * deadline_ns: CLOCK_MONOTONIC, bounds everything; UINT64_MAX: none. Never raises a signal.
 * *stop, if it becomes nonzero meanwhile, shortens the deadline to its value (ns), noticed within
 * 50 ms; stop may be NULL. A body too large for the scratch memory goes out uncompressed. */
void otlp_http_post(struct otlp_http *http, const struct otlp_target *target, const uint8_t *body,
    size_t length, uint64_t deadline_ns, const uint64_t *stop, struct otlp_answer *answer);

/* Asks http:// for a document: GET, or with a question in JSON, POST. True: *body is all of a good
 * answer's, in the scratch memory. */
bool otlp_http_ask(struct otlp_http *http, const char *url, const char *question,
    uint64_t deadline_ns, const uint64_t *stop, struct slice *body);

void otlp_http_close(struct otlp_http *http);
