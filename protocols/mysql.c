/* SPDX-License-Identifier: Apache-2.0 */
/*
 * MySQL and MariaDB, seen from their clients: recognition, and the walk over packets. Lost, and
 * none of ours from then on: what is compressed, the server's log of changes, what is older than
 * protocol 4.1. A request for TLS ends the plain stream before anything was asked in it; inside TLS
 * the client speaks first.
 */
#include "mysql.h"
#include "sql_comment.h"

#include <string.h>

__attribute__((noinline)) void mysql_tell(struct mysql_reader *reader, struct event event)
{
    reader->sink->event(reader->sink, &event);
}

static uint32_t open_count(const struct mysql *mysql)
{
    return mysql->next - mysql->oldest;
}

/* Statements join the newest exchange if there are too many; nothing else may. */
static void join(struct mysql_reader *reader, enum mysql_kind kind)
{
    struct mysql *mysql = reader->mysql;
    uint8_t newest = mysql->kinds[(mysql->next - 1) % EXCHANGES_OPEN_MAX] & ~DEPENDS;
    mysql->lost |= kind != KIND_STATEMENT || newest != KIND_STATEMENT;
    if (mysql->lost) {
        return;
    }
    mysql->is_joining = true;
    mysql->joined++;
    mysql_tell(reader, (struct event){.kind = EVENT_NUMBER,
                           .exchange = mysql->next - 1,
                           .field = FIELD_BATCH,
                           .number = (int64_t)mysql->joined + 1});
}

void mysql_begin(struct mysql_reader *reader, enum mysql_kind kind)
{
    struct mysql *mysql = reader->mysql;
    mysql->is_joining = false;
    mysql->keeps = false;
    if (open_count(mysql) == EXCHANGES_OPEN_MAX || mysql->joined > 0) {
        join(reader, kind);
        return;
    }
    uint32_t exchange = mysql->next++, slot = exchange % EXCHANGES_OPEN_MAX;
    bool no_backslash = (mysql->status & STATUS_NO_BACKSLASH) != 0;
    mysql->is_begun = true;
    mysql->kinds[slot] = (uint8_t)kind;
    mysql->uses &= ~(UINT64_C(1) << slot);
    size_t offset = reader->head == SIZE_MAX ? 0 : reader->head;
    mysql_tell(reader, (struct event){.kind = EVENT_BEGIN,
                           .exchange = exchange,
                           .offset = offset,
                           .number = (int64_t)kind << VERSION_KIND_SHIFT |
                                     (no_backslash ? VERSION_NO_BACKSLASH : 0) |
                                     (mysql->is_mariadb ? VERSION_MARIADB : 0)});
    if (kind != KIND_LOGIN && kind != KIND_CHANGE_USER) {
        mysql_tell(reader, (struct event){.kind = EVENT_RECALL,
                               .exchange = exchange,
                               .field = FIELD_NAMESPACE,
                               .key = KEY_NAMESPACE});
    }
}

/* The oldest exchange is over. */
void mysql_end(struct mysql_reader *reader, enum event_kind kind, enum end_reason reason)
{
    struct mysql *mysql = reader->mysql;
    mysql_tell(reader, (struct event){.kind = kind,
                           .exchange = mysql->oldest++,
                           .reason = reason,
                           .number = mysql->returns_rows ? (int64_t)mysql->rows + 1 : 0});
    mysql->rows = 0;
    mysql->returns_rows = false;
    mysql->is_answered = false;
    mysql->answer_stage = ANSWER_FIRST;
}

/* --- the walk ------------------------------------------------------------------------------ */

static bool is_request(const struct mysql_reader *reader, const struct mysql_side *side)
{
    return side == &reader->mysql->sides[reader->mysql->requests];
}

/* False: not what may come now. */
static bool may_begin(struct mysql_reader *reader, struct mysql_side *side)
{
    struct mysql *mysql = reader->mysql;
    if (is_request(reader, side)) {
        if (mysql->phase == PHASE_GREETING && side->head[3] == 2) { /* the greeting was plain */
            mysql->phase = PHASE_RESPONSE;
            mysql->capabilities = UINT32_MAX;
            mysql->mariadb_capabilities = UINT32_MAX;
        }
        bool is_command = mysql->phase == PHASE_COMMANDS && !mysql->sends_file;
        return mysql->phase != PHASE_GREETING &&
               (!is_command || (side->head[3] == 0 && side->left > 0));
    }
    return mysql->phase == PHASE_GREETING
               ? side->left > 0 && side->left < MYSQL_PACKET_MAX && side->head[3] == 0
               : mysql->phase != PHASE_RESPONSE && side->left > 0;
}

static bool read_head(struct mysql_reader *reader, struct mysql_side *side, size_t end)
{
    reader->head = side->have == 0 ? reader->at : SIZE_MAX;
    while (reader->at < end && side->have < MYSQL_HEAD_BYTES) {
        side->head[side->have++] = reader->data[reader->at++];
    }
    if (side->have < MYSQL_HEAD_BYTES) {
        return true;
    }
    side->left = mysql_packet_bytes(side);
    side->is_open = true;
    if (side->goes_on) {
        return true;
    }
    side->part = PART_HEAD;
    side->at = 0;
    side->number = 0;
    if (!may_begin(reader, side)) {
        return false;
    }
    if (!is_request(reader, side)) {
        mysql_answer_begin(reader, side);
    }
    return true;
}

static void end_packet(struct mysql_reader *reader, struct mysql_side *side)
{
    side->is_open = false;
    side->have = 0;
    side->goes_on = mysql_packet_bytes(side) == MYSQL_PACKET_MAX;
    if (side->goes_on) {
        return;
    }
    if (is_request(reader, side)) {
        mysql_request_end(reader, side);
    } else {
        mysql_answer_end(reader, side);
    }
}

static bool step(struct mysql_reader *reader, struct mysql_side *side, size_t end)
{
    if (!side->is_open) {
        if (!is_request(reader, side) && mysql_answer_pass_rows(reader, side, end)) {
            return true;
        }
        if (!read_head(reader, side, end)) {
            return false;
        }
    } else {
        size_t length = end - reader->at < side->left ? end - reader->at : side->left;
        length = is_request(reader, side) ? mysql_request_read(reader, side, length)
                                          : mysql_answer_read(reader, side, length);
        reader->at += length;
        side->left -= (uint32_t)length;
    }
    if (side->is_open && side->left == 0 && !reader->mysql->lost) {
        end_packet(reader, side);
    }
    return !reader->mysql->lost;
}

static size_t feed(
    void *state, enum direction direction, const uint8_t *data, size_t length, struct sink *sink)
{
    struct mysql *mysql = state;
    struct mysql_reader reader = {mysql, sink, data, 0, SIZE_MAX};
    while (!mysql->lost && !mysql->over && reader.at < length) {
        mysql->lost |= !step(&reader, &mysql->sides[direction], length);
    }
    return mysql->lost ? FEED_LOST : length;
}

/* Only what is not looked at may pass unseen. */
static bool skip(void *state, enum direction direction, uint64_t length, struct sink *sink)
{
    struct mysql *mysql = state;
    struct mysql_side *side = &mysql->sides[direction];
    (void)sink;
    if (length == 0 || mysql->over) {
        return !mysql->lost;
    }
    mysql->lost |= !side->is_open || side->part != PART_SKIP || length >= side->left;
    if (!mysql->lost) {
        side->left -= (uint32_t)length;
    }
    return !mysql->lost;
}

/* A server that says nothing more answers nothing more; a client that does still reads. */
static void finish(void *state, enum direction direction, struct sink *sink)
{
    struct mysql *mysql = state;
    struct mysql_reader reader = {mysql, sink, NULL, 0, SIZE_MAX};
    if (mysql->lost || mysql->over || direction == (enum direction)mysql->requests) {
        return;
    }
    while (open_count(mysql) > 0) {
        mysql_end(&reader, EVENT_END, mysql->is_answered ? END_TRUNCATED : END_UNANSWERED);
    }
    mysql->over = true;
}

static void start(void *state, enum direction requests)
{
    memset(state, 0, sizeof(struct mysql));
    ((struct mysql *)state)->requests = (uint8_t)requests;
}

/* --- context ------------------------------------------------------------------------------- */

/* A packet with a command and its text, to which a comment is added. */
static size_t insert(const struct insertion *insertion, char *out)
{
    bool is_plain = (insertion->key & SPLICE_NO_BACKSLASH) != 0;
    size_t length = sql_comment(insertion, insertion->key % SPLICE_NO_BACKSLASH,
        is_plain ? SQL_MYSQL_NO_BACKSLASH : SQL_MYSQL, out);
    if (length == 0) {
        return 0;
    }
    for (int i = 0; i < 3; i++) {
        out[i] = (char)((length - MYSQL_HEAD_BYTES) >> (8 * i));
    }
    return length;
}

unsigned mysql_dialect(int64_t version)
{
    return version & VERSION_NO_BACKSLASH ? SQL_MYSQL_NO_BACKSLASH : SQL_MYSQL;
}

/* --- whose bytes are these ----------------------------------------------------------------- */

static bool is_digit(uint8_t byte)
{
    return byte >= '0' && byte <= '9';
}

/* Length, 0, 10, a version: "8.0.36", "5.5.5-10.11.6-MariaDB" */
static enum verdict probe_greeting(const struct prefix *server)
{
    enum { VERSION_AT = 5, LENGTH_MIN = 49, MAJOR_DIGITS_MAX = 3 };
    static const uint8_t fixed[] = {0, 0, 0, 10}; /* of less than 256 bytes, the first one */
    const uint8_t *bytes = server->bytes;
    size_t have = server->length < VERSION_AT ? server->length : VERSION_AT, at = VERSION_AT;
    if (bytes[0] < LENGTH_MIN || memcmp(bytes + 1, fixed, have - 1) != 0) {
        return VERDICT_NO;
    }
    while (at < server->length && at < VERSION_AT + MAJOR_DIGITS_MAX && is_digit(bytes[at])) {
        at++;
    }
    if (at >= server->length) {
        return VERDICT_MORE;
    }
    if (at == VERSION_AT || bytes[at++] != '.') {
        return VERDICT_NO;
    }
    return at == server->length ? VERDICT_MORE : is_digit(bytes[at]) ? VERDICT_YES : VERDICT_NO;
}

/* Inside TLS: the second packet of a client's that asked for TLS in its first. */
static enum verdict probe_response(const struct prefix *client)
{
    enum { ZEROS_AT = 13, TLS = 8, PROTOCOL_41 = 2 };
    const uint8_t *bytes = client->bytes;
    bool may_be = (client->length <= 3 || bytes[3] == 2) &&
                  (client->length <= 2 || bytes[2] == 0) &&
                  (client->length <= 5 || (bytes[5] & (TLS | PROTOCOL_41)) == (TLS | PROTOCOL_41));
    for (size_t at = ZEROS_AT; may_be && at < client->length; at++) {
        may_be = bytes[at] == 0;
    }
    if (!may_be) {
        return VERDICT_NO;
    }
    return client->length < PREFIX_BYTES_MAX ? VERDICT_MORE : VERDICT_YES;
}

static enum verdict probe(const struct prefix prefixes[2], enum direction *requests)
{
    for (enum direction from = DIRECTION_IN; from <= DIRECTION_OUT; from++) {
        enum direction other = direction_other(from);
        if (prefixes[from].length == 0 || prefixes[other].length > 0) {
            continue;
        }
        enum verdict greeting = probe_greeting(&prefixes[from]);
        enum verdict response = probe_response(&prefixes[from]);
        if (greeting == VERDICT_YES || response == VERDICT_YES) {
            *requests = greeting == VERDICT_YES ? other : from;
            return VERDICT_YES;
        }
        return greeting == VERDICT_MORE || response == VERDICT_MORE ? VERDICT_MORE : VERDICT_NO;
    }
    return VERDICT_NO;
}

const struct protocol mysql_protocol = {
    .name = "mysql",
    .state_bytes = sizeof(struct mysql),
    .edits = EDITS_STATEMENTS,
    .client_only = true,
    .probe = probe,
    .start = start,
    .feed = feed,
    .skip = skip,
    .finish = finish,
    .insert = insert,
    .dialect = mysql_dialect,
    .describe = mysql_describe,
};
