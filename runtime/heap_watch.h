/* SPDX-License-Identifier: Apache-2.0 */
/* What libburdock-heap.so tells libburdock.so. Any thread, also inside the allocator or a signal
 * handler: none of these allocates, blocks, calls the system or touches errno. */
#pragma once

#include <stddef.h>

struct heap_watch {
    void (*took)(const void *block, size_t bytes); /* it was allocated; NULL is allowed */
    void (*gave)(const void *block);               /* it is about to be freed; NULL is allowed */
    /* These answer 0, to be called last. */
    int (*locked)(void); /* the thread has got a lock */
    int (*unlocked)(void);
    int (*waited)(void); /* it has been woken by another one */
    int (*woke)(void);   /* it has woken another one */
};

/* Exported by libburdock-heap.so; called once, in our constructor. */
void burdock_heap_attach(const struct heap_watch *watch);
