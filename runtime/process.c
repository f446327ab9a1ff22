/* SPDX-License-Identifier: Apache-2.0 */
#include "process.h"

#include <fcntl.h>
#include <string.h>
#include <sys/auxv.h>
#include <time.h>

#include "connection_counts.h"
#include "counters.h"
#include "descriptor.h"
#include "exporter.h"
#include "kept.h"
#include "memory.h"
#include "pooling.h"
#include "ring.h"
#include "sys.h"
#include "thread.h"

#ifndef MADV_WIPEONFORK
#define MADV_WIPEONFORK 18
#endif

enum { PAGE_BYTES = 4096 };

struct process process AT_START;
static uint64_t clock_offset_ns;

/* The whole page that lies in here. Were it aligned by the linker, all that is zero at first would
 * begin a page of its own behind what the loader has written to. */
static uint8_t pages[2 * PAGE_BYTES];

bool process_start(void)
{
    void *page = (void *)(((uintptr_t)pages + PAGE_BYTES - 1) & ~(uintptr_t)(PAGE_BYTES - 1));
    if (sys(SYS_madvise, page, PAGE_BYTES, MADV_WIPEONFORK) != 0)
        return false;
    process.epoch = 1;
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
    counters_forked();
    connection_counts_forked();
    pooling_forked();
    exporter_forked();
    kept_forked();
    rings_forked();
    thread_forked();
    __atomic_store_n(&process.page->alive, 1, __ATOMIC_RELEASE);
    return true;
}

/* Does the kernel's vDSO read the time by itself? If it does not know how to read the machine's
 * clock, it makes a system call. */
static bool clock_is_free(void)
{
    static const char *const names[] = {
        "tsc\n", "arch_sys_counter\n", "hyperv_clocksource_tsc_page\n"};
    char name[64] = "";
    if (getauxval(AT_SYSINFO_EHDR) == 0)
        return false;
    long file = sys(SYS_openat, AT_FDCWD,
        "/sys/devices/system/clocksource/clocksource0/current_clocksource", O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return false;
    sys(SYS_read, file, name, sizeof(name) - 1);
    sys(SYS_close, file);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return false;
}

void process_enter_sandbox(bool has_clock)
{
    if (process.page == NULL || thread_in_vfork != 0 || !process_may_call())
        return;
    exporter_stop();
    if (!has_clock || !clock_is_free()) {
        descriptor_limit = 0; /* nothing is observed any more */
        process.clockless = true;
    }
    __atomic_store_n(&process.seccomp, true, __ATOMIC_RELEASE);
}

static uint64_t read_clock(clockid_t clock)
{
    struct timespec time;
    if (process.clockless && !thread_is_exempt())
        return 0; /* the exporter, if it still runs, came before the sandbox */

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
    uint64_t offset = __atomic_load_n(&clock_offset_ns, __ATOMIC_RELAXED);
    if (__builtin_expect(offset != 0, 1))
        return offset;
    process_clock_refresh();
    return __atomic_load_n(&clock_offset_ns, __ATOMIC_RELAXED);
}

void process_break(const char *why)
{
    process.broken_why = why;
    __atomic_store_n(&process.broken, true, __ATOMIC_RELEASE);
    exporter_wake(true); /* it tells others */
}
