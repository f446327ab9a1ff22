/* SPDX-License-Identifier: Apache-2.0 */
#include "readable.h"

#include <errno.h>
#include <sys/mman.h>

#include "sys.h"

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#endif

enum { SIGNAL_SET_BYTES = 8 };

/* The page is fetched as for a load, which is what the host's call is about to do. Before
 * Linux 5.14 there is no such advice; then the kernel copies a set of signals out of the page
 * before it finds that there is no such operation, which valgrind takes for a use of all of its
 * bytes. */
static bool kernel_can_read(uintptr_t address)
{
    const int no_operation = -1;
    long answer = sys(SYS_madvise, address, READABLE_PAGE_BYTES, MADV_POPULATE_READ);
    if (answer != -EINVAL)
        return answer == 0;
    return sys(SYS_rt_sigprocmask, no_operation, address, NULL, SIGNAL_SET_BYTES) != -EFAULT;
}

bool readable_ask(uintptr_t page)
{
    if (page == 0 || !process_may_call() || !kernel_can_read(page * READABLE_PAGE_BYTES))
        return false;
    if (thread_self != NULL)
        *readable_slot(thread_self, page) = page;
    return true;
}

bool readable_all(const void *address, size_t bytes)
{
    uintptr_t first = (uintptr_t)address, last = first + bytes - 1;
    bool is_readable = bytes == 0 || last >= first;
    for (uintptr_t page = first / READABLE_PAGE_BYTES;
         is_readable && bytes > 0 && page <= last / READABLE_PAGE_BYTES; page++)
        is_readable = readable_page(page);
    return is_readable;
}
