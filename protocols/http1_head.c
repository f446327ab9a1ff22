/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Message heads (RFC 9112, 2 to 5). Each stage has one step, which goes as far in the buffer as it
 * can; what http1_line.c reads whole needs few of them. Nothing is stored but a name that the end
 * of a buffer has cut.
 */
#include "http1.h"
#include "scan.h"

#include <string.h>

/* White space inside a value whose bytes may be gone, or were a fold or tabs: told as spaces. */
static void tell_held(struct reader *reader, size_t offset)
{
    static const uint8_t spaces[] = "                                ";
    struct stream *stream = reader->stream;
    while (stream->held > 0) {
        uint32_t most = sizeof spaces - 1;
        uint32_t length = stream->held < most ? stream->held : most;
        struct event event = {.kind = EVENT_TEXT,
            .field = stream->header,
            .exchange = http1_serial(reader),
            .offset = offset,
            .text = spaces,
            .length = length};
        reader->sink->event(reader->sink, &event);
        stream->held -= length;
    }
}

static enum step read_line_start(struct reader *);

/* After a start line that was read whole. */
static enum step begin_headers(struct reader *reader)
{
    return reader->at < reader->end ? read_line_start(reader) : STEP_ON;
}

/* Method, RFC 9112, 3.1: kept as well, for what HEAD and CONNECT mean for the answer. */
static enum step read_method(struct reader *reader)
{
    struct stream *stream = reader->stream;
    size_t from = reader->at;
    bool first = stream->name_length == 0;
    if (first && http1_line_request(reader)) {
        return begin_headers(reader);
    }
    while (reader->at < reader->end) {
        uint8_t byte = reader->data[reader->at];
        if (byte == ' ' && stream->name_length >= METHOD_BYTES_MIN) {
            http1_tell_piece(reader, FIELD_METHOD, from, reader->at++, first, true);
            stream->stage = STAGE_TARGET;
            stream->left = TARGET_BYTES_MAX;
            return STEP_ON;
        }
        if (!http1_is_method_byte(byte) || stream->name_length == METHOD_BYTES_MAX) {
            return STEP_LOST;
        }
        stream->name[stream->name_length++] = byte;
        reader->at++;
    }
    http1_tell_piece(reader, FIELD_METHOD, from, reader->at, first, false);
    return STEP_ON;
}

/* request-target, RFC 9112, 3.2: anything without white space and control characters. */
static enum step read_target(struct reader *reader)
{
    struct stream *stream = reader->stream;
    size_t from = reader->at;
    bool first = stream->left == TARGET_BYTES_MAX;
    reader->at = scan_below(reader->data, from, reader->end, ' ' + 1);
    bool is_empty = first && reader->at == from;
    if (is_empty || reader->at - from > stream->left) {
        return STEP_LOST;
    }
    stream->left -= reader->at - from;
    if (reader->at == reader->end) {
        http1_tell_piece(reader, FIELD_TARGET, from, reader->at, first, false);
        return STEP_ON;
    }
    if (reader->data[reader->at] != ' ') {
        return STEP_LOST;
    }
    http1_tell_piece(reader, FIELD_TARGET, from, reader->at++, first, true);
    stream->stage = STAGE_PROTOCOL;
    return STEP_ON;
}

/* "HTTP/1." DIGIT, RFC 9112, 2.3; only the request's is told. */
static enum step read_protocol(struct reader *reader)
{
    static const char literal[] = "HTTP/1.";
    struct stream *stream = reader->stream;
    if (reader->role == RESPONSES && stream->matched == 0 && http1_line_status(reader)) {
        return begin_headers(reader);
    }
    while (reader->at < reader->end) {
        uint8_t byte = reader->data[reader->at++];
        if (stream->matched < sizeof literal - 1) {
            if (byte != literal[stream->matched++]) {
                return STEP_LOST;
            }
            continue;
        }
        if (byte < '0' || byte > '9') {
            return STEP_LOST;
        }
        stream->version = 10 + (byte - '0');
        stream->matched = 0;
        stream->stage = reader->role == REQUESTS ? STAGE_REQUEST_LINE_END : STAGE_STATUS;
        return STEP_ON;
    }
    return STEP_ON;
}

static bool is_line_end(const struct reader *reader)
{
    uint8_t byte = reader->data[reader->at];
    return byte == '\r' || byte == '\n';
}

/* At the CR or LF that ends a line. */
static enum step end_line(struct reader *reader)
{
    uint8_t byte = reader->data[reader->at++];
    reader->stream->stage = byte == '\r' ? STAGE_VALUE_LF : STAGE_LINE_START;
    return byte == '\r' || byte == '\n' ? STEP_ON : STEP_LOST;
}

static enum step read_request_line_end(struct reader *reader)
{
    reader->stream->header = HEADER_OTHER;
    http1_tell_number(reader, http1_serial(reader), FIELD_VERSION, reader->stream->version);
    return end_line(reader);
}

/* SP status-code, RFC 9112, 4: three digits. */
static enum step read_status(struct reader *reader)
{
    struct stream *stream = reader->stream;
    uint8_t byte = reader->data[reader->at++];
    if (stream->matched++ == 0) {
        return byte == ' ' ? STEP_ON : STEP_LOST;
    }
    if (byte < '0' || byte > '9') {
        return STEP_LOST;
    }
    stream->status = (uint16_t)(stream->status * 10 + (byte - '0'));
    stream->stage = stream->matched == 4 ? STAGE_STATUS_END : STAGE_STATUS;
    return STEP_ON;
}

static enum step read_status_end(struct reader *reader)
{
    struct stream *stream = reader->stream;
    if (stream->status < 100) {
        return STEP_LOST;
    }
    http1_tell_status(reader);
    stream->header = HEADER_OTHER;
    if (reader->data[reader->at] != ' ') {
        return end_line(reader);
    }
    reader->at++;
    stream->stage = STAGE_VALUE; /* the reason phrase */
    return STEP_ON;
}

static enum step end_value(struct reader *reader)
{
    struct stream *stream = reader->stream;
    uint8_t header = stream->header;
    if (header == HEADER_OTHER) {
        return STEP_ON;
    }
    if (header < FIELD_COUNT) {
        bool first = !stream->has_value;
        http1_tell_piece(reader, header, reader->at, reader->at, first, true);
    } else if (!http1_value_end(reader)) {
        return STEP_LOST;
    }
    stream->header = HEADER_OTHER;
    return STEP_ON;
}

static enum step end_head(struct reader *reader)
{
    if (reader->role == RESPONSES) {
        return http1_body_begin_response(reader);
    }
    reader->http->reading_head = false;
    http1_tell(reader, EVENT_REQUEST, http1_serial(reader));
    http1_body_begin_request(reader);
    if (__builtin_expect(reader->http->cloud.marks != 0, 0)) {
        http1_cloud_begin(reader);
    }
    return STEP_ON;
}

static enum step read_head_end_lf(struct reader *reader)
{
    return reader->data[reader->at++] == '\n' ? end_head(reader) : STEP_LOST;
}

static enum step read_head_end(struct reader *reader)
{
    uint8_t byte = reader->data[reader->at++];
    if (byte == '\n') {
        return end_head(reader);
    }
    reader->stream->stage = STAGE_HEAD_END_LF;
    if (byte != '\r') {
        return STEP_LOST;
    }
    return reader->at < reader->end ? read_head_end_lf(reader) : STEP_ON;
}

/* Not of an interim answer, nor of one that may open a tunnel. */
__attribute__((noinline)) static enum step end_edited_answer(struct reader *reader)
{
    struct http1 *http = reader->http;
    uint32_t serial = http1_serial(reader);
    struct event event = {.kind = EVENT_ANSWER,
        .exchange = serial,
        .offset = reader->at,
        .bare_lf = reader->data[reader->at] == '\n',
        .has_own = http->has_traceresponse};
    bool is_edited =
        reader->stream->status >= 200 && (http->connect_requests & http1_queue_bit(serial)) == 0;
    http->has_traceresponse = false;
    bool goes_on = !is_edited || reader->sink->event(reader->sink, &event);
    return goes_on ? read_head_end(reader) : STEP_PAUSE;
}

/* As the key of a splice: enum splice_mark. */
__attribute__((noinline)) static uint64_t wishes(unsigned marks)
{
    bool is_queue = (marks & (CLOUD_SQS | CLOUD_SNS)) != 0 && !(marks & CLOUD_HAS_TRACE_ID);
    return (marks & CLOUD_SIGNED) | (is_queue ? SPLICE_XRAY : 0);
}

/* Head and body are to be of a known length, small, and sent without being asked for. */
__attribute__((noinline)) static void offer_whole(const struct reader *reader, struct event *splice)
{
    const struct stream *stream = reader->stream;
    bool is_offered = reader->http->cloud.marks == CLOUD_JSON && !splice->bare_lf &&
                      stream->has_length && !stream->has_coding && !stream->awaits_continue &&
                      stream->length > 0 && stream->length <= REWRITTEN_BODY_MAX;
    if (is_offered) {
        splice->key = SPLICE_WHOLE;
        splice->number = 2 + (int64_t)stream->length;
        splice->other = HEAD_BYTES_MAX - http1_head_budget(reader);
    }
}

/* From the guard on: lines go before it. */
static size_t guarded(const struct reader *reader)
{
    bool is_guarded = reader->http->cloud.marks & CLOUD_GUARDED;
    return is_guarded ? reader->http->guard - http1_head_budget(reader) : 0;
}

/* The splice goes before the empty line, once nothing in the head can speak against it. */
static enum step begin_head_end(struct reader *reader)
{
    struct stream *stream = reader->stream;
    stream->stage = STAGE_HEAD_END;
    if (reader->role == RESPONSES) {
        return __builtin_expect(http1_edits_answers, 0) ? end_edited_answer(reader)
                                                        : read_head_end(reader);
    }
    if (!http1_body_framing_valid(stream)) {
        return STEP_LOST;
    }
    if ((reader->http->connect_requests & http1_queue_bit(http1_serial(reader))) != 0) {
        return read_head_end(reader); /* its head is for the proxy */
    }
    struct event event = {.kind = EVENT_SPLICE,
        .exchange = http1_serial(reader),
        .offset = reader->at,
        .bare_lf = reader->data[reader->at] == '\n'};
    if (__builtin_expect(reader->http->cloud.marks != 0, 0)) {
        event.key = wishes(reader->http->cloud.marks);
        event.length = guarded(reader);
        offer_whole(reader, &event);
    }
    return reader->sink->event(reader->sink, &event) ? read_head_end(reader) : STEP_PAUSE;
}

/* obs-fold, RFC 9112, 5.2: one space, whatever white space surrounds it. */
static enum step read_fold(struct reader *reader)
{
    struct stream *stream = reader->stream;
    stream->held = stream->has_value ? 1 : 0;
    stream->stage = stream->header == HEADER_OTHER ? STAGE_VALUE : STAGE_VALUE_LEAD;
    return stream->has_fields ? STEP_ON : STEP_LOST; /* 2.2: no fold after the start line */
}

static void note_method(struct http1 *http, const struct stream *stream)
{
    uint64_t bit = http1_queue_bit(http->next - 1);
    bool is_head = stream->name_length == 4 && memcmp(stream->name, "HEAD", 4) == 0;
    bool is_connect = stream->name_length == 7 && memcmp(stream->name, "CONNECT", 7) == 0;
    http->head_requests = (http->head_requests & ~bit) | (is_head ? bit : 0);
    http->connect_requests = (http->connect_requests & ~bit) | (is_connect ? bit : 0);
}

static enum step read_line_start(struct reader *reader)
{
    struct stream *stream = reader->stream;
    uint8_t byte = reader->data[reader->at];
    if (http1_is_space(byte)) {
        return read_fold(reader);
    }
    if (end_value(reader) != STEP_ON) {
        return STEP_LOST;
    }
    if (!stream->has_fields && reader->role == REQUESTS) {
        note_method(reader->http, stream); /* before names overwrite it */
    }
    if (is_line_end(reader)) {
        return begin_head_end(reader);
    }
    stream->has_fields = true;
    if (http1_line_headers(reader)) {
        return reader->at < reader->end && is_line_end(reader) ? begin_head_end(reader) : STEP_ON;
    }
    stream->name_length = 0;
    stream->stage = STAGE_NAME;
    return STEP_ON;
}

static void begin_value(struct reader *reader, const uint8_t *name, size_t length)
{
    struct stream *stream = reader->stream;
    stream->header = http1_name_header(name, length, reader->role);
    stream->held = 0;
    stream->has_value = false;
    stream->matched = 0;
    stream->left = 0;
    if (stream->header == HEADER_CONTEXT || stream->header == HEADER_CARRIED) {
        stream->header = http1_tell_context(reader, stream->header, name, length, reader->at);
        stream->has_value = true; /* the name begins the text */
    } else if (stream->header == HEADER_TRACERESPONSE) {
        reader->http->has_traceresponse = true;
        stream->header = HEADER_OTHER;
    } else if (stream->header == HEADER_GUARD) {
        reader->http->guard = http1_head_budget(reader) + (uint32_t)length;
        reader->http->cloud.marks |= CLOUD_GUARDED;
        stream->header = HEADER_OTHER;
    }
}

/* What the end of a buffer leaves of a name. Too long to matter is as good as any other length. */
static void keep_name(struct stream *stream, const uint8_t *text, size_t length)
{
    size_t room = NAME_BYTES_MAX - stream->name_length;
    size_t kept = length < room ? length : room;
    memcpy(stream->name + stream->name_length, text, kept);
    stream->name_length += (uint8_t)kept;
}

/* field-name, RFC 9112, 5.1: white space before the colon is refused in requests. */
static enum step read_name(struct reader *reader)
{
    struct stream *stream = reader->stream;
    const uint8_t *text = reader->data + reader->at;
    size_t from = reader->at;
    reader->at = http1_name_scan(reader->data, from, reader->end);
    size_t length = reader->at - from;
    if (reader->at == reader->end) {
        keep_name(stream, text, length);
        return STEP_ON;
    }
    if (stream->name_length > 0) {
        keep_name(stream, text, length);
        text = stream->name;
        length = stream->name_length;
    }
    if (length == 0) {
        return STEP_LOST;
    }
    begin_value(reader, text, length);
    uint8_t byte = reader->data[reader->at++];
    if (byte == ':') {
        stream->stage = stream->header == HEADER_OTHER ? STAGE_VALUE : STAGE_VALUE_LEAD;
        return STEP_ON;
    }
    stream->stage = STAGE_NAME_SPACE;
    return http1_is_space(byte) && reader->role == RESPONSES ? STEP_ON : STEP_LOST;
}

static enum step read_name_space(struct reader *reader)
{
    uint8_t byte = reader->data[reader->at++];
    if (byte == ':') {
        reader->stream->stage = STAGE_VALUE_LEAD;
        return STEP_ON;
    }
    return http1_is_space(byte) ? STEP_ON : STEP_LOST;
}

static enum step read_value_lead(struct reader *reader)
{
    while (reader->at < reader->end && http1_is_space(reader->data[reader->at])) {
        reader->at++;
    }
    if (reader->at < reader->end) {
        reader->stream->stage = STAGE_VALUE;
    }
    return STEP_ON;
}

/* To the end of a line that nobody asked for. */
static enum step pass_value(struct reader *reader)
{
    while (true) {
        reader->at = scan_below(reader->data, reader->at, reader->end, ' ');
        if (reader->at == reader->end) {
            return STEP_ON;
        }
        uint8_t byte = reader->data[reader->at];
        if (byte == '\r' || byte == '\n') {
            return end_line(reader);
        }
        if (byte == '\0') {
            return STEP_LOST;
        }
        reader->at++;
    }
}

/* Does the value surely end with the line end at `at`, no fold following? */
static bool ends_value(const struct reader *reader, size_t at)
{
    if (at < reader->end && reader->data[at] == '\r') {
        at++;
    }
    return at + 1 < reader->end && reader->data[at] == '\n' &&
           !http1_is_space(reader->data[at + 1]);
}

static enum step take_value(struct reader *reader, size_t from, size_t to, bool last)
{
    struct stream *stream = reader->stream;
    if (stream->header >= FIELD_COUNT) {
        bool is_valid = http1_value_read(reader, reader->data + from, to - from);
        stream->held = 0;
        stream->has_value = true;
        return is_valid ? STEP_ON : STEP_LOST;
    }
    tell_held(reader, from);
    http1_tell_piece(reader, stream->header, from, to, !stream->has_value, last);
    stream->has_value = true;
    stream->header = last ? HEADER_OTHER : stream->header;
    return STEP_ON;
}

/* A stretch without control characters; the white space at its end is held back. */
static enum step read_value_part(struct reader *reader, size_t stop)
{
    struct stream *stream = reader->stream;
    size_t from = reader->at;
    size_t to = stop;
    while (to > from && reader->data[to - 1] == ' ') {
        to--;
    }
    reader->at = stop;
    if (to > from) {
        bool last = ends_value(reader, stop);
        if (take_value(reader, from, to, last) != STEP_ON) {
            return STEP_LOST;
        }
    }
    stream->held += (uint32_t)(stop - to);
    return STEP_ON;
}

/* field-value, RFC 9110, 5.5: NUL, and CR without LF, are refused; tabs become spaces. */
static enum step read_value(struct reader *reader)
{
    struct stream *stream = reader->stream;
    if (stream->header == HEADER_OTHER) {
        return pass_value(reader);
    }
    size_t stop = scan_below(reader->data, reader->at, reader->end, ' ');
    if (read_value_part(reader, stop) != STEP_ON) {
        return STEP_LOST;
    }
    if (stop == reader->end) {
        return STEP_ON;
    }
    uint8_t byte = reader->data[stop];
    if (byte == '\r' || byte == '\n') {
        return end_line(reader);
    }
    if (byte == '\0') {
        return STEP_LOST;
    }
    reader->at++;
    if (byte == '\t') {
        stream->held++;
        return STEP_ON;
    }
    return take_value(reader, stop, stop + 1, false);
}

static enum step read_value_lf(struct reader *reader)
{
    reader->stream->stage = STAGE_LINE_START;
    return reader->data[reader->at++] == '\n' ? STEP_ON : STEP_LOST;
}

static enum step (*const steps[STAGE_COUNT])(struct reader *) = {
    [STAGE_METHOD] = read_method,
    [STAGE_TARGET] = read_target,
    [STAGE_PROTOCOL] = read_protocol,
    [STAGE_REQUEST_LINE_END] = read_request_line_end,
    [STAGE_STATUS] = read_status,
    [STAGE_STATUS_END] = read_status_end,
    [STAGE_LINE_START] = read_line_start,
    [STAGE_NAME] = read_name,
    [STAGE_NAME_SPACE] = read_name_space,
    [STAGE_VALUE_LEAD] = read_value_lead,
    [STAGE_VALUE] = read_value,
    [STAGE_VALUE_LF] = read_value_lf,
    [STAGE_HEAD_END] = read_head_end,
    [STAGE_HEAD_END_LF] = read_head_end_lf,
};

static bool is_in_head(const struct stream *stream)
{
    return stream->stage >= STAGE_HEAD_FIRST && stream->stage < STAGE_BODY_FIRST;
}

enum step http1_head_read(struct reader *reader)
{
    struct stream *stream = reader->stream;
    size_t from = reader->from = reader->at;
    size_t length = reader->end - from;
    if (stream->budget == 0) {
        return STEP_LOST;
    }
    reader->end = length < stream->budget ? reader->end : from + stream->budget;
    enum step step = STEP_ON;
    while (step == STEP_ON && reader->at < reader->end && is_in_head(stream)) {
        step = steps[stream->stage](reader);
    }
    if (is_in_head(stream)) { /* else a chunked body has begun, with a budget of its own */
        stream->budget -= (uint32_t)(reader->at - from);
    }
    return step;
}
