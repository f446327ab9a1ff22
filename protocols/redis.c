/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Redis, seen from its clients: RESP2, RESP3 and inline commands. Recognition, and the walk over
 * both streams.
 *
 * What is lost, though it might be Redis: an array of no arguments, which a server ignores; answers
 * when nothing was asked, unless they are pushed or errors; MULTI with SUBSCRIBE or CLIENT REPLY
 * inside.
 */
#include "redis.h"

#include <string.h>

bool redis_edits_entries = true, redis_has_envelopes;

void protocol_edit_messages(bool entries, bool envelopes)
{
    redis_edits_entries = entries;
    redis_has_envelopes = envelopes;
}

static bool is_letter(uint8_t byte)
{
    return (byte | 0x20) >= 'a' && (byte | 0x20) <= 'z';
}

struct cursor {
    const uint8_t *at, *end;
};

/* A byte, a number of 1 to 7 digits, CRLF. */
static enum verdict probe_count(struct cursor *cursor, uint8_t type, uint32_t *count)
{
    static const uint8_t line_end[] = "\r\n";
    *count = 0;
    if (cursor->at == cursor->end) {
        return VERDICT_MORE;
    }
    if (*cursor->at++ != type) {
        return VERDICT_NO;
    }
    const uint8_t *digits = cursor->at;
    while (cursor->at < cursor->end && (uint8_t)(*cursor->at - '0') <= 9) {
        *count = *count * 10 + (uint32_t)(*cursor->at++ - '0');
        if (cursor->at - digits > 7) {
            return VERDICT_NO;
        }
    }
    for (size_t i = 0; i < 2; i++) {
        if (cursor->at == cursor->end) {
            return VERDICT_MORE;
        }
        if (*cursor->at++ != line_end[i]) {
            return VERDICT_NO;
        }
    }
    return *count > 0 ? VERDICT_YES : VERDICT_NO;
}

/* *<count> $<length> and the first letter of a name */
static enum verdict probe_array(const struct prefix *prefix)
{
    struct cursor cursor = {prefix->bytes, prefix->bytes + prefix->length};
    uint32_t count, length;
    enum verdict verdict = probe_count(&cursor, '*', &count);
    if (verdict == VERDICT_YES) {
        verdict = probe_count(&cursor, '$', &length);
    }
    if (verdict != VERDICT_YES) {
        return verdict;
    }
    if (length > 64) {
        return VERDICT_NO;
    }
    if (cursor.at == cursor.end) {
        return VERDICT_MORE;
    }
    return is_letter(*cursor.at) ? VERDICT_YES : VERDICT_NO;
}

struct line {
    const char *text;
    size_t length;
    const char *answers; /* what its answers may begin with */
};

/* Protocols of lines have many cousins: of what looks like them only these are taken, and only with
 * an answer of Redis, or repeated at once as benchmarks do. */
static const struct line lines[] = {
    {"PING\r\nPING\r\n", 12, NULL},
    {"PING\r\n", 6, "+-"},
    {"PING\n", 5, "+-"},
    {"INFO\r\n", 6, "$-"},
    {"INFO\n", 5, "$-"},
    {"AUTH ", 5, "+-"},
    {"SELECT ", 7, "+-"},
};

static enum verdict probe_line(const struct prefix *request, const struct prefix *answer)
{
    bool may_be = false;
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        bool is_whole = request->length >= lines[i].length;
        size_t length = is_whole ? lines[i].length : request->length;
        if (length == 0 || memcmp(request->bytes, lines[i].text, length) != 0) {
            continue;
        }
        may_be |= answer->length == 0;
        if (!is_whole) {
            continue;
        }
        bool is_answered = answer->length > 0;
        if (lines[i].answers == NULL
                ? !is_answered
                : is_answered && memchr(lines[i].answers, answer->bytes[0], 2) != NULL) {
            return VERDICT_YES;
        }
    }
    return may_be ? VERDICT_MORE : VERDICT_NO;
}

/* The client speaks first. */
static enum verdict probe(const struct prefix prefixes[2], enum direction *requests)
{
    enum verdict best = VERDICT_NO;
    for (int i = 0; i < 2; i++) {
        enum direction from = i == 0 ? DIRECTION_OUT : DIRECTION_IN;
        const struct prefix *request = &prefixes[from];
        const struct prefix *answer = &prefixes[direction_other(from)];
        if (request->length == 0) {
            continue;
        }
        enum verdict verdict = answer->length == 0 ? probe_array(request) : VERDICT_NO;
        if (verdict == VERDICT_NO) {
            verdict = probe_line(request, answer);
        }
        if (verdict == VERDICT_YES) {
            *requests = from;
            return VERDICT_YES;
        }
        best = verdict == VERDICT_MORE ? VERDICT_MORE : best;
    }
    return best;
}

static void start(void *state, enum direction requests)
{
    memset(state, 0, sizeof(struct redis));
    ((struct redis *)state)->requests = (uint8_t)requests;
}

static struct redis_reader reader_of(struct redis *redis, const uint8_t *data, struct sink *sink)
{
    return (struct redis_reader){.redis = redis, .sink = sink, .data = data};
}

static enum redis_role role_of(const struct redis *redis, enum direction direction)
{
    return direction == (enum direction)redis->requests ? REDIS_REQUESTS : REDIS_ANSWERS;
}

static size_t feed(
    void *state, enum direction direction, const uint8_t *data, size_t length, struct sink *sink)
{
    struct redis *redis = state;
    enum redis_role role = role_of(redis, direction);
    struct redis_reader reader = reader_of(redis, data, sink);
    enum redis_step step = redis->lost || redis->over[role] ? REDIS_LOST : REDIS_ON;
    reader.end = length;
    while (step == REDIS_ON && reader.at < length && !redis->switched) {
        step = role == REDIS_REQUESTS ? redis_request_read(&reader) : redis_answer_read(&reader);
    }
    if (step == REDIS_LOST) {
        redis->lost = true;
        return FEED_LOST;
    }
    if (role == REDIS_REQUESTS) {
        redis_request_pause(&reader);
    }
    return reader.at;
}

/* Only the inside of an argument or a string may pass unseen. */
static bool skip(void *state, enum direction direction, uint64_t length, struct sink *sink)
{
    struct redis *redis = state;
    enum redis_role role = role_of(redis, direction);
    (void)sink;
    bool is_inside = role == REDIS_REQUESTS ? redis_request_skip(&redis->request, length)
                                            : redis_answer_skip(&redis->answer, length);
    redis->lost |= redis->over[role] || (length > 0 && !is_inside);
    return !redis->lost;
}

static void end_all(struct redis_reader *reader)
{
    struct redis *redis = reader->redis;
    bool is_answered = redis->answer.responded;
    while (redis->open > 0) {
        redis_queue_end(reader, is_answered ? END_TRUNCATED : END_UNANSWERED);
        is_answered = false;
    }
}

/* A client that shuts its direction down may still get its answers. */
static void finish(void *state, enum direction direction, struct sink *sink)
{
    struct redis *redis = state;
    enum redis_role role = role_of(redis, direction);
    struct redis_reader reader = reader_of(redis, NULL, sink);
    if (redis->lost || redis->switched) {
        return;
    }
    redis->over[role] = true;
    if (role == REDIS_ANSWERS) {
        redis->over[REDIS_REQUESTS] = true; /* nothing will be answered any more */
    }
    redis_queue_take_back(&reader);
    if (role == REDIS_ANSWERS) {
        redis_entry_cut(&reader);
        end_all(&reader);
    }
}

const struct protocol redis_protocol = {
    .name = "redis",
    .state_bytes = sizeof(struct redis),
    .edits = EDITS_ENTRIES,
    .pulls = true,
    .client_only = true,
    .probe = probe,
    .start = start,
    .feed = feed,
    .skip = skip,
    .finish = finish,
    .insert = redis_insert,
    .describe = redis_describe,
};
