/* SPDX-License-Identifier: Apache-2.0 */
#include "messaging.h"

#include <string.h>

/* strlen is none of ours to call. */
struct fact messaging_text(const char *literal)
{
    uint32_t length = 0;
    while (literal != NULL && literal[length] != '\0')
        length++;
    return (struct fact){(const uint8_t *)literal, length};
}

static void put(struct describer *out, enum attribute attribute, struct fact text)
{
    if (text.length > 0)
        out->text(out, attribute, text.text, text.length);
}

/* "{operation name} {destination}", or the server's address where that says nothing. */
static void name(
    const struct facts *facts, struct describer *out, const struct messaging *messaging)
{
    char whole[MESSAGING_NAME_MAX];
    struct fact operation = messaging_text(messaging->operation), behind = messaging->destination;
    if (messaging->is_temporary || behind.length == 0)
        behind = facts->peer_address;
    memcpy(whole, operation.text, operation.length);
    size_t used = operation.length;
    if (behind.length > 0) {
        size_t room = sizeof(whole) - used - 1;
        size_t length = behind.length < room ? behind.length : room;
        whole[used++] = ' ';
        memcpy(whole + used, behind.text, length);
        used += length;
    }
    out->name(out, whole, used);
}

/* A message that carries the application's own context was made by somebody else: it is only sent
 * here. */
static enum describer_kind kind_of(const struct facts *facts, int64_t operation)
{
    switch (operation) {
    case MESSAGE_SEND:
        return facts->is_adopted ? KIND_CLIENT : KIND_PRODUCER;
    case MESSAGE_PROCESS:
        return KIND_CONSUMER;
    default:
        return KIND_CLIENT;
    }
}

static void describe_error(
    const struct facts *facts, struct describer *out, const struct messaging *messaging)
{
    struct fact code = facts->texts[FIELD_CODE];
    struct fact error = code.length > 0               ? code
                        : messaging->error.length > 0 ? messaging->error
                                                      : facts->error;
    if (error.length == 0)
        return;
    out->text(out, ATTRIBUTE_ERROR_TYPE, error.text, error.length);
    out->error(out);
}

static void describe_server(const struct facts *facts, struct describer *out)
{
    put(out, ATTRIBUTE_SERVER_ADDRESS, facts->peer_address);
    put(out, ATTRIBUTE_NETWORK_PEER_ADDRESS, facts->peer_address);
    if (facts->peer_address.length > 0 && facts->peer_port > 0) {
        out->number(out, ATTRIBUTE_SERVER_PORT, facts->peer_port);
        out->number(out, ATTRIBUTE_NETWORK_PEER_PORT, facts->peer_port);
    }
}

void messaging_describe_operation(
    const struct facts *facts, struct describer *out, const struct messaging *messaging)
{
    static const char *const types[] = {"send", "receive", "process", "settle"};
    int64_t operation = messaging->type;
    name(facts, out, messaging);
    out->kind(out, kind_of(facts, operation));
    put(out, ATTRIBUTE_MESSAGING_SYSTEM, messaging_text(messaging->system));
    put(out, ATTRIBUTE_MESSAGING_OPERATION_NAME, messaging_text(messaging->operation));
    if (operation >= 0 && operation <= MESSAGE_SETTLE)
        put(out, ATTRIBUTE_MESSAGING_OPERATION_TYPE, messaging_text(types[operation]));
    put(out, ATTRIBUTE_MESSAGING_DESTINATION_NAME, messaging->destination);
    put(out, ATTRIBUTE_MESSAGING_MESSAGE_ID, facts->texts[FIELD_MESSAGE]);
    if (facts->numbers[FIELD_BATCH] > 1)
        out->number(out, ATTRIBUTE_MESSAGING_BATCH_MESSAGE_COUNT, facts->numbers[FIELD_BATCH]);
}

void messaging_describe(
    const struct facts *facts, struct describer *out, const struct messaging *messaging)
{
    messaging_describe_operation(facts, out, messaging);
    describe_server(facts, out);
    describe_error(facts, out, messaging);
}
