/* SPDX-License-Identifier: Apache-2.0 */
#include "json_find.h"

#include <string.h>

struct reader {
    const char *at, *end;
};

static void skip_blanks(struct reader *r)
{
    while (r->at < r->end && (*r->at == ' ' || *r->at == '\t' || *r->at == '\n' || *r->at == '\r'))
        r->at++;
}

static bool skip_char(struct reader *r, char c)
{
    skip_blanks(r);
    if (r->at == r->end || *r->at != c)
        return false;
    r->at++;
    return true;
}

static bool skip_text(struct reader *r)
{
    if (!skip_char(r, '"'))
        return false;
    for (; r->at < r->end; r->at++) {
        if (*r->at == '"') {
            r->at++;
            return true;
        }
        r->at += *r->at == '\\' && r->at + 1 < r->end;
    }
    return false;
}

/* An object or array is passed over by its brackets; texts in it may hold any. */
static bool skip_nested(struct reader *r)
{
    for (uint32_t depth = 0; r->at < r->end;) {
        if (*r->at == '"') {
            if (!skip_text(r))
                return false;
            continue;
        }
        char c = *r->at++;
        depth += c == '{' || c == '[';
        if ((c == '}' || c == ']') && --depth == 0)
            return true;
    }
    return false;
}

static bool skip_value(struct reader *r)
{
    skip_blanks(r);
    if (r->at == r->end)
        return false;
    if (*r->at == '"')
        return skip_text(r);
    if (*r->at == '{' || *r->at == '[')
        return skip_nested(r);
    const char *from = r->at;
    while (r->at < r->end && memchr(",}] \t\r\n", *r->at, 7) == NULL)
        r->at++;
    return r->at > from;
}

struct slice json_find(struct slice json, const char *key)
{
    const struct slice none = {NULL, 0};
    if (json.length == 0)
        return none;
    struct reader r = {json.data, json.data + json.length};
    size_t length = strlen(key);
    if (!skip_char(&r, '{'))
        return none;
    do {
        skip_blanks(&r);
        const char *name = r.at;
        if (!skip_text(&r))
            return none;
        bool is_it = (size_t)(r.at - name) == length + 2 && memcmp(name + 1, key, length) == 0;
        if (!skip_char(&r, ':'))
            return none;
        skip_blanks(&r);
        const char *value = r.at;
        if (!skip_value(&r))
            return none;
        if (is_it)
            return (struct slice){value, (size_t)(r.at - value)};
    } while (skip_char(&r, ','));
    return none;
}

static int digit(char c)
{
    const char *digits = "0123456789abcdef";
    const char *at = memchr(digits, c >= 'A' && c <= 'F' ? c | 0x20 : c, 16);
    return at == NULL ? -1 : (int)(at - digits);
}

/* Four digits behind \u; halves of a pair and what is no number become '?'. */
static size_t put_point(const char *at, char *out)
{
    uint32_t point = 0;
    for (int i = 0; i < 4; i++) {
        int value = digit(at[i]);
        if (value < 0)
            point = 0xD800;
        else if (point < 0xD800)
            point = point << 4 | (uint32_t)value;
    }
    if (point < 0x80) {
        out[0] = (char)point;
        return 1;
    }
    if (point < 0x800) {
        out[0] = (char)(0xC0 | point >> 6);
        out[1] = (char)(0x80 | (point & 63));
        return 2;
    }
    if (point >= 0xD800 && point < 0xE000) {
        out[0] = '?';
        return 1;
    }
    out[0] = (char)(0xE0 | point >> 12);
    out[1] = (char)(0x80 | (point >> 6 & 63));
    out[2] = (char)(0x80 | (point & 63));
    return 3;
}

size_t json_characters(struct slice value, char *out, size_t room)
{
    static const char escapes[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
    size_t used = 0;
    if (value.length < 2 || value.data[0] != '"')
        return 0;
    const char *end = value.data + value.length - 1;
    for (const char *at = value.data + 1; at < end; at++) {
        if (room - used < 3)
            return 0;
        if (*at != '\\') {
            out[used++] = *at;
            continue;
        }
        const char *escape = ++at < end ? memchr(escapes, *at, sizeof(escapes) - 1) : NULL;
        if (escape != NULL)
            out[used++] = meant[escape - escapes];
        else if (end - at > 4 && *at == 'u') {
            used += put_point(at + 1, out + used);
            at += 4;
        } else
            return 0;
    }
    return used;
}
