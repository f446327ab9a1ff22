/* SPDX-License-Identifier: Apache-2.0 */
/* Pages of our own: private, zero, given only when touched. Any thread that may make system calls.
 */
#pragma once

#include <stddef.h>
#include <sys/mman.h>

#include "sys.h"

/* A variable that every start of a program touches. Those lie together beside what the loader has
 * written to anyway, since each page more costs a start a fault. */
#define AT_START __attribute__((section(".data")))

/* NULL: no memory. Huge pages are refused: one touched word of a sparse table would cost the host
 * two megabytes and the time to clear them. */
static inline void *memory_map(size_t bytes)
{
    long memory = sys(SYS_mmap, 0, bytes, PROT_READ | PROT_WRITE,
        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory < 0 && memory > -4096)
        return NULL;
    sys(SYS_madvise, memory, bytes, MADV_NOHUGEPAGE);
    return (void *)memory;
}

/* Whoever is given the same addresses next has not raced with who had them: ThreadSanitizer, which
 * sees no system call of ours, is told so in its build. */
static inline void memory_unmap(void *memory, size_t bytes)
{
#ifdef __SANITIZE_THREAD__
    munmap(memory, bytes);
#else
    sys(SYS_munmap, memory, bytes);
#endif
}
