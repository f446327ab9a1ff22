/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What each descriptor number stands for: a flat table, two loads to ask.
 *
 *   table[fd] is SLOT_UNKNOWN (never seen, or closed), SLOT_PLAIN (nothing to observe), SLOT_LOG
 *   or SLOT_STRANGE (logs.h: only if logs are joined, or in an heir of process.h), SLOT_LISTENER,
 *   or SLOT_FIRST + index of a connection in its lower half and that connection's generation in
 *   its upper half: which connection it is, is known without touching it
 *   descriptor_limit == 0 while inert: every number is then plain
 *
 * | who                              | may                                          |
 * | any host thread                  | read a slot, replace it by exchange          |
 * | a vfork child                    | nothing: it borrows the parent's memory      |
 * glibc closes and opens descriptors behind our back, so a slot can be stale; whoever creates a
 * descriptor resets its slot, and identity is checked before anything is written into a stream.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "ours.h"

enum {
    SLOT_UNKNOWN,
    SLOT_PLAIN,
    SLOT_LOG,
    SLOT_STRANGE,
    SLOT_LISTENER,
    SLOT_FIRST,
    DESCRIPTORS_MAX = 1024 * 1024
};

OURS uint64_t *descriptor_table;
OURS uint32_t descriptor_limit;
OURS uint32_t descriptor_highest; /* no slot above it was ever set */

bool descriptor_start(void); /* constructor; false: no memory, stay inert */

static inline uint64_t descriptor_entry(int fd)
{
    if ((uint32_t)fd >= descriptor_limit)
        return SLOT_PLAIN;
    return __atomic_load_n(
        &descriptor_table[fd], __ATOMIC_ACQUIRE); /* then its connection is whole */
}

static inline uint32_t descriptor_slot(int fd)
{
    return (uint32_t)descriptor_entry(fd);
}

/* Sets an entry only if it is still what the caller saw. */
static inline bool descriptor_replace(int fd, uint64_t seen, uint64_t entry)
{
    return (uint32_t)fd < descriptor_limit &&
           __atomic_compare_exchange_n(
               &descriptor_table[fd], &seen, entry, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}

/* Sets an entry and answers what the slot in it was. */
uint32_t descriptor_set(int fd, uint64_t entry);
/* True: the number was not known, so it is not what it was when it was last asked about; it is
 * plain from now on. */
bool descriptor_is_new(int fd);
