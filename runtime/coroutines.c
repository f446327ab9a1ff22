/* SPDX-License-Identifier: Apache-2.0 */
#include "coroutines.h"

#include <stddef.h>

#include "carrier.h"
#include "memory.h"
#include "process.h"
#include "thread.h"

enum { SHIFT = 14, PLACES = 1 << SHIFT, REFUSALS = 1024 /* before it is swept again */ };

/* An entry stands at its place or behind it, with no free one between. */
static struct entry {
    const void *coroutine; /* NULL: free */
    uint32_t handle;       /* held */
    bool rests;
} * entries;
static uint32_t count, refusals;
static const struct thread *owner;
static uint32_t epoch; /* a forked child has no hold of its parent's */

static uint32_t place_of(const void *coroutine)
{
    return (uint32_t)((uintptr_t)coroutine * UINT64_C(0x9e3779b97f4a7c15) >> (64 - SHIFT));
}

static uint32_t next(uint32_t at)
{
    return (at + 1) % PLACES;
}

static bool is_mine(void)
{
    return owner != NULL && owner == thread_self && epoch == process.epoch;
}

/* Where it is, or would be. */
static uint32_t seek(const void *coroutine)
{
    uint32_t at = place_of(coroutine);
    while (entries[at].coroutine != NULL && entries[at].coroutine != coroutine)
        at = next(at);
    return at;
}

bool coroutines_find(const void *coroutine, uint32_t *handle)
{
    uint32_t at = is_mine() ? seek(coroutine) : PLACES;
    if (at == PLACES || entries[at].coroutine == NULL)
        return false;
    *handle = entries[at].handle;
    return true;
}

/* What stands behind moves up, but for what has its place after the hole. */
static void take_out(uint32_t hole)
{
    if (entries[hole].rests)
        carrier_rest(entries[hole].handle, false);
    carrier_drop(entries[hole].handle);
    count--;
    for (uint32_t at = next(hole); entries[at].coroutine != NULL; at = next(at)) {
        uint32_t place = place_of(entries[at].coroutine);
        if ((at - place) % PLACES < (at - hole) % PLACES)
            continue;
        entries[hole] = entries[at];
        hole = at;
    }
    entries[hole].coroutine = NULL;
}

void coroutines_forget(const void *coroutine)
{
    uint32_t at = is_mine() && count > 0 ? seek(coroutine) : PLACES;
    if (at != PLACES && entries[at].coroutine != NULL)
        take_out(at);
}

void coroutines_rest(const void *coroutine, bool begins)
{
    uint32_t at = is_mine() ? seek(coroutine) : PLACES;
    if (at == PLACES || entries[at].coroutine == NULL || entries[at].rests == begins)
        return;
    entries[at].rests = begins;
    carrier_rest(entries[at].handle, begins);
}

static void sweep(void)
{
    for (uint32_t at = 0; at < PLACES; at++)
        while (entries[at].coroutine != NULL && !carrier_is_live(entries[at].handle))
            take_out(at); /* another one may stand here now */
}

static bool has_room(void)
{
    if (count < COROUTINES_MAX)
        return true;
    if (refusals++ % REFUSALS == 0)
        sweep();
    return count < COROUTINES_MAX;
}

static bool is_ready(void)
{
    if (is_mine())
        return true;
    if (thread_self == NULL || (owner != NULL && epoch == process.epoch))
        return false;
    struct entry *fresh = memory_map(PLACES * sizeof(*fresh));
    if (fresh == NULL)
        return false;
    if (entries != NULL)
        memory_unmap(entries, PLACES * sizeof(*entries));
    entries = fresh;
    owner = thread_self;
    epoch = process.epoch;
    count = 0;
    return true;
}

void coroutines_keep(const void *coroutine, uint32_t handle)
{
    if (!is_ready() || !has_room()) {
        carrier_drop(handle);
        return;
    }
    entries[seek(coroutine)] = (struct entry){coroutine, handle, false};
    count++;
}
