/* SPDX-License-Identifier: Apache-2.0 */
#include "cgi_connection.h"

#include <string.h>

enum {
    BUFFER_STEP = 4096,   /* uWSGI's buffers are likely to be that, or a multiple */
    BUFFER_RESERVE = 256, /* for what it adds: SCRIPT_NAME, REMOTE_USER */
    PAIRS_MAX = 120,
    CONTENT_LENGTH_DIGITS_MAX = 18
};

void cgi_connection_start(void *state, enum direction requests)
{
    memset(state, 0, sizeof(struct cgi_connection));
    ((struct cgi_connection *)state)->requests = (uint8_t)requests;
}

static void tell(struct cgi_reader *reader, struct event event)
{
    event.offset = reader->at;
    if (!reader->connection->is_ended)
        reader->sink->event(reader->sink, &event);
}

static void end(struct cgi_reader *reader, struct event event)
{
    tell(reader, event);
    reader->connection->is_ended = true;
}

/* --- the request ------------------------------------------------------------------------------ */

size_t cgi_block_there(const struct cgi_reader *reader)
{
    size_t there = reader->end - reader->at;
    return there < reader->connection->left ? there : reader->connection->left;
}

void cgi_block_pass(struct cgi_reader *reader, size_t length)
{
    reader->at += length;
    reader->connection->left -= (uint32_t)length;
}

/* What is no number is nought, as it is for servers. */
static void read_content_length(
    struct cgi_connection *connection, const uint8_t *text, size_t length)
{
    if (!connection->in_value)
        connection->body = connection->at = 0;
    for (size_t i = 0; i < length; i++) {
        bool is_digit = text[i] >= '0' && text[i] <= '9';
        if (!is_digit || connection->at == CONTENT_LENGTH_DIGITS_MAX)
            connection->at = UINT8_MAX;
        if (connection->at == UINT8_MAX)
            connection->body = 0;
        else {
            connection->body = connection->body * 10 + (text[i] - '0');
            connection->at++;
        }
    }
}

static void tell_value(struct cgi_reader *reader, struct event event)
{
    const struct cgi_connection *connection = reader->connection;
    if (event.first && context_is_named(event.field) && !connection->is_ended) {
        cgi_tell_name(&connection->pair, event, reader->sink);
        event.first = false;
    }
    tell(reader, event);
}

void cgi_value_read(struct cgi_reader *reader, size_t length, bool is_last)
{
    struct cgi_connection *connection = reader->connection;
    const uint8_t *text = reader->data + reader->at;
    if (connection->pair.field == CGI_CONTENT_LENGTH)
        read_content_length(connection, text, length);
    else if (connection->pair.field != FIELD_COUNT)
        tell_value(reader, (struct event){.kind = EVENT_TEXT,
                               .field = connection->pair.field,
                               .first = !connection->in_value,
                               .last = is_last,
                               .offset = reader->at,
                               .text = text,
                               .length = length});
    connection->in_value = !is_last;
    connection->pairs += is_last;
    cgi_block_pass(reader, length);
}

/* --- variables as texts ----------------------------------------------------------------------- */

bool cgi_texts_begin(struct cgi_connection *connection)
{
    connection->stage = CGI_TEXTS_NAME;
    cgi_name_open(&connection->pair);
    return connection->left > 0 && connection->left <= CGI_BLOCK_BYTES_MAX;
}

static size_t text_there(const struct cgi_reader *reader, bool *is_whole)
{
    const uint8_t *text = reader->data + reader->at;
    size_t there = cgi_block_there(reader);
    const uint8_t *zero = memchr(text, '\0', there);
    *is_whole = zero != NULL;
    return zero == NULL ? there : (size_t)(zero - text);
}

bool cgi_texts_read(struct cgi_reader *reader)
{
    struct cgi_connection *connection = reader->connection;
    bool is_whole, is_name = connection->stage == CGI_TEXTS_NAME;
    size_t length = text_there(reader, &is_whole);
    if (is_name) {
        cgi_name_more(&connection->pair, reader->data + reader->at, length);
        cgi_block_pass(reader, length);
    } else
        cgi_value_read(reader, length, is_whole);
    if (!is_whole)
        return connection->left > 0;
    cgi_block_pass(reader, 1);
    if (is_name) {
        cgi_name_close(&connection->pair);
        connection->stage = CGI_TEXTS_VALUE;
        return connection->left > 0;
    }
    connection->stage = connection->left > 0 ? CGI_TEXTS_NAME : CGI_TEXTS_END;
    cgi_name_open(&connection->pair);
    return true;
}

size_t cgi_texts_bytes(const struct insertion *insertion)
{
    size_t added = 0;
    for (unsigned i = 0; i < insertion->count; i++)
        added +=
            cgi_name_bytes(insertion->headers[i].name) + insertion->headers[i].value.length + 2;
    return added;
}

char *cgi_put_texts(char *out, const struct insertion *insertion)
{
    for (unsigned i = 0; i < insertion->count; i++) {
        struct fact value = insertion->headers[i].value;
        out = cgi_put_name(out, insertion->headers[i].name);
        *out++ = '\0';
        memcpy(out, value.text, value.length);
        out += value.length;
        *out++ = '\0';
    }
    return out;
}

/* --- the whole of it -------------------------------------------------------------------------- */

static void end_block(struct cgi_reader *reader)
{
    struct cgi_connection *connection = reader->connection;
    size_t length = connection->block;
    tell(reader, (struct event){.kind = EVENT_SPLICE,
                     .text = reader->at < length ? NULL : reader->data + reader->at - length,
                     .length = length,
                     .key = connection->pairs});
    connection->is_requested = true;
    tell(reader, (struct event){.kind = EVENT_REQUEST});
    if (connection->body == 0)
        tell(reader, (struct event){.kind = EVENT_RECEIVED});
}

static bool read_block(struct cgi_reader *reader, cgi_block_read *read)
{
    struct cgi_connection *connection = reader->connection;
    if (!connection->is_begun)
        tell(reader, (struct event){.kind = EVENT_BEGIN});
    connection->is_begun = true;
    enum cgi_step step = CGI_ON;
    while (reader->at < reader->end && step == CGI_ON) {
        size_t from = reader->at;
        step = read(reader);
        connection->block += (uint32_t)(reader->at - from);
    }
    if (step == CGI_COMPLETE)
        end_block(reader);
    return step != CGI_LOST;
}

/* What comes behind the body, as after an upgrade, is none of ours. */
static void pass_body(struct cgi_reader *reader, uint64_t length)
{
    struct cgi_connection *connection = reader->connection;
    bool is_last = connection->body > 0 && length >= connection->body;
    connection->body = length < connection->body ? connection->body - length : 0;
    if (is_last)
        tell(reader, (struct event){.kind = EVENT_RECEIVED});
}

static bool read_request(struct cgi_reader *reader, cgi_block_read *read)
{
    if (!reader->connection->is_requested && !read_block(reader, read))
        return false;
    pass_body(reader, reader->end - reader->at);
    reader->at = reader->end;
    return true;
}

/* --- the answer ------------------------------------------------------------------------------- */

static void end_head(struct cgi_reader *reader)
{
    struct cgi_connection *connection = reader->connection;
    uint16_t status = connection->has_reasons ? cgi_head_meaning(&connection->head)
                                              : cgi_head_status(&connection->head);
    connection->is_switched = status == 101;
    if (status >= 100 && status < 200 && !connection->is_switched) {
        connection->head = (struct cgi_head){0}; /* another follows */
        return;
    }
    tell(reader, (struct event){.kind = EVENT_NUMBER, .field = FIELD_STATUS, .number = status});
    if (connection->is_switched)
        end(reader, (struct event){.kind = EVENT_END, .reason = END_SWITCHED});
}

static bool read_answer(struct cgi_reader *reader)
{
    struct cgi_connection *connection = reader->connection;
    struct cgi_head *head = &connection->head;
    if (!connection->is_requested)
        return false;
    if (!connection->is_answered)
        tell(reader, (struct event){.kind = EVENT_RESPONSE});
    connection->is_answered = true;
    while (reader->at < reader->end && !head->is_complete) {
        reader->at += cgi_head_read(head, reader->data + reader->at, reader->end - reader->at);
        if (head->is_complete)
            end_head(reader);
    }
    if (!connection->is_switched)
        reader->at = reader->end;
    return true;
}

/* --- the connection --------------------------------------------------------------------------- */

size_t cgi_connection_feed(void *state, enum direction direction, const uint8_t *data,
    size_t length, struct sink *sink, cgi_block_read *read)
{
    struct cgi_connection *connection = state;
    struct cgi_reader reader = {connection, sink, data, 0, length};
    if (connection->is_switched)
        return 0;
    if (connection->lost || connection->is_over[direction])
        connection->lost = true;
    else if (direction == (enum direction)connection->requests)
        connection->lost = !read_request(&reader, read);
    else
        connection->lost = !read_answer(&reader);
    return connection->lost ? FEED_LOST : reader.at;
}

bool cgi_connection_skip(void *state, enum direction direction, uint64_t length, struct sink *sink)
{
    struct cgi_connection *connection = state;
    struct cgi_reader reader = {connection, sink, NULL, 0, 0};
    bool is_request = direction == (enum direction)connection->requests;
    bool is_body = is_request ? connection->is_requested : connection->head.is_complete;
    if (length == 0 && !connection->lost)
        return true;
    connection->lost |= !is_body || connection->is_over[direction] || connection->is_switched;
    if (!connection->lost && is_request)
        pass_body(&reader, length);
    return !connection->lost;
}

void cgi_connection_finish(void *state, enum direction direction, struct sink *sink)
{
    struct cgi_connection *connection = state;
    struct cgi_reader reader = {connection, sink, NULL, 0, 0};
    bool is_request = direction == (enum direction)connection->requests;
    if (connection->lost || connection->is_over[direction])
        return;
    connection->is_over[direction] = true;
    if (!connection->is_begun || (is_request && connection->is_requested))
        return;
    enum end_reason reason = connection->head.is_complete ? END_COMPLETE
                             : connection->is_answered    ? END_TRUNCATED
                                                          : END_UNANSWERED;
    enum event_kind kind = connection->is_requested ? EVENT_END : EVENT_VOID;
    end(&reader, (struct event){.kind = kind, .reason = reason});
}

/* --- what needs no state ---------------------------------------------------------------------- */

const struct prefix *cgi_probe_first(const struct prefix prefixes[2], enum direction *from)
{
    *from = prefixes[DIRECTION_IN].length > 0 ? DIRECTION_IN : DIRECTION_OUT;
    return prefixes[direction_other(*from)].length > 0 ? NULL : &prefixes[*from];
}

bool cgi_block_may_grow(size_t size, size_t added, uint64_t pairs)
{
    size_t most = size + added + BUFFER_RESERVE;
    return size > 0 && most <= CGI_BLOCK_BYTES_MAX && pairs <= PAIRS_MAX &&
           (size - 1) / BUFFER_STEP == (most - 1) / BUFFER_STEP;
}
