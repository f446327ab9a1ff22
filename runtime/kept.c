/* SPDX-License-Identifier: Apache-2.0 */
#include "kept.h"

#include <stdbool.h>
#include <string.h>

#include "counters.h"
#include "exchange.h"
#include "pool.h"
#include "text_pool.h"

/* --- texts, each once ---------------------------------------------------------------------- */

enum { CLASSES = 4, CLASS_SHIFT = 28, BUCKETS = 4096, LOCK_TRIES = 64 };

/* A text's handle: its class above CLASS_SHIFT, the index in the pool of its class below. 0: none.
 *   shared => it is in the chain of its bucket;  freed only there, under the lock, with references
 * 0
 */
struct text {
    uint64_t pool_link;
    uint64_t hash;
    uint32_t references;
    uint32_t next; /* handle, in the chain */
    uint32_t length;
    bool is_shared;
    char bytes[];
};

static struct pool pools[CLASSES] = {
    {.block_shift = 8, .clear_bytes = sizeof(struct text)},
    {.block_shift = 10, .clear_bytes = sizeof(struct text)},
    {.block_shift = 12, .clear_bytes = sizeof(struct text)},
    {.block_shift = 14, .clear_bytes = sizeof(struct text)},
};
static uint32_t buckets[BUCKETS];
static uint32_t lock;
static uint64_t bytes_used;

_Static_assert(KEPT_TEXT_MAX + sizeof(struct text) <= 1 << 14, "the longest fits the last class");

static struct text *text_at(uint32_t handle)
{
    uint32_t index = handle & ((1u << CLASS_SHIFT) - 1);
    return pool_block(&pools[handle >> CLASS_SHIFT], index);
}

static uint64_t hash_of(const void *bytes, size_t length)
{
    const uint8_t *at = bytes;
    uint64_t hash = length * UINT64_C(0x9E3779B97F4A7C15);
    for (; length >= 8; at += 8, length -= 8) {
        uint64_t word;
        memcpy(&word, at, sizeof(word));
        hash = (hash ^ word) * UINT64_C(0xFF51AFD7ED558CCD);
        hash ^= hash >> 32;
    }
    for (; length > 0; length--)
        hash = (hash ^ *at++) * UINT64_C(0x100000001B3);
    return hash ^ hash >> 29;
}

static bool try_lock(void)
{
    for (int i = 0; i < LOCK_TRIES; i++)
        if (__atomic_exchange_n(&lock, 1, __ATOMIC_ACQUIRE) == 0)
            return true;
    return false;
}

static void unlock(void)
{
    __atomic_store_n(&lock, 0, __ATOMIC_RELEASE);
}

static void give(uint32_t handle)
{
    uint32_t class = handle >> CLASS_SHIFT;
    __atomic_fetch_sub(&bytes_used, 1u << pools[class].block_shift, __ATOMIC_RELAXED);
    pool_give(&pools[class], handle & ((1u << CLASS_SHIFT) - 1));
}

/* 0: no memory, or the limit is reached. */
static uint32_t make(uint64_t hash, const void *bytes, size_t length)
{
    uint32_t class = 0;
    while (sizeof(struct text) + length > 1u << pools[class].block_shift)
        class ++;
    uint64_t size = 1u << pools[class].block_shift;
    bool fits = __atomic_add_fetch(&bytes_used, size, __ATOMIC_RELAXED) <= KEPT_BYTES_MAX;
    uint32_t index = fits ? pool_take(&pools[class]) : 0;
    if (index == 0) {
        __atomic_fetch_sub(&bytes_used, size, __ATOMIC_RELAXED);
        return 0;
    }
    struct text *text = pool_block(&pools[class], index);
    text->hash = hash;
    text->length = (uint32_t)length;
    memcpy(text->bytes, bytes, length);
    __atomic_store_n(&text->references, 1, __ATOMIC_RELAXED);
    return class << CLASS_SHIFT | index;
}

/* Under the lock: what nobody refers to any more goes; the equal one, if there is one, is referred
 * to once more. */
static uint32_t search(uint32_t *link, uint64_t hash, const void *bytes, size_t length)
{
    uint32_t found = 0;
    while (*link != 0) {
        uint32_t handle = *link;
        struct text *text = text_at(handle);
        if (found == 0 && text->hash == hash && text->length == length &&
            memcmp(text->bytes, bytes, length) == 0) {
            __atomic_fetch_add(&text->references, 1, __ATOMIC_RELAXED);
            found = handle;
        } else if (__atomic_load_n(&text->references, __ATOMIC_ACQUIRE) == 0) {
            *link = text->next;
            give(handle);
            continue;
        }
        link = &text->next;
    }
    return found;
}

static uint32_t text_refer(const void *bytes, size_t length)
{
    uint64_t hash = hash_of(bytes, length);
    uint32_t *bucket = &buckets[hash % BUCKETS];
    if (!try_lock())
        return make(hash, bytes, length);
    uint32_t handle = search(bucket, hash, bytes, length);
    if (handle == 0 && (handle = make(hash, bytes, length)) != 0) {
        text_at(handle)->is_shared = true;
        text_at(handle)->next = *bucket;
        *bucket = handle;
    }
    unlock();
    return handle;
}

/* What cannot be taken out of its chain now goes when somebody next looks there. */
static void text_drop(uint32_t handle)
{
    struct text *text = text_at(handle);
    uint32_t *bucket = &buckets[text->hash % BUCKETS];
    bool is_shared = text->is_shared;
    if (__atomic_sub_fetch(&text->references, 1, __ATOMIC_ACQ_REL) != 0)
        return;
    if (!is_shared)
        give(handle);
    else if (try_lock()) {
        search(bucket, 0, "", SIZE_MAX);
        unlock();
    }
}

/* --- what a connection keeps --------------------------------------------------------------- */

struct entry {
    uint64_t pool_link;
    uint64_t key;
    uint32_t next;
    uint32_t text;
};

static struct pool entries = {.block_shift = 5};

static struct entry *entry_at(uint32_t index)
{
    return pool_block(&entries, index);
}

/* Puts it first, since what was used is used again. */
static struct entry *find(struct kept *kept, uint64_t key)
{
    uint32_t *link = &kept->first;
    while (*link != 0 && entry_at(*link)->key != key)
        link = &entry_at(*link)->next;
    if (*link == 0)
        return NULL;
    uint32_t index = *link;
    struct entry *entry = entry_at(index);
    *link = entry->next;
    entry->next = kept->first;
    kept->first = index;
    return entry;
}

static void drop(struct kept *kept, uint64_t key)
{
    struct entry *entry = find(kept, key);
    if (entry == NULL)
        return;
    uint32_t index = kept->first;
    text_drop(entry->text);
    kept->first = entry->next;
    kept->count--;
    pool_give(&entries, index);
}

/* Takes over the reference to the text; 0: there is none, and what was kept is over. */
static void set(struct kept *kept, uint64_t key, uint32_t text)
{
    drop(kept, key);
    uint32_t index = text == 0 || kept->count >= KEPT_ENTRIES_MAX ? 0 : pool_take(&entries);
    if (index == 0) {
        counter_add(COUNTER_KEPT_REFUSED, 1);
        if (text != 0)
            text_drop(text);
        return;
    }
    struct entry *entry = entry_at(index);
    entry->key = key;
    entry->next = kept->first;
    entry->text = text;
    kept->first = index;
    kept->count++;
}

static void keep_whole(struct kept *kept, uint64_t key, const void *bytes, size_t length)
{
    if (length > KEPT_TEXT_MAX) {
        length = KEPT_TEXT_MAX;
        counter_add(COUNTER_ATTRIBUTES_TRUNCATED, 1);
    }
    set(kept, key, text_refer(bytes, length));
}

static void end_pieces(struct kept *kept)
{
    if (kept->block != 0)
        text_give(true, kept->block);
    kept->block = kept->length = 0;
}

/* A text that does not fit its block is as long as KEPT_TEXT_MAX at least, and so is cut there. */
static void keep_piece(struct kept *kept, const struct event *event)
{
    if (event->first) {
        end_pieces(kept);
        kept->block = text_take(true);
        kept->key = event->key;
    }
    /* The other direction's text may have come in between: then this one is not kept. */
    bool is_mine = kept->block != 0 && kept->key == event->key;
    if (is_mine) {
        size_t room = TEXT_BIG_BYTES - kept->length;
        size_t length = event->length < room ? event->length : room;
        memcpy(text_block(true, kept->block) + kept->length, event->text, length);
        kept->length += (uint32_t)length;
    }
    if (!event->last)
        return;
    if (!is_mine) {
        set(kept, event->key, 0);
        return;
    }
    keep_whole(kept, event->key, text_block(true, kept->block), kept->length);
    end_pieces(kept);
}

static void alias(struct kept *kept, uint64_t key, uint64_t other)
{
    struct entry *entry = find(kept, other);
    if (entry == NULL) {
        drop(kept, key);
        return;
    }
    if (key == other)
        return;
    __atomic_fetch_add(&text_at(entry->text)->references, 1, __ATOMIC_RELAXED);
    set(kept, key, entry->text);
}

/* --- what all connections know ------------------------------------------------------------- */

static struct kept common;
static uint32_t common_lock;

static bool enter_common(void)
{
    for (int i = 0; i < LOCK_TRIES; i++)
        if (__atomic_exchange_n(&common_lock, 1, __ATOMIC_ACQUIRE) == 0)
            return true;
    return false;
}

static void leave_common(void)
{
    __atomic_store_n(&common_lock, 0, __ATOMIC_RELEASE);
}

/* What the connection keeps under `other`; nothing: what is known stays. */
__attribute__((noinline)) static void alias_common(struct kept *kept, const struct event *event)
{
    const struct entry *entry = find(kept, event->other);
    if (entry == NULL || !enter_common())
        return;
    __atomic_fetch_add(&text_at(entry->text)->references, 1, __ATOMIC_RELAXED);
    set(&common, event->key, entry->text);
    leave_common();
}

/* --- events -------------------------------------------------------------------------------- */

void kept_event(struct kept *kept, const struct event *event)
{
    if (event->is_common)
        alias_common(kept, event);
    else if (event->kind == EVENT_ALIAS)
        alias(kept, event->key, event->other);
    else if (event->kind == EVENT_DROP)
        drop(kept, event->key);
    else if (event->first && event->last)
        keep_whole(kept, event->key, event->text, event->length);
    else
        keep_piece(kept, event);
}

static void recall(struct kept *kept, struct exchange *exchange, const struct event *event)
{
    const struct entry *entry = find(kept, event->key);
    if (entry == NULL)
        return;
    const struct text *text = text_at(entry->text);
    struct event told = *event;
    told.kind = EVENT_TEXT;
    told.first = told.last = true;
    told.text = (const uint8_t *)text->bytes;
    told.length = text->length;
    exchange->present |= 1u << event->field;
    exchange_add_text(exchange, &told);
}

void kept_recall(struct kept *kept, struct exchange *exchange, const struct event *event)
{
    if (!event->is_common) {
        recall(kept, exchange, event);
    } else if (enter_common()) {
        recall(&common, exchange, event);
        leave_common();
    }
}

void kept_end(struct kept *kept)
{
    end_pieces(kept);
    while (kept->first != 0)
        drop(kept, entry_at(kept->first)->key);
}

/* The chains may be half changed: what is in them is never freed, only forgotten. */
void kept_forked(void)
{
    memset(buckets, 0, sizeof(buckets));
    lock = 0;
    common = (struct kept){0};
    common_lock = 0;
}
