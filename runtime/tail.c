/* SPDX-License-Identifier: Apache-2.0 */
#include "tail.h"

#include <string.h>

#include "counters.h"
#include "memory.h"
#include "process.h"
#include "propagation.h"

enum { BLOCKS = 8192, BLOCK_TEXT = 504, GROUPS = 4096, BUCKETS = 4096, WAIT_SECONDS = 60 };
_Static_assert(BLOCKS *BLOCK_TEXT > RECORD_BYTES_MAX, "there is room for one record");

struct block {
    uint32_t next;        /* of the same record, or free */
    uint32_t next_record; /* of its group; of a record's first block */
    uint8_t text[BLOCK_TEXT];
};

/* A request that was served, and what was done for it. */
struct group {
    uint8_t root[8]; /* its span id */
    uint64_t since_ns;
    uint16_t reason; /* enum record_kept; 0: not decided */
    uint32_t first, last;
    uint32_t next; /* in its bucket, or free */
    uint32_t older, newer;
};

struct tail_memory {
    struct block blocks[BLOCKS + 1];
    struct group groups[GROUPS + 1];
    uint32_t buckets[BUCKETS];
    uint32_t free_block, fresh_block; /* those from fresh on were never used */
    uint32_t free_group, fresh_group;
    uint32_t oldest, newest;
    uint32_t taking; /* the next record to be taken, of a group that has given it up */
    uint16_t reason; /* of those that are being taken */
    bool is_offered; /* the one offered is still to be taken; it is in scratch */
    _Alignas(8) uint8_t scratch[RECORD_BYTES_MAX];
};

bool tail_open(struct tail *tail, const struct config *config)
{
    tail->config = config;
    tail->memory = NULL;
    if (config->keeps)
        tail->memory = memory_map(sizeof(struct tail_memory));
    return tail->memory != NULL;
}

/* --- records in blocks ---------------------------------------------------------------------- */

static struct record *scratch(struct tail_memory *memory)
{
    return (struct record *)memory->scratch;
}

static uint32_t take_block(struct tail_memory *memory)
{
    uint32_t index = memory->free_block;
    if (index != 0)
        memory->free_block = memory->blocks[index].next;
    else if (memory->fresh_block < BLOCKS)
        index = ++memory->fresh_block;
    if (index != 0)
        memory->blocks[index].next = 0;
    return index;
}

static void give_blocks(struct tail_memory *memory, uint32_t index)
{
    while (index != 0) {
        struct block *block = &memory->blocks[index];
        uint32_t next = block->next;
        block->next = memory->free_block;
        memory->free_block = index;
        index = next;
    }
}

/* What is in scratch. 0: there is no room. */
static uint32_t put_record(struct tail_memory *memory)
{
    uint32_t bytes = scratch(memory)->bytes, first = 0, *link = &first;
    for (uint32_t at = 0; at < bytes; at += BLOCK_TEXT) {
        uint32_t left = bytes - at;
        *link = take_block(memory);
        if (*link == 0) {
            give_blocks(memory, first);
            return 0;
        }
        struct block *block = &memory->blocks[*link];
        memcpy(block->text, memory->scratch + at, left < BLOCK_TEXT ? left : BLOCK_TEXT);
        link = &block->next;
    }
    memory->blocks[first].next_record = 0;
    return first;
}

static void get_record(struct tail_memory *memory, uint32_t index)
{
    uint32_t at = 0;
    for (; index != 0 && at + BLOCK_TEXT <= sizeof(memory->scratch); at += BLOCK_TEXT) {
        memcpy(memory->scratch + at, memory->blocks[index].text, BLOCK_TEXT);
        index = memory->blocks[index].next;
    }
    if (index != 0)
        memcpy(memory->scratch + at, memory->blocks[index].text, sizeof(memory->scratch) - at);
}

/* Its blocks are free from now on. Answers the next one of its group. */
static uint32_t give_record(struct tail_memory *memory, uint32_t index)
{
    uint32_t next = memory->blocks[index].next_record;
    give_blocks(memory, index);
    return next;
}

/* --- groups --------------------------------------------------------------------------------- */

static uint32_t *bucket_of(struct tail_memory *memory, const uint8_t root[8])
{
    uint64_t bits;
    memcpy(&bits, root, sizeof(bits));
    return &memory->buckets[(bits * UINT64_C(0x9E3779B97F4A7C15) >> 32) % BUCKETS];
}

static struct group *find(struct tail_memory *memory, const uint8_t root[8])
{
    uint32_t index = *bucket_of(memory, root);
    while (index != 0 && memcmp(memory->groups[index].root, root, 8) != 0)
        index = memory->groups[index].next;
    return index == 0 ? NULL : &memory->groups[index];
}

/* Whatever waits in it is nothing. */
static void give_group(struct tail_memory *memory, struct group *group)
{
    uint32_t index = (uint32_t)(group - memory->groups), *link = bucket_of(memory, group->root);
    for (uint32_t record = group->first; record != 0; record = give_record(memory, record))
        counter_add(COUNTER_SPANS_MEASURED, 1);
    while (*link != index)
        link = &memory->groups[*link].next;
    *link = group->next;
    *(group->older == 0 ? &memory->oldest : &memory->groups[group->older].newer) = group->newer;
    *(group->newer == 0 ? &memory->newest : &memory->groups[group->newer].older) = group->older;
    group->next = memory->free_group;
    memory->free_group = index;
}

/* The oldest makes room: one record always finds some. */
static void give_up_oldest(struct tail_memory *memory)
{
    struct group *group = &memory->groups[memory->oldest];
    if (group->reason == 0)
        counter_add(COUNTER_TAIL_EVICTED, 1);
    give_group(memory, group);
}

static struct group *take_group(struct tail_memory *memory, const uint8_t root[8])
{
    if (memory->free_group == 0 && memory->fresh_group == GROUPS)
        give_up_oldest(memory);
    uint32_t index = memory->free_group, *bucket = bucket_of(memory, root);
    if (index != 0)
        memory->free_group = memory->groups[index].next;
    else
        index = ++memory->fresh_group;
    struct group *group = &memory->groups[index];
    *group = (struct group){
        .since_ns = process_monotonic_ns(), .next = *bucket, .older = memory->newest};
    memcpy(group->root, root, sizeof(group->root));
    *bucket = index;
    *(memory->newest == 0 ? &memory->oldest : &memory->groups[memory->newest].newer) = index;
    memory->newest = index;
    return group;
}

/* What is in scratch waits; what waits already gives up to make room for it. */
static void wait_for(struct tail_memory *memory, const uint8_t root[8])
{
    uint32_t record;
    while ((record = put_record(memory)) == 0)
        give_up_oldest(memory);
    struct group *group = find(memory, root);
    if (group == NULL)
        group = take_group(memory, root);
    *(group->first == 0 ? &group->first : &memory->blocks[group->last].next_record) = record;
    group->last = record;
}

/* --- what is offered ------------------------------------------------------------------------ */

static uint16_t reason_of(const struct config *config, const struct span *span)
{
    if (config->keeps_errors && span->status == SPAN_STATUS_ERROR)
        return RECORD_KEPT_ERROR;
    bool is_slow =
        span->end_ns >= span->start_ns && span->end_ns - span->start_ns >= config->keeps_slow_ns;
    return is_slow ? RECORD_KEPT_SLOW : 0;
}

bool tail_offer(struct tail *tail, const struct record *record, const struct span *span)
{
    struct tail_memory *memory = tail->memory;
    bool is_root = !span->has_parent || (span->flags & 0x200) || span->kind == SPAN_KIND_SERVER;
    const uint8_t *root = is_root ? span->span_id : span->parent_id;
    bool is_dropped = record->flags & FLAG_DROPPED; /* by a rule: nothing brings it back */
    struct group *group = is_dropped ? NULL : find(memory, root);
    uint16_t reason = is_dropped ? 0 : reason_of(tail->config, span);
    if (group != NULL && group->reason != 0)
        reason = group->reason;
    if (record->bytes > sizeof(memory->scratch))
        return false; /* it was not told either */
    if (reason == 0 && (is_root || is_dropped)) {
        if (group != NULL)
            give_group(memory, group);
        counter_add(COUNTER_SPANS_MEASURED, 1);
        return false;
    }
    memcpy(memory->scratch, record, record->bytes);
    if (reason == 0) {
        wait_for(memory, root);
        return false;
    }
    if (group == NULL && (!is_root || span->kind != SPAN_KIND_CLIENT))
        group = take_group(memory, root);
    memory->reason = reason;
    memory->is_offered = true;
    memory->taking = 0;
    if (group != NULL) {
        group->reason = reason;
        memory->taking = group->first;
        group->first = group->last = 0;
    }
    return true;
}

const struct record *tail_take(struct tail *tail)
{
    struct tail_memory *memory = tail->memory;
    if (!memory->is_offered && memory->taking == 0)
        return NULL;
    if (!memory->is_offered) {
        get_record(memory, memory->taking);
        memory->taking = give_record(memory, memory->taking);
    }
    memory->is_offered = false;
    scratch(memory)->kept = memory->reason;
    counter_add(COUNTER_TAIL_KEPT, 1);
    return scratch(memory);
}

void tail_age(struct tail *tail)
{
    struct tail_memory *memory = tail->memory;
    uint64_t now = process_monotonic_ns();
    while (memory->oldest != 0 &&
           memory->groups[memory->oldest].since_ns + WAIT_SECONDS * 1000000000ull < now)
        give_group(memory, &memory->groups[memory->oldest]);
}
