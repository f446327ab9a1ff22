/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One request to a collector by libcurl, from the protobuf that a process has sent to what it is
 * answered: http/protobuf and http/json (opentelemetry-proto 1.11, OTLP/HTTP), grpc (grpc.h).
 */
#pragma once

#include "backend.h"

enum {
    TRANSFER_ANSWER_BYTES_MAX = 4 * 1024 * 1024, /* OTLP 1.11 */
    TRANSFER_FIELD_BYTES_MAX = 8 * 1024
};

/* What is kept of the answer's fields, trailers too. */
enum field { FIELD_TYPE, FIELD_STATUS, FIELD_MESSAGE, FIELD_DETAILS, FIELD_CODING, FIELD_COUNT };

struct transfer {
    struct target *target;
    struct client *client; /* NULL: it has gone */
    CURL *easy;
    uint8_t *sent;
    size_t sent_bytes;
    uint8_t *answer;
    size_t answer_bytes, answer_room;
    bool is_oversize;
    bool has_head;             /* the last one that began was read to its end */
    char *fields[FIELD_COUNT]; /* NULL: not there */
    char error[CURL_ERROR_SIZE];
};

/* What came of it. */
struct verdict {
    enum verdict_kind kind;
    struct reply reply;
    char words[256]; /* why, unless it is accepted */
    uint8_t *made;   /* a body of our own making, to be freed */
};

/* Prepares a request. NULL: no memory, or it cannot be put into the form that is asked for. */
struct transfer *transfer_new(
    struct target *target, struct client *client, const uint8_t *body, size_t length);
void transfer_free(struct transfer *transfer);

/* What libcurl calls: for each line of heads and trailers, an interim answer's being forgotten when
 * the next one begins; and for each piece of the body. */
size_t transfer_take_field(char *data, size_t size, size_t count, void *transfer);
size_t transfer_take_body(char *data, size_t size, size_t count, void *transfer);

/* What the result of libcurl and the answer mean. */
void transfer_judge(struct transfer *transfer, CURLcode result, struct verdict *verdict);
void transfer_judge_http(struct transfer *transfer, long status, struct verdict *verdict);
void verdict_free(struct verdict *verdict);

/* Between the files: a failure in words, and a body in gzip. */
void verdict_fail(struct verdict *verdict, enum verdict_kind kind, int status, const char *words);
uint8_t *transfer_gzip(const uint8_t *data, size_t length, size_t *out_length);
