/* SPDX-License-Identifier: Apache-2.0 */
#include "readable.h"

#include <errno.h>

#include "sys.h"

enum { SIGNAL_SET_BYTES = 8 };

/* The kernel copies the set of signals before it finds that there is no such operation. */
bool readable_ask(uintptr_t page)
{
    const int no_operation = -1;
    if (page == 0 || !process_may_call() ||
        sys(SYS_rt_sigprocmask, no_operation, page * READABLE_PAGE_BYTES, NULL, SIGNAL_SET_BYTES) ==
            -EFAULT)
        return false;
    if (thread_self != NULL)
        *readable_slot(thread_self, page) = page;
    return true;
}
