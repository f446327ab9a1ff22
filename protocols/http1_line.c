/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lines of heads that the buffer holds whole, as it does nearly all: read in one go. What is told
 * of them is what the steps of http1_head.c would tell. A line that is cut, folded or odd is left
 * to those steps untouched, so that only they say what is an error.
 */
#include "http1.h"
#include "scan.h"

#include <string.h>

enum {
    PROTOCOL_BYTES = 8, /* HTTP/1.1 */
    STATUS_BYTES = 3,
    METHOD_BYTES_NOTED = 8, /* no longer than the rest of a request line; CONNECT has 7 */
    LENGTH_DIGITS_MAX = 18, /* more might not fit */
    NONE = 0                /* no index after a line, and no version, is 0 */
};

/* Past the line end at `at`, or NONE. */
static size_t pass_line_end(const struct reader *reader, size_t at)
{
    const uint8_t *data = reader->data;
    if (at < reader->end && data[at] == '\r') {
        at++;
    }
    return at < reader->end && data[at] == '\n' ? at + 1 : NONE;
}

__attribute__((noinline)) static size_t pass_tabs(const struct reader *reader, size_t at)
{
    while (at < reader->end && reader->data[at] == '\t') {
        at = scan_below(reader->data, at + 1, reader->end, ' ');
    }
    return pass_line_end(reader, at);
}

/* Past the end of a line that nobody asked for and whose first control character is at `at`. */
static size_t pass_rest(const struct reader *reader, size_t at)
{
    const uint8_t *data = reader->data;
    bool is_usual = reader->end - at >= 2 && data[at] == '\r' && data[at + 1] == '\n';
    return is_usual ? at + 2 : pass_tabs(reader, at);
}

/* As FIELD_VERSION, or NONE. */
static uint8_t version_of(const uint8_t *text)
{
    uint8_t digit = (uint8_t)(text[PROTOCOL_BYTES - 1] - '0');
    bool is_one = memcmp(text, "HTTP/1.", PROTOCOL_BYTES - 1) == 0 && digit <= 9;
    return is_one ? 10 + digit : NONE;
}

static size_t scan_method(const struct reader *reader)
{
    const uint8_t *data = reader->data;
    size_t at = reader->at;
    while (at < reader->end && http1_is_method_byte(data[at])) {
        at++;
    }
    return at;
}

static void begin_headers(struct reader *reader, uint8_t version, size_t at)
{
    struct stream *stream = reader->stream;
    stream->version = version;
    stream->header = HEADER_OTHER;
    stream->stage = STAGE_LINE_START;
    reader->at = at;
}

static void take_request_line(
    struct reader *reader, size_t method_end, size_t target_end, uint8_t version)
{
    struct stream *stream = reader->stream;
    size_t from = reader->at;
    stream->name_length = (uint8_t)(method_end - from);
    memcpy(stream->name, reader->data + from, METHOD_BYTES_NOTED);
    http1_tell_piece(reader, FIELD_METHOD, from, method_end, true, true);
    http1_tell_piece(reader, FIELD_TARGET, method_end + 1, target_end, true, true);
    http1_tell_number(reader, http1_serial(reader), FIELD_VERSION, version);
}

/* RFC 9112, 3. */
bool http1_line_request(struct reader *reader)
{
    const uint8_t *data = reader->data;
    size_t method_end = scan_method(reader);
    size_t method_length = method_end - reader->at;
    if (method_length < METHOD_BYTES_MIN || method_length > METHOD_BYTES_MAX ||
        method_end == reader->end || data[method_end] != ' ') {
        return false;
    }
    size_t target = method_end + 1;
    size_t target_end = scan_below(data, target, reader->end, ' ' + 1);
    if (target_end == target || target_end - target > TARGET_BYTES_MAX ||
        reader->end - target_end <= 1 + PROTOCOL_BYTES || data[target_end] != ' ') {
        return false;
    }
    uint8_t version = version_of(data + target_end + 1);
    size_t after = pass_line_end(reader, target_end + 1 + PROTOCOL_BYTES);
    if (version == NONE || after == NONE) {
        return false;
    }
    take_request_line(reader, method_end, target_end, version);
    begin_headers(reader, version, after);
    return true;
}

/* SP status-code; 0 for what is none. */
static uint16_t status_of(const uint8_t *text)
{
    unsigned status = 0;
    for (int i = 1; i <= STATUS_BYTES; i++) {
        if (text[i] < '0' || text[i] > '9') {
            return 0;
        }
        status = status * 10 + (text[i] - '0');
    }
    return text[0] == ' ' && status >= 100 ? (uint16_t)status : 0;
}

/* RFC 9112, 4. */
bool http1_line_status(struct reader *reader)
{
    const size_t reason = PROTOCOL_BYTES + 1 + STATUS_BYTES;
    const uint8_t *text = reader->data + reader->at;
    if (reader->end - reader->at <= reason) {
        return false;
    }
    uint8_t version = version_of(text);
    uint16_t status = status_of(text + PROTOCOL_BYTES);
    size_t stop = reader->at + reason;
    if (text[reason] == ' ') {
        stop = scan_below(reader->data, stop + 1, reader->end, ' ');
    }
    size_t after = text[reason] == ' ' ? pass_rest(reader, stop) : pass_line_end(reader, stop);
    if (version == NONE || status == 0 || after == NONE) {
        return false;
    }
    reader->stream->status = status;
    http1_tell_status(reader);
    begin_headers(reader, version, after);
    return true;
}

/* The usual Content-Length: digits, nothing else, and no other value before. */
static bool take_length(struct stream *stream, const uint8_t *text, size_t length)
{
    uint64_t number = 0;
    if (length > LENGTH_DIGITS_MAX) {
        return false;
    }
    for (size_t i = 0; i < length; i++) {
        if (text[i] < '0' || text[i] > '9') {
            return false;
        }
        number = number * 10 + (text[i] - '0');
    }
    if (stream->has_length && stream->length != number) {
        return false;
    }
    stream->has_length = true;
    stream->length = number;
    return true;
}

/* All but Content-Length: no value of theirs is an error yet. */
static void take_words(
    struct reader *reader, enum header header, const uint8_t *text, size_t length)
{
    struct stream *stream = reader->stream;
    stream->header = (uint8_t)header;
    stream->held = 0;
    stream->matched = 0;
    stream->left = 0;
    http1_value_read(reader, text, length);
    http1_value_end(reader);
    stream->header = HEADER_OTHER;
}

static void take_context(struct reader *reader, enum header header, size_t from, size_t to)
{
    const uint8_t *name = reader->data + reader->at;
    size_t length = http1_name_scan(name, 0, to - reader->at);
    enum field field = http1_tell_context(reader, header, name, length, from);
    http1_tell_piece(reader, field, from, to, false, true);
}

__attribute__((noinline)) static void take_rare(
    struct reader *reader, enum header header, size_t from, size_t to)
{
    if (header == HEADER_CONTEXT || header == HEADER_CARRIED) {
        take_context(reader, header, from, to);
    } else if (header == HEADER_TRACERESPONSE) {
        reader->http->has_traceresponse = true;
    } else if (header == HEADER_GUARD) {
        reader->http->guard = http1_head_budget(reader);
        reader->http->cloud.marks |= CLOUD_GUARDED;
    } else {
        take_words(reader, header, reader->data + from, to - from);
    }
}

static bool take_value(struct reader *reader, enum header header, size_t from, size_t to)
{
    const uint8_t *text = reader->data + from;
    if (header == HEADER_CONTENT_LENGTH) {
        return take_length(reader->stream, text, to - from);
    }
    if (header >= HEADER_CONTENT_LENGTH) {
        take_rare(reader, header, from, to);
        return true;
    }
    http1_tell_piece(reader, (enum field)header, from, to, true, true);
    return true;
}

/* A value that matters: not empty, no control character in it, surely not folded. */
static bool read_value(struct reader *reader, enum header header, size_t from, size_t stop)
{
    const uint8_t *data = reader->data;
    size_t to = stop;
    while (from < stop && data[from] == ' ') {
        from++;
    }
    while (to > from && data[to - 1] == ' ') {
        to--;
    }
    size_t after = pass_line_end(reader, stop);
    if (to == from || after == NONE || after == reader->end || http1_is_space(data[after]) ||
        !take_value(reader, header, from, to)) {
        return false;
    }
    reader->at = after;
    return true;
}

/* Bit i: byte i is of the kinds that nearly all names are made of: letters, digits, hyphens. */
static uint32_t common_name_bits(const uint8_t *data)
{
    scan_lanes bytes = scan_load(data);
    scan_lanes is_letter = (scan_lanes)((bytes | 0x20) - 'a' < 26);
    scan_lanes is_digit = (scan_lanes)(bytes - '0' < 10);
    scan_lanes is_hyphen = (scan_lanes)(bytes == '-');
    return scan_bits(is_letter | is_digit | is_hyphen);
}

/* The colon after a name, or where the name breaks off. */
static size_t scan_name(const uint8_t *data, size_t at, size_t end)
{
    if (end - at < SCAN_LANES) {
        return http1_name_scan(data, at, end);
    }
    at += (size_t)__builtin_ctz(~common_name_bits(data + at));
    return at < end && data[at] == ':' ? at : http1_name_scan(data, at, end);
}

/* RFC 9112, 5. The end is looked for from the start of the line, not from the colon: then a
 * processor need not know where the colon is to be ahead at the next line. */
static bool read_header(struct reader *reader)
{
    const uint8_t *data = reader->data;
    size_t from = reader->at;
    size_t stop = scan_below(data, from, reader->end, ' ');
    size_t colon = scan_name(data, from, reader->end);
    if (colon == from || colon == reader->end || data[colon] != ':') {
        return false;
    }
    enum header header = http1_name_header(data + from, colon - from, reader->role);
    if (header != HEADER_OTHER) {
        return read_value(reader, header, colon + 1, stop);
    }
    size_t after = pass_rest(reader, stop);
    reader->at = after != NONE ? after : from;
    return after != NONE;
}

bool http1_line_headers(struct reader *reader)
{
    size_t from = reader->at;
    while (reader->at < reader->end && read_header(reader)) {
    }
    return reader->at != from;
}
