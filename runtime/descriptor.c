/* SPDX-License-Identifier: Apache-2.0 */
#include "descriptor.h"

#include "memory.h"

uint32_t *descriptor_table;
uint32_t descriptor_limit;
uint32_t descriptor_highest;

bool descriptor_start(void)
{
    /* Address space only: a page is touched per 1024 descriptors in use. */
    descriptor_table = memory_map(DESCRIPTORS_MAX * sizeof(uint32_t));
    if (descriptor_table == NULL)
        return false;
    descriptor_limit = DESCRIPTORS_MAX;
    return true;
}

uint32_t descriptor_set(int fd, uint32_t slot)
{
    if ((uint32_t)fd >= descriptor_limit)
        return SLOT_PLAIN;
    if (slot != SLOT_UNKNOWN) {
        uint32_t highest = __atomic_load_n(&descriptor_highest, __ATOMIC_RELAXED);
        while (highest < (uint32_t)fd && !__atomic_compare_exchange_n(&descriptor_highest, &highest,
                                             fd, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
            ;
    }
    return __atomic_exchange_n(&descriptor_table[fd], slot, __ATOMIC_ACQ_REL);
}
