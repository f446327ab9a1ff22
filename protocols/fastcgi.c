/* SPDX-License-Identifier: Apache-2.0 */
/*
 * FastCGI 1.0 (the specification of Open Market, 1996; sections are cited): web servers to php-fpm
 * and its like. Requests may be multiplexed: each has its id, its variables and its answer.
 *
 * Context is inserted inside the header of the empty PARAMS record that ends the variables, once it
 * is known to be that: what went before the splice becomes our record's header, and ours ends with
 * the same five bytes again. Every pair is whole in its record, as PHP needs it.
 *
 * What is lost, though it might be FastCGI: more than REQUESTS_OPEN_MAX requests at once; a value
 * that is told, cut by its record's end, before another request's; an answer before its request's
 * variables have ended.
 */
#include <string.h>

#include "cgi.h"
#include "fastcgi.h"

enum { REQUESTS_OPEN_MAX = 8, END_BYTES = 8, NO_REQUEST = REQUESTS_OPEN_MAX };

enum role { REQUESTS, ANSWERS };

static const uint16_t types_of[] = {
    [REQUESTS] = 1 << TYPE_BEGIN | 1 << TYPE_ABORT | 1 << TYPE_PARAMS | 1 << TYPE_STDIN |
                 1 << TYPE_DATA | 1 << TYPE_GET_VALUES,
    [ANSWERS] = 1 << TYPE_END | 1 << TYPE_STDOUT | 1 << TYPE_STDERR | 1 << TYPE_GET_VALUES_RESULT |
                1 << TYPE_UNKNOWN,
};

enum stage { STAGE_NAME_LENGTH, STAGE_VALUE_LENGTH, STAGE_NAME, STAGE_VALUE };

struct request {
    uint32_t serial;
    struct cgi_pair pair;
    struct cgi_head head;
    uint16_t id;
    uint8_t stage;
    uint8_t length_bytes; /* of the length being read that are still to come */
    bool is_open;
    bool is_requested; /* its variables are complete */
    bool is_received;
    bool is_answered; /* a byte of STDOUT has been seen */
};

/* The record being read in one direction. */
struct record {
    uint16_t left; /* content to come */
    uint16_t id;
    uint8_t header; /* bytes of it read */
    uint8_t type;
    uint8_t padding; /* to come */
    uint8_t request; /* NO_REQUEST: of none that is open */
    bool is_spliced;
    bool is_over; /* nothing more comes in this direction */
};

struct fastcgi {
    struct record records[2]; /* by role */
    struct request requests[REQUESTS_OPEN_MAX];
    uint32_t next;
    uint8_t direction; /* enum direction of the requests */
    uint8_t telling;   /* the request of which a value is half told, or NO_REQUEST */
    bool lost;
};

_Static_assert(sizeof(struct fastcgi) <= STATE_BYTES_MAX, "connections hold one each");

struct reader {
    struct fastcgi *fastcgi;
    struct record *record;
    struct sink *sink;
    const uint8_t *data;
    size_t at;
    size_t end;
    enum role role;
};

enum step { STEP_ON, STEP_PAUSE, STEP_LOST };

static void start(void *state, enum direction requests)
{
    memset(state, 0, sizeof(struct fastcgi));
    ((struct fastcgi *)state)->direction = (uint8_t)requests;
    ((struct fastcgi *)state)->telling = NO_REQUEST;
}

static void tell(struct reader *reader, const struct request *request, enum event_kind kind)
{
    struct event event = {.kind = kind, .exchange = request->serial, .offset = reader->at};
    reader->sink->event(reader->sink, &event);
}

static struct request *request_of(struct reader *reader)
{
    uint8_t index = reader->record->request;
    return index == NO_REQUEST ? NULL : &reader->fastcgi->requests[index];
}

static uint8_t find(const struct fastcgi *fastcgi, uint16_t id)
{
    uint8_t i = 0;
    while (
        i < REQUESTS_OPEN_MAX && !(fastcgi->requests[i].is_open && fastcgi->requests[i].id == id))
        i++;
    return i;
}

static void forget(struct reader *reader, struct request *request)
{
    struct fastcgi *fastcgi = reader->fastcgi;
    uint8_t index = (uint8_t)(request - fastcgi->requests);
    if (fastcgi->telling == index)
        fastcgi->telling = NO_REQUEST;
    for (int role = REQUESTS; role <= ANSWERS; role++)
        if (fastcgi->records[role].request == index)
            fastcgi->records[role].request = NO_REQUEST; /* of the rest nothing is asked */
    request->is_open = false;
}

/* What has not become a request is none. */
static void end(struct reader *reader, struct request *request)
{
    enum end_reason reason =
        request->head.is_complete && reader->record->type == TYPE_END && !reader->record->is_over
            ? END_COMPLETE
        : request->is_answered ? END_TRUNCATED
                               : END_UNANSWERED;
    struct event event = {.kind = request->is_requested ? EVENT_END : EVENT_VOID,
        .exchange = request->serial,
        .reason = reason};
    forget(reader, request);
    reader->sink->event(reader->sink, &event);
}

/* 5.1 */
static enum step begin_request(struct reader *reader)
{
    struct fastcgi *fastcgi = reader->fastcgi;
    struct record *record = reader->record;
    uint8_t free = NO_REQUEST;
    for (int i = 0; i < REQUESTS_OPEN_MAX; i++) {
        const struct request *other = &fastcgi->requests[i];
        if (!other->is_open)
            free = (uint8_t)i;
        else if (other->id == record->id || fastcgi->next - other->serial >= EXCHANGES_OPEN_MAX)
            return STEP_LOST;
    }
    if (free == NO_REQUEST || record->id == 0 || record->left != BEGIN_BYTES)
        return STEP_LOST;
    fastcgi->requests[free] =
        (struct request){.serial = fastcgi->next++, .id = record->id, .is_open = true};
    record->request = free;
    tell(reader, &fastcgi->requests[free], EVENT_BEGIN);
    return STEP_ON;
}

static bool is_between_pairs(const struct request *request)
{
    return request->stage == STAGE_NAME_LENGTH && request->length_bytes == 0;
}

static enum step end_params(struct reader *reader, struct request *request)
{
    if (!is_between_pairs(request))
        return STEP_LOST;
    request->is_requested = true;
    tell(reader, request, EVENT_REQUEST);
    return STEP_ON;
}

/* The header is complete. 3.3: a stream of a request ends with an empty record. */
static enum step begin_record(struct reader *reader)
{
    struct record *record = reader->record;
    record->request = find(reader->fastcgi, record->id);
    struct request *request = request_of(reader);
    if (record->type == TYPE_BEGIN)
        return begin_request(reader);
    if (record->type == TYPE_END && record->left != END_BYTES)
        return STEP_LOST;
    if (request == NULL) /* 3.3: of a request that is over already */
        return reader->role == REQUESTS || record->id == 0 ? STEP_ON : STEP_LOST;
    if (record->type == TYPE_PARAMS && request->is_requested)
        return STEP_LOST;
    if (record->type == TYPE_PARAMS && record->left == 0)
        return end_params(reader, request);
    if (record->type == TYPE_STDIN && record->left == 0 && !request->is_received) {
        request->is_received = true;
        tell(reader, request, EVENT_RECEIVED);
    }
    if (record->type == TYPE_STDOUT && !request->is_requested)
        return STEP_LOST;
    return STEP_ON;
}

/* Is the byte to be read that which makes this the end of the variables? */
static bool is_splice(struct reader *reader, uint8_t byte)
{
    const struct record *record = reader->record;
    if (record->header != SPLICE_AT || record->type != TYPE_PARAMS || record->left != 0 ||
        byte != 0 || record->is_spliced)
        return false;
    uint8_t index = find(reader->fastcgi, record->id);
    const struct request *request = &reader->fastcgi->requests[index % REQUESTS_OPEN_MAX];
    return index != NO_REQUEST && !request->is_requested && is_between_pairs(request);
}

static bool splice(struct reader *reader)
{
    const struct record *record = reader->record;
    uint8_t index = find(reader->fastcgi, record->id);
    struct event event = {.kind = EVENT_SPLICE,
        .exchange = reader->fastcgi->requests[index].serial,
        .offset = reader->at,
        .key = record->id};
    reader->record->is_spliced = true;
    return reader->sink->event(reader->sink, &event);
}

static bool take_header_byte(struct reader *reader, uint8_t byte)
{
    struct record *record = reader->record;
    switch (record->header++) {
    case 0:
        *record = (struct record){.header = 1, .request = NO_REQUEST};
        return byte == 1;
    case 1:
        record->type = byte;
        return byte <= TYPE_UNKNOWN && (types_of[reader->role] & 1 << byte) != 0;
    case 2:
    case 3:
        record->id = (uint16_t)(record->id << 8 | byte);
        return true;
    case 4:
    case 5:
        record->left = (uint16_t)(record->left << 8 | byte);
        return true;
    case 6:
        record->padding = byte;
        return true;
    default:
        return true; /* reserved */
    }
}

static enum step read_header(struct reader *reader)
{
    uint8_t byte = reader->data[reader->at];
    if (is_splice(reader, byte) && !splice(reader))
        return STEP_PAUSE;
    if (!take_header_byte(reader, byte))
        return STEP_LOST;
    if (reader->record->header < HEADER_BYTES) {
        reader->at++;
        return STEP_ON;
    }
    enum step step = begin_record(reader);
    reader->at++;
    return step;
}

/* 3.4: a length below 128 is one byte, others are four, the highest bit set. */
static bool read_length(struct request *request, uint32_t *length, uint8_t byte)
{
    if (request->length_bytes > 0)
        *length = *length << 8 | byte;
    else
        *length = byte & 0x7f;
    request->length_bytes =
        request->length_bytes > 0 ? request->length_bytes - 1 : (byte & 0x80 ? 3 : 0);
    return request->length_bytes == 0;
}

static bool tell_value(struct reader *reader, struct request *request, size_t length, bool first)
{
    struct fastcgi *fastcgi = reader->fastcgi;
    uint8_t index = reader->record->request;
    if (request->pair.field >= FIELD_COUNT)
        return true;
    if (fastcgi->telling != NO_REQUEST && fastcgi->telling != index)
        return false;
    bool last = length == request->pair.left;
    struct event event = {.kind = EVENT_TEXT,
        .field = request->pair.field,
        .first = first,
        .last = last,
        .exchange = request->serial,
        .offset = reader->at,
        .text = reader->data + reader->at,
        .length = length};
    fastcgi->telling = last ? NO_REQUEST : index;
    if (first && context_is_named(event.field)) {
        cgi_tell_name(&request->pair, event, reader->sink);
        event.first = false;
    }
    reader->sink->event(reader->sink, &event);
    return true;
}

/* The name is known, and so is what its value is for. */
static enum step begin_value(struct reader *reader, struct request *request)
{
    bool is_empty = request->pair.left == 0;
    request->stage = is_empty ? STAGE_NAME_LENGTH : STAGE_VALUE;
    return !is_empty || tell_value(reader, request, 0, true) ? STEP_ON : STEP_LOST;
}

static enum step read_value(struct reader *reader, struct request *request, size_t length)
{
    struct cgi_pair *pair = &request->pair;
    if (!tell_value(reader, request, length, pair->left == pair->value))
        return STEP_LOST;
    reader->at += length;
    pair->left -= (uint32_t)length;
    if (pair->left == 0)
        request->stage = STAGE_NAME_LENGTH;
    return STEP_ON;
}

/* A step over at most `length` bytes of pairs. */
static enum step read_pair(struct reader *reader, struct request *request, size_t length)
{
    struct cgi_pair *pair = &request->pair;
    const uint8_t *data = reader->data + reader->at;
    length = length < pair->left ? length : pair->left;
    switch ((enum stage)request->stage) {
    case STAGE_NAME_LENGTH:
        reader->at++;
        if (read_length(request, &pair->left, *data))
            request->stage = STAGE_VALUE_LENGTH;
        return STEP_ON;
    case STAGE_VALUE_LENGTH:
        reader->at++;
        if (!read_length(request, &pair->value, *data))
            return STEP_ON;
        request->stage = STAGE_NAME;
        return cgi_name_begin(pair) ? begin_value(reader, request) : STEP_ON;
    case STAGE_NAME:
        reader->at += length;
        return cgi_name_read(pair, data, length) ? begin_value(reader, request) : STEP_ON;
    default:
        return read_value(reader, request, length);
    }
}

static enum step read_params(struct reader *reader, struct request *request, size_t to)
{
    enum step step = STEP_ON;
    while (reader->at < to && step == STEP_ON)
        step = read_pair(reader, request, to - reader->at);
    return step;
}

static void read_answer(struct reader *reader, struct request *request, size_t to)
{
    if (!request->is_answered)
        tell(reader, request, EVENT_RESPONSE);
    request->is_answered = true;
    bool was_complete = request->head.is_complete;
    cgi_head_read(&request->head, reader->data + reader->at, to - reader->at);
    if (request->head.is_complete && !was_complete) {
        struct event event = {.kind = EVENT_NUMBER,
            .field = FIELD_STATUS,
            .exchange = request->serial,
            .number = cgi_head_status(&request->head)};
        reader->sink->event(reader->sink, &event);
    }
}

/* 5.1: the role's high byte, the role; 5.5: what END_REQUEST says is not asked for. */
static enum step read_begin(struct reader *reader, size_t to)
{
    size_t at = reader->at;
    for (unsigned i = BEGIN_BYTES - reader->record->left; i < 2 && at < to; i++, at++)
        if (i == 0 ? reader->data[at] != 0 : reader->data[at] < 1 || reader->data[at] > 3)
            return STEP_LOST;
    return STEP_ON;
}

static enum step read_content(struct reader *reader, size_t to)
{
    struct record *record = reader->record;
    struct request *request = request_of(reader);
    size_t from = reader->at;
    enum step step = STEP_ON;
    if (record->type == TYPE_BEGIN)
        step = read_begin(reader, to);
    else if (record->type == TYPE_PARAMS && request != NULL)
        step = read_params(reader, request, to);
    else if (record->type == TYPE_STDOUT && request != NULL)
        read_answer(reader, request, to);
    if (step == STEP_LOST)
        return step;
    reader->at = to;
    record->left -= (uint16_t)(to - from);
    if (record->left == 0 && record->type == TYPE_END && request != NULL)
        end(reader, request);
    return STEP_ON;
}

static void end_record(struct record *record)
{
    if (record->header == HEADER_BYTES && record->left == 0 && record->padding == 0)
        record->header = 0;
}

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

static enum step read_on(struct reader *reader)
{
    struct record *record = reader->record;
    size_t there = reader->end - reader->at;
    enum step step = STEP_ON;
    if (record->header < HEADER_BYTES)
        step = read_header(reader);
    else if (record->left > 0)
        step = read_content(reader, reader->at + smaller(there, record->left));
    else {
        size_t padding = smaller(there, record->padding);
        reader->at += padding;
        record->padding -= (uint8_t)padding;
    }
    end_record(record);
    return step;
}

static struct reader reader_of(struct fastcgi *fastcgi, enum direction direction,
    const uint8_t *data, size_t length, struct sink *sink)
{
    enum role role = direction == (enum direction)fastcgi->direction ? REQUESTS : ANSWERS;
    return (struct reader){.fastcgi = fastcgi,
        .record = &fastcgi->records[role],
        .sink = sink,
        .data = data,
        .end = length,
        .role = role};
}

static size_t feed(
    void *state, enum direction direction, const uint8_t *data, size_t length, struct sink *sink)
{
    struct fastcgi *fastcgi = state;
    struct reader reader = reader_of(fastcgi, direction, data, length, sink);
    enum step step = fastcgi->lost || reader.record->is_over ? STEP_LOST : STEP_ON;
    while (step == STEP_ON && reader.at < length)
        step = read_on(&reader);
    fastcgi->lost |= step == STEP_LOST;
    return step == STEP_LOST ? FEED_LOST : reader.at;
}

/* Only what is not read may pass unseen, inside one record. */
static bool skip(void *state, enum direction direction, uint64_t length, struct sink *sink)
{
    struct fastcgi *fastcgi = state;
    struct reader reader = reader_of(fastcgi, direction, NULL, 0, sink);
    struct record *record = reader.record;
    const struct request *request = request_of(&reader);
    bool is_body = record->type == TYPE_STDIN || record->type == TYPE_DATA ||
                   record->type == TYPE_STDERR ||
                   (record->type == TYPE_STDOUT && request != NULL && request->head.is_complete);
    if (length == 0 && !fastcgi->lost)
        return true;
    fastcgi->lost |=
        record->is_over || !is_body || record->header < HEADER_BYTES || length > record->left;
    if (fastcgi->lost)
        return false;
    record->left -= (uint16_t)length;
    end_record(record);
    return true;
}

/* Of a client that says no more, what is no request yet will never be one. */
static void finish(void *state, enum direction direction, struct sink *sink)
{
    struct fastcgi *fastcgi = state;
    struct reader reader = reader_of(fastcgi, direction, NULL, 0, sink);
    if (fastcgi->lost)
        return;
    reader.record->is_over = true;
    for (unsigned i = 0; i < REQUESTS_OPEN_MAX; i++) {
        struct request *request = &fastcgi->requests[i];
        if (request->is_open && (reader.role == ANSWERS || !request->is_requested))
            end(&reader, request);
    }
}

const struct protocol fastcgi_protocol = {
    .name = "fastcgi",
    .state_bytes = sizeof(struct fastcgi),
    .edits = EDITS_ALWAYS,
    .probe = fastcgi_probe,
    .start = start,
    .feed = feed,
    .skip = skip,
    .finish = finish,
    .insert = fastcgi_insert,
    .describe = cgi_describe,
};
