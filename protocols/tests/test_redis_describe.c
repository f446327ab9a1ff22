/* SPDX-License-Identifier: Apache-2.0 */
/* Commands as they are sent, and the spans that tell them; and pipelines beyond the limit. */
#include "redis.h"
#include "tap.h"
#include "writer.h"

#include <stdlib.h>

extern const struct protocol redis_protocol;

/* --- one command -------------------------------------------------------------------------- */

struct taker {
    struct sink sink;
    char texts[FIELD_COUNT][1024];
    struct facts facts;
};

static bool take(struct sink *sink, const struct event *event)
{
    struct taker *taker = (struct taker *)sink;
    if (event->kind == EVENT_TEXT) {
        struct fact *fact = &taker->facts.texts[event->field];
        memcpy(taker->texts[event->field] + fact->length, event->text, event->length);
        fact->text = (const uint8_t *)taker->texts[event->field];
        fact->length += (uint32_t)event->length;
    } else if (event->kind == EVENT_NUMBER) {
        taker->facts.numbers[event->field] = event->number;
    }
    return true;
}

static void feed(void *state, enum direction direction, const char *bytes, struct sink *sink)
{
    size_t length = strlen(bytes);
    if (redis_protocol.feed(state, direction, (const uint8_t *)bytes, length, sink) != length) {
        abort();
    }
}

static struct fact fact(const char *text)
{
    return (struct fact){(const uint8_t *)text, (uint32_t)strlen(text)};
}

static const char *tell(const char *command, const char *answer)
{
    static struct taker taker;
    static _Alignas(8) uint8_t state[STATE_BYTES_MAX];
    taker = (struct taker){.sink = {take}};
    taker.facts.peer_address = fact("192.0.2.9");
    taker.facts.peer_port = 6379;
    redis_protocol.start(state, DIRECTION_OUT);
    feed(state, DIRECTION_OUT, command, &taker.sink);
    feed(state, DIRECTION_IN, answer, &taker.sink);
    return writer_tell(&redis_protocol, &taker.facts);
}

#define SERVER                                                                   \
    "db.namespace=0\nserver.address=192.0.2.9\nnetwork.peer.address=192.0.2.9\n" \
    "server.port=6379\nnetwork.peer.port=6379\n"

static void check_span(void)
{
    CHECK(
        strcmp(tell("*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$6\r\nsecret\r\n", "+OK\r\n"),
            "db.system.name=redis\nSET\ndb.operation.name=SET\ndb.query.text=SET key ?\n" SERVER) ==
            0,
        "a command");
    CHECK(strcmp(tell("*2\r\n$4\r\nLLEN\r\n$1\r\nk\r\n", "-WRONGTYPE Operation\r\n"),
              "db.system.name=redis\nLLEN\ndb.operation.name=LLEN\ndb.query.text=LLEN k\n" SERVER
              "db.response.status_code=WRONGTYPE\nerror.type=WRONGTYPE\nERROR\n") == 0,
        "an error");
    CHECK(strstr(tell("*2\r\n$6\r\nSELECT\r\n$2\r\n12\r\n", "+OK\r\n"), "db.namespace=12\n"),
        "a database");
}

/* --- texts --------------------------------------------------------------------------------- */

/* Words separated by blanks, as an array. */
static const char *array_of(const char *words)
{
    static char array[8192];
    char copy[4096];
    size_t count = 0, used = 0;
    snprintf(copy, sizeof copy, "%s", words);
    for (const char *at = words; *at != '\0'; at++) {
        count += *at == ' ';
    }
    used += (size_t)snprintf(array, sizeof array, "*%zu\r\n", count + 1);
    for (char *word = strtok(copy, " "); word != NULL; word = strtok(NULL, " ")) {
        used += (size_t)snprintf(
            array + used, sizeof array - used, "$%zu\r\n%s\r\n", strlen(word), word);
    }
    return array;
}

static void check_text(const char *command, const char *expected)
{
    char wanted[2048];
    snprintf(wanted, sizeof wanted, "\ndb.query.text=%s\n", expected);
    const char *told = tell(command, "+OK\r\n");
    if (!CHECK(strstr(told, wanted) != NULL, "%s", expected)) {
        fprintf(stderr, "%s", told);
    }
}

static void check_messages(void)
{
    static const char *const rows[][5] = {
        {"XADD s * f S", "XADD", "send", "s", NULL},
        {"publish c S", "PUBLISH", "send", "c", NULL},
        {"XREAD COUNT 1 STREAMS s 0", "XREAD", "receive", "s", NULL},
        {"XREADGROUP GROUP g c NOACK streams s >", "XREADGROUP", "receive", "s", "g"},
        {"XREADGROUP GROUP g c STREAMS a b > >", "XREADGROUP", "receive", NULL, "g"},
        {"XACK s g 1-0 2-0", "XACK", "settle", "s", "g"},
        {"SPUBLISH __keyspace@0__:k S", "SPUBLISH", "send", "__keyspace@0__:k", NULL},
        {"lpush q S", "LPUSH", "send", "q", NULL},
        {"RPOPLPUSH q w", "RPOPLPUSH", "receive", "q", NULL},
        {"BRPOP q 0", "BRPOP", "receive", "q", NULL},
        {"BLPOP q r 0", "BLPOP", "receive", NULL, NULL},
    };
    static const char *const names[] = {"", "messaging.operation.name", "messaging.operation.type",
        "messaging.destination.name", "messaging.consumer.group.name"};
    protocol_edit_messages(true, true);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *told = tell(array_of(rows[i][0]), "+OK\r\n");
        bool is_right =
            strstr(told, "\nmessaging.system=redis\n") != NULL && strstr(told, "\ndb.") == NULL;
        for (size_t j = 1; j < 5; j++) {
            char wanted[256];
            snprintf(wanted, sizeof wanted, "\n%s=%s%s", names[j],
                rows[i][j] == NULL ? "" : rows[i][j], rows[i][j] == NULL ? "" : "\n");
            is_right = is_right && (strstr(told, wanted) != NULL) == (rows[i][j] != NULL);
        }
        if (!CHECK(is_right, "%s", rows[i][0])) {
            fprintf(stderr, "%s", told);
        }
    }
    protocol_edit_messages(true, false);
    CHECK(strstr(tell(array_of("LPUSH q S"), "+OK\r\n"), "\ndb.operation.name=LPUSH\n") != NULL,
        "a list is no queue if nobody says so");
}

static void check_texts(void)
{
    static const char *const rows[][2] = {
        {"GET k", "GET k"},
        {"set k S EX 10", "set k ? ? ?"},
        {"SETEX k 10 S", "SETEX k 10 ?"},
        {"MSET a S b S", "MSET a ? b ?"},
        {"HSET h f S g S", "HSET h f ? g ?"},
        {"HGETALL h", "HGETALL h"},
        {"HMGET h f g", "HMGET h f g"},
        {"LPUSH l S S", "LPUSH l ? ?"},
        {"LRANGE l 0 -1", "LRANGE l 0 -1"},
        {"ZADD z 1 S", "ZADD z ? ?"},
        {"EVAL S 2 a b S S", "EVAL ? 2 a b ? ?"},
        {"EVALSHA abc 1 k S", "EVALSHA abc 1 k ?"},
        {"EVAL S x S", "EVAL ? x ?"},
        {"FCALL f 0 S", "FCALL f 0 ?"},
        {"AUTH S", "AUTH ?"},
        {"AUTH user S", "AUTH ? ?"},
        {"HELLO 3 AUTH user S", "HELLO 3 ? ? ?"},
        {"CONFIG SET requirepass S", "CONFIG SET requirepass ?"},
        {"CONFIG SET a S masterauth S", "CONFIG SET a ? masterauth ?"},
        {"CONFIG GET maxmemory", "CONFIG GET maxmemory"},
        {"ACL SETUSER bob >S", "ACL SETUSER bob ?"},
        {"MIGRATE h 6379 k 0 10 AUTH S", "MIGRATE h 6379 k 0 10 ? ?"},
        {"CLIENT SETINFO LIB-NAME redis-py", "CLIENT SETINFO LIB-NAME redis-py"},
        {"SCRIPT LOAD S", "SCRIPT LOAD ?"},
        {"FUNCTION LOAD S", "FUNCTION LOAD ?"},
        {"SADD s S S S S S S S S S S S S S S S S", "SADD s ? ? ? ? ? ? ? ? ? ? ? ? ? ? ? ?"},
        {"SADD s S S S S S S S S S S S S S S S S S", "SADD s ? ? ? ? ? ? ? ? ? ? ? ? ? ? ? ? ..."},
        {"FT.SEARCH i S", "FT.SEARCH ? ?"},
        {"GEORADIUSBYMEMBER_RO k S", "GEORADIUSBYMEMBER_RO ? ?"},
        {"PING S", "PING ?"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        check_text(array_of(rows[i][0]), rows[i][1]);
    }
    check_text("*2\r\n$3\r\nGET\r\n$8\r\nmy \"key\\\r\n", "GET \"my \\\"key\\\\\"");
    check_text("*2\r\n$3\r\nGET\r\n$4\r\na\n\x01\x7f\r\n", "GET \"a\\x0a\\x01\\x7f\"");
    check_text("*2\r\n$3\r\nGET\r\n$5\r\nk\xc3\xa4se\r\n", "GET k\xc3\xa4se");
    check_text("*3\r\n$4\r\nMGET\r\n$0\r\n\r\n$1\r\nb\r\n", "MGET \"\" b");
    check_text("SET key secret\r\n", "SET key ?");
    check_text("MSET a S b S\r\n", "MSET a ? b ?");
    check_text("SET \"my key\" 'S S'\r\n", "SET \"my key\" ?");
    check_text("AUTH \"S \\\" S\" S\r\n", "AUTH ? ?");
    check_text(" PING \r\n", "PING");
}

/* What is beyond the limit is cut, and says so. */
static void check_cut(void)
{
    char words[2048] = "MGET", expected[2048];
    for (int i = 0; i < 100; i++) {
        strcat(words, " key:1");
    }
    const char *told = strstr(tell(array_of(words), "+OK\r\n"), "db.query.text=");
    /* *101 and the name take 16 bytes, a key 11: 38 of them fit, and 6 bytes of the next. */
    snprintf(expected, sizeof expected, "db.query.text=%.*s ke...\n", 4 + 38 * 6, words);
    if (!CHECK(strncmp(told, expected, strlen(expected)) == 0, "a long command is cut")) {
        fprintf(stderr, "%s%s", told, expected);
    }
}

/* --- the table ------------------------------------------------------------------------------ */

static void check_table(void)
{
    uint16_t rows = redis_command_row((const uint8_t *)"ZUNIONSTORE", 11);
    bool is_found = true, is_sorted = true;
    for (uint16_t row = 1; row <= rows; row++) {
        const char *name = redis_command_at(row)->name;
        char small[REDIS_WORD_BYTES_MAX];
        size_t length = strnlen(name, REDIS_WORD_BYTES_MAX);
        for (size_t i = 0; i < length; i++) {
            bool is_letter = name[i] >= 'A' && name[i] <= 'Z';
            small[i] = (char)(is_letter ? name[i] | 0x20 : name[i]);
        }
        is_found &= redis_command_row((const uint8_t *)small, length) == row;
        is_sorted &=
            row == 1 || memcmp(redis_command_at(row - 1)->name, name, REDIS_WORD_BYTES_MAX) < 0;
    }
    CHECK(rows > 200 && is_sorted, "the table is in order");
    CHECK(is_found, "each of its %d commands is found, in small letters", rows);
    CHECK(redis_command_row((const uint8_t *)"GETT", 4) == 0 &&
              redis_command_row((const uint8_t *)"", 0) == 0 &&
              redis_command_row((const uint8_t *)"G\0T", 3) == 0,
        "and no other");
}

/* --- pipelines ------------------------------------------------------------------------------ */

struct counter {
    struct sink sink;
    uint32_t begun, ended, open, open_max;
    uint64_t commands; /* of what ended */
    int64_t batch;     /* of the exchange that ends next */
};

static bool count(struct sink *sink, const struct event *event)
{
    struct counter *counter = (struct counter *)sink;
    if (event->kind == EVENT_BEGIN) {
        counter->begun++;
        counter->open++;
        counter->open_max = counter->open > counter->open_max ? counter->open : counter->open_max;
    } else if (event->kind == EVENT_NUMBER && event->field == FIELD_BATCH) {
        counter->batch = event->number;
    } else if (event->kind == EVENT_END) {
        counter->ended++;
        counter->open--;
        counter->commands += counter->batch > 0 ? (uint64_t)counter->batch : 1;
        counter->batch = 0;
    }
    return true;
}

/* Sends and answers by turns, `ahead` commands at most in flight, and sees that all are told. */
static void check_pipeline(uint32_t ahead, uint32_t turn, uint32_t turns, const char *what)
{
    static _Alignas(8) uint8_t state[STATE_BYTES_MAX];
    struct counter counter = {.sink = {count}};
    uint32_t in_flight = 0, sent = 0;
    redis_protocol.start(state, DIRECTION_OUT);
    for (uint32_t i = 0; i < turns; i++) {
        for (uint32_t j = 0; j < turn && in_flight < ahead; j++, in_flight++, sent++) {
            feed(state, DIRECTION_OUT, "*1\r\n$4\r\nPING\r\n", &counter.sink);
        }
        for (uint32_t j = 0; j < turn / 3 && in_flight > 0; j++, in_flight--) {
            feed(state, DIRECTION_IN, "+PONG\r\n", &counter.sink);
        }
    }
    for (; in_flight > 0; in_flight--) {
        feed(state, DIRECTION_IN, "+PONG\r\n", &counter.sink);
    }
    CHECK(counter.commands == sent && counter.open == 0 && counter.open_max <= REDIS_OPEN_MAX,
        "%s: %u commands, %u exchanges, %u open at once", what, sent, counter.begun,
        counter.open_max);
    CHECK(ahead > REDIS_OPEN_MAX || counter.begun == sent, "%s: exact up to the limit", what);
}

static void check_pipelines(void)
{
    check_pipeline(REDIS_OPEN_MAX, 3000, 10, "as many as fit");
    check_pipeline(REDIS_OPEN_MAX + 1, 3000, 10, "one more");
    check_pipeline(10000, 10000, 5, "ten thousand");
    check_pipeline(3000, 7, 5000, "a few at a time");
    check_pipeline(3000, 1500, 50, "many at a time");
}

/* What changes the meaning of answers is seen inside a batch, too. */
static void check_marks_in_batch(void)
{
    static _Alignas(8) uint8_t state[STATE_BYTES_MAX];
    struct counter counter = {.sink = {count}};
    const struct redis *redis = (const struct redis *)state;
    redis_protocol.start(state, DIRECTION_OUT);
    for (int i = 0; i < 2000; i++) {
        feed(state, DIRECTION_OUT, "*1\r\n$4\r\nPING\r\n", &counter.sink);
    }
    feed(state, DIRECTION_OUT, "*2\r\n$6\r\nSELECT\r\n$1\r\n7\r\n", &counter.sink);
    feed(state, DIRECTION_OUT, "*3\r\n$9\r\nSUBSCRIBE\r\n$1\r\na\r\n$1\r\nb\r\n", &counter.sink);
    feed(state, DIRECTION_OUT, "*1\r\n$4\r\nPI", &counter.sink); /* half of one more */
    for (int i = 0; i < 2000; i++) {
        feed(state, DIRECTION_IN, "+PONG\r\n", &counter.sink);
    }
    feed(state, DIRECTION_IN, "+OK\r\n*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n", &counter.sink);
    CHECK(redis->database == 7 && redis->answered == 2001 && counter.ended == 1023,
        "a database is selected inside a batch, a subscription half answered");
    feed(state, DIRECTION_IN, "*3\r\n$9\r\nsubscribe\r\n$1\r\nb\r\n:2\r\n", &counter.sink);
    CHECK(
        redis->answered == 2002 && counter.open == 1, "the batch waits for the half of a command");
    redis_protocol.finish(state, DIRECTION_IN, &counter.sink);
    CHECK(counter.open == 0 && counter.commands == 2002, "which does not count, if it never ends");
}

int main(void)
{
    check_span();
    check_messages();
    check_texts();
    check_cut();
    check_table();
    check_pipelines();
    check_marks_in_batch();
    return tap_done();
}
