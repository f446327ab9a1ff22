/* SPDX-License-Identifier: Apache-2.0 */
/* What a program asks for before it restricts itself; asked by name or by number. Any thread,
 * before the original. */
#pragma once

#include <linux/prctl.h>
#include <linux/seccomp.h>
#include <stddef.h>

#include "process.h"

/* seccomp(2). Strict mode takes the cycle counter away, too (x86). Without a filter the host only
 * asks what the kernel can do. */
static inline void sandbox_by_seccomp(unsigned long operation, unsigned long filter)
{
    if (operation == SECCOMP_SET_MODE_STRICT ||
        (operation == SECCOMP_SET_MODE_FILTER && filter != 0))
        process_enter_sandbox(operation == SECCOMP_SET_MODE_FILTER);
}

static inline void sandbox_by_prctl(unsigned long option, unsigned long mode, unsigned long filter)
{
    if (option == PR_SET_SECCOMP && mode == SECCOMP_MODE_STRICT)
        sandbox_by_seccomp(SECCOMP_SET_MODE_STRICT, 0);
    else if (option == PR_SET_SECCOMP && mode == SECCOMP_MODE_FILTER)
        sandbox_by_seccomp(SECCOMP_SET_MODE_FILTER, filter);
    else if (option == PR_SET_TSC && mode == PR_TSC_SIGSEGV)
        process_enter_sandbox(false);
}
