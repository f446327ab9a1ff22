/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP/1.0 and HTTP/1.1 (RFC 9112): recognition, the walk over both streams, pairing.
 *
 * What is lost, though it might be HTTP: a second protocol's bytes sent before the CONNECT or
 * Upgrade that asks for it is granted; an answer to a request whose head is still incomplete; a
 * counted body that starts with a capital letter after its Expect was answered with a final status
 * (it may as well be the next request: RFC 9110, 10.1.1).
 */
#include "context_names.h"
#include "http1_elastic.h"

#include <string.h>

/* Never inlined: an event would lie on the host's stack below every step. */
__attribute__((noinline)) bool http1_tell(
    struct reader *reader, enum event_kind kind, uint32_t exchange)
{
    struct event event = {.kind = kind, .exchange = exchange, .offset = reader->at};
    return reader->sink->event(reader->sink, &event);
}

void http1_tell_number(struct reader *reader, uint32_t exchange, enum field field, int64_t number)
{
    struct event event = {
        .kind = EVENT_NUMBER, .exchange = exchange, .field = field, .number = number};
    reader->sink->event(reader->sink, &event);
}

void http1_tell_status(struct reader *reader)
{
    uint16_t status = reader->stream->status;
    if (status >= 200 || status == 101) {
        http1_tell_number(reader, http1_serial(reader), FIELD_STATUS, status);
    }
}

void http1_tell_piece(
    struct reader *reader, enum field field, size_t from, size_t to, bool first, bool last)
{
    struct event event = {.kind = EVENT_TEXT,
        .field = field,
        .first = first,
        .last = last,
        .exchange = http1_serial(reader),
        .offset = from,
        .text = reader->data + from,
        .length = to - from};
    reader->sink->event(reader->sink, &event);
}

enum field http1_tell_context(
    struct reader *reader, enum header header, const uint8_t *name, size_t length, size_t offset)
{
    enum field field = header == HEADER_CONTEXT ? FIELD_CONTEXT : FIELD_CARRIED;
    struct event event = {
        .kind = EVENT_TEXT, .field = field, .exchange = http1_serial(reader), .offset = offset};
    context_tell_name(reader->sink, event, name, length);
    return field;
}

void http1_end_oldest(struct reader *reader, enum end_reason reason)
{
    struct event event = {.kind = EVENT_END, .exchange = reader->http->oldest++, .reason = reason};
    reader->sink->event(reader->sink, &event);
}

static bool is_upper(uint8_t byte)
{
    return byte >= 'A' && byte <= 'Z';
}

/* As much of `literal` as is there, in any case of letters. */
static bool begins(const uint8_t *text, size_t length, const char *literal, size_t literal_length)
{
    for (size_t i = 0; i < length && i < literal_length; i++) {
        if ((text[i] | 0x20) != literal[i]) {
            return false;
        }
    }
    return true;
}

/*
 * RFC 9112, 3.2. Stricter than a grammar of URIs, because text protocols that are not HTTP also
 * send a word in capitals and an argument: `*` belongs to OPTIONS alone, and a letter begins an
 * authority after CONNECT but otherwise an absolute-form of scheme http or https.
 */
static enum verdict probe_target(
    const uint8_t *method, size_t method_length, const uint8_t *target, size_t length)
{
    if (method_length == 3 && memcmp(method, "PRI", 3) == 0) {
        return VERDICT_NO; /* HTTP/2's preface, RFC 9113, 3.4 */
    }
    if (length == 0) {
        return VERDICT_MORE;
    }
    if (method_length == 7 && memcmp(method, "CONNECT", 7) == 0) {
        bool is_name = (target[0] | 0x20) >= 'a' && (target[0] | 0x20) <= 'z';
        bool is_digit = target[0] >= '0' && target[0] <= '9';
        return is_name || is_digit || target[0] == '[' ? VERDICT_YES : VERDICT_NO;
    }
    if (target[0] == '/') {
        return VERDICT_YES;
    }
    if (target[0] == '*') {
        bool is_options = method_length == 7 && memcmp(method, "OPTIONS", 7) == 0;
        return is_options ? VERDICT_YES : VERDICT_NO;
    }
    if (!begins(target, length, "http", 4)) {
        return VERDICT_NO;
    }
    return length < 4 ? VERDICT_MORE : VERDICT_YES;
}

/* Can these be the first bytes of a client? */
static enum verdict probe_request(const uint8_t *bytes, size_t length)
{
    size_t at = 0;
    while (at < length && (bytes[at] == '\n' || bytes[at] == '\r')) { /* RFC 9112, 2.2 */
        if (bytes[at] == '\r' && at + 1 < length && bytes[at + 1] != '\n') {
            return VERDICT_NO;
        }
        at++;
    }
    if (at < length && !is_upper(bytes[at])) {
        return VERDICT_NO;
    }
    size_t method = at;
    while (at < length && http1_is_method_byte(bytes[at])) {
        at++;
    }
    size_t method_length = at - method;
    if (method_length > METHOD_BYTES_MAX) {
        return VERDICT_NO;
    }
    if (at == length) {
        return VERDICT_MORE;
    }
    if (bytes[at] != ' ' || method_length < METHOD_BYTES_MIN) {
        return VERDICT_NO;
    }
    at++;
    return probe_target(bytes + method, method_length, bytes + at, length - at);
}

static enum verdict probe_direction(const struct prefix *prefix)
{
    enum verdict verdict = probe_request(prefix->bytes, prefix->length);
    if (verdict == VERDICT_MORE && prefix->length >= PREFIX_BYTES_MAX) {
        return VERDICT_NO;
    }
    return verdict;
}

/* The client speaks first: whatever else was said first was not HTTP. */
static enum verdict probe(const struct prefix prefixes[2], enum direction *requests)
{
    enum direction from = prefixes[DIRECTION_IN].length > 0 ? DIRECTION_IN : DIRECTION_OUT;
    if (prefixes[direction_other(from)].length > 0) {
        return VERDICT_NO;
    }
    enum verdict verdict = probe_direction(&prefixes[from]);
    if (verdict == VERDICT_YES) {
        *requests = from;
    }
    return verdict;
}

static void start(void *state, enum direction requests)
{
    memset(state, 0, sizeof(struct http1));
    ((struct http1 *)state)->requests = (uint8_t)requests;
}

static void begin_message(struct stream *stream, enum stage stage)
{
    *stream = (struct stream){.stage = (uint8_t)stage, .budget = HEAD_BYTES_MAX};
}

static enum step begin_request(struct reader *reader)
{
    struct http1 *http = reader->http;
    if (!is_upper(reader->data[reader->at]) || http1_open_count(http) >= EXCHANGES_OPEN_MAX) {
        return STEP_LOST;
    }
    begin_message(reader->stream, STAGE_METHOD);
    http->reading_head = true;
    http1_tell(reader, EVENT_BEGIN, http->next++);
    return http1_head_read(reader);
}

static enum step begin_response(struct reader *reader)
{
    struct http1 *http = reader->http;
    uint32_t answerable = http1_open_count(http) - http->reading_head;
    if (answerable == 0 || reader->data[reader->at] != 'H') {
        return STEP_LOST;
    }
    begin_message(reader->stream, STAGE_PROTOCOL);
    http1_tell(reader, EVENT_RESPONSE, http->oldest);
    return http1_head_read(reader);
}

/* A CONNECT is open: the client's next bytes are for the tunnel, should there be one. */
static bool awaits_tunnel(const struct http1 *http)
{
    return http1_open_count(http) > 0 &&
           (http->connect_requests & http1_queue_bit(http->next - 1)) != 0;
}

/* RFC 9112, 2.2: empty lines before a request are to be ignored; before an answer they harm none.
 */
static enum step read_between(struct reader *reader)
{
    uint8_t byte = reader->data[reader->at];
    if (reader->stream->stage == STAGE_BETWEEN_LF) {
        reader->stream->stage = STAGE_BETWEEN;
        reader->at++;
        return byte == '\n' ? STEP_ON : STEP_LOST;
    }
    if (reader->role == REQUESTS && awaits_tunnel(reader->http)) {
        return STEP_LOST;
    }
    if (byte == '\r' || byte == '\n') {
        reader->stream->stage = byte == '\r' ? STAGE_BETWEEN_LF : STAGE_BETWEEN;
        reader->at++;
        return STEP_ON;
    }
    return reader->role == REQUESTS ? begin_request(reader) : begin_response(reader);
}

/* Gives up, and takes back the exchange whose message was being read. */
static void lose(struct reader *reader)
{
    struct http1 *http = reader->http;
    bool is_request = reader->role == REQUESTS;
    bool is_half_read = !is_request || reader->stream->stage >= STAGE_HEAD_FIRST;
    uint32_t serial = is_request ? http->next - 1 : http->oldest;
    bool is_open = serial - http->oldest < http1_open_count(http);
    http->lost = true;
    if (is_half_read && is_open) {
        http1_tell(reader, EVENT_VOID, serial);
    }
}

static struct reader reader_of(
    struct http1 *http, enum direction direction, const uint8_t *data, struct sink *sink)
{
    enum role role = direction == (enum direction)http->requests ? REQUESTS : RESPONSES;
    return (struct reader){
        .http = http, .stream = &http->streams[role], .sink = sink, .data = data, .role = role};
}

static enum step read_on(struct reader *reader)
{
    if (reader->stream->stage >= STAGE_BODY_FIRST) {
        return http1_body_read(reader);
    }
    if (reader->stream->stage >= STAGE_HEAD_FIRST) {
        return http1_head_read(reader);
    }
    return read_between(reader);
}

static size_t feed(
    void *state, enum direction direction, const uint8_t *data, size_t length, struct sink *sink)
{
    struct http1 *http = state;
    struct reader reader = reader_of(http, direction, data, sink);
    http->lost |= http->over[reader.role];
    enum step step = http->lost ? STEP_LOST : STEP_ON;
    while (step == STEP_ON && reader.at < length) {
        if (http->switched && reader.stream->stage == STAGE_BETWEEN) {
            return reader.at;
        }
        reader.end = length;
        step = read_on(&reader);
    }
    if (step != STEP_LOST) {
        return reader.at;
    }
    if (!http->lost) {
        lose(&reader);
    }
    return FEED_LOST;
}

/* Only bodies may pass unseen, and of a chunked one only what stays inside a chunk. */
static bool skip_body(struct reader *reader, uint64_t length)
{
    struct stream *stream = reader->stream;
    http1_body_unwatch(stream);
    http1_cloud_cut(reader);
    if (stream->stage == STAGE_UNTIL_CLOSE) {
        return true;
    }
    bool is_counted = stream->stage == STAGE_COUNTED;
    if ((!is_counted && stream->stage != STAGE_CHUNK_DATA) || length > stream->left) {
        return false;
    }
    stream->left -= length;
    stream->is_doubtful = false;
    if (stream->left > 0) {
        return true;
    }
    if (is_counted) {
        http1_body_complete(reader);
        return true;
    }
    stream->stage = STAGE_CHUNK_DATA_END;
    return true;
}

static bool skip(void *state, enum direction direction, uint64_t length, struct sink *sink)
{
    struct http1 *http = state;
    struct reader reader = reader_of(http, direction, NULL, sink);
    http->lost |= http->over[reader.role];
    if (http->lost) {
        return false;
    }
    if (length == 0 || skip_body(&reader, length)) {
        return true;
    }
    lose(&reader);
    return false;
}

/* A head that will never be complete was no request. Its serial number is not given again, since
 * nothing more is read of requests. */
static void drop_half_read(struct reader *reader)
{
    struct http1 *http = reader->http;
    if (http->reading_head) {
        http->reading_head = false;
        http->over[REQUESTS] = true;
        http1_tell(reader, EVENT_VOID, --http->next);
    }
}

static void end_all(struct reader *reader)
{
    struct stream *answer = &reader->http->streams[RESPONSES];
    drop_half_read(reader);
    http1_cloud_stop(&reader->http->cloud);
    http1_body_unwatch(answer);
    if (answer->stage >= STAGE_HEAD_FIRST) {
        bool is_whole = answer->stage == STAGE_UNTIL_CLOSE; /* RFC 9112, 6.3, 8. */
        answer->stage = STAGE_BETWEEN;
        http1_end_oldest(reader, is_whole ? END_COMPLETE : END_TRUNCATED);
    }
    while (http1_open_count(reader->http) > 0) {
        http1_end_oldest(reader, END_UNANSWERED);
    }
}

/* A client that shuts its direction down may still get its answers; a request after the end of
 * the answers ends when its direction does. */
static void finish(void *state, enum direction direction, struct sink *sink)
{
    struct http1 *http = state;
    struct reader reader = reader_of(http, direction, NULL, sink);
    if (http->lost) {
        return;
    }
    http->over[reader.role] = true;
    if (http->over[RESPONSES]) {
        end_all(&reader);
        return;
    }
    drop_half_read(&reader);
}

const struct protocol http1_protocol = {
    .name = "http1",
    .state_bytes = sizeof(struct http1),
    .edits = EDITS_ALWAYS,
    .edits_answers = true,
    .only_answers = true,
    .probe = probe,
    .start = start,
    .feed = feed,
    .skip = skip,
    .wants = http1_elastic_wants,
    .finish = finish,
    .rewrite = http1_publish,
    .describe = http1_describe,
};
