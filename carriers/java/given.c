/* SPDX-License-Identifier: Apache-2.0 */
#include "given.h"

#include <stddef.h>

#include "memory.h"

enum { BUCKET_SHIFT = 11, BUCKET_COUNT = 1 << BUCKET_SHIFT, ENTRIES = 5, TRIES = 2000 };

struct entry {
    uint32_t hash, handle;
    uint16_t who;
    bool is_certain : 1;
    bool is_shared : 1;
    uint16_t count : 14; /* up to COUNT_MAX */
};
enum { COUNT_MAX = (1 << 14) - 1 };

struct bucket {
    uint32_t busy;
    struct entry entries[ENTRIES];
};
_Static_assert(sizeof(struct bucket) == 64, "a bucket is a cache line");

static struct bucket *buckets;

bool given_start(void)
{
    buckets = memory_map(BUCKET_COUNT * sizeof(*buckets));
    return buckets != NULL;
}

static struct bucket *lock(uint32_t hash)
{
    struct bucket *bucket = &buckets[hash % BUCKET_COUNT];
    for (int i = 0; i < TRIES; i++)
        if (!__atomic_exchange_n(&bucket->busy, 1, __ATOMIC_ACQUIRE))
            return bucket;
    return NULL;
}

static void unlock(struct bucket *bucket)
{
    __atomic_store_n(&bucket->busy, 0, __ATOMIC_RELEASE);
}

static struct entry *find(struct bucket *bucket, uint32_t hash)
{
    for (int i = 0; i < ENTRIES; i++)
        if (bucket->entries[i].hash == hash)
            return &bucket->entries[i];
    return NULL;
}

/* Rather what has run than a queue's end, and rather that than what waits; of those, what waits for
 * a request that is over. */
static int worth(const struct entry *entry)
{
    if (entry->hash == 0)
        return 0;
    if (entry->count == 0)
        return 1 + entry->is_shared;
    return carrier_is_live(entry->handle) ? 4 : 3;
}

static struct entry *make_room(struct bucket *bucket)
{
    struct entry *least = &bucket->entries[0];
    for (int i = 1; i < ENTRIES; i++)
        if (worth(&bucket->entries[i]) < worth(least))
            least = &bucket->entries[i];
    return worth(least) == 4 ? NULL : least;
}

/* What is claimed no more; given back when the bucket is free again. */
struct left {
    uint32_t handles[2];
};

static struct left put(struct entry *entry, uint32_t hash, struct carrier_claim claim)
{
    struct left left = {{CARRIER_NONE, CARRIER_NONE}};
    if (entry->hash != hash) {
        left.handles[0] = entry->handle;
        *entry = (struct entry){hash, claim.handle, claim.who, claim.is_certain, false, 1};
        return left;
    }
    bool is_same = entry->count == 0 ? entry->who == claim.who : entry->handle == claim.handle;
    entry->is_shared = entry->is_shared || !is_same;
    if (entry->is_shared) {
        left = (struct left){{entry->handle, claim.handle}};
        entry->handle = CARRIER_NONE;
    } else if (entry->count == 0) {
        entry->handle = claim.handle;
        entry->is_certain = claim.is_certain;
    } else {
        left.handles[0] = claim.handle;
        entry->is_certain = entry->is_certain && claim.is_certain;
    }
    entry->count += entry->count < COUNT_MAX;
    return left;
}

void given_put(uint32_t hash, struct carrier_claim claim)
{
    struct left left = {{claim.handle, CARRIER_NONE}};
    struct bucket *bucket = lock(hash);
    if (bucket != NULL) {
        struct entry *entry = find(bucket, hash);
        if (entry == NULL)
            entry = make_room(bucket);
        if (entry != NULL)
            left = put(entry, hash, claim);
        unlock(bucket);
    }
    carrier_unclaim(left.handles[0]);
    carrier_unclaim(left.handles[1]);
}

static bool find_given(uint32_t hash, struct carrier_claim *claim, bool is_taken)
{
    struct bucket *bucket = lock(hash);
    if (bucket == NULL)
        return false;
    struct entry *entry = find(bucket, hash);
    bool is_given = entry != NULL && entry->count > 0;
    if (is_given) {
        *claim = (struct carrier_claim){entry->handle, entry->who, entry->is_certain};
        entry->count -= is_taken;
        if (entry->count == 0)
            entry->handle = CARRIER_NONE;
        else
            carrier_claim_again(entry->handle);
    }
    unlock(bucket);
    return is_given;
}

bool given_take(uint32_t hash, struct carrier_claim *claim)
{
    return find_given(hash, claim, true);
}

bool given_look(uint32_t hash, struct carrier_claim *claim)
{
    return find_given(hash, claim, false);
}

void given_renew(uint32_t hash)
{
    struct bucket *bucket = lock(hash);
    if (bucket == NULL)
        return;
    struct entry *entry = find(bucket, hash);
    if (entry != NULL && entry->count == 0)
        entry->hash = 0;
    unlock(bucket);
}

void given_forget(uint32_t hash)
{
    struct carrier_claim claim;
    if (given_take(hash, &claim))
        carrier_unclaim(claim.handle);
}
