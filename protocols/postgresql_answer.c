/* SPDX-License-Identifier: Apache-2.0 */
/* What the server sends. Rows are counted, and passed over by count as all else is. */
#include "postgresql.h"

#include <string.h>

/* May come at any time: notices, notifications, settings, the error that ends a session. */
static bool is_unasked(uint8_t type)
{
    return type == 'N' || type == 'A' || type == 'S' || type == 'E';
}

/* Before the first ReadyForQuery: authentication, the key for cancelling, a version refused. */
static bool is_greeting(uint8_t type)
{
    return type == 'R' || type == 'K' || type == 'v' || type == 'Z';
}

static bool is_in_order(const struct pg *pg, uint8_t type)
{
    if (is_unasked(type)) {
        return true;
    }
    return pg->is_ready ? pg_queue_has_answerable(pg) : is_greeting(type);
}

static bool begin_answer(struct pg_reader *reader)
{
    struct pg_stream *stream = reader->stream;
    switch (stream->type) {
    case 'D':
    case 'T':
        pg_queue_rows(reader, stream->type == 'D');
        return true;
    case 'G':
        return pg_queue_copy_in(reader);
    case 'C':
    case 'H': /* the rest of what a statement may be answered with */
    case 'I':
    case 'V':
    case 's':
    case 'd':
    case 'c':
        return true;
    default:
        return false; /* CopyBoth is of replication */
    }
}

bool pg_answer_begin(struct pg_reader *reader)
{
    struct pg_stream *stream = reader->stream;
    stream->part = PART_SKIP;
    stream->at = 0;
    if (!is_in_order(reader->pg, stream->type)) {
        return false;
    }
    switch (stream->type) {
    case 'E':
        stream->part = PART_FIELD;
        stream->tells = pg_queue_failing(reader);
        pg_queue_respond(reader);
        return true;
    case 'S':
        stream->part = PART_SETTING;
        stream->hash = pg_statement_seed;
        return true;
    case 'Z':
    case 'R':
    case 'K':
    case 'v':
    case 'N':
    case 'A':
    case '1':
    case '2':
    case '3':
    case 'n':
    case 't':
        return true;
    default:
        pg_queue_respond(reader);
        return begin_answer(reader);
    }
}

/* "on" or "off". */
static void read_setting_value(struct pg_reader *reader, size_t end)
{
    struct pg_stream *stream = reader->stream;
    for (; reader->at < end; reader->at++, stream->at += stream->at < 2) {
        if (stream->at == 1) {
            reader->pg->escapes = reader->data[reader->at] == 'f';
        }
    }
}

static void read_setting(struct pg_reader *reader, size_t end)
{
    struct pg_stream *stream = reader->stream;
    if (pg_hash_text(reader, end)) {
        bool is_it = pg_hash_is(stream, "standard_conforming_strings");
        stream->part = is_it ? PART_SETTING_VALUE : PART_SKIP;
    }
}

static struct event code_event(const struct pg_reader *reader)
{
    return (struct event){.kind = EVENT_TEXT, .field = FIELD_CODE, .exchange = reader->pg->oldest};
}

static void read_field(struct pg_reader *reader)
{
    struct pg_stream *stream = reader->stream;
    stream->field = reader->data[reader->at++];
    stream->part = stream->field == 0 ? PART_SKIP : PART_FIELD_VALUE;
    stream->told = 0;
}

static void read_field_value(struct pg_reader *reader, size_t end)
{
    struct pg_stream *stream = reader->stream;
    bool is_code = stream->field == 'C';
    bool tells = stream->tells;
    stream->tells &= is_code;
    bool is_whole = pg_tell_text(reader, end, code_event(reader), PG_VALUE_BYTES_MAX);
    stream->tells = tells && !(is_code && is_whole); /* once */
    if (is_whole) {
        stream->part = PART_FIELD;
    }
}

bool pg_answer_body(struct pg_reader *reader, size_t end)
{
    switch (reader->stream->part) {
    case PART_SETTING:
        read_setting(reader, end);
        return true;
    case PART_SETTING_VALUE:
        read_setting_value(reader, end);
        return true;
    case PART_FIELD:
        read_field(reader);
        return true;
    case PART_FIELD_VALUE:
        read_field_value(reader, end);
        return true;
    default:
        reader->at = end;
        return true;
    }
}

bool pg_answer_end(struct pg_reader *reader)
{
    struct pg_stream *stream = reader->stream;
    switch (stream->type) {
    case 'C':
    case 'I':
    case 'V':
        pg_queue_complete(reader, false);
        return true;
    case 's':
        pg_queue_complete(reader, true);
        return true;
    case '1':
        pg_queue_parsed(reader);
        return true;
    case 'E':
        pg_tell_end(reader, code_event(reader));
        pg_queue_failed(reader);
        return true;
    case 'Z':
        return pg_queue_ready(reader);
    default:
        return true;
    }
}

/* --- the usual ones, whole ------------------------------------------------------------------- */

/* Bytes of the message that begins here; 0: not all of it is here. */
static size_t whole_bytes(const uint8_t *message, size_t room)
{
    if (room < PG_HEAD_BYTES) {
        return 0;
    }
    uint32_t length = pg_number_at(message + 1);
    return length >= sizeof(length) && length < room ? 1 + (size_t)length : 0;
}

/* As many as follow one another. */
static void pass_rows(struct pg_reader *reader)
{
    size_t at = reader->at, end = reader->end, bytes;
    const uint8_t *data = reader->data;
    uint64_t rows = 0;
    while ((bytes = whole_bytes(data + at, end - at)) > 0 && data[at] == 'D') {
        at += bytes;
        rows++;
    }
    reader->at = at;
    pg_queue_rows(reader, rows);
}

/* False: it is of another kind. */
static bool pass(struct pg_reader *reader, uint8_t type, size_t bytes)
{
    switch (type) {
    case 'D':
        pg_queue_respond(reader);
        pass_rows(reader);
        return true;
    case 'T':
        pg_queue_respond(reader);
        pg_queue_rows(reader, 0);
        break;
    case 'C':
        pg_queue_respond(reader);
        pg_queue_complete(reader, false);
        break;
    case 'Z':
        reader->pg->lost = !pg_queue_ready(reader);
        break;
    case '2':
        break;
    default:
        return false;
    }
    reader->at += bytes;
    return true;
}

bool pg_answers_pass(struct pg_reader *reader)
{
    struct pg *pg = reader->pg;
    size_t from = reader->at, bytes;
    do {
        const uint8_t *message = reader->data + reader->at;
        bytes = whole_bytes(message, reader->end - reader->at);
        if (bytes == 0 || !pg_queue_has_answerable(pg) || !pass(reader, message[0], bytes)) {
            break;
        }
    } while (!pg->lost);
    return reader->at > from;
}
