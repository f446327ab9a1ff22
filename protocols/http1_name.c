/* SPDX-License-Identifier: Apache-2.0 */
/* Header names (RFC 9112, 5.1): what they are made of, and which of them matter. */
#include "http1.h"

#include <string.h>

/* tchar, RFC 9110, 5.6.2 */
static const bool token_bytes[256] = {
    ['a' ... 'z'] = true,
    ['A' ... 'Z'] = true,
    ['0' ... '9'] = true,
    ['!'] = true,
    ['#' ... '\''] = true,
    ['*'] = true,
    ['+'] = true,
    ['-'] = true,
    ['.'] = true,
    ['^' ... '`'] = true,
    ['|'] = true,
    ['~'] = true,
};

struct header_row {
    uint8_t length;
    uint8_t header;
    char name[20];
};

/* By a hash of length and first letter, found by trial. A collision does not compile. */
enum { HEADER_SLOTS = 64 };
#define SLOT(length, first) (((length)*8 + (first)) % HEADER_SLOTS)

static const struct header_row header_rows[HEADER_SLOTS] = {
    [SLOT(4, 'h')] = {4, FIELD_HOST, "host"},
    [SLOT(10, 'u')] = {10, FIELD_USER_AGENT, "user-agent"},
    [SLOT(9, 'f')] = {9, FIELD_FORWARDED, "forwarded"},
    [SLOT(15, 'x')] = {15, FIELD_X_FORWARDED_FOR, "x-forwarded-for"},
    [SLOT(16, 'x')] = {16, FIELD_X_FORWARDED_HOST, "x-forwarded-host"},
    [SLOT(17, 'x')] = {17, FIELD_X_FORWARDED_PROTO, "x-forwarded-proto"},
    [SLOT(11, 't')] = {11, FIELD_TRACEPARENT, "traceparent"},
    [SLOT(10, 't')] = {10, FIELD_TRACESTATE, "tracestate"},
    [SLOT(7, 'b')] = {7, FIELD_BAGGAGE, "baggage"},
    [SLOT(14, 'c')] = {14, HEADER_CONTENT_LENGTH, "content-length"},
    [SLOT(17, 't')] = {17, HEADER_TRANSFER_ENCODING, "transfer-encoding"},
    [SLOT(6, 'e')] = {6, HEADER_EXPECT, "expect"},
    [SLOT(12, 'c')] = {12, HEADER_CONTENT_TYPE, "content-type"},
    [SLOT(13, 'a')] = {13, HEADER_AUTHORIZATION, "authorization"},
    [SLOT(12, 'x')] = {12, HEADER_AMZ_TARGET, "x-amz-target"},
};

size_t http1_name_scan(const uint8_t *data, size_t at, size_t end)
{
    while (at < end && token_bytes[data[at]]) {
        at++;
    }
    return at;
}

static uint64_t lower_word(const void *text)
{
    uint64_t word;
    memcpy(&word, text, sizeof word);
    return word | UINT64_C(0x2020202020202020);
}

/* The last word of a name overlaps the one before it. */
__attribute__((always_inline)) static inline bool is_name(
    const uint8_t *name, size_t length, const char *lower)
{
    if (length >= sizeof(uint64_t)) {
        size_t last = length - sizeof(uint64_t);
        for (size_t i = 0; i < last; i += sizeof(uint64_t)) {
            if (lower_word(name + i) != lower_word(lower + i)) {
                return false;
            }
        }
        return lower_word(name + last) == lower_word(lower + last);
    }
    for (size_t i = 0; i < length; i++) {
        if ((name[i] | 0x20) != lower[i]) {
            return false;
        }
    }
    return true;
}

/* Two names share both; this is about the other one. */
__attribute__((noinline)) static enum header name_twin(const uint8_t *name)
{
    static const char twin[] = "x-amzn-trace-id";
    return is_name(name, sizeof twin - 1, twin) ? HEADER_AMZN_TRACE_ID : HEADER_OTHER;
}

/* Of the length and the first letter of one that matters. */
static enum header name_candidate(
    const struct header_row *row, const uint8_t *name, size_t length, enum role role)
{
    if (role != REQUESTS && row->header != HEADER_CONTENT_LENGTH &&
        row->header != HEADER_TRANSFER_ENCODING) {
        return HEADER_OTHER;
    }
    if (is_name(name, length, row->name)) {
        return row->header;
    }
    return row->header == FIELD_X_FORWARDED_FOR ? name_twin(name) : HEADER_OTHER;
}

static enum header name_header(const uint8_t *name, size_t length, enum role role)
{
    const struct header_row *row = &header_rows[SLOT(length, name[0] | 0x20)];
    return row->length == length ? name_candidate(row, name, length, role) : HEADER_OTHER;
}

enum header (*http1_name_header)(const uint8_t *, size_t, enum role) = name_header;

static protocol_context_names *is_context;
bool http1_edits_answers;

/* What is no context of W3C's may be one of those. */
static enum header name_header_or_more(const uint8_t *name, size_t length, enum role role)
{
    enum header header = name_header(name, length, role);
    if (role == REQUESTS) {
        bool may_be = header == HEADER_OTHER || header == HEADER_AMZN_TRACE_ID;
        return may_be && is_context != NULL && is_context(name, length) ? HEADER_CONTEXT : header;
    }
    bool is_own = header == HEADER_OTHER && http1_edits_answers && length == 13 &&
                  is_name(name, length, "traceresponse");
    return is_own ? HEADER_TRACERESPONSE : header;
}

void protocol_look_for_context(protocol_context_names *names)
{
    is_context = names;
    http1_name_header = name_header_or_more;
}

void protocol_edit_answers(bool edits)
{
    http1_edits_answers = edits;
    http1_name_header = name_header_or_more;
}
