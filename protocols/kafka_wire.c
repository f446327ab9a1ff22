/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kafka on the wire: recognition, frames, and which answer is whose.
 *
 * One exchange for each Produce request: it is one write, has one answer, and so one context for
 * all of its records. One for each answer to Fetch that brought records or an error; it begins with
 * these, for a Fetch waits at the broker until there is something, and nobody waits for it.
 */
#include "kafka_wire.h"

/* --- telling ------------------------------------------------------------------------------- */

__attribute__((noinline)) void kafka_tell(struct kafka_reader *reader, struct event event)
{
    reader->sink->event(reader->sink, &event);
}

static void tell_of(struct kafka_reader *reader, enum event_kind kind, uint32_t exchange)
{
    kafka_tell(reader, (struct event){.kind = kind, .exchange = exchange, .offset = reader->at});
}

static void end(struct kafka_reader *reader, uint32_t exchange, enum end_reason reason)
{
    kafka_tell(reader, (struct event){.kind = EVENT_END, .exchange = exchange, .reason = reason});
}

void kafka_tell_number(struct kafka_reader *reader, enum field field, int64_t number)
{
    kafka_tell(reader, (struct event){.kind = EVENT_NUMBER,
                           .exchange = reader->side->exchange,
                           .field = field,
                           .number = number});
}

void kafka_tell_text(
    struct kafka_reader *reader, enum field field, size_t length, bool is_first, bool is_last)
{
    kafka_tell(reader, (struct event){.kind = EVENT_TEXT,
                           .exchange = reader->side->exchange,
                           .field = field,
                           .first = is_first,
                           .last = is_last,
                           .offset = reader->at,
                           .text = reader->data + reader->at,
                           .length = length});
}

void kafka_keep(struct kafka_reader *reader, uint64_t key, size_t length, bool is_last)
{
    kafka_tell(reader, (struct event){.kind = EVENT_KEEP,
                           .key = key,
                           .first = reader->side->is_first,
                           .last = is_last,
                           .offset = reader->at,
                           .text = reader->data + reader->at,
                           .length = length});
}

static void recall(struct kafka_reader *reader, enum field field, uint64_t key, bool is_common)
{
    kafka_tell(reader, (struct event){.kind = EVENT_RECALL,
                           .exchange = reader->side->exchange,
                           .field = field,
                           .is_common = is_common,
                           .key = key});
}

static void begin(struct kafka_reader *reader, enum message_operation operation, size_t before)
{
    reader->side->is_told = true;
    reader->side->exchange = reader->kafka->next++;
    kafka_tell(reader, (struct event){.kind = EVENT_BEGIN,
                           .exchange = reader->side->exchange,
                           .offset = reader->at < before ? 0 : reader->at - before});
    kafka_tell_number(reader, FIELD_VERSION, operation);
}

/* --- requests ------------------------------------------------------------------------------ */

/* A request of a version that is not known has no key. */
static bool is_answer_read(const struct kafka *kafka, const struct kafka_side *side)
{
    return side->key == KEY_FETCH || side->key == KEY_METADATA ||
           (side->is_told && !kafka->sent.wants_no_answer);
}

static void begin_request(struct kafka_reader *reader)
{
    struct kafka_side *side = reader->side;
    uint32_t api = kafka_number_at(side->records.text + 4);
    side->key = api >> 16 > KEY_UNKNOWN ? KEY_UNKNOWN : (uint8_t)(api >> 16);
    side->version = (api & 0xffff) > UINT8_MAX ? UINT8_MAX : (uint8_t)api;
    reader->kafka->sent =
        (struct kafka_sent){.correlation = kafka_number_at(side->records.text + 8),
            .bytes = kafka_number_at(side->records.text) + 4};
    bool is_produce = side->key == KEY_PRODUCE;
    bool is_told = kafka_steps_begin(reader) && reader->kafka->open_count < KAFKA_OPEN_MAX;
    if (is_produce && is_told)
        begin(reader, MESSAGE_SEND, KAFKA_REQUEST_HEAD_BYTES);
    else if (is_produce)
        tell_of(reader, EVENT_UNTOLD, 0);
}

static void end_request(struct kafka_reader *reader)
{
    struct kafka *kafka = reader->kafka;
    struct kafka_side *side = reader->side;
    if (side->is_told) {
        if (side->count > 1)
            kafka_tell_number(reader, FIELD_BATCH, side->count);
        tell_of(reader, EVENT_REQUEST, side->exchange);
    }
    if (is_answer_read(kafka, side) && kafka->open_count < KAFKA_OPEN_MAX)
        kafka->open[kafka->open_count++] =
            (struct kafka_open){.correlation = kafka->sent.correlation,
                .exchange = (uint16_t)side->exchange,
                .key = side->key,
                .version = side->version};
    else if (side->is_told)
        end(reader, side->exchange, END_COMPLETE);
    side->is_told = false;
}

/* --- answers ------------------------------------------------------------------------------- */

/* Few are open, and they are of the last ones. */
static uint32_t exchange_of(const struct kafka *kafka, const struct kafka_open *open)
{
    return kafka->next - (uint16_t)(kafka->next - open->exchange);
}

/* False: not the one whose turn it is. */
static bool begin_answer(struct kafka_reader *reader)
{
    struct kafka *kafka = reader->kafka;
    struct kafka_side *side = reader->side;
    uint8_t index = 0;
    uint32_t correlation = kafka_number_at(side->records.text + 4);
    while (index < kafka->open_count && kafka->open[index].correlation != correlation)
        index++;
    if (index == kafka->open_count || index > 0) {
        side->stage = STAGE_SKIP;
        return index == kafka->open_count;
    }
    struct kafka_open request = kafka->open[0];
    memmove(kafka->open, kafka->open + 1, --kafka->open_count * sizeof(kafka->open[0]));
    kafka->came = (struct kafka_came){0};
    side->key = request.key;
    side->version = request.version;
    side->exchange = exchange_of(kafka, &request);
    side->is_told = request.key == KEY_PRODUCE;
    kafka_steps_begin(reader);
    if (side->is_told)
        tell_of(reader, EVENT_RESPONSE, side->exchange);
    return true;
}

static void begin_fetched(struct kafka_reader *reader)
{
    begin(reader, MESSAGE_RECEIVE, 0);
    tell_of(reader, EVENT_UNASKED, reader->side->exchange);
    recall(reader, FIELD_USER_AGENT, KEPT_CLIENT, false);
    if (reader->kafka->group_kept)
        recall(reader, FIELD_SUBSCRIPTION, KEPT_GROUP, false);
    tell_of(reader, EVENT_REQUEST, reader->side->exchange);
    tell_of(reader, EVENT_RESPONSE, reader->side->exchange);
}

void kafka_came(struct kafka_reader *reader)
{
    struct kafka_side *side = reader->side;
    struct kafka_came *came = &reader->kafka->came;
    if (reader->is_request || side->key != KEY_FETCH)
        return;
    if (!side->is_told)
        begin_fetched(reader);
    if (side->depth == 0)
        return; /* an error of the whole */
    if (!came->partition_counts)
        came->partitions += came->partitions < 2;
    if (!came->topic_counts)
        came->topics += came->topics < 2;
    if (!came->topic_counts && came->topics == 1) {
        came->topic = side->topic;
        kafka_tell(reader,
            (struct event){.kind = EVENT_ALIAS, .key = KEPT_TOPIC_FOUND, .other = KEPT_TOPIC});
    }
    came->partition_counts = came->topic_counts = true;
}

/* What is the same for all that came. */
static void end_fetched(struct kafka_reader *reader)
{
    const struct kafka_came *came = &reader->kafka->came;
    bool has_id = came->topic != 0;
    if (came->topics == 1)
        recall(reader, FIELD_DESTINATION, has_id ? came->topic : KEPT_TOPIC_FOUND, has_id);
    if (came->partitions == 1)
        kafka_tell_number(reader, FIELD_ROWS, (int64_t)came->partition + 1);
    if (reader->side->count > 1)
        kafka_tell_number(reader, FIELD_BATCH, reader->side->count);
}

static void end_answer(struct kafka_reader *reader)
{
    struct kafka_side *side = reader->side;
    if (!side->is_told)
        return;
    if (side->key == KEY_FETCH)
        end_fetched(reader);
    if (reader->kafka->came.error != 0)
        kafka_tell_number(reader, FIELD_STATUS, reader->kafka->came.error);
    end(reader, side->exchange, END_COMPLETE);
    side->is_told = false;
}

/* --- frames -------------------------------------------------------------------------------- */

static bool head_complete(struct kafka_reader *reader, uint8_t bytes)
{
    struct kafka_side *side = reader->side;
    uint32_t length = kafka_number_at(side->records.text);
    if (length < bytes - 4u || length > KAFKA_FRAME_BYTES_MAX)
        return false;
    struct kafka_records head = side->records;
    *side =
        (struct kafka_side){.records = head, .left = length - (bytes - 4u), .stage = STAGE_STEP};
    if (!reader->is_request)
        return begin_answer(reader);
    begin_request(reader);
    return true;
}

static bool end_frame(struct kafka_reader *reader)
{
    struct kafka_side *side = reader->side;
    bool is_whole = side->stage == STAGE_SKIP;
    side->stage = STAGE_HEAD;
    side->have = 0;
    if (reader->is_request && is_whole)
        end_request(reader);
    else if (is_whole)
        end_answer(reader);
    return is_whole;
}

static bool read_head(struct kafka_reader *reader, size_t length)
{
    struct kafka_side *side = reader->side;
    uint8_t bytes = reader->is_request ? KAFKA_REQUEST_HEAD_BYTES : KAFKA_ANSWER_HEAD_BYTES;
    while (side->have < bytes && reader->at < length)
        side->records.text[side->have++] = reader->data[reader->at++];
    if (side->have < bytes)
        return true;
    return head_complete(reader, bytes) && (side->left > 0 || end_frame(reader));
}

/* Behind the last byte of a request. How long the broker lets batches become is not said, until it
 * has refused one; then few are as short as that. */
static void tell_splice(struct kafka_reader *reader)
{
    const struct kafka_side *side = reader->side;
    const struct kafka_sent *sent = &reader->kafka->sent;
    size_t length = sent->bytes;
    uint64_t whole = sent->bytes + (uint64_t)side->count * KAFKA_CONTEXT_BYTES;
    size_t most = reader->kafka->is_strict ? KAFKA_EDITED_SMALL_MAX : KAFKA_EDITED_MAX;
    if (sent->is_opaque || side->count == 0 || whole > most)
        return;
    kafka_tell(reader, (struct event){.kind = EVENT_SPLICE,
                           .exchange = side->exchange,
                           .offset = reader->at,
                           .text = reader->at < length ? NULL : reader->data + reader->at - length,
                           .length = length,
                           .number = side->count});
}

static bool step(struct kafka_reader *reader, size_t length)
{
    struct kafka_side *side = reader->side;
    if (side->stage == STAGE_HEAD)
        return read_head(reader, length);
    reader->end = length - reader->at < side->left ? length : reader->at + side->left;
    if (side->stage == STAGE_SKIP)
        kafka_take(reader, reader->end - reader->at);
    else if (!kafka_steps_read(reader))
        return false;
    if (side->left > 0)
        return true;
    if (reader->is_request && side->is_told)
        tell_splice(reader);
    return end_frame(reader);
}

static struct kafka_reader reader_of(
    struct kafka *kafka, enum direction direction, const uint8_t *data, struct sink *sink)
{
    return (struct kafka_reader){.kafka = kafka,
        .side = &kafka->sides[direction],
        .sink = sink,
        .data = data,
        .is_request = direction == (enum direction)kafka->requests};
}

static size_t feed(
    void *state, enum direction direction, const uint8_t *data, size_t length, struct sink *sink)
{
    struct kafka *kafka = state;
    struct kafka_reader reader = reader_of(kafka, direction, data, sink);
    kafka->lost |= kafka->asks_no_more && reader.is_request;
    while (!kafka->lost && !kafka->over && reader.at < length)
        kafka->lost = !step(&reader, length);
    return kafka->lost ? FEED_LOST : length;
}

/* Only what is passed over may pass unseen. */
static bool skip(void *state, enum direction direction, uint64_t length, struct sink *sink)
{
    struct kafka *kafka = state;
    struct kafka_side *side = &kafka->sides[direction];
    (void)sink;
    if (length == 0 || kafka->over)
        return !kafka->lost;
    kafka->lost |= side->stage != STAGE_SKIP || length >= side->left;
    if (!kafka->lost)
        side->left -= (uint32_t)length;
    return !kafka->lost;
}

/* A broker that says nothing more answers nothing more; a client that does still reads. */
static void finish(void *state, enum direction direction, struct sink *sink)
{
    struct kafka *kafka = state;
    struct kafka_reader reader = reader_of(kafka, direction, NULL, sink);
    struct kafka_side *request = &kafka->sides[kafka->requests];
    if (kafka->lost || kafka->over)
        return;
    if (request->stage != STAGE_HEAD && request->is_told)
        tell_of(&reader, EVENT_VOID, request->exchange);
    request->is_told = false;
    kafka->asks_no_more = true;
    if (reader.is_request)
        return;
    if (reader.side->stage != STAGE_HEAD && reader.side->is_told)
        end(&reader, reader.side->exchange, END_TRUNCATED);
    for (uint8_t i = 0; i < kafka->open_count; i++)
        if (kafka->open[i].key == KEY_PRODUCE)
            end(&reader, exchange_of(kafka, &kafka->open[i]), END_UNANSWERED);
    kafka->open_count = 0;
    kafka->over = true;
}

static void start(void *state, enum direction requests)
{
    memset(state, 0, sizeof(struct kafka));
    ((struct kafka *)state)->requests = (uint8_t)requests;
}

/* --- whose bytes are these ----------------------------------------------------------------- */

enum { KEY_AT = 4, CORRELATION_AT = 8, CLIENT_AT = 12 };

/* What a client begins with. The guide has no magic number, so all of it has to fit: a short frame
 * of one of these, and a client's name in it. kafkajs asks once which versions there are, and
 * begins its other connections with what it wants of them: its number is 0 then, and behind its
 * name is what says "none" there. */
static const struct first_request {
    uint8_t key, versions_from, versions_to;
    uint8_t nones; /* bytes of 0xff behind the client's name */
    uint16_t bytes_max;
} first_requests[] = {
    {KEY_API_VERSIONS, 0, 4, 0, 4096}, {KEY_METADATA, 0, 13, 0, 4096},
    {KEY_SASL_HANDSHAKE, 0, 1, 0, 4096}, {KEY_PRODUCE, 3, 7, 2, UINT16_MAX}, /* transaction */
    {KEY_INIT_PRODUCER_ID, 0, 1, 2, 4096},                                   /* likewise */
    {KEY_FETCH, 4, 11, 4, 4096},                                             /* replica */
};

static bool is_printable(const uint8_t *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (bytes[i] <= ' ' || bytes[i] > '~')
            return false;
    return true;
}

static const struct first_request *first_request_of(const uint8_t *bytes)
{
    for (size_t i = 0; i < sizeof(first_requests) / sizeof(first_requests[0]); i++) {
        const struct first_request *first = &first_requests[i];
        if (bytes[KEY_AT] == 0 && bytes[KEY_AT + 1] == first->key && bytes[KEY_AT + 2] == 0 &&
            bytes[KEY_AT + 3] >= first->versions_from && bytes[KEY_AT + 3] <= first->versions_to)
            return first;
    }
    return NULL;
}

/* As far as it can be seen. */
static bool begins_bare(const struct prefix *prefix, size_t behind, size_t nones)
{
    for (size_t at = behind; at < behind + nones && at < prefix->length; at++)
        if (prefix->bytes[at] != 0xff)
            return false;
    return kafka_number_at(prefix->bytes + CORRELATION_AT) == 0 && behind > CLIENT_AT + 2;
}

/* What is behind the client's name, as far as its kind says: of ApiVersions nothing, or, from
 * version 3 on, no tags and two short texts. */
static bool fits(
    const struct prefix *prefix, const struct first_request *first, size_t client, uint32_t length)
{
    const uint8_t *bytes = prefix->bytes;
    size_t behind = CLIENT_AT + 2 + client, rest = length + 4 - behind;
    if (length + 4 < behind)
        return false;
    if (first->nones > 0)
        return rest >= 6 && begins_bare(prefix, behind, first->nones);
    if (bytes[KEY_AT + 1] != KEY_API_VERSIONS)
        return rest >= 2; /* a list, or a text */
    if (bytes[KEY_AT + 3] < 3)
        return rest == 0;
    bool has_no_tags = prefix->length <= behind || bytes[behind] == 0;
    bool names_itself =
        prefix->length <= behind + 1 || (bytes[behind + 1] > 0 && rest > bytes[behind + 1]);
    return rest >= 4 && has_no_tags && names_itself;
}

static enum verdict probe_request(const struct prefix *prefix)
{
    const uint8_t *bytes = prefix->bytes;
    if (bytes[0] != 0 || (prefix->length > 1 && bytes[1] != 0))
        return VERDICT_NO;
    if (prefix->length < 4)
        return VERDICT_MORE;
    uint32_t length = kafka_number_at(bytes);
    if (length < 10)
        return VERDICT_NO;
    if (prefix->length <= CORRELATION_AT)
        return VERDICT_MORE;
    const struct first_request *first = first_request_of(bytes);
    if (first == NULL || length > first->bytes_max || bytes[CORRELATION_AT] & 0x80)
        return VERDICT_NO;
    if (prefix->length < CLIENT_AT + 2)
        return VERDICT_MORE;
    bool is_null = bytes[CLIENT_AT] == 0xff && bytes[CLIENT_AT + 1] == 0xff;
    size_t client = is_null ? 0 : (size_t)bytes[CLIENT_AT] << 8 | bytes[CLIENT_AT + 1];
    size_t there = prefix->length - CLIENT_AT - 2u;
    if (!is_printable(bytes + CLIENT_AT + 2, there < client ? there : client) ||
        !fits(prefix, first, client, length))
        return VERDICT_NO;
    bool is_seen = prefix->length == PREFIX_BYTES_MAX || prefix->length >= length + 4;
    return is_seen ? VERDICT_YES : VERDICT_MORE;
}

/* The client speaks first. */
static enum verdict probe(const struct prefix prefixes[2], enum direction *requests)
{
    for (enum direction from = DIRECTION_IN; from <= DIRECTION_OUT; from++) {
        if (prefixes[from].length > 0 && prefixes[direction_other(from)].length == 0) {
            *requests = from;
            return probe_request(&prefixes[from]);
        }
    }
    return VERDICT_NO;
}

const struct protocol kafka_protocol = {
    .name = "kafka",
    .state_bytes = sizeof(struct kafka),
    .edits = EDITS_ALWAYS,
    .is_summed = true,
    .hands_on = true,
    .client_only = true,
    .library_threads = "rdk:",
    .probe = probe,
    .start = start,
    .feed = feed,
    .skip = skip,
    .finish = finish,
    .insert = kafka_insert,
    .describe = kafka_describe,
};
