/* SPDX-License-Identifier: Apache-2.0 */
#include "descriptor.h"

#include "memory.h"

uint64_t *descriptor_table AT_START;
uint32_t descriptor_limit AT_START;
uint32_t descriptor_highest;

bool descriptor_start(void)
{
    /* Address space only: a page is touched per 512 descriptors in use. */
    descriptor_table = memory_map(DESCRIPTORS_MAX * sizeof(uint64_t));
    if (descriptor_table == NULL)
        return false;
    descriptor_limit = DESCRIPTORS_MAX;
    return true;
}

static void reach(uint32_t fd)
{
    uint32_t highest = __atomic_load_n(&descriptor_highest, __ATOMIC_RELAXED);
    while (highest < fd && !__atomic_compare_exchange_n(&descriptor_highest, &highest, fd, true,
                               __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        ;
}

uint32_t descriptor_set(int fd, uint64_t entry)
{
    if ((uint32_t)fd >= descriptor_limit)
        return SLOT_PLAIN;
    if (entry != SLOT_UNKNOWN)
        reach((uint32_t)fd);
    return (uint32_t)__atomic_exchange_n(&descriptor_table[fd], entry, __ATOMIC_ACQ_REL);
}

bool descriptor_is_new(int fd)
{
    if (descriptor_slot(fd) != SLOT_UNKNOWN)
        return false;
    reach((uint32_t)fd);
    return descriptor_replace(fd, SLOT_UNKNOWN, SLOT_PLAIN);
}
