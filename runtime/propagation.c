/* SPDX-License-Identifier: Apache-2.0 */
#include "propagation.h"

#include <string.h>

enum {
    KEY_BYTES_MAX = 256,
    VALUE_BYTES_MAX = 256,
    BAGGAGE_BYTES_MAX = 8192,
    BAGGAGE_MEMBERS_MAX = 64,
    TRACE_ID_AT = 3,
    SPAN_ID_AT = 36,
    FLAGS_AT = 53
};

struct slice {
    const uint8_t *text;
    size_t length;
};

static bool is_space(uint8_t byte)
{
    return byte == ' ' || byte == '\t';
}

static struct slice trim(struct slice slice)
{
    while (slice.length > 0 && is_space(slice.text[0])) {
        slice.text++;
        slice.length--;
    }
    while (slice.length > 0 && is_space(slice.text[slice.length - 1])) {
        slice.length--;
    }
    return slice;
}

/* HEXDIGLC: upper-case digits are invalid. */
static int hex_value(uint8_t digit)
{
    if (digit >= '0' && digit <= '9') {
        return digit - '0';
    }
    return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}

static bool hex_parse(const uint8_t *text, uint8_t *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        int high = hex_value(text[2 * i]);
        int low = hex_value(text[2 * i + 1]);
        if (high < 0 || low < 0) {
            return false;
        }
        bytes[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

/* The digits of four bytes at once, each byte of a word a digit. */
static uint64_t hex_of(uint32_t bytes)
{
    const uint64_t ones = UINT64_C(0x0101010101010101);
    uint64_t wide = (bytes | (uint64_t)bytes << 16) & UINT64_C(0x0000ffff0000ffff);
    wide = (wide | wide << 8) & UINT64_C(0x00ff00ff00ff00ff);
    uint64_t digits = (wide >> 4 | wide << 8) & 15 * ones;
    uint64_t is_letter = (digits + 6 * ones) >> 4 & ones;
    return digits + '0' * ones + is_letter * ('a' - '0' - 10);
}

/* count is a multiple of four. Inlined: the constants are loaded once for both identifiers. */
__attribute__((always_inline)) static inline void hex_format(
    char *out, const uint8_t *bytes, size_t count)
{
    for (size_t i = 0; i < count; i += sizeof(uint32_t)) {
        uint32_t word;
        memcpy(&word, bytes + i, sizeof word);
        uint64_t digits = hex_of(word);
        memcpy(out + 2 * i, &digits, sizeof digits);
    }
}

static bool is_zero(const uint8_t *bytes, size_t count)
{
    uint8_t any = 0;
    for (size_t i = 0; i < count; i++) {
        any |= bytes[i];
    }
    return any == 0;
}

/* Trace Context 3.2.2.1 and 4.3: a later version may append, after a dash, what we do not know. */
static bool version_allows(uint8_t version, struct slice slice)
{
    if (version == 0xff) {
        return false;
    }
    if (slice.length == TRACEPARENT_LENGTH) {
        return true;
    }
    return version > 0 && slice.text[TRACEPARENT_LENGTH] == '-';
}

bool traceparent_parse(const uint8_t *text, size_t length, struct trace_ids *ids)
{
    struct slice slice = trim((struct slice){text, length});
    struct trace_ids found;
    uint8_t version;
    if (slice.length < TRACEPARENT_LENGTH) {
        return false;
    }
    text = slice.text;
    bool has_dashes =
        text[TRACE_ID_AT - 1] == '-' && text[SPAN_ID_AT - 1] == '-' && text[FLAGS_AT - 1] == '-';
    if (!has_dashes || !hex_parse(text, &version, 1) || !version_allows(version, slice)) {
        return false;
    }
    if (!hex_parse(text + TRACE_ID_AT, found.trace_id, sizeof found.trace_id) ||
        !hex_parse(text + SPAN_ID_AT, found.span_id, sizeof found.span_id) ||
        !hex_parse(text + FLAGS_AT, &found.flags, 1)) {
        return false;
    }
    if (is_zero(found.trace_id, sizeof found.trace_id) ||
        is_zero(found.span_id, sizeof found.span_id)) {
        return false;
    }
    found.flags &= FLAG_SAMPLED | FLAG_RANDOM;
    *ids = found;
    return true;
}

void traceparent_format(char *out, const struct trace_ids *ids)
{
    uint8_t flags = ids->flags & (FLAG_SAMPLED | FLAG_RANDOM);
    memcpy(out, "00-", TRACE_ID_AT);
    hex_format(out + TRACE_ID_AT, ids->trace_id, sizeof ids->trace_id);
    out[SPAN_ID_AT - 1] = '-';
    hex_format(out + SPAN_ID_AT, ids->span_id, sizeof ids->span_id);
    out[FLAGS_AT - 1] = '-';
    out[FLAGS_AT] = '0';
    out[FLAGS_AT + 1] = (char)('0' + flags); /* no flag beyond 2 is known */
}

static bool is_key_start(uint8_t byte)
{
    return (byte >= 'a' && byte <= 'z') || (byte >= '0' && byte <= '9');
}

static bool is_key_byte(uint8_t byte)
{
    return is_key_start(byte) || byte == '_' || byte == '-' || byte == '*' || byte == '/' ||
           byte == '@';
}

/* Trace Context level 2, 3.3.2.1: level 1's grammar is a subset. */
static bool is_key(struct slice key)
{
    if (key.length == 0 || key.length > KEY_BYTES_MAX || !is_key_start(key.text[0])) {
        return false;
    }
    for (size_t i = 1; i < key.length; i++) {
        if (!is_key_byte(key.text[i])) {
            return false;
        }
    }
    return true;
}

/* 3.3.2.2; that the last character is no space is certain, since the member was trimmed. */
static bool is_value(struct slice value)
{
    if (value.length == 0 || value.length > VALUE_BYTES_MAX) {
        return false;
    }
    for (size_t i = 0; i < value.length; i++) {
        uint8_t byte = value.text[i];
        if (byte < 0x20 || byte > 0x7e || byte == ',' || byte == '=') {
            return false;
        }
    }
    return true;
}

static size_t find(struct slice slice, uint8_t byte)
{
    const uint8_t *found = slice.length > 0 ? memchr(slice.text, byte, slice.length) : NULL;
    return found != NULL ? (size_t)(found - slice.text) : slice.length;
}

static bool is_member(struct slice member)
{
    size_t equals = find(member, '=');
    if (equals == member.length) {
        return false;
    }
    struct slice key = {member.text, equals};
    struct slice value = {member.text + equals + 1, member.length - equals - 1};
    return is_key(key) && is_value(value);
}

/* Takes the first member of a comma-separated list, trimmed, off the list. */
static struct slice take_member(struct slice *list)
{
    size_t comma = find(*list, ',');
    struct slice member = {list->text, comma};
    size_t taken = comma < list->length ? comma + 1 : comma;
    list->text += taken;
    list->length -= taken;
    return trim(member);
}

bool tracestate_clean(const uint8_t *text, size_t length, char *out, size_t *out_length)
{
    struct slice list = {text, length};
    size_t members = 0;
    size_t at = 0;
    while (list.length > 0) {
        struct slice member = take_member(&list);
        if (member.length == 0) {
            continue;
        }
        if (++members > TRACESTATE_MEMBERS_MAX || !is_member(member)) {
            return false;
        }
        if (at > 0) {
            out[at++] = ',';
        }
        memcpy(out + at, member.text, member.length);
        at += member.length;
    }
    *out_length = at;
    return members > 0;
}

static bool is_printable(struct slice slice)
{
    for (size_t i = 0; i < slice.length; i++) {
        bool is_visible = slice.text[i] >= 0x20 && slice.text[i] <= 0x7e;
        if (!is_visible && slice.text[i] != '\t') {
            return false;
        }
    }
    return true;
}

bool baggage_acceptable(const uint8_t *text, size_t length)
{
    struct slice list = {text, length};
    size_t members = 0;
    if (length > BAGGAGE_BYTES_MAX || !is_printable(list)) {
        return false;
    }
    while (list.length > 0) {
        members += take_member(&list).length > 0;
    }
    return members > 0 && members <= BAGGAGE_MEMBERS_MAX;
}
