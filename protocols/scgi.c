/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SCGI (Neil Schemenauer, 2008; sections are not numbered): web servers to applications. The
 * variables are a netstring: its length in digits, a colon, names and values that end in a zero
 * each, a comma. CONTENT_LENGTH is the first. Answers are CGI's, or HTTP's.
 *
 * What is lost, though it might be SCGI: a block of more than CGI_BLOCK_BYTES_MAX bytes.
 */
#include <string.h>

#include "cgi_connection.h"

enum { DIGITS_MAX = 5, DIGIT_BASE = 10 };

static bool is_digit(uint8_t byte)
{
    return byte >= '0' && byte <= '9';
}

/* --- probe ------------------------------------------------------------------------------------ */

static enum verdict probe(const struct prefix prefixes[2], enum direction *requests)
{
    static const char first[] = ":CONTENT_LENGTH"; /* with its zero */
    const struct prefix *prefix = cgi_probe_first(prefixes, requests);
    if (prefix == NULL)
        return VERDICT_NO;
    size_t at = 0, matched = 0;
    while (at < prefix->length && at < DIGITS_MAX && is_digit(prefix->bytes[at]))
        at++;
    if (prefix->length > 0 && (at == 0 || prefix->bytes[0] == '0'))
        return VERDICT_NO;
    for (; at < prefix->length && matched < sizeof(first); at++, matched++)
        if (prefix->bytes[at] != (uint8_t)first[matched])
            return VERDICT_NO;
    if (at == prefix->length)
        return VERDICT_MORE;
    return is_digit(prefix->bytes[at]) ? VERDICT_YES : VERDICT_NO;
}

/* --- the netstring ---------------------------------------------------------------------------- */

static bool read_length(struct cgi_reader *reader)
{
    struct cgi_connection *connection = reader->connection;
    uint8_t byte = reader->data[reader->at++];
    if (byte == ':' && connection->at > 0) {
        return cgi_texts_begin(connection);
    }
    connection->left = connection->left * DIGIT_BASE + (uint32_t)(byte - '0');
    return is_digit(byte) && connection->at++ < DIGITS_MAX;
}

static enum cgi_step read_netstring(struct cgi_reader *reader)
{
    uint8_t stage = reader->connection->stage;
    if (stage == CGI_TEXTS_END)
        return reader->data[reader->at++] == ',' ? CGI_COMPLETE : CGI_LOST;
    bool is_one = stage == CGI_TEXTS_BEFORE ? read_length(reader) : cgi_texts_read(reader);
    return is_one ? CGI_ON : CGI_LOST;
}

static size_t feed(
    void *state, enum direction direction, const uint8_t *data, size_t length, struct sink *sink)
{
    return cgi_connection_feed(state, direction, data, length, sink, read_netstring);
}

/* --- what is inserted ------------------------------------------------------------------------- */

static char *put_digits(char *out, size_t number)
{
    char digits[DIGITS_MAX];
    size_t at = DIGITS_MAX;
    do
        digits[--at] = (char)('0' + number % DIGIT_BASE);
    while ((number /= DIGIT_BASE) > 0);
    memcpy(out, digits + at, DIGITS_MAX - at);
    return out + DIGITS_MAX - at;
}

static size_t insert(const struct insertion *insertion, char *out)
{
    const struct fact *whole = &insertion->replaced;
    const uint8_t *content = (const uint8_t *)memchr(whole->text, ':', whole->length) + 1;
    size_t size = whole->length - 1 - (size_t)(content - whole->text);
    size_t added = cgi_texts_bytes(insertion);
    size_t pairs = insertion->key + insertion->count;
    if (added == 0 ||
        !cgi_block_may_grow(size + 2 * insertion->key, added + 2 * (size_t)insertion->count, pairs))
        return 0;
    char *at = put_digits(out, size + added);
    *at++ = ':';
    memcpy(at, content, size);
    at = cgi_put_texts(at + size, insertion);
    *at++ = ',';
    return (size_t)(at - out);
}

const struct protocol scgi_protocol = {
    .name = "scgi",
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
