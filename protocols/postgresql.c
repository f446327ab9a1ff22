/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PostgreSQL's frontend/backend protocol 3.0 and 3.2 (PostgreSQL documentation, "Message Flow" and
 * "Message Formats"), as its clients speak it: one exchange for each Query and each Execute. A
 * Parse whose unit executes nothing, and the start of a session, are exchanges only if they fail.
 *
 * What answers what: the messages that matter stand in a queue in the order they were sent, equal
 * ones that follow each other as one run. An error ends the first of them; what the server skips
 * after it, up to the next Sync, was never done and is no exchange.
 *
 *   next - oldest <= EXCHANGES_OPEN_MAX; executions beyond are joined to the newest exchange
 *   lost => no further event is told
 */
#include <string.h>

#include "database.h"

enum {
    STARTUP_BYTES_MAX = 10000, /* MAX_STARTUP_PACKET_LENGTH of the server */
    MESSAGE_BYTES_MAX = 1 << 30,
    RUNS_MAX = 24,
    HEAD_BYTES = 5,
    STARTUP_HEAD_BYTES = 8,
    WORD_BYTES = 8,
    PROTOCOL_MAJOR = 3,
    CODE_CANCEL = 80877102,
    CODE_SSL = 80877103,
    CODE_GSS = 80877104
};

/* What FIELD_VERSION says of an exchange. */
enum kind { KIND_STATEMENT, KIND_PREPARE, KIND_FUNCTION, KIND_STARTUP };

enum item {
    ITEM_SESSION, /* until the first ReadyForQuery */
    ITEM_QUERY,
    ITEM_FUNCTION,
    ITEM_SYNC,
    ITEM_PREPARE, /* the unit that its Sync ends has a Parse and no Execute */
    ITEM_EXECUTE,
    ITEM_JOINED /* an Execute that is part of the exchange before it */
};

struct run {
    uint32_t count;
    uint8_t item; /* enum item */
};

struct side {
    uint64_t hash; /* of the name being read */
    uint32_t left; /* bytes of the body to come */
    uint8_t head[STARTUP_HEAD_BYTES];
    uint8_t have; /* bytes of the head */
    uint8_t type; /* 0: a packet of the start, which has no type */
    uint8_t part; /* of the body */
    bool in_body;
    bool in_text; /* a piece of the text has been told */
    uint8_t word_length;
    uint8_t word[WORD_BYTES];
};

struct postgresql {
    struct side sides[2]; /* by direction */
    struct run runs[RUNS_MAX];
    uint64_t rows;     /* of the first exchange */
    uint64_t prepared; /* key of the last Parse of this unit */
    uint32_t batch;    /* executions of the newest exchange */
    uint32_t oldest, next;
    uint8_t run_count;
    uint8_t single_answers; /* one byte each: to SSLRequest, GSSENCRequest */
    uint8_t requests;       /* enum direction in which they travel */
    bool has_session;       /* the packet with the version is there */
    bool has_database;
    bool has_parse, has_execute; /* in this unit */
    bool returns_rows;
    bool is_answered; /* the first byte of its answer was told */
    bool over;        /* the server will say nothing more */
    bool lost;
};

_Static_assert(sizeof(struct postgresql) <= STATE_BYTES_MAX, "connections hold one each");

struct reader {
    struct postgresql *pg;
    struct sink *sink;
    const uint8_t *data;
    size_t at;
};

/* Keys of kept texts: of names by their hash, statements and portals apart. */
#define KEY_NAMESPACE UINT64_C(1)
#define SEED_STATEMENT UINT64_C(0xCBF29CE484222325)
#define SEED_PORTAL UINT64_C(0x9E3779B97F4A7C15)
#define HASH_FACTOR UINT64_C(0x100000001B3)

static uint32_t number_at(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

/* --- events -------------------------------------------------------------------------------- */

__attribute__((noinline)) static void tell(struct reader *reader, struct event event)
{
    reader->sink->event(reader->sink, &event);
}

static void tell_kind(struct reader *reader, enum event_kind kind, uint32_t exchange)
{
    tell(reader, (struct event){.kind = kind, .exchange = exchange, .offset = reader->at});
}

static void tell_number(struct reader *reader, uint32_t exchange, enum field field, int64_t number)
{
    tell(reader, (struct event){
                     .kind = EVENT_NUMBER, .exchange = exchange, .field = field, .number = number});
}

/* The next `length` bytes of the buffer. */
static void tell_piece(
    struct reader *reader, struct event event, struct side *side, size_t length, bool last)
{
    event.first = !side->in_text;
    event.last = last;
    event.offset = reader->at;
    event.text = reader->data + reader->at;
    event.length = length;
    side->in_text = !last;
    tell(reader, event);
}

/* --- the queue ----------------------------------------------------------------------------- */

static uint32_t open_count(const struct postgresql *pg)
{
    return pg->next - pg->oldest;
}

static bool is_exchange(uint8_t item)
{
    return item != ITEM_SYNC && item != ITEM_JOINED;
}

static void push(struct postgresql *pg, enum item item)
{
    struct run *last = &pg->runs[pg->run_count];
    if (pg->run_count > 0 && last[-1].item == item) {
        last[-1].count++;
    } else if (pg->run_count < RUNS_MAX) {
        *last = (struct run){1, (uint8_t)item};
        pg->run_count++;
    } else {
        pg->lost = true;
    }
}

static void pop(struct postgresql *pg)
{
    if (--pg->runs[0].count > 0) {
        return;
    }
    pg->run_count--;
    memmove(pg->runs, pg->runs + 1, pg->run_count * sizeof(pg->runs[0]));
}

/* Is the first thing that is still to be answered this? */
static bool awaits(const struct postgresql *pg, enum item item)
{
    return pg->run_count > 0 && pg->runs[0].item == item;
}

static void begin(struct reader *reader, enum item item, enum kind kind)
{
    struct postgresql *pg = reader->pg;
    if (item == ITEM_EXECUTE && open_count(pg) >= EXCHANGES_OPEN_MAX) {
        push(pg, ITEM_JOINED);
        tell_number(reader, pg->next - 1, FIELD_BATCH, ++pg->batch);
        return;
    }
    pg->lost |= open_count(pg) >= EXCHANGES_OPEN_MAX;
    push(pg, item);
    if (pg->lost) {
        return;
    }
    pg->batch = 1;
    tell_kind(reader, EVENT_BEGIN, pg->next++);
    tell_number(reader, pg->next - 1, FIELD_VERSION, kind);
    tell(reader, (struct event){.kind = EVENT_RECALL,
                     .exchange = pg->next - 1,
                     .field = FIELD_NAMESPACE,
                     .key = KEY_NAMESPACE});
}

static void recall(struct reader *reader, uint64_t key)
{
    tell(reader, (struct event){.kind = EVENT_RECALL,
                     .exchange = reader->pg->next - 1,
                     .field = FIELD_QUERY,
                     .key = key});
}

static void requested(struct reader *reader)
{
    tell_kind(reader, EVENT_REQUEST, reader->pg->next - 1);
}

/* The first exchange is over. */
static void end(struct reader *reader, enum event_kind kind, enum end_reason reason)
{
    struct postgresql *pg = reader->pg;
    if (kind == EVENT_END && pg->returns_rows) {
        tell_number(reader, pg->oldest, FIELD_ROWS, (int64_t)pg->rows + 1);
    }
    tell(reader, (struct event){.kind = kind, .exchange = pg->oldest++, .reason = reason});
    pg->rows = 0;
    pg->returns_rows = false;
    pg->is_answered = false;
}

static void end_first(struct reader *reader, enum event_kind kind)
{
    bool is_told = is_exchange(reader->pg->runs[0].item);
    pop(reader->pg);
    if (is_told) {
        end(reader, kind, END_COMPLETE);
    }
}

/* --- what the client says ------------------------------------------------------------------ */

/* Up to the end of a name: true when it is there. */
static bool hash_name(struct reader *reader, struct side *side, size_t *length)
{
    const uint8_t *bytes = reader->data + reader->at;
    for (size_t i = 0; i < *length; i++) {
        if (bytes[i] == 0) {
            *length = i + 1;
            return true;
        }
        side->hash = (side->hash ^ bytes[i]) * HASH_FACTOR;
    }
    return false;
}

/* The next part of the body begins with a name. */
static void next_part(struct side *side, uint64_t seed)
{
    side->part++;
    side->hash = seed;
    side->word_length = 0;
}

/* A text that ends with its body, a zero behind it. */
static size_t read_query(struct reader *reader, struct side *side, size_t length)
{
    uint32_t left = side->left - 1;
    bool is_started = side->in_text || side->part > 0;
    if (left > 0 || !is_started) {
        size_t piece = length < left ? length : left;
        struct event event = {
            .kind = EVENT_TEXT, .exchange = reader->pg->next - 1, .field = FIELD_QUERY};
        side->part = 1;
        tell_piece(reader, event, side, piece, piece == left);
        return piece == 0 ? 1 : piece;
    }
    return 1;
}

/* A text up to its zero, to be kept; true when it is there. */
static bool keep_text(struct reader *reader, struct side *side, uint64_t key, size_t *length)
{
    const uint8_t *bytes = reader->data + reader->at;
    const uint8_t *zero = memchr(bytes, 0, *length);
    size_t piece = zero == NULL ? *length : (size_t)(zero - bytes);
    struct event event = {.kind = EVENT_KEEP, .key = key};
    tell_piece(reader, event, side, piece, zero != NULL);
    *length = piece + (zero != NULL);
    return zero != NULL;
}

/* Statement, text, types of parameters. */
static size_t read_parse(struct reader *reader, struct side *side, size_t length)
{
    struct postgresql *pg = reader->pg;
    if (side->part == 0 && hash_name(reader, side, &length)) {
        pg->prepared = side->hash;
        pg->has_parse = true;
        next_part(side, 0);
    } else if (side->part == 1 && keep_text(reader, side, pg->prepared, &length)) {
        next_part(side, 0);
    }
    return length;
}

/* Portal, statement, parameters. */
static size_t read_bind(struct reader *reader, struct side *side, size_t length)
{
    if (side->part == 0 && hash_name(reader, side, &length)) {
        memcpy(side->word, &side->hash, sizeof side->word); /* until the statement's is known */
        next_part(side, SEED_STATEMENT);
    } else if (side->part == 1 && hash_name(reader, side, &length)) {
        struct event event = {.kind = EVENT_ALIAS, .other = side->hash};
        memcpy(&event.key, side->word, sizeof event.key);
        tell(reader, event);
        next_part(side, 0);
    }
    return length;
}

/* Portal, most rows. */
static size_t read_execute(struct reader *reader, struct side *side, size_t length)
{
    struct postgresql *pg = reader->pg;
    if (side->part == 0 && hash_name(reader, side, &length)) {
        uint32_t before = pg->next;
        pg->has_execute = true;
        begin(reader, ITEM_EXECUTE, KIND_STATEMENT);
        if (pg->next != before) {
            recall(reader, side->hash);
            requested(reader);
        }
        next_part(side, 0);
    }
    return length;
}

/* S or P, name. */
static size_t read_close(struct reader *reader, struct side *side, size_t length)
{
    if (side->part == 0) {
        next_part(side, reader->data[reader->at] == 'S' ? SEED_STATEMENT : SEED_PORTAL);
        return 1;
    }
    if (side->part == 1 && hash_name(reader, side, &length)) {
        tell(reader, (struct event){.kind = EVENT_DROP, .key = side->hash});
        next_part(side, 0);
    }
    return length;
}

/* Names and values in turn, then a zero: part 0 is a name, 1 the database's, 2 another's. */
static size_t read_startup(struct reader *reader, struct side *side, size_t length)
{
    struct postgresql *pg = reader->pg;
    uint8_t byte = reader->data[reader->at];
    if (side->part == 1) {
        if (keep_text(reader, side, KEY_NAMESPACE, &length)) {
            next_part(side, 0);
            side->part = 0;
        }
        return length;
    }
    if (side->part == 2) {
        const uint8_t *zero = memchr(reader->data + reader->at, 0, length);
        if (zero == NULL) {
            return length;
        }
        next_part(side, 0);
        side->part = 0;
        return (size_t)(zero - (reader->data + reader->at)) + 1;
    }
    if (byte != 0) {
        if (side->word_length < WORD_BYTES) {
            side->word[side->word_length] = byte;
        }
        side->word_length += side->word_length <= WORD_BYTES;
        return 1;
    }
    bool is_database = side->word_length == 8 && memcmp(side->word, "database", 8) == 0;
    bool is_user = side->word_length == 4 && memcmp(side->word, "user", 4) == 0;
    side->part = is_database || (is_user && !pg->has_database) ? 1 : 2;
    pg->has_database |= is_database;
    return 1;
}

static size_t read_request(struct reader *reader, struct side *side, size_t length)
{
    switch (side->type) {
    case 0:
        return reader->pg->has_session ? read_startup(reader, side, length) : length;
    case 'Q':
        return read_query(reader, side, length);
    case 'P':
        return read_parse(reader, side, length);
    case 'B':
        return read_bind(reader, side, length);
    case 'E':
        return read_execute(reader, side, length);
    case 'C':
        return read_close(reader, side, length);
    default:
        return length;
    }
}

static void begin_request(struct reader *reader, struct side *side)
{
    if (side->type == 'Q') {
        begin(reader, ITEM_QUERY, KIND_STATEMENT);
    }
    side->hash = side->type == 'P' ? SEED_STATEMENT : SEED_PORTAL;
}

/* A unit without Execute is of interest if its Parse fails. */
static void end_unit(struct reader *reader)
{
    struct postgresql *pg = reader->pg;
    if (pg->has_parse && !pg->has_execute && open_count(pg) < EXCHANGES_OPEN_MAX) {
        begin(reader, ITEM_PREPARE, KIND_PREPARE);
        recall(reader, pg->prepared);
        requested(reader);
    }
    pg->has_parse = pg->has_execute = false;
    push(pg, ITEM_SYNC);
}

static void end_request(struct reader *reader, struct side *side)
{
    if (side->type == 'Q') {
        requested(reader);
    } else if (side->type == 'F') {
        begin(reader, ITEM_FUNCTION, KIND_FUNCTION);
        requested(reader);
    } else if (side->type == 'S') {
        end_unit(reader);
    } else if (side->type == 0 && reader->pg->has_session) {
        begin(reader, ITEM_SESSION, KIND_STARTUP);
        requested(reader);
    }
}

/* --- what the server says ------------------------------------------------------------------ */

/* A letter, its text, and so on, until a zero stands for the letter. */
static size_t read_error(struct reader *reader, struct side *side, size_t length)
{
    struct postgresql *pg = reader->pg;
    if (side->part == 0) {
        side->type =
            reader->data[reader->at] == 'C' && pg->run_count > 0 && is_exchange(pg->runs[0].item)
                ? 'c'
                : 'E';
        side->part = reader->data[reader->at] != 0;
        side->in_text = false;
        return 1;
    }
    const uint8_t *bytes = reader->data + reader->at;
    const uint8_t *zero = memchr(bytes, 0, length);
    size_t piece = zero == NULL ? length : (size_t)(zero - bytes);
    if (side->type == 'c') {
        struct event event = {.kind = EVENT_TEXT, .exchange = pg->oldest, .field = FIELD_CODE};
        tell_piece(reader, event, side, piece, zero != NULL);
    }
    side->part = zero == NULL;
    return piece + (zero != NULL);
}

/* "SELECT 5": says that rows are returned, though there may be none. */
static size_t read_tag(struct side *side, const uint8_t *bytes, size_t length)
{
    for (size_t i = 0; i < length && side->word_length < 6; i++) {
        side->word[side->word_length++] = bytes[i];
    }
    return length;
}

static size_t read_answer(struct reader *reader, struct side *side, size_t length)
{
    if (side->type == 'E' || side->type == 'c') {
        return read_error(reader, side, length);
    }
    return side->type == 'C' ? read_tag(side, reader->data + reader->at, length) : length;
}

static void begin_answer(struct reader *reader, struct side *side)
{
    struct postgresql *pg = reader->pg;
    bool is_of_first = memchr("TDCEIsGHWV", side->type, 10) != NULL;
    if (!is_of_first || pg->run_count == 0 || !is_exchange(pg->runs[0].item)) {
        return;
    }
    if (!pg->is_answered) {
        tell_kind(reader, EVENT_RESPONSE, pg->oldest);
    }
    pg->is_answered = true;
    pg->rows += side->type == 'D';
    pg->returns_rows |= side->type == 'D' || side->type == 'T';
}

/* Everything up to what this answers has been done, or skipped after an error. */
static void ready(struct reader *reader)
{
    struct postgresql *pg = reader->pg;
    bool is_done = false;
    while (!is_done && pg->run_count > 0) {
        uint8_t item = pg->runs[0].item;
        is_done = item <= ITEM_SYNC;
        end_first(reader, item == ITEM_QUERY || item == ITEM_FUNCTION ? EVENT_END : EVENT_VOID);
    }
    pg->lost |= !is_done;
}

static void end_answer(struct reader *reader, struct side *side)
{
    struct postgresql *pg = reader->pg;
    bool is_execution = awaits(pg, ITEM_EXECUTE) || awaits(pg, ITEM_JOINED);
    switch (side->type) {
    case 'C':
        pg->returns_rows |= side->word_length == 6 && memcmp(side->word, "SELECT", 6) == 0 &&
                            is_exchange(pg->run_count > 0 ? pg->runs[0].item : ITEM_SYNC);
        /* fall through */
    case 'I':
    case 's':
        if (is_execution) {
            end_first(reader, EVENT_END);
        }
        break;
    case 'E':
    case 'c':
        if (is_execution || awaits(pg, ITEM_PREPARE) || awaits(pg, ITEM_SESSION)) {
            end_first(reader, EVENT_END);
        }
        break;
    case 'Z':
        ready(reader);
        break;
    default:
        break;
    }
}

/* --- the walk ------------------------------------------------------------------------------ */

static bool is_request(const struct reader *reader, const struct side *side)
{
    return side == &reader->pg->sides[reader->pg->requests];
}

static bool is_known(bool is_request, uint8_t type)
{
    static const char requests[] = "QPBEDCSHFdcfpX", answers[] = "R1ISKZTDCEtn2sANGHWVvdc3";
    return is_request ? memchr(requests, type, sizeof requests - 1) != NULL
                      : memchr(answers, type, sizeof answers - 1) != NULL;
}

/* Of the packets before a session: false, it is none that we know. */
static bool begin_packet(struct postgresql *pg, struct side *side)
{
    uint32_t length = number_at(side->head), code = number_at(side->head + 4);
    side->type = 0;
    if (length == STARTUP_HEAD_BYTES && (code == CODE_SSL || code == CODE_GSS)) {
        pg->single_answers++;
    } else if (code >> 16 == PROTOCOL_MAJOR && length > STARTUP_HEAD_BYTES &&
               length <= STARTUP_BYTES_MAX) {
        pg->has_session = true;
    } else {
        return false;
    }
    side->left = length - STARTUP_HEAD_BYTES;
    return true;
}

static bool begin_message(struct reader *reader, struct side *side)
{
    uint32_t length = number_at(side->head + 1);
    side->type = side->head[0];
    if (!is_known(is_request(reader, side), side->type) || length < 4 ||
        length > MESSAGE_BYTES_MAX ||
        (length == 4 && side->type == 'Q')) { /* its text has a zero at least */
        return false;
    }
    side->left = length - 4;
    return true;
}

static bool read_head(struct reader *reader, struct side *side, size_t end)
{
    struct postgresql *pg = reader->pg;
    bool is_packet = is_request(reader, side) && !pg->has_session;
    size_t size = is_packet ? STARTUP_HEAD_BYTES : HEAD_BYTES;
    while (reader->at < end && side->have < size) {
        side->head[side->have++] = reader->data[reader->at++];
    }
    if (side->have < size) {
        return true;
    }
    side->have = side->part = side->word_length = 0;
    side->in_text = false;
    side->in_body = true;
    if (!(is_packet ? begin_packet(pg, side) : begin_message(reader, side))) {
        return false;
    }
    if (is_request(reader, side)) {
        begin_request(reader, side);
    } else {
        begin_answer(reader, side);
    }
    return true;
}

static bool read_single(struct reader *reader)
{
    reader->pg->single_answers--;
    return reader->data[reader->at++] == 'N';
}

static bool step(struct reader *reader, struct side *side, size_t end)
{
    bool is_ours = is_request(reader, side);
    if (!side->in_body) {
        if (!is_ours && reader->pg->single_answers > 0) {
            return read_single(reader);
        }
        if (!read_head(reader, side, end)) {
            return false;
        }
    } else {
        size_t length = end - reader->at < side->left ? end - reader->at : side->left;
        length = is_ours ? read_request(reader, side, length) : read_answer(reader, side, length);
        reader->at += length;
        side->left -= (uint32_t)length;
    }
    if (side->in_body && side->left == 0) {
        side->in_body = false;
        if (is_ours) {
            end_request(reader, side);
        } else {
            end_answer(reader, side);
        }
    }
    return !reader->pg->lost;
}

static size_t feed(
    void *state, enum direction direction, const uint8_t *data, size_t length, struct sink *sink)
{
    struct postgresql *pg = state;
    struct reader reader = {pg, sink, data, 0};
    struct side *side = &pg->sides[direction];
    while (!pg->lost && !pg->over && reader.at < length) {
        pg->lost |= !step(&reader, side, length);
    }
    return pg->lost ? FEED_LOST : length;
}

/* Only what is skipped anyway may pass unseen: data of COPY, parameters. */
static bool skip(void *state, enum direction direction, uint64_t length, struct sink *sink)
{
    struct postgresql *pg = state;
    struct side *side = &pg->sides[direction];
    if (length == 0 || pg->over) {
        return !pg->lost;
    }
    pg->lost |= !side->in_body || side->type != 'd' || length >= side->left;
    if (!pg->lost) {
        side->left -= (uint32_t)length;
    }
    return !pg->lost;
}

/* Without the server's direction nothing more is answered. */
static void finish(void *state, enum direction direction, struct sink *sink)
{
    struct postgresql *pg = state;
    struct reader reader = {pg, sink, NULL, 0};
    if (pg->lost || pg->over || direction == (enum direction)pg->requests) {
        return;
    }
    while (open_count(pg) > 0) {
        enum end_reason reason = pg->is_answered ? END_TRUNCATED : END_UNANSWERED;
        end(&reader, EVENT_END, reason);
    }
    pg->over = true;
}

static void start(void *state, enum direction requests)
{
    memset(state, 0, sizeof(struct postgresql));
    ((struct postgresql *)state)->requests = (uint8_t)requests;
}

/* --- whose bytes are these ----------------------------------------------------------------- */

static enum verdict probe_client(const struct prefix *client, const struct prefix *server)
{
    size_t at = 0, answers = 0;
    while (client->length - at >= STARTUP_HEAD_BYTES) {
        uint32_t length = number_at(client->bytes + at), code = number_at(client->bytes + at + 4);
        bool is_asking = length == STARTUP_HEAD_BYTES && (code == CODE_SSL || code == CODE_GSS);
        if (!is_asking) {
            bool is_session = code >> 16 == PROTOCOL_MAJOR && (code & 0xffff) < 100 &&
                              length > STARTUP_HEAD_BYTES && length <= STARTUP_BYTES_MAX;
            return is_session && server->length == answers ? VERDICT_YES : VERDICT_NO;
        }
        at += STARTUP_HEAD_BYTES;
        if (answers < server->length && server->bytes[answers] != 'N') {
            return VERDICT_NO; /* encrypted from here on */
        }
        answers++;
    }
    if (server->length > answers) {
        return VERDICT_NO;
    }
    if (answers > 0 && server->length == answers) {
        return VERDICT_YES;
    }
    static const uint8_t lead[] = {0, 0};
    size_t left = client->length - at;
    return memcmp(client->bytes + at, lead, left < 2 ? left : 2) == 0 ? VERDICT_MORE : VERDICT_NO;
}

/* The client speaks first. */
static enum verdict probe(const struct prefix prefixes[2], enum direction *requests)
{
    for (enum direction from = DIRECTION_IN; from <= DIRECTION_OUT; from++) {
        if (prefixes[from].length == 0 || prefixes[from].bytes[0] != 0) {
            continue;
        }
        enum verdict verdict = probe_client(&prefixes[from], &prefixes[direction_other(from)]);
        if (verdict == VERDICT_YES) {
            *requests = from;
        }
        return verdict;
    }
    return VERDICT_NO;
}

/* --- the span ------------------------------------------------------------------------------ */

/* SQLSTATE's classes 00 and 01 are successes and warnings. */
static void describe(const struct facts *facts, struct describer *out)
{
    static const struct fact operations[] = {[KIND_PREPARE] = DATABASE_TEXT("PREPARE"),
        [KIND_FUNCTION] = DATABASE_TEXT("FUNCTION CALL"),
        [KIND_STARTUP] = DATABASE_TEXT("CONNECT")};
    struct fact code = facts->texts[FIELD_CODE];
    int64_t kind = facts->numbers[FIELD_VERSION];
    struct database database = {.system = DATABASE_TEXT("postgresql"), .dialect = SQL_POSTGRESQL};
    if (kind >= KIND_STATEMENT && kind <= KIND_STARTUP) {
        database.operation = operations[kind];
    }
    database.is_error = code.length >= 2 && (code.text[0] != '0' || code.text[1] > '1');
    database_describe_sql(facts, out, &database);
}

const struct protocol postgresql_protocol = {
    .name = "postgresql",
    .state_bytes = sizeof(struct postgresql),
    .client_only = true,
    .probe = probe,
    .start = start,
    .feed = feed,
    .skip = skip,
    .finish = finish,
    .describe = describe,
};
