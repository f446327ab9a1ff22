/* SPDX-License-Identifier: Apache-2.0 */
/* NATS: the arguments of a line, and what the lines mean that announce no message. */
#include "nats.h"

enum { CONSUMER_DOTS = 4 }; /* of $JS.ACK.<stream>.<consumer>. */

void nats_line_start(struct nats_side *side)
{
    side->line = (struct nats_line){0};
    side->fate = FATE_NONE;
    side->is_requested = false;
}

static bool is_blank(uint8_t byte)
{
    return byte == ' ' || byte == '\t' || byte == '\r' || byte == '\n';
}

/* --- one argument ----------------------------------------------------------------------------- */

static uint32_t number_with(uint32_t number, uint8_t byte)
{
    if (byte < '0' || byte > '9' || number > NATS_PAYLOAD_MAX)
        return UINT32_MAX;
    return number * 10 + (byte - '0');
}

static void take_byte(struct nats_line *line, struct nats_token *token, uint8_t byte)
{
    token->hash = nats_hash(token->hash, byte);
    token->number = number_with(token->number, byte);
    if (line->head_length < NATS_HEAD_BYTES)
        line->head[line->head_length++] = byte;
    if (byte == '.' && line->dots < CONSUMER_DOTS && ++line->dots == CONSUMER_DOTS)
        line->consumer = nats_short_hash(token->hash);
}

static enum nats_subject subject_of(const struct nats_line *line)
{
    static const struct {
        char text[NATS_HEAD_BYTES];
        uint8_t length;
        enum nats_subject subject;
    } heads[] = {{"$JS.ACK.", 8, SUBJECT_ACK}, {"$JS.API.", 8, SUBJECT_API},
        {"$JS.", 4, SUBJECT_SYSTEM}, {"$SYS.", 5, SUBJECT_SYSTEM}, {"_INBOX.", 7, SUBJECT_INBOX}};
    for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++)
        if (line->head_length >= heads[i].length &&
            memcmp(line->head, heads[i].text, heads[i].length) == 0)
            return heads[i].subject;
    return SUBJECT_USUAL;
}

/* What of it is wanted as a text. A subject that is not known to be that of a message is kept. */
static void tell_piece(struct broker_reader *reader, struct broker_piece piece)
{
    struct nats_side *side = reader->side;
    unsigned which = side->line.count - 1u;
    bool has_subject = side->verb == NATS_PUB || side->verb == NATS_MSG;
    if (side->verb == NATS_SUB && which == 1)
        broker_keep(reader, nats_queue_key(NULL), piece);
    else if (has_subject && which == 0 && side->line.is_kept)
        broker_keep(reader, nats_subject_key(reader), piece);
    else if (has_subject && which == 0)
        nats_tell_text(reader, FIELD_DESTINATION, piece);
}

static bool begin_token(struct broker_reader *reader)
{
    struct nats_side *side = reader->side;
    struct nats_line *line = &side->line;
    if (line->count == NATS_TOKENS_MAX)
        return false;
    line->tokens[line->count++] = (struct nats_token){.hash = nats_hash_start};
    line->head_length = line->dots = 0;
    if (line->count > 1)
        return true;
    line->is_kept = side->verb == NATS_MSG || reader->data[reader->at] == '$';
    if (side->verb == NATS_PUB && !line->is_kept)
        nats_begin(reader);
    return true;
}

static bool read_token(struct broker_reader *reader)
{
    struct nats_side *side = reader->side;
    struct nats_line *line = &side->line;
    size_t from = reader->at;
    bool is_first = !line->is_inside;
    if (is_first && !begin_token(reader))
        return false;
    struct nats_token *token = &line->tokens[line->count - 1];
    while (reader->at < reader->end && !is_blank(reader->data[reader->at]))
        take_byte(line, token, reader->data[reader->at++]);
    line->is_inside = reader->at == reader->end;
    side->line_bytes += (uint32_t)(reader->at - from);
    tell_piece(reader, (struct broker_piece){from, reader->at, is_first, !line->is_inside});
    if (!line->is_inside)
        token->subject = (uint8_t)subject_of(line);
    return side->line_bytes <= NATS_LINE_MAX;
}

/* --- a line ----------------------------------------------------------------------------------- */

/* SUB <subject> [queue group] <sid> */
static bool subscribe(struct broker_reader *reader)
{
    const struct nats_side *side = reader->side;
    const struct nats_line *line = &side->line;
    if (line->count != 2 && line->count != 3)
        return false;
    const struct nats_token *sid = &line->tokens[line->count - 1];
    nats_subscribe(
        reader->state, nats_short_hash(line->tokens[0].hash), nats_short_hash(sid->hash));
    if (line->count == 3)
        broker_tell_kept(reader, EVENT_ALIAS, nats_queue_key(sid), nats_queue_key(NULL));
    return true;
}

/* UNSUB <sid> [after so many]: then they are still to come. */
static bool unsubscribe(struct broker_reader *reader)
{
    const struct nats_side *side = reader->side;
    const struct nats_line *line = &side->line;
    uint32_t *row = nats_unsettled_row(reader->state, nats_short_hash(line->tokens[0].hash));
    if (line->count == 1) {
        broker_tell_kept(reader, EVENT_DROP, nats_queue_key(&line->tokens[0]), 0);
        if (row != NULL)
            *row = 0;
    }
    return line->count == 1 || line->count == 2;
}

/* PUB <subject> [reply] <bytes>, MSG <subject> <sid> [reply] <bytes>; bytes of headers stand before
 * those of all in HPUB and HMSG. */
static bool announce(struct broker_reader *reader)
{
    struct nats_side *side = reader->side;
    const struct nats_token *tokens = side->line.tokens;
    unsigned least = 2u + side->has_headers + (side->verb == NATS_MSG), count = side->line.count;
    if (count != least && count != least + 1)
        return false;
    uint32_t total = tokens[count - 1].number;
    uint32_t headers = side->has_headers ? tokens[count - 2].number : 0;
    if (total > NATS_PAYLOAD_MAX || headers > total)
        return false;
    side->has_headers = headers > 0; /* nats.js says so of messages that have none */
    side->header_left = headers;
    side->payload_left = total - headers + 2;
    unsigned reply = side->verb == NATS_MSG ? 2 : 1;
    return nats_message(reader, &tokens[0], count > least ? &tokens[reply] : NULL);
}

static bool end_line(struct broker_reader *reader)
{
    struct nats_side *side = reader->side;
    bool holds = side->verb == NATS_SUB     ? subscribe(reader)
                 : side->verb == NATS_UNSUB ? unsubscribe(reader)
                                            : announce(reader);
    if (side->stage == STAGE_TOKENS)
        side->stage = STAGE_VERB;
    reader->at++;
    side->line_bytes++;
    return holds;
}

bool nats_read_tokens(struct broker_reader *reader)
{
    struct nats_side *side = reader->side;
    while (reader->at < reader->end) {
        uint8_t byte = reader->data[reader->at];
        if (side->line.is_inside || !is_blank(byte)) {
            if (side->has_cr || !read_token(reader))
                return false;
            continue;
        }
        if (byte == '\n')
            return end_line(reader);
        if (side->has_cr || ++side->line_bytes > NATS_LINE_MAX)
            return false;
        side->has_cr = byte == '\r';
        reader->at++;
    }
    return true;
}
