/* SPDX-License-Identifier: Apache-2.0 */
/* Requests to Kafka as they are after context was put into their records, and the spans that tell
 * them. */
#include "messages.h"

#include <stdlib.h>

extern const struct protocol kafka_protocol;

/* --- into requests ---------------------------------------------------------------------------- */

#define TEXT(literal)                                   \
    {                                                   \
        (const uint8_t *)(literal), sizeof(literal) - 1 \
    }

static const struct row {
    const char *what;
    bool has[3];
    struct fact before, after; /* after: empty, it stays as it is */
} rows[] = {
#include "kafka_rows.def"
};

static const char *const values[3] = {
    "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "a=1", "k=v"};

/* Into exactly `room` bytes, and from as many as there are, so that sanitizers see what is beyond.
 */
static size_t insert(const struct row *row, size_t length, char *out, size_t room)
{
    uint8_t *before = malloc(length);
    memcpy(before, row->before.text, length);
    struct context_header headers[3];
    const char *wanted[3] = {0};
    for (unsigned i = 0; i < 3; i++)
        wanted[i] = row->has[i] ? values[i] : NULL;
    struct insertion insertion = {.headers = headers,
        .count = headers_of(wanted, headers),
        .replaced = {before, (uint32_t)length},
        .room = room};
    size_t answer = kafka_protocol.insert(&insertion, out);
    free(before);
    return answer;
}

static bool is_expected(const struct row *row, const char *out, size_t length)
{
    return length == row->after.length && memcmp(out, row->after.text, length) == 0;
}

static void check_inserts(void)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct row *row = &rows[i];
        static char out[1 << 14];
        CHECK(is_expected(row, out, insert(row, row->before.length, out, sizeof(out))), "%s",
            row->what);
        bool is_refused = true;
        for (size_t length = 13; length < row->before.length; length++)
            is_refused &= insert(row, length, out, sizeof(out)) == 0;
        CHECK(is_refused, "%s: refused wherever it is cut off", row->what);
        bool is_safe = true;
        for (size_t room = 0; room < row->after.length; room++) {
            char *exact = malloc(room + 1);
            is_safe &= insert(row, row->before.length, exact, room) == 0;
            free(exact);
        }
        CHECK(is_safe, "%s: refused where there is no room", row->what);
    }
}

/* --- spans ------------------------------------------------------------------------------------ */

#define SPAN(name, kind, operation, type)                                          \
    name "\n" kind "\nmessaging.system=kafka\nmessaging.operation.name=" operation \
         "\nmessaging.operation.type=" type "\n"

static void check_span(int64_t operation, const char *topic, int64_t batch, int64_t status,
    const char *expected, const char *what)
{
    struct facts facts = {.peer_address = fact("192.0.2.9"), .peer_port = 9092};
    facts.numbers[FIELD_VERSION] = operation;
    facts.numbers[FIELD_BATCH] = batch;
    facts.numbers[FIELD_STATUS] = status;
    facts.numbers[FIELD_ROWS] = batch > 1 ? 0 : 4;
    facts.texts[FIELD_DESTINATION] = fact(topic);
    facts.texts[FIELD_USER_AGENT] = fact("shop#1");
    const char *told = writer_tell(&kafka_protocol, &facts);
    if (!CHECK(strcmp(told, expected) == 0, "%s", what))
        fprintf(stderr, "%s", told);
}

static void check_spans(void)
{
    check_span(MESSAGE_SEND, "orders", 0, 0,
        SPAN("send orders", "PRODUCER", "send", "send") "messaging.destination.name="
                                                        "orders\n" SERVER(
                                                            "9092") "messaging.destination."
                                                                    "partition.id=3\nmessaging."
                                                                    "client.id=shop#1\n",
        "a record that is sent");
    check_span(MESSAGE_SEND, "", 7, 0,
        SPAN("send 192.0.2.9", "PRODUCER", "send",
            "send") "messaging.batch.message_count=7\n" SERVER("9092") "messaging.client.id=shop#"
                                                                       "1\n",
        "several, to more than one topic");
    check_span(MESSAGE_RECEIVE, "orders", 7, 0,
        SPAN("fetch orders", "CLIENT", "fetch",
            "receive") "messaging.destination.name=orders\nmessaging.batch.message_count="
                       "7\n" SERVER("9092") "messaging.client.id=shop#1\n",
        "records that came");
    check_span(MESSAGE_SEND, "orders", 2, 87,
        SPAN("send orders", "PRODUCER", "send",
            "send") "messaging.destination.name=orders\nmessaging.batch.message_count="
                    "2\n" SERVER("9092") "error.type=INVALID_RECORD\nERROR\nmessaging."
                                         "client.id=shop#1\n",
        "an error");
    check_span(MESSAGE_SEND, "orders", 2, -1,
        SPAN("send orders", "PRODUCER", "send",
            "send") "messaging.destination.name=orders\nmessaging.batch.message_count="
                    "2\n" SERVER("9092") "error.type=UNKNOWN_SERVER_"
                                         "ERROR\nERROR\nmessaging.client.id=shop#1\n",
        "a negative one");
    check_span(MESSAGE_SEND, "orders", 2, 131,
        SPAN("send orders", "PRODUCER", "send",
            "send") "messaging.destination.name=orders\nmessaging.batch.message_count="
                    "2\n" SERVER("9092") "error.type=131\nERROR\nmessaging.client.id=shop#"
                                         "1\n",
        "one without a name");
    check_span(MESSAGE_PROCESS, "orders", 0, 12,
        SPAN("process orders", "CONSUMER", "process",
            "process") "messaging.destination.name=orders\n" SERVER("9092") "messaging.destination."
                                                                            "partition.id=3\n"
                                                                            "messaging.kafka."
                                                                            "offset=12\nmessaging."
                                                                            "client.id=shop#1\n",
        "one that librdkafka hands on");
}

int main(void)
{
    check_inserts();
    check_spans();
    return tap_done();
}
