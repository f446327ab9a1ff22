/* SPDX-License-Identifier: Apache-2.0 */
/* When an event loop is isolated, what it is told then, and when no longer. */
#include "isolation.h"
#include "tap.h"

enum { EPOLL = 5, BATCH = 8, TRIAL = 3, BIG = 1024 };

static struct isolation loop;
static bool is_trusted = true;

/* The loop waits, and makes so many calls of what it was given. */
static void turn(int calls, int doubtful, bool sleeps)
{
    isolation_waited(&loop, EPOLL, 4, sleeps, is_trusted);
    for (int i = 0; i < calls; i++)
        isolation_called(&loop, i < doubtful);
}

static void turns(int count, int doubtful)
{
    for (int i = 0; i < count; i++)
        turn(BATCH, doubtful, true);
}

static void begin(int doubtful)
{
    loop = (struct isolation){0};
    turns(17, doubtful);
    turn(0, 0, true);
}

static void test_need(void)
{
    begin(0);
    CHECK(!isolation_is_on(&loop), "a loop whose calls are certain is left alone");
    turns(20, 1);
    CHECK(isolation_is_on(&loop), "one of eight doubtful is need");
    loop = (struct isolation){0};
    for (int i = 0; i < 300; i++) {
        isolation_waited(&loop, EPOLL, 1, true, true);
        isolation_called(&loop, true);
    }
    CHECK(!isolation_is_on(&loop), "events that come one by one cannot be taken apart");
    for (int i = 0; i < 300; i++) {
        isolation_waited(&loop, EPOLL, 1, i % 2 == 0, true);
        isolation_called(&loop, true);
    }
    CHECK(isolation_is_on(&loop), "but what is put off can be done first");
    loop = (struct isolation){0};
    for (int i = 0; i < 300; i++) {
        isolation_waited(&loop, EPOLL + i % 2, 4, true, true);
        isolation_called(&loop, true);
    }
    CHECK(!isolation_is_on(&loop), "a thread with two loops is left alone");
}

static void test_excluded(void)
{
    begin(BATCH);
    loop.phase = ISOLATION_NEVER;
    CHECK(!isolation_is_on(&loop), "it ends when a carrier tells of tasks");
    turns(1000, BATCH);
    CHECK(!isolation_is_on(&loop), "for good");
}

static void test_named(void)
{
    loop = (struct isolation){0};
    for (int i = 0; i < 1000; i++) {
        isolation_waited(&loop, EPOLL, 4, true, true);
        isolation_called(&loop, true);
        isolation_named(&loop);
    }
    CHECK(!isolation_is_on(&loop), "a proxy that says itself whose its calls are is left alone");
}

static void test_asks(void)
{
    int most = BIG;
    begin(BATCH);
    CHECK(!isolation_asks(&loop, EPOLL + 1, &most, true) && most == BIG,
        "another descriptor is not its loop");
    CHECK(!isolation_asks(&loop, EPOLL, &most, true) && most == 1, "one event at a time");
    most = -1;
    CHECK(!isolation_asks(&loop, EPOLL, &most, false) && most == -1,
        "what the kernel refuses is left to it");
    begin(BATCH);
    most = BIG;
    CHECK(!isolation_asks(&loop, EPOLL, &most, false) && most == 1,
        "not while it is at the events that it was given together before");
    isolation_asks(&loop, EPOLL, &most, true);
    isolation_waited(&loop, EPOLL, 1, true, true);
    CHECK(isolation_asks(&loop, EPOLL, &most, false) && isolation_asks(&loop, EPOLL, &most, false),
        "there is nothing more until it has done what it put off");
    CHECK(!isolation_asks(&loop, EPOLL, &most, true), "who would sleep has done it");
    isolation_waited(&loop, EPOLL, 0, true, true);
    CHECK(isolation_asks(&loop, EPOLL, &most, false), "so it is after a time-out");
    isolation_waited(&loop, EPOLL, 1, false, true);
    CHECK(!isolation_asks(&loop, EPOLL, &most, false),
        "given an event while it had more to do, it is not told that there is none");
}

static void test_restless(void)
{
    int most = BIG, told = 0;
    begin(BATCH);
    isolation_asks(&loop, EPOLL, &most, true);
    isolation_waited(&loop, EPOLL, 1, true, true);
    while (isolation_asks(&loop, EPOLL, &most, false))
        told++;
    CHECK(told == 64 && !isolation_is_on(&loop), "a loop that never sleeps is given its events");
}

static void test_help(void)
{
    begin(BATCH);
    is_trusted = false;
    turns(200, BATCH);
    CHECK(isolation_is_on(&loop), "trust takes its time");
    is_trusted = true;
    turns(34, 1);
    CHECK(isolation_is_on(&loop) && loop.phase == ISOLATION_HELPS, "it has helped");
    turns(500, 1);
    CHECK(isolation_is_on(&loop), "and stays");
    turns(34, BATCH);
    CHECK(!isolation_is_on(&loop), "until it does not help any more");
}

static void test_distrusted(void)
{
    begin(0);
    loop.phase = ISOLATION_HELPS;
    is_trusted = false;
    turns(34, BATCH);
    CHECK(loop.phase == ISOLATION_SETTLES,
        "while it is not trusted nothing says that it does not help");
    CHECK(
        isolation_settles(&loop) && !isolation_settles(&loop), "what was under way is over, once");
    is_trusted = true;
    turns(34, 0);
    CHECK(loop.phase == ISOLATION_HELPS && !isolation_settles(&loop), "it helps again");
}

static void test_vain(void)
{
    int windows = 0;
    begin(BATCH);
    for (int trial = 0; trial < TRIAL; trial++) {
        for (windows = 0; !isolation_is_on(&loop) && windows < 10000; windows++)
            turns(1, BATCH);
        CHECK(isolation_is_on(&loop), "a trial");
        for (windows = 0; isolation_is_on(&loop) && windows < 10000; windows++)
            turns(1, BATCH);
        CHECK(!isolation_is_on(&loop), "in vain");
    }
    turns(100000, BATCH);
    CHECK(!isolation_is_on(&loop), "three are enough");
}

int main(void)
{
    test_need();
    test_excluded();
    test_named();
    test_asks();
    test_restless();
    test_help();
    test_distrusted();
    test_vain();
    return tap_done();
}
