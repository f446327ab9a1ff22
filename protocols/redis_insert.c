/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A command anew, with its context: fields behind an XADD's own, or members of the JSON objects
 * that are pushed to a list or published. Given is the command from its star to its last byte but
 * one; the line end's last byte is the program's own.
 */
#include "redis.h"
#include "redis_json.h"

#include <string.h>

/* What has no room is measured. */
struct output {
    char *at;
    size_t length, room;
};

struct input {
    const uint8_t *at, *end;
};

static void put(struct output *out, const void *text, size_t length)
{
    if (out->length + length <= out->room) {
        memcpy(out->at + out->length, text, length);
    }
    out->length += length;
}

/* It is not what it should be: nothing has room. */
static void fail(struct output *out)
{
    out->room = 0;
}

static void put_number(struct output *out, char type, uint64_t number)
{
    char text[23];
    size_t at = sizeof text;
    text[--at] = '\n';
    text[--at] = '\r';
    do {
        text[--at] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0 && at > 1);
    text[--at] = type;
    put(out, text + at, sizeof text - at);
}

static void put_text(struct output *out, struct fact text)
{
    put_number(out, '$', text.length);
    put(out, text.text, text.length);
    put(out, "\r\n", 2);
}

/* A type, a number and a line end. */
static bool take_number(struct input *in, size_t *number)
{
    *number = 0;
    for (in->at++; in->at < in->end && (uint8_t)(*in->at - '0') <= 9; in->at++) {
        *number = *number * 10 + (uint8_t)(*in->at - '0');
    }
    bool is_there = in->end - in->at > 2;
    in->at += is_there ? 2 : 0;
    return is_there;
}

static bool take_argument(struct input *in, struct fact *argument)
{
    size_t length;
    if (in->at == in->end || !take_number(in, &length) || length >= (size_t)(in->end - in->at)) {
        return false;
    }
    *argument = (struct fact){in->at, (uint32_t)length};
    in->at += length + 2 < (size_t)(in->end - in->at) ? length + 2 : (size_t)(in->end - in->at);
    return true;
}

/* --- fields -------------------------------------------------------------------------------- */

static void put_fields(struct output *out, struct input *in, const struct insertion *insertion)
{
    size_t count;
    if (!take_number(in, &count)) {
        fail(out);
        return;
    }
    put_number(out, '*', count + 2 * (uint64_t)insertion->count);
    put(out, in->at, (size_t)(in->end - in->at));
    put(out, "\n", 1);
    for (unsigned i = 0; i < insertion->count; i++) {
        put_text(out, insertion->headers[i].name);
        put_text(out, insertion->headers[i].value);
    }
}

/* --- members ------------------------------------------------------------------------------- */

static void put_string(struct output *out, struct fact text)
{
    put(out, "\"", 1);
    for (uint32_t i = 0; i < text.length; i++) {
        bool is_escaped = text.text[i] == '"' || text.text[i] == '\\';
        put(out, "\\", is_escaped);
        put(out, text.text + i, 1);
    }
    put(out, "\"", 1);
}

/* Where members may be inserted; 0: nowhere. */
static size_t find_opening(struct fact value, bool *is_empty)
{
    struct redis_json json = {0};
    struct redis_json_piece piece;
    enum redis_json_found found;
    size_t at = 0, opening = 0;
    while (
        (found = redis_json_walk(&json, value.text, value.length, &at, &piece)) != JSON_NOTHING) {
        opening = found == JSON_OPENED ? at : opening;
    }
    at = opening;
    while (at < value.length && memchr(" \t\r\n", value.text[at], 4) != NULL) {
        at++;
    }
    *is_empty = at < value.length && value.text[at] == '}';
    return json.stage == JSON_OVER && !json.carries ? opening : 0;
}

static void put_context(struct output *out, const struct insertion *insertion, bool is_empty)
{
    for (unsigned i = 0; i < insertion->count; i++) {
        put_string(out, insertion->headers[i].name);
        put(out, ":", 1);
        put_string(out, insertion->headers[i].value);
        put(out, ",", !is_empty || i + 1 < insertion->count);
    }
}

static void put_value(struct output *out, struct fact value, const struct insertion *insertion)
{
    bool is_empty;
    struct output context = {0};
    size_t opening = find_opening(value, &is_empty);
    if (opening == 0) {
        fail(out);
        return;
    }
    put_context(&context, insertion, is_empty);
    put_number(out, '$', value.length + context.length);
    put(out, value.text, opening);
    put_context(out, insertion, is_empty);
    put(out, value.text + opening, value.length - opening);
    put(out, "\r\n", 2);
}

static void put_members(struct output *out, struct input *in, const struct insertion *insertion)
{
    size_t count;
    struct fact argument;
    if (!take_number(in, &count)) {
        fail(out);
        return;
    }
    put_number(out, '*', count);
    for (size_t i = 0; i < count; i++) {
        if (!take_argument(in, &argument)) {
            fail(out);
            return;
        }
        if (i < 2) { /* the command's name, and the list's or the channel's */
            put_text(out, argument);
        } else {
            put_value(out, argument, insertion);
        }
    }
}

size_t redis_insert(const struct insertion *insertion, char *out)
{
    struct fact command = insertion->replaced;
    struct output output = {.at = out, .room = insertion->room};
    struct input input = {command.text, command.text + command.length};
    if (insertion->count == 0) {
        return 0;
    }
    if (insertion->key == REDIS_SPLICE_MEMBERS) {
        put_members(&output, &input, insertion);
    } else {
        put_fields(&output, &input, insertion);
    }
    return output.length - 1 < output.room ? output.length - 1 : 0; /* nothing: 0, too */
}
