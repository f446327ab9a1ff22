/* SPDX-License-Identifier: Apache-2.0 */
/* System calls past libc: what the peer of a victim uses, so that only the victim's side is
 * observed. Results as the kernel gives them: -errno on failure. */
#pragma once

#include <stddef.h>
#include <sys/syscall.h>

static inline long raw_call(long number, long a, long b, long c, long d, long e, long f)
{
    long result;
#if defined(__x86_64__)
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = f;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
#else
    register long x8 __asm__("x8") = number;
    register long x0 __asm__("x0") = a;
    register long x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c;
    register long x3 __asm__("x3") = d;
    register long x4 __asm__("x4") = e;
    register long x5 __asm__("x5") = f;
    __asm__ volatile("svc 0"
                     : "+r"(x0)
                     : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
                     : "memory");
    result = x0;
#endif
    return result;
}

static inline long raw_read(int fd, void *buffer, size_t size)
{
    return raw_call(SYS_read, fd, (long)buffer, (long)size, 0, 0, 0);
}

static inline long raw_write(int fd, const void *buffer, size_t size)
{
    return raw_call(SYS_write, fd, (long)buffer, (long)size, 0, 0, 0);
}

static inline long raw_accept(int fd)
{
    return raw_call(SYS_accept4, fd, 0, 0, 0, 0, 0);
}
