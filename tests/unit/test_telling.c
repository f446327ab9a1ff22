/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records told as spans: what was put in comes out, in the protocol's words; records that lie about
 * themselves, or change while they are read, never make the reader go outside (run under
 * sanitizers, with the record in a block of its exact size).
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "attribution.h"
#include "library.h"
#include "otlp.h"
#include "tap.h"
#include "telling.h"

enum { HOSTILE = 200000, TEXT_BYTES = 200, BATCH_BYTES = 1024 * 1024 };

static struct telling telling;
static const struct config settings = {
    .attribute_count_limit = 128, .attribute_value_limit = UINT32_MAX};
static uint64_t seed = 0x9E3779B97F4A7C15u;

static uint64_t roll(uint64_t below)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (seed >> 11) % below;
}

union block {
    struct record record;
    uint8_t bytes[RECORD_BYTES_MAX];
};

struct building {
    union block *block;
    uint8_t *at;
};

static struct building begin(union block *block, enum record_kind kind)
{
    memset(block, 0, sizeof(*block));
    block->record.kind = (uint8_t)kind;
    block->record.peer_port = 8080;
    block->record.numbers[FIELD_VERSION] = 11;
    block->record.numbers[FIELD_STATUS] = 200;
    return (struct building){block, (uint8_t *)(&block->record + 1)};
}

static void put(struct building *building, unsigned kind, const char *text)
{
    building->at = record_put_text(building->at, kind, text, strlen(text));
}

static void end(struct building *building)
{
    size_t bytes = (size_t)(building->at - building->block->bytes);
    building->block->record.bytes = (uint32_t)record_rounded(bytes);
}

static void build_request(union block *block)
{
    struct building building = begin(block, RECORD_EXCHANGE);
    block->record.marks = RECORD_SERVER | RECORD_HAS_PARENT | RECORD_HAS_RESPONSE;
    put(&building, FIELD_METHOD, "GET");
    put(&building, FIELD_TARGET, "/cart?sig=secret");
    put(&building, FIELD_HOST, "shop.example");
    put(&building, RECORD_TEXT_PEER, "192.0.2.1");
    put(&building, RECORD_TEXT_TRACE_STATE, "a=1");
    put(&building, RECORD_TEXT_LINKS, "sixteen of tracespan of1sixteen of tracespan of2and more");
    end(&building);
}

static const struct span_attribute *find(const struct span *span, enum attribute key)
{
    for (unsigned i = 0; i < span->attribute_count; i++)
        if (span->attributes[i].key == key)
            return &span->attributes[i];
    return NULL;
}

static bool is_text(struct span_text text, const char *expected)
{
    return text.length == strlen(expected) && memcmp(text.text, expected, text.length) == 0;
}

static void check_text(const struct span *span, enum attribute key, const char *expected)
{
    const struct span_attribute *attribute = find(span, key);
    CHECK(attribute != NULL && attribute->kind == SPAN_VALUE_TEXT &&
              is_text(attribute->text, expected),
        "told: %s", expected);
}

static void test_exchange(void)
{
    static union block block;
    build_request(&block);
    const struct span *span = telling_span(&telling, &block.record, &settings);
    if (!CHECK(span != NULL, "an exchange is told"))
        return;
    CHECK(span->kind == SPAN_KIND_SERVER && span->has_parent && span->status == SPAN_STATUS_UNSET,
        "its kind, parent and status");
    CHECK(is_text(span->name, "GET") && is_text(span->trace_state, "a=1"), "name and tracestate");
    CHECK(span->link_count == 2 && memcmp(span->links + 24 + 16, "span of2", 8) == 0, "two links");
    check_text(span, ATTRIBUTE_URL_PATH, "/cart");
    check_text(span, ATTRIBUTE_URL_QUERY, "sig=REDACTED");
    check_text(span, ATTRIBUTE_SERVER_ADDRESS, "shop.example");
    check_text(span, ATTRIBUTE_NETWORK_PEER_ADDRESS, "192.0.2.1");
    check_text(span, ATTRIBUTE_NETWORK_PROTOCOL_VERSION, "1.1");
}

static void test_handshake(void)
{
    static union block block;
    struct building building = begin(&block, RECORD_EXCHANGE);
    static const char facts[] = "1.3 TLS_AES_128_GCM_SHA256  "; /* no ALPN */
    uint8_t tls[sizeof(facts) - 1 + sizeof(struct record_handshake)];
    struct record_handshake handshake = {1790000000000000000u, 2500999, 1};
    put(&building, FIELD_METHOD, "GET");
    memcpy(tls, facts, sizeof(facts) - 1);
    memcpy(tls + sizeof(facts) - 1, &handshake, sizeof(handshake));
    building.at = record_put_text(building.at, FIELD_TLS, tls, sizeof(tls));
    end(&building);
    const struct span *span = telling_span(&telling, &block.record, &settings);
    if (!CHECK(span != NULL && is_text(span->event.name, "tls.handshake") &&
                   span->event.time_ns == handshake.end_ns && span->event.attribute_count == 4,
            "a handshake is an event"))
        return;
    const struct span_attribute *own = span->attributes + span->attribute_count;
    CHECK(own[0].key == ATTRIBUTE_TLS_PROTOCOL_VERSION && is_text(own[0].text, "1.3") &&
              own[1].key == ATTRIBUTE_TLS_CIPHER && own[2].key == ATTRIBUTE_TLS_RESUMED &&
              own[2].kind == SPAN_VALUE_BOOLEAN && own[2].number == 1 &&
              own[3].key == ATTRIBUTE_BURDOCK_DURATION_US && own[3].number == 2500,
        "what was agreed on, and how long it took");
    check_text(span, ATTRIBUTE_TLS_PROTOCOL_VERSION, "1.3");
    CHECK(find(span, ATTRIBUTE_TLS_RESUMED) == NULL, "the span's own are its own");
    building = begin(&block, RECORD_EXCHANGE);
    put(&building, FIELD_TLS, "1.3 TLS_AES_128_GCM_SHA256  cut short");
    end(&building);
    span = telling_span(&telling, &block.record, &settings);
    CHECK(span != NULL && span->event.name.length == 0, "half of one is none");
}

static void name_code(const uintptr_t addresses[], size_t count, const struct symbol *found[])
{
    static const struct symbol symbols[] = {{"send", "libc.so.6", 0x10}, {"", "libpq.so.5", 0x2345},
        {"look_up", "shop", 0x1f, {"/src/shop.c", 12}}, {"", "", 0}};
    for (size_t i = 0; i < count; i++)
        found[i] = &symbols[addresses[i]];
}

static void test_code(void)
{
    static union block block;
    static const uintptr_t addresses[] = {0, 1, 2, 3};
    struct building building = begin(&block, RECORD_CONNECT);
    building.at = record_put_text(building.at, RECORD_TEXT_STACK, addresses, sizeof(addresses));
    end(&building);
    const struct span *span = telling_span(&telling, &block.record, &settings);
    CHECK(span != NULL && find(span, ATTRIBUTE_CODE_STACKTRACE) == NULL,
        "addresses of a process that is gone are not told");
    telling.name_code = name_code;
    span = telling_span(&telling, &block.record, &settings);
    telling.name_code = NULL;
    check_text(span, ATTRIBUTE_CODE_FUNCTION_NAME, "look_up");
    const struct span_attribute *stack = find(span, ATTRIBUTE_CODE_STACKTRACE);
    static const char lines[] = "send+0x10 (libc.so.6)\nlibpq.so.5+0x2345\nlook_up+0x1f (shop) "
                                "/src/shop.c:12\n0x0000000000000003\n";
    CHECK(stack != NULL && is_text(stack->text, lines), "a line for each frame");
    check_text(span, ATTRIBUTE_CODE_FILE_PATH, "/src/shop.c");
    const struct span_attribute *line = find(span, ATTRIBUTE_CODE_LINE_NUMBER);
    CHECK(line != NULL && line->kind == SPAN_VALUE_INTEGER && line->number == 12, "who made it");
}

static void test_connect(void)
{
    static union block block;
    struct building building = begin(&block, RECORD_CONNECT);
    put(&building, RECORD_TEXT_PEER, "192.0.2.1");
    put(&building, RECORD_TEXT_ERROR, "timeout");
    block.record.rule = RULE_THREAD;
    end(&building);
    const struct span *span = telling_span(&telling, &block.record, &settings);
    if (!CHECK(span != NULL, "an attempt to connect is told"))
        return;
    CHECK(span->kind == SPAN_KIND_CLIENT && span->status == SPAN_STATUS_ERROR &&
              is_text(span->name, "connect"),
        "as a client's failure");
    check_text(span, ATTRIBUTE_SERVER_ADDRESS, "192.0.2.1");
    check_text(span, ATTRIBUTE_ERROR_TYPE, "timeout");
    check_text(span, ATTRIBUTE_BURDOCK_ATTRIBUTION, "thread");
}

static void test_call(void)
{
    static const struct {
        int64_t number;
        const char *name;
    } codes[] = {{5, "SQLITE_BUSY"}, {19 | 8 << 8, "SQLITE_CONSTRAINT_UNIQUE"},
        {19 | 99 << 8, "SQLITE_CONSTRAINT"}, {77, "77"}};
    static union block block;
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        struct building building = begin(&block, RECORD_CALL);
        block.record.protocol = LIBRARY_SQLITE;
        block.record.numbers[FIELD_STATUS] = codes[i].number;
        put(&building, FIELD_QUERY, "SELECT 'secret' FROM t");
        end(&building);
        const struct span *span = telling_span(&telling, &block.record, &settings);
        CHECK(span != NULL && is_text(span->name, "SELECT t") && span->status == SPAN_STATUS_ERROR,
            "a call of a library is told");
        check_text(span, ATTRIBUTE_DB_RESPONSE_STATUS_CODE, codes[i].name);
        check_text(span, ATTRIBUTE_DB_QUERY_TEXT, "SELECT ? FROM t");
    }
    block.record.protocol = LIBRARY_COUNT;
    CHECK(telling_span(&telling, &block.record, &settings) == NULL, "no library of that number");
}

static void test_refused(void)
{
    static union block block;
    const struct span *span;
    build_request(&block);
    block.record.rule = RULE_COUNT;
    span = telling_span(&telling, &block.record, &settings);
    CHECK(span != NULL && find(span, ATTRIBUTE_BURDOCK_ATTRIBUTION) == NULL,
        "no rule of that number");
    build_request(&block);
    block.record.protocol = 200;
    CHECK(telling_span(&telling, &block.record, &settings) == NULL, "no protocol of that number");
    build_request(&block);
    block.record.kind = 77;
    CHECK(telling_span(&telling, &block.record, &settings) == NULL, "no such kind");
    build_request(&block);
    block.record.bytes = RECORD_BYTES_MAX + 8;
    CHECK(telling_span(&telling, &block.record, &settings) == NULL, "longer than a record may be");
    struct building building = begin(&block, RECORD_EXCHANGE);
    put(&building, FIELD_STATUS, "a number is no text");
    end(&building);
    CHECK(telling_span(&telling, &block.record, &settings) == NULL, "a text of no kind");
}

/* The longest texts that can be: everything is told, or cut, and always encoded. */
static void test_long(void)
{
    static union block block;
    static char text[RECORD_BYTES_MAX / 2];
    static uint8_t buffer[BATCH_BYTES];
    struct otlp_batch batch;
    struct building building = begin(&block, RECORD_EXCHANGE);
    for (size_t i = 0; i + 5 < sizeof(text); i += 5)
        memcpy(text + i, "&sig=", 5);
    text[0] = '/';
    text[1] = '?';
    text[sizeof(text) - 1] = '\0';
    put(&building, FIELD_METHOD, "GET");
    put(&building, FIELD_TARGET, text);
    put(&building, FIELD_HOST, "h");
    end(&building);
    const struct span *span = telling_span(&telling, &block.record, &settings);
    otlp_batch_reset(&batch, buffer, sizeof(buffer));
    CHECK(span != NULL && otlp_batch_add(&batch, span, &settings), "long texts are encoded");
    CHECK((size_t)(buffer + sizeof(buffer) - batch.start) < TELLING_SPAN_BYTES_MAX,
        "within what a batch keeps free");
}

static void build_random(union block *block)
{
    char text[TEXT_BYTES];
    static const enum record_kind kinds[] = {
        RECORD_EXCHANGE, RECORD_EXCHANGE, RECORD_CONNECT, RECORD_CALL, RECORD_LOG};
    struct building building = begin(block, kinds[roll(5)]);
    block->record.marks = (uint8_t)roll(8);
    for (unsigned kind = FIELD_NUMBERS; kind < RECORD_TEXTS; kind++) {
        size_t length = roll(3) == 0 ? 0 : (size_t)roll(TEXT_BYTES);
        for (size_t i = 0; i < length; i++)
            text[i] = (char)(roll(8) == 0 ? roll(256) : ' ' + roll(95));
        building.at = record_put_text(building.at, kind, text, length);
    }
    end(&building);
}

static void corrupt(union block *block, uint32_t bytes)
{
    for (unsigned i = 1 + (unsigned)roll(4); i > 0; i--)
        block->bytes[roll(roll(2) ? bytes : sizeof(struct record) + 32)] = (uint8_t)roll(256);
    if (block->record.bytes > bytes || block->record.bytes < sizeof(struct record))
        block->record.bytes = bytes; /* the promise of the caller */
}

static void test_hostile(void)
{
    static union block block;
    static uint8_t buffer[BATCH_BYTES];
    unsigned told = 0, refused = 0, lost = 0, logs = 0;
    for (unsigned i = 0; i < HOSTILE; i++) {
        struct otlp_batch batch;
        build_random(&block);
        corrupt(&block, block.record.bytes);
        struct record *exact = malloc(block.record.bytes);
        memcpy(exact, &block, block.record.bytes);
        const struct log *log = telling_log(&telling, exact);
        otlp_batch_reset(&batch, buffer, sizeof(buffer));
        logs += log != NULL;
        lost += log != NULL && !otlp_batch_add_log(&batch, log, &settings);
        const struct span *span = telling_span(&telling, exact, &settings);
        free(exact); /* the span must not need it */
        otlp_batch_reset(&batch, buffer, sizeof(buffer));
        told += span != NULL;
        refused += span == NULL;
        lost += span != NULL && !otlp_batch_add(&batch, span, &settings);
    }
    CHECK(told > HOSTILE / 10 && refused > HOSTILE / 10 && logs > HOSTILE / 20 && lost == 0,
        "of %u damaged records %u are told, %u as lines, %u refused", HOSTILE, told, logs, refused);
}

/* A record in shared memory changes while it is read. */
static union block shared;
static bool over;

static void *disturb(void *unused)
{
    volatile struct record *record = &shared.record;
    volatile struct record_text *head = (struct record_text *)(&shared.record + 1);
    uint32_t bytes = record->bytes;
    uint16_t length = head->length;
    while (!__atomic_load_n(&over, __ATOMIC_RELAXED)) {
        record->bytes = UINT32_MAX;
        head->length = UINT16_MAX;
        head->kind = UINT16_MAX;
        record->bytes = bytes;
        head->length = length;
        head->kind = FIELD_METHOD;
    }
    return NULL;
}

static void test_race(void)
{
    pthread_t thread;
    unsigned told = 0, tries = 0;
    build_request(&shared);
    pthread_create(&thread, NULL, disturb, NULL);
    for (; tries < 300000 || (told == 0 && tries < 100000000); tries++) /* it may be off its CPU */
        told += telling_span(&telling, &shared.record, &settings) != NULL;
    __atomic_store_n(&over, true, __ATOMIC_RELAXED);
    pthread_join(thread, NULL);
    CHECK(told > 0, "a record that changes meanwhile does no harm (%u of %u told)", told, tries);
}

int main(void)
{
    test_exchange();
    test_handshake();
    test_connect();
    test_code();
    test_call();
    test_refused();
    test_long();
    test_hostile();
    test_race();
    return tap_done();
}
