/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A message of Apache Kafka as a span, by the OpenTelemetry semantic conventions for Kafka.
 *
 *   FIELD_DESTINATION topic, FIELD_ROUTING key, FIELD_SUBSCRIPTION consumer group,
 *   FIELD_USER_AGENT name of the client's handle, FIELD_CODE name of the error,
 *   FIELD_STATUS offset, of what was handed on; FIELD_ROWS partition + 1, 0: not known
 */
#include <string.h>

#include "database.h"
#include "library.h"
#include "messaging.h"

/* librdkafka names a handle "{client.id}#{producer or consumer}-{number}". */
static struct fact client_of(struct fact handle)
{
    while (handle.length > 0 && handle.text[handle.length - 1] != '#')
        handle.length--;
    handle.length -= handle.length > 0;
    return handle;
}

static void put(struct describer *out, enum attribute attribute, struct fact text)
{
    if (text.length > 0)
        out->text(out, attribute, text.text, text.length);
}

void kafka_describe(const struct facts *facts, struct describer *out)
{
    uint8_t digits[DATABASE_DIGITS_MAX];
    bool is_sent = facts->numbers[FIELD_VERSION] == MESSAGE_SEND;
    struct messaging messaging = {.system = "kafka",
        .operation = is_sent ? "send" : "process",
        .destination = facts->texts[FIELD_DESTINATION]};
    messaging_describe(facts, out, &messaging);
    if (facts->numbers[FIELD_ROWS] > 0)
        put(out, ATTRIBUTE_MESSAGING_DESTINATION_PARTITION_ID,
            database_decimal(facts->numbers[FIELD_ROWS] - 1, digits));
    if (!is_sent)
        out->number(out, ATTRIBUTE_MESSAGING_KAFKA_OFFSET, facts->numbers[FIELD_STATUS]);
    put(out, ATTRIBUTE_MESSAGING_KAFKA_MESSAGE_KEY, facts->texts[FIELD_ROUTING]);
    put(out, ATTRIBUTE_MESSAGING_CONSUMER_GROUP_NAME, facts->texts[FIELD_SUBSCRIPTION]);
    put(out, ATTRIBUTE_MESSAGING_CLIENT_ID, client_of(facts->texts[FIELD_USER_AGENT]));
}
