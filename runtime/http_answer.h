/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads one HTTP/1.1 answer piece by piece (RFC 9112): interim answers are skipped; the body ends
 * by Content-Length, by its last chunk, or with the connection. Pure: no calls, no allocation; one
 * owner. The head decides what the answer means, of the body only the first bytes are kept.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    HTTP_ANSWER_BYTES_MAX = 4 * 1024 * 1024, /* body; OTLP 1.11 asks for this bound */
    HTTP_HEAD_BYTES_MAX = 64 * 1024,         /* all heads of one answer, trailers included */
    HTTP_LINE_BYTES_MAX = 1024               /* kept of one line; the rest is passed over */
};

enum http_phase {
    HTTP_STATUS_LINE,
    HTTP_FIELDS,
    HTTP_BODY_LENGTH,
    HTTP_BODY_CLOSE,
    HTTP_CHUNK_SIZE,
    HTTP_CHUNK_DATA,
    HTTP_CHUNK_END,
    HTTP_TRAILERS,
    HTTP_DONE,
    HTTP_BROKEN /* not HTTP/1.x, or too long; see oversize */
};

struct http_answer {
    enum http_phase phase;
    int status;         /* of the final answer as soon as its line is read, else 0 */
    bool head_complete; /* the final answer's head was read to its end */
    bool keep_alive;    /* the connection may serve another request after HTTP_DONE */
    bool protobuf;      /* Content-Type is application/x-protobuf */
    bool oversize;      /* the body is longer than HTTP_ANSWER_BYTES_MAX */
    bool has_length;
    bool chunked;
    uint32_t retry_after_ms;
    int64_t now_s;      /* Unix time, for Retry-After dates */
    uint64_t remaining; /* of the body or chunk */
    uint64_t body_total;
    uint32_t head_bytes;
    uint32_t line_length;
    char line[HTTP_LINE_BYTES_MAX];
    uint8_t *body; /* caller's */
    size_t body_length, body_max;
};

void http_answer_init(struct http_answer *answer, uint8_t *body, size_t body_max, int64_t now_s);

/* Takes the next bytes; those beyond the end of the answer make the connection not reusable. */
void http_answer_feed(struct http_answer *answer, const uint8_t *data, size_t length);

/* The connection ended. */
void http_answer_end(struct http_answer *answer);
