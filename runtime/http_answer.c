/* SPDX-License-Identifier: Apache-2.0 */
#include "http_answer.h"

#include <string.h>

#include "text.h"

void http_answer_init(struct http_answer *answer, uint8_t *body, size_t body_max, int64_t now_s)
{
    memset(answer, 0, sizeof(*answer));
    answer->body = body;
    answer->body_max = body_max;
    answer->now_s = now_s;
}

/* RFC 9112, 4: HTTP-version SP status-code SP [ reason-phrase ] */
static enum http_phase read_status_line(struct http_answer *answer, struct slice line)
{
    const char *text = line.data;
    if (line.length < 12 || memcmp(text, "HTTP/1.", 7) != 0 || text[8] != ' ')
        return HTTP_BROKEN;
    uint64_t status;
    if (!number_parse((struct slice){text + 9, 3}, 599, &status) || status < 100)
        return HTTP_BROKEN;
    if (line.length > 12 && text[12] != ' ')
        return HTTP_BROKEN;
    answer->status = (int)status;
    answer->keep_alive = text[7] != '0';
    return HTTP_FIELDS;
}

/* Days since 1970-01-01 in the Gregorian calendar; the year is counted from March, so that the
 * leap day is its last. */
static int64_t days_from_civil(int64_t year, int64_t month, int64_t day)
{
    year -= month <= 2;
    int64_t era = year / 400, of_era = year % 400;
    int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static bool read_digits(const char *text, unsigned count, int64_t *value)
{
    uint64_t number;
    if (!number_parse((struct slice){text, count}, 9999, &number))
        return false;
    *value = (int64_t)number;
    return true;
}

static bool read_month(const char *text, int64_t *month)
{
    static const char names[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    for (*month = 1; *month <= 12; ++*month)
        if (memcmp(text, names + 3 * (*month - 1), 3) == 0)
            return true;
    return false;
}

/* Of two digits: the latest that is no more than 50 years ahead (RFC 9110, 5.6.7). */
static int64_t whole_year(int64_t year, int64_t now_s)
{
    int64_t last = 1970 + now_s / 31556952 + 50;
    return last - (last - year) % 100;
}

/* Where the parts of a date stand, behind the name of the day. */
struct date_form {
    uint8_t length, day, month, year, digits, time;
};

/* RFC 9110, 5.6.7: "Sun, 06 Nov 1994 08:49:37 GMT", and of old "Sunday, 06-Nov-94 08:49:37 GMT" and
 * "Sun Nov  6 08:49:37 1994". */
static bool read_date(struct slice text, int64_t now_s, int64_t *unix_s)
{
    static const struct date_form fixed = {26, 2, 5, 9, 4, 14}, of_two = {24, 2, 5, 9, 2, 12},
                                  of_c = {24, 8, 4, 20, 4, 11};
    const char *comma = memchr(text.data, ',', text.length);
    const char *at = comma == NULL ? text.data : comma;
    size_t length = text.length - (size_t)(at - text.data);
    const struct date_form *form = comma == NULL ? &of_c : length == 24 ? &of_two : &fixed;
    int64_t day, month, year, hour, minute, second;
    if (length != form->length || (comma != NULL && memcmp(at + length - 4, " GMT", 4) != 0))
        return false;
    bool is_short = at[form->day] == ' ';
    if (!read_digits(at + form->day + is_short, 2 - is_short, &day) ||
        !read_month(at + form->month, &month) ||
        !read_digits(at + form->year, form->digits, &year) ||
        !read_digits(at + form->time, 2, &hour) || !read_digits(at + form->time + 3, 2, &minute) ||
        !read_digits(at + form->time + 6, 2, &second))
        return false;
    if (form->digits == 2)
        year = whole_year(year, now_s);
    *unix_s = days_from_civil(year, month, day) * 86400 + hour * 3600 + minute * 60 + second;
    return true;
}

/* RFC 9110, 10.2.3: seconds or a date; a time gone by means now. */
static uint32_t read_retry_after(struct http_answer *answer, struct slice value)
{
    uint64_t seconds;
    int64_t date;
    if (!number_parse(value, UINT32_MAX, &seconds)) {
        if (!read_date(value, answer->now_s, &date) || date <= answer->now_s)
            return 0;
        seconds = (uint64_t)(date - answer->now_s);
    }
    return seconds > UINT32_MAX / 1000 ? UINT32_MAX : (uint32_t)seconds * 1000;
}

static bool list_has(struct slice list, const char *word)
{
    struct slice item;
    while (slice_split(&list, ',', &item))
        if (slice_is(item, word))
            return true;
    return false;
}

static enum http_phase read_field(struct http_answer *answer, struct slice line)
{
    if (line.data[0] == ' ' || line.data[0] == '\t')
        return HTTP_FIELDS; /* RFC 9112, 5.2: more of the field before; none of ours is folded */
    const char *colon = memchr(line.data, ':', line.length);
    if (colon == NULL)
        return HTTP_BROKEN;
    struct slice name = {line.data, (size_t)(colon - line.data)};
    struct slice value =
        slice_trim((struct slice){colon + 1, line.length - (size_t)(colon - line.data) - 1});

    if (slice_is(name, "Content-Length")) {
        uint64_t length;
        if (!number_parse(value, INT64_MAX, &length) ||
            (answer->has_length && length != answer->remaining))
            return HTTP_BROKEN;
        answer->has_length = true;
        answer->remaining = length;
    } else if (slice_is(name, "Transfer-Encoding")) {
        answer->chunked = list_has(value, "chunked");
    } else if (slice_is(name, "Connection")) {
        answer->keep_alive =
            answer->keep_alive ? !list_has(value, "close") : list_has(value, "keep-alive");
    } else if (slice_is(name, "Content-Type")) {
        struct slice type;
        answer->protobuf =
            slice_split(&value, ';', &type) && slice_is(type, "application/x-protobuf");
    } else if (slice_is(name, "Retry-After")) {
        answer->retry_after_ms = read_retry_after(answer, value);
    }
    return HTTP_FIELDS;
}

/* RFC 9112, 6.3: how long the body is. */
static enum http_phase end_head(struct http_answer *answer)
{
    if (answer->status < 200 && answer->status != 101) { /* interim: the real one follows */
        answer->status = 0;
        answer->has_length = answer->chunked = false;
        answer->retry_after_ms = 0;
        return HTTP_STATUS_LINE;
    }
    answer->head_complete = true;
    if (answer->status == 101) {
        answer->keep_alive = false;
        return HTTP_DONE;
    }
    if (answer->status == 204 || answer->status == 304)
        return HTTP_DONE;
    if (answer->chunked)
        return HTTP_CHUNK_SIZE;
    if (answer->has_length)
        return answer->remaining > 0 ? HTTP_BODY_LENGTH : HTTP_DONE;
    answer->keep_alive = false;
    return HTTP_BODY_CLOSE;
}

/* RFC 9112, 7.1: chunk-size [ chunk-ext ] */
static enum http_phase read_chunk_size(struct http_answer *answer, struct slice line)
{
    uint64_t size = 0;
    unsigned digits = 0;
    for (; digits < line.length; digits++) {
        char c = line.data[digits] | 0x20;
        if (c >= '0' && c <= '9')
            size = size << 4 | (uint64_t)(c - '0');
        else if (c >= 'a' && c <= 'f')
            size = size << 4 | (uint64_t)(c - 'a' + 10);
        else
            break;
    }
    bool ended = digits == line.length || line.data[digits] == ';' || line.data[digits] == ' ' ||
                 line.data[digits] == '\t';
    if (digits == 0 || digits > 15 || !ended)
        return HTTP_BROKEN;
    answer->remaining = size;
    return size > 0 ? HTTP_CHUNK_DATA : HTTP_TRAILERS;
}

static enum http_phase read_line(struct http_answer *answer, struct slice line)
{
    switch (answer->phase) {
    case HTTP_STATUS_LINE:
        return read_status_line(answer, line);
    case HTTP_FIELDS:
        return line.length > 0 ? read_field(answer, line) : end_head(answer);
    case HTTP_CHUNK_SIZE:
        return read_chunk_size(answer, line);
    case HTTP_CHUNK_END:
        return line.length > 0 ? HTTP_BROKEN : HTTP_CHUNK_SIZE;
    case HTTP_TRAILERS:
        return line.length > 0 ? HTTP_TRAILERS : HTTP_DONE;
    default:
        return HTTP_BROKEN;
    }
}

static size_t feed_line(struct http_answer *answer, const uint8_t *data, size_t length)
{
    const uint8_t *feed = memchr(data, '\n', length);
    size_t taken = feed ? (size_t)(feed - data) + 1 : length;
    size_t text = feed ? taken - 1 : length;
    size_t room = sizeof(answer->line) - answer->line_length;
    size_t kept = text < room ? text : room;
    memcpy(answer->line + answer->line_length, data, kept);
    answer->line_length += (uint32_t)kept;
    /* The lines between chunks belong to the body's bound, those of heads to their own. */
    bool head = answer->phase != HTTP_CHUNK_SIZE && answer->phase != HTTP_CHUNK_END;
    if (head)
        answer->head_bytes += (uint32_t)(taken < HTTP_HEAD_BYTES_MAX ? taken : HTTP_HEAD_BYTES_MAX);
    else
        answer->body_total += taken;
    if (answer->head_bytes > HTTP_HEAD_BYTES_MAX) {
        answer->phase = HTTP_BROKEN;
        return taken;
    }
    /* What does not begin like HTTP need not be read to the end of its line. */
    if (answer->phase == HTTP_STATUS_LINE && answer->line_length >= 7 &&
        memcmp(answer->line, "HTTP/1.", 7) != 0) {
        answer->phase = HTTP_BROKEN;
        return taken;
    }
    if (feed == NULL)
        return taken;
    size_t line = answer->line_length;
    line -= line > 0 && answer->line[line - 1] == '\r';
    answer->phase = read_line(answer, (struct slice){answer->line, line});
    answer->line_length = 0;
    return taken;
}

static size_t feed_body(struct http_answer *answer, const uint8_t *data, size_t length)
{
    size_t taken = length;
    if (answer->phase != HTTP_BODY_CLOSE && taken > answer->remaining)
        taken = (size_t)answer->remaining;
    size_t room = answer->body_max - answer->body_length;
    size_t kept = taken < room ? taken : room;
    memcpy(answer->body + answer->body_length, data, kept);
    answer->body_length += kept;
    answer->body_total += taken;
    if (answer->phase == HTTP_BODY_CLOSE)
        return taken;
    answer->remaining -= taken;
    if (answer->remaining == 0)
        answer->phase = answer->phase == HTTP_CHUNK_DATA ? HTTP_CHUNK_END : HTTP_DONE;
    return taken;
}

void http_answer_feed(struct http_answer *answer, const uint8_t *data, size_t length)
{
    while (length > 0 && answer->phase != HTTP_DONE && answer->phase != HTTP_BROKEN) {
        bool body = answer->phase == HTTP_BODY_LENGTH || answer->phase == HTTP_BODY_CLOSE ||
                    answer->phase == HTTP_CHUNK_DATA;
        size_t taken = body ? feed_body(answer, data, length) : feed_line(answer, data, length);
        data += taken;
        length -= taken;
        uint64_t announced = answer->phase == HTTP_BODY_LENGTH ? answer->remaining : 0;
        if (answer->body_total > HTTP_ANSWER_BYTES_MAX || announced > HTTP_ANSWER_BYTES_MAX) {
            answer->oversize = true;
            answer->phase = HTTP_BROKEN;
        }
    }
    if (length > 0 || answer->phase == HTTP_BROKEN)
        answer->keep_alive = false;
}

void http_answer_end(struct http_answer *answer)
{
    answer->keep_alive = false;
    if (answer->phase == HTTP_BODY_CLOSE)
        answer->phase = HTTP_DONE;
    else if (answer->phase != HTTP_DONE)
        answer->phase = HTTP_BROKEN;
}
