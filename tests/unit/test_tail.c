/* SPDX-License-Identifier: Apache-2.0 */
/* What is kept of traces that were not sampled: decided by the end of a request. */
#include "config.h"
#include "counters.h"
#include "propagation.h"
#include "tail.h"
#include "tap.h"

#include <stdlib.h>
#include <string.h>

static char *arguments[] = {"/usr/bin/shop", NULL};
static struct tail tail;
static union {
    struct record record;
    uint8_t bytes[RECORD_BYTES_MAX];
} block;

static void open_with(const char *keep)
{
    config_read(&config, (char *[]){(char *)keep, NULL}, arguments, "/usr/bin/shop");
    CHECK(tail_open(&tail, &config), "%s", keep);
}

static uint64_t count(enum counter counter)
{
    return __atomic_load_n(&counters[counter], __ATOMIC_RELAXED);
}

/* A span of `id`; under `parent`, or if that is 0 a request that was served. */
static bool offer(
    uint32_t id, uint32_t parent, uint64_t took_ms, enum span_status status, uint32_t bytes)
{
    struct span span = {.kind = parent == 0 ? SPAN_KIND_SERVER : SPAN_KIND_CLIENT,
        .status = (uint8_t)status,
        .has_parent = parent != 0,
        .flags = 0x100,
        .start_ns = 1000,
        .end_ns = 1000 + took_ms * 1000000};
    memcpy(span.span_id, &id, sizeof(id));
    memcpy(span.parent_id, &parent, sizeof(parent));
    memset(block.bytes, (int)id, bytes);
    block.record.bytes = bytes;
    block.record.flags = 0x100;
    block.record.kept = 0;
    memcpy(block.record.span_id, span.span_id, sizeof(span.span_id));
    return tail_offer(&tail, &block.record, &span);
}

/* Takes all: their ids in the order in which they came, each checked to be whole. */
static const char *taken(enum record_kept reason)
{
    static char text[4096];
    const struct record *record;
    text[0] = '\0';
    while ((record = tail_take(&tail)) != NULL) {
        uint32_t id;
        memcpy(&id, record->span_id, sizeof(id));
        bool is_whole = record->kept == reason;
        for (uint32_t i = sizeof(*record); i < record->bytes; i++)
            is_whole &= ((const uint8_t *)record)[i] == (uint8_t)id;
        snprintf(text + strlen(text), 16, "%s%u ", is_whole ? "" : "broken ", id);
    }
    return text;
}

enum { SMALL = sizeof(struct record), LARGE = 5000 };
static const enum span_status FINE = SPAN_STATUS_UNSET, BAD = SPAN_STATUS_ERROR;

static void test_requests(void)
{
    open_with("BURDOCK_KEEP=errors,slow=500ms");
    CHECK(!offer(2, 1, 1, FINE, SMALL) && !offer(3, 1, 1, FINE, LARGE), "calls wait");
    CHECK(!offer(1, 0, 10, FINE, SMALL) && *taken(0) == '\0', "for nothing");
    CHECK(count(COUNTER_SPANS_MEASURED) == 3, "all of it was only measured");
    offer(12, 11, 1, FINE, LARGE);
    offer(13, 11, 1, FINE, SMALL);
    offer(22, 21, 1, FINE, SMALL);
    CHECK(offer(11, 0, 10, BAD, RECORD_BYTES_MAX) &&
              strcmp(taken(RECORD_KEPT_ERROR), "11 12 13 ") == 0,
        "a request that failed is kept with its calls, not those of others");
    CHECK(offer(14, 11, 1, FINE, SMALL) && strcmp(taken(RECORD_KEPT_ERROR), "14 ") == 0,
        "also with those that end later");
    CHECK(offer(21, 0, 500, FINE, SMALL) && strcmp(taken(RECORD_KEPT_SLOW), "21 22 ") == 0,
        "one that was slow, too");
    CHECK(offer(31, 30, 1, BAD, SMALL) && strcmp(taken(RECORD_KEPT_ERROR), "31 ") == 0 &&
              offer(32, 30, 1, FINE, SMALL) && offer(30, 0, 1, FINE, SMALL) &&
              strcmp(taken(RECORD_KEPT_ERROR), "30 ") == 0,
        "a call that failed keeps all that comes after it, and its request");
    CHECK(!offer(40, 0, 499, FINE, SMALL), "fast enough");
}

static void test_choices(void)
{
    open_with("BURDOCK_KEEP=errors");
    CHECK(!offer(1, 0, 1000000, FINE, SMALL) && offer(2, 0, 0, BAD, SMALL), "errors alone");
    taken(RECORD_KEPT_ERROR);
    open_with("BURDOCK_KEEP=slow=2s");
    CHECK(!offer(1, 0, 0, BAD, SMALL) && !offer(2, 0, 1999, FINE, SMALL) &&
              offer(3, 0, 2000, FINE, SMALL),
        "what is slow alone");
    taken(RECORD_KEPT_SLOW);
    static const char *const bad[] = {"BURDOCK_KEEP=slow",
        "BURDOCK_KEEP=slow=", "BURDOCK_KEEP=slow=s", "BURDOCK_KEEP=slow=1h", "BURDOCK_KEEP=error"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        config_read(&config, (char *[]){(char *)bad[i], NULL}, arguments, "/usr/bin/shop");
        CHECK(config.problem_count == 1 && !config.keeps && !config.records_unsampled,
            "%s: a problem, nothing is kept", bad[i]);
    }
    config_read(&config, (char *[]){"BURDOCK_KEEP=errors", "OTEL_TRACES_EXPORTER=none", NULL},
        arguments, "/usr/bin/shop");
    CHECK(!config.keeps, "nothing is kept where no spans are exported");
}

static void test_dropped(void)
{
    open_with("BURDOCK_KEEP=errors");
    struct span span = {.kind = SPAN_KIND_SERVER, .status = SPAN_STATUS_ERROR};
    block.record.bytes = SMALL;
    block.record.flags = 0x100 | FLAG_DROPPED;
    CHECK(!tail_offer(&tail, &block.record, &span), "what a rule has dropped nothing brings back");
}

/* More than there is room for, in calls and in requests: the oldest go, and the sanitizers see to
 * the rest. */
static void test_bounds(void)
{
    open_with("BURDOCK_KEEP=errors");
    uint64_t before = count(COUNTER_TAIL_EVICTED);
    for (uint32_t i = 1; i <= 3000; i++)
        offer(100000 + i, i, 1, FINE, LARGE);
    CHECK(count(COUNTER_TAIL_EVICTED) - before > 2000, "no room for all");
    CHECK(offer(1, 0, 1, BAD, SMALL) && strcmp(taken(RECORD_KEPT_ERROR), "1 ") == 0,
        "the oldest request has lost its calls");
    CHECK(offer(3000, 0, 1, BAD, SMALL) && strcmp(taken(RECORD_KEPT_ERROR), "3000 103000 ") == 0,
        "the newest has not");
    for (uint32_t i = 10000; i < 20000; i++)
        offer(200000 + i, i, 1, FINE, SMALL);
    CHECK(offer(19999, 0, 1, BAD, SMALL) && strcmp(taken(RECORD_KEPT_ERROR), "19999 219999 ") == 0,
        "the same of requests");
    tail_age(&tail);
    CHECK(offer(19998, 0, 1, BAD, SMALL) && strcmp(taken(RECORD_KEPT_ERROR), "19998 219998 ") == 0,
        "nothing is too old yet");
}

/* Against a simple model: what is kept of many requests in any order is what they would keep. */
static void test_any_order(void)
{
    enum { REQUESTS = 500, CALLS = 3 };
    open_with("BURDOCK_KEEP=errors");
    unsigned kept = 0, wanted = 0;
    srand(7);
    for (unsigned round = 0; round < 20; round++) {
        for (uint32_t i = 1; i <= REQUESTS * CALLS; i++) {
            uint32_t request = 1000000 * (round + 1) + i % REQUESTS;
            offer(request + i * 1000, request, 1, FINE, SMALL + (uint32_t)rand() % 1500);
        }
        for (uint32_t i = 0; i < REQUESTS; i++) {
            bool fails = rand() % 4 == 0;
            wanted += fails ? 1 + CALLS : 0;
            if (offer(1000000 * (round + 1) + i, 0, 1, fails ? BAD : FINE, SMALL))
                while (tail_take(&tail) != NULL)
                    kept++;
        }
    }
    CHECK(kept == wanted, "%u spans are kept of what failed, wanted %u", kept, wanted);
}

int main(void)
{
    test_requests();
    test_choices();
    test_dropped();
    test_bounds();
    test_any_order();
    return tap_done();
}
