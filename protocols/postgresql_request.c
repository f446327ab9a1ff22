/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the client sends. Parameters, passwords and copied rows are passed over by count.
 *
 * A Parse under a name that exists already fails, and the old statement stays; here the new text
 * takes its place. DEALLOCATE of one name is understood, since drivers send it; DEALLOCATE ALL,
 * DISCARD and PREPARE are not.
 */
#include "postgresql.h"

#include <string.h>

#include "sql_comment.h"

static void next_part(struct pg_reader *reader, enum pg_part part)
{
    struct pg_stream *stream = reader->stream;
    stream->part = (uint8_t)part;
    stream->told = 0;
    stream->has_text = false;
}

static void begin_name(struct pg_reader *reader, enum pg_part part, uint64_t seed)
{
    next_part(reader, part);
    reader->stream->hash = seed;
}

static void begin_text(struct pg_reader *reader, enum pg_part part, bool tells)
{
    next_part(reader, part);
    reader->stream->tells = tells;
    reader->pg->word.at = 0;
}

/* --- messages that begin ------------------------------------------------------------------- */

static void begin_statement(struct pg_reader *reader)
{
    switch (reader->stream->type) {
    case 'Q':
        pg_queue_query(reader, PG_STATEMENT);
        begin_text(reader, PART_QUERY, reader->pg->is_reading);
        break;
    case 'F':
        pg_queue_query(reader, PG_FUNCTION);
        break;
    case 'P':
        pg_queue_parse(reader);
        begin_name(reader, PART_NAME, pg_statement_seed);
        break;
    case 'B':
        pg_queue_extended(reader);
        begin_name(reader, PART_NAME, pg_portal_seed);
        break;
    case 'E':
        pg_queue_execute(reader);
        begin_name(reader, PART_NAME, pg_portal_seed);
        break;
    case 'C':
        pg_queue_extended(reader);
        next_part(reader, PART_KIND);
        break;
    default: /* Describe */
        pg_queue_extended(reader);
        break;
    }
}

bool pg_request_begin(struct pg_reader *reader)
{
    struct pg *pg = reader->pg;
    struct pg_stream *stream = reader->stream;
    next_part(reader, PART_SKIP);
    if (!pg->is_started) {
        next_part(reader, PART_CODE);
        return stream->left >= sizeof(uint32_t) && stream->left <= PG_STARTUP_BYTES_MAX;
    }
    switch (stream->type) {
    case 'Q':
    case 'F':
    case 'P':
    case 'B':
    case 'E':
    case 'C':
    case 'D':
        if (pg_queue_passes_over(pg)) {
            stream->type = 0;
        } else {
            begin_statement(reader);
        }
        return true;
    case 'c': /* CopyDone, CopyFail */
    case 'f':
        pg->is_copying = false;
        return true;
    case 'd':
    case 'H':
    case 'S':
    case 'X':
    case 'p':
        return true;
    default:
        return false;
    }
}

/* --- their bodies -------------------------------------------------------------------------- */

/* 3.0, 3.2 and what may come; or a request to encrypt, which was refused. */
static bool read_code(struct pg_reader *reader, size_t end)
{
    struct pg_stream *stream = reader->stream;
    while (reader->at < end && stream->at < sizeof(uint32_t)) {
        stream->bytes[stream->at++] = reader->data[reader->at++];
    }
    if (stream->at < sizeof(uint32_t)) {
        return true;
    }
    uint32_t code = pg_number_at(stream->bytes);
    if (code == PG_CODE_SSL || code == PG_CODE_GSS) {
        next_part(reader, PART_SKIP);
        return true;
    }
    reader->pg->is_started = stream->is_startup = true;
    begin_name(reader, PART_KEY, pg_statement_seed);
    return code >> 16 == 3;
}

/* A connection for replication is none for statements. */
static bool read_key(struct pg_reader *reader, size_t end)
{
    struct pg *pg = reader->pg;
    struct pg_stream *stream = reader->stream;
    if (!pg_hash_text(reader, end)) {
        return true;
    }
    bool is_database = pg_hash_is(stream, "database");
    bool is_user = pg_hash_is(stream, "user") && !pg->has_database;
    next_part(reader, PART_VALUE);
    stream->tells = is_database || is_user;
    stream->field = is_database;
    return !pg_hash_is(stream, "replication");
}

static struct event text_event(const struct pg_reader *reader)
{
    switch (reader->stream->part) {
    case PART_QUERY:
        return (struct event){
            .kind = EVENT_TEXT, .field = FIELD_QUERY, .exchange = reader->pg->next - 1};
    case PART_STATEMENT:
        return (struct event){
            .kind = EVENT_KEEP, .field = FIELD_QUERY, .key = reader->stream->hash};
    default:
        return (struct event){
            .kind = EVENT_KEEP, .field = FIELD_NAMESPACE, .key = PG_KEY_NAMESPACE};
    }
}

/* Without a database, or with an empty name, it is the user's. */
static void read_value(struct pg_reader *reader, size_t end)
{
    struct pg_stream *stream = reader->stream;
    bool is_empty = !stream->has_text && reader->data[reader->at] == 0;
    stream->tells &= !is_empty;
    reader->pg->has_database |= stream->field && stream->tells;
    if (pg_tell_text(reader, end, text_event(reader), PG_VALUE_BYTES_MAX)) {
        begin_name(reader, PART_KEY, pg_statement_seed);
    }
}

static void read_name(struct pg_reader *reader, size_t end)
{
    struct pg_stream *stream = reader->stream;
    if (!pg_hash_text(reader, end)) {
        return;
    }
    if (stream->type == 'P') {
        begin_text(reader, PART_STATEMENT, true);
    } else if (stream->type == 'B') {
        reader->pg->portal = stream->hash;
        begin_name(reader, PART_SOURCE, pg_statement_seed);
    } else {
        next_part(reader, PART_SKIP);
    }
}

static void read_source(struct pg_reader *reader, size_t end)
{
    if (pg_hash_text(reader, end)) {
        pg_tell(reader,
            (struct event){
                .kind = EVENT_ALIAS, .key = reader->pg->portal, .other = reader->stream->hash});
        reader->pg->binds_candidate =
            reader->pg->is_candidate && reader->stream->hash == reader->pg->candidate;
        next_part(reader, PART_SKIP);
    }
}

static void read_kind(struct pg_reader *reader)
{
    bool is_statement = reader->data[reader->at++] == 'S';
    begin_name(reader, PART_NAME, is_statement ? pg_statement_seed : pg_portal_seed);
}

/* Before the zero that ends the text: of a Query, or of a Parse without a name, which is done once.
 * key: its dialect. `from`: where this piece of the body begins. */
static void tell_splice(struct pg_reader *reader, size_t from)
{
    const struct pg_stream *stream = reader->stream;
    const struct pg *pg = reader->pg;
    bool is_unnamed = stream->hash == pg_statement_seed && pg->is_candidate;
    size_t offset = reader->at - 1;
    size_t read = stream->body - stream->left + reader->at - from;
    if (!(stream->part == PART_QUERY ? stream->tells : is_unnamed)) {
        return;
    }
    pg_tell(reader, (struct event){.kind = EVENT_SPLICE,
                        .exchange = pg->next - 1,
                        .offset = offset,
                        .text = reader->head == SIZE_MAX ? NULL : reader->data + reader->head,
                        .length = PG_HEAD_BYTES + read - 1,
                        .key = pg->escapes ? SQL_POSTGRESQL_BACKSLASH : SQL_POSTGRESQL});
}

static void read_text(struct pg_reader *reader, size_t end)
{
    size_t from = reader->at;
    bool is_whole = pg_tell_text(reader, end, text_event(reader), PG_QUERY_BYTES_MAX);
    pg_word_read(&reader->pg->word, reader->data + from, reader->at - from - is_whole);
    if (is_whole) {
        if (sql_is_commented) {
            tell_splice(reader, from);
        }
        next_part(reader, PART_SKIP);
    }
}

bool pg_request_body(struct pg_reader *reader, size_t end)
{
    switch (reader->stream->part) {
    case PART_CODE:
        return read_code(reader, end);
    case PART_KEY:
        return read_key(reader, end);
    case PART_VALUE:
        read_value(reader, end);
        return true;
    case PART_NAME:
        read_name(reader, end);
        return true;
    case PART_SOURCE:
        read_source(reader, end);
        return true;
    case PART_KIND:
        read_kind(reader);
        return true;
    case PART_QUERY:
    case PART_STATEMENT:
        read_text(reader, end);
        return true;
    default:
        reader->at = end;
        return true;
    }
}

/* --- messages that are complete ------------------------------------------------------------ */

static void drop(struct pg_reader *reader, uint64_t key)
{
    pg_tell(reader, (struct event){.kind = EVENT_DROP, .key = key});
}

static void forget_deallocated(struct pg_reader *reader)
{
    if (pg_word_has_name(&reader->pg->word)) {
        drop(reader, reader->pg->word.hash);
    }
}

void pg_request_end(struct pg_reader *reader)
{
    struct pg_stream *stream = reader->stream;
    if (stream->has_text) {
        pg_tell_end(reader, text_event(reader));
    }
    if (stream->is_startup) {
        stream->is_startup = false;
        pg_queue_query(reader, PG_SESSION);
        pg_queue_query_end(reader);
    }
    switch (stream->type) {
    case 'Q':
        forget_deallocated(reader);
        pg_queue_query_end(reader);
        break;
    case 'F':
        pg_queue_query_end(reader);
        break;
    case 'P':
        forget_deallocated(reader);
        pg_queue_parse_end(reader, stream->hash);
        break;
    case 'E':
        pg_queue_execute_end(reader, stream->hash);
        break;
    case 'C':
        drop(reader, stream->hash);
        break;
    case 'S':
        pg_queue_sync(reader);
        break;
    default:
        break;
    }
}
