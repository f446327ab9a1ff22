/* SPDX-License-Identifier: Apache-2.0 */
/* System calls past libc: what the peer of a victim uses, so that only the victim's side is
 * observed. Results as the kernel gives them: -errno on failure. */
#pragma once

#include "../../runtime/sys.h"

static inline long raw_read(int fd, void *buffer, size_t size)
{
    return sys_call(SYS_read, fd, (long)buffer, (long)size, 0, 0, 0);
}

static inline long raw_write(int fd, const void *buffer, size_t size)
{
    return sys_call(SYS_write, fd, (long)buffer, (long)size, 0, 0, 0);
}

static inline long raw_accept(int fd)
{
    return sys_call(SYS_accept4, fd, 0, 0, 0, 0, 0);
}
