/* SPDX-License-Identifier: Apache-2.0 */
/* STOMP: the lines of a frame's head. */
#include "stomp.h"

static const struct header {
    char name[15];
    uint8_t length;
    uint8_t header; /* enum stomp_header */
    uint8_t field;  /* what it is told as, of messages */
} headers[] = {
    {"destination", 11, HEADER_OTHER, FIELD_DESTINATION},
    {"content-length", 14, HEADER_LENGTH, FIELD_COUNT},
    {"receipt", 7, HEADER_RECEIPT, FIELD_COUNT},
    {"receipt-id", 10, HEADER_RECEIPT_ID, FIELD_COUNT},
    {"id", 2, HEADER_ID, FIELD_COUNT},
    {"message-id", 10, HEADER_MESSAGE_ID, FIELD_MESSAGE},
    {"subscription", 12, HEADER_SUBSCRIPTION, FIELD_COUNT},
    {"ack", 3, HEADER_ACK, FIELD_COUNT},
    {"version", 7, HEADER_VERSION, FIELD_COUNT},
};

enum { HEADERS = sizeof(headers) / sizeof(headers[0]) };

static struct header find(const struct stomp_side *side)
{
    for (unsigned i = 0; i < HEADERS; i++)
        if (headers[i].length == side->name_length &&
            memcmp(headers[i].name, side->name, side->name_length) == 0)
            return headers[i];
    return (struct header){
        .header = HEADER_OTHER, .field = (uint8_t)context_field(side->name, side->name_length)};
}

/* "Repeated Header Entries": the first one holds. Which ones are rows, but for those of which a
 * second one is hashed, and so not what it was; of a context of another format, the first of a
 * name: propagators.h. */
static void begin_value(struct stomp_side *side)
{
    const struct header found = find(side);
    side->value_header = found.header;
    side->field = side->is_begun ? found.field : FIELD_COUNT;
    if ((found.header < HEADER_HASHED && side->hashes[found.header] != 0) ||
        (found.header == HEADER_LENGTH && side->has_length))
        side->value_header = HEADER_OTHER;
    uint8_t bit = found.field == FIELD_DESTINATION   ? 1
                  : found.field == FIELD_MESSAGE     ? 2
                  : found.field == FIELD_TRACEPARENT ? 4
                  : found.field == FIELD_TRACESTATE  ? 8
                  : found.field == FIELD_BAGGAGE     ? 16
                                                     : 0;
    if (side->seen & bit)
        side->field = FIELD_COUNT;
    side->seen |= bit;
    side->has_length |= side->value_header == HEADER_LENGTH;
    side->is_first = true;
    side->is_escaped = false;
}

/* Before the empty line. */
static void tell_splice(struct broker_reader *reader)
{
    const struct stomp *stomp = reader->state;
    const struct stomp_side *side = reader->side;
    struct event splice = {.kind = EVENT_SPLICE,
        .exchange = side->serial,
        .offset = reader->at,
        .bare_lf = true,
        .text = reader->data + reader->at,
        .key = stomp->version};
    if (reader->direction == DIRECTION_OUT && side->is_begun)
        reader->sink->event(reader->sink, &splice);
}

bool stomp_read_name(struct broker_reader *reader)
{
    struct stomp_side *side = reader->side;
    uint8_t byte = reader->data[reader->at];
    bool is_line_end = byte == '\n' || byte == '\r';
    if (is_line_end && side->name_length > 0)
        return false; /* a line without a colon */
    if (is_line_end)
        tell_splice(reader);
    reader->at++;
    side->head_bytes++;
    if (byte == '\n') {
        stomp_end_head(reader);
    } else if (byte == '\r') {
        side->stage = STAGE_LINE_END;
        side->is_blank = true;
    } else if (byte == ':') {
        side->stage = STAGE_VALUE;
        begin_value(side);
    } else if (byte == 0) {
        return false;
    } else if (side->name_length < STOMP_NAME_MAX) {
        side->name[side->name_length++] = (char)byte;
    }
    return true;
}

/* --- values ----------------------------------------------------------------------------------- */

static void tell_text(
    struct broker_reader *reader, size_t offset, const void *text, size_t length, bool is_last)
{
    struct stomp_side *side = reader->side;
    struct event event = {.kind = EVENT_TEXT,
        .field = (enum field)side->field,
        .exchange = side->serial,
        .first = side->is_first,
        .last = is_last,
        .offset = offset,
        .text = text,
        .length = length};
    if (side->field != FIELD_COUNT && side->is_begun)
        reader->sink->event(reader->sink, &event);
    side->is_first = false;
}

/* Before the first piece of its value. */
static void tell_name(struct broker_reader *reader)
{
    struct stomp_side *side = reader->side;
    struct event event = {.kind = EVENT_TEXT,
        .field = (enum field)side->field,
        .exchange = side->serial,
        .offset = reader->at};
    if (!side->is_first || !context_is_named(event.field))
        return;
    context_tell_name(reader->sink, event, side->name, side->name_length);
    side->is_first = false;
}

/* "Value Encoding": none in 1.0. */
static bool has_escapes(const struct stomp *stomp, const struct stomp_side *side)
{
    return stomp->version > 10 && side->frame != FRAME_CONNECTED;
}

static bool add(struct stomp_side *side, uint8_t byte)
{
    if (side->value_header < HEADER_HASHED) {
        uint64_t *hash = &side->hashes[side->value_header];
        *hash = stomp_hash(*hash, byte) | 1; /* 0 is none */
    }
    if (side->value_header != HEADER_LENGTH || byte == ' ')
        return true;
    side->left = side->left * 10 + (byte - '0');
    return byte >= '0' && byte <= '9' && side->left <= UINT32_MAX;
}

static uint8_t meant_by(uint8_t byte)
{
    return byte == 'c' ? ':' : byte == '\\' ? '\\' : ' '; /* of line ends no text has any use */
}

static void end_value(struct broker_reader *reader, uint8_t line_end)
{
    struct stomp_side *side = reader->side;
    tell_text(reader, reader->at, reader->data + reader->at, 0, true);
    reader->at++;
    side->head_bytes++;
    side->name_length = 0;
    side->is_blank = false;
    side->stage = line_end == '\n' ? STAGE_NAME : STAGE_LINE_END;
}

bool stomp_read_value(struct broker_reader *reader)
{
    struct stomp_side *side = reader->side;
    bool escapes = has_escapes(reader->state, side);
    size_t from = reader->at;
    tell_name(reader);
    if (side->is_escaped) {
        uint8_t meant = meant_by(reader->data[reader->at]);
        side->is_escaped = false;
        tell_text(reader, reader->at, &meant, 1, false);
        reader->at++;
        side->head_bytes++;
        return add(side, meant);
    }
    while (reader->at < reader->end) {
        uint8_t byte = reader->data[reader->at];
        if (byte == '\n' || byte == '\r' || (escapes && byte == '\\'))
            break;
        if (byte == 0 || !add(side, byte))
            return false;
        reader->at++;
    }
    side->head_bytes += (uint32_t)(reader->at - from);
    if (reader->at > from)
        tell_text(reader, from, reader->data + from, reader->at - from, false);
    if (reader->at == reader->end)
        return true;
    uint8_t byte = reader->data[reader->at];
    if (byte != '\\') {
        end_value(reader, byte);
        return true;
    }
    side->is_escaped = true;
    reader->at++;
    side->head_bytes++;
    return true;
}

void stomp_end_head(struct broker_reader *reader)
{
    struct stomp_side *side = reader->side;
    side->stage = side->has_length && side->left == 0 ? STAGE_NUL : STAGE_BODY;
    side->name_length = 0;
    stomp_take_head(reader);
}
