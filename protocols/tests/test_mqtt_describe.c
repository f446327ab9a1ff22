/* SPDX-License-Identifier: Apache-2.0 */
/* Messages of MQTT as they are after context was put into them, and the spans that tell them. */
#include "mqtt.h"
#include "messages.h"

extern const struct protocol mqtt_protocol;

#define PAIR "&\0\x0btraceparent\0\x37" PARENT /* 71 bytes */
#define PAIRS                      \
    PAIR "&\0\x0atracestate\0\x03" \
         "a=1"                     \
         "&\0\x07"                 \
         "baggage\0\x03k=v" /* 104 */
#define BYTES(literal)                                  \
    (struct fact)                                       \
    {                                                   \
        (const uint8_t *)(literal), sizeof(literal) - 1 \
    }

/* --- into a message --------------------------------------------------------------------------- */

static char out[1 << 16];

static void check_insert(
    struct fact before, const char *values[3], uint64_t most, struct fact after, const char *what)
{
    size_t length = insert_values(&mqtt_protocol, before, values, most, out);
    bool is_same = length == after.length && (length == 0 || memcmp(out, after.text, length) == 0);
    if (!CHECK(is_same, "%s", what))
        fwrite(out, 1, length, stderr);
}

static void check_inserts(void)
{
    const char *one[3] = {PARENT}, *all[3] = {PARENT, "a=1", "k=v"}, *none[3] = {NULL};
    struct fact nothing = {0};
    check_insert(BYTES("0\x0b\0\x03"
                       "a/b\0"),
        one, 1024,
        BYTES("0\x52\0\x03"
              "a/b\x47" PAIR),
        "without properties: 5 bytes follow");
    check_insert(BYTES("4\x0a\0\x01"
                       "a\1\2\0"),
        all, 1024,
        BYTES("4\x72\0\x01"
              "a\1\2\x68" PAIRS),
        "exactly once, and all that there can be");
    check_insert(BYTES("0\x0c\0\x01"
                       "a\x07&\0\x01k\0\x01v"),
        one, 1024,
        BYTES("0\x53\0\x01"
              "a\x4e" PAIR "&\0\x01k\0\x01v"),
        "before those that there are");
    check_insert(BYTES("0\x0b\0\x01"
                       "a\x07&\0\x01k\0\x01"),
        one, 1024,
        BYTES("0\x52\0\x01"
              "a\x4e" PAIR "&\0\x01k\0\x01"),
        "the last byte is still to come");
    check_insert(BYTES("0\x38\0\x01"
                       "a\0"),
        one, 1024,
        BYTES("0\x7f\0\x01"
              "a\x47" PAIR),
        "a length of one byte, as long as it can be");
    check_insert(BYTES("0\x39\0\x01"
                       "a\0"),
        one, 1024,
        BYTES("0\x80\1\0\x01"
              "a\x47" PAIR),
        "one byte more: it has two");
    check_insert(BYTES("0\x3c\0\x01"
                       "a\x38"),
        one, 1024,
        BYTES("0\x83\1\0\x01"
              "a\x7f" PAIR),
        "properties of one byte's length");
    check_insert(BYTES("0\x3c\0\x01"
                       "a\x39"),
        one, 1024,
        BYTES("0\x84\1\0\x01"
              "a\x80\1" PAIR),
        "and of two");
    check_insert(BYTES("0\x0a\0\x01"
                       "a\0"),
        one, 83,
        BYTES("0\x51\0\x01"
              "a\x47" PAIR),
        "the most that is taken");
    check_insert(BYTES("0\x0b\0\x01"
                       "a\0"),
        one, 83, nothing, "one byte more");
    check_insert(BYTES("0\x0b\0\x01"
                       "a\0"),
        one, 0, nothing, "how much is taken is not known");
    check_insert(BYTES("0\x0b\0\x01"
                       "a\0"),
        none, 1024, nothing, "nothing to put");
    check_insert(BYTES("0\x04\0\x01"
                       "a"),
        one, 1024, nothing, "only the properties' length is left");
    check_insert(BYTES("0\xb8\xff\xff\x7f\0\x01"
                       "a\0"),
        one, MQTT_PACKET_MAX,
        BYTES("0\xff\xff\xff\x7f\0\x01"
              "a\x47" PAIR),
        "the longest that there is");
    check_insert(BYTES("0\xb9\xff\xff\x7f\0\x01"
                       "a\0"),
        one, UINT64_MAX, nothing, "beyond that");
    check_insert(BYTES("0\x0b\0\x09"
                       "a\0"),
        one, 1024, nothing, "a topic that is not all there");
    check_insert(BYTES("0"), one, 1024, nothing, "nor is anything else");
}

/* --- spans --------------------------------------------------------------------------------------
 */

#define HERE SERVER("1883")
#define SPAN(...) SPAN_OF("mqtt", __VA_ARGS__)

static void check_span(int64_t operation, const char *topic, const char *group, const char *code,
    const char *expected, const char *what)
{
    const char *const texts[] = {topic, group, code};
    check_span_of(&mqtt_protocol, 1883, operation, texts, expected, true, what);
}

static void check_spans(void)
{
    check_span(MESSAGE_SEND, "rooms/1", "", "",
        SPAN("publish rooms/1", "PRODUCER", "publish",
            "send") "messaging.destination.name=rooms/1\n" HERE,
        "a message that is sent");
    check_span(MESSAGE_SEND, "", "", "not_authorized",
        SPAN("publish 192.0.2.9", "PRODUCER", "publish", "send") HERE
        "error.type=not_authorized\nERROR\n",
        "refused, its topic not known");
    check_span(MESSAGE_PROCESS, "rooms/1", "workers", "",
        SPAN("process rooms/1", "CONSUMER", "process",
            "process") "messaging.destination.name=rooms/1\n" HERE
                       "messaging.consumer.group.name=workers\n",
        "one that is delivered, for a shared subscription");
    check_span(MESSAGE_SETTLE, "rooms/1", "", "",
        SPAN("ack rooms/1", "CLIENT", "ack", "settle") "messaging.destination.name=rooms/1\n" HERE,
        "acknowledged");
}

int main(void)
{
    check_inserts();
    check_spans();
    return tap_done();
}
