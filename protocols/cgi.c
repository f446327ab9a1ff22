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
    char name[24];
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
    VARIABLE("CONTENT_LENGTH", CGI_CONTENT_LENGTH),
};

/* Behind them come context_rows. */
enum { VARIABLES = sizeof(variables) / sizeof(variables[0]) };
_Static_assert(VARIABLES + CONTEXT_ROWS_MAX < 64, "a bit each in cgi_pair.matched");

static const char prefix[] = "HTTP_";
enum { PREFIX_BYTES = sizeof(prefix) - 1 };

uint32_t cgi_name_bytes(struct fact header)
{
    return PREFIX_BYTES + header.length;
}

static char as_variable(uint8_t byte)
{
    return (char)(byte == '-' ? '_' : byte >= 'a' && byte <= 'z' ? byte & ~0x20 : byte);
}

static char as_header(uint8_t byte)
{
    return (char)(byte == '_' ? '-' : byte >= 'A' && byte <= 'Z' ? byte | 0x20 : byte);
}

char *cgi_put_name(char *out, struct fact header)
{
    memcpy(out, prefix, PREFIX_BYTES);
    out += PREFIX_BYTES;
    for (uint32_t i = 0; i < header.length; i++)
        *out++ = as_variable(header.text[i]);
    return out;
}

static unsigned length_of(unsigned variable)
{
    return variable < VARIABLES ? variables[variable].length
                                : PREFIX_BYTES + context_rows[variable - VARIABLES].length;
}

/* As servers make them of a header's. */
static bool is_letter(uint8_t byte)
{
    return (byte >= 'A' && byte <= 'Z') || (byte >= '0' && byte <= '9') || byte == '_';
}

static bool is_open(unsigned variable)
{
    return variable >= VARIABLES && context_rows[variable - VARIABLES].is_open;
}

/* Is this what stands there of its name? */
static bool goes_on(unsigned variable, size_t at, const uint8_t *name, size_t length)
{
    size_t fixed = length_of(variable);
    if (is_open(variable) && at + length > fixed) {
        for (size_t i = at < fixed ? fixed - at : 0; i < length; i++)
            if (!is_letter(name[i]))
                return false;
        if (at + length > fixed + OPEN_NAME_MAX)
            return false;
        length = at < fixed ? fixed - at : 0;
    }
    if (length > fixed - (at < fixed ? at : fixed))
        return false;
    if (variable < VARIABLES)
        return memcmp(variables[variable].name + at, name, length) == 0;
    const char *header = context_rows[variable - VARIABLES].name;
    for (size_t i = 0; i < length; i++, at++) {
        char byte =
            at < PREFIX_BYTES ? prefix[at] : as_variable((uint8_t)header[at - PREFIX_BYTES]);
        if (byte != (char)name[i])
            return false;
    }
    return true;
}

/* What is left are names of this length. */
static void keep_length(struct cgi_pair *pair, uint32_t length)
{
    for (uint64_t rest = pair->matched; rest != 0; rest &= rest - 1) {
        unsigned i = (unsigned)__builtin_ctzll(rest);
        bool fits = is_open(i) ? length > length_of(i) && length <= length_of(i) + OPEN_NAME_MAX
                               : length == length_of(i);
        if (!fits)
            pair->matched &= ~(UINT64_C(1) << i);
    }
}

static void choose_field(struct cgi_pair *pair)
{
    pair->field = FIELD_COUNT;
    if (pair->matched == 0 || pair->value > VARIABLE_BYTES_MAX)
        return;
    unsigned which = (unsigned)__builtin_ctzll(pair->matched);
    if (which < VARIABLES) {
        pair->field = variables[which].field;
        return;
    }
    pair->row = (uint8_t)(which - VARIABLES);
    pair->field = context_rows[pair->row].field;
}

static bool end_name(struct cgi_pair *pair)
{
    if (pair->left > 0)
        return false;
    pair->left = pair->value;
    choose_field(pair);
    return true;
}

void cgi_name_open(struct cgi_pair *pair)
{
    pair->at = 0;
    pair->matched = (UINT64_C(1) << (VARIABLES + context_row_count)) - 1;
}

bool cgi_name_begin(struct cgi_pair *pair)
{
    cgi_name_open(pair);
    keep_length(pair, pair->left);
    return end_name(pair);
}

/* Of the names that are open one at most goes on beyond what is fixed of it. */
static void keep_open(struct cgi_pair *pair, const uint8_t *name, size_t length)
{
    for (uint64_t rest = pair->matched >> VARIABLES; rest != 0; rest &= rest - 1) {
        unsigned i = VARIABLES + (unsigned)__builtin_ctzll(rest);
        size_t fixed = length_of(i), from = pair->at < fixed ? fixed - pair->at : 0;
        if (is_open(i) && from < length)
            memcpy(pair->open + (pair->at + from - fixed), name + from, length - from);
    }
}

void cgi_name_more(struct cgi_pair *pair, const uint8_t *name, size_t length)
{
    for (uint64_t rest = pair->matched; rest != 0; rest &= rest - 1) {
        unsigned i = (unsigned)__builtin_ctzll(rest);
        if (!goes_on(i, pair->at, name, length))
            pair->matched &= ~(UINT64_C(1) << i);
    }
    if (pair->matched == 0)
        return;
    keep_open(pair, name, length);
    pair->at += (uint8_t)length;
}

bool cgi_name_read(struct cgi_pair *pair, const uint8_t *name, size_t length)
{
    cgi_name_more(pair, name, length);
    pair->left -= (uint32_t)length;
    return end_name(pair);
}

void cgi_name_close(struct cgi_pair *pair)
{
    keep_length(pair, pair->at);
    pair->value = 0;
    choose_field(pair);
}

void cgi_tell_name(const struct cgi_pair *pair, struct event event, struct sink *sink)
{
    const struct context_row *row = &context_rows[pair->row];
    char name[UINT8_MAX];
    size_t length = row->length;
    if (!row->is_open) {
        context_tell_name(sink, event, row->name, length);
        return;
    }
    memcpy(name, row->name, length);
    for (size_t at = length + PREFIX_BYTES; at < pair->at; at++)
        name[length++] = as_header(pair->open[at - row->length - PREFIX_BYTES]);
    context_tell_name(sink, event, name, length);
}

enum head_stage {
    HEAD_NAME,
    HEAD_EMPTY_LF,
    HEAD_VERSION,
    HEAD_LEAD,
    HEAD_DIGITS,
    HEAD_REASON,
    HEAD_REST
};

/* How a line may begin, its letters in any case, and what is read next. */
static const struct {
    char text[10];
    uint8_t length;
    uint8_t stage;
    bool redirects;
} beginnings[] = {
    {"status:", 7, HEAD_LEAD, false},
    {"location:", 9, HEAD_REST, true},
    {"http/", 5, HEAD_VERSION, false},
};

enum { BEGINNINGS = sizeof(beginnings) / sizeof(beginnings[0]) };

static void read_name(struct cgi_head *head, uint8_t byte)
{
    uint8_t lower = byte >= 'A' && byte <= 'Z' ? byte | 0x20 : byte;
    if (head->at == 0)
        head->matched = (1u << BEGINNINGS) - 1;
    for (unsigned i = 0; i < BEGINNINGS; i++)
        if ((uint8_t)beginnings[i].text[head->at] != lower)
            head->matched &= (uint8_t) ~(1u << i);
    head->at++;
    unsigned i = (unsigned)__builtin_ctz(head->matched | 1u << BEGINNINGS);
    if (i == BEGINNINGS)
        head->stage = HEAD_REST;
    else if (head->at == beginnings[i].length) {
        head->redirects |= beginnings[i].redirects;
        head->stage = beginnings[i].stage;
    }
}

/* The body may come now; the request has to be sent again; it has waited too long. */
static const struct {
    char text[10];
    uint16_t means;
} reasons[] = {{"Continue", 100}, {"Rejected", 503}, {"Timeout", 504}};

/* True: the line may still be one of those. */
static bool read_reason(struct cgi_head *head, uint8_t byte)
{
    for (uint8_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++) {
        const char *text = reasons[i].text;
        bool is_it = head->at == 0 ? text[0] == (char)byte : head->reason == i + 1;
        if (!is_it || text[head->at] != (byte == '\r' ? '\0' : (char)byte))
            continue;
        head->reason = (uint8_t)(i + 1);
        head->at += byte != '\r';
        return true;
    }
    head->reason = 0;
    return false;
}

static void read_digit(struct cgi_head *head, uint8_t byte)
{
    bool is_digit = byte >= '0' && byte <= '9' && head->at < 3;
    if (head->at == 0 && is_digit)
        head->status = 0;
    if (is_digit)
        head->status = (uint16_t)(head->status * 10 + (byte - '0'));
    bool has_reason = byte == ' ' && head->status == 200;
    head->at = is_digit ? head->at + 1 : 0;
    head->stage = is_digit ? HEAD_DIGITS : has_reason ? HEAD_REASON : HEAD_REST;
}

static void read_byte(struct cgi_head *head, uint8_t byte)
{
    if (byte == '\n') {
        if (head->stage == HEAD_REASON)
            read_reason(head, '\r');
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
    else if (head->stage == HEAD_VERSION)
        head->stage = byte == ' ' ? HEAD_LEAD : HEAD_VERSION;
    else if (head->stage == HEAD_LEAD && (byte == ' ' || byte == '\t'))
        head->at = 0;
    else if (head->stage == HEAD_LEAD) {
        head->at = 0;
        read_digit(head, byte);
    } else if (head->stage == HEAD_DIGITS)
        read_digit(head, byte);
    else if (head->stage == HEAD_REASON && !read_reason(head, byte))
        head->stage = HEAD_REST;
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

uint16_t cgi_head_meaning(const struct cgi_head *head)
{
    return head->reason > 0 ? reasons[head->reason - 1].means : cgi_head_status(head);
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
