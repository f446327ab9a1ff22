/* SPDX-License-Identifier: Apache-2.0 */
/* What a server says: its greeting, and answers of one packet or of many. */
#include <string.h>

#include "mysql.h"

enum {
    PACKET_OK = 0x00,
    PACKET_FILE = 0xFB,
    PACKET_EOF = 0xFE,
    PACKET_ERROR = 0xFF,
    EOF_BYTES_MAX = 9,
    PREPARED_BYTES = 12,
    CODE_PROGRESS = 0xFFFF, /* MariaDB: how far it is, no error */
    STATUS_MORE = 1 << 3,
    STATUS_CURSOR = 1 << 6
};

static uint32_t number_at(const uint8_t *bytes, size_t count)
{
    uint32_t number = 0;
    for (size_t i = count; i > 0; i--) {
        number = number << 8 | bytes[i - 1];
    }
    return number;
}

static bool has(const struct mysql *mysql, uint32_t capability)
{
    return (mysql->capabilities & capability) != 0;
}

/* --- the greeting -------------------------------------------------------------------------- */

/* Ten, the version, a zero; then fields at fixed places. */
static size_t read_version(struct mysql *mysql, struct mysql_side *side, uint8_t byte)
{
    static const char name[] = "MariaDB";
    if (byte == 0) {
        side->part = PART_FIXED;
        side->at = 0;
        side->number = 0;
    } else if (byte == (uint8_t)name[mysql->name_match]) {
        mysql->is_mariadb |= ++mysql->name_match == sizeof name - 1;
        mysql->name_match %= sizeof name - 1;
    } else {
        mysql->name_match = byte == 'M';
    }
    return 1;
}

/* Thread 4, salt 8, a zero, capabilities 2, charset 1, status 2, capabilities 2, length 1, zeros 6,
 * capabilities of MariaDB's own 4. */
static size_t read_fields(struct mysql *mysql, struct mysql_side *side, uint8_t byte)
{
    static const uint8_t shifts[MYSQL_GREETING_BYTES] = {
        [13] = 1, [14] = 9, [18] = 17, [19] = 25, [27] = 33, [28] = 41, [29] = 49, [30] = 57};
    uint8_t shift = shifts[side->at];
    if (shift > 0) {
        side->number |= (uint64_t)byte << (shift - 1);
    }
    if (++side->at < MYSQL_GREETING_BYTES) {
        return 1;
    }
    mysql->capabilities = (uint32_t)side->number;
    mysql->mariadb_capabilities = has(mysql, CAPABILITY_MYSQL) ? 0 : (uint32_t)(side->number >> 32);
    mysql->phase = PHASE_RESPONSE;
    side->part = PART_SKIP;
    return 1;
}

/* --- answers ------------------------------------------------------------------------------- */

static enum mysql_kind oldest_kind(const struct mysql *mysql)
{
    return (enum mysql_kind)(mysql->kinds[mysql->oldest % EXCHANGES_OPEN_MAX] & ~DEPENDS);
}

static bool is_login(const struct mysql *mysql)
{
    return oldest_kind(mysql) == KIND_LOGIN || oldest_kind(mysql) == KIND_CHANGE_USER;
}

static void tell_key(
    struct mysql_reader *reader, enum event_kind kind, uint64_t key, uint64_t other)
{
    mysql_tell(reader, (struct event){.kind = kind, .key = key, .other = other});
}

/* What was kept until the server had its say. */
static void settle(struct mysql_reader *reader, bool is_success)
{
    struct mysql *mysql = reader->mysql;
    enum mysql_kind kind = oldest_kind(mysql);
    uint64_t key = KEY_COMMAND | mysql->oldest;
    bool uses = (mysql->uses & UINT64_C(1) << mysql->oldest % EXCHANGES_OPEN_MAX) != 0;
    if (kind == KIND_PREPARE) {
        bool is_newest = mysql->has_prepared && mysql->prepared == mysql->oldest;
        if (is_success) {
            tell_key(reader, EVENT_ALIAS, KEY_STATEMENT | number_at(mysql->answer + 1, 4), key);
        }
        mysql->is_prepared |= is_newest;
        if (!is_newest) {
            tell_key(reader, EVENT_DROP, key, 0);
        }
        return;
    }
    if (!uses && kind != KIND_INIT_DB && !is_login(mysql)) {
        return;
    }
    if (is_success) {
        tell_key(reader, EVENT_ALIAS, KEY_NAMESPACE, key);
    }
    tell_key(reader, EVENT_DROP, key, 0);
}

/* A statement's answer is complete, or that of the first of several that are one exchange. */
static void end_answer(struct mysql_reader *reader, bool is_success)
{
    struct mysql *mysql = reader->mysql;
    bool is_statement = oldest_kind(mysql) == KIND_STATEMENT;
    mysql->answer_stage = ANSWER_FIRST;
    if (mysql->joined > 0 && mysql->oldest + 1 == mysql->next) {
        mysql->joined--;
        return;
    }
    settle(reader, is_success);
    mysql_end(reader, is_statement || !is_success ? EVENT_END : EVENT_VOID, END_COMPLETE);
}

static void end_error(struct mysql_reader *reader)
{
    struct mysql *mysql = reader->mysql;
    uint32_t code = number_at(mysql->answer + 1, 2);
    if (code == CODE_PROGRESS && mysql->phase == PHASE_COMMANDS) {
        return;
    }
    if (code == ERROR_UNKNOWN_STATEMENT && mysql->joined == 0 &&
        mysql->kinds[mysql->oldest % EXCHANGES_OPEN_MAX] >= DEPENDS) {
        mysql_end(reader, EVENT_VOID, END_COMPLETE);
        return;
    }
    mysql_tell(reader, (struct event){.kind = EVENT_NUMBER,
                           .exchange = mysql->oldest,
                           .field = FIELD_STATUS,
                           .number = (int64_t)code});
    if (oldest_kind(mysql) == KIND_PREPARE) {
        mysql_tell(reader, (struct event){.kind = EVENT_RECALL,
                               .exchange = mysql->oldest,
                               .field = FIELD_QUERY,
                               .key = KEY_COMMAND | mysql->oldest});
    }
    end_answer(reader, false);
    mysql->over |= mysql->phase == PHASE_LOGIN; /* it hangs up */
}

static size_t length_of_number(uint8_t first)
{
    return first < 0xFB ? 1 : first == 0xFC ? 3 : first == 0xFD ? 4 : 9;
}

/* OK: two numbers, then the status; EOF: warnings, then the status. */
static void note_status(struct mysql *mysql, bool is_eof)
{
    size_t at = 1;
    if (is_eof) {
        at = 3;
    } else {
        at += length_of_number(mysql->answer[at]);
        at += length_of_number(mysql->answer[at]);
    }
    mysql->status = at + 2 <= mysql->answer_length ? (uint16_t)number_at(mysql->answer + at, 2) : 0;
}

static void end_result(struct mysql_reader *reader, bool is_eof)
{
    struct mysql *mysql = reader->mysql;
    note_status(mysql, is_eof);
    mysql->answer_stage = ANSWER_FIRST;
    if ((mysql->status & STATUS_MORE) == 0) {
        end_answer(reader, true);
    }
}

static void begin_columns(struct mysql_reader *reader)
{
    struct mysql *mysql = reader->mysql;
    const uint8_t *bytes = mysql->answer;
    bool has_columns = true;
    if (has(mysql, CAPABILITY_OPTIONAL_METADATA) && !mysql->is_mariadb) {
        has_columns = bytes[0] != 0;
        bytes++;
    }
    size_t length = length_of_number(bytes[0]), last = (size_t)(bytes - mysql->answer) + length;
    mysql->columns = length == 1 ? bytes[0] : number_at(bytes + 1, length < 5 ? length - 1 : 4);
    if (mysql->mariadb_capabilities & CAPABILITY_MARIADB_CACHE_METADATA) {
        has_columns = mysql->answer_length <= last || mysql->answer[last] != 0;
    }
    mysql->columns = has_columns ? mysql->columns : 0;
    mysql->returns_rows = true;
    mysql->answer_stage = mysql->columns > 0                     ? ANSWER_COLUMNS
                          : has(mysql, CAPABILITY_DEPRECATE_EOF) ? ANSWER_ROWS
                                                                 : ANSWER_COLUMNS_END;
}

/* Definitions of parameters and of columns, each with its end if there are any. */
static void read_prepared(struct mysql_reader *reader)
{
    struct mysql *mysql = reader->mysql;
    uint32_t columns = number_at(mysql->answer + 5, 2),
             parameters = number_at(mysql->answer + 7, 2);
    bool has_ends = !has(mysql, CAPABILITY_DEPRECATE_EOF);
    mysql->lost |= mysql->answer[0] != PACKET_OK || mysql->answer_length < PREPARED_BYTES;
    mysql->columns =
        columns + parameters + (has_ends && columns > 0) + (has_ends && parameters > 0);
    if (has(mysql, CAPABILITY_OPTIONAL_METADATA) && !mysql->is_mariadb &&
        mysql->answer_length > PREPARED_BYTES && mysql->answer[PREPARED_BYTES] == 0) {
        mysql->columns = 0;
    }
    if (mysql->lost) {
        return;
    }
    settle(reader, true);
    mysql->answer_stage = ANSWER_COLUMNS;
    if (mysql->columns == 0) {
        mysql_end(reader, EVENT_VOID, END_COMPLETE);
    }
}

static void read_login(struct mysql_reader *reader)
{
    struct mysql *mysql = reader->mysql;
    if (mysql->answer[0] != PACKET_OK) {
        return; /* another question about passwords */
    }
    note_status(mysql, false);
    mysql->phase = PHASE_COMMANDS;
    end_answer(reader, true);
    mysql->lost |= has(mysql, CAPABILITY_COMPRESS) || has(mysql, CAPABILITY_ZSTD);
}

static bool is_end_of_rows(const struct mysql *mysql)
{
    uint32_t most = has(mysql, CAPABILITY_DEPRECATE_EOF) ? MYSQL_PACKET_MAX : EOF_BYTES_MAX;
    return mysql->answer[0] == PACKET_EOF && mysql->payload_length < most;
}

static void read_rows(struct mysql_reader *reader)
{
    struct mysql *mysql = reader->mysql;
    if (is_end_of_rows(mysql)) {
        end_result(reader, !has(mysql, CAPABILITY_DEPRECATE_EOF));
    } else {
        mysql->rows++;
    }
}

/* The first byte tells a row from an error and from the end, which are read as ever. */
bool mysql_answer_pass_rows(struct mysql_reader *reader, const struct mysql_side *side, size_t end)
{
    struct mysql *mysql = reader->mysql;
    size_t from = reader->at;
    if (mysql->answer_stage != ANSWER_ROWS || side->have > 0 || side->goes_on) {
        return false;
    }
    while (end - reader->at > MYSQL_HEAD_BYTES) {
        const uint8_t *packet = reader->data + reader->at;
        uint32_t length = number_at(packet, 3);
        if (length == 0 || length == MYSQL_PACKET_MAX || packet[MYSQL_HEAD_BYTES] >= PACKET_EOF ||
            length > end - reader->at - MYSQL_HEAD_BYTES) {
            break;
        }
        reader->at += MYSQL_HEAD_BYTES + length;
        mysql->rows++;
    }
    return reader->at != from;
}

static void read_statement(struct mysql_reader *reader)
{
    struct mysql *mysql = reader->mysql;
    bool has_flag = has(mysql, CAPABILITY_OPTIONAL_METADATA) && !mysql->is_mariadb;
    uint8_t first = mysql->answer[0];
    if (first == PACKET_OK && (!has_flag || mysql->payload_length >= 7)) {
        end_result(reader, false);
    } else if (first == PACKET_FILE) {
        mysql->sends_file = true;
    } else if (first == PACKET_EOF) {
        end_result(reader, true);
    } else {
        begin_columns(reader);
    }
}

static void read_first(struct mysql_reader *reader)
{
    switch (oldest_kind(reader->mysql)) {
    case KIND_STATEMENT:
        read_statement(reader);
        break;
    case KIND_PREPARE:
        read_prepared(reader);
        break;
    case KIND_LOGIN:
    case KIND_CHANGE_USER:
        read_login(reader);
        break;
    case KIND_FETCH:
    case KIND_FIELD_LIST:
        read_rows(reader);
        break;
    default:
        end_answer(reader, true);
        break;
    }
}

/* The definitions of a result's columns are over: rows follow, unless a cursor keeps them. */
static void end_columns(struct mysql_reader *reader)
{
    struct mysql *mysql = reader->mysql;
    note_status(mysql, true);
    mysql->answer_stage = ANSWER_ROWS;
    if (mysql->status & STATUS_CURSOR) {
        mysql->returns_rows = false;
        end_result(reader, true);
    }
}

static void read_columns(struct mysql_reader *reader)
{
    struct mysql *mysql = reader->mysql;
    if (--mysql->columns > 0) {
        return;
    }
    if (oldest_kind(mysql) == KIND_PREPARE) {
        mysql_end(reader, EVENT_VOID, END_COMPLETE);
        return;
    }
    mysql->answer_stage = has(mysql, CAPABILITY_DEPRECATE_EOF) ? ANSWER_ROWS : ANSWER_COLUMNS_END;
}

/* Without a question a server says only why it hangs up. */
static void read_unasked(struct mysql *mysql)
{
    mysql->lost |= mysql->answer[0] != PACKET_ERROR;
    mysql->over = true;
}

void mysql_answer_begin(struct mysql_reader *reader, struct mysql_side *side)
{
    struct mysql *mysql = reader->mysql;
    mysql->answer_length = 0;
    mysql->payload_length = side->left;
    memset(mysql->answer, 0, sizeof mysql->answer);
    if (mysql->phase == PHASE_GREETING || mysql->next == mysql->oldest) {
        return;
    }
    mysql->lost |= mysql->is_begun && mysql->next - mysql->oldest == 1; /* not asked in full yet */
    if (mysql->lost || mysql->is_answered) {
        return;
    }
    mysql->is_answered = true;
    mysql_tell(reader,
        (struct event){.kind = EVENT_RESPONSE, .exchange = mysql->oldest, .offset = reader->at});
}

size_t mysql_answer_read(struct mysql_reader *reader, struct mysql_side *side, size_t length)
{
    struct mysql *mysql = reader->mysql;
    const uint8_t *bytes = reader->data + reader->at;
    if (mysql->phase == PHASE_GREETING) {
        return side->part == PART_HEAD ? read_version(mysql, side, *bytes)
                                       : read_fields(mysql, side, *bytes);
    }
    size_t room = MYSQL_ANSWER_BYTES - mysql->answer_length;
    if (room > 0 && side->part == PART_HEAD) {
        length = length < room ? length : room;
        memcpy(mysql->answer + mysql->answer_length, bytes, length);
        mysql->answer_length += (uint8_t)length;
        side->part = length == room ? PART_SKIP : PART_HEAD;
    }
    return length;
}

void mysql_answer_end(struct mysql_reader *reader, struct mysql_side *side)
{
    struct mysql *mysql = reader->mysql;
    (void)side;
    if (mysql->phase < PHASE_LOGIN) {
        mysql->lost |= mysql->phase == PHASE_GREETING; /* shorter than its fields */
    } else if (mysql->next == mysql->oldest) {
        read_unasked(mysql);
    } else if (mysql->answer[0] == PACKET_ERROR && mysql->answer_stage != ANSWER_COLUMNS) {
        end_error(reader);
    } else if (mysql->answer_stage == ANSWER_FIRST) {
        read_first(reader);
    } else if (mysql->answer_stage == ANSWER_COLUMNS) {
        read_columns(reader);
    } else if (mysql->answer_stage == ANSWER_COLUMNS_END) {
        end_columns(reader);
    } else {
        read_rows(reader);
    }
}
