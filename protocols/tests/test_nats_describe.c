/* SPDX-License-Identifier: Apache-2.0 */
/* Messages of NATS as they are after context was put into them, and the spans that tell them. */
#include "nats.h"
#include "messages.h"

extern const struct protocol nats_protocol;

/* --- into a message --------------------------------------------------------------------------- */

static void check_insert(
    const char *before, const char *values[3], uint64_t most, const char *after, const char *what)
{
    static char out[1 << 14];
    size_t length = insert_values(&nats_protocol, fact(before), values, most, out);
    out[length] = '\0';
    if (!CHECK(strcmp(out, after) == 0, "%s", what))
        fprintf(stderr, "%s\n", out);
}

static void check_inserts(void)
{
    const char *one[3] = {PARENT}, *all[3] = {PARENT, "a=1", "k=v"}, *none[3] = {NULL};
    check_insert("PUB a.b 5\r", one, 1024,
        "HPUB a.b 82 87\r\nNATS/1.0\r\ntraceparent: " PARENT "\r\n\r", "PUB");
    check_insert("pub\ta  _INBOX.1 \t0 \r", all, 1024,
        "HPUB a _INBOX.1 113 113\r\nNATS/1.0\r\ntraceparent: " PARENT
        "\r\ntracestate: a=1\r\nbaggage: k=v\r\n\r",
        "with a reply, and all that there can be");
    check_insert("HPUB a 22 27\r\nNATS/1.0\r\nkey:value\r\n\r", one, 1024,
        "HPUB a 92 97\r\nNATS/1.0\r\nkey:value\r\ntraceparent: " PARENT "\r\n\r", "HPUB");
    check_insert("hPuB a r 12 12\r\nNATS/1.0\r\n\r", one, 1024,
        "HPUB a r 82 82\r\nNATS/1.0\r\ntraceparent: " PARENT "\r\n\r", "without a header yet");
    check_insert("PUB a 5\r", one, 87, "HPUB a 82 87\r\nNATS/1.0\r\ntraceparent: " PARENT "\r\n\r",
        "the most that is taken");
    check_insert("PUB a 6\r", one, 87, "", "one byte more");
    check_insert("HPUB a 12 13\r\nNATS/1.0\r\n\r", one, 82, "", "one byte more, of HPUB");
    check_insert("PUB a 5\r", one, 0, "", "how much is taken is not known");
    check_insert("PUB a 5\r", none, 1024, "", "nothing to put");
    check_insert("PUB a 5", one, 1024, "", "a line end that is none");
    check_insert("HPUB a 12 12\r", one, 1024, "", "the block is not there");
    check_insert("HPUB a 0 5\r", one, 1024,
        "HPUB a 82 87\r\nNATS/1.0\r\ntraceparent: " PARENT "\r\n\r", "HPUB, a block of no length");
    check_insert("HPUB 0 5\r", one, 1024, "", "no subject");
    check_insert("PUB 5\r", one, 1024, "", "an argument is missing");
}

static void check_long_line(void)
{
    static char before[1100], after[1300];
    const char *one[3] = {PARENT};
    for (int more = 0; more < 2; more++) {
        memset(before, 'x', sizeof(before));
        memcpy(before, "PUB ", 4);
        memcpy(before + 1022 + more, " 5\r", 4);
        snprintf(after, sizeof(after),
            "HPUB%.*s 82 87\r\nNATS/1.0\r\ntraceparent: " PARENT "\r\n\r", 1019 + more, before + 3);
        check_insert(
            before, one, 1024, more ? "" : after, more ? "a byte too long" : "a long line");
    }
}

/* --- spans --------------------------------------------------------------------------------------
 */

#define HERE SERVER("4222")
#define SPAN(...) SPAN_OF("nats", __VA_ARGS__)

static void check_span(int64_t operation, const char *subject, const char *group, const char *code,
    const char *expected, const char *what)
{
    const char *const texts[] = {subject, group, code};
    check_span_of(&nats_protocol, 4222, operation, texts, expected, true, what);
}

static void check_spans(void)
{
    check_span(MESSAGE_SEND, "orders.new", "", "",
        SPAN("publish orders.new", "PRODUCER", "publish",
            "send") "messaging.destination.name=orders.new\n" HERE,
        "a message that is sent");
    check_span(MESSAGE_SEND, "_INBOX.x.1", "", "",
        SPAN("publish 192.0.2.9", "PRODUCER", "publish",
            "send") "messaging.destination.name=_INBOX.x.1\n" HERE,
        "an answer: its subject is of no use in a name");
    check_span(MESSAGE_PROCESS, "orders.new", "workers", "",
        SPAN("process orders.new", "CONSUMER", "process",
            "process") "messaging.destination.name=orders.new\n" HERE
                       "messaging.consumer.group.name=workers\n",
        "one that is delivered, for a queue group");
    check_span(MESSAGE_SETTLE, "orders.new", "", "",
        SPAN("ack orders.new", "CLIENT", "ack",
            "settle") "messaging.destination.name=orders.new\n" HERE,
        "acknowledged");
    check_span(MESSAGE_SETTLE, "orders.new", "", "nak",
        SPAN("nak orders.new", "CLIENT", "nak",
            "settle") "messaging.destination.name=orders.new\n" HERE "error.type=nak\nERROR\n",
        "refused");
    check_span(MESSAGE_SETTLE, "orders.new", "", "term",
        SPAN("term orders.new", "CLIENT", "term",
            "settle") "messaging.destination.name=orders.new\n" HERE "error.type=term\nERROR\n",
        "refused for ever");
}

int main(void)
{
    check_inserts();
    check_long_line();
    check_spans();
    return tap_done();
}
