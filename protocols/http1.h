/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of HTTP/1 share: the state of a connection and the reader that walks a buffer.
 *
 * The two streams of a connection are read independently by the same code, each in its stage, and
 * meet in one queue: the serial numbers oldest..next-1 are the exchanges without a whole answer.
 *
 *   next - oldest <= EXCHANGES_OPEN_MAX
 *   reading_head  => the request next-1 has begun but is not yet known to be one
 *   lost          => no further event is told
 *
 * Which header a line holds is known when its name is; nothing of its value is stored here.
 */
#pragma once

#include "http1_cloud.h"
#include "protocol.h"

enum {
    HEAD_BYTES_MAX = 256 * 1024, /* also a chunk's size line, and a trailer section */
    TARGET_BYTES_MAX = 64 * 1024,
    REWRITTEN_BODY_MAX = 64 * 1024,
    METHOD_BYTES_MIN = 3,
    METHOD_BYTES_MAX = 20,
    NAME_BYTES_MAX = 25 /* of a name that a buffer cuts; but for one of Datadog's all fit */
};

enum role { REQUESTS, RESPONSES };

enum stage {
    STAGE_BETWEEN,    /* before the first byte of a message */
    STAGE_BETWEEN_LF, /* after the CR of an empty line there */

    STAGE_METHOD,
    STAGE_TARGET,
    STAGE_PROTOCOL, /* HTTP/1.x, in both kinds of start line */
    STAGE_REQUEST_LINE_END,
    STAGE_STATUS,
    STAGE_STATUS_END,
    STAGE_LINE_START,
    STAGE_NAME,
    STAGE_NAME_SPACE, /* white space between a name and its colon */
    STAGE_VALUE_LEAD,
    STAGE_VALUE,
    STAGE_VALUE_LF,
    STAGE_HEAD_END, /* at the empty line, whose splice is told */
    STAGE_HEAD_END_LF,

    STAGE_COUNTED,
    STAGE_UNTIL_CLOSE,
    STAGE_CHUNK_DATA,
    STAGE_WATCHED_COUNTED, /* the same three, of a body that is looked at */
    STAGE_WATCHED_UNTIL_CLOSE,
    STAGE_WATCHED_CHUNK_DATA,
    STAGE_CHUNK_SIZE,
    STAGE_CHUNK_EXTENSION,
    STAGE_CHUNK_SIZE_LF,
    STAGE_CHUNK_DATA_END,
    STAGE_CHUNK_DATA_LF,
    STAGE_TRAILER_START,
    STAGE_TRAILER,
    STAGE_TRAILER_LF,
    STAGE_TRAILERS_END_LF,
    STAGE_COUNT,

    STAGE_HEAD_FIRST = STAGE_METHOD,
    STAGE_BODY_FIRST = STAGE_COUNTED,
    STAGE_WATCHED_FIRST = STAGE_WATCHED_COUNTED,
    STAGE_LIMITED_FIRST = STAGE_CHUNK_SIZE
};

/* The headers that matter: those told as text are named by their field. */
enum header {
    HEADER_CONTENT_LENGTH = FIELD_COUNT,
    HEADER_TRANSFER_ENCODING,
    HEADER_EXPECT,
    HEADER_TRACERESPONSE, /* of answers that are edited: that it is there matters, not its value */
    HEADER_CONTENT_TYPE,
    HEADER_AUTHORIZATION,
    HEADER_AMZ_TARGET,
    HEADER_AMZN_TRACE_ID,
    HEADER_CONTEXT, /* told as FIELD_CONTEXT, its name in front */
    HEADER_CARRIED, /* the same of FIELD_CARRIED */
    HEADER_GUARD,   /* only lines that the server trusts may follow: Passenger's `!~` */
    HEADER_OTHER
};

struct stream {
    uint64_t left;   /* body or chunk bytes to come; in heads the number or target being read */
    uint64_t length; /* Content-Length */
    uint32_t budget; /* bytes that this head, or this part of a chunked body, may still have */
    uint32_t held;   /* white space read in a value that is its end unless more follows */
    uint16_t status;
    uint8_t stage;
    uint8_t version; /* as FIELD_VERSION */
    uint8_t header;  /* enum header of the line being read */
    uint8_t matched; /* progress in a literal */
    bool has_fields;
    bool has_value; /* a byte of the value being read has been seen */
    bool has_length;
    bool has_coding;
    bool is_chunked;      /* the last coding was chunked ... */
    bool is_miscoded;     /* ... but not for the first time, or something followed it */
    bool awaits_continue; /* Expect: 100-continue, not answered yet */
    bool is_doubtful;     /* answered for good before its body began: the body may never come */
    uint8_t name_length;  /* of the method or of a name cut by the end of a buffer */
    uint8_t name[NAME_BYTES_MAX];
};

struct http1 {
    struct stream streams[2]; /* by role */
    uint64_t head_requests;   /* bit serial % EXCHANGES_OPEN_MAX: the method is HEAD */
    uint64_t connect_requests;
    uint32_t oldest;
    uint32_t next;
    uint32_t guard;   /* budget of the head where the line of HEADER_GUARD began: CLOUD_GUARDED */
    uint8_t requests; /* enum direction in which they travel */
    bool reading_head;
    bool switched;
    bool over[2]; /* by role: nothing more is read of it */
    bool lost;
    bool has_traceresponse; /* the answer's head that is being read */
    struct http1_cloud cloud;
};

_Static_assert(sizeof(struct http1) <= 256, "connections hold one each");

/* One call's walk over a buffer. `end` bounds what a step may look at. */
struct reader {
    struct http1 *http;
    struct stream *stream;
    struct sink *sink;
    const uint8_t *data;
    size_t at;
    size_t end;
    size_t from; /* of a head: where this walk has begun, which its budget does not know of yet */
    enum role role;
};

enum step { STEP_ON, STEP_PAUSE, STEP_LOST };

/* http1_head.c: from the first byte of a start line through the empty line. */
enum step http1_head_read(struct reader *);

/* http1_line.c: lines that are in the buffer whole. False: nothing was read, the steps have to. */
bool http1_line_request(struct reader *);
bool http1_line_status(struct reader *);
bool http1_line_headers(struct reader *); /* as many as can be; at the start of one */

/* http1_name.c: where a token ends; which header it names, its letters in any case. An answer has
 * fewer headers that matter. */
size_t http1_name_scan(const uint8_t *data, size_t at, size_t end);
extern __attribute__((visibility("hidden"))) enum header (*http1_name_header)(
    const uint8_t *name, size_t length, enum role);
extern bool http1_edits_answers;

/* http1_value.c: Content-Length, Transfer-Encoding, Expect; others go to http1_cloud.c. */
bool http1_value_read(struct reader *, const uint8_t *text, size_t length);
bool http1_value_end(struct reader *);

/* http1_body.c: what follows a head. */
bool http1_body_framing_valid(const struct stream *request);
void http1_body_begin_request(struct reader *);
enum step http1_body_begin_response(struct reader *);
enum step http1_body_read(struct reader *);
/* The whole message was read. */
void http1_body_complete(struct reader *);
/* The body that has begun is looked at from here on; no more. */
void http1_body_watch(struct stream *);
void http1_body_unwatch(struct stream *);

/* http1.c: events, and the queue of open exchanges. */
bool http1_tell(struct reader *, enum event_kind, uint32_t exchange);
void http1_tell_number(struct reader *, uint32_t exchange, enum field, int64_t number);
/* An answer's status. An interim one is not the exchange's; but 101 is final for HTTP. */
void http1_tell_status(struct reader *);
/* A piece of the buffer, from..to, that belongs to the message that the reader is in. */
void http1_tell_piece(struct reader *, enum field, size_t from, size_t to, bool first, bool last);
void http1_end_oldest(struct reader *, enum end_reason);
/* The start of a text of HEADER_CONTEXT or HEADER_CARRIED: "name: ". offset: of the value. As which
 * field it is told. */
enum field http1_tell_context(
    struct reader *, enum header, const uint8_t *name, size_t length, size_t offset);

/* http1_publish.c: of a request to Google's Pub/Sub that is all there. */
size_t http1_publish(const struct insertion *, char *out);

/* http1_describe.c */
void http1_describe(const struct facts *, struct describer *);

static inline uint32_t http1_open_count(const struct http1 *http)
{
    return http->next - http->oldest;
}

/* The message that the reader is in. */
static inline uint32_t http1_serial(const struct reader *reader)
{
    return reader->role == REQUESTS ? reader->http->next - 1 : reader->http->oldest;
}

/* Is the body that the reader is in looked at? */
static inline bool http1_is_watched(const struct reader *reader)
{
    const struct http1_cloud *cloud = &reader->http->cloud;
    return cloud->syntax != SYNTAX_NONE && cloud->role == reader->role;
}

/* What the head may still have at the reader's place. */
static inline uint32_t http1_head_budget(const struct reader *reader)
{
    return reader->stream->budget - (uint32_t)(reader->at - reader->from);
}

static inline uint64_t http1_queue_bit(uint32_t serial)
{
    return UINT64_C(1) << (serial % EXCHANGES_OPEN_MAX);
}

static inline bool http1_is_method_byte(uint8_t byte)
{
    return (byte >= 'A' && byte <= 'Z') || byte == '-' || byte == '_';
}

static inline bool http1_is_space(uint8_t byte)
{
    return byte == ' ' || byte == '\t';
}
