/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What mod_wsgi in Apache sends to its daemon processes, through a Unix socket: how many bytes
 * follow, and of how many texts (8 bytes each, as the machine has them, the first of what comes
 * after it); names and values that end in a zero each; the body, as HTTP's chunks. Answers are
 * CGI's; "200 Continue" comes before the body, and is none.
 *
 * What is lost, though it might be that: a block of more than CGI_BLOCK_BYTES_MAX bytes.
 */
#include <string.h>

#include "cgi_connection.h"

enum { NUMBER_BYTES = 8, HEAD_BYTES = 2 * NUMBER_BYTES };

_Static_assert(CGI_BLOCK_BYTES_MAX < 1 << 16, "two bytes of a number are not zero");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the first two");

/* --- probe ------------------------------------------------------------------------------------ */

static bool is_name(uint8_t byte)
{
    return (byte >= 'A' && byte <= 'Z') || (byte >= 'a' && byte <= 'z') ||
           (byte >= '0' && byte <= '9') || byte == '_';
}

/* Two numbers that are not big, the second an even one; then a name. */
static bool may_stand(size_t at, uint8_t byte, bool *is_named)
{
    if (at < HEAD_BYTES)
        return at % NUMBER_BYTES < 2 ? at != NUMBER_BYTES || byte % 2 == 0 : byte == 0;
    *is_named |= byte == 0 && at > HEAD_BYTES;
    return *is_named || is_name(byte);
}

static enum verdict probe(const struct prefix prefixes[2], enum direction *requests)
{
    const struct prefix *prefix = cgi_probe_first(prefixes, requests);
    bool is_named = false;
    if (prefix == NULL)
        return VERDICT_NO;
    for (size_t at = 0; at < prefix->length; at++)
        if (!may_stand(at, prefix->bytes[at], &is_named))
            return VERDICT_NO;
    return is_named || prefix->length == PREFIX_BYTES_MAX ? VERDICT_YES : VERDICT_MORE;
}

/* --- the block -------------------------------------------------------------------------------- */

static void start(void *state, enum direction requests)
{
    cgi_connection_start(state, requests);
    ((struct cgi_connection *)state)->has_reasons = true;
}

static bool read_head(struct cgi_reader *reader)
{
    struct cgi_connection *connection = reader->connection;
    unsigned shift = 8 * (connection->at % NUMBER_BYTES);
    uint32_t byte = reader->data[reader->at++];
    if (connection->at < NUMBER_BYTES)
        connection->left |= byte << (shift < 32 ? shift : 0);
    else
        connection->texts |= (uint16_t)(byte << (shift < 16 ? shift : 0));
    if (shift >= 16 && byte != 0)
        return false;
    if (++connection->at < HEAD_BYTES)
        return true;
    if (connection->left <= NUMBER_BYTES)
        return false;
    connection->left -= NUMBER_BYTES;
    return cgi_texts_begin(connection);
}

static enum cgi_step read_block(struct cgi_reader *reader)
{
    struct cgi_connection *connection = reader->connection;
    bool is_one =
        connection->stage == CGI_TEXTS_BEFORE ? read_head(reader) : cgi_texts_read(reader);
    if (!is_one)
        return CGI_LOST;
    if (connection->stage != CGI_TEXTS_END)
        return CGI_ON;
    return 2 * connection->pairs == connection->texts ? CGI_COMPLETE : CGI_LOST;
}

static size_t feed(
    void *state, enum direction direction, const uint8_t *data, size_t length, struct sink *sink)
{
    return cgi_connection_feed(state, direction, data, length, sink, read_block);
}

/* --- what is inserted ------------------------------------------------------------------------- */

static void put_number(char *out, size_t number)
{
    out[0] = (char)number;
    out[1] = (char)(number >> 8);
}

static size_t insert(const struct insertion *insertion, char *out)
{
    const struct fact *block = &insertion->replaced;
    size_t added = cgi_texts_bytes(insertion), size = block->length - NUMBER_BYTES + added;
    if (added == 0 || size > CGI_BLOCK_BYTES_MAX)
        return 0;
    memcpy(out, block->text, block->length);
    put_number(out, size);
    put_number(out + NUMBER_BYTES, 2 * (insertion->key + insertion->count));
    cgi_put_texts(out + block->length, insertion);
    return block->length + added;
}

const struct protocol mod_wsgi_protocol = {
    .name = "mod_wsgi",
    .state_bytes = sizeof(struct cgi_connection),
    .edits = EDITS_ALWAYS,
    .probe = probe,
    .start = start,
    .feed = feed,
    .skip = cgi_connection_skip,
    .finish = cgi_connection_finish,
    .insert = insert,
    .describe = cgi_describe,
};
