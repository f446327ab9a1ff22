/* SPDX-License-Identifier: Apache-2.0 */
#include "json_read.h"

#include <string.h>

char json_peek(struct json *json)
{
    while (json->at < json->end && strchr(" \t\r\n", *json->at) != NULL && *json->at != '\0')
        json->at++;
    return json->is_bad || json->at == json->end ? '\0' : *json->at;
}

bool json_take(struct json *json, char wanted)
{
    bool is_there = json_peek(json) == wanted && wanted != '\0';
    json->at += is_there;
    return is_there;
}

void json_expect(struct json *json, char wanted)
{
    if (!json_take(json, wanted))
        json->is_bad = true;
}

struct slice json_string(struct json *json)
{
    json_expect(json, '"');
    const char *start = json->at;
    while (!json->is_bad && json->at < json->end && *json->at != '"')
        json->at += *json->at == '\\' && json->end - json->at > 1 ? 2 : 1;
    struct slice found = {start, (size_t)(json->at - start)};
    json_expect(json, '"');
    return json->is_bad ? (struct slice){"", 0} : found;
}

/* Its own reading: strtod depends on the host's locale. */
double json_number(struct json *json)
{
    double value = 0, unit = 1;
    bool is_negative = json_take(json, '-'), has_digits = false;
    int exponent = 0, digit;
    for (bool is_behind = false; json->at < json->end; json->at++) {
        if (*json->at == '.' && !is_behind) {
            is_behind = true;
            continue;
        }
        digit = *json->at - '0';
        if (digit < 0 || digit > 9)
            break;
        has_digits = true;
        value = value * 10 + digit;
        unit = is_behind ? unit * 10 : unit;
    }
    if (has_digits && json->at < json->end && (*json->at | 0x20) == 'e') {
        json->at++;
        bool is_small = json_take(json, '-');
        if (!is_small)
            json_take(json, '+');
        while (json->at < json->end && *json->at >= '0' && *json->at <= '9' && exponent < 100)
            exponent = exponent * 10 + (*json->at++ - '0');
        for (; exponent > 0; exponent--)
            *(is_small ? &unit : &value) *= 10;
    }
    bool is_beyond = value / unit != value / unit; /* both are infinite */
    json->is_bad |= !has_digits || is_beyond;
    return is_beyond ? 0 : is_negative ? -value / unit : value / unit;
}

static bool is_word(char byte)
{
    return (byte >= '0' && byte <= '9') || (byte >= 'A' && byte <= 'Z') ||
           (byte >= 'a' && byte <= 'z') || byte == '+' || byte == '-' || byte == '.';
}

void json_pass(struct json *json, unsigned depth)
{
    char first = json_peek(json), end = first == '{' ? '}' : ']';
    if (first == '"') {
        json_string(json);
        return;
    }
    if (first != '{' && first != '[') { /* a number, or a word */
        const char *start = json->at;
        while (json->at < json->end && is_word(*json->at))
            json->at++;
        json->is_bad |= json->at == start;
        return;
    }
    json->is_bad |= depth == 0;
    json_expect(json, first);
    if (json_take(json, end))
        return;
    do {
        if (first == '{') {
            json_string(json);
            json_expect(json, ':');
        }
        if (!json->is_bad)
            json_pass(json, depth - 1);
    } while (json_take(json, ','));
    json_expect(json, end);
}

bool json_member(struct json *json, bool is_first, struct slice *name)
{
    if (is_first)
        json_expect(json, '{');
    if (json_take(json, '}') || json->is_bad)
        return false;
    if (!is_first)
        json_expect(json, ',');
    *name = json_string(json);
    json_expect(json, ':');
    return !json->is_bad;
}

bool json_element(struct json *json, bool is_first)
{
    if (is_first)
        json_expect(json, '[');
    if (json_take(json, ']') || json->is_bad)
        return false;
    if (!is_first)
        json_expect(json, ',');
    return !json->is_bad;
}

bool json_is_over(struct json *json)
{
    return !json->is_bad && json_peek(json) == '\0' && json->at == json->end;
}
