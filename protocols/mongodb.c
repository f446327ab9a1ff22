/* SPDX-License-Identifier: Apache-2.0 */
/*
 * MongoDB, seen from its clients: recognition, the walk over messages, and which answers which. Of
 * what is compressed nothing but its time is told. Lost: messages of unknown kinds, and documents
 * that are none.
 */
#include "mongodb.h"

#include <string.h>

__attribute__((noinline)) void mongodb_tell(struct mongodb_reader *reader, struct event event)
{
    reader->sink->event(reader->sink, &event);
}

static void tell_number(
    struct mongodb_reader *reader, uint32_t exchange, enum field field, int64_t number)
{
    mongodb_tell(
        reader, (struct event){
                    .kind = EVENT_NUMBER, .exchange = exchange, .field = field, .number = number});
}

static void tell_of(struct mongodb_reader *reader, enum event_kind kind, uint32_t exchange)
{
    mongodb_tell(reader, (struct event){.kind = kind, .exchange = exchange, .offset = reader->at});
}

/* --- commands ------------------------------------------------------------------------------ */

static bool is_one_of(
    const struct mongodb_side *side, const char (*names)[MONGODB_KEY_BYTES], size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (mongodb_key_is(side, names[i])) {
            return true;
        }
    }
    return false;
}

/* By these drivers greet a server, and see whether it is still there. */
static const char greetings[][MONGODB_KEY_BYTES] = {"hello", "isMaster", "ismaster"};

/* Commands whose value is the name of a collection. Of others it may be that of a user. */
static const char of_collections[][MONGODB_KEY_BYTES] = {"find", "insert", "update", "delete",
    "aggregate", "findAndModify", "findandmodify", "count", "distinct", "create", "drop",
    "createIndexes", "dropIndexes", "deleteIndexes", "listIndexes", "createSearchIndexes",
    "collMod", "collStats", "validate", "compact", "reIndex", "mapReduce", "mapreduce",
    "killCursors", "convertToCapped", "cloneCollection", "planCacheClear", "dataSize"};

bool mongodb_named(struct mongodb_reader *reader, const struct mongodb_side *side)
{
    struct mongodb *mongodb = reader->mongodb;
    static const char more[][MONGODB_KEY_BYTES] = {"getMore"};
    mongodb->is_named = true;
    if (is_one_of(side, greetings, sizeof greetings / sizeof greetings[0])) {
        mongodb->is_telling = false;
        tell_of(reader, EVENT_VOID, mongodb->next - 1);
        return false;
    }
    mongodb->is_more = is_one_of(side, more, 1);
    mongodb->names_collection =
        is_one_of(side, of_collections, sizeof of_collections / sizeof of_collections[0]);
    tell_of(reader, EVENT_REQUEST, mongodb->next - 1);
    return true;
}

/* --- requests ------------------------------------------------------------------------------ */

static void end(struct mongodb_reader *reader, uint32_t exchange, enum end_reason reason)
{
    mongodb_tell(reader, (struct event){.kind = EVENT_END, .exchange = exchange, .reason = reason});
}

static bool begin_request(
    struct mongodb_reader *reader, struct mongodb_side *side, enum mongodb_opcode opcode)
{
    struct mongodb *mongodb = reader->mongodb;
    side->stage = opcode == OPCODE_MSG ? STAGE_FLAGS : STAGE_SKIP_MESSAGE;
    mongodb->is_telling = opcode == OPCODE_MSG || opcode == OPCODE_COMPRESSED;
    mongodb->is_named = opcode != OPCODE_MSG;
    mongodb->is_in_text = false;
    if (!mongodb->is_telling) {
        return (opcode >= OPCODE_UPDATE && opcode <= OPCODE_KILL_CURSORS);
    }
    if (mongodb->open_count == MONGODB_OPEN_MAX) {
        mongodb->is_telling = false;
        side->stage = STAGE_SKIP_MESSAGE;
        tell_of(reader, EVENT_UNTOLD, 0);
        return true;
    }
    tell_of(reader, EVENT_BEGIN, mongodb->next++);
    if (opcode == OPCODE_COMPRESSED) {
        tell_of(reader, EVENT_REQUEST, mongodb->next - 1);
    }
    return true;
}

/* One that wants no answer (moreToCome) is over when it is sent. */
static bool end_request(struct mongodb_reader *reader, struct mongodb_side *side)
{
    struct mongodb *mongodb = reader->mongodb;
    if (!mongodb->is_telling) {
        return true;
    }
    if (side->count > 0) {
        tell_number(reader, mongodb->next - 1, FIELD_BATCH, side->count);
    }
    if ((side->flags & FLAG_MORE_TO_COME) != 0) {
        end(reader, mongodb->next - 1, END_COMPLETE);
    } else {
        mongodb->open[mongodb->open_count++] = (struct mongodb_open){side->id, mongodb->next - 1};
    }
    mongodb->is_telling = false;
    return mongodb->is_named;
}

/* --- replies ------------------------------------------------------------------------------- */

/* Those before it will not be answered any more: what was compressed may have wanted no answer. */
static void end_before(struct mongodb_reader *reader, uint8_t index)
{
    struct mongodb *mongodb = reader->mongodb;
    for (uint8_t i = 0; i < index; i++) {
        end(reader, mongodb->open[i].exchange, END_COMPLETE);
    }
    mongodb->open_count -= index;
    memmove(mongodb->open, mongodb->open + index, mongodb->open_count * sizeof mongodb->open[0]);
}

static bool begin_reply(
    struct mongodb_reader *reader, struct mongodb_side *side, enum mongodb_opcode opcode)
{
    struct mongodb *mongodb = reader->mongodb;
    uint32_t request = mongodb_number_at(side->head + 8);
    uint8_t index = 0;
    while (index < mongodb->open_count && mongodb->open[index].id != request) {
        index++;
    }
    mongodb->is_answering = index < mongodb->open_count;
    bool is_read = mongodb->is_answering && opcode == OPCODE_MSG;
    side->stage = is_read ? STAGE_FLAGS : STAGE_SKIP_MESSAGE;
    if (mongodb->is_answering) {
        end_before(reader, index);
        mongodb->code = 0;
        mongodb->write_code = 0;
        mongodb->is_ok = true;
        if (!mongodb->responded) {
            tell_of(reader, EVENT_RESPONSE, mongodb->open[0].exchange);
        }
        mongodb->responded = true;
    }
    return opcode == OPCODE_MSG || opcode == OPCODE_COMPRESSED || opcode == OPCODE_REPLY;
}

static void tell_outcome(struct mongodb_reader *reader)
{
    struct mongodb *mongodb = reader->mongodb;
    uint32_t exchange = mongodb->open[0].exchange;
    int32_t code = mongodb->is_ok ? mongodb->write_code : mongodb->code != 0 ? mongodb->code : -1;
    if (mongodb->has_rows) {
        tell_number(reader, exchange, FIELD_ROWS, (int64_t)mongodb->rows + 1);
    }
    if (code != 0) {
        tell_number(reader, exchange, FIELD_STATUS, code);
    }
}

/* With moreToCome another reply follows, to this one. */
static void end_reply(struct mongodb_reader *reader, struct mongodb_side *side)
{
    struct mongodb *mongodb = reader->mongodb;
    if (!mongodb->is_answering) {
        return;
    }
    if ((side->flags & FLAG_MORE_TO_COME) != 0) {
        mongodb->open[0].id = side->id;
        return;
    }
    tell_outcome(reader);
    end(reader, mongodb->open[0].exchange, END_COMPLETE);
    mongodb->open_count--;
    memmove(mongodb->open, mongodb->open + 1, mongodb->open_count * sizeof mongodb->open[0]);
    mongodb->is_answering = false;
    mongodb->responded = false;
    mongodb->has_rows = false;
    mongodb->rows = 0;
}

/* --- the walk ------------------------------------------------------------------------------ */

static bool head_complete(struct mongodb_reader *reader, struct mongodb_side *side)
{
    uint32_t length = mongodb_number_at(side->head);
    enum mongodb_opcode opcode = (enum mongodb_opcode)mongodb_number_at(side->head + 12);
    if (length <= MONGODB_HEAD_BYTES || length > MONGODB_MESSAGE_BYTES_MAX) {
        return false;
    }
    side->left = length - MONGODB_HEAD_BYTES;
    side->id = mongodb_number_at(side->head + 4);
    side->flags = 0;
    side->count = 0;
    side->depth = 0;
    side->number = 0;
    side->have = 0;
    return mongodb_is_request(reader, side) ? begin_request(reader, side, opcode)
                                            : begin_reply(reader, side, opcode);
}

static bool read_head(struct mongodb_reader *reader, struct mongodb_side *side)
{
    size_t length = reader->end - reader->at, wanted = MONGODB_HEAD_BYTES - side->have;
    length = length < wanted ? length : wanted;
    memcpy(side->head + side->have, reader->data + reader->at, length);
    side->have += (uint8_t)length;
    reader->at += length;
    return side->have < MONGODB_HEAD_BYTES || head_complete(reader, side);
}

static bool read_flags(struct mongodb_reader *reader, struct mongodb_side *side)
{
    if (!mongodb_number_read(reader, side)) {
        return side->left > 0;
    }
    side->flags = side->number;
    side->stage = STAGE_KIND;
    return (side->flags & FLAGS_REQUIRED & ~(uint32_t)(FLAG_CHECKSUM | FLAG_MORE_TO_COME)) == 0 &&
           side->left > 0;
}

static bool end_message(struct mongodb_reader *reader, struct mongodb_side *side)
{
    bool is_whole = side->stage == STAGE_KIND || side->stage == STAGE_SKIP_MESSAGE;
    side->stage = STAGE_HEAD;
    side->have = 0;
    if (mongodb_is_request(reader, side)) {
        return end_request(reader, side) && is_whole;
    }
    if (is_whole) {
        end_reply(reader, side);
    }
    return is_whole;
}

static bool step(struct mongodb_reader *reader, struct mongodb_side *side, size_t length)
{
    if (side->stage == STAGE_HEAD) {
        reader->end = length;
        return read_head(reader, side);
    }
    reader->end = length - reader->at < side->left ? length : reader->at + side->left;
    bool is_going_on = true;
    if (side->stage == STAGE_FLAGS) {
        is_going_on = read_flags(reader, side);
    } else if (side->stage == STAGE_SKIP_MESSAGE) {
        mongodb_take(reader, side, reader->end - reader->at);
    } else {
        is_going_on = mongodb_section_read(reader, side);
    }
    return is_going_on && (side->left > 0 || end_message(reader, side));
}

static size_t feed(
    void *state, enum direction direction, const uint8_t *data, size_t length, struct sink *sink)
{
    struct mongodb *mongodb = state;
    struct mongodb_reader reader = {mongodb, sink, data, 0, length};
    mongodb->lost |= mongodb->asks_no_more && direction == (enum direction)mongodb->requests;
    while (!mongodb->lost && !mongodb->over && reader.at < length) {
        mongodb->lost = !step(&reader, &mongodb->sides[direction], length);
    }
    return mongodb->lost ? FEED_LOST : length;
}

/* Only what is passed over may pass unseen. */
static bool skip(void *state, enum direction direction, uint64_t length, struct sink *sink)
{
    struct mongodb *mongodb = state;
    struct mongodb_side *side = &mongodb->sides[direction];
    (void)sink;
    if (length == 0 || mongodb->over) {
        return !mongodb->lost;
    }
    bool is_value = side->stage == STAGE_SKIP_VALUE || side->stage == STAGE_SECTION_SKIP;
    bool is_inside =
        is_value ? length < side->skip : side->stage == STAGE_SKIP_MESSAGE && length < side->left;
    mongodb->lost |= !is_inside;
    if (!mongodb->lost) {
        side->left -= (uint32_t)length;
        side->skip -= is_value ? (uint32_t)length : 0;
    }
    return !mongodb->lost;
}

/* A server that says nothing more answers nothing more; a client that does still reads. */
static void finish(void *state, enum direction direction, struct sink *sink)
{
    struct mongodb *mongodb = state;
    struct mongodb_reader reader = {mongodb, sink, NULL, 0, 0};
    if (mongodb->lost || mongodb->over) {
        return;
    }
    if (mongodb->is_telling) {
        mongodb->is_telling = false;
        tell_of(&reader, EVENT_VOID, mongodb->next - 1);
    }
    mongodb->asks_no_more = true;
    if (direction == (enum direction)mongodb->requests) {
        return;
    }
    for (uint8_t i = 0; i < mongodb->open_count; i++) {
        bool is_answered = i == 0 && mongodb->responded;
        end(&reader, mongodb->open[i].exchange, is_answered ? END_TRUNCATED : END_UNANSWERED);
    }
    mongodb->open_count = 0;
    mongodb->over = true;
}

static void start(void *state, enum direction requests)
{
    memset(state, 0, sizeof(struct mongodb));
    ((struct mongodb *)state)->requests = (uint8_t)requests;
}

/* --- whose bytes are these ----------------------------------------------------------------- */

enum { ANSWERS_AT = 8, OPCODE_AT = 12, BODY_AT = 16 };

/* Are the bytes at `at`, as far as they are there, these? */
static bool holds(const struct prefix *prefix, size_t at, const void *bytes, size_t length)
{
    size_t have = prefix->length > at ? prefix->length - at : 0;
    return memcmp(prefix->bytes + at, bytes, have < length ? have : length) == 0;
}

/* Flags, a document as a section that goes to the end of the message or before, and in it a key. */
static enum verdict probe_msg(const struct prefix *prefix)
{
    enum { KIND_AT = BODY_AT + 4, DOCUMENT_AT = KIND_AT + 1, KEY_AT = DOCUMENT_AT + 5 };
    const uint8_t *bytes = prefix->bytes;
    uint32_t length = mongodb_number_at(bytes);
    static const uint8_t no_flags[] = {0};
    if (!holds(prefix, BODY_AT + 1, no_flags, 1) || !holds(prefix, BODY_AT + 3, no_flags, 1)) {
        return VERDICT_NO;
    }
    if (prefix->length <= KEY_AT) {
        return VERDICT_MORE;
    }
    uint32_t document = mongodb_number_at(bytes + DOCUMENT_AT);
    bool is_letter = (bytes[KEY_AT] | 0x20) >= 'a' && (bytes[KEY_AT] | 0x20) <= 'z';
    bool is_key = is_letter || bytes[KEY_AT] == '_';
    bool is_body =
        bytes[KIND_AT] == 0 && bytes[KEY_AT - 1] != 0 && is_key && document <= length - DOCUMENT_AT;
    bool is_list = bytes[KIND_AT] == 1 && document <= length - DOCUMENT_AT &&
                   (bytes[KEY_AT - 1] | 0x20) >= 'a' && (bytes[KEY_AT - 1] | 0x20) <= 'z';
    return (bytes[BODY_AT] & ~(FLAG_CHECKSUM | FLAG_MORE_TO_COME)) == 0 && (is_body || is_list) &&
                   document > 5
               ? VERDICT_YES
               : VERDICT_NO;
}

/* A greeting of old: flags, the name of a collection that is none. */
static enum verdict probe_query(const struct prefix *prefix)
{
    enum { NAME_AT = BODY_AT + 4 };
    static const char name[] = "admin.$cmd";
    if (!holds(prefix, NAME_AT, name, sizeof name)) {
        return VERDICT_NO;
    }
    return prefix->length < NAME_AT + sizeof name ? VERDICT_MORE : VERDICT_YES;
}

static enum verdict probe_message(const struct prefix *prefix)
{
    static const uint8_t none[4];
    uint32_t length = mongodb_number_at(prefix->bytes);
    if (prefix->length >= 4 && (length <= BODY_AT + 10 || length > MONGODB_MESSAGE_BYTES_MAX)) {
        return VERDICT_NO;
    }
    if (!holds(prefix, ANSWERS_AT, none, sizeof none)) {
        return VERDICT_NO; /* it answers nothing */
    }
    if (prefix->length < BODY_AT) {
        return VERDICT_MORE;
    }
    switch (mongodb_number_at(prefix->bytes + OPCODE_AT)) {
    case OPCODE_MSG:
        return probe_msg(prefix);
    case OPCODE_QUERY:
        return probe_query(prefix);
    default:
        return VERDICT_NO;
    }
}

/* The client speaks first. */
static enum verdict probe(const struct prefix prefixes[2], enum direction *requests)
{
    for (enum direction from = DIRECTION_IN; from <= DIRECTION_OUT; from++) {
        if (prefixes[from].length > 0 && prefixes[direction_other(from)].length == 0) {
            *requests = from;
            return probe_message(&prefixes[from]);
        }
    }
    return VERDICT_NO;
}

const struct protocol mongodb_protocol = {
    .name = "mongodb",
    .state_bytes = sizeof(struct mongodb),
    .client_only = true,
    .probe = probe,
    .start = start,
    .feed = feed,
    .skip = skip,
    .finish = finish,
    .describe = mongodb_describe,
};
