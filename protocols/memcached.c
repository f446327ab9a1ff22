/* SPDX-License-Identifier: Apache-2.0 */
/*
 * memcached, seen from its clients: the text protocol, meta commands and the binary protocol. The
 * walk over both streams. Lost, though it might be memcached: what memcached_queue.c cannot pair,
 * and a listing by `lru_crawler`.
 */
#include "memcached.h"

#include <string.h>

static void start(void *state, enum direction requests)
{
    memset(state, 0, sizeof(struct memcached));
    ((struct memcached *)state)->requests = (uint8_t)requests;
}

enum { ROLE_REQUESTS, ROLE_ANSWERS };

static int role_of(const struct memcached *memcached, enum direction direction)
{
    return direction == (enum direction)memcached->requests ? ROLE_REQUESTS : ROLE_ANSWERS;
}

static bool step(struct memcached_reader *reader, int role)
{
    static bool (*const steps[2][2])(struct memcached_reader *) = {
        {memcached_text_request, memcached_text_answer},
        {memcached_binary_request, memcached_binary_answer}};
    return steps[reader->memcached->is_binary][role](reader);
}

static size_t feed(
    void *state, enum direction direction, const uint8_t *data, size_t length, struct sink *sink)
{
    struct memcached *memcached = state;
    struct memcached_reader reader = {memcached, sink, data, 0, length};
    int role = role_of(memcached, direction);
    memcached->lost |= memcached->over[role];
    if (role == ROLE_REQUESTS && memcached->next == 0 && length > 0) {
        memcached->is_binary = data[0] == MEMCACHED_MAGIC_REQUEST;
    }
    while (!memcached->lost && !memcached->switched && reader.at < length) {
        memcached->lost = !step(&reader, role);
    }
    return memcached->lost ? FEED_LOST : reader.at;
}

/* Only the inside of data may pass unseen. */
static bool skip(void *state, enum direction direction, uint64_t length, struct sink *sink)
{
    struct memcached *memcached = state;
    int role = role_of(memcached, direction);
    struct memcached_side *side = role == ROLE_REQUESTS ? &memcached->request : &memcached->answer;
    (void)sink;
    bool is_inside =
        (side->stage == STAGE_DATA || side->stage == STAGE_BODY) && length < side->left;
    memcached->lost |= memcached->over[role] || (length > 0 && !is_inside);
    if (!memcached->lost) {
        side->left -= length;
    }
    return !memcached->lost;
}

/* A client that shuts its direction down may still get its answers. */
static void finish(void *state, enum direction direction, struct sink *sink)
{
    struct memcached *memcached = state;
    struct memcached_reader reader = {memcached, sink, NULL, 0, 0};
    bool is_answers = role_of(memcached, direction) == ROLE_ANSWERS;
    if (memcached->lost || memcached->switched) {
        return;
    }
    memcached->over[ROLE_REQUESTS] = true; /* without answers nothing more is asked */
    memcached->over[ROLE_ANSWERS] |= is_answers;
    memcached_queue_finish(&reader, is_answers);
}

const struct protocol memcached_protocol = {
    .name = "memcached",
    .state_bytes = sizeof(struct memcached),
    .client_only = true,
    .probe = memcached_probe,
    .start = start,
    .feed = feed,
    .skip = skip,
    .finish = finish,
    .describe = memcached_describe,
};
