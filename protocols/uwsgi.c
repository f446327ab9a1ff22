/* SPDX-License-Identifier: Apache-2.0 */
/*
 * uwsgi (the protocol of uWSGI, as its documentation has it): web servers to applications. A
 * packet's head is modifier1, the size of what follows (2 bytes), modifier2; pairs follow, each a
 * name and a value with their lengths (2 bytes) before them. All numbers have their low byte first.
 * Answers are those of HTTP, or of CGI.
 *
 * What is lost, though it might be uwsgi: packets that are no requests (signals, caches, routes),
 * and those whose first variable is none that web servers send first.
 */
#include <string.h>

#include "cgi_connection.h"

enum { HEAD_BYTES = 4, LENGTH_BYTES = 2, NAME_BYTES_MAX = 64, MODIFIER_MAX = 30 };

enum stage { STAGE_HEAD, STAGE_NAME_LENGTH, STAGE_NAME, STAGE_VALUE_LENGTH, STAGE_VALUE };

/* --- probe ------------------------------------------------------------------------------------ */

/* What the name of the first variable begins with. */
static const char beginnings[][12] = {"AUTH_TYPE", "CONTENT_", "DOCUMENT_", "GATEWAY_INT", "HTTP",
    "PATH_", "QUERY_", "REMOTE_", "REQUEST_", "SCRIPT_", "SERVER_", "SSL_", "UNIQUE_ID", "UWSGI_"};

/* The first `there` bytes of a name of `length`. */
static bool begins(const char *beginning, const uint8_t *name, size_t there, size_t length)
{
    size_t at = 0;
    while (at < there && beginning[at] != '\0' && name[at] == (uint8_t)beginning[at])
        at++;
    return beginning[at] == '\0' || (at == there && there < length);
}

static bool is_name(const uint8_t *name, size_t there, size_t length)
{
    for (size_t i = 0; i < there; i++)
        if (!((name[i] >= 'A' && name[i] <= 'Z') || (name[i] >= '0' && name[i] <= '9') ||
                name[i] == '_'))
            return false;
    for (size_t i = 0; i < sizeof(beginnings) / sizeof(beginnings[0]); i++)
        if (begins(beginnings[i], name, there, length))
            return true;
    return false;
}

static size_t number(const uint8_t *bytes)
{
    return bytes[0] | (size_t)bytes[1] << 8;
}

static enum verdict probe(const struct prefix prefixes[2], enum direction *requests)
{
    enum { NAME_AT = HEAD_BYTES + LENGTH_BYTES };
    const struct prefix *prefix = cgi_probe_first(prefixes, requests);
    if (prefix == NULL || (prefix->length > 0 && prefix->bytes[0] > MODIFIER_MAX))
        return VERDICT_NO;
    if (prefix->length >= 3 && number(prefix->bytes + 1) <= 2 * LENGTH_BYTES)
        return VERDICT_NO;
    if (prefix->length < NAME_AT)
        return VERDICT_MORE;
    size_t length = number(prefix->bytes + HEAD_BYTES), there = prefix->length - NAME_AT;
    if (length == 0 || length > NAME_BYTES_MAX ||
        length + 2 * LENGTH_BYTES > number(prefix->bytes + 1) ||
        !is_name(prefix->bytes + NAME_AT, there < length ? there : length, length))
        return VERDICT_NO;
    return there >= length || prefix->length == PREFIX_BYTES_MAX ? VERDICT_YES : VERDICT_MORE;
}

/* --- the packet ------------------------------------------------------------------------------- */

static void enter(struct cgi_connection *connection, enum stage stage)
{
    connection->stage = (uint8_t)stage;
    connection->at = 0;
}

static bool read_head(struct cgi_reader *reader)
{
    struct cgi_connection *connection = reader->connection;
    uint8_t byte = reader->data[reader->at++];
    if (connection->at == 1)
        connection->left = byte;
    else if (connection->at == 2)
        connection->left |= (uint32_t)byte << 8;
    if (++connection->at == HEAD_BYTES)
        enter(connection, STAGE_NAME_LENGTH);
    return connection->stage == STAGE_HEAD || connection->left > 0;
}

/* True: it is known. */
static bool read_length(struct cgi_reader *reader, uint32_t *length)
{
    uint8_t byte = reader->data[reader->at];
    *length = reader->connection->at++ == 0 ? byte : *length | (uint32_t)byte << 8;
    cgi_block_pass(reader, 1);
    return reader->connection->at == LENGTH_BYTES;
}

static bool read_name_length(struct cgi_reader *reader)
{
    struct cgi_connection *connection = reader->connection;
    struct cgi_pair *pair = &connection->pair;
    if (!read_length(reader, &pair->left))
        return connection->left > 0;
    enter(connection, STAGE_NAME);
    pair->value = 0;
    return pair->left > 0 && pair->left + LENGTH_BYTES <= connection->left && !cgi_name_begin(pair);
}

static bool read_name(struct cgi_reader *reader)
{
    struct cgi_pair *pair = &reader->connection->pair;
    const uint8_t *name = reader->data + reader->at;
    size_t there = cgi_block_there(reader);
    size_t length = there < pair->left ? there : pair->left;
    cgi_block_pass(reader, length);
    if (cgi_name_read(pair, name, length))
        enter(reader->connection, STAGE_VALUE_LENGTH);
    return true;
}

static void read_value(struct cgi_reader *reader)
{
    struct cgi_connection *connection = reader->connection;
    struct cgi_pair *pair = &connection->pair;
    size_t there = cgi_block_there(reader);
    size_t length = there < pair->left ? there : pair->left;
    pair->left -= (uint32_t)length;
    cgi_value_read(reader, length, pair->left == 0);
    if (pair->left == 0)
        enter(connection, STAGE_NAME_LENGTH);
}

static bool read_value_length(struct cgi_reader *reader)
{
    struct cgi_connection *connection = reader->connection;
    if (!read_length(reader, &connection->pair.left))
        return true;
    enter(connection, STAGE_VALUE);
    if (connection->pair.left == 0)
        read_value(reader);
    return connection->pair.left <= connection->left;
}

static bool read_pair(struct cgi_reader *reader)
{
    switch ((enum stage)reader->connection->stage) {
    case STAGE_HEAD:
        return read_head(reader);
    case STAGE_NAME_LENGTH:
        return read_name_length(reader);
    case STAGE_NAME:
        return read_name(reader);
    case STAGE_VALUE_LENGTH:
        return read_value_length(reader);
    default:
        read_value(reader);
        return true;
    }
}

static enum cgi_step read_packet(struct cgi_reader *reader)
{
    const struct cgi_connection *connection = reader->connection;
    if (!read_pair(reader))
        return CGI_LOST;
    return connection->left > 0 || connection->stage == STAGE_HEAD ? CGI_ON : CGI_COMPLETE;
}

static size_t feed(
    void *state, enum direction direction, const uint8_t *data, size_t length, struct sink *sink)
{
    return cgi_connection_feed(state, direction, data, length, sink, read_packet);
}

/* --- what is inserted ------------------------------------------------------------------------- */

static char *put_length(char *out, uint32_t length)
{
    *out++ = (char)length;
    *out++ = (char)(length >> 8);
    return out;
}

static char *put(char *out, const struct context_header *header)
{
    struct fact value = header->value;
    out = cgi_put_name(put_length(out, cgi_name_bytes(header->name)), header->name);
    out = put_length(out, value.length);
    memcpy(out, value.text, value.length);
    return out + value.length;
}

static size_t insert(const struct insertion *insertion, char *out)
{
    const struct fact *packet = &insertion->replaced;
    char *at = out + packet->length;
    for (unsigned i = 0; i < insertion->count; i++)
        at = put(at, &insertion->headers[i]);
    size_t size = packet->length - HEAD_BYTES, added = (size_t)(at - out) - packet->length;
    if (added == 0 || !cgi_block_may_grow(size, added, insertion->key + insertion->count))
        return 0;
    memcpy(out, packet->text, packet->length);
    out[1] = (char)(size + added);
    out[2] = (char)((size + added) >> 8);
    return (size_t)(at - out);
}

const struct protocol uwsgi_protocol = {
    .name = "uwsgi",
    .state_bytes = sizeof(struct cgi_connection),
    .edits = EDITS_ALWAYS,
    .probe = probe,
    .start = cgi_connection_start,
    .feed = feed,
    .skip = cgi_connection_skip,
    .finish = cgi_connection_finish,
    .insert = insert,
    .describe = cgi_describe,
};
