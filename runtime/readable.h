/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether memory that the host names can be looked at before the kernel has looked: an address that
 * makes a call answer EFAULT must not end the program because we were there first. Any thread,
 * inside or outside an observe block; keeps errno.
 *
 * Each thread remembers pages of which the kernel said yes, so that buffers in use cost a few
 * instructions. Limits: a page that the host has taken away since is still believed in, and of a
 * buffer the first and the last page are asked for, not those between.
 */
#pragma once

#include "thread.h"

enum { READABLE_PAGE_BYTES = 4096 };

/* Asks the kernel, and remembers. */
bool readable_ask(uintptr_t page);

/* A signal handler may come in between: a page is one word, read once and written once. No page has
 * number 0: nothing can be mapped there. */
static inline uintptr_t *readable_slot(struct thread *self, uintptr_t page)
{
    return &self->readable_pages[(page ^ page >> 8) % THREAD_PAGES_MAX];
}

static inline bool readable_page(uintptr_t page)
{
    struct thread *self = thread_self;
    if (__builtin_expect(self != NULL && *readable_slot(self, page) == page && page != 0, 1))
        return true;
    return readable_ask(page);
}

/* The same of each page of what is read to its end, such as an array of the host's. */
bool readable_all(const void *address, size_t bytes);

/* False also where we may make no system call and do not know. */
static inline bool readable(const void *address, size_t bytes)
{
    uintptr_t first = (uintptr_t)address, last = first + bytes - 1;
    if (bytes == 0)
        return true;
    return last >= first && readable_page(first / READABLE_PAGE_BYTES) &&
           readable_page(last / READABLE_PAGE_BYTES);
}
