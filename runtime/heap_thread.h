/* SPDX-License-Identifier: Apache-2.0 */
/* What heap.h knows of a thread; all zero: nothing. Its own. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct heap_thread {
    uintptr_t top; /* where its own frames begin; 0: not known */
    size_t stack_bytes;
    uintptr_t low;      /* and how deep it was found to be since `picked`; 0: it was not */
    uint32_t held;      /* the context that it has taken up; 0: none */
    uint64_t held_span; /* its own */
    uint64_t unit;      /* in which it has read one */
    uint64_t span;      /* of `context` */
    uint32_t context;   /* whose request it has just read: what it allocates is for that; 0 */
    uint32_t locks;     /* that it holds */
    uint64_t picked;    /* the last block marked when it got its last lock; 0: not known */
    bool is_over;       /* what it has picked since is of a request that is over */
};
