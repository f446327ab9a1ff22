/* SPDX-License-Identifier: Apache-2.0 */
/* Which members of a JSON object carry a context (RFC 8259): a walk that may stop at any byte. */
#include "redis_json.h"

#include <string.h>

static bool is_space(uint8_t byte)
{
    return byte == ' ' || byte == '\t' || byte == '\r' || byte == '\n';
}

static bool is_of_literal(uint8_t byte)
{
    return (byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'z') || byte == '-' ||
           byte == '+' || byte == '.' || byte == 'E';
}

static bool expects_value(const struct redis_json *json)
{
    return json->next <= JSON_VALUE_OR_END;
}

static void add_to_word(struct redis_json *json, uint8_t byte)
{
    if (json->word_length < sizeof json->word) {
        json->word[json->word_length] = byte;
    }
    json->word_length += json->word_length <= sizeof json->word; /* one more: it is none */
}

/* False: it stands where none can. */
static bool take_colon(struct redis_json *json)
{
    static const char headers[] = "headers";
    bool is_of_message = json->depth == 1 || (json->depth == 2 && json->is_in_headers);
    bool may_matter = is_of_message && json->word_length <= sizeof json->word;
    bool is_colon = json->next == JSON_COLON;
    json->next = JSON_VALUE;
    json->is_headers = may_matter && json->depth == 1 && json->word_length == sizeof headers - 1 &&
                       memcmp(json->word, headers, sizeof headers - 1) == 0;
    json->field =
        (uint8_t)(may_matter ? context_field(json->word, json->word_length) : FIELD_COUNT);
    json->carries |= json->field != FIELD_COUNT;
    return is_colon;
}

static bool take_comma(struct redis_json *json)
{
    bool is_comma = json->next == JSON_COMMA_OR_END;
    json->next = (json->objects & 1) != 0 ? JSON_NAME : JSON_VALUE;
    return is_comma;
}

static bool begin_string(struct redis_json *json)
{
    bool is_value = expects_value(json);
    bool is_name = json->next == JSON_NAME || json->next == JSON_NAME_OR_END;
    bool is_told = json->next == JSON_VALUE && json->field != FIELD_COUNT;
    json->stage = is_told ? JSON_TOLD : JSON_STRING;
    json->is_first = true;
    json->next = is_name ? JSON_COLON : JSON_COMMA_OR_END;
    if (is_name) {
        json->word_length = 0;
    }
    return is_name || (is_value && json->depth > 0);
}

static bool begin_literal(struct redis_json *json, uint8_t byte)
{
    static const char firsts[] = "-0123456789tfn";
    bool is_value =
        expects_value(json) && json->depth > 0 && memchr(firsts, byte, sizeof firsts - 1) != NULL;
    json->stage = JSON_LITERAL;
    json->next = JSON_COMMA_OR_END;
    return is_value;
}

static bool open_aggregate(struct redis_json *json, bool is_object, bool *is_opened)
{
    bool may_begin =
        expects_value(json) && json->depth < JSON_DEPTH_MAX && (json->depth > 0 || is_object);
    bool is_of_headers =
        json->depth == 1 && is_object && json->next == JSON_VALUE && json->is_headers;
    json->is_in_headers |= is_of_headers;
    json->objects = json->objects << 1 | is_object;
    json->next = is_object ? JSON_NAME_OR_END : JSON_VALUE_OR_END;
    json->field = FIELD_COUNT;
    *is_opened = json->depth++ == 0 || is_of_headers;
    return may_begin;
}

static bool close_aggregate(struct redis_json *json, bool is_object)
{
    enum redis_json_next empty = is_object ? JSON_NAME_OR_END : JSON_VALUE_OR_END;
    bool may_end = json->depth > 0 && ((json->objects & 1) != 0) == is_object &&
                   (json->next == JSON_COMMA_OR_END || json->next == empty);
    json->objects >>= 1;
    json->depth--;
    json->next = JSON_COMMA_OR_END;
    json->is_in_headers &= json->depth > 1;
    json->stage = json->depth == 0 ? JSON_OVER : JSON_BETWEEN;
    return may_end;
}

/* True: here a message's context may stand. */
static bool take_between(struct redis_json *json, uint8_t byte)
{
    bool is_right, is_opened = false;
    json->stage = JSON_BETWEEN;
    switch (byte) {
    case ' ':
    case '\t':
    case '\r':
    case '\n':
        return false;
    case '"':
        is_right = begin_string(json);
        break;
    case ':':
        is_right = take_colon(json);
        break;
    case ',':
        is_right = take_comma(json);
        break;
    case '{':
    case '[':
        is_right = open_aggregate(json, byte == '{', &is_opened);
        break;
    case '}':
    case ']':
        is_right = close_aggregate(json, byte == '}');
        break;
    default:
        is_right = begin_literal(json, byte);
        break;
    }
    if (!is_right) {
        json->stage = JSON_NONE;
    }
    return is_right && is_opened;
}

/* Up to the quote that ends it, or what is escaped. */
static void take_told(struct redis_json *json, struct redis_json_piece *piece, const uint8_t *bytes,
    size_t length, size_t *at)
{
    *piece = (struct redis_json_piece){.from = *at, .is_first = json->is_first};
    if (json->stage == JSON_TOLD_ESCAPED) {
        (*at)++; /* \" \\ \/ are themselves; no other is in a context */
        json->stage = JSON_TOLD;
    }
    while (*at < length && bytes[*at] != '"' && bytes[*at] != '\\') {
        (*at)++;
    }
    piece->length = *at - piece->from;
    json->is_first = false;
    if (*at < length) {
        piece->is_last = bytes[(*at)++] == '"';
        json->stage = piece->is_last ? JSON_BETWEEN : JSON_TOLD_ESCAPED;
    }
}

enum redis_json_found redis_json_walk(struct redis_json *json, const uint8_t *bytes, size_t length,
    size_t *at, struct redis_json_piece *piece)
{
    while (*at < length) {
        if (json->stage == JSON_TOLD || json->stage == JSON_TOLD_ESCAPED) {
            take_told(json, piece, bytes, length, at);
            return JSON_TEXT;
        }
        uint8_t byte = bytes[(*at)++];
        switch ((enum redis_json_stage)json->stage) {
        case JSON_STRING:
            if (byte == '"') {
                json->stage = JSON_BETWEEN;
            } else {
                add_to_word(json, byte);
                json->stage = byte == '\\' ? JSON_ESCAPED : JSON_STRING;
            }
            break;
        case JSON_ESCAPED:
            add_to_word(json, byte);
            json->stage = JSON_STRING;
            break;
        case JSON_LITERAL:
            if (is_of_literal(byte)) {
                break;
            }
            __attribute__((fallthrough));
        case JSON_BETWEEN:
            if (take_between(json, byte)) {
                return JSON_OPENED;
            }
            break;
        case JSON_OVER:
            json->stage = is_space(byte) ? JSON_OVER : JSON_NONE;
            break;
        default:
            *at = length;
            break;
        }
    }
    return JSON_NOTHING;
}
