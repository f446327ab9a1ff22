/* SPDX-License-Identifier: Apache-2.0 */
#include "cgi.h"

#include <string.h>

#include "http1.h"

#define VARIABLE(name, field)         \
    {                                 \
        name, sizeof(name) - 1, field \
    }

/* RFC 3875, 4.1; REQUEST_URI and REQUEST_SCHEME are what every server adds. */
static const struct {
    const char *name;
    uint8_t length;
    uint8_t field;
} variables[] = {
    VARIABLE("REQUEST_METHOD", FIELD_METHOD),
    VARIABLE("REQUEST_URI", FIELD_TARGET),
    VARIABLE("REQUEST_SCHEME", FIELD_SCHEME),
    VARIABLE("REMOTE_ADDR", FIELD_CLIENT_ADDRESS),
    VARIABLE("HTTP_HOST", FIELD_HOST),
    VARIABLE("HTTP_USER_AGENT", FIELD_USER_AGENT),
    VARIABLE("HTTP_FORWARDED", FIELD_FORWARDED),
    VARIABLE("HTTP_X_FORWARDED_FOR", FIELD_X_FORWARDED_FOR),
    VARIABLE("HTTP_X_FORWARDED_HOST", FIELD_X_FORWARDED_HOST),
    VARIABLE("HTTP_X_FORWARDED_PROTO", FIELD_X_FORWARDED_PROTO),
    VARIABLE("HTTP_TRACEPARENT", FIELD_TRACEPARENT),
    VARIABLE("HTTP_TRACESTATE", FIELD_TRACESTATE),
    VARIABLE("HTTP_BAGGAGE", FIELD_BAGGAGE),
};

enum { VARIABLES = sizeof(variables) / sizeof(variables[0]) };
_Static_assert(VARIABLES <= 16, "a bit each in cgi_pair.matched");

static bool end_name(struct cgi_pair *pair)
{
    if (pair->left > 0)
        return false;
    pair->left = pair->value;
    pair->field = pair->matched == 0 || pair->value > VARIABLE_BYTES_MAX
                      ? FIELD_COUNT
                      : variables[__builtin_ctz(pair->matched)].field;
    return true;
}

bool cgi_name_begin(struct cgi_pair *pair)
{
    pair->at = 0;
    pair->matched = 0;
    for (unsigned i = 0; i < VARIABLES; i++)
        pair->matched |= (uint16_t)((variables[i].length == pair->left) << i);
    return end_name(pair);
}

bool cgi_name_read(struct cgi_pair *pair, const uint8_t *name, size_t length)
{
    for (unsigned rest = pair->matched; rest != 0; rest &= rest - 1) {
        unsigned i = (unsigned)__builtin_ctz(rest);
        if (memcmp(variables[i].name + pair->at, name, length) != 0)
            pair->matched &= (uint16_t) ~(1u << i);
    }
    if (pair->matched != 0)
        pair->at += (uint8_t)length;
    pair->left -= (uint32_t)length;
    return end_name(pair);
}

enum head_stage { HEAD_NAME, HEAD_EMPTY_LF, HEAD_LEAD, HEAD_DIGITS, HEAD_REST };

enum { MATCHES_STATUS = 1, MATCHES_LOCATION = 2 };

static bool is_next(const char *literal, uint8_t at, uint8_t byte)
{
    return (byte == ':' ? byte : byte | 0x20) == (uint8_t)literal[at];
}

static void read_name(struct cgi_head *head, uint8_t byte)
{
    static const char status[] = "status:", location[] = "location:";
    if (head->at == 0)
        head->matched = MATCHES_STATUS | MATCHES_LOCATION;
    if ((head->matched & MATCHES_STATUS) && !is_next(status, head->at, byte))
        head->matched &= (uint8_t)~MATCHES_STATUS;
    if ((head->matched & MATCHES_LOCATION) && !is_next(location, head->at, byte))
        head->matched &= (uint8_t)~MATCHES_LOCATION;
    head->at++;
    if (head->matched == 0)
        head->stage = HEAD_REST;
    else if (byte == ':') {
        head->redirects |= head->matched == MATCHES_LOCATION;
        head->stage = head->matched == MATCHES_STATUS ? HEAD_LEAD : HEAD_REST;
    }
}

static void read_digit(struct cgi_head *head, uint8_t byte)
{
    bool is_digit = byte >= '0' && byte <= '9' && head->at < 3;
    if (head->at == 0 && is_digit)
        head->status = 0;
    if (is_digit)
        head->status = (uint16_t)(head->status * 10 + (byte - '0'));
    head->at += is_digit;
    head->stage = is_digit ? HEAD_DIGITS : HEAD_REST;
}

static void read_byte(struct cgi_head *head, uint8_t byte)
{
    if (byte == '\n') {
        head->is_complete = head->stage == HEAD_EMPTY_LF || (head->stage == HEAD_NAME && !head->at);
        head->stage = HEAD_NAME;
        head->at = 0;
        return;
    }
    if (head->stage == HEAD_NAME && head->at == 0 && byte == '\r')
        head->stage = HEAD_EMPTY_LF;
    else if (head->stage == HEAD_NAME)
        read_name(head, byte);
    else if (head->stage == HEAD_EMPTY_LF)
        head->stage = HEAD_REST;
    else if (head->stage == HEAD_LEAD && (byte == ' ' || byte == '\t'))
        head->at = 0;
    else if (head->stage == HEAD_LEAD) {
        head->at = 0;
        read_digit(head, byte);
    } else if (head->stage == HEAD_DIGITS)
        read_digit(head, byte);
}

size_t cgi_head_read(struct cgi_head *head, const uint8_t *data, size_t length)
{
    size_t at = 0;
    while (at < length && !head->is_complete) {
        const uint8_t *end = head->stage == HEAD_REST ? memchr(data + at, '\n', length - at) : NULL;
        if (head->stage == HEAD_REST && end == NULL)
            return length;
        if (end != NULL)
            at = (size_t)(end - data);
        read_byte(head, data[at++]);
    }
    return at;
}

uint16_t cgi_head_status(const struct cgi_head *head)
{
    if (head->status >= 100)
        return head->status;
    return head->redirects ? 302 : 200;
}

/* The variables say of whom and by which scheme the web server was asked: what a proxy says in its
 * headers. */
void cgi_describe(const struct facts *facts, struct describer *out)
{
    static const enum field stands_for[][2] = {
        {FIELD_X_FORWARDED_FOR, FIELD_CLIENT_ADDRESS}, {FIELD_X_FORWARDED_PROTO, FIELD_SCHEME}};
    struct facts http = *facts;
    for (size_t i = 0; i < sizeof(stands_for) / sizeof(stands_for[0]); i++)
        if (http.texts[stands_for[i][0]].length == 0)
            http.texts[stands_for[i][0]] = http.texts[stands_for[i][1]];
    http.is_secure |= http.texts[FIELD_SCHEME].length == 5; /* https */
    http1_describe(&http, out);
}
