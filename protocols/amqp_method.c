/* SPDX-License-Identifier: Apache-2.0 */
/* AMQP 0-9-1: what methods say, as far as it concerns messages. */
#include "amqp.h"

/* The kinds of texts that are kept: by channel, or by consumer. */
enum { KEPT_CONSUME = 1, KEPT_CONSUMER, KEPT_GET };

/* What stands in a method, as far as it is read: digits are numbers of so many bytes, 's' is a
 * short string that only its hash is wanted of, 9 is a delivery's tag of 8 bytes, of which one is
 * lost, and the bits behind it; capitals are strings that are told: E exchange, R routing key, Q
 * queue. */
enum { IN = 1 << DIRECTION_IN, OUT = 1 << DIRECTION_OUT, BOTH = IN | OUT };

static const struct method {
    uint16_t class, method;
    enum amqp_method meaning;
    uint8_t sides; /* who may send it: bits of enum direction */
    char arguments[6];
} methods[] = {
    {20, 40, CHANNEL_CLOSE, BOTH, "2"},
    {20, 41, CHANNEL_CLOSE_OK, BOTH, ""},
    {10, 31, CONNECTION_TUNE_OK, OUT, "24"},
    {10, 50, CONNECTION_CLOSE, IN, "2"},
    {85, 10, CONFIRM_SELECT, OUT, ""},
    {90, 10, TX_SELECT, OUT, ""},
    {90, 20, TX_COMMIT, OUT, ""},
    {90, 21, TX_COMMIT_OK, IN, ""},
    {90, 30, TX_ROLLBACK, OUT, ""},
    {90, 31, TX_ROLLBACK_OK, IN, ""},
    {60, 20, BASIC_CONSUME, OUT, "2Qs1"},
    {60, 21, BASIC_CONSUME_OK, IN, "s"},
    {60, 30, BASIC_CANCEL, OUT, "s"},
    {60, 40, BASIC_PUBLISH, OUT, "2ER"},
    {60, 50, BASIC_RETURN, IN, "2sER"},
    {60, 60, BASIC_DELIVER, IN, "s81ER"},
    {60, 70, BASIC_GET, OUT, "2Q1"},
    {60, 71, BASIC_GET_OK, IN, "81ER"},
    {60, 72, BASIC_GET_EMPTY, IN, ""},
    {60, 80, BASIC_ACK, BOTH, "9"},
    {60, 90, BASIC_REJECT, OUT, "9"},
    {60, 100, BASIC_RECOVER, OUT, "1"},
    {60, 110, BASIC_RECOVER, OUT, "1"},
    {60, 120, BASIC_NACK, BOTH, "9"},
};

enum { METHODS = sizeof(methods) / sizeof(methods[0]) };

enum {
    BIT_NO_ACK_OF_CONSUME = 2,
    BIT_NO_WAIT_OF_CONSUME = 8,
    BIT_NO_ACK_OF_GET = 1,
    BIT_REQUEUE = 1
};

static uint64_t kept_key(unsigned kind, const struct amqp_channel *channel, uint32_t which)
{
    return (uint64_t)kind << 56 | (uint64_t)channel->number << 32 | which;
}

/* --- consumers without acknowledgement -------------------------------------------------------- */

static uint32_t *unsettled_row(struct amqp *amqp, uint32_t hash)
{
    unsigned i = 0;
    while (i < AMQP_UNSETTLED_MAX && amqp->unsettled[i] != hash)
        i++;
    return i == AMQP_UNSETTLED_MAX ? NULL : &amqp->unsettled[i];
}

static void note_consumer(
    struct broker_reader *reader, struct amqp_channel *channel, uint32_t hash, uint8_t which)
{
    bool is_unsettled = channel->unsettled_consumes >> which % 8 & 1;
    uint32_t *row = unsettled_row(reader->state, 0);
    broker_tell_kept(reader, EVENT_ALIAS, kept_key(KEPT_CONSUMER, channel, hash),
        kept_key(KEPT_CONSUME, channel, which));
    if (is_unsettled && row != NULL && unsettled_row(reader->state, hash) == NULL)
        *row = hash;
}

static void consume(struct broker_reader *reader, struct amqp_channel *channel)
{
    const struct amqp_argument *argument = &amqp_frame_of(reader)->argument;
    uint8_t which = channel->consumes++;
    uint8_t bit = (uint8_t)(1u << which % 8);
    bool is_unsettled = argument->number & BIT_NO_ACK_OF_CONSUME;
    channel->unsettled_consumes &= (uint8_t)~bit;
    channel->unsettled_consumes |= is_unsettled ? bit : 0;
    /* Its name may be the broker's to choose. If it is not, no answer need come. */
    if (!argument->is_empty)
        note_consumer(reader, channel, argument->hash, which);
    if (channel->asks == ASKED_CONSUME)
        broker_tell(reader, channel->asked_serial, EVENT_REQUEST);
    if (argument->number & BIT_NO_WAIT_OF_CONSUME)
        amqp_answer(reader, channel, ASKED_CONSUME, EVENT_VOID);
}

static void consume_ok(struct broker_reader *reader, struct amqp_channel *channel)
{
    uint8_t which = channel->consumes_answered++;
    note_consumer(reader, channel, amqp_frame_of(reader)->argument.hash, which);
    amqp_answer(reader, channel, ASKED_CONSUME, EVENT_VOID);
}

static void cancel(struct broker_reader *reader, struct amqp_channel *channel)
{
    uint32_t hash = amqp_frame_of(reader)->argument.hash;
    uint32_t *row = unsettled_row(reader->state, hash);
    if (row != NULL)
        *row = 0;
    broker_tell_kept(reader, EVENT_DROP, kept_key(KEPT_CONSUMER, channel, hash), 0);
}

/* --- messages --------------------------------------------------------------------------------- */

static struct amqp_content *content_of(struct broker_reader *reader, struct amqp_channel *channel)
{
    return &channel->content[reader->direction];
}

/* Before its exchange and routing key are told. */
static uint32_t begin_message(struct broker_reader *reader, struct amqp_channel *channel,
    struct event begin, enum message_operation operation, bool waits)
{
    struct amqp_content *content = content_of(reader, channel);
    amqp_cut(reader, content); /* the one before has no end */
    uint32_t serial = amqp_begin(reader, begin, operation);
    *content = (struct amqp_content){
        .serial = serial, .stage = CONTENT_HEADER, .is_told = true, .waits = waits};
    return serial;
}

static void publish(struct broker_reader *reader, struct amqp_channel *channel)
{
    struct event begin = {.is_settled = channel->confirms};
    if (channel->confirms)
        begin.key = amqp_key(channel->number, ++channel->published);
    begin_message(reader, channel, begin, MESSAGE_SEND, channel->confirms);
}

static void deliver(struct broker_reader *reader, struct amqp_channel *channel, uint64_t tag,
    uint64_t queue, bool is_unsettled)
{
    struct event begin = {.is_settled = !is_unsettled, .key = amqp_key(channel->number, tag)};
    uint32_t serial = begin_message(reader, channel, begin, MESSAGE_PROCESS, true);
    broker_tell_number(reader, serial, FIELD_STATUS, (int64_t)tag);
    broker_recall(reader, serial, FIELD_SUBSCRIPTION, queue);
}

static void get(struct broker_reader *reader, struct amqp_channel *channel)
{
    channel->get_is_unsettled = amqp_frame_of(reader)->argument.number & BIT_NO_ACK_OF_GET;
    if (channel->asks == ASKED_GET)
        broker_tell(reader, channel->asked_serial, EVENT_REQUEST);
}

/* --- reading ------------------------------------------------------------------------------------
 */

/* Its first argument is there, or about to be. */
static void begin_method(struct broker_reader *reader, struct amqp_channel *channel)
{
    switch (amqp_frame_of(reader)->method) {
    case BASIC_PUBLISH:
        publish(reader, channel);
        break;
    case BASIC_GET:
        amqp_ask(reader, channel, ASKED_GET, MESSAGE_RECEIVE);
        break;
    case BASIC_GET_EMPTY:
        amqp_answer(reader, channel, ASKED_GET, EVENT_END);
        break;
    case BASIC_CONSUME:
        amqp_ask(reader, channel, ASKED_CONSUME, AMQP_CONSUME);
        break;
    case TX_SELECT:
        channel->is_transacted = true;
        break;
    case TX_COMMIT:
    case TX_ROLLBACK:
        amqp_ask(reader, channel, ASKED_TRANSACTION,
            amqp_frame_of(reader)->method == TX_COMMIT ? AMQP_COMMIT : AMQP_ROLLBACK);
        broker_tell(reader, channel->asked_serial, EVENT_REQUEST);
        break;
    case TX_COMMIT_OK:
        amqp_end_transaction(reader, channel, END_COMPLETE);
        break;
    case TX_ROLLBACK_OK:
        amqp_end_transaction(reader, channel, END_UNANSWERED);
        break;
    case CONFIRM_SELECT:
        channel->confirms = true;
        break;
    case CHANNEL_CLOSE_OK:
        amqp_close_channel(reader, channel, 0);
        break;
    default:
        break;
    }
}

/* The number that `step` is has been read. */
static void take_number(struct broker_reader *reader, struct amqp_channel *channel, unsigned step)
{
    struct amqp_argument *argument = &amqp_frame_of(reader)->argument;
    uint64_t number = argument->number;
    switch (amqp_frame_of(reader)->method) {
    case CHANNEL_CLOSE:
        amqp_close_channel(reader, channel, (int64_t)number);
        break;
    case BASIC_RETURN:
        amqp_begin_return(reader, channel, (int64_t)number);
        break;
    case BASIC_RECOVER:
        if (number & BIT_REQUEUE)
            amqp_recover(reader, channel);
        break;
    case BASIC_CONSUME:
        if (step == 3)
            consume(reader, channel);
        break;
    case BASIC_DELIVER:
        if (step == 1)
            deliver(reader, channel, number, kept_key(KEPT_CONSUMER, channel, argument->hash),
                unsettled_row(reader->state, argument->hash) != NULL);
        break;
    case BASIC_GET:
        if (step == 2)
            get(reader, channel);
        break;
    case BASIC_GET_OK:
        if (step == 0) {
            deliver(
                reader, channel, number, kept_key(KEPT_GET, channel, 0), channel->get_is_unsettled);
            channel->get_is_answered = true;
        }
        break;
    case BASIC_ACK:
    case BASIC_NACK:
    case BASIC_REJECT:
        amqp_settle(reader, channel, number >> 8);
        break;
    default:
        break;
    }
}

static void take_string(struct broker_reader *reader, struct amqp_channel *channel)
{
    if (amqp_frame_of(reader)->method == BASIC_CONSUME_OK)
        consume_ok(reader, channel);
    else if (amqp_frame_of(reader)->method == BASIC_CANCEL)
        cancel(reader, channel);
}

/* What the queue's name is kept as that stands in a method: to the end of that, whatever becomes of
 * its channel. */
static uint64_t queue_key(const struct broker_reader *reader)
{
    const struct amqp_frame *frame = amqp_frame_of(reader);
    const struct amqp_channel here = {
        .number = (uint16_t)(frame->header[1] << 8 | frame->header[2])};
    return frame->method == BASIC_CONSUME ? kept_key(KEPT_CONSUME, &here, frame->argument.hash)
                                          : kept_key(KEPT_GET, &here, 0);
}

/* A piece of a string. */
static void tell_piece(struct broker_reader *reader, struct amqp_channel *channel, char kind,
    struct broker_piece piece)
{
    /* The other side may have closed the channel meanwhile. */
    const struct amqp_content *content = content_of(reader, channel);
    if (kind != 'Q' && content->is_told)
        broker_tell_text(
            reader, content->serial, kind == 'E' ? FIELD_DESTINATION : FIELD_ROUTING, piece);
    else if (kind == 'Q')
        broker_keep(reader, queue_key(reader), piece);
    if (kind == 'Q' && piece.is_last && channel->asks != ASKED_NOTHING)
        broker_recall(reader, channel->asked_serial, FIELD_SUBSCRIPTION, queue_key(reader));
}

/* No name of a queue stands for the one that was declared last (1.8.3.3), which is not followed. */
static void forget_queue(struct broker_reader *reader)
{
    broker_tell_kept(reader, EVENT_DROP, queue_key(reader), 0);
}

static void next_argument(struct amqp_argument *argument)
{
    *argument = (struct amqp_argument){
        .step = argument->step + 1, .hash = argument->hash, .is_empty = argument->is_empty};
}

static void read_string(
    struct broker_reader *reader, struct amqp_channel *channel, char kind, size_t end)
{
    struct amqp_argument *argument = &amqp_frame_of(reader)->argument;
    if (!argument->is_string) {
        argument->left = reader->data[reader->at++];
        argument->is_string = argument->is_first = true;
        if (kind == 's')
            argument->hash = broker_hash_start ^ channel->number;
        if (kind == 'Q')
            argument->hash = channel->consumes;
        argument->is_empty = argument->left == 0;
        if (argument->is_empty && kind == 'Q')
            forget_queue(reader);
    }
    size_t there = end - reader->at;
    size_t length = there < argument->left ? there : argument->left;
    argument->left -= (uint8_t)length;
    for (size_t i = 0; kind == 's' && i < length; i++)
        argument->hash = broker_hash(argument->hash, reader->data[reader->at + i]);
    if (kind != 's' && length > 0)
        tell_piece(reader, channel, kind,
            amqp_piece(reader, length, argument->is_first, argument->left == 0));
    argument->is_first = argument->is_first && length == 0;
    reader->at += length;
    if (argument->left > 0)
        return;
    if (channel->number != 0)
        take_string(reader, channel);
    next_argument(argument);
}

static void read_number(struct broker_reader *reader, struct amqp_channel *channel, unsigned bytes)
{
    struct amqp_argument *argument = &amqp_frame_of(reader)->argument;
    argument->number = argument->number << 8 | reader->data[reader->at++];
    if (++argument->left < bytes)
        return;
    take_number(reader, channel, argument->step);
    next_argument(argument);
}

static void read_ids(struct broker_reader *reader, size_t end)
{
    struct amqp_frame *frame = reader->side;
    while (frame->ids < 4 && reader->at < end) {
        frame->argument.number = frame->argument.number << 8 | reader->data[reader->at++];
        frame->ids++;
    }
    if (frame->ids < 4 || frame->method != AMQP_OTHER)
        return;
    unsigned row = 0;
    while (row < METHODS &&
           ((uint64_t)(methods[row].class << 16 | methods[row].method) != frame->argument.number ||
               !(methods[row].sides & 1u << reader->direction)))
        row++;
    frame->argument = (struct amqp_argument){0};
    frame->row = (uint8_t)row;
    frame->method = row == METHODS ? AMQP_IGNORED : methods[row].meaning;
    bool is_end = frame->method == CHANNEL_CLOSE || frame->method == CHANNEL_CLOSE_OK;
    bool opens = frame->method > AMQP_IGNORED && !is_end;
    struct amqp_channel *channel = opens ? amqp_open_channel(reader) : amqp_channel_of(reader);
    if (channel != NULL)
        begin_method(reader, channel);
    else if (frame->method == BASIC_PUBLISH || frame->method == BASIC_DELIVER) {
        broker_tell(reader, 0, EVENT_UNTOLD);
    }
}

/* A number at the beginning of what is said on a channel of which nothing is known, as 0 is; true:
 * it ends here. */
static bool read_first(struct broker_reader *reader, size_t end, uint8_t bytes)
{
    struct amqp_argument *argument = &amqp_frame_of(reader)->argument;
    while (reader->at < end && argument->step == 0 && argument->left < bytes) {
        argument->number = argument->number << 8 | reader->data[reader->at++];
        if (++argument->left == bytes)
            return true;
    }
    return false;
}

/* What the connection itself agrees on (1.4.2.6), and why the broker ends it (1.4.2.10): what was
 * delivered can still be worked on. */
static void read_own(struct broker_reader *reader, size_t end)
{
    struct amqp *amqp = reader->state;
    const struct amqp_frame *frame = reader->side;
    if (frame->method == CONNECTION_TUNE_OK && read_first(reader, end, 2 + 4))
        amqp->frame_max = (uint32_t)frame->argument.number;
    else if (frame->method == CONNECTION_CLOSE && read_first(reader, end, 2))
        amqp_close_connection(reader, (int64_t)frame->argument.number);
    else if (frame->method == CHANNEL_CLOSE && read_first(reader, end, 2))
        amqp_close_channel(reader, NULL, (int64_t)frame->argument.number);
}

void amqp_read_method(struct broker_reader *reader, size_t end)
{
    struct amqp_frame *frame = reader->side;
    read_ids(reader, end);
    struct amqp_channel *channel = amqp_channel_of(reader), nobody = {0};
    if (channel == NULL)
        read_own(reader, end);
    if (channel == NULL && frame->argument.is_string)
        channel = &nobody; /* the other side closed it: the text that was begun goes on */
    while (reader->at < end && channel != NULL && frame->method > AMQP_IGNORED) {
        char kind = methods[frame->row].arguments[frame->argument.step];
        if (kind == '\0')
            break;
        if (kind >= '1' && kind <= '9')
            read_number(reader, channel, (unsigned)(kind - '0'));
        else
            read_string(reader, channel, kind, end);
        if (channel == &nobody && !frame->argument.is_string)
            break; /* nothing behind it means anything */
    }
    reader->at = end;
}
