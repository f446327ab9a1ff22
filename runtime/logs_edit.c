/* SPDX-License-Identifier: Apache-2.0 */
#include "logs_edit.h"

#include <string.h>

#include "format.h"
#include "text.h"

static void put_hex(struct format *format, const uint8_t *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        const char digits[] = {
            "0123456789abcdef"[bytes[i] >> 4], "0123456789abcdef"[bytes[i] & 15]};
        format_bytes(format, digits, sizeof(digits));
    }
}

static void put_trace(struct format *format, const struct trace_ids *ids)
{
    put_hex(format, ids->trace_id, sizeof(ids->trace_id));
}

static void put_span(struct format *format, const struct trace_ids *ids)
{
    put_hex(format, ids->span_id, sizeof(ids->span_id));
}

static void put_flags(struct format *format, const struct trace_ids *ids)
{
    uint8_t flags = ids->flags & (FLAG_SAMPLED | FLAG_RANDOM);
    put_hex(format, &flags, 1);
}

static const struct place {
    const char *name;
    void (*put)(struct format *format, const struct trace_ids *ids);
} places[] = {{"{trace_id}", put_trace}, {"{span_id}", put_span}, {"{trace_flags}", put_flags}};

static const struct place *place_at(const char *text)
{
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++)
        if (strncmp(text, places[i].name, strlen(places[i].name)) == 0)
            return &places[i];
    return NULL;
}

static void fill_in(struct format *format, const char *text, const struct trace_ids *ids)
{
    while (*text != '\0') {
        const struct place *place = place_at(text);
        if (place != NULL)
            place->put(format, ids);
        else
            format_bytes(format, text, 1);
        text += place != NULL ? strlen(place->name) : 1;
    }
}

bool logs_suffix_is_usable(const char *suffix)
{
    static const struct trace_ids none;
    char text[LOGS_OURS_MAX];
    struct format format;
    format_start(&format, text, sizeof(text));
    fill_in(&format, suffix, &none);
    for (const char *at = suffix; *at != '\0'; at++)
        if ((uint8_t)*at < ' ' && *at != '\t')
            return false;
    return format.fits && strstr(suffix, "{trace_id}") != NULL;
}

static bool is_blank(char byte)
{
    return byte == ' ' || byte == '\t';
}

/* RFC 8259, as far as it matters where an object ends: its strings and its brackets. */
static bool is_object(struct slice line)
{
    uint32_t depth = 0;
    bool in_string = false;
    size_t first = 1;
    while (first < line.length && is_blank(line.data[first]))
        first++;
    if (first == line.length || (line.data[first] != '"' && line.data[first] != '}'))
        return false;
    for (size_t i = 0; i < line.length; i++) {
        char byte = line.data[i];
        if (in_string && byte == '\\')
            i++;
        else if (byte == '"')
            in_string = !in_string;
        else if (!in_string && (byte == '{' || byte == '['))
            depth++;
        else if (!in_string && (byte == '}' || byte == ']') && --depth == 0)
            return byte == '}' && i + 1 == line.length;
    }
    return false;
}

static bool has_members(struct slice object)
{
    for (size_t i = 1; i + 1 < object.length; i++)
        if (!is_blank(object.data[i]))
            return true;
    return false;
}

static void put_members(struct format *format, bool has_others, const struct trace_ids *ids)
{
    fill_in(format, has_others ? ",\"trace_id\":\"" : "\"trace_id\":\"", ids);
    put_trace(format, ids);
    fill_in(format, "\",\"span_id\":\"", ids);
    put_span(format, ids);
    fill_in(format, "\",\"trace_flags\":\"", ids);
    put_flags(format, ids);
    fill_in(format, "\"", ids);
}

enum kind { KIND_LEFT, KIND_TEXT, KIND_OBJECT };

static enum kind kind_of(struct slice line)
{
    static const char name[] = "trace_id";
    struct slice inner = slice_trim(line);
    if (inner.length == 0 || line.data[line.length - 1] == '\r' ||
        memchr(line.data, '\0', line.length) != NULL ||
        memmem(line.data, line.length, name, sizeof(name) - 1) != NULL)
        return KIND_LEFT;
    if (inner.data[0] == '{')
        return inner.length == line.length && is_object(line) ? KIND_OBJECT : KIND_LEFT;
    bool is_array = inner.data[0] == '[' && inner.data[inner.length - 1] == ']';
    return is_array ? KIND_LEFT : KIND_TEXT;
}

/* The line with its end, and ours in it if it has a kind. */
static bool put_line(struct format *out, char *begin, struct slice line, enum kind kind,
    const struct logs_form *form, const struct trace_ids *ids, struct logs_edit *edit)
{
    size_t behind = kind == KIND_OBJECT ? 1 : 0;
    format_bytes(out, line.data, line.length - behind);
    const char *from = out->at;
    if (kind == KIND_OBJECT)
        put_members(out, has_members(line), ids);
    else if (kind == KIND_TEXT)
        fill_in(out, form->suffix, ids);
    size_t ours = (size_t)(out->at - from);
    if (ours > 0)
        edit->ours[edit->count++] = (struct logs_part){(uint16_t)(from - begin), (uint16_t)ours};
    format_bytes(out, line.data + line.length - behind, behind + 1);
    return out->fits;
}

/* An object over several lines is read as a whole. */
static bool is_spread_out(struct slice first)
{
    return first.length > 0 && first.data[0] == '{' && !is_object(first);
}

static struct slice line_at(const char *text, size_t length, size_t at)
{
    const char *end = memchr(text + at, '\n', length - at);
    return (struct slice){text + at, (size_t)(end - (text + at))};
}

bool logs_edit(const char *text, size_t length, const struct logs_form *form,
    const struct trace_ids *ids, char *out, struct logs_edit *edit)
{
    struct format format;
    edit->count = 0;
    if (length == 0 || length >= LOGS_WRITE_MAX || text[length - 1] != '\n')
        return false;
    struct slice first = line_at(text, length, 0);
    if (first.length + 1 < length && (!form->several || is_spread_out(first)))
        return false;
    format_start(&format, out, LOGS_WRITE_MAX);
    for (size_t at = 0; at < length;) {
        struct slice line = line_at(text, length, at);
        enum kind kind = edit->count < LOGS_LINES_MAX ? kind_of(line) : KIND_LEFT;
        if (!put_line(&format, out, line, kind, form, ids, edit))
            return false;
        at += line.length + 1;
    }
    edit->length = (size_t)(format.at - out);
    return edit->count > 0;
}

size_t logs_of_host(const struct logs_edit *edit, size_t taken)
{
    size_t host = taken;
    for (uint32_t i = 0; i < edit->count && edit->ours[i].at < taken; i++) {
        size_t part = taken - edit->ours[i].at;
        host -= part < edit->ours[i].length ? part : edit->ours[i].length;
    }
    return host;
}

size_t logs_due(const struct logs_edit *edit, size_t taken)
{
    for (uint32_t i = 0; i < edit->count && edit->ours[i].at < taken; i++) {
        size_t end = (size_t)edit->ours[i].at + edit->ours[i].length;
        if (taken < end)
            return end - taken;
    }
    return 0;
}
