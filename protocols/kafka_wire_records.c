/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kafka on the wire: batches of records ("Message format" of its documentation; the newest one,
 * since 0.11). What is compressed is only counted. Older formats are passed over; so is a batch
 * that is cut off, as brokers may send as the last one, and the rest of one in which something is
 * not as it should be.
 *
 * A record is looked into for its context, and for its key if it is the only one of a request.
 */
#include "kafka_wire.h"

enum {
    LENGTH_AT = 8,
    MAGIC_AT = 16,
    ATTRIBUTES_AT = 21,
    COUNT_AT = 57,
    LENGTH_OF_HEAD = KAFKA_BATCH_HEAD_BYTES - LENGTH_AT - 4, /* that is behind the length */
    COMPRESSION = 7,                                         /* bits of the attributes */
    CONTROL = 1 << 5,
    TRACEPARENT_BYTES = 55
};

/* --- batches ------------------------------------------------------------------------------- */

static bool is_single(const struct kafka_reader *reader, uint32_t records_end)
{
    const struct kafka_sent *sent = &reader->kafka->sent;
    const struct kafka_records *records = &reader->side->records;
    return sent->topics == 1 && sent->partitions == 1 && reader->side->count == 1 &&
           records->batch_end == records_end;
}

/* Is there anything to be found in it? */
static bool is_read(const struct kafka_reader *reader, uint32_t records_end)
{
    const struct kafka_came *came = &reader->kafka->came;
    if (!reader->side->is_told || reader->side->records.records == 0)
        return false;
    return reader->is_request ? is_single(reader, records_end) : came->read < KAFKA_READ_MAX;
}

static void batch_complete(struct kafka_reader *reader, uint32_t records_end)
{
    struct kafka_side *side = reader->side;
    struct kafka_records *records = &side->records;
    const uint8_t *head = records->text;
    records->records = kafka_number_at(head + COUNT_AT);
    records->stage = RECORDS_SKIP;
    if (head[ATTRIBUTES_AT + 1] & CONTROL || records->records > INT32_MAX)
        return;
    side->count += records->records;
    if (reader->is_request && (head[ATTRIBUTES_AT + 1] & COMPRESSION))
        reader->kafka->sent.is_opaque = true;
    kafka_came(reader);
    if (!(head[ATTRIBUTES_AT + 1] & COMPRESSION) && is_read(reader, records_end))
        records->stage = RECORDS_LENGTH;
}

/* It is known how long the batch is, and of which format. */
static void batch_known(struct kafka_reader *reader, uint32_t records_end)
{
    struct kafka_side *side = reader->side;
    struct kafka_records *records = &side->records;
    enum { THERE = MAGIC_AT + 1 - LENGTH_AT - 4 };
    uint32_t length = kafka_number_at(records->text + LENGTH_AT), room = side->left - records_end;
    bool is_whole = length >= THERE && length - THERE <= room;
    records->batch_end = is_whole ? side->left - (length - THERE) : records_end;
    if (is_whole && records->text[MAGIC_AT] == 2 && length >= LENGTH_OF_HEAD)
        return;
    records->stage = RECORDS_SKIP;
    reader->kafka->sent.is_opaque |= reader->is_request;
}

static void read_batch(struct kafka_reader *reader, uint32_t records_end)
{
    struct kafka_records *records = &reader->side->records;
    records->text[records->have++] = reader->data[reader->at];
    kafka_take(reader, 1);
    if (records->have == MAGIC_AT + 1)
        batch_known(reader, records_end);
    else if (records->have == KAFKA_BATCH_HEAD_BYTES)
        batch_complete(reader, records_end);
}

/* --- the context of a record --------------------------------------------------------------- */

/* Of records that came: a span for each is not known to whom, so theirs are linked. */
static void link(struct kafka_reader *reader)
{
    struct kafka_records *records = &reader->side->records;
    struct kafka_came *came = &reader->kafka->came;
    uint32_t hash = 2166136261;
    for (size_t i = 0; i < TRACEPARENT_BYTES; i++)
        hash = (hash ^ records->text[i]) * 16777619;
    if (hash == came->context)
        return;
    came->context = hash;
    kafka_tell(reader, (struct event){.kind = EVENT_LINK,
                           .exchange = reader->side->exchange,
                           .text = records->text,
                           .length = TRACEPARENT_BYTES});
}

/* The record ends, or is left. */
static void link_told(struct kafka_reader *reader)
{
    struct kafka_records *records = &reader->side->records;
    if (records->is_carrying)
        kafka_tell(reader, (struct event){.kind = EVENT_LINK, .exchange = reader->side->exchange});
    records->is_carrying = false;
}

static void add(struct kafka_records *records, const uint8_t *bytes, size_t length, size_t most)
{
    size_t room = most - records->have;
    memcpy(records->text + records->have, bytes, length < room ? length : room);
    records->have += (uint8_t)(length < room ? length : room);
}

/* Is the text told as it is? Of what came, a context of another format is: for the link at the
 * record's end. */
static bool is_gathered(const struct kafka_reader *reader)
{
    uint8_t field = reader->side->records.field;
    return reader->is_request ? field != FIELD_COUNT : field == FIELD_CONTEXT;
}

static void take_text(struct kafka_reader *reader, size_t length, bool is_last)
{
    struct kafka_records *records = &reader->side->records;
    const uint8_t *bytes = reader->data + reader->at;
    if (records->stage == RECORDS_NAME)
        add(records, bytes, length, KAFKA_NAME_BYTES);
    else if (is_gathered(reader))
        kafka_tell_text(reader, (enum field)records->field, length, records->is_first, is_last);
    else if (records->field == FIELD_TRACEPARENT) {
        add(records, bytes, length, KAFKA_BATCH_HEAD_BYTES);
        if (is_last && records->have == TRACEPARENT_BYTES)
            link(reader);
    }
    records->is_first = false;
}

/* --- records ------------------------------------------------------------------------------- */

static void end_record(struct kafka_reader *reader)
{
    struct kafka_records *records = &reader->side->records;
    struct kafka_came *came = &reader->kafka->came;
    link_told(reader);
    bool goes_on = reader->side->left == records->record_end && --records->records > 0 &&
                   ++came->read < KAFKA_READ_MAX;
    records->stage = goes_on ? RECORDS_LENGTH : RECORDS_SKIP;
}

/* What ends here is a key, a value, or a header's name or value. */
static void end_text(struct kafka_reader *reader)
{
    struct kafka_records *records = &reader->side->records;
    records->stage++;
    if (records->stage > RECORDS_CONTENT && --records->headers > 0)
        records->stage = RECORDS_NAME_LENGTH;
    else if (records->stage > RECORDS_CONTENT)
        end_record(reader);
}

/* Its name is known, and its value follows. */
static void tell_name(struct kafka_reader *reader)
{
    struct kafka_records *records = &reader->side->records;
    struct event event = {.kind = EVENT_TEXT,
        .field = (enum field)records->field,
        .exchange = reader->side->exchange,
        .offset = reader->at};
    context_tell_name(reader->sink, event, records->text, records->have);
    records->is_carrying = !reader->is_request;
}

/* Something of this length follows; false: it is longer than what it is in. */
static bool begin_text(struct kafka_reader *reader, int64_t length)
{
    struct kafka_side *side = reader->side;
    struct kafka_records *records = &side->records;
    bool is_of_value = records->stage == RECORDS_CONTENT_LENGTH;
    bool is_key = records->stage == RECORDS_KEY_LENGTH && reader->is_request;
    length = length < 0 ? 0 : length; /* none */
    if (length > side->left - records->record_end)
        return false;
    records->field = is_of_value ? (uint8_t)context_field(records->text, records->have)
                     : is_key    ? FIELD_ROUTING
                                 : FIELD_COUNT;
    records->text_end = side->left - (uint32_t)length;
    bool is_named = is_of_value && is_gathered(reader) && context_is_named(records->field);
    if (is_named)
        tell_name(reader);
    records->have = 0;
    records->is_first = !is_named;
    records->stage++;
    if (length == 0)
        end_text(reader);
    return true;
}

static bool begin_record(struct kafka_side *side, int64_t length)
{
    struct kafka_records *records = &side->records;
    if (length <= 0 || length > side->left - records->batch_end)
        return false;
    records->record_end = side->left - (uint32_t)length;
    records->stage++;
    return true;
}

static bool take_number(struct kafka_reader *reader, int64_t number)
{
    struct kafka_side *side = reader->side;
    struct kafka_records *records = &side->records;
    switch (records->stage) {
    case RECORDS_LENGTH:
        return begin_record(side, number);
    case RECORDS_TIMESTAMP:
    case RECORDS_OFFSET:
        records->stage++;
        return true;
    case RECORDS_HEADERS:
        if (number < 0 || number > side->left - records->record_end)
            return false;
        records->headers = (uint32_t)number;
        records->stage++;
        if (number == 0)
            end_record(reader);
        return true;
    default:
        return begin_text(reader, number);
    }
}

static bool is_text(const struct kafka_records *records)
{
    return records->stage == RECORDS_KEY || records->stage == RECORDS_VALUE ||
           records->stage == RECORDS_NAME || records->stage == RECORDS_CONTENT;
}

/* Within `end`. */
static bool read_record(struct kafka_reader *reader, uint32_t end)
{
    struct kafka_side *side = reader->side;
    struct kafka_records *records = &side->records;
    bool is_odd = false;
    if (is_text(records)) {
        size_t length = reader->end - reader->at;
        take_text(reader, length, side->left - length == end);
        kafka_take(reader, length);
        if (side->left == end)
            end_text(reader);
        return true;
    }
    if (records->stage == RECORDS_ATTRIBUTES) {
        kafka_take(reader, 1);
        records->stage++;
        return side->left > end;
    }
    if (!kafka_read_variable(reader, &is_odd))
        return !is_odd && side->left > end;
    int64_t number = (int64_t)(side->number >> 1) ^ -(int64_t)(side->number & 1);
    return take_number(reader, number);
}

static uint32_t end_of_stage(const struct kafka_records *records, uint32_t records_end)
{
    if (records->stage == RECORDS_BATCH)
        return records_end;
    if (records->stage <= RECORDS_LENGTH)
        return records->batch_end;
    return is_text(records) ? records->text_end : records->record_end;
}

void kafka_records_read(struct kafka_reader *reader, uint32_t records_end)
{
    struct kafka_side *side = reader->side;
    struct kafka_records *records = &side->records;
    size_t whole = reader->end;
    while (reader->at < whole) {
        uint32_t end = end_of_stage(records, records_end);
        size_t there = whole - reader->at, wanted = side->left - end;
        reader->end = reader->at + (there < wanted ? there : wanted);
        if (records->stage == RECORDS_BATCH)
            read_batch(reader, records_end);
        else if (records->stage == RECORDS_SKIP)
            kafka_take(reader, reader->end - reader->at);
        else if (!read_record(reader, end)) {
            link_told(reader);
            records->stage = RECORDS_SKIP;
            side->have = 0;
        }
        if (records->stage != RECORDS_BATCH && side->left == records->batch_end) {
            side->have = 0;
            *records = (struct kafka_records){0};
        }
    }
    reader->end = whole;
}
