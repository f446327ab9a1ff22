/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages that a client of Redis sends to streams, asks for and acknowledges; if lists are queues
 * (BURDOCK_REDIS_ENVELOPE), what it pushes to them and takes from them, too.
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

/* What is pushed to a list, and taken from it, is a message only if that is asked for. */
void redis_send_choose(struct redis_request *request)
{
    if (!redis_has_envelopes) {
        request->kind = request->kind >= REDIS_PUSH ? REDIS_PLAIN : request->kind;
    } else if (request->kind == REDIS_PUBLISH) {
        request->kind = REDIS_PUSH;
    }
}

/* What is merely queued asks for nothing yet; of two answers at once it would not be known which
 * list they are of. */
static bool is_followed(const struct redis *redis)
{
    if (redis->request.in_multi) {
        return false;
    }
    for (unsigned i = 0; i < redis->mark_count; i++) {
        if (redis->marks[i].kind >= REDIS_POP) {
            return false;
        }
    }
    return true;
}

/* Who asks for more is done with what it has: whether it acknowledges is not known, nor where. Of
 * what was taken from a list nobody does, and the connection may have been another. */
static void ask(struct redis_reader *reader)
{
    struct redis *redis = reader->redis;
    bool is_pop = redis->request.kind >= REDIS_POP;
    struct event leave = {.kind = EVENT_LEAVE, .is_through = is_pop};
    if (!is_pop && !redis->has_entries) {
        return;
    }
    settle(reader, REDIS_ENTRY_KEY, UINT64_MAX);
    reader->sink->event(reader->sink, &leave);
    redis->has_entries = false;
}

void redis_send_begin(struct redis_reader *reader)
{
    struct redis_request *request = &reader->redis->request;
    request->hash = REDIS_HASH_START;
    request->entry = OPTION;
    request->field = FIELD_COUNT;
    request->has_piece = request->carries = false;
    request->json = (struct redis_json){0};
    if (request->kind >= REDIS_POP && !is_followed(reader->redis)) {
        request->kind = REDIS_PLAIN;
    } else if (request->kind == REDIS_XREAD || request->kind == REDIS_XREADGROUP ||
               request->kind >= REDIS_POP) {
        ask(reader);
    }
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
    } else if (request->kind == REDIS_PUSH && request->index > 1) {
        request->carries |= request->json.carries || request->json.stage != JSON_OVER;
        request->json = (struct redis_json){0};
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

/* A context of its own is told, unless it is one of many. */
static void take_member(struct redis_reader *reader, const struct redis_json_piece *piece)
{
    const struct redis_request *request = &reader->redis->request;
    enum field field = (enum field)request->json.field;
    bool is_named = piece->is_first && context_is_named(field);
    if (request->count != 3 || request->joins) {
        return;
    }
    if (is_named) {
        redis_tell_name(
            reader, field, reader->redis->newest, request->json.word, request->json.word_length);
    }
    redis_tell_text(reader, field, reader->redis->newest, piece->from, piece->from + piece->length,
        piece->is_first && !is_named, piece->is_last);
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
    } else if (request->kind == REDIS_POP && request->index == 1) {
        redis_keep(reader, REDIS_KEPT_LIST, from, length, is_first, is_last);
    } else if (request->kind == REDIS_PUSH && request->index > 1) {
        redis_json_each(&request->json, reader, from, length, take_member);
    } else if (request->kind >= REDIS_XACK) {
        request->hash = redis_hash(request->hash, bytes, length);
    }
    request->has_piece = true;
}

static bool is_editable(const struct redis_request *request)
{
    return request->kind == REDIS_PUSH ? request->count > 2 && !request->carries
                                       : redis_edits_entries && request->count > 4 &&
                                             request->entry == NAME && !request->carries;
}

/* A line, which has no count, is left as it is, and so is a command that a server would refuse. */
void redis_send_complete(struct redis_reader *reader)
{
    struct redis_request *request = &reader->redis->request;
    size_t last = reader->at - 1, length = request->before + last - reader->start;
    bool is_push = request->kind == REDIS_PUSH;
    struct event splice = {.kind = EVENT_SPLICE,
        .exchange = reader->redis->newest,
        .offset = last,
        .text = request->before > 0 ? NULL : reader->data + reader->start,
        .length = length,
        .number = is_push ? (int64_t)request->count - 2 : 0,
        .key = is_push ? REDIS_SPLICE_MEMBERS : REDIS_SPLICE_FIELDS};
    if (request->joins) {
        return;
    }
    if (is_editable(request)) {
        reader->sink->event(reader->sink, &splice);
    }
    redis_tell(reader, EVENT_REQUEST, reader->redis->newest);
}
