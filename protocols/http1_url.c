/* SPDX-License-Identifier: Apache-2.0 */
#include "http1_url.h"

#include <string.h>

struct slice slice_from(struct slice slice, size_t from)
{
    if (from >= slice.length) {
        return (struct slice){0};
    }
    return (struct slice){slice.text + from, slice.length - from};
}

struct slice slice_until(struct slice slice, size_t to)
{
    return (struct slice){slice.text, to < slice.length ? to : slice.length};
}

static bool is_space(uint8_t byte)
{
    return byte == ' ' || byte == '\t';
}

struct slice url_trim(struct slice slice)
{
    while (slice.length > 0 && is_space(slice.text[0])) {
        slice = slice_from(slice, 1);
    }
    while (slice.length > 0 && is_space(slice.text[slice.length - 1])) {
        slice.length--;
    }
    return slice;
}

size_t slice_find(struct slice slice, uint8_t byte)
{
    const uint8_t *found = slice.length > 0 ? memchr(slice.text, byte, slice.length) : NULL;
    return found != NULL ? (size_t)(found - slice.text) : slice.length;
}

bool slice_is_word(struct slice slice, const char *literal)
{
    for (size_t i = 0; i < slice.length; i++) {
        if (literal[i] == '\0' || (slice.text[i] | 0x20) != literal[i]) {
            return false;
        }
    }
    return literal[slice.length] == '\0';
}

/* 0 for what is no port. */
static int32_t port_parse(struct slice slice)
{
    int32_t port = 0;
    if (slice.length > 5) {
        return 0;
    }
    for (size_t i = 0; i < slice.length; i++) {
        if (slice.text[i] < '0' || slice.text[i] > '9') {
            return 0;
        }
        port = port * 10 + (slice.text[i] - '0');
    }
    return port <= UINT16_MAX ? port : 0;
}

static struct slice without_credentials(struct slice slice)
{
    const uint8_t *at = slice.length > 0 ? memrchr(slice.text, '@', slice.length) : NULL;
    return at != NULL ? slice_from(slice, (size_t)(at - slice.text) + 1) : slice;
}

/* RFC 3986, 3.2. Two colons outside brackets are an IPv6 address that somebody forgot to bracket.
 */
struct authority authority_parse(struct slice slice)
{
    struct slice whole = without_credentials(slice);
    struct authority authority = {
        .whole = whole, .host = whole, .has_credentials = whole.length != slice.length};
    if (whole.length > 0 && whole.text[0] == '[') {
        size_t close = slice_find(whole, ']');
        struct slice rest = slice_from(whole, close + 1);
        authority.host = slice_until(slice_from(whole, 1), close - 1);
        bool has_port = rest.length > 0 && rest.text[0] == ':';
        authority.port = has_port ? port_parse(slice_from(rest, 1)) : 0;
        return authority;
    }
    size_t colon = slice_find(whole, ':');
    struct slice rest = slice_from(whole, colon + 1);
    if (slice_find(rest, ':') == rest.length) {
        authority.host = slice_until(whole, colon);
        authority.port = port_parse(rest);
    }
    return authority;
}

static void split_query(struct target *target, struct slice rest)
{
    size_t mark = slice_find(rest, '?');
    target->path = slice_until(rest, mark);
    target->query = slice_from(rest, mark + 1);
}

static size_t find_scheme_end(struct slice slice)
{
    size_t colon = slice_find(slice, ':');
    bool has_authority = slice.length - colon >= 3 && memcmp(slice.text + colon, "://", 3) == 0;
    return has_authority && colon > 0 ? colon : 0;
}

struct target target_parse(struct slice slice, bool is_connect)
{
    struct target target = {0};
    if (is_connect) {
        target.authority = authority_parse(slice);
        return target;
    }
    size_t scheme = slice.length > 0 && slice.text[0] != '/' ? find_scheme_end(slice) : 0;
    if (scheme == 0) {
        split_query(&target, slice);
        return target;
    }
    struct slice rest = slice_from(slice, scheme + 3);
    size_t slash = slice_find(rest, '/');
    size_t mark = slice_find(rest, '?');
    size_t end = slash < mark ? slash : mark;
    target.scheme = slice_until(slice, scheme);
    target.authority = authority_parse(slice_until(rest, end));
    split_query(&target, slice_from(rest, end));
    return target;
}

struct slice list_first(struct slice slice)
{
    return url_trim(slice_until(slice, slice_find(slice, ',')));
}

/* The end of one `name=value`: a separator outside a quoted-string. */
static size_t find_pair_end(struct slice slice)
{
    bool is_quoted = false;
    for (size_t i = 0; i < slice.length; i++) {
        uint8_t byte = slice.text[i];
        if (is_quoted && byte == '\\') {
            i++;
        } else if (byte == '"') {
            is_quoted = !is_quoted;
        } else if (!is_quoted && (byte == ';' || byte == ',')) {
            return i;
        }
    }
    return slice.length;
}

static struct slice without_quotes(struct slice slice)
{
    bool is_quoted =
        slice.length >= 2 && slice.text[0] == '"' && slice.text[slice.length - 1] == '"';
    return is_quoted ? slice_until(slice_from(slice, 1), slice.length - 2) : slice;
}

struct slice forwarded_find(struct slice slice, const char *name)
{
    while (slice.length > 0) {
        size_t end = find_pair_end(slice);
        struct slice pair = url_trim(slice_until(slice, end));
        size_t equals = slice_find(pair, '=');
        if (slice_is_word(slice_until(pair, equals), name)) {
            return without_quotes(slice_from(pair, equals + 1));
        }
        slice = slice_from(slice, end + 1);
    }
    return (struct slice){0};
}

struct key {
    uint8_t length;
    char name[21];
};

#define KEY(literal)                 \
    {                                \
        sizeof(literal) - 1, literal \
    }

/* Case-sensitive; semantic conventions for url.query. */
static const struct key secret_keys[] = {
    KEY("X-Amz-Signature"),
    KEY("X-Amz-Credential"),
    KEY("X-Amz-Security-Token"),
    KEY("AWSAccessKeyId"),
    KEY("Signature"),
    KEY("sig"),
    KEY("X-Goog-Signature"),
};

static bool is_secret(struct slice key)
{
    uint8_t first = key.length > 0 ? key.text[0] : '\0';
    if (first != 'X' && first != 'A' && first != 'S' && first != 's') {
        return false;
    }
    for (size_t i = 0; i < sizeof secret_keys / sizeof secret_keys[0]; i++) {
        if (key.length == secret_keys[i].length &&
            memcmp(key.text, secret_keys[i].name, key.length) == 0) {
            return true;
        }
    }
    return false;
}

/* Everything between two secrets is one piece. */
void query_append(struct describer *out, struct slice query)
{
    static const char redacted[] = "REDACTED";
    size_t told = 0;
    for (size_t at = 0; at < query.length;) {
        struct slice pair = slice_from(query, at);
        pair = slice_until(pair, slice_find(pair, '&'));
        size_t equals = slice_find(pair, '=');
        if (equals < pair.length && is_secret(slice_until(pair, equals))) {
            out->append(out, query.text + told, at + equals + 1 - told);
            out->append(out, redacted, sizeof redacted - 1);
            told = at + pair.length;
        }
        at += pair.length + 1;
    }
    if (told < query.length) {
        out->append(out, query.text + told, query.length - told);
    }
}
