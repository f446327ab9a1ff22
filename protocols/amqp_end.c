/* SPDX-License-Identifier: Apache-2.0 */
/* AMQP 0-9-1: how what was sent, asked for or delivered ends, be it that the broker refuses it. */
#include "amqp.h"

/* --- what a program waits for ----------------------------------------------------------------- */

void amqp_ask(struct broker_reader *reader, struct amqp_channel *channel, enum amqp_asked asked,
    int operation)
{
    if (channel->asks != ASKED_NOTHING)
        broker_tell(reader, channel->asked_serial, EVENT_VOID);
    channel->asked_serial = amqp_begin(reader, (struct event){0}, operation);
    channel->asks = (uint8_t)asked;
    channel->get_is_answered = false;
}

void amqp_answer(struct broker_reader *reader, struct amqp_channel *channel, enum amqp_asked asked,
    enum event_kind kind)
{
    if (channel->asks != asked)
        return;
    channel->asks = ASKED_NOTHING;
    if (kind == EVENT_VOID)
        broker_tell(reader, channel->asked_serial, kind);
    else
        broker_end(reader, channel->asked_serial);
}

static bool is_error(const struct broker_reader *reader, int64_t code)
{
    return reader->direction == DIRECTION_IN && code >= 300 && code <= 999;
}

/* It will not be answered, or with the code. True: somebody waited. */
static bool refuse(struct broker_reader *reader, struct amqp_channel *channel, int64_t code)
{
    if (channel->asks == ASKED_NOTHING)
        return false;
    if (!is_error(reader, code)) {
        broker_tell(reader, channel->asked_serial, EVENT_END);
        channel->asks = ASKED_NOTHING;
        return true;
    }
    broker_tell_number(reader, channel->asked_serial, FIELD_STATUS, code);
    amqp_answer(reader, channel, (enum amqp_asked)channel->asks, EVENT_END);
    return true;
}

/* --- acknowledgements, 1.8.3.13 --------------------------------------------------------------- */

/* All of a channel. */
static struct event settle_of(const struct amqp_channel *channel)
{
    return (struct event){.kind = EVENT_SETTLE,
        .key = amqp_key(channel->number, 0),
        .other = amqp_key(channel->number, UINT64_MAX)};
}

static void tell_settle(struct broker_reader *reader, struct event event, const char *code)
{
    struct fact text = messaging_text(code);
    event.text = text.text;
    event.length = text.length;
    reader->sink->event(reader->sink, &event);
}

/* The broker acknowledges what was published, the program what was delivered: in a transaction,
 * if that is committed. */
void amqp_settle(struct broker_reader *reader, struct amqp_channel *channel, uint64_t tag)
{
    enum { BIT_MULTIPLE = 1 };
    const struct amqp_frame *frame = amqp_frame_of(reader);
    bool is_multiple = frame->method != BASIC_REJECT && (frame->argument.number & BIT_MULTIPLE);
    struct event event = settle_of(channel);
    event.is_delivery = reader->direction == DIRECTION_OUT;
    event.is_put_off = event.is_delivery && channel->is_transacted;
    event.reason = event.is_put_off ? END_SWITCHED : END_COMPLETE;
    if (!is_multiple)
        event.key = amqp_key(channel->number, tag);
    if (!is_multiple || tag != 0)
        event.other = amqp_key(channel->number, tag);
    tell_settle(reader, event,
        frame->method == BASIC_ACK    ? NULL
        : frame->method == BASIC_NACK ? "nack"
                                      : "reject");
}

/* What was delivered will be again. */
void amqp_recover(struct broker_reader *reader, struct amqp_channel *channel)
{
    struct event event = settle_of(channel);
    event.is_delivery = true;
    tell_settle(reader, event, "recover");
}

static void tell_put_off(
    struct broker_reader *reader, const struct amqp_channel *channel, enum end_reason reason)
{
    struct event event = settle_of(channel);
    event.is_delivery = event.is_put_off = true;
    event.reason = reason;
    if (channel->is_transacted)
        tell_settle(reader, event, NULL);
}

void amqp_end_transaction(
    struct broker_reader *reader, struct amqp_channel *channel, enum end_reason reason)
{
    amqp_answer(reader, channel, ASKED_TRANSACTION, EVENT_END);
    tell_put_off(reader, channel, reason);
}

/* The broker will not confirm them; the program may have closed the channel itself. */
static void settle_unconfirmed(struct broker_reader *reader, struct event event, int64_t code)
{
    char digits[4] = "";
    event.reason = END_UNANSWERED;
    bool is_refused = is_error(reader, code);
    for (int i = 2; i >= 0; i--, code /= 10)
        digits[i] = (char)('0' + code % 10);
    tell_settle(reader, event, is_refused ? digits : NULL);
}

/* --- what the broker says of its own accord ----------------------------------------------------
 */

/* Begun here, in the middle of its method. */
static uint32_t begin_unasked(struct broker_reader *reader, int operation, int64_t code)
{
    uint32_t serial = amqp_begin(reader, (struct event){0}, operation);
    broker_tell(reader, serial, EVENT_UNASKED);
    broker_tell_number(reader, serial, FIELD_STATUS, code);
    return serial;
}

/* Some of those that are meant were told so, it may be: then nothing is told of it itself. */
static void end_unasked(struct broker_reader *reader, uint32_t serial, struct event meant)
{
    meant.kind = EVENT_PASS;
    meant.exchange = serial;
    reader->sink->event(reader->sink, &meant);
    broker_end(reader, serial);
}

/* A message comes back, 1.8.3.9. */
void amqp_begin_return(struct broker_reader *reader, struct amqp_channel *channel, int64_t code)
{
    struct amqp_content *content = &channel->content[DIRECTION_IN];
    amqp_cut(reader, content);
    *content = (struct amqp_content){.stage = CONTENT_HEADER, .is_told = true};
    content->serial = begin_unasked(reader, AMQP_RETURN, code);
}

/* Its confirm comes behind it, so that it is one of those that wait for one. */
void amqp_end_return(struct broker_reader *reader, struct amqp_channel *channel)
{
    struct amqp_content *content = &channel->content[DIRECTION_IN];
    content->is_told = false;
    end_unasked(reader, content->serial, settle_of(channel));
}

/* Nobody waits, but for confirms. */
static void tell_closed(struct broker_reader *reader, struct event meant, int64_t code)
{
    if (!is_error(reader, code))
        return;
    uint32_t serial = begin_unasked(reader, AMQP_CLOSE, code);
    broker_tell(reader, serial, EVENT_REQUEST);
    meant.is_through = true;
    end_unasked(reader, serial, meant);
}

/* Nothing on it will be acknowledged any more: what was delivered will be again. */
void amqp_close_channel(struct broker_reader *reader, struct amqp_channel *channel, int64_t code)
{
    if (channel == NULL) {
        tell_closed(reader, (struct event){.key = 1}, code); /* to none */
        return;
    }
    for (enum direction side = DIRECTION_IN; side <= DIRECTION_OUT; side++)
        amqp_cut(reader, &channel->content[side]);
    struct event all = settle_of(channel);
    if (!refuse(reader, channel, code))
        tell_closed(reader, all, code);
    tell_put_off(reader, channel, END_UNANSWERED);
    struct event delivered = all;
    delivered.is_delivery = true;
    delivered.reason = END_UNANSWERED;
    tell_settle(reader, delivered, NULL);
    settle_unconfirmed(reader, all, code);
    memset(channel, 0, sizeof(*channel));
}

/* What was delivered can still be worked on. */
void amqp_close_connection(struct broker_reader *reader, int64_t code)
{
    struct amqp *amqp = reader->state;
    struct event all = {.kind = EVENT_SETTLE, .key = 1, .other = UINT64_MAX};
    bool has_waited = false;
    for (unsigned i = 0; i < AMQP_CHANNELS_MAX; i++)
        has_waited |= refuse(reader, &amqp->channels[i], code);
    if (!has_waited)
        tell_closed(reader, all, code);
    settle_unconfirmed(reader, all, code);
}
