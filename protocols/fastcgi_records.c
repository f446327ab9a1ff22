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

static char *put_pair(char *out, struct fact name, struct fact value)
{
    out = put_length(put_length(out, name.length), value.length);
    memcpy(out, name.text, name.length);
    memcpy(out + name.length, value.text, value.length);
    return out + name.length + value.length;
}

static size_t pair_bytes(struct fact name, struct fact value)
{
    return name.length + value.length + (name.length > 0x7f ? 4 : 1) +
           (value.length > 0x7f ? 4 : 1);
}

/* The five bytes that are gone say that the first record is shorter than 256 bytes: it has one
 * pair; the others have a record each. */
size_t fastcgi_insert(const struct insertion *insertion, char *out)
{
    const struct fact *values = insertion->values;
    uint64_t id = insertion->key;
    const struct fact *names = cgi_context_names;
    char *at = out, header[HEADER_BYTES];
    for (size_t i = 0; i < 3; i++) {
        size_t length = pair_bytes(names[i], values[i]);
        if (values[i].length == 0)
            continue;
        if (at == out && length > UINT8_MAX)
            return 0;
        put_header(header, id, length);
        size_t gone = at == out ? SPLICE_AT : 0;
        memcpy(at, header + gone, HEADER_BYTES - gone);
        at = put_pair(at + HEADER_BYTES - gone, names[i], values[i]);
    }
    if (at == out)
        return 0;
    put_header(header, id, 0);
    memcpy(at, header, SPLICE_AT);
    return (size_t)(at + SPLICE_AT - out);
}
