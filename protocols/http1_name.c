/* SPDX-License-Identifier: Apache-2.0 */
/* Header names (RFC 9112, 5.1): what they are made of, and which of them matter. */
#include "context_names.h"
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

/* Of which messages a header matters. */
enum { ASKED = 1 << REQUESTS, ANSWER = 1 << RESPONSES, EITHER = ASKED | ANSWER };

/* ROW(id, length, first letter, what it is, of which messages, which other one to try, name) */
/* clang-format off */
#define HEADERS                                                                                   \
    ROW(HOST, 4, 'h', FIELD_HOST, ASKED, NONE, "host")                                            \
    ROW(USER_AGENT, 10, 'u', FIELD_USER_AGENT, ASKED, NONE, "user-agent")                         \
    ROW(FORWARDED, 9, 'f', FIELD_FORWARDED, ASKED, NONE, "forwarded")                             \
    ROW(X_FORWARDED_FOR, 15, 'x', FIELD_X_FORWARDED_FOR, ASKED, AMZN_TRACE_ID, "x-forwarded-for") \
    ROW(X_FORWARDED_HOST, 16, 'x', FIELD_X_FORWARDED_HOST, ASKED, FOUND_CLUSTER,                  \
        "x-forwarded-host")                                                                       \
    ROW(X_FORWARDED_PROTO, 17, 'x', FIELD_X_FORWARDED_PROTO, ASKED, ELASTIC_PRODUCT,              \
        "x-forwarded-proto")                                                                     \
    ROW(TRACEPARENT, 11, 't', FIELD_TRACEPARENT, ASKED, NONE, "traceparent")                      \
    ROW(TRACESTATE, 10, 't', FIELD_TRACESTATE, ASKED, NONE, "tracestate")                         \
    ROW(BAGGAGE, 7, 'b', FIELD_BAGGAGE, ASKED, NONE, "baggage")                                   \
    ROW(CONTENT_LENGTH, 14, 'c', HEADER_CONTENT_LENGTH, EITHER, NONE, "content-length")           \
    ROW(TRANSFER_ENCODING, 17, 't', HEADER_TRANSFER_ENCODING, EITHER, NONE, "transfer-encoding")  \
    ROW(EXPECT, 6, 'e', HEADER_EXPECT, ASKED, NONE, "expect")                                     \
    ROW(CONTENT_TYPE, 12, 'c', HEADER_CONTENT_TYPE, ASKED, NONE, "content-type")                  \
    ROW(AUTHORIZATION, 13, 'a', HEADER_AUTHORIZATION, ASKED, NONE, "authorization")               \
    ROW(AMZ_TARGET, 12, 'x', HEADER_AMZ_TARGET, ASKED, OPENSEARCH_VERSION, "x-amz-target")        \
    ROW(GUARD, 2, '!', HEADER_GUARD, ASKED, NONE, "!~")

/* Of those that share a slot with one of them. */
#define OTHER_HEADERS                                                                        \
    ROW(AMZN_TRACE_ID, 15, 'x', HEADER_AMZN_TRACE_ID, ASKED, NONE, "x-amzn-trace-id")             \
    ROW(ELASTIC_PRODUCT, 17, 'x', FIELD_COLLECTION, ANSWER, NONE, "x-elastic-product")            \
    ROW(OPENSEARCH_VERSION, 20, 'x', FIELD_COLLECTION, ANSWER, NONE, "x-opensearch-version")      \
    ROW(FOUND_CLUSTER, 24, 'x', FIELD_NAMESPACE, ANSWER, NONE, "x-found-handling-cluster")
/* clang-format on */

enum {
    AT_NONE,
#define ROW(id, length, first, header, roles, next, name) AT_##id,
    HEADERS OTHER_HEADERS
#undef ROW
};

static const struct header_row {
    uint8_t length;
    uint8_t header;
    uint8_t roles;
    uint8_t next;
    char name[28];
} header_rows[] = {{0, HEADER_OTHER, 0, AT_NONE, ""},
#define ROW(id, length, first, header, roles, next, name) {length, header, roles, AT_##next, name},
    HEADERS OTHER_HEADERS
#undef ROW
};

/* Rows by a hash of length and first letter, found by trial. A collision does not compile. */
enum { HEADER_SLOTS = 64 };
#define SLOT(length, first) (((length)*8 + (first)) % HEADER_SLOTS)

static const uint8_t header_slots[HEADER_SLOTS] = {
#define ROW(id, length, first, header, roles, next, name) [SLOT(length, first)] = AT_##id,
    HEADERS
#undef ROW
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

static uint32_t lower_half(const void *text)
{
    uint32_t half;
    memcpy(&half, text, sizeof half);
    return half | 0x20202020;
}

/* The last word of a name overlaps the one before it. */
__attribute__((always_inline)) static inline bool is_name(
    const uint8_t *name, size_t length, const char *lower)
{
    if (length < sizeof(uint64_t)) {
        if (__builtin_expect(length < sizeof(uint32_t), 0)) {
            return name[0] == lower[0] && name[1] == lower[1]; /* the only ones so short have two */
        }
        size_t last = length - sizeof(uint32_t);
        return lower_half(name) == lower_half(lower) &&
               lower_half(name + last) == lower_half(lower + last);
    }
    size_t last = length - sizeof(uint64_t);
    for (size_t i = 0; i < last; i += sizeof(uint64_t)) {
        if (lower_word(name + i) != lower_word(lower + i)) {
            return false;
        }
    }
    return lower_word(name + last) == lower_word(lower + last);
}

/* Apart, so that a name that is in no slot costs the least. */
__attribute__((noinline)) static enum header find_row(
    const uint8_t *name, size_t length, enum role role, unsigned at)
{
    for (; at != AT_NONE; at = header_rows[at].next) {
        const struct header_row *row = &header_rows[at];
        if (row->length == length && (row->roles >> role & 1) != 0 &&
            is_name(name, length, row->name)) {
            return row->header;
        }
    }
    return HEADER_OTHER;
}

static enum header name_header(const uint8_t *name, size_t length, enum role role)
{
    unsigned at = header_slots[SLOT(length, name[0] | 0x20)];
    return at == AT_NONE ? HEADER_OTHER : find_row(name, length, role, at);
}

enum header (*http1_name_header)(const uint8_t *, size_t, enum role) = name_header;

bool http1_edits_answers;

/* What is no context of W3C's may be one of those. */
static enum header name_header_or_more(const uint8_t *name, size_t length, enum role role)
{
    enum header header = name_header(name, length, role);
    if (role == REQUESTS) {
        bool may_be = header == HEADER_OTHER || header == HEADER_AMZN_TRACE_ID;
        enum field field = may_be ? context_other_field(name, length) : FIELD_COUNT;
        return field == FIELD_COUNT     ? header
               : field == FIELD_CONTEXT ? HEADER_CONTEXT
                                        : HEADER_CARRIED;
    }
    bool is_own = header == HEADER_OTHER && http1_edits_answers && length == 13 &&
                  is_name(name, length, "traceresponse");
    return is_own ? HEADER_TRACERESPONSE : header;
}

void protocol_look_for_context(
    protocol_context_names *names, const struct context_row *rows, unsigned count)
{
    context_look_for(names, rows, count);
    http1_name_header = name_header_or_more;
}

void protocol_edit_answers(bool edits)
{
    http1_edits_answers = edits;
    http1_name_header = name_header_or_more;
}
