/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages that a client of Redis gets: entries of streams in the answers of XREAD and XREADGROUP,
 * what is pushed to those who subscribe, and, if lists are queues (BURDOCK_REDIS_ENVELOPE), what is
 * taken from them and has a context among its members.
 *
 * RESP2:  *streams  *2 $name *entries  *2 $id *fields $field $value ...
 * RESP3:  %streams     $name *entries  *2 $id *fields $field $value ...
 */
#include "redis.h"

#include <string.h>

static struct redis_entry *entry_of(const struct redis_reader *reader)
{
    return &reader->redis->answer.entry;
}

static void go(struct redis_entry *entry, enum redis_entry_stage stage)
{
    entry->stage = (uint8_t)stage;
    entry->is_first = true;
    entry->word_length = 0;
    entry->has_begun = false;
    entry->json = (struct redis_json){0};
}

/* --- telling ------------------------------------------------------------------------------- */

static void recall(struct redis_reader *reader, enum field field, uint64_t key)
{
    struct event event = {
        .kind = EVENT_RECALL, .field = field, .exchange = entry_of(reader)->serial, .key = key};
    reader->sink->event(reader->sink, &event);
}

static void begin(struct redis_reader *reader, uint64_t key)
{
    struct redis_entry *entry = entry_of(reader);
    entry->is_told = redis_queue_deliver(reader, &entry->serial);
    if (!entry->is_told) {
        return;
    }
    struct event begin = {.kind = EVENT_BEGIN,
        .exchange = entry->serial,
        .offset = reader->at,
        .is_delivery = true,
        .is_settled = key != 0,
        .key = key};
    reader->sink->event(reader->sink, &begin);
    struct event operation = {.kind = EVENT_NUMBER,
        .field = FIELD_VERSION,
        .exchange = entry->serial,
        .number = MESSAGE_PROCESS};
    reader->sink->event(reader->sink, &operation);
}

static void tell(struct redis_reader *reader, enum event_kind kind)
{
    struct event event = {.kind = kind,
        .exchange = entry_of(reader)->serial,
        .offset = reader->at,
        .is_through = entry_of(reader)->stage == ENTRY_POPPED,
        .reason = END_UNANSWERED};
    if (entry_of(reader)->is_told) {
        reader->sink->event(reader->sink, &event);
    }
}

/* What is not all there, or is not as it should be, is none. */
void redis_entry_cut(struct redis_reader *reader)
{
    struct redis_entry *entry = entry_of(reader);
    tell(reader, EVENT_END);
    entry->is_told = false;
    entry->stage = ENTRY_NONE;
}

/* --- where it is --------------------------------------------------------------------------- */

/* So many values come from a list. */
static void pop(struct redis_entry *entry, uint32_t count)
{
    entry->streams = 0;
    entry->items = entry->fields = count;
    go(entry, count == 0 ? ENTRY_NONE : ENTRY_POPPED);
}

/* The answer to the oldest command begins. */
void redis_entry_begin(struct redis_reader *reader)
{
    const struct redis_mark *mark = redis_queue_mark(reader->redis);
    struct redis_entry *entry = entry_of(reader);
    uint8_t type = reader->redis->answer.top_type;
    if (mark == NULL) {
        return;
    }
    entry->has_group = mark->kind == REDIS_XREADGROUP;
    if (mark->kind == REDIS_XADD && type == '$') {
        go(entry, ENTRY_SENT);
    } else if ((mark->kind == REDIS_XREAD || mark->kind == REDIS_XREADGROUP) &&
               (type == '*' || type == '%')) {
        go(entry, ENTRY_TOP);
    } else if (mark->kind == REDIS_POP && type == '$') {
        pop(entry, 1);
    } else if (mark->kind == REDIS_POP && type == '*') {
        go(entry, ENTRY_POP_MANY);
    } else if (mark->kind >= REDIS_POP_PAIR && type == '*') {
        entry->is_many = mark->kind == REDIS_POP_MANY;
        go(entry, ENTRY_POP_PAIR);
    }
}

/* A push is a message: [p|s]message [pattern] channel payload. */
void redis_entry_message(struct redis_reader *reader)
{
    bool is_of_pattern = reader->redis->answer.word[0] == 'p';
    go(entry_of(reader), is_of_pattern ? ENTRY_PATTERN : ENTRY_CHANNEL);
}

static void next_stream(struct redis_entry *entry)
{
    bool is_last = --entry->streams == 0;
    go(entry, is_last ? ENTRY_NONE : entry->is_map ? ENTRY_STREAM : ENTRY_PAIR);
}

static void next_item(struct redis_entry *entry)
{
    entry->is_told = false;
    if (--entry->items == 0) {
        next_stream(entry);
    } else {
        go(entry, ENTRY_ITEM);
    }
}

static void begin_entry(struct redis_reader *reader)
{
    struct redis_entry *entry = entry_of(reader);
    reader->redis->has_entries = true;
    begin(reader, entry->hash | REDIS_ENTRY_KEY);
    if (entry->is_told) {
        recall(reader, FIELD_DESTINATION, REDIS_KEPT_STREAM);
        recall(reader, FIELD_MESSAGE, REDIS_KEPT_ID);
    }
    if (entry->is_told && entry->has_group) {
        recall(reader, FIELD_SUBSCRIPTION, REDIS_KEPT_GROUP);
    }
    go(entry, ENTRY_NAME);
}

/* An array or a map of so many. */
static void take_aggregate(struct redis_reader *reader, uint32_t count)
{
    struct redis_entry *entry = entry_of(reader);
    switch ((enum redis_entry_stage)entry->stage) {
    case ENTRY_TOP:
        entry->is_map = reader->redis->answer.top_type == '%';
        entry->streams = count;
        go(entry, count == 0 ? ENTRY_NONE : entry->is_map ? ENTRY_STREAM : ENTRY_PAIR);
        break;
    case ENTRY_PAIR:
        go(entry, count == 2 ? ENTRY_STREAM : ENTRY_NONE);
        break;
    case ENTRY_POP_PAIR:
        go(entry, count == 2 ? ENTRY_POP_LIST : ENTRY_NONE);
        break;
    case ENTRY_POP_MANY:
        pop(entry, count);
        break;
    case ENTRY_LIST:
        entry->items = count;
        if (count == 0) {
            next_stream(entry);
        } else {
            go(entry, ENTRY_ITEM);
        }
        break;
    case ENTRY_ITEM:
        if (count == 0) {
            next_item(entry);
        } else {
            go(entry, count == 2 ? ENTRY_ID : ENTRY_NONE);
        }
        break;
    case ENTRY_FIELDS: /* of an entry that was deleted meanwhile there are none */
        entry->fields = count;
        if (count == 0 || count % 2 != 0) {
            next_item(entry);
        } else {
            begin_entry(reader);
        }
        break;
    default:
        redis_entry_cut(reader);
        break;
    }
}

static void take_name(struct redis_entry *entry)
{
    entry->field = (uint8_t)context_field(entry->word, entry->word_length);
    entry->stage = ENTRY_VALUE; /* the name is still needed */
    entry->is_first = true;
}

static void take_value(struct redis_reader *reader)
{
    struct redis_entry *entry = entry_of(reader);
    entry->fields -= 2;
    if (entry->fields > 0) {
        go(entry, ENTRY_NAME);
        return;
    }
    tell(reader, EVENT_REQUEST);
    tell(reader, EVENT_RECEIVED);
    next_item(entry);
}

/* Of several, be it that the others carry no context, nothing tells which is worked on. */
static void take_popped(struct redis_reader *reader)
{
    struct redis_entry *entry = entry_of(reader);
    struct event doubt = {.kind = EVENT_DOUBT};
    entry->streams += entry->is_told;
    entry->is_told = false;
    if (--entry->items > 0) {
        go(entry, ENTRY_POPPED);
        return;
    }
    if (entry->streams > 0 && entry->fields > 1) {
        reader->sink->event(reader->sink, &doubt);
    }
    go(entry, ENTRY_NONE);
}

static void take_string(struct redis_reader *reader)
{
    struct redis_entry *entry = entry_of(reader);
    switch ((enum redis_entry_stage)entry->stage) {
    case ENTRY_STREAM:
        entry->stream = entry->is_first ? REDIS_HASH_START : entry->hash;
        go(entry, ENTRY_LIST);
        break;
    case ENTRY_ID:
        go(entry, ENTRY_FIELDS);
        break;
    case ENTRY_FIELDS:
    case ENTRY_ITEM:
        next_item(entry);
        break;
    case ENTRY_LIST:
        next_stream(entry);
        break;
    case ENTRY_NAME:
        take_name(entry);
        break;
    case ENTRY_VALUE:
        take_value(reader);
        break;
    case ENTRY_PATTERN:
        go(entry, ENTRY_CHANNEL);
        break;
    case ENTRY_CHANNEL:
        go(entry, ENTRY_PAYLOAD);
        break;
    case ENTRY_POP_LIST:
        if (entry->is_many) {
            go(entry, ENTRY_POP_MANY);
        } else {
            pop(entry, 1);
        }
        break;
    case ENTRY_POPPED:
        tell(reader, EVENT_REQUEST);
        tell(reader, EVENT_RECEIVED);
        take_popped(reader);
        break;
    case ENTRY_PAYLOAD:
        tell(reader, EVENT_REQUEST);
        tell(reader, EVENT_RECEIVED);
        entry->is_told = false;
        go(entry, ENTRY_NONE);
        break;
    default:
        go(entry, ENTRY_NONE);
        break;
    }
}

/* A value is complete, or, of an aggregate, it is known how many follow. */
void redis_entry_value(struct redis_reader *reader)
{
    const struct redis_answer *answer = &reader->redis->answer;
    bool is_aggregate = answer->type == '*' || answer->type == '%' || answer->type == '~';
    if (answer->type == '|') {
        redis_entry_cut(reader);
    } else if (is_aggregate) {
        take_aggregate(
            reader, answer->is_negative || answer->left > UINT32_MAX ? 0 : (uint32_t)answer->left);
    } else {
        take_string(reader);
    }
}

/* --- what is in it ------------------------------------------------------------------------- */

static void add_to_word(struct redis_entry *entry, const uint8_t *bytes, size_t length)
{
    bool fits = entry->word_length <= sizeof entry->word &&
                length <= sizeof entry->word - entry->word_length;
    if (fits) {
        memcpy(entry->word + entry->word_length, bytes, length);
        entry->word_length += (uint8_t)length;
    } else {
        entry->word_length = sizeof entry->word + 1;
    }
}

static void tell_text(
    struct redis_reader *reader, enum field field, size_t from, size_t length, bool is_last)
{
    struct redis_entry *entry = entry_of(reader);
    if (entry->is_told && field != FIELD_COUNT) {
        redis_tell_text(
            reader, field, entry->serial, from, from + length, entry->is_first, is_last);
    }
}

static void tell_name(struct redis_reader *reader, const uint8_t *name, size_t length)
{
    struct redis_entry *entry = entry_of(reader);
    if (entry->is_told && entry->is_first && context_is_named((enum field)entry->field)) {
        redis_tell_name(reader, (enum field)entry->field, entry->serial, name, length);
        entry->is_first = false;
    }
}

/* With the first of them what was taken from a list begins. */
static void take_member(struct redis_reader *reader, const struct redis_json_piece *piece)
{
    struct redis_entry *entry = entry_of(reader);
    if (entry->stage == ENTRY_POPPED && !entry->has_begun) {
        entry->has_begun = true;
        begin(reader, 0);
        recall(reader, FIELD_DESTINATION, REDIS_KEPT_LIST);
    }
    entry->field = entry->json.field;
    entry->is_first = piece->is_first;
    tell_name(reader, entry->json.word, entry->json.word_length);
    tell_text(reader, (enum field)entry->field, piece->from, piece->length, piece->is_last);
}

void redis_entry_piece(struct redis_reader *reader, size_t from, size_t length)
{
    struct redis_entry *entry = entry_of(reader);
    const uint8_t *bytes = reader->data + from;
    bool is_last = reader->redis->answer.left == 0;
    switch ((enum redis_entry_stage)entry->stage) {
    case ENTRY_SENT:
        redis_tell_text(reader, FIELD_MESSAGE, reader->redis->oldest, from, from + length,
            entry->is_first, is_last);
        break;
    case ENTRY_STREAM:
    case ENTRY_ID:
        if (entry->is_first) {
            entry->hash = entry->stage == ENTRY_ID ? entry->stream : REDIS_HASH_START;
        }
        entry->hash = redis_hash(entry->hash, bytes, length);
        redis_keep(reader, entry->stage == ENTRY_ID ? REDIS_KEPT_ID : REDIS_KEPT_STREAM, from,
            length, entry->is_first, is_last);
        break;
    case ENTRY_NAME:
        add_to_word(entry, bytes, length);
        break;
    case ENTRY_VALUE:
        tell_name(reader, entry->word, entry->word_length);
        tell_text(reader, (enum field)entry->field, from, length, is_last);
        break;
    case ENTRY_CHANNEL:
        if (entry->is_first) {
            begin(reader, 0);
        }
        tell_text(reader, FIELD_DESTINATION, from, length, is_last);
        break;
    case ENTRY_POP_LIST:
        redis_keep(reader, REDIS_KEPT_LIST, from, length, entry->is_first, is_last);
        break;
    case ENTRY_PAYLOAD:
    case ENTRY_POPPED:
        if (redis_has_envelopes) {
            redis_json_each(&entry->json, reader, from, length, take_member);
        }
        break;
    default:
        break;
    }
    entry->is_first = false;
}
