/* SPDX-License-Identifier: Apache-2.0 */
#include "broker.h"

#include <string.h>

void broker_start(void *state, size_t bytes, enum direction requests)
{
    memset(state, 0, bytes);
    ((struct broker_connection *)state)->requests = (uint8_t)requests;
}

struct broker_reader broker_reader_of(
    void *state, void *sides, size_t side_bytes, enum direction direction, struct sink *sink)
{
    const struct broker_connection *connection = state;
    enum direction side = direction == connection->requests ? DIRECTION_OUT : DIRECTION_IN;
    return (struct broker_reader){
        .state = state, .side = (char *)sides + side * side_bytes, .direction = side, .sink = sink};
}

void broker_finish(
    const struct broker_reader *ended, void *sides, size_t side_bytes, broker_cut *cut)
{
    struct broker_reader reader = *ended;
    cut(&reader);
    if (ended->direction == DIRECTION_OUT)
        return;
    reader.direction = DIRECTION_OUT;
    reader.side = (char *)sides + DIRECTION_OUT * side_bytes;
    cut(&reader);
}

size_t broker_feed(
    struct broker_reader *reader, const uint8_t *data, size_t length, broker_step *step)
{
    reader->data = data;
    reader->end = length;
    while (reader->at < length)
        if (!step(reader))
            return FEED_LOST;
    return length;
}

size_t broker_there(const struct broker_reader *reader, uint64_t left)
{
    size_t there = reader->end - reader->at;
    return there < left ? there : (size_t)left;
}

enum verdict broker_begins(const struct prefix *prefix, const char *literal, uint8_t length)
{
    uint8_t there = prefix->length < length ? prefix->length : length;
    if (memcmp(prefix->bytes, literal, there) != 0)
        return VERDICT_NO;
    return there == length ? VERDICT_YES : VERDICT_MORE;
}

/* --- telling ---------------------------------------------------------------------------------- */

static void tell(struct broker_reader *reader, struct event event)
{
    reader->sink->event(reader->sink, &event);
}

uint32_t broker_begin(struct broker_reader *reader, struct event begin,
    enum message_operation operation, size_t before)
{
    struct broker_connection *connection = reader->state;
    begin.kind = EVENT_BEGIN;
    begin.exchange = connection->next++;
    begin.offset = reader->at - before;
    begin.is_delivery = operation == MESSAGE_PROCESS;
    tell(reader, begin);
    broker_tell_number(reader, begin.exchange, FIELD_VERSION, operation);
    return begin.exchange;
}

void broker_tell(struct broker_reader *reader, uint32_t serial, enum event_kind kind)
{
    tell(reader,
        (struct event){
            .kind = kind, .exchange = serial, .offset = reader->at, .reason = END_UNANSWERED});
}

void broker_end(struct broker_reader *reader, uint32_t serial)
{
    tell(reader, (struct event){.kind = EVENT_END, .exchange = serial, .reason = END_COMPLETE});
}

void broker_tell_number(
    struct broker_reader *reader, uint32_t serial, enum field field, int64_t number)
{
    tell(reader,
        (struct event){.kind = EVENT_NUMBER, .field = field, .exchange = serial, .number = number});
}

static void tell_piece(
    struct broker_reader *reader, struct event event, const struct broker_piece *piece)
{
    event.first = piece->is_first;
    event.last = piece->is_last;
    event.offset = piece->from;
    event.text = reader->data + piece->from;
    event.length = piece->to - piece->from;
    tell(reader, event);
}

void broker_tell_text(
    struct broker_reader *reader, uint32_t serial, enum field field, struct broker_piece piece)
{
    struct event event = {.kind = EVENT_TEXT, .field = field, .exchange = serial};
    tell_piece(reader, event, &piece);
}

void broker_tell_header(struct broker_reader *reader, uint32_t serial, enum field field,
    struct fact name, struct broker_piece piece)
{
    struct event event = {
        .kind = EVENT_TEXT, .field = field, .exchange = serial, .offset = piece.from};
    if (piece.is_first && context_is_named(field)) {
        context_tell_name(reader->sink, event, name.text, name.length);
        piece.is_first = false;
    }
    tell_piece(reader, event, &piece);
}

void broker_tell_splice(struct broker_reader *reader, uint32_t serial, size_t length, uint64_t key)
{
    tell(reader, (struct event){.kind = EVENT_SPLICE,
                     .exchange = serial,
                     .offset = reader->at,
                     .text = reader->at < length ? NULL : reader->data + reader->at - length,
                     .length = length,
                     .key = key});
}

void broker_keep(struct broker_reader *reader, uint64_t key, struct broker_piece piece)
{
    tell_piece(reader, (struct event){.kind = EVENT_KEEP, .key = key}, &piece);
}

void broker_tell_kept(
    struct broker_reader *reader, enum event_kind kind, uint64_t key, uint64_t other)
{
    tell(reader, (struct event){.kind = kind, .key = key, .other = other});
}

void broker_recall(struct broker_reader *reader, uint32_t serial, enum field field, uint64_t key)
{
    tell(reader,
        (struct event){.kind = EVENT_RECALL, .field = field, .exchange = serial, .key = key});
}

void broker_settle(struct broker_reader *reader, uint64_t first, uint64_t last,
    enum end_reason reason, const char *code)
{
    struct fact text = messaging_text(code);
    tell(reader, (struct event){.kind = EVENT_SETTLE,
                     .key = first,
                     .other = last,
                     .is_delivery = reader->direction == DIRECTION_OUT,
                     .reason = reason,
                     .text = text.text,
                     .length = text.length});
}
