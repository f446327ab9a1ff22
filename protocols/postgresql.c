/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PostgreSQL, version 3 of its protocol: recognition, and the walk over messages. The client
 * begins; it may first ask for encryption, and if that is refused, it goes on in plain text.
 */
#include "postgresql.h"

#include <string.h>

#include "database.h"
#include "sql_comment.h"

/* Never inlined: an event would lie on the host's stack below every step. */
__attribute__((noinline)) void pg_tell(struct pg_reader *reader, struct event event)
{
    reader->sink->event(reader->sink, &event);
}

/* --- recognition --------------------------------------------------------------------------- */

/* As many as are there of the bytes that the number has. */
static bool begins(const uint8_t *bytes, size_t length, uint32_t number)
{
    for (size_t i = 0; i < length && i < sizeof(number); i++) {
        if (bytes[i] != (uint8_t)(number >> (24 - 8 * i))) {
            return false;
        }
    }
    return true;
}

static bool is_key_byte(uint8_t byte)
{
    return (byte >= 'a' && byte <= 'z') || byte == '_';
}

/* A length, a version, and the name of a parameter, of which the shortest is "user". */
static enum verdict probe_startup(const uint8_t *bytes, size_t length)
{
    if (!begins(bytes, length < 2 ? length : 2, 0)) {
        return VERDICT_NO;
    }
    if (length >= 4 && pg_number_at(bytes) > PG_STARTUP_BYTES_MAX) {
        return VERDICT_NO;
    }
    if (length > 4 && !begins(bytes + 4, length - 4 < 2 ? length - 4 : 2, PG_CODE_VERSION)) {
        return VERDICT_NO;
    }
    for (size_t i = PG_REQUEST_BYTES; i < length && i < PG_STARTUP_BYTES_MIN; i++) {
        if (!is_key_byte(bytes[i])) {
            return VERDICT_NO;
        }
    }
    return length < PG_STARTUP_BYTES_MIN ? VERDICT_MORE : VERDICT_YES;
}

static bool is_request(const uint8_t *bytes, size_t length)
{
    return length >= PG_REQUEST_BYTES && pg_number_at(bytes) == PG_REQUEST_BYTES &&
           (pg_number_at(bytes + 4) == PG_CODE_SSL || pg_number_at(bytes + 4) == PG_CODE_GSS);
}

/* What follows is encrypted: a library's session takes the connection over as it is, or nobody. */
static bool is_granted(uint8_t answer)
{
    return answer == 'S' || answer == 'G';
}

/* Too few bytes to tell a request from a startup packet. */
static bool may_be_request(const uint8_t *bytes, size_t length)
{
    size_t code = length > 4 ? length - 4 : 0;
    return length < PG_REQUEST_BYTES && begins(bytes, length, PG_REQUEST_BYTES) &&
           (begins(bytes + 4, code, PG_CODE_SSL) || begins(bytes + 4, code, PG_CODE_GSS));
}

static enum verdict probe(const struct prefix prefixes[2], enum direction *requests)
{
    bool is_out = prefixes[DIRECTION_OUT].length > 0 && prefixes[DIRECTION_OUT].bytes[0] == 0;
    enum direction from = is_out ? DIRECTION_OUT : DIRECTION_IN;
    const struct prefix *sent = &prefixes[from], *answers = &prefixes[direction_other(from)];
    size_t at = 0, refused = 0;
    while (is_request(sent->bytes + at, sent->length - at)) {
        if (refused == answers->length) {
            return sent->length > at + PG_REQUEST_BYTES ? VERDICT_NO : VERDICT_MORE;
        }
        uint8_t answer = answers->bytes[refused++];
        at += PG_REQUEST_BYTES;
        if (is_granted(answer) && sent->length == at && answers->length == refused) {
            return VERDICT_MORE;
        }
        if (answer != 'N' || refused > PG_REQUESTS_MAX) {
            return VERDICT_NO;
        }
    }
    if (answers->length > refused) {
        return VERDICT_NO; /* the server does not speak first */
    }
    if (may_be_request(sent->bytes + at, sent->length - at)) {
        return VERDICT_MORE;
    }
    *requests = from;
    return probe_startup(sent->bytes + at, sent->length - at);
}

/* --- the walk ------------------------------------------------------------------------------ */

static void start(void *state, enum direction requests)
{
    memset(state, 0, sizeof(struct pg));
    ((struct pg *)state)->requests = (uint8_t)requests;
}

static struct pg_reader reader_of(
    struct pg *pg, enum direction direction, const uint8_t *data, struct sink *sink)
{
    enum pg_role role = direction == (enum direction)pg->requests ? PG_REQUESTS : PG_ANSWERS;
    return (struct pg_reader){
        .pg = pg, .stream = &pg->streams[role], .sink = sink, .data = data, .head = SIZE_MAX};
}

static bool is_requests(const struct pg_reader *reader)
{
    return reader->stream == &reader->pg->streams[PG_REQUESTS];
}

static bool end_message(struct pg_reader *reader)
{
    reader->stream->in_body = false;
    reader->stream->at = 0;
    if (is_requests(reader)) {
        pg_request_end(reader);
        return true;
    }
    return pg_answer_end(reader);
}

static bool begin_message(struct pg_reader *reader, const uint8_t *head, bool has_type)
{
    struct pg_stream *stream = reader->stream;
    uint32_t length = pg_number_at(head + has_type);
    if (length < sizeof(length) || length > PG_MESSAGE_BYTES_MAX) {
        return false;
    }
    stream->type = has_type ? head[0] : 0;
    stream->left = stream->body = length - (uint32_t)sizeof(length);
    stream->at = 0;
    stream->in_body = true;
    if (!(is_requests(reader) ? pg_request_begin(reader) : pg_answer_begin(reader))) {
        return false;
    }
    if (stream->part == PART_SKIP && stream->left <= reader->end - reader->at) {
        reader->at += stream->left;
        stream->left = 0;
    }
    return stream->left > 0 || end_message(reader);
}

static bool read_head(struct pg_reader *reader)
{
    struct pg_stream *stream = reader->stream;
    bool has_type = reader->pg->is_started;
    uint8_t head_bytes = has_type ? PG_HEAD_BYTES : PG_HEAD_BYTES - 1;
    reader->head = SIZE_MAX;
    if (stream->at == 0 && reader->end - reader->at >= head_bytes) {
        reader->head = reader->at;
        reader->at += head_bytes;
        return begin_message(reader, reader->data + reader->at - head_bytes, has_type);
    }
    stream->bytes[stream->at++] = reader->data[reader->at++];
    return stream->at < head_bytes || begin_message(reader, stream->bytes, has_type);
}

static bool read_body(struct pg_reader *reader)
{
    struct pg_stream *stream = reader->stream;
    size_t from = reader->at;
    size_t end = reader->end - from < stream->left ? reader->end : from + stream->left;
    bool holds = is_requests(reader) ? pg_request_body(reader, end) : pg_answer_body(reader, end);
    stream->left -= (uint32_t)(reader->at - from);
    return holds && (stream->left > 0 || end_message(reader));
}

/* Before the startup packet: an answer to a request to encrypt. */
static bool read_refusal(struct pg_reader *reader)
{
    return reader->data[reader->at++] == 'N';
}

static bool read_on(struct pg_reader *reader)
{
    struct pg *pg = reader->pg;
    if (reader->stream->in_body) {
        return read_body(reader);
    }
    if (pg->is_ready && !is_requests(reader) && reader->stream->at == 0 &&
        pg_answers_pass(reader)) {
        return !pg->lost;
    }
    return reader->pg->is_started || is_requests(reader) ? read_head(reader) : read_refusal(reader);
}

/* A client may still say goodbye to a server that has gone. */
static bool is_over(const struct pg_reader *reader)
{
    return reader->pg->over[is_requests(reader) ? PG_REQUESTS : PG_ANSWERS];
}

static size_t feed(
    void *state, enum direction direction, const uint8_t *data, size_t length, struct sink *sink)
{
    struct pg *pg = state;
    struct pg_reader reader = reader_of(pg, direction, data, sink);
    reader.end = length;
    while (!pg->lost && !is_over(&reader) && reader.at < length) {
        pg->lost = !read_on(&reader);
    }
    return pg->lost ? FEED_LOST : length;
}

/* Only what nobody looks at may pass unseen. */
static bool skip(void *state, enum direction direction, uint64_t length, struct sink *sink)
{
    struct pg *pg = state;
    struct pg_reader reader = reader_of(pg, direction, NULL, sink);
    struct pg_stream *stream = reader.stream;
    if (pg->lost || length == 0 || is_over(&reader)) {
        return !pg->lost;
    }
    if (!stream->in_body || stream->part != PART_SKIP || length > stream->left) {
        pg->lost = true;
        return false;
    }
    stream->left -= (uint32_t)length;
    pg->lost = stream->left == 0 && !end_message(&reader);
    return !pg->lost;
}

static void finish(void *state, enum direction direction, struct sink *sink)
{
    struct pg *pg = state;
    struct pg_reader reader = reader_of(pg, direction, NULL, sink);
    if (pg->lost) {
        return;
    }
    pg->over[is_requests(&reader) ? PG_REQUESTS : PG_ANSWERS] = true;
    if (is_requests(&reader)) {
        pg_queue_finish_requests(&reader);
    } else {
        pg->over[PG_REQUESTS] = true; /* nobody is left to answer */
        pg_queue_finish(&reader);
    }
}

/* --- context ------------------------------------------------------------------------------- */

/* A Query, or a Parse whose name is empty: head and text, to which a comment is added. */
static size_t insert(const struct insertion *insertion, char *out)
{
    const uint8_t *message = insertion->replaced.text;
    size_t length = sql_comment(
        insertion, PG_HEAD_BYTES + (message[0] == 'P'), (enum sql_dialect)insertion->key, out);
    if (length == 0) {
        return 0;
    }
    uint32_t told = pg_number_at(message + 1) + (uint32_t)(length - insertion->replaced.length);
    for (int i = 0; i < 4; i++) {
        out[1 + i] = (char)(told >> (24 - 8 * i));
    }
    return length;
}

/* --- the span ------------------------------------------------------------------------------ */

static unsigned dialect(int64_t version)
{
    return version & PG_ESCAPES ? SQL_POSTGRESQL_BACKSLASH : SQL_POSTGRESQL;
}

/* SQLSTATE's classes 00 and 01 are successes and warnings. */
static void describe(const struct facts *facts, struct describer *out)
{
    static const struct fact operations[] = {[PG_PREPARE] = DATABASE_TEXT("PREPARE"),
        [PG_FUNCTION] = DATABASE_TEXT("FUNCTION CALL"),
        [PG_SESSION] = DATABASE_TEXT("CONNECT")};
    struct fact code = facts->texts[FIELD_CODE];
    int64_t kind = facts->numbers[FIELD_VERSION];
    struct database database = {.system = DATABASE_TEXT("postgresql"),
        .dialect = (enum sql_dialect)dialect(kind),
        .operation = operations[kind & PG_SESSION]};
    database.is_error = code.length >= 2 && (code.text[0] != '0' || code.text[1] > '1');
    database_describe_sql(facts, out, &database);
}

const struct protocol postgresql_protocol = {
    .name = "postgresql",
    .state_bytes = sizeof(struct pg),
    .edits = EDITS_STATEMENTS,
    .client_only = true,
    .probe = probe,
    .start = start,
    .feed = feed,
    .skip = skip,
    .finish = finish,
    .insert = insert,
    .dialect = dialect,
    .describe = describe,
};
