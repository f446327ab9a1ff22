/* SPDX-License-Identifier: Apache-2.0 */
/* STOMP: what frames mean. */
#include "stomp.h"

/* Of what is an exchange. */
static void tell(struct broker_reader *reader, enum event_kind kind)
{
    const struct stomp_side *side = reader->side;
    if (side->is_begun)
        broker_tell(reader, side->serial, kind);
}

void stomp_begin_frame(struct broker_reader *reader)
{
    struct stomp_side *side = reader->side;
    memset(side->hashes, 0, sizeof(side->hashes));
    side->left = 0;
    side->seen = 0;
    side->has_length = side->is_requested = false;
    side->is_begun = side->frame == FRAME_SEND || side->frame == FRAME_MESSAGE;
    if (side->is_begun)
        side->serial = broker_begin(reader, (struct event){0},
            side->frame == FRAME_MESSAGE ? MESSAGE_PROCESS : MESSAGE_SEND, side->head_bytes);
}

/* --- subscriptions ---------------------------------------------------------------------------- */

static uint64_t hash_of(const char *text)
{
    uint64_t hash = 0;
    for (; *text != '\0'; text++)
        hash = stomp_hash(hash, (uint8_t)*text) | 1;
    return hash;
}

static struct stomp_subscription *row_of(struct stomp *stomp, uint64_t id)
{
    for (unsigned i = 0; i < STOMP_SUBSCRIPTIONS_MAX; i++)
        if (stomp->subscriptions[i].acks != ACKS_FREE && stomp->subscriptions[i].id == id)
            return &stomp->subscriptions[i];
    return NULL;
}

static void subscribe(struct stomp *stomp, const struct stomp_side *side)
{
    uint64_t acks = side->hashes[HEADER_ACK];
    struct stomp_subscription *row = row_of(stomp, side->hashes[HEADER_ID]);
    for (unsigned i = 0; i < STOMP_SUBSCRIPTIONS_MAX && row == NULL; i++)
        if (stomp->subscriptions[i].acks == ACKS_FREE)
            row = &stomp->subscriptions[i];
    stomp->subscribed++;
    if (row == NULL)
        return;
    row->id = side->hashes[HEADER_ID];
    row->acks = acks == hash_of("client")              ? ACKS_CLIENT
                : acks == hash_of("client-individual") ? ACKS_INDIVIDUAL
                                                       : ACKS_AUTO;
}

static void unsubscribe(struct stomp *stomp, const struct stomp_side *side)
{
    struct stomp_subscription *row = row_of(stomp, side->hashes[HEADER_ID]);
    if (row != NULL)
        row->acks = ACKS_FREE;
}

/* In 1.0 neither of them need have a name. */
static enum stomp_acks acks_of(struct stomp *stomp, const struct stomp_side *side)
{
    struct stomp_subscription *row = row_of(stomp, side->hashes[HEADER_SUBSCRIPTION]);
    if (row == NULL && stomp->version == 10 && stomp->subscribed == 1)
        row = &stomp->subscriptions[0];
    return row == NULL ? ACKS_FREE : (enum stomp_acks)row->acks;
}

/* --- messages --------------------------------------------------------------------------------- */

static void tell_key(struct broker_reader *reader, uint64_t key, bool is_through)
{
    const struct stomp_side *side = reader->side;
    struct event event = {.kind = EVENT_KEYED,
        .exchange = side->serial,
        .key = key,
        .is_settled = true,
        .is_through = is_through};
    if (side->is_begun)
        reader->sink->event(reader->sink, &event);
}

/* From 1.2 on a header of their own says what to acknowledge them by. */
static void take_message(struct broker_reader *reader)
{
    const struct stomp_side *side = reader->side;
    uint64_t key =
        side->hashes[HEADER_ACK] != 0 ? side->hashes[HEADER_ACK] : side->hashes[HEADER_MESSAGE_ID];
    enum stomp_acks acks = acks_of(reader->state, side);
    if (acks > ACKS_AUTO && key != 0)
        tell_key(reader, key, acks == ACKS_CLIENT);
}

static void settle(struct broker_reader *reader, uint64_t key, const char *code, uint8_t length)
{
    const struct stomp *stomp = reader->state;
    struct event event = {.kind = EVENT_SETTLE,
        .key = key,
        .other = key,
        .is_delivery = reader->direction == DIRECTION_OUT,
        .reason = END_COMPLETE,
        .text = (const uint8_t *)code,
        .length = length};
    /* Whose the others are is known if there is but one subscription. */
    event.is_through =
        event.is_delivery && stomp->subscribed == 1 && stomp->subscriptions[0].acks == ACKS_CLIENT;
    if (key != 0)
        reader->sink->event(reader->sink, &event);
}

static uint8_t version_of(uint64_t hash)
{
    return hash == hash_of("1.2") ? 12 : hash == hash_of("1.1") ? 11 : 10;
}

void stomp_take_head(struct broker_reader *reader)
{
    struct stomp *stomp = reader->state;
    struct stomp_side *side = reader->side;
    const uint64_t *hashes = side->hashes;
    uint64_t acknowledged = hashes[HEADER_ID] != 0 && stomp->version == 12
                                ? hashes[HEADER_ID]
                                : hashes[HEADER_MESSAGE_ID];
    switch (side->frame) {
    case FRAME_CONNECTED:
        stomp->version = version_of(hashes[HEADER_VERSION]);
        break;
    case FRAME_SUBSCRIBE:
        subscribe(stomp, side);
        break;
    case FRAME_UNSUBSCRIBE:
        unsubscribe(stomp, side);
        break;
    case FRAME_ACK:
        settle(reader, acknowledged, NULL, 0);
        break;
    case FRAME_NACK:
        settle(reader, acknowledged, "nack", 4);
        break;
    case FRAME_RECEIPT:
        settle(reader, hashes[HEADER_RECEIPT_ID], NULL, 0);
        break;
    case FRAME_ERROR:
        settle(reader, hashes[HEADER_RECEIPT_ID], "ERROR", 5);
        break;
    case FRAME_MESSAGE:
        take_message(reader);
        break;
    case FRAME_SEND:
        if (hashes[HEADER_RECEIPT] != 0)
            tell_key(reader, hashes[HEADER_RECEIPT], false);
        break;
    default:
        break;
    }
    side->is_requested = true;
    tell(reader, EVENT_REQUEST);
}

void stomp_end_frame(struct broker_reader *reader)
{
    struct stomp_side *side = reader->side;
    tell(reader, EVENT_RECEIVED);
    if (side->is_begun && side->frame == FRAME_SEND && side->hashes[HEADER_RECEIPT] == 0)
        broker_end(reader, side->serial);
    side->is_begun = false;
}

void stomp_cut_frame(struct broker_reader *reader)
{
    struct stomp_side *side = reader->side;
    tell(reader, side->is_requested ? EVENT_END : EVENT_VOID);
    side->is_begun = false;
}
