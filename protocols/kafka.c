/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A message of Apache Kafka as a span, by the OpenTelemetry semantic conventions for Kafka: what
 * librdkafka sends and hands on (hooks/rdkafka_*.c), and what other clients do on the wire
 * (kafka_wire.h).
 *
 *   FIELD_DESTINATION topic, FIELD_ROUTING key, FIELD_SUBSCRIPTION consumer group,
 *   FIELD_USER_AGENT client.id, FIELD_CODE librdkafka's name of the error,
 *   FIELD_STATUS offset, of what was handed on alone; else the broker's error,
 *   FIELD_ROWS partition + 1, 0: not known
 */
#include "database.h"
#include "library.h"
#include "messaging.h"

static const int16_t codes[] = {
#define CODE(number, name) number,
#include "kafka_codes.def"
#undef CODE
};

static const char code_names[] =
#define CODE(number, name) name "\0"
#include "kafka_codes.def"
#undef CODE
    ;

static void put(struct describer *out, enum attribute attribute, struct fact text)
{
    if (text.length > 0)
        out->text(out, attribute, text.text, text.length);
}

static struct fact name_of(int64_t code, uint8_t digits[DATABASE_DIGITS_MAX])
{
    const char *at = code_names;
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        struct fact name = messaging_text(at);
        if (codes[i] == code)
            return name;
        at += name.length + 1;
    }
    return code < 0 ? messaging_text("_OTHER") : database_decimal(code, digits);
}

static const char *operation_of(int64_t operation)
{
    return operation == MESSAGE_SEND ? "send" : operation == MESSAGE_RECEIVE ? "fetch" : "process";
}

void kafka_describe(const struct facts *facts, struct describer *out)
{
    uint8_t digits[DATABASE_DIGITS_MAX];
    struct facts told = *facts;
    int64_t operation = facts->numbers[FIELD_VERSION], status = facts->numbers[FIELD_STATUS];
    struct messaging messaging = {.system = "kafka",
        .type = operation,
        .operation = operation_of(operation),
        .destination = facts->texts[FIELD_DESTINATION]};
    if (operation != MESSAGE_PROCESS && status != 0)
        told.texts[FIELD_CODE] = name_of(status, digits);
    messaging_describe(&told, out, &messaging);
    if (facts->numbers[FIELD_ROWS] > 0)
        put(out, ATTRIBUTE_MESSAGING_DESTINATION_PARTITION_ID,
            database_decimal(facts->numbers[FIELD_ROWS] - 1, digits));
    if (operation == MESSAGE_PROCESS && facts->numbers[FIELD_BATCH] < 2)
        out->number(out, ATTRIBUTE_MESSAGING_KAFKA_OFFSET, status);
    put(out, ATTRIBUTE_MESSAGING_KAFKA_MESSAGE_KEY, facts->texts[FIELD_ROUTING]);
    put(out, ATTRIBUTE_MESSAGING_CONSUMER_GROUP_NAME, facts->texts[FIELD_SUBSCRIPTION]);
    put(out, ATTRIBUTE_MESSAGING_CLIENT_ID, facts->texts[FIELD_USER_AGENT]);
}
