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
    case 'C':
        stream->part = PART_TAG;
        return true;
    case 'G':
        return pg_queue_copy_in(reader);
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

/* Behind a row: the next ones, as far as the buffer has them whole, mean what it did. */
static void pass_rows(struct pg_reader *reader)
{
    uint64_t rows = 0;
    while (reader->end - reader->at >= PG_HEAD_BYTES && reader->data[reader->at] == 'D') {
        uint32_t length = pg_number_at(reader->data + reader->at + 1);
        if (length < sizeof(length) || length > reader->end - reader->at - 1) {
            break;
        }
        reader->at += 1 + length;
        rows++;
    }
    if (rows > 0) {
        pg_queue_rows(reader, rows);
    }
}

static void read_tag(struct pg_reader *reader, size_t end)
{
    struct pg_stream *stream = reader->stream;
    while (reader->at < end && stream->at < PG_TAG_BYTES) {
        stream->bytes[stream->at++] = reader->data[reader->at++];
    }
    if (stream->at == PG_TAG_BYTES) {
        reader->at = end;
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
    case PART_TAG:
        read_tag(reader, end);
        return true;
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

/* Statements that answer with rows, though there may be none of them. */
static bool has_rows(const struct pg_stream *stream)
{
    return stream->at == PG_TAG_BYTES && (memcmp(stream->bytes, "SEL", PG_TAG_BYTES) == 0 ||
                                             memcmp(stream->bytes, "FET", PG_TAG_BYTES) == 0);
}

bool pg_answer_end(struct pg_reader *reader)
{
    struct pg_stream *stream = reader->stream;
    switch (stream->type) {
    case 'C':
        pg_queue_complete(reader, has_rows(stream));
        return true;
    case 's':
        pg_queue_complete(reader, true);
        return true;
    case 'I':
    case 'V':
        pg_queue_complete(reader, false);
        return true;
    case '1':
        pg_queue_parsed(reader);
        return true;
    case 'E':
        pg_tell_end(reader, code_event(reader));
        pg_queue_failed(reader);
        return true;
    case 'D':
        pass_rows(reader);
        return true;
    case 'Z':
        return pg_queue_ready(reader);
    default:
        return true;
    }
}
