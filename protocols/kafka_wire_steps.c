/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kafka on the wire: the fields of messages, as tables of steps. What a version does not have is
 * passed over; from some version on each message is flexible: lengths are of variable length and
 * one more than they say, and tags follow each structure.
 */
#include "kafka_wire.h"

enum kind {
    NUMBER,     /* of so many bytes */
    TEXT,       /* a string */
    PLAIN_TEXT, /* with a length of two bytes, also where all others are flexible */
    ID,
    LIST, /* to its END_OF_LIST */
    END_OF_LIST,
    RECORDS,
    TAGS,
    REST /* is passed over */
};

enum meaning {
    NOTHING,
    CLIENT,
    GROUP,
    ACKS,
    TOPICS, /* how many */
    PARTITIONS,
    TOPIC, /* of records */
    PARTITION,
    ERROR,
    NAME, /* of the topic whose id follows */
    NAMED
};

enum { ALWAYS = UINT8_MAX, ID_BYTES = 16 };

struct step {
    uint8_t kind, meaning;
    uint8_t bytes;        /* of a number */
    uint8_t since, until; /* versions that have it */
};

#define ALL(kind, meaning)          \
    {                               \
        kind, meaning, 0, 0, ALWAYS \
    }
#define SINCE(version, kind, meaning)     \
    {                                     \
        kind, meaning, 0, version, ALWAYS \
    }
#define UNTIL(version, kind, meaning) \
    {                                 \
        kind, meaning, 0, 0, version  \
    }
#define BYTES(bytes, meaning)             \
    {                                     \
        NUMBER, meaning, bytes, 0, ALWAYS \
    }
#define BYTES_SINCE(version, bytes, meaning)    \
    {                                           \
        NUMBER, meaning, bytes, version, ALWAYS \
    }
#define TOPIC_UNTIL(version) UNTIL(version, TEXT, TOPIC), SINCE(version + 1, ID, TOPIC)
#define HEAD ALL(PLAIN_TEXT, CLIENT), ALL(TAGS, NOTHING)
#define END ALL(END_OF_LIST, NOTHING)
#define TAGGED ALL(TAGS, NOTHING)
#define OVER ALL(REST, NOTHING)

/* clang-format off */
static const struct step of_others[] = {ALL(PLAIN_TEXT, CLIENT), OVER};
static const struct step of_group[] = {HEAD, ALL(TEXT, GROUP), OVER};
static const struct step of_produce[] = {
    HEAD, SINCE(3, TEXT, NOTHING), BYTES(2, ACKS), BYTES(4, NOTHING),
    ALL(LIST, TOPICS), TOPIC_UNTIL(12),
        ALL(LIST, PARTITIONS), BYTES(4, PARTITION), ALL(RECORDS, NOTHING), TAGGED, END,
    TAGGED, END, TAGGED, OVER};
static const struct step of_produced[] = {
    TAGGED,
    ALL(LIST, NOTHING), TOPIC_UNTIL(12),
        ALL(LIST, NOTHING), BYTES(4, NOTHING), BYTES(2, ERROR), BYTES(8, NOTHING),
            BYTES_SINCE(2, 8, NOTHING), BYTES_SINCE(5, 8, NOTHING),
            SINCE(8, LIST, NOTHING), BYTES(4, NOTHING), ALL(TEXT, NOTHING), TAGGED, END,
            SINCE(8, TEXT, NOTHING), TAGGED, END,
        TAGGED, END,
    OVER};
static const struct step of_fetched[] = {
    TAGGED, BYTES_SINCE(1, 4, NOTHING), BYTES_SINCE(7, 2, ERROR), BYTES_SINCE(7, 4, NOTHING),
    ALL(LIST, NOTHING), TOPIC_UNTIL(12),
        ALL(LIST, NOTHING), BYTES(4, PARTITION), BYTES(2, ERROR), BYTES(8, NOTHING),
            BYTES_SINCE(4, 8, NOTHING), BYTES_SINCE(5, 8, NOTHING),
            SINCE(4, LIST, NOTHING), BYTES(8, NOTHING), BYTES(8, NOTHING), TAGGED, END,
            BYTES_SINCE(11, 4, NOTHING), ALL(RECORDS, NOTHING), TAGGED, END,
        TAGGED, END,
    OVER};
static const struct step of_metadata[] = { /* from version 10 on, which has ids */
    TAGGED, BYTES(4, NOTHING),
    ALL(LIST, NOTHING), BYTES(4, NOTHING), ALL(TEXT, NOTHING), BYTES(4, NOTHING),
        ALL(TEXT, NOTHING), TAGGED, END,
    ALL(TEXT, NOTHING), BYTES(4, NOTHING),
    ALL(LIST, NOTHING), BYTES(2, NOTHING), ALL(TEXT, NAME), ALL(ID, NAMED), BYTES(1, NOTHING),
        ALL(LIST, NOTHING), BYTES(2, NOTHING), BYTES(4, NOTHING), BYTES(4, NOTHING),
            BYTES(4, NOTHING),
            ALL(LIST, NOTHING), BYTES(4, NOTHING), END,
            ALL(LIST, NOTHING), BYTES(4, NOTHING), END,
            ALL(LIST, NOTHING), BYTES(4, NOTHING), END,
            TAGGED, END,
        BYTES(4, NOTHING), TAGGED, END,
    OVER};
/* clang-format on */

static const struct message {
    uint8_t key, versions_from, versions_to, flexible_from;
    const struct step *request, *answer;
} messages[] = {
    {KEY_PRODUCE, 0, 13, 9, of_produce, of_produced},
    {KEY_FETCH, 0, 18, 12, of_others, of_fetched},
    {KEY_METADATA, 10, 13, 9, of_others, of_metadata},
    {KEY_OFFSET_COMMIT, 0, 10, 8, of_group, NULL},
    {KEY_JOIN_GROUP, 0, 9, 6, of_group, NULL},
    {KEY_GROUP_HEARTBEAT, 0, 1, 0, of_group, NULL},
};

static const struct message *message_of(const struct kafka_side *side)
{
    for (size_t i = 0; i < sizeof(messages) / sizeof(messages[0]); i++)
        if (messages[i].key == side->key && side->version >= messages[i].versions_from &&
            side->version <= messages[i].versions_to)
            return &messages[i];
    return NULL;
}

static const struct step *steps_of(const struct kafka_reader *reader)
{
    const struct message *message = message_of(reader->side);
    if (message == NULL)
        return of_others;
    return reader->is_request ? message->request : message->answer;
}

/* --- numbers ------------------------------------------------------------------------------- */

bool kafka_read_number(struct kafka_reader *reader, uint8_t bytes)
{
    struct kafka_side *side = reader->side;
    while (side->have < bytes && reader->at < reader->end) {
        side->number = (side->have == 0 ? 0 : side->number << 8) | reader->data[reader->at];
        side->have++;
        kafka_take(reader, 1);
    }
    bool is_whole = side->have == bytes;
    if (is_whole)
        side->have = 0;
    return is_whole;
}

bool kafka_read_variable(struct kafka_reader *reader, bool *is_odd)
{
    enum { BYTES_MAX = 10 };
    struct kafka_side *side = reader->side;
    bool goes_on = true;
    while (goes_on && side->have < BYTES_MAX && reader->at < reader->end) {
        uint64_t byte = reader->data[reader->at];
        side->number = (side->have == 0 ? 0 : side->number) | (byte & 0x7f) << 7 * side->have;
        side->have++;
        goes_on = byte & 0x80;
        kafka_take(reader, 1);
    }
    *is_odd = goes_on && side->have == BYTES_MAX;
    if (!goes_on || *is_odd)
        side->have = 0;
    return !goes_on;
}

/* How long something is, or how many: none and nothing are the same. False: not known yet, or it is
 * no length that could be. */
static bool read_length(struct kafka_reader *reader, uint8_t bytes, bool is_plain, bool *is_odd)
{
    struct kafka_side *side = reader->side;
    bool is_flexible = side->is_flexible && !is_plain;
    if (is_flexible ? !kafka_read_variable(reader, is_odd) : !kafka_read_number(reader, bytes))
        return false;
    if (is_flexible)
        side->number -= side->number > 0;
    else if (side->number == (UINT64_C(1) << 8 * bytes) - 1)
        side->number = 0;
    *is_odd = side->number > side->left;
    return !*is_odd;
}

/* --- from step to step --------------------------------------------------------------------- */

static bool is_there(const struct kafka_side *side, const struct step *step)
{
    return side->version >= step->since && side->version <= step->until &&
           (step->kind != TAGS || side->is_flexible);
}

/* Behind the list that begins, or goes on, here. */
static uint8_t behind_list(const struct step *steps, uint8_t step)
{
    unsigned depth = 1;
    while (depth > 0) {
        step++;
        depth += steps[step].kind == LIST;
        depth -= steps[step].kind == END_OF_LIST;
    }
    return (uint8_t)(step + 1);
}

/* To the next step that takes bytes. */
static void advance(struct kafka_reader *reader, uint8_t to)
{
    const struct step *steps = steps_of(reader);
    struct kafka_side *side = reader->side;
    side->step = to;
    side->is_inside = false;
    while (side->stage == STAGE_STEP) {
        const struct step *step = &steps[side->step];
        if (step->kind == REST) {
            side->stage = STAGE_SKIP;
        } else if (step->kind == END_OF_LIST) {
            bool goes_on = --side->list_left[side->depth - 1] > 0;
            side->step = goes_on ? side->list_step[side->depth - 1] : (uint8_t)(side->step + 1);
            side->depth -= !goes_on;
        } else if (is_there(side, step)) {
            return;
        } else {
            side->step =
                step->kind == LIST ? behind_list(steps, side->step) : (uint8_t)(side->step + 1);
        }
    }
}

static void next(struct kafka_reader *reader)
{
    advance(reader, (uint8_t)(reader->side->step + 1));
}

bool kafka_steps_begin(struct kafka_reader *reader)
{
    struct kafka_side *side = reader->side;
    const struct message *message = message_of(side);
    if (message == NULL)
        side->key = KEY_UNKNOWN;
    side->is_flexible = message != NULL && side->version >= message->flexible_from;
    advance(reader, 0);
    return message != NULL;
}

/* --- what fields mean ---------------------------------------------------------------------- */

static void take_partition(struct kafka_reader *reader, int32_t number)
{
    struct kafka_side *side = reader->side;
    struct kafka_came *came = &reader->kafka->came;
    const struct kafka_sent *sent = &reader->kafka->sent;
    if (reader->is_request && side->is_told && sent->topics == 1 && sent->partitions == 1)
        kafka_tell_number(reader, FIELD_ROWS, (int64_t)number + 1);
    if (reader->is_request)
        return;
    came->partition_counts = false;
    if (came->partitions == 0)
        came->partition = number;
}

static void take_number(struct kafka_reader *reader, uint8_t meaning)
{
    enum { MESSAGE_TOO_LARGE = 10, RECORD_LIST_TOO_LARGE = 18 };
    struct kafka_came *came = &reader->kafka->came;
    int32_t number = (int32_t)reader->side->number;
    if (meaning == ACKS)
        reader->kafka->sent.wants_no_answer = number == 0;
    if (meaning == PARTITION)
        take_partition(reader, number);
    if (meaning == ERROR && reader->side->key == KEY_PRODUCE)
        reader->kafka->is_strict |= number == MESSAGE_TOO_LARGE || number == RECORD_LIST_TOO_LARGE;
    if (meaning == ERROR && number != 0 && came->error == 0) {
        came->error = (int16_t)number;
        kafka_came(reader);
    }
}

static void take_count(struct kafka_reader *reader, uint8_t meaning)
{
    uint32_t number = (uint32_t)reader->side->number;
    if (meaning == TOPICS)
        reader->kafka->sent.topics = number;
    if (meaning == PARTITIONS)
        reader->kafka->sent.partitions = number;
}

/* So many bytes of a text that is not empty. */
static void take_text(struct kafka_reader *reader, uint8_t meaning, size_t length)
{
    struct kafka *kafka = reader->kafka;
    struct kafka_side *side = reader->side;
    bool is_last = length == side->skip;
    bool is_produced = reader->is_request && side->is_told;
    if (meaning == TOPIC && !reader->is_request)
        kafka->came.topic_counts = false;
    if (meaning == CLIENT && is_produced)
        kafka_tell_text(reader, FIELD_USER_AGENT, length, side->is_first, is_last);
    else if (meaning == CLIENT && !kafka->client_kept) {
        kafka_keep(reader, KEPT_CLIENT, length, is_last);
        kafka->client_kept = is_last;
    } else if (meaning == GROUP) {
        kafka_keep(reader, KEPT_GROUP, length, is_last);
        kafka->group_kept |= is_last;
    } else if (meaning == TOPIC && is_produced && kafka->sent.topics == 1)
        kafka_tell_text(reader, FIELD_DESTINATION, length, side->is_first, is_last);
    else if ((meaning == TOPIC && !reader->is_request && side->key == KEY_FETCH) ||
             (meaning == NAME && kafka->came.names < KAFKA_TOPICS_MAX))
        kafka_keep(reader, KEPT_TOPIC, length, is_last);
}

/* A topic's name is said in Metadata, and its id wherever else. */
static void take_id(struct kafka_reader *reader, uint8_t meaning)
{
    struct kafka *kafka = reader->kafka;
    struct kafka_side *side = reader->side;
    struct event event = {.is_common = true, .key = side->topic};
    if (meaning == NAMED && kafka->came.names < KAFKA_TOPICS_MAX) {
        kafka->came.names++;
        event.kind = EVENT_ALIAS;
        event.other = KEPT_TOPIC;
        kafka_tell(reader, event);
    }
    if (meaning == TOPIC && reader->is_request && side->is_told && kafka->sent.topics == 1) {
        event.kind = EVENT_RECALL;
        event.field = FIELD_DESTINATION;
        event.exchange = side->exchange;
        kafka_tell(reader, event);
    }
}

/* --- reading ------------------------------------------------------------------------------- */

static size_t there(const struct kafka_reader *reader)
{
    size_t length = reader->end - reader->at;
    return length < reader->side->skip ? length : reader->side->skip;
}

/* The length of a text or of records, then its bytes. */
static bool begin_inside(struct kafka_reader *reader, uint8_t kind)
{
    struct kafka_side *side = reader->side;
    bool is_odd = false;
    if (!read_length(reader, kind == RECORDS ? 4 : 2, kind == PLAIN_TEXT, &is_odd))
        return !is_odd;
    side->skip = (uint32_t)side->number;
    side->is_inside = side->is_first = true;
    side->records = (struct kafka_records){0};
    if (side->skip == 0)
        next(reader);
    return true;
}

static void read_text(struct kafka_reader *reader, uint8_t meaning)
{
    struct kafka_side *side = reader->side;
    size_t length = there(reader);
    take_text(reader, meaning, length);
    side->is_first = false;
    side->skip -= (uint32_t)length;
    kafka_take(reader, length);
    if (side->skip == 0)
        next(reader);
}

static void read_id(struct kafka_reader *reader, uint8_t meaning)
{
    struct kafka_side *side = reader->side;
    side->topic = side->have == 0 ? UINT64_C(0xcbf29ce484222325) : side->topic;
    while (side->have < ID_BYTES && reader->at < reader->end) {
        side->topic = (side->topic ^ reader->data[reader->at]) * UINT64_C(0x100000001b3);
        side->have++;
        kafka_take(reader, 1);
    }
    if (side->have < ID_BYTES)
        return;
    side->have = 0;
    if (!reader->is_request)
        reader->kafka->came.topic_counts = false;
    take_id(reader, meaning);
    next(reader);
}

static bool read_list(struct kafka_reader *reader, uint8_t meaning)
{
    struct kafka_side *side = reader->side;
    bool is_odd = false;
    if (!read_length(reader, 4, false, &is_odd))
        return !is_odd;
    take_count(reader, meaning);
    if (side->number == 0) {
        advance(reader, behind_list(steps_of(reader), side->step));
        return true;
    }
    side->list_left[side->depth] = (uint32_t)side->number;
    side->list_step[side->depth++] = (uint8_t)(side->step + 1);
    next(reader);
    return true;
}

/* A number of tags; each is a number, a length, and so many bytes. */
static bool read_tags(struct kafka_reader *reader)
{
    struct kafka_side *side = reader->side;
    bool is_odd = false;
    if (side->skip > 0) {
        size_t length = there(reader);
        side->skip -= (uint32_t)length;
        kafka_take(reader, length);
    } else if (!kafka_read_variable(reader, &is_odd)) {
        return !is_odd;
    } else if (!side->is_inside) {
        side->tags = side->number > side->left ? UINT32_MAX : (uint32_t)side->number * 2;
        side->is_inside = true;
        is_odd = side->tags > 2 * (uint64_t)side->left;
    } else if (--side->tags % 2 == 0) {
        is_odd = side->number > side->left;
        side->skip = is_odd ? 0 : (uint32_t)side->number;
    }
    if (!is_odd && side->tags == 0 && side->skip == 0)
        next(reader);
    return !is_odd;
}

static void read_records(struct kafka_reader *reader)
{
    struct kafka_side *side = reader->side;
    size_t end = reader->end, before = reader->at;
    reader->end = before + there(reader);
    kafka_records_read(reader, side->left - side->skip);
    reader->end = end;
    side->skip -= (uint32_t)(reader->at - before);
    if (side->skip == 0) {
        side->have = 0;
        next(reader);
    }
}

bool kafka_steps_read(struct kafka_reader *reader)
{
    struct kafka_side *side = reader->side;
    const struct step *step = &steps_of(reader)[side->step];
    bool has_length = step->kind == TEXT || step->kind == PLAIN_TEXT || step->kind == RECORDS;
    if (has_length && !side->is_inside)
        return begin_inside(reader, step->kind);
    switch (step->kind) {
    case NUMBER:
        if (!kafka_read_number(reader, step->bytes))
            return true;
        take_number(reader, step->meaning);
        next(reader);
        return true;
    case ID:
        read_id(reader, step->meaning);
        return true;
    case LIST:
        return read_list(reader, step->meaning);
    case TAGS:
        return read_tags(reader);
    case RECORDS:
        read_records(reader);
        return true;
    default:
        read_text(reader, step->meaning);
        return true;
    }
}
