/* SPDX-License-Identifier: Apache-2.0 */
/* What a value at the top is: the answer to the oldest command, one of its answers, or pushed. */
#include "redis.h"

#include <string.h>

void redis_top_respond(struct redis_reader *reader)
{
    struct redis_answer *answer = &reader->redis->answer;
    if (!answer->responded) {
        redis_tell(reader, EVENT_RESPONSE, reader->redis->oldest);
        answer->responded = true;
    }
}

/* An answer to nobody: the connection is not what we took it for. */
enum redis_step redis_top_decide(struct redis_reader *reader)
{
    if (!redis_is_open(reader->redis)) {
        return REDIS_LOST;
    }
    reader->redis->answer.fate = FATE_ANSWER;
    redis_top_respond(reader);
    if (reader->redis->mark_count > 0) {
        redis_entry_begin(reader);
    }
    return REDIS_ON;
}

enum redis_step redis_top_begin(struct redis_reader *reader, uint8_t type)
{
    struct redis *redis = reader->redis;
    struct redis_answer *answer = &redis->answer;
    bool is_pushed = redis->subscribed > 0 || redis->shards > 0;
    answer->top_type = type;
    answer->top_first = 0;
    answer->ordinal = 0;
    answer->word_length = 0;
    answer->has_third = false;
    answer->values = type != '|';
    if (type == '>') {
        redis->is_resp3 = true;
        answer->fate = FATE_PUSH;
    } else if (type == '|') {
        answer->fate = FATE_ATTRIBUTE;
    } else if ((type == '*' && is_pushed && !redis->is_resp3) ||
               (type == '+' && redis->is_monitor)) {
        answer->fate = FATE_UNDECIDED;
    } else if (type == '-' && !redis_is_open(redis)) {
        answer->fate = FATE_PUSH; /* -DENIED, -ERR max number of clients reached */
    } else {
        return redis_top_decide(reader);
    }
    return REDIS_ON;
}

static bool word_is(const struct redis_answer *answer, const char *word, size_t length)
{
    return answer->word_length == length && memcmp(answer->word, word, length) == 0;
}

/* [p|s]message */
static bool is_message(const struct redis_answer *answer)
{
    return word_is(answer, "message", 7) || word_is(answer, "pmessage", 8) ||
           word_is(answer, "smessage", 8);
}

/* [p|s][un]subscribe */
static bool is_confirmation(const struct redis_answer *answer)
{
    static const char words[][12] = {
        "subscribe", "psubscribe", "ssubscribe", "unsubscribe", "punsubscribe", "sunsubscribe"};
    static const uint8_t lengths[] = {9, 10, 10, 11, 12, 12};
    for (size_t i = 0; i < sizeof lengths; i++) {
        if (word_is(answer, words[i], lengths[i])) {
            return true;
        }
    }
    return false;
}

/* The first value is there, which says what a push is about; in RESP2 also whether it is one. */
enum redis_step redis_top_first_value(struct redis_reader *reader)
{
    struct redis_answer *answer = &reader->redis->answer;
    if (answer->fate == FATE_UNDECIDED) {
        if (!is_message(answer)) {
            return redis_top_decide(reader);
        }
        answer->fate = FATE_PUSH;
        redis_entry_message(reader);
    } else if (answer->fate == FATE_PUSH && is_message(answer)) {
        redis_entry_message(reader);
    } else if (answer->fate == FATE_PUSH && redis_is_open(reader->redis) &&
               is_confirmation(answer)) {
        return redis_top_decide(reader);
    }
    return REDIS_ON;
}

/* Counts what there is, so that it is known how many answers UNSUBSCRIBE gets. The count that is
 * told is of channels and patterns together; shards have their own. */
static void confirm(struct redis_reader *reader)
{
    struct redis *redis = reader->redis;
    const struct redis_answer *answer = &redis->answer;
    uint32_t channels = redis->subscribed - redis->patterns;
    if (answer->word[0] == 'p') {
        uint32_t before = redis->patterns;
        redis->patterns += answer->third - redis->subscribed;
        redis->subscribed = answer->third;
        redis_queue_confirmed(reader, before);
    } else if (answer->word_length == 10 || answer->word_length == 12) {
        uint32_t before = redis->shards;
        redis->shards = answer->third;
        redis_queue_confirmed(reader, before);
    } else {
        redis->subscribed = answer->third;
        redis_queue_confirmed(reader, channels);
    }
}

void redis_top_complete(struct redis_reader *reader)
{
    struct redis_answer *answer = &reader->redis->answer;
    enum redis_fate fate = (enum redis_fate)answer->fate;
    answer->fate = FATE_NONE;
    if (answer->entry.stage != ENTRY_NONE) {
        redis_entry_cut(reader);
    }
    if (fate != FATE_ANSWER) {
        return;
    }
    if (answer->has_third && is_confirmation(answer)) {
        confirm(reader);
    } else {
        redis_queue_answered(reader);
    }
}
