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

uint32_t descriptor_set(int fd, uint64_t entry)
{
    if ((uint32_t)fd >= descriptor_limit)
        return SLOT_PLAIN;
    if (entry != SLOT_UNKNOWN) {
        uint32_t highest = __atomic_load_n(&descriptor_highest, __ATOMIC_RELAXED);
        while (highest < (uint32_t)fd && !__atomic_compare_exchange_n(&descriptor_highest, &highest,
                                             fd, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
            ;
    }
    return (uint32_t)__atomic_exchange_n(&descriptor_table[fd], entry, __ATOMIC_ACQ_REL);
}
