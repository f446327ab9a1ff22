/* SPDX-License-Identifier: Apache-2.0 */
#include "unwind.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "readable.h"
#include "unwind_rule.h"

enum { RULES_MAX = 1024, ADDRESS_BYTES = sizeof(uintptr_t) };

int (*unwind_find_object)(void *address, struct unwind_object *found)
    __attribute__((section(".data")));

/* Rules by address. A row is two words, written by any thread without a lock: the first is mixed
 * with the second, so that halves of two rows do not fit together. */
static struct row {
    uint64_t mixed; /* address and generation, by exclusive or with packed */
    uint64_t packed;
} rows[RULES_MAX];

uint32_t unwind_generation;

static uint64_t key_of(uintptr_t address)
{
    uint64_t generation = __atomic_load_n(&unwind_generation, __ATOMIC_RELAXED);
    return (uint64_t)address ^ generation << 48;
}

/* offset 32 bits, frame_at 16, return_at / 8 in 8, then how; never 0. */
static uint64_t pack(const struct rule *rule)
{
    return (uint64_t)(uint32_t)rule->offset << 32 | (uint64_t)(uint16_t)rule->frame_at << 16 |
           (uint64_t)(uint8_t)(rule->return_at / ADDRESS_BYTES) << 8 | (uint64_t)rule->base << 4 |
           (uint64_t)rule->frame_how << 2 | 1;
}

static struct rule unpack(uint64_t packed)
{
    return (struct rule){.offset = (int32_t)(packed >> 32),
        .frame_at = (int16_t)(packed >> 16),
        .return_at = (int16_t)((int8_t)(packed >> 8) * ADDRESS_BYTES),
        .base = packed >> 4 & 3,
        .frame_how = packed >> 2 & 3,
        .return_how = SAVED_AT};
}

/* What the walk can use; anything else ends it. */
static bool is_usable(const struct rule *rule)
{
    int unit = rule->return_at / ADDRESS_BYTES;
    return rule->base != BASE_UNKNOWN && rule->return_how == SAVED_AT && !rule->is_outermost &&
           rule->return_at % ADDRESS_BYTES == 0 && unit >= INT8_MIN && unit <= INT8_MAX;
}

static struct rule rule_of(uintptr_t address)
{
    struct row *row = &rows[(address ^ address >> 10) % RULES_MAX];
    uint64_t packed = __atomic_load_n(&row->packed, __ATOMIC_RELAXED);
    uint64_t mixed = __atomic_load_n(&row->mixed, __ATOMIC_RELAXED);
    if (packed != 0 && (mixed ^ packed) == key_of(address))
        return unpack(packed);
    struct rule rule = unwind_rule(address);
    if (!is_usable(&rule))
        rule = (struct rule){.base = BASE_UNKNOWN};
    packed = pack(&rule);
    __atomic_store_n(&row->packed, packed, __ATOMIC_RELAXED);
    __atomic_store_n(&row->mixed, key_of(address) ^ packed, __ATOMIC_RELAXED);
    return rule;
}

/* --- the walk ------------------------------------------------------------------------------ */

struct frame {
    uintptr_t address, stack, pointer;
};

static bool read_word(uintptr_t at, uintptr_t *value)
{
    if (at % ADDRESS_BYTES != 0 || !readable((const void *)at, ADDRESS_BYTES))
        return false;
    *value = *(const uintptr_t *)at;
    return true;
}

/* Of code that signs its return addresses (Armv8.3-A, FEAT_PAuth) the address alone; an instruction
 * that older machines pass over. */
static uintptr_t unsigned_address(uintptr_t address)
{
#if defined(__aarch64__)
    register uintptr_t link __asm__("x30") = address;
    __asm__("hint #7" : "+r"(link)); /* XPACLRI */
    return link;
#else
    return address;
#endif
}

/* To the caller's frame. A call's return address may be behind the function's end, so the byte
 * before it is looked for. The stack must get shorter: this ends every circle. */
static bool leave(struct frame *frame)
{
    struct rule rule = rule_of(frame->address - 1);
    if (rule.base == BASE_UNKNOWN)
        return false;
    uintptr_t canonical =
        (rule.base == BASE_STACK ? frame->stack : frame->pointer) + (uintptr_t)rule.offset;
    if (rule.base == BASE_AT_FRAME && !read_word(canonical, &canonical))
        return false;
    if (canonical <= frame->stack ||
        !read_word(canonical + (uintptr_t)rule.return_at, &frame->address) || frame->address == 0)
        return false;
    frame->address = unsigned_address(frame->address);
    uintptr_t base = rule.frame_how == SAVED_AT ? canonical : frame->pointer;
    if ((rule.frame_how == SAVED_AT || rule.frame_how == SAVED_AT_FRAME) &&
        !read_word(base + (uintptr_t)rule.frame_at, &frame->pointer))
        return false;
    if (rule.frame_how == SAVED_UNKNOWN)
        frame->pointer = 0; /* who needs it gets no readable address */
    frame->stack = canonical;
    return true;
}

/* The frame that __builtin_frame_address names holds the caller's frame pointer, then the address
 * it returns to, on both machines; above that, on Arm's, its locals. */
__attribute__((noinline)) size_t unwind(uintptr_t frames[], size_t frames_max)
{
    const uintptr_t *own = __builtin_frame_address(0);
    struct frame frame = {unsigned_address(own[1]), (uintptr_t)__builtin_dwarf_cfa(), own[0]};
    size_t count = 0;
    int saved_errno = errno;
    while (count < frames_max) {
        frames[count++] = frame.address;
        if (!leave(&frame))
            break;
    }
    errno = saved_errno;
    return count;
}

size_t unwind_callers(uintptr_t frames[], size_t frames_max)
{
    struct unwind_object own;
    if (unwind_find_object == NULL || unwind_find_object((void *)unwind_callers, &own) != 0)
        return 0;
    size_t count = unwind(frames, frames_max), ours = 0;
    while (
        ours < count && frames[ours] >= (uintptr_t)own.start && frames[ours] < (uintptr_t)own.end)
        ours++;
    memmove(frames, frames + ours, (count - ours) * sizeof(frames[0]));
    return count - ours;
}
