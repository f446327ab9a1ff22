/* SPDX-License-Identifier: Apache-2.0 */
/* Commands as they are sent, and the spans that tell them. */
#include "memcached.h"
#include "tap.h"
#include "writer.h"

#include <stdlib.h>

extern const struct protocol memcached_protocol;

struct taker {
    struct sink sink;
    struct facts facts;
    bool has_text;
};

static bool take(struct sink *sink, const struct event *event)
{
    struct taker *taker = (struct taker *)sink;
    taker->has_text |= event->kind == EVENT_TEXT || event->kind == EVENT_KEEP;
    if (event->kind == EVENT_NUMBER) {
        taker->facts.numbers[event->field] = event->number;
    }
    return true;
}

static void feed(
    void *state, enum direction direction, const char *bytes, size_t length, struct sink *sink)
{
    if (memcached_protocol.feed(state, direction, (const uint8_t *)bytes, length, sink) != length) {
        abort();
    }
}

static struct fact fact(const char *text)
{
    return (struct fact){(const uint8_t *)text, (uint32_t)strlen(text)};
}

static const char *tell_bytes(const char *command, size_t length, const char *answer, size_t count)
{
    static struct taker taker;
    static _Alignas(8) uint8_t state[STATE_BYTES_MAX];
    taker = (struct taker){.sink = {take}};
    taker.facts.peer_address = fact("192.0.2.9");
    taker.facts.peer_port = 11211;
    memcached_protocol.start(state, DIRECTION_OUT);
    feed(state, DIRECTION_OUT, command, length, &taker.sink);
    feed(state, DIRECTION_IN, answer, count, &taker.sink);
    return taker.has_text ? "a text was told" : writer_tell(&memcached_protocol, &taker.facts);
}

static const char *tell(const char *command, const char *answer)
{
    return tell_bytes(command, strlen(command), answer, strlen(answer));
}

#define SERVER                                                                              \
    "server.address=192.0.2.9\nnetwork.peer.address=192.0.2.9\nserver.port=11211\nnetwork." \
    "peer.port=11211\n"
#define SPAN(operation)                                         \
    "db.system.name=memcached\n" operation " 192.0.2.9:11211\n" \
    "db.operation.name=" operation "\n"

static void check(const char *told, const char *expected, const char *what)
{
    if (!CHECK(strcmp(told, expected) == 0, "%s", what)) {
        fprintf(stderr, "%s", told);
    }
}

static void check_lines(void)
{
    check(tell("get secret\r\n", "VALUE secret 0 1\r\nx\r\nEND\r\n"),
        SPAN("get") SERVER "db.response.returned_rows=1\n", "a hit");
    check(tell("get secret\r\n", "END\r\n"), SPAN("get") SERVER "db.response.returned_rows=0\n",
        "a miss is no error");
    check(tell("set secret 0 0 1\r\nx\r\n", "STORED\r\n"), SPAN("set") SERVER, "a change");
    check(tell("incr k 1\r\n", "CLIENT_ERROR cannot increment\r\n"),
        SPAN("incr") SERVER
        "db.response.status_code=CLIENT_ERROR\nerror.type=CLIENT_ERROR\nERROR\n",
        "an error");
    check(tell("get k\r\n", "SERVER_ERROR busy\r\n"),
        SPAN("get") SERVER "db.response.status_code=SERVER_ERROR\nerror.type=SERVER_ERROR\nERROR\n",
        "one of the server");
    check(tell("secret words\r\n", "ERROR\r\n"),
        "db.system.name=memcached\nmemcached\n" SERVER
        "db.response.status_code=ERROR\nerror.type=ERROR\nERROR\n",
        "a word that is none is not told");
    check(tell("mg a v q\r\nmg b v q\r\nmn\r\n", "VA 1\r\nx\r\nMN\r\n"),
        SPAN("BATCH mg") "db.operation.batch.size=2\n" SERVER "db.response.returned_rows=1\n",
        "quiet commands");
    check(tell("mg a v q\r\nms b 1 q\r\nx\r\nmn\r\n", "MN\r\n"),
        SPAN("BATCH") "db.operation.batch.size=2\n" SERVER "db.response.returned_rows=0\n",
        "different ones");
    check(tell("mg a v q\r\nmn\r\n", "MN\r\n"), SPAN("mg") SERVER "db.response.returned_rows=0\n",
        "a single one");
}

static void check_messages(void)
{
    static const char sasl[] = "\x80\x21\0\5\0\0\0\0\0\0\0\x11\0\0\0\0\0\0\0\0\0\0\0\0PLAIN"
                               "\0user\0secret";
    static const char refused[] = "\x81\x21\0\0\0\0\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    check(tell_bytes(sasl, sizeof sasl - 1, refused, sizeof refused - 1),
        SPAN("sasl_auth") SERVER "db.response.status_code=0x0020\nerror.type=0x0020\nERROR\n",
        "SASL, refused");
}

static void check_nobody(void)
{
    struct facts facts = {.peer_address = fact("/run/memcached.sock"),
        .numbers = {[FIELD_VERSION] = VERB_TOUCH},
        .error = fact("connection_closed")};
    check(writer_tell(&memcached_protocol, &facts),
        "db.system.name=memcached\ntouch /run/memcached.sock\ndb.operation.name=touch\n"
        "server.address=/run/memcached.sock\nnetwork.peer.address=/run/memcached.sock\n"
        "error.type=connection_closed\nERROR\n",
        "by a Unix socket, without an answer");
}

static void check_table(void)
{
    bool is_found = true;
    for (int verb = VERB_UNKNOWN + 1; verb < VERB_MIXED; verb++) {
        const struct memcached_verb_row *row = memcached_verb_at((enum memcached_verb)verb);
        uint8_t word[MEMCACHED_WORD_BYTES] = {0};
        memcpy(word, row->name, row->length);
        enum memcached_verb wanted =
            row->kind == LINE_NONE ? VERB_UNKNOWN : (enum memcached_verb)verb;
        is_found &= memcached_verb_find(word) == wanted && row->length < MEMCACHED_WORD_BYTES;
    }
    CHECK(is_found, "each verb of lines is found");
}

int main(void)
{
    check_lines();
    check_messages();
    check_nobody();
    check_table();
    return tap_done();
}
