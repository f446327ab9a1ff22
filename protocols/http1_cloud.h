/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Queues that are spoken to by HTTP/1: Amazon's SQS and SNS, Google's Pub/Sub. To HTTP/1 they are
 * requests like all others; a few headers mark those whose bodies are looked at on their way, for
 * the queue's name and the messages' contexts. Nothing else is ever looked at but lines of bulk
 * requests (http1_elastic.h), which are counted, and what searches ask for.
 *
 * The state is one a connection: of two such requests that are open at once the later one is it.
 *
 *   syntax != SYNTAX_NONE => the body of exchange `serial`, in the stream of `role`, is looked at,
 *                            and that stream's stage is a watched one wherever body bytes are next
 *   marks are of the request head that is being read; answer, of the request that was read
 *
 * Bounded: bytes of a body (CLOUD_BODY_BYTES_MAX; of lines more), of what is told of it, and the
 * depth to which it nests. What is compressed is not looked at.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol.h"

enum {
    CLOUD_BODY_BYTES_MAX = 4 * 1024 * 1024,
    CLOUD_NAME_BYTES_MAX = 512, /* of an address of a queue, of an operation */
    CLOUD_TRACEPARENT_BYTES = 55
};

/* What the headers of a request say. */
enum cloud_mark {
    CLOUD_SIGNED = SPLICE_SIGNED,
    CLOUD_HAS_TRACE_ID = 2, /* there is a X-Amzn-Trace-Id */
    CLOUD_SQS = 4,
    CLOUD_SNS = 8,
    CLOUD_JSON = 16,
    CLOUD_FORM = 32,
    CLOUD_ELASTIC = 64, /* http1_elastic.h */
    CLOUD_LINES = 128,
    CLOUD_GUARDED = 256 /* none of a cloud's: there is a HEADER_GUARD */
};

enum cloud_syntax { SYNTAX_NONE, SYNTAX_JSON, SYNTAX_FORM, SYNTAX_XML, SYNTAX_LINES, SYNTAX_QUERY };

struct http1_cloud {
    uint16_t marks; /* of enum cloud_mark */
    uint8_t answer; /* enum cloud_node: what the answer is to be read by; 0: it is not */
    uint8_t role;
    uint8_t syntax;
    uint32_t serial;
    uint32_t left; /* bytes that may still be looked at */
    uint32_t messages;
    uint16_t ignored;     /* containers that are open inside of `node` and matter to nobody */
    uint16_t value_bytes; /* of the value that is being read, as far as they matter */
    uint8_t root;
    uint8_t node;      /* the innermost container that matters; enum cloud_node, as all these */
    uint8_t member;    /* what was named last in it; the value that is being read */
    uint8_t candidate; /* what the name that is being read may still be */
    uint8_t position;  /* in that name */
    uint8_t named;     /* XML: by the element Name */
    uint8_t place;     /* in what the next byte is; each syntax has its own */
    bool is_behind;    /* JSON: a colon; XML: a slash, at the end of a tag or its beginning */
    bool is_telling;   /* the value that is being read is told */
    uint8_t strength;  /* of what is in `context`; 0: nothing */
    uint8_t section;   /* X-Ray: which one of the value, by its first letter */
    uint8_t found;     /* X-Ray: bits of enum xray_found */
    char context[CLOUD_TRACEPARENT_BYTES];
};

struct reader;

/* Of http1_value_read and http1_value_end, for the headers that are only read here. */
void http1_cloud_value(struct reader *, const uint8_t *text, size_t length);
void http1_cloud_value_end(struct reader *);

/* The head of a request with marks is complete, as far as its body has begun. */
void http1_cloud_begin(struct reader *);
/* The head of an answer, to a request that had marks, before its body has begun. */
void http1_cloud_begin_answer(struct reader *);

/* These bytes of the buffer are the next ones of the body. False: no more are to be looked at. */
bool http1_cloud_read(struct reader *, size_t from, size_t to);
/* That was all of the body that the reader is in; or no more of it will be seen. */
void http1_cloud_end(struct reader *);
void http1_cloud_cut(struct reader *);
/* Whichever body it is, nothing more of it is told: its exchange is, or may be, over. */
void http1_cloud_stop(struct http1_cloud *);

/* The names in bodies that matter: http1_cloud.def. A body begins at one that is in none. */
enum cloud_node {
    NODE_NONE,
#define NODE(id, in, name, does, strength) NODE_##id,
#include "http1_cloud.def"
#undef NODE
    NODE_COUNT
};

/* http1_cloud_names.c: the body that comes next is to be read by the tree of this root. */
void http1_cloud_start(struct http1_cloud *, enum cloud_syntax, enum cloud_node root);

/* http1_cloud_describe.c: an operation on messages as a span; false: it is none. */
bool http1_cloud_describe(const struct facts *, struct fact path, struct describer *);
