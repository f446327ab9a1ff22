/* SPDX-License-Identifier: Apache-2.0 */
#include "process.h"

#include <string.h>
#include <time.h>

#include "counters.h"
#include "exporter.h"
#include "memory.h"
#include "ring.h"
#include "sys.h"
#include "thread.h"

#ifndef MADV_WIPEONFORK
#define MADV_WIPEONFORK 18
#endif

enum { PAGE_BYTES = 4096 };

struct process process;
static uint64_t clock_offset_ns;

bool process_start(void)
{
    struct process_page *page = memory_map(PAGE_BYTES);
    if (page == NULL)
        return false;
    if (sys(SYS_madvise, page, PAGE_BYTES, MADV_WIPEONFORK) != 0) {
        memory_unmap(page, PAGE_BYTES);
        return false;
    }
    process.epoch = 1;
    process_clock_refresh();
    process.page = page;
    process.page->alive = 1;
    return true;
}

/* The child's first threads may come here together. */
static bool await_set_up(void)
{
    struct timespec nap = {0, 50 * 1000};
    for (int i = 0; i < 200 && process_is_child() && process_may_call(); i++)
        sys(SYS_nanosleep, &nap, NULL);
    return !process_is_child();
}

bool process_forked(void)
{
    uint32_t expected = 0;
    if (!__atomic_compare_exchange_n(
            &process.page->alive, &expected, 2, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
        return expected == 1 || await_set_up();
    process.epoch++;
    memset(counters, 0, sizeof(counters));
    exporter_forked();
    rings_forked();
    thread_forked();
    __atomic_store_n(&process.page->alive, 1, __ATOMIC_RELEASE);
    return true;
}

void process_enter_sandbox(void)
{
    if (process.page == NULL || thread_in_vfork != 0 || !process_may_call())
        return;
    exporter_stop();
    __atomic_store_n(&process.seccomp, true, __ATOMIC_RELEASE);
}

static uint64_t read_clock(clockid_t clock)
{
    struct timespec time;
    clock_gettime(clock, &time); /* the vDSO: no system call */
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

uint64_t process_monotonic_ns(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

void process_clock_refresh(void)
{
    uint64_t offset = read_clock(CLOCK_REALTIME) - read_clock(CLOCK_MONOTONIC);
    __atomic_store_n(&clock_offset_ns, offset, __ATOMIC_RELAXED);
}

uint64_t process_clock_offset_ns(void)
{
    return __atomic_load_n(&clock_offset_ns, __ATOMIC_RELAXED);
}

void process_break(const char *why)
{
    process.broken_why = why;
    __atomic_store_n(&process.broken, true, __ATOMIC_RELEASE);
}
