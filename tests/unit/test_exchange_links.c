/* SPDX-License-Identifier: Apache-2.0 */
/* Links of an exchange: few in it, many in a block, more counted. */
#include <stdio.h>
#include <string.h>

#include "exchange.h"
#include "span.h"
#include "tap.h"
#include "telling.h"
#include "text_pool.h"

static struct telling telling;

/* All alike in their first and last bytes. */
static void link_one(struct exchange *exchange, unsigned number)
{
    char text[TRACEPARENT_LENGTH + 1];
    snprintf(text, sizeof(text), "00-%024x%08x-%08x%08x-01", 1, number % 251 + 1, 1, number);
    exchange_link(exchange, (const uint8_t *)text, TRACEPARENT_LENGTH);
}

static bool is_link(struct fact links, unsigned at, unsigned number)
{
    const struct trace_link *link = (const struct trace_link *)links.text + at;
    return link->trace_id[15] == number % 251 + 1 && link->span_id[6] == number >> 8 &&
           link->span_id[7] == (number & 0xff);
}

static uint32_t dropped(struct fact links)
{
    uint32_t count = 0;
    if (links.length % sizeof(struct trace_link) != 0)
        memcpy(&count, links.text + SPAN_LINKS_MAX * sizeof(struct trace_link), sizeof(count));
    return count;
}

/* Each twice, in both orders. */
static void test_count(unsigned count)
{
    static struct exchange exchange;
    uint32_t expected = count < SPAN_LINKS_MAX ? count : SPAN_LINKS_MAX;
    for (unsigned i = 0; i < count; i++)
        link_one(&exchange, i);
    for (unsigned i = count; i-- > 0;)
        link_one(&exchange, i);
    exchange_link(&exchange, (const uint8_t *)"00-x", 4);
    struct fact links = exchange_links(&exchange);
    bool are_all = exchange.link_count == expected;
    for (unsigned i = 0; i < exchange.link_count; i++)
        are_all &= is_link(links, i, i);
    CHECK(are_all, "%u contexts: %u links, in their order", count, exchange.link_count);
    CHECK(dropped(links) == count - expected &&
              links.length == expected * sizeof(struct trace_link) + (count > expected ? 4 : 0),
        "... and %u more", count - expected);
    exchange_unlink(&exchange);
    CHECK(exchange.link_count == 0, "... given back");
}

/* A block is taken with the ninth, and only then. */
static void test_block(void)
{
    static struct exchange exchange;
    uint32_t first = text_take(true);
    text_give(true, first);
    for (unsigned i = 0; i < CANDIDATES_MAX; i++)
        link_one(&exchange, i);
    uint32_t still = text_take(true);
    text_give(true, still);
    link_one(&exchange, CANDIDATES_MAX);
    uint32_t other = text_take(true);
    exchange_unlink(&exchange);
    uint32_t again = text_take(true);
    CHECK(first == still && other != first && again == first, "one block, from the ninth on");
    text_give(true, again);
    text_give(true, other);
}

/* The number is exact as far as is remembered, and at least never too low beyond. */
static void test_flood(void)
{
    static struct exchange exchange;
    for (unsigned i = 0; i < 5000; i++)
        link_one(&exchange, i);
    CHECK(exchange.link_count == SPAN_LINKS_MAX &&
              dropped(exchange_links(&exchange)) == 5000 - SPAN_LINKS_MAX,
        "a flood of contexts is counted");
    exchange_unlink(&exchange);
}

static void test_told(unsigned count)
{
    static struct exchange exchange;
    static union {
        struct record record;
        uint8_t bytes[8192];
    } block;
    static const struct config settings;
    for (unsigned i = 0; i < count; i++)
        link_one(&exchange, i);
    struct fact links = exchange_links(&exchange);
    memset(&block, 0, sizeof(block));
    block.record.kind = RECORD_CONNECT;
    uint8_t *end = record_put_text(
        (uint8_t *)(&block.record + 1), RECORD_TEXT_LINKS, links.text, links.length);
    block.record.bytes = (uint32_t)record_rounded((size_t)(end - block.bytes));
    const struct span *span = telling_span(&telling, &block.record, &settings);
    uint32_t expected = count < SPAN_LINKS_MAX ? count : SPAN_LINKS_MAX;
    CHECK(span != NULL && span->link_count == expected && span->links_dropped == count - expected &&
              is_link((struct fact){span->links, 0}, expected - 1, expected - 1),
        "%u links are told", count);
    exchange_unlink(&exchange);
}

/* Records of somebody else: more than a span has. */
static void test_too_many(void)
{
    static union {
        struct record record;
        uint8_t bytes[16384];
    } block;
    static const uint8_t links[400 * sizeof(struct trace_link)];
    static const struct config settings;
    block.record.kind = RECORD_CONNECT;
    uint8_t *end =
        record_put_text((uint8_t *)(&block.record + 1), RECORD_TEXT_LINKS, links, sizeof(links));
    block.record.bytes = (uint32_t)record_rounded((size_t)(end - block.bytes));
    const struct span *span = telling_span(&telling, &block.record, &settings);
    CHECK(span != NULL && span->link_count == SPAN_LINKS_MAX &&
              span->links_dropped == 400 - SPAN_LINKS_MAX,
        "a record with too many is cut");
}

int main(void)
{
    static const unsigned counts[] = {1, 8, 9, 10, 127, 128, 129, 300, 1280};
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++)
        test_count(counts[i]);
    test_block();
    test_flood();
    test_told(8);
    test_told(9);
    test_told(128);
    test_told(129);
    test_too_many();
    return tap_done();
}
