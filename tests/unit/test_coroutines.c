/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Coroutines by their addresses: what was kept is found, and nothing else, however they come and
 * go; each holds its request once, until it is forgotten; what does not fit is not known, and those
 * of requests that are over make room; neither another thread nor a forked child finds any.
 */
#include <stdlib.h>

#include "carrier.h"
#include "context.h"
#include "coroutines.h"
#include "process.h"
#include "tap.h"
#include "thread.h"

enum { ADDRESSES = 3000, REQUESTS = 16, ROUNDS = 200000 };

static struct thread self, other;
static struct context *requests[REQUESTS];
static char blocks[COROUTINES_MAX + 1][16];

static uint32_t held_by(const struct context *context)
{
    return context->references - 1; /* the test itself has one */
}

static void keep(const void *coroutine, struct context *context)
{
    coroutines_keep(coroutine, carrier_hold(context->index));
}

static void test_come_and_go(void)
{
    static struct context *kept[ADDRESSES];
    uint32_t wrong = 0, expected[REQUESTS] = {0};
    srand(1);
    for (int round = 0; round < ROUNDS; round++) {
        uint32_t at = (uint32_t)rand() % ADDRESSES, handle = 0;
        bool is_known = coroutines_find(blocks[at], &handle);
        wrong += is_known != (kept[at] != NULL) || (is_known && handle != kept[at]->index);
        if (is_known) {
            coroutines_rest(blocks[at], rand() % 2);
            coroutines_forget(blocks[at]);
        } else
            keep(blocks[at], requests[round % REQUESTS]);
        kept[at] = is_known ? NULL : requests[round % REQUESTS];
    }
    CHECK(wrong == 0, "what was kept is found, and nothing else (%u)", wrong);
    for (int i = 0; i < ADDRESSES; i++)
        for (int r = 0; r < REQUESTS; r++)
            expected[r] += kept[i] == requests[r];
    for (int r = 0; r < REQUESTS; r++)
        wrong += held_by(requests[r]) != expected[r] || requests[r]->rests != 0;
    CHECK(wrong == 0, "each holds its request once");
    for (int i = 0; i < ADDRESSES; i++)
        coroutines_forget(blocks[i]);
    for (int r = 0; r < REQUESTS; r++)
        wrong += held_by(requests[r]);
    CHECK(wrong == 0, "none holds it when all are forgotten (%u)", wrong);
}

static void test_full(void)
{
    uint32_t handle, known = 0;
    for (int i = 0; i < COROUTINES_MAX; i++)
        keep(blocks[i], requests[i % 2]);
    keep(blocks[COROUTINES_MAX], requests[0]);
    CHECK(!coroutines_find(blocks[COROUTINES_MAX], &handle), "one too many is not known");
    CHECK(held_by(requests[0]) == COROUTINES_MAX / 2, "nor does it hold its request");
    requests[1]->ended = true;
    for (int i = 0; i < 2000; i++) /* not looked for each time */
        keep(blocks[COROUTINES_MAX], requests[0]), coroutines_forget(blocks[COROUTINES_MAX]);
    keep(blocks[COROUTINES_MAX], requests[0]);
    CHECK(coroutines_find(blocks[COROUTINES_MAX], &handle), "those that are over make room");
    for (int i = 0; i < COROUTINES_MAX; i++)
        known += coroutines_find(blocks[i], &handle) && handle == requests[0]->index;
    CHECK(known == COROUTINES_MAX / 2 && held_by(requests[1]) == 0, "and only those (%u)", known);
}

static void test_others(void)
{
    uint32_t handle;
    thread_self = &other;
    keep(blocks[1], requests[2]);
    CHECK(!coroutines_find(blocks[0], &handle) && !coroutines_find(blocks[1], &handle),
        "another thread finds nothing, and keeps nothing");
    coroutines_forget(blocks[0]);
    thread_self = &self;
    CHECK(coroutines_find(blocks[0], &handle), "nor does it forget");
    process.epoch++;
    CHECK(!coroutines_find(blocks[0], &handle), "a forked child finds nothing");
    keep(blocks[1], requests[2]);
    CHECK(coroutines_find(blocks[1], &handle) && !coroutines_find(blocks[0], &handle),
        "and begins with nothing");
}

int main(void)
{
    static struct process_page page = {1};
    process.page = &page;
    process.epoch = 1;
    thread_self = &self;
    for (int i = 0; i < REQUESTS; i++) {
        requests[i] = context_take();
        requests[i]->epoch = process.epoch;
    }
    test_come_and_go();
    test_full();
    test_others();
    return tap_done();
}
