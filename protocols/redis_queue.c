/* SPDX-License-Identifier: Apache-2.0 */
/* Commands, exchanges, and the answers that they wait for. */
#include "redis.h"

#include <string.h>

/* Never inlined: an event would lie on the host's stack below every step. */
__attribute__((noinline)) void redis_tell(
    struct redis_reader *reader, enum event_kind kind, uint32_t exchange)
{
    struct event event = {.kind = kind, .exchange = exchange, .offset = reader->at};
    reader->sink->event(reader->sink, &event);
}

__attribute__((noinline)) void redis_tell_text(struct redis_reader *reader, enum field field,
    uint32_t exchange, size_t from, size_t to, bool first, bool last)
{
    struct event event = {.kind = EVENT_TEXT,
        .field = field,
        .first = first,
        .last = last,
        .exchange = exchange,
        .offset = from,
        .text = reader->data + from,
        .length = to - from};
    reader->sink->event(reader->sink, &event);
}

static void tell_number(
    struct redis_reader *reader, uint32_t exchange, enum field field, int64_t number)
{
    struct event event = {
        .kind = EVENT_NUMBER, .exchange = exchange, .field = field, .number = number};
    reader->sink->event(reader->sink, &event);
}

/* --- batches ------------------------------------------------------------------------------- */

static struct redis_batch *newest_batch(struct redis *redis)
{
    struct redis_batch *newest = &redis->batches[redis->batch_count];
    bool is_there = redis->batch_count > 0 && newest[-1].exchange == redis->newest;
    return is_there ? newest - 1 : NULL;
}

/* The newest exchange gets another command. Those of it that are answered already do not count:
 * then it would have ended. */
static void join(struct redis *redis)
{
    struct redis_batch *batch = newest_batch(redis);
    if (batch == NULL) {
        batch = &redis->batches[redis->batch_count++];
        *batch = (struct redis_batch){redis->newest, 1, 1};
    }
    batch->size++;
    batch->left++;
}

/* Of the oldest exchange; NULL: it is one command. */
static struct redis_batch *oldest_batch(struct redis *redis)
{
    bool is_there = redis->batch_count > 0 && redis->batches[0].exchange == redis->oldest;
    return is_there ? &redis->batches[0] : NULL;
}

static void drop_oldest_batch(struct redis *redis)
{
    redis->batch_count--;
    memmove(redis->batches, redis->batches + 1, redis->batch_count * sizeof(redis->batches[0]));
}

/* --- marks --------------------------------------------------------------------------------- */

struct redis_mark *redis_queue_mark(struct redis *redis)
{
    bool is_there = redis->mark_count > 0 && redis->marks[0].number == redis->answered;
    return is_there ? &redis->marks[0] : NULL;
}

static void drop_oldest_mark(struct redis *redis)
{
    redis->mark_count--;
    memmove(redis->marks, redis->marks + 1, redis->mark_count * sizeof(redis->marks[0]));
}

/* Where there is no room: of a SELECT it is then not known which database is meant from here on;
 * what else is marked decides how many answers come. */
static bool mark(struct redis *redis, enum redis_kind kind, uint32_t count)
{
    if (kind == REDIS_PLAIN) {
        return true;
    }
    if (redis->mark_count == REDIS_MARKS_MAX) {
        redis->forgets |= kind == REDIS_SELECT;
        return kind == REDIS_SELECT || kind >= REDIS_XADD;
    }
    redis->marks[redis->mark_count++] = (struct redis_mark){redis->sent, kind, count};
    return true;
}

static void select_database(struct redis *redis, uint32_t index)
{
    const struct redis_answer *answer = &redis->answer;
    if (answer->top_type == '+') { /* inside MULTI it is merely queued */
        redis->database = answer->top_first == 'O' ? (int32_t)index : -1;
    }
}

static void reset(struct redis *redis)
{
    redis->database = 0;
    redis->is_resp3 = false;
    redis->is_monitor = false;
    redis->subscribed = 0;
    redis->patterns = 0;
    redis->shards = 0;
}

/* What the answer of a marked command changes. */
static void apply(struct redis *redis, const struct redis_mark *mark)
{
    const struct redis_answer *answer = &redis->answer;
    bool is_ok = answer->top_type == '+' && answer->top_first == 'O';
    switch (mark->kind) {
    case REDIS_SELECT:
        select_database(redis, mark->count);
        break;
    case REDIS_HELLO:
        redis->is_resp3 = answer->top_type == '%' || (redis->is_resp3 && answer->top_type != '*');
        break;
    case REDIS_RESET:
        if (answer->top_type == '+') {
            reset(redis);
        }
        break;
    case REDIS_MONITOR:
        redis->is_monitor |= is_ok;
        break;
    default:
        break;
    }
}

/* --- commands ------------------------------------------------------------------------------ */

/* Joined until half of the exchanges are answered, so that few batches are in flight. */
static bool joins(struct redis *redis)
{
    uint32_t open = redis->open;
    redis->is_joining = open >= REDIS_OPEN_MAX || (redis->is_joining && open > REDIS_OPEN_MAX / 2);
    return redis->is_joining;
}

void redis_queue_begin(struct redis_reader *reader)
{
    struct redis *redis = reader->redis;
    redis->is_reading = true;
    redis->request.joins = joins(redis);
    if (redis->request.joins) {
        join(redis);
    } else {
        redis->newest = redis->next++;
        redis->open++;
        redis_tell(reader, EVENT_BEGIN, redis->newest);
    }
}

void redis_queue_take_back(struct redis_reader *reader)
{
    struct redis *redis = reader->redis;
    if (!redis->is_reading) {
        return;
    }
    redis->is_reading = false;
    if (redis->request.joins) {
        struct redis_batch *batch = newest_batch(redis);
        if (batch != NULL) {
            batch->size--;
            batch->left--;
        }
        return;
    }
    redis->open--;
    redis_tell(reader, EVENT_VOID, redis->newest);
}

void redis_queue_end(struct redis_reader *reader, enum end_reason reason)
{
    struct redis *redis = reader->redis;
    uint32_t exchange = redis->oldest;
    struct redis_batch *batch = oldest_batch(redis);
    if (batch != NULL) {
        tell_number(reader, exchange, FIELD_BATCH, batch->size);
        drop_oldest_batch(redis);
    }
    if (redis->database != 0) {
        tell_number(reader, exchange, FIELD_VERSION, redis->database);
    }
    struct event event = {.kind = EVENT_END, .exchange = exchange, .reason = reason};
    reader->sink->event(reader->sink, &event);
    redis->oldest++;
    if (--redis->open == 0) {
        redis->oldest = redis->next;
        redis->gap_length = 0;
    } else if (redis->gap_length > 0 && redis->oldest == redis->gap) {
        redis->oldest += redis->gap_length;
        redis->gap_length = 0;
    }
    redis->answer.responded = false;
    redis->answer.has_code = false;
}

/* There is one gap at a time. */
bool redis_queue_deliver(struct redis_reader *reader, uint32_t *serial)
{
    struct redis *redis = reader->redis;
    struct event untold = {.kind = EVENT_UNTOLD};
    bool is_behind = redis->gap_length == 0 || redis->gap + redis->gap_length == redis->next;
    if (redis->open > 0 && !is_behind) {
        reader->sink->event(reader->sink, &untold);
        return false;
    }
    *serial = redis->next++;
    if (redis->open == 0) {
        redis->oldest = redis->next;
    } else if (redis->gap_length++ == 0) {
        redis->gap = *serial;
    }
    return true;
}

/* One command less that waits. */
static void finish_command(struct redis_reader *reader)
{
    struct redis *redis = reader->redis;
    struct redis_batch *batch = oldest_batch(redis);
    redis->answered++;
    if (batch == NULL || --batch->left == 0) {
        redis_queue_end(reader, END_COMPLETE);
    }
}

/* Will the oldest command not be answered? CLIENT REPLY decides, as far as it was answered. */
static bool is_unanswered(struct redis *redis)
{
    struct redis_mark *mark = redis_queue_mark(redis);
    enum redis_kind kind = mark != NULL ? (enum redis_kind)mark->kind : REDIS_PLAIN;
    bool was_skip = redis->is_skip;
    redis->is_skip = false;
    if (kind == REDIS_REPLY_ON) {
        redis->is_off = false;
        return false;
    }
    redis->is_off |= kind == REDIS_REPLY_OFF;
    redis->is_skip = !redis->is_off && kind == REDIS_REPLY_SKIP;
    if (!redis->is_off && !redis->is_skip && !was_skip) {
        return false;
    }
    if (mark != NULL) {
        drop_oldest_mark(redis);
    }
    return true;
}

static void settle(struct redis_reader *reader)
{
    while (redis_is_open(reader->redis) && is_unanswered(reader->redis)) {
        finish_command(reader);
    }
}

bool redis_queue_sent(struct redis_reader *reader, enum redis_kind kind, uint32_t count)
{
    struct redis *redis = reader->redis;
    if (!mark(redis, kind, count)) {
        return false;
    }
    redis->is_reading = false;
    bool is_oldest = redis->sent++ == redis->answered;
    if (is_oldest && (kind != REDIS_PLAIN || redis->is_off || redis->is_skip)) {
        settle(reader);
    }
    return true;
}

void redis_queue_answered(struct redis_reader *reader)
{
    struct redis *redis = reader->redis;
    struct redis_mark *mark = redis_queue_mark(redis);
    if (mark != NULL) {
        apply(redis, mark);
        drop_oldest_mark(redis);
    }
    if (redis->forgets) {
        redis->database = -1;
        redis->forgets = redis->mark_count > 0;
    }
    finish_command(reader);
    if (redis->mark_count > 0 || redis->is_off) {
        settle(reader);
    }
}

void redis_queue_confirmed(struct redis_reader *reader, uint32_t before)
{
    struct redis_mark *mark = redis_queue_mark(reader->redis);
    if (mark != NULL && mark->count == 0) {
        mark->count = before > 0 ? before : 1;
    }
    if (mark != NULL && mark->count > 1) {
        mark->count--;
        return;
    }
    redis_queue_answered(reader);
}
