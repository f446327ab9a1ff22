/* SPDX-License-Identifier: Apache-2.0 */
/* Queues of clouds: which heads mark a request, and when its bodies are looked at. */
#include "http1_elastic.h"

#include <string.h>

/* --- heads ----------------------------------------------------------------------------------- */

enum meaning {
    MEANS_MARK,
    MEANS_SCHEME,  /* the value is Amazon's signature, version 4 */
    MEANS_SERVICE, /* a mark, if the end of a scope follows */
    MEANS_SCOPE
};

#define WORD(text) sizeof(text) - 1, text

/* By header; in Authorization names of headers stand in SignedHeaders alone. */
static const struct word {
    uint8_t header, meaning, mark;
    uint8_t length;
    char text[40];
} words[] = {
    {HEADER_CONTENT_TYPE, MEANS_MARK, CLOUD_JSON, WORD("application/json")},
    {HEADER_CONTENT_TYPE, MEANS_MARK, CLOUD_JSON, WORD("application/x-amz-json-1.0")},
    {HEADER_CONTENT_TYPE, MEANS_MARK, CLOUD_FORM, WORD("application/x-www-form-urlencoded")},
    {HEADER_CONTENT_TYPE, MEANS_MARK, CLOUD_LINES, WORD("application/x-ndjson")},
    {HEADER_CONTENT_TYPE, MEANS_MARK, CLOUD_ELASTIC, WORD("application/vnd.elasticsearch+json")},
    {HEADER_CONTENT_TYPE, MEANS_MARK, CLOUD_ELASTIC | CLOUD_LINES,
        WORD("application/vnd.elasticsearch+x-ndjson")},
    {HEADER_AMZ_TARGET, MEANS_MARK, CLOUD_SQS, WORD("AmazonSQS")},
    {HEADER_AUTHORIZATION, MEANS_SCHEME, 0, WORD("AWS4-HMAC-SHA256")},
    {HEADER_AUTHORIZATION, MEANS_SCHEME, 0, WORD("AWS4-ECDSA-P256-SHA256")},
    {HEADER_AUTHORIZATION, MEANS_SERVICE, CLOUD_SQS, WORD("sqs")},
    {HEADER_AUTHORIZATION, MEANS_SERVICE, CLOUD_SNS, WORD("sns")},
    {HEADER_AUTHORIZATION, MEANS_SCOPE, 0, WORD("aws4_request")},
    {HEADER_AUTHORIZATION, MEANS_MARK, CLOUD_SIGNED, WORD("traceparent")},
    {HEADER_AUTHORIZATION, MEANS_MARK, CLOUD_SIGNED, WORD("x-amzn-trace-id")},
    {HEADER_AUTHORIZATION, MEANS_MARK, CLOUD_SIGNED, WORD("b3")},
    {HEADER_AUTHORIZATION, MEANS_MARK, CLOUD_SIGNED, WORD("x-b3-spanid")},
    {HEADER_AUTHORIZATION, MEANS_MARK, CLOUD_SIGNED, WORD("uber-trace-id")},
    {HEADER_AUTHORIZATION, MEANS_MARK, CLOUD_SIGNED, WORD("ot-tracer-spanid")},
};
enum { WORDS = sizeof words / sizeof words[0] };
_Static_assert(WORDS <= 18, "a bit each");

/* What stream.left holds of the value that is being read; stream.matched is the place in a word. */
enum {
    LEFT_CANDIDATES = (1 << WORDS) - 1, /* words that the one being read may still be */
    LEFT_PENDING_SHIFT = 18,            /* 8 bits: the mark of a service */
    LEFT_IS_AWS = 1 << 26,
    LEFT_DONE = 1 << 27, /* nothing more matters */
    LEFT_IS_TOLD = 1 << 28,
    LEFT_IS_CUT = 1 << 29 /* ... nor is anything more told */
};

static bool ends_word(uint8_t header, uint8_t byte)
{
    switch (header) {
    case HEADER_CONTENT_TYPE:
        return byte == ';' || byte == ' ';
    case HEADER_AMZ_TARGET:
        return byte == '.' || byte == ' ';
    default:
        return memchr(" ,;=/", byte, 5) != NULL;
    }
}

static uint64_t words_of(uint8_t header)
{
    uint64_t all = 0;
    for (unsigned i = 0; i < WORDS; i++) {
        all |= (uint64_t)(words[i].header == header) << i;
    }
    return all;
}

static bool is_candidate(const struct stream *stream, unsigned word)
{
    return (stream->left >> word & 1) != 0;
}

static void match(struct stream *stream, uint8_t byte)
{
    for (uint64_t left = stream->left & LEFT_CANDIDATES; left != 0; left &= left - 1) {
        const struct word *word = &words[__builtin_ctzll(left)];
        if (stream->matched >= word->length || word->text[stream->matched] != byte) {
            stream->left &= ~(left & -left);
        }
    }
    stream->matched += stream->matched < UINT8_MAX;
}

static const struct word *whole_word(const struct stream *stream)
{
    for (unsigned i = 0; i < WORDS; i++) {
        if (is_candidate(stream, i) && words[i].length == stream->matched) {
            return &words[i];
        }
    }
    return NULL;
}

/* Where no signature of Amazon's has begun, the first word is all that matters. */
static void end_word(struct reader *reader, uint8_t end)
{
    struct stream *stream = reader->stream;
    const struct word *word = whole_word(stream);
    uint8_t pending = (uint8_t)(stream->left >> LEFT_PENDING_SHIFT);
    bool is_aws = (stream->left & LEFT_IS_AWS) != 0 || (word && word->meaning == MEANS_SCHEME);
    bool may_mark = is_aws || stream->header != HEADER_AUTHORIZATION;
    if (word != NULL && may_mark && word->meaning == MEANS_MARK) {
        reader->http->cloud.marks |= word->mark;
    }
    if (word != NULL && is_aws && word->meaning == MEANS_SCOPE) {
        reader->http->cloud.marks |= pending;
    }
    pending = word != NULL && word->meaning == MEANS_SERVICE && end == '/' ? word->mark : 0;
    stream->left &= LEFT_DONE | LEFT_IS_TOLD | LEFT_IS_CUT;
    stream->left |= (uint64_t)pending << LEFT_PENDING_SHIFT | (is_aws ? LEFT_IS_AWS : LEFT_DONE);
    stream->matched = 0;
}

/* The operation is told, whosever it is. It has no white space. */
static void tell_target(struct reader *reader, const uint8_t *text, size_t length)
{
    struct stream *stream = reader->stream;
    size_t from = (size_t)(text - reader->data);
    const uint8_t *space = memchr(text, ' ', length);
    size_t to = from + (space != NULL ? (size_t)(space - text) : length);
    if (!(stream->left & LEFT_IS_CUT)) {
        http1_tell_piece(reader, FIELD_OPERATION, from, to, !(stream->left & LEFT_IS_TOLD), false);
    }
    stream->left |= LEFT_IS_TOLD | (space != NULL ? LEFT_IS_CUT : 0);
}

static void read_byte(struct reader *reader, uint8_t byte)
{
    struct stream *stream = reader->stream;
    if (ends_word(stream->header, byte)) {
        end_word(reader, byte);
        return;
    }
    if (stream->matched == 0) {
        stream->left |= words_of(stream->header);
    }
    match(stream, byte);
}

void http1_cloud_value(struct reader *reader, const uint8_t *text, size_t length)
{
    struct stream *stream = reader->stream;
    if (stream->held > 0) { /* white space before this piece */
        stream->left |= LEFT_IS_CUT;
        end_word(reader, ' ');
    }
    if (stream->header == HEADER_AMZ_TARGET) {
        tell_target(reader, text, length);
    }
    for (size_t i = 0; i < length && !(stream->left & LEFT_DONE); i++) {
        read_byte(reader, text[i]);
    }
}

void http1_cloud_value_end(struct reader *reader)
{
    struct stream *stream = reader->stream;
    bool is_open = stream->header == HEADER_AMZ_TARGET && (stream->left & LEFT_IS_TOLD) != 0;
    if (stream->header == HEADER_AMZN_TRACE_ID) {
        reader->http->cloud.marks |= CLOUD_HAS_TRACE_ID;
    }
    if (!(stream->left & LEFT_DONE)) {
        end_word(reader, ' ');
    }
    if (is_open) {
        http1_tell_piece(reader, FIELD_OPERATION, reader->at, reader->at, false, true);
    }
}

/* --- bodies ---------------------------------------------------------------------------------- */

enum asked {
    ASKED_NOTHING,
    ASKED_SQS_JSON,
    ASKED_SQS_FORM,
    ASKED_SNS_FORM,
    ASKED_OTHER_JSON,
    ASKED_LINES,
    ASKED_QUERY
};

static const struct {
    uint8_t syntax, request, answer; /* of the request's body; the roots */
} asked_rows[] = {
    [ASKED_NOTHING] = {SYNTAX_NONE, NODE_NONE, NODE_NONE},
    [ASKED_SQS_JSON] = {SYNTAX_JSON, NODE_ASKED, NODE_GOT},
    [ASKED_SQS_FORM] = {SYNTAX_FORM, NODE_FORM, NODE_XML},
    [ASKED_SNS_FORM] = {SYNTAX_FORM, NODE_FORM, NODE_NOTHING},
    [ASKED_OTHER_JSON] = {SYNTAX_JSON, NODE_SENT, NODE_PULLED},
    [ASKED_LINES] = {SYNTAX_LINES, NODE_NONE, NODE_NOTHING},
    [ASKED_QUERY] = {SYNTAX_QUERY, NODE_NONE, NODE_NOTHING},
};

static enum asked asked_of(uint8_t marks)
{
    if (marks & CLOUD_SQS) {
        return marks & CLOUD_JSON ? ASKED_SQS_JSON : marks & CLOUD_FORM ? ASKED_SQS_FORM : 0;
    }
    if (marks & CLOUD_SNS) {
        return marks & CLOUD_FORM ? ASKED_SNS_FORM : ASKED_NOTHING;
    }
    if (marks & CLOUD_LINES) {
        return ASKED_LINES;
    }
    return marks & CLOUD_ELASTIC ? ASKED_QUERY : marks & CLOUD_JSON ? ASKED_OTHER_JSON : 0;
}

void http1_cloud_begin(struct reader *reader)
{
    struct http1_cloud *cloud = &reader->http->cloud;
    enum asked asked = asked_of(cloud->marks);
    bool is_elastic = cloud->marks & CLOUD_ELASTIC;
    bool has_body = reader->stream->stage >= STAGE_BODY_FIRST;
    cloud->marks = 0;
    cloud->serial = http1_serial(reader);
    cloud->role = REQUESTS;
    cloud->answer = asked_rows[asked].answer;
    http1_cloud_start(cloud, has_body ? asked_rows[asked].syntax : SYNTAX_NONE,
        (enum cloud_node)asked_rows[asked].request);
    if (is_elastic) {
        cloud->section = ELASTIC_MEDIA_TYPE;
        http1_tell_number(reader, cloud->serial, FIELD_ROWS, ELASTIC_MEDIA_TYPE);
    }
    if (cloud->syntax == SYNTAX_QUERY) {
        http1_elastic_begin_query(reader);
    }
    if (http1_is_watched(reader)) {
        http1_body_watch(reader->stream);
    }
}

/* A refusal has no messages. */
void http1_cloud_begin_answer(struct reader *reader)
{
    struct http1_cloud *cloud = &reader->http->cloud;
    enum cloud_node root = (enum cloud_node)cloud->answer;
    enum cloud_syntax syntax = root == NODE_XML ? SYNTAX_XML : SYNTAX_JSON;
    bool is_wanted = reader->stream->status == 200 && root != NODE_NOTHING;
    if (reader->stream->status < 200 || cloud->serial != reader->http->oldest) {
        return;
    }
    http1_cloud_stop(cloud);
    cloud->answer = NODE_NONE;
    cloud->role = RESPONSES;
    http1_cloud_start(cloud, is_wanted ? syntax : SYNTAX_NONE, root);
}
