/* SPDX-License-Identifier: Apache-2.0 */
/* Message bodies (RFC 9112, 6 and 7): how long they are, and getting past them without looking. */
#include "hex.h"
#include "http1.h"
#include "scan.h"

#include <string.h>

/* RFC 9112, 6.3. A coding in an HTTP/1.0 request is read differently by every server. */
bool http1_body_framing_valid(const struct stream *request)
{
    return !request->has_coding ||
           (request->is_chunked && !request->is_miscoded && request->version > 10);
}

static void begin_chunk(struct stream *stream)
{
    stream->stage = STAGE_CHUNK_SIZE;
    stream->budget = HEAD_BYTES_MAX;
    stream->left = 0;
    stream->matched = 0;
}

static void begin_counted(struct reader *reader, uint64_t length)
{
    reader->stream->stage = STAGE_COUNTED;
    reader->stream->left = length;
    if (length == 0) {
        http1_body_complete(reader);
    }
}

void http1_body_complete(struct reader *reader)
{
    struct http1 *http = reader->http;
    reader->stream->stage = STAGE_BETWEEN;
    if (reader->role == RESPONSES) {
        http1_end_oldest(reader, END_COMPLETE);
        return;
    }
    if (http1_open_count(http) > 0) { /* else it was answered before all of it had come */
        http1_tell(reader, EVENT_RECEIVED, http->next - 1);
    }
}

void http1_body_begin_request(struct reader *reader)
{
    struct stream *stream = reader->stream;
    if (stream->has_coding) {
        begin_chunk(stream);
        return;
    }
    begin_counted(reader, stream->has_length ? stream->length : 0);
}

/* The connection changes hands after this head. What was pipelined behind cannot be HTTP. */
static enum step switch_protocol(struct reader *reader)
{
    reader->stream->stage = STAGE_BETWEEN;
    reader->http->switched = true;
    http1_end_oldest(reader, END_SWITCHED);
    if (http1_open_count(reader->http) == 0) {
        return STEP_ON;
    }
    while (http1_open_count(reader->http) > 0) {
        http1_tell(reader, EVENT_VOID, reader->http->oldest++);
    }
    return STEP_LOST;
}

/* RFC 9110, 10.1.1: a client that is refused before it sent its body may keep it to itself. */
static void judge_expectation(struct reader *reader)
{
    struct http1 *http = reader->http;
    struct stream *request = &http->streams[REQUESTS];
    if (http->oldest != http->next - 1 || !request->awaits_continue) {
        return;
    }
    request->awaits_continue = false;
    bool is_counted = request->stage == STAGE_COUNTED || request->stage == STAGE_WATCHED_COUNTED;
    request->is_doubtful =
        reader->stream->status >= 200 && is_counted && request->left == request->length;
}

/* RFC 9112, 6.3, in its order. */
__attribute__((always_inline)) static inline enum step begin_response(struct reader *reader)
{
    struct stream *stream = reader->stream;
    uint16_t status = stream->status;
    uint64_t bit = http1_queue_bit(reader->http->oldest);
    bool is_tunnel = (reader->http->connect_requests & bit) != 0 && status / 100 == 2;
    if (status == 101 || is_tunnel) {
        return switch_protocol(reader);
    }
    if (status == 100 || status >= 200) {
        judge_expectation(reader);
    }
    if (status < 200) {
        stream->stage = STAGE_BETWEEN;
        return STEP_ON;
    }
    if ((reader->http->head_requests & bit) != 0 || status == 204 || status == 304) {
        http1_body_complete(reader);
        return STEP_ON;
    }
    if (stream->has_coding && stream->is_chunked && !stream->is_miscoded) {
        begin_chunk(stream);
        return STEP_ON;
    }
    if (stream->has_coding || !stream->has_length) {
        stream->stage = STAGE_UNTIL_CLOSE;
        return STEP_ON;
    }
    begin_counted(reader, stream->length);
    return STEP_ON;
}

/* To a request that had marks. */
__attribute__((noinline)) static enum step begin_watched_response(struct reader *reader)
{
    http1_cloud_begin_answer(reader);
    enum step step = begin_response(reader);
    if (reader->stream->stage < STAGE_BODY_FIRST) {
        http1_cloud_end(reader);
    }
    if (http1_is_watched(reader)) {
        http1_body_watch(reader->stream);
    }
    return step;
}

enum step http1_body_begin_response(struct reader *reader)
{
    return reader->http->cloud.answer == 0 ? begin_response(reader)
                                           : begin_watched_response(reader);
}

void http1_body_watch(struct stream *stream)
{
    if (stream->stage >= STAGE_BODY_FIRST && stream->stage < STAGE_WATCHED_FIRST) {
        stream->stage += STAGE_WATCHED_FIRST - STAGE_BODY_FIRST;
    }
}

void http1_body_unwatch(struct stream *stream)
{
    if (stream->stage >= STAGE_WATCHED_FIRST && stream->stage < STAGE_LIMITED_FIRST) {
        stream->stage -= STAGE_WATCHED_FIRST - STAGE_BODY_FIRST;
    }
}

/* Consumes what is here of `left`; true when that is all of it. */
static bool pass_counted(struct reader *reader)
{
    struct stream *stream = reader->stream;
    size_t here = reader->end - reader->at;
    size_t length = stream->left < here ? (size_t)stream->left : here;
    stream->left -= length;
    reader->at += length;
    return stream->left == 0;
}

static enum step read_counted(struct reader *reader)
{
    struct stream *stream = reader->stream;
    uint8_t byte = reader->data[reader->at];
    if (stream->is_doubtful && byte >= 'A' && byte <= 'Z') {
        return STEP_LOST;
    }
    stream->is_doubtful = false;
    if (pass_counted(reader)) {
        http1_body_complete(reader);
    }
    return STEP_ON;
}

static enum step read_until_close(struct reader *reader)
{
    reader->at = reader->end;
    return STEP_ON;
}

static bool take_lf(struct reader *reader)
{
    return reader->data[reader->at++] == '\n';
}

static enum step read_trailers_end_lf(struct reader *reader)
{
    if (!take_lf(reader)) {
        return STEP_LOST;
    }
    http1_body_complete(reader);
    return STEP_ON;
}

static enum step read_trailer_start(struct reader *reader)
{
    uint8_t byte = reader->data[reader->at];
    if (byte == '\r') {
        reader->at++;
        reader->stream->stage = STAGE_TRAILERS_END_LF;
        return reader->at < reader->end ? read_trailers_end_lf(reader) : STEP_ON;
    }
    if (byte == '\n') {
        reader->at++;
        http1_body_complete(reader);
        return STEP_ON;
    }
    reader->stream->stage = STAGE_TRAILER;
    return STEP_ON;
}

/* Behind the line of a chunk's size; one of 0 ends the body. */
static enum stage stage_behind_size(struct reader *reader)
{
    if (reader->stream->left > 0) {
        return http1_is_watched(reader) ? STAGE_WATCHED_CHUNK_DATA : STAGE_CHUNK_DATA;
    }
    http1_cloud_end(reader);
    return STAGE_TRAILER_START;
}

static enum step end_size_line(struct reader *reader)
{
    enum stage stage = stage_behind_size(reader);
    reader->stream->stage = (uint8_t)stage;
    bool is_over = stage == STAGE_TRAILER_START && reader->at < reader->end;
    return is_over ? read_trailer_start(reader) : STEP_ON;
}

static enum step read_chunk_size_lf(struct reader *reader)
{
    return take_lf(reader) ? end_size_line(reader) : STEP_LOST;
}

static enum step end_chunk_size(struct reader *reader)
{
    struct stream *stream = reader->stream;
    uint8_t byte = reader->data[reader->at++];
    if (stream->matched == 0) {
        return STEP_LOST;
    }
    if (byte == '\n') {
        return end_size_line(reader);
    }
    if (byte == '\r') {
        stream->stage = STAGE_CHUNK_SIZE_LF;
        return reader->at < reader->end ? read_chunk_size_lf(reader) : STEP_ON;
    }
    stream->stage = STAGE_CHUNK_EXTENSION;
    return byte == ';' || http1_is_space(byte) ? STEP_ON : STEP_LOST;
}

/* chunk-size, RFC 9112, 7.1. */
static enum step read_chunk_size(struct reader *reader)
{
    struct stream *stream = reader->stream;
    while (reader->at < reader->end) {
        int digit = hex_value(reader->data[reader->at]);
        if (digit < 0) {
            return end_chunk_size(reader);
        }
        reader->at++;
        if (stream->left >> 59 != 0) {
            return STEP_LOST;
        }
        stream->left = stream->left << 4 | (unsigned)digit;
        stream->matched = 1;
    }
    return STEP_ON;
}

/* To the end of a line whose text does not matter: its LF is consumed, or its CR. */
static enum step pass_line(struct reader *reader, enum stage after_cr, enum stage after_lf)
{
    while (true) {
        reader->at = scan_below(reader->data, reader->at, reader->end, 0x20);
        if (reader->at == reader->end) {
            return STEP_ON;
        }
        uint8_t byte = reader->data[reader->at++];
        if (byte == '\0') {
            return STEP_LOST;
        }
        if (byte == '\r' || byte == '\n') {
            reader->stream->stage = (uint8_t)(byte == '\r' ? after_cr : after_lf);
            return STEP_ON;
        }
    }
}

/* chunk-ext, RFC 9112, 7.1.1: ignored. */
static enum step read_chunk_extension(struct reader *reader)
{
    return pass_line(reader, STAGE_CHUNK_SIZE_LF, stage_behind_size(reader));
}

static enum step read_chunk_data(struct reader *reader)
{
    if (pass_counted(reader)) {
        reader->stream->stage = STAGE_CHUNK_DATA_END;
    }
    return STEP_ON;
}

static enum step read_chunk_data_end(struct reader *reader)
{
    uint8_t byte = reader->data[reader->at++];
    if (byte == '\r') {
        reader->stream->stage = STAGE_CHUNK_DATA_LF;
        return STEP_ON;
    }
    begin_chunk(reader->stream);
    return byte == '\n' ? STEP_ON : STEP_LOST;
}

static enum step read_chunk_data_lf(struct reader *reader)
{
    begin_chunk(reader->stream);
    return take_lf(reader) ? STEP_ON : STEP_LOST;
}

/* trailer-section, RFC 9112, 7.1.2: ignored. */
static enum step read_trailer(struct reader *reader)
{
    return pass_line(reader, STAGE_TRAILER_LF, STAGE_TRAILER_START);
}

static enum step read_trailer_lf(struct reader *reader)
{
    reader->stream->stage = STAGE_TRAILER_START;
    return take_lf(reader) ? STEP_ON : STEP_LOST;
}

static enum step read_watched(struct reader *);

static enum step (*const steps[STAGE_COUNT])(struct reader *) = {
    [STAGE_WATCHED_COUNTED] = read_watched,
    [STAGE_WATCHED_UNTIL_CLOSE] = read_watched,
    [STAGE_WATCHED_CHUNK_DATA] = read_watched,
    [STAGE_COUNTED] = read_counted,
    [STAGE_UNTIL_CLOSE] = read_until_close,
    [STAGE_CHUNK_SIZE] = read_chunk_size,
    [STAGE_CHUNK_EXTENSION] = read_chunk_extension,
    [STAGE_CHUNK_SIZE_LF] = read_chunk_size_lf,
    [STAGE_CHUNK_DATA] = read_chunk_data,
    [STAGE_CHUNK_DATA_END] = read_chunk_data_end,
    [STAGE_CHUNK_DATA_LF] = read_chunk_data_lf,
    [STAGE_TRAILER_START] = read_trailer_start,
    [STAGE_TRAILER] = read_trailer,
    [STAGE_TRAILER_LF] = read_trailer_lf,
    [STAGE_TRAILERS_END_LF] = read_trailers_end_lf,
};

/* A body that is looked at: first that, since what follows may end the exchange. */
static enum step read_watched(struct reader *reader)
{
    struct stream *stream = reader->stream;
    size_t here = reader->end - reader->at;
    bool is_last = stream->stage == STAGE_WATCHED_COUNTED && here >= stream->left;
    if (stream->stage != STAGE_WATCHED_UNTIL_CLOSE && here > stream->left) {
        here = (size_t)stream->left;
    }
    bool goes_on = http1_cloud_read(reader, reader->at, reader->at + here);
    if (goes_on && is_last) {
        http1_cloud_end(reader);
    }
    http1_body_unwatch(stream);
    enum step step = steps[stream->stage](reader);
    if (goes_on && !is_last && step == STEP_ON) {
        http1_body_watch(stream);
    }
    return step;
}

/* One step; the lines around the chunks draw on a budget. */
enum step http1_body_read(struct reader *reader)
{
    struct stream *stream = reader->stream;
    if (stream->stage < STAGE_LIMITED_FIRST) {
        return steps[stream->stage](reader);
    }
    if (stream->budget == 0) {
        return STEP_LOST;
    }
    size_t from = reader->at;
    reader->end = reader->end - from < stream->budget ? reader->end : from + stream->budget;
    enum step step = steps[stream->stage](reader);
    stream->budget -= (uint32_t)(reader->at - from); /* at most 1 of a chunk's fresh budget */
    return step;
}
