/* SPDX-License-Identifier: Apache-2.0 */
/* MQTT 5: properties, 2.2.2. */
#include "mqtt.h"

enum { KIND_ONE = 1, KIND_TWO = 2, KIND_FOUR = 4, KIND_VARIABLE, KIND_TEXT, KIND_PAIR };

enum { TOPIC_ALIAS_MAXIMUM = 0x22, TOPIC_ALIAS = 0x23, MAXIMUM_PACKET_SIZE = 0x27 };

/* How each is written, 2.2.2.2; 0: there is none of that number. */
static const uint8_t kinds[] = {
    [0x01] = KIND_ONE,
    [0x02] = KIND_FOUR,
    [0x03] = KIND_TEXT,
    [0x08] = KIND_TEXT,
    [0x09] = KIND_TEXT,
    [0x0b] = KIND_VARIABLE,
    [0x11] = KIND_FOUR,
    [0x12] = KIND_TEXT,
    [0x13] = KIND_TWO,
    [0x15] = KIND_TEXT,
    [0x16] = KIND_TEXT,
    [0x17] = KIND_ONE,
    [0x18] = KIND_FOUR,
    [0x19] = KIND_ONE,
    [0x1a] = KIND_TEXT,
    [0x1c] = KIND_TEXT,
    [0x1f] = KIND_TEXT,
    [0x21] = KIND_TWO,
    [TOPIC_ALIAS_MAXIMUM] = KIND_TWO,
    [TOPIC_ALIAS] = KIND_TWO,
    [0x24] = KIND_ONE,
    [0x25] = KIND_ONE,
    [0x26] = KIND_PAIR, /* User Property */
    [MAXIMUM_PACKET_SIZE] = KIND_FOUR,
    [0x28] = KIND_ONE,
    [0x29] = KIND_ONE,
    [0x2a] = KIND_ONE,
};

/* Byte number `got` of a Variable Byte Integer, 1.5.5; false: it is too long. */
static bool add_digit(uint32_t *number, uint8_t *got, uint8_t byte, bool *is_last)
{
    *number |= (byte & 0x7fu) << 7 * *got;
    *is_last = !(byte & 0x80);
    return ++*got < 4 || *is_last;
}

static bool read_size(struct broker_reader *reader, uint8_t byte)
{
    struct mqtt_side *side = reader->side;
    if (!add_digit(&side->number, &side->got, byte, &side->is_sized))
        return false;
    side->properties = side->number;
    side->property.kind = 0;
    return !side->is_sized || side->properties <= side->left;
}

static void take_number(struct broker_reader *reader)
{
    struct mqtt *mqtt = reader->state;
    const struct mqtt_property *property = &mqtt_side_of(reader)->property;
    enum mqtt_type type = mqtt_type_of(reader->side);
    if (property->id == TOPIC_ALIAS_MAXIMUM && (type == MQTT_CONNECT || type == MQTT_CONNACK))
        mqtt->sides[direction_other(reader->direction)].may_alias = property->number > 0;
    else if (property->id == MAXIMUM_PACKET_SIZE && type == MQTT_CONNACK)
        mqtt->packet_max = property->number;
    else if (property->id == TOPIC_ALIAS && type == MQTT_PUBLISH)
        mqtt_take_alias(reader, (uint16_t)property->number);
}

/* --- one of them ------------------------------------------------------------------------------ */

static bool begin(struct mqtt_side *side, uint8_t id)
{
    uint8_t kind = id < sizeof(kinds) ? kinds[id] : 0;
    side->property = (struct mqtt_property){.kind = kind, .id = id, .field = FIELD_COUNT};
    return kind != 0;
}

static void end_text(struct mqtt_side *side)
{
    struct mqtt_property *property = &side->property;
    bool is_name = property->kind == KIND_PAIR && !property->is_value;
    property->got = 0;
    property->number = 0;
    property->is_value = is_name;
    property->kind = is_name ? property->kind : 0;
    if (is_name)
        property->field = (uint8_t)context_field(property->name, property->name_length);
    /* Whatever the value is, and be it none. */
    side->has_context |= context_is_parent((enum field)property->field);
}

/* From this offset on. */
static void tell_value(struct broker_reader *reader, size_t from)
{
    struct mqtt_side *side = reader->side;
    struct mqtt_property *property = &side->property;
    if (!property->is_value || property->field == FIELD_COUNT || !side->is_begun)
        return;
    broker_tell_header(reader, side->serial, (enum field)property->field,
        (struct fact){property->name, property->name_length},
        (struct broker_piece){from, reader->at, property->is_first, property->left == 0});
    property->is_first = false;
}

static void read_text(struct broker_reader *reader)
{
    struct mqtt_property *property = &mqtt_side_of(reader)->property;
    size_t from = reader->at;
    property->left -= (uint16_t)mqtt_take(reader, property->left);
    for (size_t i = from; i < reader->at && !property->is_value; i++)
        if (property->name_length < MQTT_NAME_MAX)
            property->name[property->name_length++] = reader->data[i];
    tell_value(reader, from);
    if (property->left == 0)
        end_text(reader->side);
}

/* The length of a text is one, too: it is as long as what is left may be. */
static bool read_number(struct broker_reader *reader, uint8_t byte)
{
    struct mqtt_side *side = reader->side;
    struct mqtt_property *property = &side->property;
    bool is_last;
    if (property->kind == KIND_VARIABLE) {
        if (!add_digit(&property->number, &property->got, byte, &is_last))
            return false;
    } else {
        property->number = property->number << 8 | byte;
        uint8_t bytes = property->kind < KIND_VARIABLE ? property->kind : 2;
        is_last = ++property->got == bytes;
    }
    if (!is_last)
        return true;
    if (property->kind <= KIND_VARIABLE) {
        take_number(reader);
        property->kind = 0;
        return true;
    }
    property->left = (uint16_t)property->number;
    property->is_first = true;
    if (property->left > 0)
        return property->left < side->properties; /* which this byte is still one of */
    tell_value(reader, reader->at);
    end_text(reader->side);
    return true;
}

static bool read_property(struct broker_reader *reader)
{
    struct mqtt_side *side = reader->side;
    struct mqtt_property *property = &side->property;
    if (property->left > 0) {
        read_text(reader);
        return true;
    }
    uint8_t byte = reader->data[reader->at];
    mqtt_take(reader, 1);
    if (property->kind != 0)
        return read_number(reader, byte);
    return begin(side, byte);
}

bool mqtt_read_properties(struct broker_reader *reader)
{
    struct mqtt_side *side = reader->side;
    if (side->left == 1)
        mqtt_tell_splice(reader);
    if (!side->is_sized) {
        uint8_t byte = reader->data[reader->at];
        mqtt_take(reader, 1);
        return read_size(reader, byte);
    }
    uint32_t left = side->left;
    if (!read_property(reader))
        return false;
    uint32_t used = left - side->left;
    if (used > side->properties)
        return false;
    side->properties -= used;
    return side->properties > 0 || side->property.kind == 0;
}
