/* SPDX-License-Identifier: Apache-2.0 */
#include "play.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static const char *const field_names[FIELD_COUNT] = {
    [FIELD_METHOD] = "METHOD",
    [FIELD_TARGET] = "TARGET",
    [FIELD_VERSION] = "VERSION",
    [FIELD_STATUS] = "STATUS",
    [FIELD_ROWS] = "ROWS",
    [FIELD_BATCH] = "BATCH",
    [FIELD_HOST] = "HOST",
    [FIELD_USER_AGENT] = "USER_AGENT",
    [FIELD_FORWARDED] = "FORWARDED",
    [FIELD_X_FORWARDED_FOR] = "X_FORWARDED_FOR",
    [FIELD_X_FORWARDED_HOST] = "X_FORWARDED_HOST",
    [FIELD_X_FORWARDED_PROTO] = "X_FORWARDED_PROTO",
    [FIELD_SCHEME] = "SCHEME",
    [FIELD_CLIENT_ADDRESS] = "CLIENT_ADDRESS",
    [FIELD_OPERATION] = "OPERATION",
    [FIELD_QUERY] = "QUERY",
    [FIELD_NAMESPACE] = "NAMESPACE",
    [FIELD_COLLECTION] = "COLLECTION",
    [FIELD_CODE] = "CODE",
    [FIELD_DESTINATION] = "DESTINATION",
    [FIELD_ROUTING] = "ROUTING",
    [FIELD_SUBSCRIPTION] = "SUBSCRIPTION",
    [FIELD_MESSAGE] = "MESSAGE",
    [FIELD_TRACEPARENT] = "TRACEPARENT",
    [FIELD_CONTEXT] = "CONTEXT",
    [FIELD_TRACESTATE] = "TRACESTATE",
    [FIELD_BAGGAGE] = "BAGGAGE",
    [FIELD_CARRIED] = "CARRIED",
};

static const char *const reason_names[] = {"complete", "switched", "truncated", "unanswered"};

enum { OPEN_MAX = 4096 };

struct value {
    bool is_open;
    struct event event; /* the first piece */
    size_t length;
    uint8_t bytes[VALUE_BYTES_MAX];
};

/* What SETTLE calls an exchange. */
struct key {
    bool is_settled;
    bool is_delivery;
    bool is_put_off;
    uint64_t key;
};

struct player {
    struct sink sink;
    const struct protocol *protocol;
    const struct plan *plan;
    struct transcript *out;
    void *state;
    const uint8_t *data; /* of the running call */
    size_t length;
    size_t paused_at; /* SIZE_MAX: not paused */
    size_t consumed[2];
    bool stopped[2];
    bool lost;
    uint32_t begun;
    uint64_t open[OPEN_MAX / 64]; /* bit serial % OPEN_MAX */
    struct key keys[OPEN_MAX];    /* of those */
    enum direction direction;     /* of the running call */
    struct value values[4];       /* being told, by the direction they are read in; kept: + 2 */
};

static void require(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "broken promise: %s\n", what);
        abort();
    }
}

__attribute__((format(printf, 2, 3))) static void put(
    struct player *player, const char *format, ...)
{
    struct transcript *out = player->out;
    va_list arguments;
    va_start(arguments, format);
    int length =
        vsnprintf(out->text + out->length, sizeof out->text - out->length, format, arguments);
    va_end(arguments);
    out->length += (size_t)length;
    require(out->length < sizeof out->text, "a transcript of bounded length");
}

static void put_value(struct player *player, const struct value *value)
{
    size_t shown = value->length < SHOWN_BYTES_MAX ? value->length : SHOWN_BYTES_MAX;
    if (value->event.kind == EVENT_KEEP) {
        put(player, "KEEP %llx ", (unsigned long long)value->event.key);
    } else {
        put(player, "%s %u ", field_names[value->event.field], value->event.exchange);
    }
    for (size_t i = 0; i < shown; i++) {
        uint8_t byte = value->bytes[i];
        put(player, byte >= 0x20 && byte < 0x7f && byte != '\\' ? "%c" : "\\x%02x", byte);
    }
    if (shown < value->length) {
        put(player, "... %zu bytes", value->length);
    }
    put(player, "\n");
}

static bool is_where_it_claims(const struct player *player, const struct event *event)
{
    if (event->offset > player->length) {
        return false;
    }
    bool is_there = event->offset + event->length <= player->length &&
                    (event->length == 0 || event->text == player->data + event->offset);
    bool is_name = event->field == FIELD_CONTEXT || event->field == FIELD_CARRIED;
    if (is_there || (is_name && !event->last)) {
        return true;
    }
    for (size_t i = 0; i < event->length; i++) {
        if (memchr(" :\\", event->text[i], 3) == NULL) {
            return false;
        }
    }
    return true;
}

static void take_text(struct player *player, const struct event *event)
{
    struct value *value = &player->values[player->direction + (event->kind == EVENT_KEEP ? 2 : 0)];
    require(is_where_it_claims(player, event), "text is at its offset, or is spaces");
    if (event->kind == EVENT_TEXT && event->exchange != value->event.exchange) {
        value->is_open = false; /* what the answer has cut short is never whole */
    }
    require(event->first != value->is_open, "the first piece says so, and no other");
    if (event->first) {
        value->event = *event;
        value->length = 0;
        value->is_open = true;
    }
    require(event->field == value->event.field && event->kind == value->event.kind &&
                event->exchange == value->event.exchange && event->key == value->event.key,
        "one value at a time");
    require(value->length + event->length <= VALUE_BYTES_MAX, "bounded values");
    if (event->length > 0) {
        memcpy(value->bytes + value->length, event->text, event->length);
    }
    value->length += event->length;
    if (event->last) {
        put_value(player, value);
        value->is_open = false;
    }
}

static bool is_open(const struct player *player, uint32_t exchange)
{
    return player->open[exchange % OPEN_MAX / 64] >> exchange % 64 & 1;
}

static void toggle_open(struct player *player, uint32_t exchange)
{
    player->open[exchange % OPEN_MAX / 64] ^= UINT64_C(1) << exchange % 64;
}

/* How much was told of a value before it was taken back, or before its exchange was over, depends
 * on the cuts. */
static void drop_values(struct player *player, uint32_t exchange)
{
    for (int i = 0; i < 4; i++) {
        struct value *value = &player->values[i];
        value->is_open &= value->event.kind == EVENT_KEEP || value->event.exchange != exchange;
    }
}

static void take_begin(struct player *player, const struct event *event)
{
    require(event->exchange == player->begun, "serial numbers count");
    require(!is_open(player, event->exchange), "few exchanges are open");
    toggle_open(player, event->exchange);
    player->keys[event->exchange % OPEN_MAX] = (struct key){
        .is_settled = event->is_settled, .is_delivery = event->is_delivery, .key = event->key};
    player->begun++;
    put(player, "BEGIN %u%s", event->exchange, event->is_delivery ? " delivery" : "");
    if (event->is_settled) {
        put(player, " %llx", (unsigned long long)event->key);
    }
    put(player, "\n");
    if (event->number != 0) {
        put(player, "%s %u %lld\n", field_names[FIELD_VERSION], event->exchange,
            (long long)event->number);
    }
}

static void take_close(struct player *player, const struct event *event)
{
    toggle_open(player, event->exchange);
    drop_values(player, event->exchange);
    if (event->kind == EVENT_VOID) {
        put(player, "VOID %u\n", event->exchange);
        return;
    }
    if (event->number != 0) {
        put(player, "%s %u %lld\n", field_names[FIELD_ROWS], event->exchange,
            (long long)event->number);
    }
    put(player, "END %u %s\n", event->exchange, reason_names[event->reason]);
}

static bool take_splice(struct player *player, const struct event *event)
{
    require(event->offset <= player->length, "a splice is in the buffer, or at its end");
    require(event->text == NULL || event->length == 0 ||
                (event->length <= event->offset &&
                    event->text == player->data + event->offset - event->length),
        "what is replaced stands before the splice");
    put(player, "%s %u%s%s", event->kind == EVENT_SPLICE ? "SPLICE" : "ANSWER", event->exchange,
        event->bare_lf ? " lf" : "", event->has_own ? " own" : "");
    if (event->length > 0) {
        put(player, " replaces %zu", event->length);
    }
    if (player->protocol->insert == NULL) {
        put(player, "%s%s", event->key & SPLICE_SIGNED ? " signed" : "",
            event->key & SPLICE_XRAY ? " xray" : "");
        if (event->key & SPLICE_WHOLE) {
            put(player, " whole %lld %lld", (long long)event->other, (long long)event->number);
        }
    }
    put(player, "\n");
    if (player->plan->pauses) {
        player->paused_at = event->offset;
    }
    return !player->plan->pauses;
}

/* The caller ends those that are meant. */
static void take_settle(struct player *player, const struct event *event)
{
    require(event->key <= event->other, "from the first to the last");
    put(player, "SETTLE %llx %llx%s%s%s %s%s%.*s\n", (unsigned long long)event->key,
        (unsigned long long)event->other, event->is_through ? " through" : "",
        event->is_delivery ? " delivery" : "", event->is_put_off ? " put off" : "",
        reason_names[event->reason], event->length > 0 ? " " : "", (int)event->length,
        event->length > 0 ? (const char *)event->text : "");
    uint32_t first = player->begun > OPEN_MAX ? player->begun - OPEN_MAX : 0;
    for (uint32_t i = first; i < player->begun; i++) {
        struct key *key = &player->keys[i % OPEN_MAX];
        bool is_meant = is_open(player, i) && key->key >= event->key && key->key <= event->other &&
                        key->is_delivery == event->is_delivery &&
                        key->is_put_off == (event->is_put_off && event->reason != END_SWITCHED);
        if (is_meant && event->is_put_off && event->reason != END_COMPLETE) {
            key->is_put_off = !key->is_put_off;
        } else if (is_meant) {
            toggle_open(player, i);
            drop_values(player, i);
        }
    }
}

/* What is of the connection, not of one exchange. */
static bool take_kept(struct player *player, const struct event *event)
{
    unsigned long long key = event->key, other = event->other;
    if (event->kind == EVENT_KEEP) {
        take_text(player, event);
    } else if (event->kind == EVENT_ALIAS) {
        put(player, "ALIAS %s%llx %llx\n", event->is_common ? "all " : "", key, other);
    } else if (event->kind == EVENT_DROP) {
        put(player, "DROP %llx\n", key);
    } else if (event->kind == EVENT_UNTOLD) {
        put(player, "UNTOLD\n");
    } else if (event->kind == EVENT_LEAVE) {
        put(player, "LEAVE\n");
    } else if (event->kind == EVENT_SETTLE) {
        take_settle(player, event);
    } else if (event->kind == EVENT_DOUBT) {
        put(player, "DOUBT\n");
    } else if (event->kind == EVENT_RELEASE) {
        put(player, "RELEASE %llx %llx\n", key, other);
    } else {
        return false;
    }
    return true;
}

static bool take_event(struct sink *sink, const struct event *event)
{
    struct player *player = (struct player *)sink;
    if (event->kind == EVENT_BEGIN) {
        take_begin(player, event);
        return true;
    }
    if (take_kept(player, event)) {
        return true;
    }
    if (event->exchange < player->begun && !is_open(player, event->exchange) &&
        player->keys[event->exchange % OPEN_MAX].is_settled) {
        return true; /* SETTLE may come first: the caller has let go of it */
    }
    require(event->exchange < player->begun && is_open(player, event->exchange),
        "events are for open exchanges");
    switch (event->kind) {
    case EVENT_TEXT:
        take_text(player, event);
        return true;
    case EVENT_NUMBER:
        put(player, "%s %u %lld\n", field_names[event->field], event->exchange,
            (long long)event->number);
        return true;
    case EVENT_KEYED:
        player->keys[event->exchange % OPEN_MAX].key = event->key;
        player->keys[event->exchange % OPEN_MAX].is_settled |= event->is_settled;
        put(player, "KEYED %u %llx%s\n", event->exchange, (unsigned long long)event->key,
            event->is_through   ? " through"
            : event->is_settled ? " settled"
                                : "");
        return true;
    case EVENT_SPLICE:
    case EVENT_ANSWER:
        return take_splice(player, event);
    case EVENT_REQUEST:
        put(player, "REQUEST %u\n", event->exchange);
        return true;
    case EVENT_RECEIVED:
        put(player, "RECEIVED %u\n", event->exchange);
        return true;
    case EVENT_RESPONSE:
        put(player, "RESPONSE %u\n", event->exchange);
        return true;
    case EVENT_PASS:
        put(player, "PASS %u to %llx %llx%s\n", event->exchange, (unsigned long long)event->key,
            (unsigned long long)event->other, event->is_through ? " any" : "");
        return true;
    case EVENT_ASK:
        put(player, "ASK %u\n", event->exchange);
        return true;
    case EVENT_UNASKED:
        put(player, "UNASKED %u\n", event->exchange);
        return true;
    case EVENT_LINK:
        put(player, "LINK %u %.*s\n", event->exchange, (int)event->length, event->text);
        return true;
    case EVENT_RECALL:
        put(player, "%s %u from %s%s%llx\n", field_names[event->field], event->exchange,
            event->is_common ? "all " : "", event->has_own ? "own " : "",
            (unsigned long long)event->key);
        return true;
    default:
        take_close(player, event);
        return true;
    }
}

static char arrow(const struct player *player, enum direction direction)
{
    bool is_out = (direction == DIRECTION_OUT) != player->plan->is_mirrored;
    return is_out ? '>' : '<';
}

static void move_state(struct player *player)
{
    void *moved = malloc(player->protocol->state_bytes);
    memcpy(moved, player->state, player->protocol->state_bytes);
    memset(player->state, 0xa5, player->protocol->state_bytes);
    free(player->state);
    player->state = moved;
}

/* The end of a mapping that an unmapped page follows. */
static uint8_t *guarded_end(size_t length)
{
    static uint8_t *end;
    static size_t room;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    if (length > room) {
        room = (length + page - 1) / page * page;
        uint8_t *start =
            mmap(NULL, room + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        require(start != MAP_FAILED, "memory");
        munmap(start + room, page);
        end = start + room;
        mmap(end, page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    }
    return end;
}

/* One call of feed, its bytes against the guard. */
static size_t feed_once(
    struct player *player, enum direction direction, const uint8_t *bytes, size_t length)
{
    uint8_t *data = guarded_end(length) - length;
    memcpy(data, bytes, length);
    player->data = data;
    player->length = length;
    player->paused_at = SIZE_MAX;
    size_t answer = player->protocol->feed(player->state, direction, data, length, &player->sink);
    move_state(player);
    return answer;
}

static void feed_chunk(
    struct player *player, enum direction direction, const uint8_t *bytes, size_t length)
{
    while (length > 0 && !player->lost && !player->stopped[direction]) {
        size_t answer = feed_once(player, direction, bytes, length);
        if (answer == FEED_LOST) {
            player->lost = true;
            put(player, "LOST\n");
            return;
        }
        require(answer <= length, "feed consumes what is there");
        player->consumed[direction] += answer;
        bytes += answer;
        length -= answer;
        if (length > 0 && player->paused_at == SIZE_MAX) {
            player->stopped[direction] = true;
            put(player, "STOP %c %zu\n", arrow(player, direction), player->consumed[direction]);
        } else if (length > 0) {
            require(player->paused_at == answer, "feed returns the splice's offset");
        }
    }
}

/* How much of an op's rest is the next chunk. */
static size_t chunk_length(const struct plan *plan, size_t op, size_t done, size_t length)
{
    if (plan->every_byte) {
        return 1;
    }
    bool is_before_cut = plan->cut_op == op && done < plan->cut_at;
    return is_before_cut ? plan->cut_at - done : length - done;
}

static void play_op(struct player *player, size_t index, const struct op *op)
{
    enum direction direction =
        player->plan->is_mirrored ? direction_other(op->direction) : op->direction;
    player->data = NULL;
    player->length = 0;
    player->direction = direction;
    if (op->kind == OP_FINISH) {
        player->protocol->finish(player->state, direction, &player->sink);
        return;
    }
    if (op->kind == OP_SKIP) {
        player->lost = !player->protocol->skip(player->state, direction, op->length, &player->sink);
        put(player, player->lost ? "LOST\n" : "");
        return;
    }
    for (size_t done = 0; done < op->length;) {
        size_t length = chunk_length(player->plan, index, done, op->length);
        feed_chunk(player, direction, op->bytes + done, length);
        done += length;
    }
}

static void add_to_prefix(struct prefix *prefix, const uint8_t *bytes, size_t length)
{
    for (size_t i = 0; i < length && prefix->length < PREFIX_BYTES_MAX; i++) {
        prefix->bytes[prefix->length++] = bytes[i];
    }
}

/* As a caller would: asked again after each chunk until there is an answer. */
static enum verdict probe(
    const struct player *player, struct script script, enum direction *requests)
{
    struct prefix prefixes[2] = {0};
    const struct plan *plan = player->plan;
    for (size_t i = 0; i < script.count; i++) {
        const struct op *op = &script.ops[i];
        enum direction direction =
            plan->is_mirrored ? direction_other(op->direction) : op->direction;
        for (size_t done = 0; op->kind == OP_FEED && done < op->length;) {
            size_t length = chunk_length(plan, i, done, op->length);
            add_to_prefix(&prefixes[direction], op->bytes + done, length);
            done += length;
            enum verdict verdict = player->protocol->probe(prefixes, requests);
            if (verdict != VERDICT_MORE) {
                return verdict;
            }
        }
    }
    return VERDICT_MORE;
}

static void play_decided(struct player *player, struct script script, enum direction requests)
{
    player->state = malloc(player->protocol->state_bytes);
    memset(player->state, 0x5a, player->protocol->state_bytes);
    player->protocol->start(player->state, requests);
    for (size_t i = 0; i < script.count && !player->lost; i++) {
        play_op(player, i, &script.ops[i]);
    }
    free(player->state);
}

void play(const struct protocol *protocol, struct script script, const struct plan *plan,
    struct transcript *out)
{
    static struct player player;
    memset(&player, 0, offsetof(struct player, values));
    for (int i = 0; i < 4; i++) {
        player.values[i].is_open = false;
    }
    player.sink.event = take_event;
    player.protocol = protocol;
    player.plan = plan;
    player.out = out;
    out->length = 0;
    out->text[0] = '\0';
    enum direction requests = DIRECTION_IN;
    enum verdict verdict = probe(&player, script, &requests);
    if (verdict != VERDICT_YES) {
        put(&player, "PROBE %s\n", verdict == VERDICT_NO ? "no" : "more");
        return;
    }
    put(&player, "PROBE %c\n", arrow(&player, requests));
    play_decided(&player, script, requests);
}
