/* SPDX-License-Identifier: Apache-2.0 */
/* What the kernel refuses to a process of several threads, ours among them (unshare(2), setns(2));
 * asked by name or by number. Any thread, before the original. */
#pragma once

#include <linux/sched.h>
#include <sys/syscall.h>

#include "exporter.h"
#include "process.h"
#include "sys.h"

enum { NAMESPACE_TYPE = 0xb703 }; /* NS_GET_NSTYPE of ioctl_ns(2) */

static inline void alone_for_unshare(unsigned long flags)
{
    if (flags & (CLONE_NEWUSER | CLONE_THREAD | CLONE_SIGHAND | CLONE_VM))
        exporter_step_aside();
}

static inline void alone_for_setns(int fd, unsigned long kind)
{
    long wanted = (long)kind;
    if (wanted == 0 && process.page != NULL && process_may_call())
        wanted = sys(SYS_ioctl, fd, NAMESPACE_TYPE);
    if (wanted > 0 && (wanted & (CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWTIME)))
        exporter_step_aside();
}
