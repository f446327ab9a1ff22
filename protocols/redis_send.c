/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages that a client of Redis sends to streams, asks for and acknowledges.
 *
 * An XADD gets its context as more fields behind its own, if that is configured: they are data of
 * the application's. What is replaced is the command from its star to its last byte but one.
 */
#include "redis.h"

#include <string.h>

/* What the arguments of XADD are behind the stream's name. */
enum redis_entry_argument { OPTION, THRESHOLD_OR_SIGN, OPERAND, NAME, VALUE };

/* --- telling ------------------------------------------------------------------------------- */

void redis_keep(
    struct redis_reader *reader, uint64_t key, size_t from, size_t length, bool first, bool last)
{
    struct event event = {.kind = EVENT_KEEP,
        .field = FIELD_DESTINATION,
        .key = key,
        .first = first,
        .last = last,
        .offset = from,
        .text = reader->data + from,
        .length = length};
    reader->sink->event(reader->sink, &event);
}

static void settle(struct redis_reader *reader, uint64_t from, uint64_t to)
{
    struct event event = {.kind = EVENT_SETTLE,
        .is_delivery = true,
        .reason = END_UNANSWERED, /* what settles it is a command, which has a span */
        .key = from,
        .other = to};
    if (reader->redis->has_entries) {
        reader->sink->event(reader->sink, &event);
    }
}

/* --- asking, acknowledging ----------------------------------------------------------------- */

/* Who asks for more is done with what it has: whether it acknowledges is not known, nor where. */
void redis_send_begin(struct redis_reader *reader)
{
    struct redis *redis = reader->redis;
    struct event leave = {.kind = EVENT_LEAVE};
    redis->request.hash = REDIS_HASH_START;
    redis->request.entry = OPTION;
    redis->request.field = FIELD_COUNT;
    redis->request.has_piece = redis->request.carries = false;
    if (!redis->has_entries ||
        (redis->request.kind != REDIS_XREAD && redis->request.kind != REDIS_XREADGROUP)) {
        return;
    }
    settle(reader, REDIS_ENTRY_KEY, UINT64_MAX);
    reader->sink->event(reader->sink, &leave);
    redis->has_entries = false;
}

static void settle_one(struct redis_reader *reader)
{
    uint64_t key = reader->redis->request.hash | REDIS_ENTRY_KEY;
    settle(reader, key, key);
}

/* --- an entry ------------------------------------------------------------------------------ */

void redis_tell_name(struct redis_reader *reader, enum field field, uint32_t exchange,
    const uint8_t *name, size_t length)
{
    struct event event = {
        .kind = EVENT_TEXT, .field = field, .exchange = exchange, .offset = reader->at};
    context_tell_name(reader->sink, event, name, length);
}

static bool is_word(const struct redis_request *request, const char *word, size_t length)
{
    if (request->word_length != length) {
        return false;
    }
    for (size_t i = 0; i < length; i++) {
        if ((request->word[i] & ~0x20) != word[i]) {
            return false;
        }
    }
    return true;
}

/* [NOMKSTREAM] [MAXLEN|MINID [=|~] threshold] [LIMIT count] *|id: behind it are the fields. One
 * that is none of those may be an option that we do not know. */
static void take_option(struct redis_request *request)
{
    uint8_t first = request->word_length > 0 ? request->word[0] : 0;
    if (is_word(request, "MAXLEN", 6) || is_word(request, "MINID", 5)) {
        request->entry = THRESHOLD_OR_SIGN;
    } else if (is_word(request, "LIMIT", 5)) {
        request->entry = OPERAND;
    } else if (!is_word(request, "NOMKSTREAM", 10)) {
        request->carries |= first != '*' && (first < '0' || first > '9');
        request->entry = NAME;
    }
}

static void take_name(struct redis_request *request)
{
    request->field = (uint8_t)context_field(request->word, request->word_length);
    request->name_length = request->word_length;
    request->carries |= context_is_parent((enum field)request->field);
    request->entry = VALUE;
}

static void take_entry_argument(struct redis_request *request)
{
    bool is_sign =
        request->word_length == 1 && (request->word[0] == '~' || request->word[0] == '=');
    switch ((enum redis_entry_argument)request->entry) {
    case OPTION:
        take_option(request);
        break;
    case THRESHOLD_OR_SIGN:
        request->entry = is_sign ? OPERAND : OPTION;
        break;
    case OPERAND:
        request->entry = OPTION;
        break;
    case NAME:
        take_name(request);
        break;
    case VALUE:
        request->entry = NAME;
        request->field = FIELD_COUNT;
        break;
    }
}

void redis_send_argument(struct redis_reader *reader)
{
    struct redis_request *request = &reader->redis->request;
    if (request->kind == REDIS_XADD && request->index > 1) {
        take_entry_argument(request);
    } else if (request->index == 1) {
        request->stream = request->hash;
    } else if ((request->kind == REDIS_XACK && request->index > 2) || request->kind == REDIS_XDEL) {
        settle_one(reader);
    }
    request->hash = request->stream;
    request->has_piece = false;
}

static void add_to_word(struct redis_request *request, const uint8_t *bytes, size_t length)
{
    bool is_over = request->word_length > sizeof request->word;
    if (is_over || length > sizeof request->word - request->word_length) {
        request->word_length = sizeof request->word + 1;
        return;
    }
    memcpy(request->word + request->word_length, bytes, length);
    request->word_length += (uint8_t)length;
}

void redis_send_piece(struct redis_reader *reader, size_t from, size_t length, bool is_last)
{
    struct redis_request *request = &reader->redis->request;
    const uint8_t *bytes = reader->data + from;
    bool is_first = !request->has_piece;
    if (length == 0) {
        return;
    }
    if (request->kind == REDIS_XADD && request->index > 1 && request->entry != VALUE) {
        add_to_word(request, bytes, length);
    } else if (request->kind == REDIS_XADD && request->field != FIELD_COUNT && !request->joins) {
        bool is_named = is_first && context_is_named((enum field)request->field);
        if (is_named) {
            redis_tell_name(reader, (enum field)request->field, reader->redis->newest,
                request->word, request->name_length);
        }
        is_first &= !is_named;
        redis_tell_text(reader, (enum field)request->field, reader->redis->newest, from,
            from + length, is_first, is_last);
    } else if (request->kind == REDIS_XREADGROUP && request->index == 2) {
        redis_keep(reader, REDIS_KEPT_GROUP, from, length, is_first, is_last);
    } else if (request->kind >= REDIS_XACK) {
        request->hash = redis_hash(request->hash, bytes, length);
    }
    request->has_piece = true;
}

/* A line, which has no count, is left as it is, and so is a command that a server would refuse. */
void redis_send_complete(struct redis_reader *reader)
{
    struct redis_request *request = &reader->redis->request;
    size_t last = reader->at - 1, length = request->before + last - reader->start;
    struct event splice = {.kind = EVENT_SPLICE,
        .exchange = reader->redis->newest,
        .offset = last,
        .text = request->before > 0 ? NULL : reader->data + reader->start,
        .length = length};
    bool is_whole = request->count > 4 && request->entry == NAME && !request->carries;
    if (request->joins) {
        return;
    }
    if (is_whole) {
        reader->sink->event(reader->sink, &splice);
    }
    redis_tell(reader, EVENT_REQUEST, reader->redis->newest);
}

/* --- into an entry ------------------------------------------------------------------------- */

static char *put(char *out, const void *text, size_t length)
{
    memcpy(out, text, length);
    return out + length;
}

static char *put_number(char *out, char type, uint64_t number)
{
    char digits[20];
    size_t at = sizeof digits;
    do {
        digits[--at] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    *out++ = type;
    out = put(out, digits + at, sizeof digits - at);
    return put(out, "\r\n", 2);
}

static char *put_text(char *out, struct fact text)
{
    out = put_number(out, '$', text.length);
    out = put(out, text.text, text.length);
    return put(out, "\r\n", 2);
}

size_t redis_insert(const struct insertion *insertion, char *out)
{
    struct fact command = insertion->replaced;
    uint64_t count = 0;
    uint32_t at = 1;
    char *end = out;
    for (; at < command.length && (uint8_t)(command.text[at] - '0') <= 9; at++) {
        count = count * 10 + (uint64_t)(command.text[at] - '0');
    }
    if (insertion->count == 0 || at + 2 >= command.length) {
        return 0;
    }
    at += 2;
    end = put_number(end, '*', count + 2 * (uint64_t)insertion->count);
    end = put(end, command.text + at, command.length - at);
    *end++ = '\n';
    for (unsigned i = 0; i < insertion->count; i++) {
        end = put_text(put_text(end, insertion->headers[i].name), insertion->headers[i].value);
    }
    return (size_t)(end - out) - 1; /* the line end's last byte is the program's own */
}
