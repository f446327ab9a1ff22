/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls that one loaded object makes by a name. Where the name is found in front of us (an
 * executable that has the library inside), no hook of ours is ever asked: then the entry of that
 * object's own table (ELF specification, "Global Offset Table") says where its calls go.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct bind_row {
    const char *name;
    void *expected; /* where the linker leads to */
    void *ours;
};

/* Leads the calls to ours, in each object whose path ends like this, for as long as the object is
 * loaded. Answers how many entries were changed; none that leads elsewhere. Any thread that may
 * make system calls, not in a signal handler. */
size_t hooks_bind(const char *ending, const struct bind_row *rows, size_t count);

/* Constructor, after hooks_resolve: our own calls of what is done with memory and strings go to the
 * C library. A program may have functions of these names in front of it, as ThreadSanitizer's are:
 * those judge us by what they know of the program, find races, and end it with another status.
 * libc: an address within it. */
void hooks_bind_own(const void *libc);
