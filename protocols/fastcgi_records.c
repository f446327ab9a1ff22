/* SPDX-License-Identifier: Apache-2.0 */
#include "fastcgi.h"

#include <string.h>

#include "cgi.h"

/* Can byte `at` of a client's first record be this? Management, or a request's beginning. */
static bool fits(const uint8_t *bytes, size_t at)
{
    bool is_begin = bytes[1] == TYPE_BEGIN;
    switch (at) {
    case 0:
        return bytes[0] == 1;
    case 1:
        return is_begin || bytes[1] == TYPE_GET_VALUES;
    case 3:
        return (bytes[2] != 0 || bytes[3] != 0) == is_begin;
    case 4:
        return !is_begin || bytes[4] == 0;
    case 5:
        return !is_begin || bytes[5] == BEGIN_BYTES;
    case 8:
        return !is_begin || bytes[8] == 0;
    case 9:
        return !is_begin || (bytes[9] >= 1 && bytes[9] <= 3);
    case 10:
        return !is_begin || bytes[10] <= 1;
    case 2:
    case 6:
    case 7:
        return true;
    default:
        return !is_begin || bytes[at] == 0;
    }
}

enum verdict fastcgi_probe(const struct prefix prefixes[2], enum direction *requests)
{
    enum direction from = prefixes[DIRECTION_IN].length > 0 ? DIRECTION_IN : DIRECTION_OUT;
    const struct prefix *prefix = &prefixes[from];
    if (prefixes[direction_other(from)].length > 0)
        return VERDICT_NO; /* the client speaks first */
    for (size_t i = 0; i < HEADER_BYTES + BEGIN_BYTES; i++) {
        if (i == prefix->length)
            return VERDICT_MORE;
        if (!fits(prefix->bytes, i))
            return VERDICT_NO;
    }
    *requests = from;
    return VERDICT_YES;
}

static char *put_header(char *out, uint64_t id, size_t length)
{
    const char header[HEADER_BYTES] = {
        1, TYPE_PARAMS, (char)(id >> 8), (char)id, (char)(length >> 8), (char)length, 0, 0};
    memcpy(out, header, sizeof(header));
    return out + sizeof(header);
}

static char *put_length(char *out, size_t length)
{
    if (length > 0x7f) {
        *out++ = (char)(0x80 | length >> 24);
        *out++ = (char)(length >> 16);
        *out++ = (char)(length >> 8);
    }
    *out++ = (char)length;
    return out;
}

static char *put_pair(char *out, const struct context_header *header)
{
    struct fact value = header->value;
    out = put_length(put_length(out, cgi_name_bytes(header->name)), value.length);
    out = cgi_put_name(out, header->name);
    memcpy(out, value.text, value.length);
    return out + value.length;
}

static size_t pair_bytes(const struct context_header *header)
{
    size_t name = cgi_name_bytes(header->name), value = header->value.length;
    return name + value + (name > 0x7f ? 4 : 1) + (value > 0x7f ? 4 : 1);
}

static bool is_short(const struct context_header *header)
{
    return pair_bytes(header) <= UINT8_MAX;
}

static char *put_record(char *out, uint64_t id, const struct context_header *header)
{
    return put_pair(put_header(out, id, pair_bytes(header)), header);
}

/* The five bytes that are gone say that the first record is shorter than 256 bytes: it has one
 * pair, the first that is short; the others have a record each. */
size_t fastcgi_insert(const struct insertion *insertion, char *out)
{
    const struct context_header *headers = insertion->headers;
    uint64_t id = insertion->key;
    char *at = out, header[HEADER_BYTES];
    unsigned first = 0;
    while (first < insertion->count && !is_short(&headers[first]))
        first++;
    if (first == insertion->count)
        return 0;
    put_header(header, id, pair_bytes(&headers[first]));
    memcpy(at, header + SPLICE_AT, HEADER_BYTES - SPLICE_AT);
    at = put_pair(at + HEADER_BYTES - SPLICE_AT, &headers[first]);
    for (unsigned i = 0; i < insertion->count; i++)
        if (i != first)
            at = put_record(at, id, &headers[i]);
    put_header(header, id, 0);
    memcpy(at, header, SPLICE_AT);
    return (size_t)(at + SPLICE_AT - out);
}
