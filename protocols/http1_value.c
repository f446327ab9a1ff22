/* SPDX-License-Identifier: Apache-2.0 */
/* The header values that the parser itself needs, byte by byte: they are short and rare. */
#include "http1.h"

#include <string.h>

enum { NO_MATCH = UINT8_MAX };

/* What has been read of one number of a Content-Length. */
enum number_progress { NUMBER_NONE, NUMBER_DIGITS, NUMBER_DONE };

static bool end_number(struct stream *stream)
{
    bool is_same = !stream->has_length || stream->length == stream->left;
    bool is_number = stream->matched != NUMBER_NONE;
    stream->has_length = true;
    stream->length = stream->left;
    stream->left = 0;
    stream->matched = NUMBER_NONE;
    return is_number && is_same;
}

/* RFC 9110, 8.6: digits; a list of identical numbers is what intermediaries made of repeats. */
static bool read_length(struct stream *stream, uint8_t byte)
{
    if (byte == ',') {
        return end_number(stream);
    }
    if (byte == ' ') {
        stream->matched = stream->matched == NUMBER_NONE ? NUMBER_NONE : NUMBER_DONE;
        return true;
    }
    bool fits = stream->left <= (UINT64_MAX - 9) / 10;
    if (byte < '0' || byte > '9' || !fits || stream->matched == NUMBER_DONE) {
        return false;
    }
    stream->left = stream->left * 10 + (byte - '0');
    stream->matched = NUMBER_DIGITS;
    return true;
}

static void match(struct stream *stream, uint8_t byte, const char *literal, uint8_t length)
{
    bool is_next = stream->matched < length && (byte | 0x20) == literal[stream->matched];
    stream->matched = is_next ? stream->matched + 1 : NO_MATCH;
}

static const char chunked[] = "chunked";
static const char proceed[] = "100-continue";
enum { CHUNKED_LENGTH = sizeof chunked - 1, PROCEED_LENGTH = sizeof proceed - 1 };

static void end_coding(struct stream *stream)
{
    if (stream->matched == 0) {
        return;
    }
    stream->is_miscoded |= stream->is_chunked;
    stream->is_chunked = stream->matched == CHUNKED_LENGTH;
    stream->has_coding = true;
    stream->matched = 0;
}

/* RFC 9112, 6.1: only whether the last coding is chunked, and no other is, matters here. */
static void read_coding(struct stream *stream, uint8_t byte)
{
    if (byte == ',') {
        end_coding(stream);
        return;
    }
    if (byte != ' ') {
        match(stream, byte, chunked, CHUNKED_LENGTH);
        return;
    }
    if (stream->matched > 0 && stream->matched < CHUNKED_LENGTH) {
        stream->matched = NO_MATCH;
    }
}

static bool read_byte(struct stream *stream, uint8_t byte)
{
    switch (stream->header) {
    case HEADER_CONTENT_LENGTH:
        return read_length(stream, byte);
    case HEADER_TRANSFER_ENCODING:
        read_coding(stream, byte);
        return true;
    default:
        match(stream, byte, proceed, PROCEED_LENGTH);
        return true;
    }
}

bool http1_value_read(struct reader *reader, const uint8_t *text, size_t length)
{
    struct stream *stream = reader->stream;
    if (stream->header >= HEADER_CONTENT_TYPE) {
        http1_cloud_value(reader, text, length);
        return true;
    }
    if (stream->held > 0 && !read_byte(stream, ' ')) {
        return false;
    }
    for (size_t i = 0; i < length; i++) {
        if (!read_byte(stream, text[i])) {
            return false;
        }
    }
    return true;
}

bool http1_value_end(struct reader *reader)
{
    struct stream *stream = reader->stream;
    switch (stream->header) {
    case HEADER_CONTENT_LENGTH:
        return end_number(stream);
    case HEADER_TRANSFER_ENCODING:
        end_coding(stream);
        return true;
    case HEADER_EXPECT:
        stream->awaits_continue |= stream->matched == PROCEED_LENGTH;
        return true;
    default:
        http1_cloud_value_end(reader);
        return true;
    }
}
