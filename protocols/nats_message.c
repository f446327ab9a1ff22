/* SPDX-License-Identifier: Apache-2.0 */
/* NATS: messages, from the line that announces one to the line end behind its payload. */
#include "nats.h"

enum { HEADER_VERSION, HEADER_NAME, HEADER_BLANK, HEADER_VALUE, HEADER_REST, HEADER_OVER };

/* What texts are kept as: subjects by direction, the name of a queue group by subscription. */
enum { KEPT_SUBJECT = 1, KEPT_QUEUE = 3, KEPT_QUEUE_OF };

static const char version[] = "NATS/1.0\r";

enum { HEADERS_MIN = sizeof(version) + 2 };

/* --- telling ---------------------------------------------------------------------------------- */

uint64_t nats_subject_key(const struct broker_reader *reader)
{
    return (uint64_t)(KEPT_SUBJECT + reader->direction) << 56;
}

uint64_t nats_queue_key(const struct nats_token *sid)
{
    return sid == NULL ? (uint64_t)KEPT_QUEUE << 56
                       : (uint64_t)KEPT_QUEUE_OF << 56 | (sid->hash & UINT64_C(0xffffffffffffff));
}

void nats_tell_text(struct broker_reader *reader, enum field field, struct broker_piece piece)
{
    const struct nats_side *side = reader->side;
    if (side->is_begun)
        broker_tell_text(reader, side->serial, field, piece);
}

static void recall(struct broker_reader *reader, enum field field, uint64_t key)
{
    const struct nats_side *side = reader->side;
    broker_recall(reader, side->serial, field, key);
}

void nats_begin(struct broker_reader *reader)
{
    struct nats_side *side = reader->side;
    bool is_delivery = reader->direction == DIRECTION_IN;
    struct event begin = {
        .is_settled = is_delivery && side->is_settled, .key = is_delivery ? side->key : 0};
    side->is_begun = true;
    side->fate = FATE_TOLD;
    side->serial =
        broker_begin(reader, begin, is_delivery ? MESSAGE_PROCESS : MESSAGE_SEND, side->line_bytes);
}

static void request(struct broker_reader *reader)
{
    struct nats_side *side = reader->side;
    if (side->is_begun)
        broker_tell(reader, side->serial, EVENT_REQUEST);
    side->is_requested = true;
}

/* Before the line end that ends the head. */
static void tell_splice(struct broker_reader *reader)
{
    const struct nats *nats = reader->state;
    const struct nats_side *side = reader->side;
    if (reader->direction == DIRECTION_OUT && side->is_begun && nats->server_headers &&
        nats->client_headers)
        broker_tell_splice(reader, side->serial, side->line_bytes, nats->max_payload);
}

/* --- JetStream: who acknowledges
 * ------------------------------------------------------------------
 */

static struct nats_consumer *consumer_row(struct nats *nats, uint32_t hash)
{
    unsigned i = 0;
    while (i < NATS_CONSUMERS_MAX && nats->consumers[i].hash != hash)
        i++;
    return i == NATS_CONSUMERS_MAX ? NULL : &nats->consumers[i];
}

/* A consumer that asked for no acknowledgements may have been made by somebody else, too: when
 * there are more without one than a server would let wait, none will come. */
static bool will_be_acknowledged(struct nats *nats, uint32_t sid, uint32_t hash)
{
    if (nats_unsettled_row(nats, sid) != NULL)
        return false;
    struct nats_consumer *row = consumer_row(nats, hash);
    if (hash == 0 || (row == NULL && (row = consumer_row(nats, 0)) == NULL))
        return true;
    row->hash = hash;
    if (row->unacknowledged == NATS_UNACKNOWLEDGED_MAX)
        return false;
    row->unacknowledged++;
    return true;
}

static bool is_ack(const struct nats_side *side, const char *word, uint8_t length)
{
    return side->ack_length >= length && memcmp(side->ack, word, length) == 0;
}

/* What is behind the word is of no matter: a delay, a reason. An unknown word settles nothing. */
static void settle(struct broker_reader *reader)
{
    static const struct {
        char word[6];
        uint8_t length;
        const char *code;
    } words[] = {
        {"+ACK", 4, ""}, {"+OK", 3, ""}, {"+NXT", 4, ""}, {"-NAK", 4, "nak"}, {"+TERM", 5, "term"}};
    struct nats *nats = reader->state;
    struct nats_side *side = reader->side;
    struct nats_consumer *row = consumer_row(nats, side->consumer);
    if (row != NULL && side->consumer != 0)
        row->unacknowledged = 0;
    if (side->ack_length == 0)
        broker_settle(reader, side->key, side->key, END_COMPLETE, "");
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (is_ack(side, words[i].word, words[i].length))
            broker_settle(reader, side->key, side->key, END_COMPLETE, words[i].code);
}

/* --- the line --------------------------------------------------------------------------------- */

static void send(struct broker_reader *reader, const struct nats_token *subject)
{
    struct nats_side *side = reader->side;
    side->key = subject->hash;
    side->consumer = side->line.consumer;
    side->ack_length = 0;
    if (subject->subject == SUBJECT_ACK) {
        side->fate = FATE_SETTLES;
    } else if (subject->subject == SUBJECT_API) {
        side->fate = FATE_REQUESTS;
        side->json = (struct nats_json){0}; /* in the place of the line */
    } else if (subject->subject != SUBJECT_SYSTEM && !side->is_begun) {
        nats_begin(reader);
        recall(reader, FIELD_DESTINATION, nats_subject_key(reader));
    }
}

static void begin_delivery(struct broker_reader *reader)
{
    struct nats_side *side = reader->side;
    nats_begin(reader);
    recall(reader, FIELD_DESTINATION, nats_subject_key(reader));
    recall(reader, FIELD_SUBSCRIPTION, nats_queue_key(&side->line.tokens[1]));
}

/* Whether it is one is known, if it has headers, behind their first line. */
static void deliver(
    struct broker_reader *reader, const struct nats_token *subject, const struct nats_token *reply)
{
    struct nats_side *side = reader->side;
    bool is_of_stream = reply != NULL && reply->subject == SUBJECT_ACK;
    bool is_answer = subject->subject == SUBJECT_INBOX;
    side->fate = is_answer ? FATE_NONE : FATE_TOLD;
    side->key = is_of_stream ? reply->hash : 0;
    side->is_settled = !is_answer && is_of_stream &&
                       will_be_acknowledged(reader->state,
                           nats_short_hash(side->line.tokens[1].hash), side->line.consumer);
    if (!side->has_headers && !is_answer)
        begin_delivery(reader);
}

bool nats_message(
    struct broker_reader *reader, const struct nats_token *subject, const struct nats_token *reply)
{
    struct nats_side *side = reader->side;
    if (side->has_headers && side->header_left < HEADERS_MIN)
        return false;
    side->headers = (struct nats_headers){0};
    side->stage = side->has_headers ? STAGE_HEADERS : STAGE_PAYLOAD;
    if (side->verb == NATS_PUB)
        send(reader, subject);
    else
        deliver(reader, subject, reply);
    if (side->has_headers)
        return true;
    tell_splice(reader);
    request(reader);
    return true;
}

/* --- headers ---------------------------------------------------------------------------------- */

/* Names that stand for others in a different case of letters are others, but a context in them is
 * one that the application put there. */
static enum field field_of(const struct nats_headers *headers)
{
    static const char id[] = "nats-msg-id";
    bool is_id =
        headers->name_length == sizeof(id) - 1 && memcmp(headers->name, id, sizeof(id) - 1) == 0;
    return is_id ? FIELD_MESSAGE : context_field(headers->name, headers->name_length);
}

static void end_version(struct broker_reader *reader)
{
    struct nats_side *side = reader->side;
    struct nats_headers *headers = &side->headers;
    bool is_plain = headers->name_length == sizeof(version) - 1 &&
                    memcmp(headers->name, version, sizeof(version) - 1) == 0;
    headers->stage = HEADER_NAME;
    headers->name_length = 0;
    headers->is_odd = !is_plain;
    /* A status is the server's own word: there is no message. */
    if (reader->direction == DIRECTION_IN && side->fate == FATE_TOLD && is_plain)
        begin_delivery(reader);
}

static void begin_value(struct nats_side *side)
{
    struct nats_headers *headers = &side->headers;
    headers->stage = HEADER_BLANK;
    headers->field = side->is_begun ? (uint8_t)field_of(headers) : FIELD_COUNT;
    headers->is_first = true;
}

/* One byte of what is no value. Lower-case letters suffice to know a name by. */
static void read_header_byte(struct broker_reader *reader, uint8_t byte)
{
    struct nats_headers *headers = &nats_side_of(reader)->headers;
    if (headers->stage == HEADER_OVER)
        headers->is_odd = true; /* it does not end where it should */
    else if (byte == '\n') {
        if (headers->stage == HEADER_VERSION)
            end_version(reader);
        headers->is_odd |= headers->stage == HEADER_NAME && headers->name_length > 0;
        headers->stage = HEADER_NAME;
        headers->name_length = 0;
    } else if (headers->stage == HEADER_REST) {
        headers->is_odd = true;
    } else if (headers->stage == HEADER_NAME && byte == ':') {
        begin_value(reader->side);
    } else if (headers->stage == HEADER_NAME && byte == '\r' && headers->name_length == 0) {
        headers->stage = HEADER_OVER;
    } else if (headers->name_length < sizeof(headers->name)) {
        bool is_capital = headers->stage == HEADER_NAME && byte >= 'A' && byte <= 'Z';
        headers->name[headers->name_length++] = is_capital ? byte | 0x20 : byte;
    }
}

static void read_value(struct broker_reader *reader, size_t end)
{
    struct nats_side *side = reader->side;
    struct nats_headers *headers = &side->headers;
    size_t from = reader->at;
    while (reader->at < end && reader->data[reader->at] != '\r' && reader->data[reader->at] != '\n')
        reader->at++;
    size_t length = reader->at - from;
    bool is_last = reader->at < end || length == side->header_left;
    side->header_left -= (uint32_t)length;
    side->line_bytes += (uint32_t)length;
    if (headers->field != FIELD_COUNT)
        broker_tell_header(reader, side->serial, (enum field)headers->field,
            (struct fact){headers->name, headers->name_length},
            (struct broker_piece){from, reader->at, headers->is_first, is_last});
    headers->is_first = false;
    if (!is_last)
        return;
    headers->stage = HEADER_REST;
    headers->name_length = 0;
    if (reader->at < end && reader->data[reader->at] == '\r') {
        reader->at++;
        side->header_left--;
        side->line_bytes++;
    }
}

static bool is_whole(const struct broker_reader *reader)
{
    const struct nats_headers *headers = &nats_side_of(reader)->headers;
    return headers->stage == HEADER_OVER && !headers->is_odd && reader->data[reader->at] == '\n';
}

static void end_headers(struct broker_reader *reader)
{
    struct nats_side *side = reader->side;
    request(reader);
    if (!side->is_begun && side->fate == FATE_TOLD)
        side->fate = FATE_NONE;
    side->stage = STAGE_PAYLOAD;
}

bool nats_read_headers(struct broker_reader *reader)
{
    struct nats_side *side = reader->side;
    struct nats_headers *headers = &side->headers;
    while (reader->at < reader->end && side->header_left > 0) {
        size_t there = reader->end - reader->at;
        size_t end = reader->at + (there < side->header_left ? there : side->header_left);
        uint8_t byte = reader->data[reader->at];
        if (headers->stage == HEADER_BLANK && byte != ' ' && byte != '\t')
            headers->stage = HEADER_VALUE;
        if (headers->stage == HEADER_VALUE) {
            read_value(reader, end);
            continue;
        }
        if (side->header_left == 1 && is_whole(reader))
            tell_splice(reader);
        else if (headers->stage != HEADER_BLANK)
            read_header_byte(reader, byte);
        reader->at++;
        side->header_left--;
        side->line_bytes++;
    }
    if (side->header_left == 0)
        end_headers(reader);
    return true;
}

/* --- payload ---------------------------------------------------------------------------------- */

static void end_message(struct broker_reader *reader)
{
    struct nats_side *side = reader->side;
    side->stage = STAGE_VERB;
    if (side->fate == FATE_SETTLES)
        settle(reader);
    if (side->fate == FATE_REQUESTS)
        nats_take_request(reader->state, &side->json);
    if (!side->is_begun)
        return;
    side->is_begun = false;
    broker_tell(reader, side->serial, EVENT_RECEIVED);
    if (reader->direction == DIRECTION_OUT)
        broker_end(reader, side->serial);
}

bool nats_read_payload(struct broker_reader *reader)
{
    struct nats_side *side = reader->side;
    size_t there = reader->end - reader->at, length = side->payload_left - 2;
    if (side->payload_left > 2) {
        length = there < length ? there : length;
        for (size_t i = 0; i < length && side->ack_length < sizeof(side->ack); i++)
            side->ack[side->ack_length++] = reader->data[reader->at + i];
        if (side->fate == FATE_REQUESTS)
            nats_read_request(reader, length);
        reader->at += length;
        side->payload_left -= (uint32_t)length;
        return true;
    }
    if (reader->data[reader->at++] != (side->payload_left == 2 ? '\r' : '\n'))
        return false;
    if (--side->payload_left == 0)
        end_message(reader);
    return true;
}
