/* SPDX-License-Identifier: Apache-2.0 */
#include "sharing.h"

bool sharing_seen;

/* Races lose a turn, no more. */
enum { LOOPS = 64, TURNS = 3 };

static struct loop {
    int32_t epoll;
    uint32_t last;    /* the thread that waited on it last; 0: none */
    uint32_t turns;   /* how often one came back to it after others */
    uint64_t threads; /* a bit for each that has waited on it */
} loops[LOOPS];
static uint32_t handed_over; /* answers */

static void see(void)
{
    __atomic_store_n(&sharing_seen, true, __ATOMIC_RELAXED);
}

static void take_turn(struct loop *loop, uint32_t thread)
{
    uint64_t bit = UINT64_C(1) << thread % 64;
    uint64_t before = __atomic_fetch_or(&loop->threads, bit, __ATOMIC_RELAXED);
    __atomic_store_n(&loop->last, thread, __ATOMIC_RELAXED);
    if ((before & bit) != 0 && __atomic_add_fetch(&loop->turns, 1, __ATOMIC_RELAXED) >= TURNS)
        see();
}

void sharing_handed_over(void)
{
    if (__atomic_add_fetch(&handed_over, 1, __ATOMIC_RELAXED) >= TURNS)
        see();
}

void sharing_waited(uint32_t thread, int epoll, bool is_new)
{
    struct loop *loop = &loops[(uint32_t)epoll % LOOPS];
    bool is_same = !is_new && __atomic_load_n(&loop->epoll, __ATOMIC_RELAXED) == epoll;
    if (is_same && __atomic_load_n(&loop->last, __ATOMIC_RELAXED) == thread)
        return; /* the usual case: a loop with a thread of its own */
    if (!is_same) {
        __atomic_store_n(&loop->threads, 0, __ATOMIC_RELAXED);
        __atomic_store_n(&loop->turns, 0, __ATOMIC_RELAXED);
        __atomic_store_n(&loop->epoll, epoll, __ATOMIC_RELAXED);
    }
    take_turn(loop, thread);
}

void sharing_forked(void)
{
    __atomic_store_n(&sharing_seen, false, __ATOMIC_RELAXED);
    __atomic_store_n(&handed_over, 0, __ATOMIC_RELAXED);
    for (int i = 0; i < LOOPS; i++)
        __atomic_store_n(&loops[i].epoll, -1, __ATOMIC_RELAXED);
}
