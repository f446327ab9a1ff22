/* SPDX-License-Identifier: Apache-2.0 */
/* Sections of an OP_MSG, and the documents in them (BSON 1.1, section "Specification"). */
#include "mongodb.h"

#include <string.h>

/* --- values -------------------------------------------------------------------------------- */

enum shape { SHAPE_NONE, SHAPE_FIXED, SHAPE_TEXT, SHAPE_DOCUMENT, SHAPE_TEXTS };

enum { TYPE_TEXT = 2, TYPE_DOCUMENT = 3, TYPE_LIST = 4, TYPE_MIN_KEY = 0xff, TYPE_MAX_KEY = 0x7f };

/* How long a value is: so many bytes, or so many more than the length before it says. */
struct type {
    uint8_t shape; /* enum shape */
    uint8_t bytes;
};

static struct type type_of(uint8_t type)
{
    static const struct type types[] = {
        [0x01] = {SHAPE_FIXED, 8},    /* a floating point number */
        [0x02] = {SHAPE_TEXT, 0},     /* a string */
        [0x03] = {SHAPE_DOCUMENT, 0}, /* a document */
        [0x04] = {SHAPE_DOCUMENT, 0}, /* a list */
        [0x05] = {SHAPE_TEXT, 1},     /* binary data, with its subtype */
        [0x06] = {SHAPE_FIXED, 0},    /* undefined */
        [0x07] = {SHAPE_FIXED, 12},   /* an object's id */
        [0x08] = {SHAPE_FIXED, 1},    /* yes or no */
        [0x09] = {SHAPE_FIXED, 8},    /* a date */
        [0x0a] = {SHAPE_FIXED, 0},    /* null */
        [0x0b] = {SHAPE_TEXTS, 2},    /* a regular expression, and its options */
        [0x0c] = {SHAPE_TEXT, 12},    /* a pointer */
        [0x0d] = {SHAPE_TEXT, 0},     /* code */
        [0x0e] = {SHAPE_TEXT, 0},     /* a symbol */
        [0x0f] = {SHAPE_DOCUMENT, 0}, /* code and its scope: the length is of all */
        [0x10] = {SHAPE_FIXED, 4},    /* a number */
        [0x11] = {SHAPE_FIXED, 8},    /* a timestamp */
        [0x12] = {SHAPE_FIXED, 8},    /* a long number */
        [0x13] = {SHAPE_FIXED, 16},   /* a decimal number */
    };
    if (type == TYPE_MIN_KEY || type == TYPE_MAX_KEY) {
        return (struct type){SHAPE_FIXED, 0};
    }
    return type < sizeof types / sizeof types[0] ? types[type] : (struct type){SHAPE_NONE, 0};
}

/* --- what is looked for -------------------------------------------------------------------- */

static const struct wanted {
    char key[MONGODB_KEY_BYTES];
    uint8_t place; /* where the key is */
    uint8_t shape; /* of its value */
    uint8_t want;
    uint8_t inside; /* WANT_PLACE: what the value is */
} wanted[] = {
    {"$db", PLACE_COMMAND, SHAPE_TEXT, WANT_NAMESPACE, 0},
    {"collection", PLACE_COMMAND, SHAPE_TEXT, WANT_COLLECTION, 0},
    {"documents", PLACE_COMMAND, SHAPE_DOCUMENT, WANT_PLACE, PLACE_BATCH},
    {"updates", PLACE_COMMAND, SHAPE_DOCUMENT, WANT_PLACE, PLACE_BATCH},
    {"deletes", PLACE_COMMAND, SHAPE_DOCUMENT, WANT_PLACE, PLACE_BATCH},
    {"ok", PLACE_REPLY, SHAPE_FIXED, WANT_OK, 0},
    {"code", PLACE_REPLY, SHAPE_FIXED, WANT_CODE, 0},
    {"cursor", PLACE_REPLY, SHAPE_DOCUMENT, WANT_PLACE, PLACE_CURSOR},
    {"writeErrors", PLACE_REPLY, SHAPE_DOCUMENT, WANT_PLACE, PLACE_ERRORS},
    {"writeConcernError", PLACE_REPLY, SHAPE_DOCUMENT, WANT_PLACE, PLACE_ERROR},
    {"firstBatch", PLACE_CURSOR, SHAPE_DOCUMENT, WANT_PLACE, PLACE_ROWS},
    {"nextBatch", PLACE_CURSOR, SHAPE_DOCUMENT, WANT_PLACE, PLACE_ROWS},
    {"0", PLACE_ERRORS, SHAPE_DOCUMENT, WANT_PLACE, PLACE_ERROR},
    {"code", PLACE_ERROR, SHAPE_FIXED, WANT_WRITE_CODE, 0},
};

static void look_up(struct mongodb_side *side, uint8_t place, uint8_t shape)
{
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        if (wanted[i].place == place && wanted[i].shape == shape &&
            mongodb_key_is(side, wanted[i].key)) {
            side->want = wanted[i].want;
            side->place = wanted[i].inside;
            return;
        }
    }
}

/* --- texts that are told ------------------------------------------------------------------- */

static void tell_text(struct mongodb_reader *reader, struct mongodb_side *side, enum field field,
    size_t length, bool is_last)
{
    size_t max = field == FIELD_OPERATION ? MONGODB_COMMAND_BYTES_MAX : MONGODB_TEXT_BYTES_MAX;
    size_t room = max - side->told;
    length = length < room ? length : room;
    bool is_first = !reader->mongodb->is_in_text;
    reader->mongodb->is_in_text = !is_last;
    mongodb_tell(reader, (struct event){.kind = EVENT_TEXT,
                             .field = field,
                             .first = is_first,
                             .last = is_last,
                             .exchange = reader->mongodb->next - 1,
                             .offset = reader->at,
                             .text = reader->data + reader->at,
                             .length = length});
    side->told += (uint8_t)length;
}

/* --- reading ------------------------------------------------------------------------------- */

bool mongodb_number_read(struct mongodb_reader *reader, struct mongodb_side *side)
{
    if (side->have == 0 && reader->end - reader->at >= 4) { /* as a rule */
        side->number = mongodb_number_at(reader->data + reader->at);
        side->have = 4;
        mongodb_take(reader, side, 4);
        return true;
    }
    while (reader->at < reader->end && side->have < 4) {
        side->number |= (uint32_t)reader->data[reader->at] << 8 * side->have++;
        mongodb_take(reader, side, 1);
    }
    return side->have == 4;
}

static void begin(struct mongodb_side *side, enum mongodb_stage stage)
{
    side->stage = (uint8_t)stage;
    side->number = 0;
    side->have = 0;
}

static uint32_t end_of(const struct mongodb_side *side)
{
    return side->depth > 0 ? side->levels[side->depth - 1].end : side->section;
}

/* A value of so many bytes, which must end before its document does. */
static bool begin_value(struct mongodb_side *side, enum mongodb_stage stage, uint32_t length)
{
    begin(side, length > 0 ? stage : STAGE_TYPE);
    side->skip = length;
    side->told = 0;
    return side->left > end_of(side) && length < side->left - end_of(side);
}

/* The length of a document was read. */
static bool enter(struct mongodb_side *side, uint32_t length, enum mongodb_place place)
{
    uint32_t end = side->depth > 0 ? end_of(side) + 1 : end_of(side);
    if (length < 5 || length - 4 > side->left || side->left - (length - 4) < end) {
        return false;
    }
    side->levels[side->depth++] = (struct mongodb_level){side->left - (length - 4), (uint8_t)place};
    begin(side, STAGE_TYPE);
    return true;
}

static void leave(struct mongodb_side *side)
{
    side->depth--;
    begin(side, side->depth > 0 ? STAGE_TYPE : STAGE_KIND);
}

static bool read_type(struct mongodb_reader *reader, struct mongodb_side *side)
{
    struct mongodb_level *level = &side->levels[side->depth - 1];
    side->type = reader->data[reader->at];
    mongodb_take(reader, side, 1);
    if (side->type == 0) {
        bool is_end = side->left == level->end;
        leave(side);
        return is_end;
    }
    side->count += level->place == PLACE_BATCH;
    reader->mongodb->rows += level->place == PLACE_ROWS;
    reader->mongodb->has_rows |= level->place == PLACE_CURSOR;
    memset(side->key, 0, sizeof side->key);
    side->key_length = 0;
    side->told = 0;
    side->stage = STAGE_KEY;
    return side->left > level->end && type_of(side->type).shape != SHAPE_NONE;
}

static bool key_complete(struct mongodb_reader *reader, struct mongodb_side *side)
{
    struct mongodb *mongodb = reader->mongodb;
    uint8_t place = side->levels[side->depth - 1].place;
    struct type type = type_of(side->type);
    side->want = WANT_NOTHING;
    if (place == PLACE_COMMAND && !mongodb->is_named) {
        if (!mongodb_named(reader, side)) {
            side->stage = STAGE_SKIP_MESSAGE;
            return true;
        }
        bool has_name = mongodb->names_collection && side->type == TYPE_TEXT;
        side->want = has_name ? WANT_COLLECTION : WANT_NOTHING;
    } else {
        look_up(side, place, type.shape);
        if (side->want == WANT_COLLECTION && !mongodb->is_more) {
            side->want = WANT_NOTHING;
        }
    }
    if (type.shape == SHAPE_FIXED) {
        bool is_number = side->want != WANT_NOTHING && type.bytes > 0;
        return begin_value(side, is_number ? STAGE_NUMBER : STAGE_SKIP_VALUE, type.bytes);
    }
    if (type.shape == SHAPE_TEXTS) {
        return begin_value(side, STAGE_SKIP_TEXTS, type.bytes);
    }
    begin(side, STAGE_LENGTH);
    return true;
}

static size_t room_of(const struct mongodb_reader *reader, uint32_t wanted_bytes)
{
    size_t length = reader->end - reader->at;
    return length < wanted_bytes ? length : wanted_bytes;
}

/* It ends before its document does. */
static bool read_key(struct mongodb_reader *reader, struct mongodb_side *side)
{
    bool is_command = side->levels[side->depth - 1].place == PLACE_COMMAND;
    bool is_name = is_command && !reader->mongodb->is_named;
    size_t room = room_of(reader, side->left - end_of(side) - 1);
    const uint8_t *from = reader->data + reader->at;
    const uint8_t *zero = memchr(from, 0, room);
    size_t length = zero != NULL ? (size_t)(zero - from) : room;
    for (size_t i = 0; i < length && side->key_length + i < sizeof side->key; i++) {
        side->key[side->key_length + i] = from[i];
    }
    bool is_long = length > (size_t)(UINT8_MAX - side->key_length);
    side->key_length = is_long ? UINT8_MAX : (uint8_t)(side->key_length + length);
    if (room == 0 || (is_name && side->key_length > MONGODB_COMMAND_BYTES_MAX)) {
        return false;
    }
    if (is_name) {
        tell_text(reader, side, FIELD_OPERATION, length, zero != NULL);
    }
    mongodb_take(reader, side, length + (zero != NULL));
    return zero == NULL || key_complete(reader, side);
}

static bool read_length(struct mongodb_reader *reader, struct mongodb_side *side)
{
    if (!mongodb_number_read(reader, side)) {
        return true;
    }
    struct type type = type_of(side->type);
    uint32_t length = side->number;
    if (length > MONGODB_MESSAGE_BYTES_MAX) {
        return false;
    }
    if (type.shape == SHAPE_DOCUMENT) {
        if (side->want == WANT_PLACE) {
            return side->depth < MONGODB_LEVELS_MAX &&
                   enter(side, length, (enum mongodb_place)side->place);
        }
        return length >= 5 && begin_value(side, STAGE_SKIP_VALUE, length - 4);
    }
    bool is_text = side->want == WANT_COLLECTION || side->want == WANT_NAMESPACE;
    return (length > 0 || type.bytes > 0) &&
           begin_value(side, is_text ? STAGE_TEXT : STAGE_SKIP_VALUE, length + type.bytes);
}

static void number_complete(struct mongodb *mongodb, const struct mongodb_side *side)
{
    if (side->want == WANT_OK) {
        mongodb->is_ok = side->number != 0;
    } else if (side->want == WANT_CODE) {
        mongodb->code = (int32_t)side->number;
    } else if (mongodb->write_code == 0) {
        mongodb->write_code = (int32_t)side->number;
    }
}

/* Of a number the low half; whether `ok` is 0 is seen by all of its bytes. */
static bool read_number(struct mongodb_reader *reader, struct mongodb_side *side)
{
    while (reader->at < reader->end && side->skip > 0) {
        uint32_t byte = reader->data[reader->at];
        side->number |= side->have < 4 ? byte << 8 * side->have : side->want == WANT_OK ? byte : 0;
        side->have++;
        side->skip--;
        mongodb_take(reader, side, 1);
    }
    if (side->skip == 0) {
        number_complete(reader->mongodb, side);
        side->stage = STAGE_TYPE;
    }
    return true;
}

static bool read_text(struct mongodb_reader *reader, struct mongodb_side *side)
{
    size_t length = room_of(reader, side->skip);
    bool is_last = length == side->skip;
    enum field field = side->want == WANT_NAMESPACE ? FIELD_NAMESPACE : FIELD_COLLECTION;
    tell_text(reader, side, field, length - is_last, is_last); /* without its zero */
    mongodb_take(reader, side, length);
    side->skip -= (uint32_t)length;
    if (is_last) {
        side->stage = STAGE_TYPE;
    }
    return true;
}

static bool skip_value(struct mongodb_reader *reader, struct mongodb_side *side)
{
    size_t length = room_of(reader, side->skip);
    mongodb_take(reader, side, length);
    side->skip -= (uint32_t)length;
    if (side->skip == 0) {
        side->stage = STAGE_TYPE;
    }
    return true;
}

static bool skip_texts(struct mongodb_reader *reader, struct mongodb_side *side)
{
    side->skip -= reader->data[reader->at] == 0;
    mongodb_take(reader, side, 1);
    if (side->skip == 0) {
        side->stage = STAGE_TYPE;
    }
    return side->left > end_of(side);
}

/* --- sections ------------------------------------------------------------------------------ */

static bool read_document(struct mongodb_reader *reader, struct mongodb_side *side)
{
    if (!mongodb_number_read(reader, side)) {
        return true;
    }
    side->section = 0;
    return enter(
        side, side->number, mongodb_is_request(reader, side) ? PLACE_COMMAND : PLACE_REPLY);
}

static bool read_section_length(struct mongodb_reader *reader, struct mongodb_side *side)
{
    if (!mongodb_number_read(reader, side)) {
        return true;
    }
    uint32_t length = side->number;
    if (length < 5 || length - 4 > side->left) {
        return false;
    }
    side->section = side->left - (length - 4);
    side->stage = STAGE_SECTION_NAME;
    return true;
}

static bool section_goes_on(struct mongodb_side *side)
{
    begin(side, side->left == side->section ? STAGE_KIND : STAGE_SECTION_DOCUMENT);
    return true;
}

static bool read_section_name(struct mongodb_reader *reader, struct mongodb_side *side)
{
    bool is_end = reader->data[reader->at] == 0;
    mongodb_take(reader, side, 1);
    if (is_end) {
        return section_goes_on(side);
    }
    return side->left > side->section;
}

static bool read_section_document(struct mongodb_reader *reader, struct mongodb_side *side)
{
    if (!mongodb_number_read(reader, side)) {
        return true;
    }
    uint32_t length = side->number;
    side->count++;
    side->skip = length - 4;
    side->stage = STAGE_SECTION_SKIP;
    return length >= 5 && side->left >= side->section && length - 4 <= side->left - side->section;
}

static bool skip_section_document(struct mongodb_reader *reader, struct mongodb_side *side)
{
    size_t length = room_of(reader, side->skip);
    mongodb_take(reader, side, length);
    side->skip -= (uint32_t)length;
    return side->skip > 0 || section_goes_on(side);
}

static bool read_kind(struct mongodb_reader *reader, struct mongodb_side *side)
{
    uint8_t kind = reader->data[reader->at];
    if (side->left == 4 && (side->flags & FLAG_CHECKSUM) != 0) {
        side->stage = STAGE_SKIP_MESSAGE;
        return true;
    }
    mongodb_take(reader, side, 1);
    begin(side, kind == 0 ? STAGE_DOCUMENT : STAGE_SECTION_LENGTH);
    return kind <= 1 && side->left > 0;
}

bool mongodb_section_read(struct mongodb_reader *reader, struct mongodb_side *side)
{
    static bool (*const steps[])(struct mongodb_reader *, struct mongodb_side *) = {
        [STAGE_KIND] = read_kind,
        [STAGE_SECTION_LENGTH] = read_section_length,
        [STAGE_SECTION_NAME] = read_section_name,
        [STAGE_SECTION_DOCUMENT] = read_section_document,
        [STAGE_SECTION_SKIP] = skip_section_document,
        [STAGE_DOCUMENT] = read_document,
        [STAGE_TYPE] = read_type,
        [STAGE_KEY] = read_key,
        [STAGE_LENGTH] = read_length,
        [STAGE_NUMBER] = read_number,
        [STAGE_TEXT] = read_text,
        [STAGE_SKIP_VALUE] = skip_value,
        [STAGE_SKIP_TEXTS] = skip_texts,
    };
    return steps[side->stage](reader, side);
}
