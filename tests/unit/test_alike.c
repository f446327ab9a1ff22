/* SPDX-License-Identifier: Apache-2.0 */
/* What is copied of a span is what telling makes of the record; what differs is told anew. */
#include <string.h>

#include "alike.h"
#include "tap.h"
#include "telling.h"

static struct config settings;
static struct telling telling;
static struct alike alike;
static uint8_t memory[2][64 * 1024];
static unsigned wrong; /* copies that are not what is told */

union block {
    struct record record;
    _Alignas(8) uint8_t bytes[2 * ALIKE_RECORD_BYTES];
};

static uint8_t *begin(union block *block, uint8_t number)
{
    memset(block, 0, sizeof(*block));
    block->record = (struct record){.kind = RECORD_EXCHANGE,
        .marks = RECORD_SERVER | RECORD_HAS_PARENT | RECORD_HAS_RESPONSE,
        .flags = 1,
        .peer_port = (uint16_t)(40000 + number),
        .start_ns = 1790000000000000000u + number,
        .end_ns = 1790000000000002000u + number,
        .numbers = {[FIELD_VERSION] = 11, [FIELD_STATUS] = 200}};
    memset(block->record.trace_id, number, sizeof(block->record.trace_id));
    memset(block->record.span_id, number + 1, sizeof(block->record.span_id));
    memset(block->record.parent_id, number + 2, sizeof(block->record.parent_id));
    uint8_t *at = record_put_text((uint8_t *)(&block->record + 1), FIELD_METHOD, "GET", 3);
    return record_put_text(at, RECORD_TEXT_PEER, "192.0.2.1", 9);
}

static const struct record *finish(union block *block, uint8_t *at, const char *target)
{
    at = record_put_text(at, FIELD_TARGET, target, strlen(target));
    block->record.bytes = (uint32_t)record_rounded((size_t)(at - block->bytes));
    return &block->record;
}

static const struct record *request(union block *block, uint8_t number, const char *target)
{
    return finish(block, begin(block, number), target);
}

/* As delivery does. */
static bool is_copied(const struct record *record)
{
    struct otlp_batch told, copied;
    otlp_batch_reset(&told, memory[0], sizeof(memory[0]));
    otlp_batch_reset(&copied, memory[1], sizeof(memory[1]));
    wrong += !otlp_batch_add(&told, telling_span(&telling, record, &settings), &settings);
    size_t length = (size_t)(memory[0] + sizeof(memory[0]) - told.start), tail = 0;
    struct alike_entry *entry = alike_find(&alike, record);
    if (entry != NULL && alike_is_kept(entry, record)) {
        wrong += !alike_add(entry, record, &copied) || copied.spans != 1 ||
                 told.limit - told.start != copied.limit - copied.start ||
                 memcmp(told.start, copied.start, length) != 0;
        return true;
    }
    tail = (size_t)(copied.limit - copied.start); /* what stands behind the spans */
    if (entry != NULL && entry->record_bytes == 0)
        alike_keep(entry, record, told.start, length - tail, &(struct measured){0});
    return false;
}

static void test_requests(void)
{
    union block block;
    CHECK(!is_copied(request(&block, 1, "/cart")), "the first one is told");
    CHECK(!is_copied(request(&block, 2, "/cart")), "the second one is told");
    CHECK(is_copied(request(&block, 3, "/cart")), "the third one is copied, of another port too");
    CHECK(!is_copied(request(&block, 4, "/card")), "another path is another span");
    block.record.numbers[FIELD_STATUS] = 404;
    CHECK(!is_copied(&block.record), "another status is");
    request(&block, 5, "/cart");
    block.record.marks &= ~RECORD_HAS_PARENT;
    CHECK(!is_copied(&block.record), "one without a parent is");
    request(&block, 6, "/cart");
    block.record.peer_port = 443;
    CHECK(!is_copied(&block.record), "a port of fewer bytes is told");
    CHECK(is_copied(request(&block, 7, "/cart")), "and what was kept stays");
    request(&block, 8, "/cart");
    block.record.flags = 0;
    CHECK(!is_copied(&block.record), "one that is not sampled is another");
    alike_forget(&alike);
    CHECK(!is_copied(request(&block, 9, "/cart")), "what was forgotten is told");
    CHECK(is_copied(request(&block, 10, "/cart")), "and kept again");
}

/* What comes once takes nobody's place, however much of it comes. */
static void test_many(void)
{
    union block block;
    unsigned copied = 0, others = 0;
    char target[] = "/000000";
    for (unsigned i = 0; i < 20000; i++) {
        for (unsigned digit = 6, rest = i; digit > 0; digit--, rest /= 10)
            target[digit] = (char)('0' + rest % 10);
        others += is_copied(request(&block, 1, target));
        copied += is_copied(request(&block, 1, "/often"));
    }
    CHECK(copied > 19900, "%u of 20000 of one kind were copied", copied);
    CHECK(others == 0, "those of 20000 kinds were told, but for %u", others);
}

/* What is not sampled is counted, and has no span. */
static void test_counted(void)
{
    union block block;
    request(&block, 1, "/counted");
    block.record.flags = 0;
    alike_find(&alike, &block.record);
    struct alike_entry *entry = alike_find(&alike, &block.record);
    if (!CHECK(entry != NULL, "seen twice"))
        return;
    alike_keep(entry, &block.record, NULL, 0, &(struct measured){.is_measured = true});
    block.record.peer_port = 80;
    CHECK(alike_find(&alike, &block.record) == entry && alike_is_kept(entry, &block.record) &&
              entry->span_bytes == 0 && entry->measured.is_measured,
        "it counts where the one before did, whatever its port");
    block.record.flags = 1;
    CHECK(alike_find(&alike, &block.record) != entry, "one that is sampled is another");
}

/* The server's port says which one it is. */
static void test_calls(void)
{
    union block block;
    for (uint8_t i = 0; i < 4; i++) {
        request(&block, i, "/call");
        block.record.marks &= ~RECORD_SERVER;
        block.record.peer_port = 40000;
        CHECK(is_copied(&block.record) == (i > 1), "call %u", i);
    }
    block.record.peer_port = 40001;
    CHECK(!is_copied(&block.record), "of another server");
}

static void test_limits(void)
{
    union block block;
    char target[ALIKE_RECORD_BYTES] = {0};
    uintptr_t stack[] = {(uintptr_t)is_copied, (uintptr_t)request};
    memset(target, 'a', sizeof(target) - 1);
    target[0] = '/';
    for (int i = 0; i < 4; i++)
        CHECK(!is_copied(request(&block, 1, target)), "a large one is told");
    for (int i = 0; i < 4; i++) {
        uint8_t *at = begin(&block, 1);
        at = record_put_text(at, RECORD_TEXT_STACK, stack, sizeof(stack));
        CHECK(!is_copied(finish(&block, at, "/slow")), "one with the code that made it is told");
    }
    struct otlp_batch full;
    for (int i = 0; i < 3; i++)
        is_copied(request(&block, 1, "/full"));
    otlp_batch_reset(&full, memory[0], OTLP_RESOURCE_BYTES_MAX);
    uint8_t *start = full.start;
    struct alike_entry *entry = alike_find(&alike, &block.record);
    CHECK(entry != NULL && alike_is_kept(entry, &block.record) &&
              !alike_add(entry, &block.record, &full) && full.start == start && full.spans == 0,
        "where there is no room nothing is copied");
}

int main(void)
{
    char *environment[] = {NULL}, *arguments[] = {"shop", NULL};
    config_read(&settings, environment, arguments, "shop");
    test_requests();
    test_many();
    test_counted();
    test_calls();
    test_limits();
    CHECK(wrong == 0, "%u copies differ from what is told", wrong);
    return tap_done();
}
