/* SPDX-License-Identifier: Apache-2.0 */
/* AMQP 0-9-1: messages, from the method that begins one to the last byte of its body. */
#include "amqp.h"

enum table_stage { TABLE_LENGTH, TABLE_KEY_LENGTH, TABLE_KEY, TABLE_TYPE, TABLE_SIZE, TABLE_VALUE };

enum {
    PROPERTY_HEADERS = 2,
    PROPERTY_MESSAGE_ID = 8,
    PROPERTIES = 14,
    HEADER_SIZE = 8 /* of the body, behind class and weight */
};

static uint16_t number_of(const struct broker_reader *reader)
{
    const uint8_t *header = amqp_frame_of(reader)->header;
    return (uint16_t)(header[1] << 8 | header[2]);
}

static struct amqp_channel *find(struct broker_reader *reader, uint16_t number)
{
    struct amqp *amqp = reader->state;
    unsigned i = 0;
    while (i < AMQP_CHANNELS_MAX && amqp->channels[i].number != number)
        i++;
    return i == AMQP_CHANNELS_MAX ? NULL : &amqp->channels[i];
}

/* Channel 0 is the connection's own. */
struct amqp_channel *amqp_channel_of(struct broker_reader *reader)
{
    uint16_t number = number_of(reader);
    return number == 0 ? NULL : find(reader, number);
}

struct amqp_channel *amqp_open_channel(struct broker_reader *reader)
{
    struct amqp_channel *channel = amqp_channel_of(reader);
    if (channel != NULL || number_of(reader) == 0 || (channel = find(reader, 0)) == NULL)
        return channel;
    channel->number = number_of(reader);
    return channel;
}

uint32_t amqp_begin(struct broker_reader *reader, struct event begin, int operation)
{
    return broker_begin(reader, begin, (enum message_operation)operation, AMQP_HEADER_BYTES + 4);
}

void amqp_cut(struct broker_reader *reader, struct amqp_content *content)
{
    if (content->is_told)
        broker_tell(reader, content->serial, content->is_requested ? EVENT_END : EVENT_VOID);
    *content = (struct amqp_content){0};
}

/* --- the table of headers ------------------------------------------------------------------- */

/* Bytes of a value of this type; 0xff: a length of four bytes stands before it. RabbitMQ's letters,
 * which are not those of the specification. An unknown one ends the reading of the table. */
static uint8_t size_of(uint8_t type)
{
    static const struct {
        char type;
        uint8_t size;
    } sizes[] = {{'t', 1}, {'b', 1}, {'B', 1}, {'s', 2}, {'u', 2}, {'I', 4}, {'i', 4}, {'f', 4},
        {'l', 8}, {'L', 8}, {'d', 8}, {'T', 8}, {'D', 5}, {'V', 0}, {'S', 0xff}, {'x', 0xff},
        {'F', 0xff}, {'A', 0xff}};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
        if (sizes[i].type == (char)type)
            return sizes[i].size;
    return 0xfe;
}

static void begin_value(struct amqp_table *table, uint8_t type)
{
    table->is_odd = table->is_odd || size_of(type) == 0xfe;
    uint8_t size = size_of(type);
    bool is_text = type == 'S' || type == 'x';
    table->field =
        is_text ? (uint8_t)context_field(table->key, table->key_length) : (uint8_t)FIELD_COUNT;
    table->length_left = size == 0xff ? 4 : 0;
    table->value_left = size == 0xff ? 0 : size;
    table->stage = size == 0xff ? TABLE_SIZE : size == 0 ? TABLE_KEY_LENGTH : TABLE_VALUE;
    if (size == 0xfe) {
        table->value_left = table->left;
        table->stage = TABLE_VALUE;
    }
}

/* One byte of what is between values. */
static void read_table_byte(struct amqp_table *table, uint8_t byte)
{
    switch (table->stage) {
    case TABLE_KEY_LENGTH:
        table->key_left = byte;
        table->key_length = 0;
        table->stage = byte == 0 ? TABLE_TYPE : TABLE_KEY;
        break;
    case TABLE_KEY:
        if (table->key_length < sizeof(table->key))
            table->key[table->key_length++] = (char)byte;
        if (--table->key_left == 0)
            table->stage = TABLE_TYPE;
        break;
    case TABLE_TYPE:
        begin_value(table, byte);
        break;
    default:
        table->value_left = table->value_left << 8 | byte;
        if (--table->length_left == 0)
            table->stage = table->value_left == 0 ? TABLE_KEY_LENGTH : TABLE_VALUE;
        break;
    }
}

/* True: the whole table has been read. */
static bool read_table(struct broker_reader *reader, const struct amqp_content *content, size_t end)
{
    struct amqp_table *table = &amqp_frame_of(reader)->table;
    while (table->stage == TABLE_LENGTH && reader->at < end) {
        table->left = table->left << 8 | reader->data[reader->at++];
        if (++table->length_left == 4)
            table->stage = TABLE_KEY_LENGTH;
    }
    while (table->stage != TABLE_LENGTH && table->left > 0 && reader->at < end) {
        size_t there = end - reader->at;
        if (table->stage != TABLE_VALUE) {
            table->left--;
            read_table_byte(table, reader->data[reader->at++]);
            if (table->stage == TABLE_VALUE && table->value_left > table->left) {
                table->value_left = table->left; /* it claims more than there is */
                table->is_odd = true;
            }
            table->is_first = true;
            continue;
        }
        size_t length = there < table->value_left ? there : table->value_left;
        table->left -= (uint32_t)length;
        table->value_left -= (uint32_t)length;
        if (table->field != FIELD_COUNT && content->is_told)
            broker_tell_header(reader, content->serial, (enum field)table->field,
                (struct fact){(const uint8_t *)table->key, table->key_length},
                amqp_piece(reader, length, table->is_first, table->value_left == 0));
        table->is_first = false;
        reader->at += length;
        if (table->value_left == 0)
            table->stage = TABLE_KEY_LENGTH;
    }
    return table->stage != TABLE_LENGTH && table->left == 0;
}

/* --- properties ------------------------------------------------------------------------------ */

/* Bytes of each property in the order of its flag, 0: a short string, 0xff: the table. */
static const uint8_t property_bytes[PROPERTIES] = {0, 0, 0xff, 1, 1, 0, 0, 0, 0, 8, 0, 0, 0, 0};

static bool read_string(
    struct broker_reader *reader, const struct amqp_content *content, size_t end, bool is_told)
{
    struct amqp_argument *argument = &amqp_frame_of(reader)->argument;
    if (!argument->is_string) {
        argument->left = reader->data[reader->at++];
        argument->is_string = argument->is_first = true;
        if (argument->left > 0)
            return false;
    }
    size_t there = end - reader->at;
    size_t length = there < argument->left ? there : argument->left;
    argument->left -= (uint8_t)length;
    if (is_told && length > 0)
        broker_tell_text(reader, content->serial, FIELD_MESSAGE,
            amqp_piece(reader, length, argument->is_first, argument->left == 0));
    argument->is_first = false;
    reader->at += length;
    return argument->left == 0;
}

/* True: it has been read. */
static bool read_property(
    struct broker_reader *reader, const struct amqp_content *content, size_t end)
{
    struct amqp_argument *argument = &amqp_frame_of(reader)->argument;
    unsigned property = argument->step - 1u;
    uint8_t bytes = property_bytes[property];
    if (bytes == 0xff)
        return read_table(reader, content, end);
    if (bytes == 0)
        return read_string(
            reader, content, end, content->is_told && property == PROPERTY_MESSAGE_ID);
    reader->at++;
    return ++argument->left == bytes;
}

/* Behind a property, to the next one that is there; PROPERTIES + 1: to none. */
static void next_property(struct amqp_frame *frame)
{
    uint8_t step = frame->argument.step + 1;
    while (step <= PROPERTIES && !(frame->flags & 0x8000u >> (step - 1)))
        step++;
    frame->argument = (struct amqp_argument){.step = step};
}

/* 4.2.6.1: class, weight, size of the body, flags. */
static void read_content_head(
    struct broker_reader *reader, struct amqp_content *content, size_t end)
{
    struct amqp_frame *frame = reader->side;
    while (frame->ids < 14 && reader->at < end) {
        uint8_t byte = reader->data[reader->at++];
        if (frame->ids >= 4 && frame->ids < 12)
            frame->argument.number = frame->argument.number << 8 | byte;
        else if (frame->ids >= 12)
            frame->flags = (uint16_t)(frame->flags << 8 | byte);
        if (++frame->ids == 12)
            content->left =
                frame->argument.number > UINT32_MAX ? UINT32_MAX : (uint32_t)frame->argument.number;
    }
    if (frame->ids < 14 || frame->argument.step > 0)
        return;
    if (frame->flags & 1) {
        frame->flags = 0; /* more flags follow: no property is read, and none is put */
        frame->table.is_odd = true;
    }
    next_property(frame);
}

/* Everything has been read, and the frame's end is to come. */
void amqp_tell_request(struct broker_reader *reader)
{
    const struct amqp *amqp = reader->state;
    const struct amqp_frame *frame = reader->side;
    struct amqp_channel *channel = amqp_channel_of(reader);
    struct amqp_content *content = channel == NULL ? NULL : &channel->content[reader->direction];
    if (content == NULL || content->stage != CONTENT_HEADER || !content->is_told)
        return;
    size_t length = 4 + (size_t)frame->length; /* from the frame's size on */
    bool is_whole = frame->ids == 14 && frame->argument.step > PROPERTIES && !frame->table.is_odd;
    if (reader->direction == DIRECTION_OUT && is_whole)
        broker_tell_splice(reader, content->serial, length, amqp->frame_max);
    content->is_requested = true;
    broker_tell(reader, content->serial, EVENT_REQUEST);
    if (reader->direction == DIRECTION_IN && !content->waits)
        amqp_end_return(reader, channel);
}

void amqp_read_properties(struct broker_reader *reader, size_t end)
{
    struct amqp_frame *frame = reader->side;
    struct amqp_channel *channel = amqp_channel_of(reader);
    struct amqp_content nobody = {0};
    struct amqp_content *content = channel == NULL ? &nobody : &channel->content[reader->direction];
    if (content->stage != CONTENT_HEADER)
        return;
    read_content_head(reader, content, end);
    while (reader->at < end && frame->argument.step <= PROPERTIES)
        if (read_property(reader, content, end))
            next_property(frame);
    reader->at = end;
}

/* --- its end --------------------------------------------------------------------------------- */

void amqp_end_content(struct broker_reader *reader)
{
    struct amqp_channel *channel = amqp_channel_of(reader);
    struct amqp_content *content = channel == NULL ? NULL : &channel->content[reader->direction];
    if (content == NULL || content->stage == CONTENT_NONE)
        return;
    if (amqp_frame_of(reader)->type == FRAME_CONTENT)
        content->stage = CONTENT_BODY;
    if (content->stage != CONTENT_BODY || content->left > 0)
        return;
    struct amqp_content whole = *content;
    *content = (struct amqp_content){0};
    if (reader->direction == DIRECTION_IN && channel->get_is_answered) {
        channel->get_is_answered = false;
        amqp_answer(reader, channel, ASKED_GET, EVENT_END);
    }
    if (!whole.is_told)
        return;
    broker_tell(reader, whole.serial, EVENT_RECEIVED);
    if (!whole.waits)
        broker_end(reader, whole.serial);
}
