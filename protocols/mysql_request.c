/* SPDX-License-Identifier: Apache-2.0 */
/* What a client says: its login, commands, files. Passwords are skipped, parameters as well. */
#include <string.h>

#include "mysql.h"
#include "sql_comment.h"

/* By the first byte of a command. */
struct command {
    uint8_t kind;  /* enum mysql_kind */
    uint8_t part;  /* what follows the byte; PART_HEAD: nothing that matters */
    bool is_known; /* the others are followed no further */
};

enum { COMMAND_CLOSE = 0x19 };

static const struct command commands[] = {
    [0x01] = {KIND_SILENT, PART_SKIP, true},        /* QUIT */
    [0x02] = {KIND_INIT_DB, PART_DATABASE, true},   /* INIT_DB */
    [0x03] = {KIND_STATEMENT, PART_QUERY, true},    /* QUERY */
    [0x04] = {KIND_FIELD_LIST, PART_SKIP, true},    /* FIELD_LIST */
    [0x05] = {KIND_OTHER, PART_SKIP, true},         /* CREATE_DB */
    [0x06] = {KIND_OTHER, PART_SKIP, true},         /* DROP_DB */
    [0x07] = {KIND_OTHER, PART_SKIP, true},         /* REFRESH */
    [0x08] = {KIND_OTHER, PART_SKIP, true},         /* SHUTDOWN */
    [0x09] = {KIND_STATISTICS, PART_SKIP, true},    /* STATISTICS */
    [0x0A] = {KIND_STATEMENT, PART_SKIP, true},     /* PROCESS_INFO: rows, as of a statement */
    [0x0C] = {KIND_OTHER, PART_SKIP, true},         /* PROCESS_KILL */
    [0x0D] = {KIND_OTHER, PART_SKIP, true},         /* DEBUG */
    [0x0E] = {KIND_PING, PART_SKIP, true},          /* PING */
    [0x11] = {KIND_CHANGE_USER, PART_USER, true},   /* CHANGE_USER */
    [0x15] = {KIND_OTHER, PART_SKIP, true},         /* REGISTER_SLAVE */
    [0x16] = {KIND_PREPARE, PART_QUERY, true},      /* STMT_PREPARE */
    [0x17] = {KIND_STATEMENT, PART_ID, true},       /* STMT_EXECUTE */
    [0x18] = {KIND_SILENT, PART_SKIP, true},        /* STMT_SEND_LONG_DATA */
    [COMMAND_CLOSE] = {KIND_SILENT, PART_ID, true}, /* STMT_CLOSE */
    [0x1A] = {KIND_OTHER, PART_SKIP, true},         /* STMT_RESET */
    [0x1B] = {KIND_OTHER, PART_SKIP, true},         /* SET_OPTION */
    [0x1C] = {KIND_FETCH, PART_SKIP, true},         /* STMT_FETCH */
    [0x1F] = {KIND_OTHER, PART_SKIP, true},         /* RESET_CONNECTION */
    [0xFA] = {KIND_STATEMENT, PART_ID, true},       /* MariaDB's STMT_BULK_EXECUTE */
};

static uint32_t newest(const struct mysql *mysql)
{
    return mysql->next - 1;
}

static enum mysql_kind newest_kind(const struct mysql *mysql)
{
    return (enum mysql_kind)mysql->kinds[newest(mysql) % EXCHANGES_OPEN_MAX];
}

static uint64_t own_key(const struct mysql *mysql)
{
    return KEY_COMMAND | newest(mysql);
}

static void enter(struct mysql_side *side, enum mysql_part part)
{
    side->part = (uint8_t)part;
    side->at = 0;
    side->number = 0;
}

/* --- texts --------------------------------------------------------------------------------- */

/* A text that is kept, or told, up to a limit. */
static void tell_text(
    struct mysql_reader *reader, struct mysql_side *side, size_t length, bool is_last)
{
    struct mysql *mysql = reader->mysql;
    bool was_full = side->told == MYSQL_QUERY_TOLD_MAX;
    size_t room = MYSQL_QUERY_TOLD_MAX - side->told;
    size_t piece = length < room ? length : room;
    side->told += (uint32_t)piece;
    bool is_full = side->told == MYSQL_QUERY_TOLD_MAX;
    if (mysql->is_joining || was_full) {
        return;
    }
    mysql_tell(reader, (struct event){.kind = mysql->keeps ? EVENT_KEEP : EVENT_TEXT,
                           .field = FIELD_QUERY,
                           .exchange = newest(mysql),
                           .key = own_key(mysql),
                           .first = !side->is_telling,
                           .last = is_last || is_full,
                           .offset = reader->at,
                           .text = reader->data + reader->at,
                           .length = piece});
    side->is_telling = !is_last && !is_full;
}

static void begin_text(struct mysql *mysql, struct mysql_side *side, bool keeps)
{
    side->told = 0;
    side->is_telling = false;
    mysql->keeps = keeps;
    mysql->name_match = 0;
}

static bool is_last_piece(const struct mysql_side *side, size_t length)
{
    return length == side->left && mysql_packet_bytes(side) != MYSQL_PACKET_MAX;
}

/* USE and a space: the only statement that says where the next ones are. Its text is kept, and so
 * are those that begin alike. */
static void match_use(struct mysql *mysql, const uint8_t *bytes, size_t length)
{
    static const uint8_t use[] = "use";
    for (size_t i = 0; i < length && mysql->name_match < 4; i++) {
        bool is_space = bytes[i] == ' ' || (bytes[i] >= '\t' && bytes[i] <= '\r');
        bool matches =
            mysql->name_match < 3 ? (bytes[i] | 0x20) == use[mysql->name_match] : is_space;
        if (!matches) {
            mysql->name_match = UINT8_MAX;
            return;
        }
        mysql->name_match++;
    }
    if (mysql->name_match == 4) {
        mysql->uses |= UINT64_C(1) << newest(mysql) % EXCHANGES_OPEN_MAX;
    }
}

/* Behind the text of a statement, which ends the packet. */
static void tell_splice(struct mysql_reader *reader, struct mysql_side *side, size_t length)
{
    struct mysql *mysql = reader->mysql;
    bool is_one_packet = !side->goes_on && is_last_piece(side, length);
    bool has_attributes = (mysql->capabilities & CAPABILITY_QUERY_ATTRIBUTES) != 0;
    bool no_backslash = (mysql->status & STATUS_NO_BACKSLASH) != 0;
    if (!is_one_packet || newest_kind(mysql) != KIND_STATEMENT || mysql->is_joining) {
        return;
    }
    mysql_tell(reader, (struct event){.kind = EVENT_SPLICE,
                           .exchange = newest(mysql),
                           .offset = reader->at + length,
                           .text = reader->head == SIZE_MAX ? NULL : reader->data + reader->head,
                           .length = MYSQL_HEAD_BYTES + mysql_packet_bytes(side),
                           .key = MYSQL_HEAD_BYTES + 1 + (has_attributes ? 2 : 0) +
                                  (no_backslash ? SPLICE_NO_BACKSLASH : 0)});
}

static size_t read_query(struct mysql_reader *reader, struct mysql_side *side, size_t length)
{
    struct mysql *mysql = reader->mysql;
    if (side->at == 0) {
        bool may_use = (reader->data[reader->at] | 0x20) == 'u' && side->left <= MYSQL_USE_MAX;
        begin_text(mysql, side, newest_kind(mysql) == KIND_PREPARE || may_use);
    }
    if (mysql->keeps && newest_kind(mysql) == KIND_STATEMENT && !mysql->is_joining) {
        match_use(mysql, reader->data + reader->at, length);
    }
    side->at = 1;
    tell_text(reader, side, length, is_last_piece(side, length));
    if (sql_is_commented) {
        tell_splice(reader, side, length);
    }
    return length;
}

/* How many attributes there are, in how many sets: 0 and 1. With attributes the text would have to
 * be searched behind values of every type: it is not told. Inside TLS only the client has said that
 * it can: one of MySQL does so whatever the server can. A letter is no number then, but a text. */
static size_t read_attributes(struct mysql *mysql, struct mysql_side *side, uint8_t byte)
{
    bool is_letter = (byte | 0x20) >= 'a' && (byte | 0x20) <= 'z';
    if (side->at == 0 && mysql->is_inside_tls && is_letter) {
        mysql->capabilities &= ~(uint32_t)CAPABILITY_QUERY_ATTRIBUTES;
        enter(side, PART_QUERY);
        return 0;
    }
    if (side->at == 0 && byte != 0) {
        enter(side, PART_SKIP);
    } else if (++side->at == 2) {
        enter(side, PART_QUERY);
    }
    return 1;
}

/* Of a database: up to its zero, or to the end. */
static size_t read_database(struct mysql_reader *reader, struct mysql_side *side, size_t length)
{
    const uint8_t *bytes = reader->data + reader->at;
    const uint8_t *zero = memchr(bytes, 0, length);
    size_t piece = zero == NULL ? length : (size_t)(zero - bytes);
    if (side->at == 0) {
        begin_text(reader->mysql, side, true);
    }
    side->at = 1;
    tell_text(reader, side, piece, zero != NULL || is_last_piece(side, piece));
    if (zero == NULL) {
        return length;
    }
    enter(side, PART_SKIP);
    return piece + 1;
}

/* --- the login ----------------------------------------------------------------------------- */

static void tell_recall(struct mysql_reader *reader, enum field field, uint64_t key, bool has_own)
{
    mysql_tell(reader, (struct event){.kind = EVENT_RECALL,
                           .exchange = newest(reader->mysql),
                           .field = field,
                           .key = key,
                           .has_own = has_own});
}

/* The first 32 bytes; if they are all, TLS follows. */
static size_t read_fixed(struct mysql_reader *reader, struct mysql_side *side, uint8_t byte)
{
    struct mysql *mysql = reader->mysql;
    if (side->at < 4) {
        side->number |= (uint64_t)byte << (8 * side->at);
    } else if (side->at >= 28) {
        side->number |= (uint64_t)byte << (8 * (side->at - 28) + 32);
    }
    if (++side->at < MYSQL_FIXED_BYTES) {
        return 1;
    }
    uint32_t own = (uint32_t)(side->number >> 32);
    mysql->is_inside_tls = mysql->capabilities == UINT32_MAX;
    mysql->is_mariadb |= mysql->is_inside_tls && own != 0;
    mysql->capabilities &= (uint32_t)side->number;
    mysql->mariadb_capabilities &= (mysql->capabilities & CAPABILITY_MYSQL) ? 0 : own;
    mysql->lost |= side->left == 1 || (mysql->capabilities & CAPABILITY_PROTOCOL_41) == 0;
    if (!mysql->lost) {
        mysql->phase = PHASE_LOGIN;
        mysql_begin(reader, KIND_LOGIN);
        enter(side, PART_USER);
    }
    return 1;
}

static size_t read_user(struct mysql_reader *reader, struct mysql_side *side, size_t length)
{
    const uint8_t *zero = memchr(reader->data + reader->at, 0, length);
    if (zero == NULL) {
        return length;
    }
    enter(side, PART_AUTH_LENGTH);
    return (size_t)(zero - (reader->data + reader->at)) + 1;
}

static void after_auth(const struct mysql *mysql, struct mysql_side *side)
{
    bool has_database = newest_kind(mysql) == KIND_CHANGE_USER ||
                        (mysql->capabilities & CAPABILITY_CONNECT_WITH_DB) != 0;
    enter(side, has_database ? PART_DATABASE : PART_SKIP);
}

/* A length of one byte, or of up to nine where that was agreed on; without either, up to a zero. */
static size_t read_auth_length(struct mysql *mysql, struct mysql_side *side, uint8_t byte)
{
    uint32_t form = CAPABILITY_SECURE_CONNECTION | CAPABILITY_AUTH_LENENC;
    if ((mysql->capabilities & form) == 0) {
        if (byte == 0) {
            after_auth(mysql, side);
        }
        return 1;
    }
    bool is_long = newest_kind(mysql) == KIND_LOGIN &&
                   (mysql->capabilities & CAPABILITY_AUTH_LENENC) != 0 && byte > 0xFA;
    if (is_long) {
        enter(side, PART_SKIP); /* no password is that long */
    } else if (byte == 0) {
        after_auth(mysql, side);
    } else {
        enter(side, PART_AUTH);
        side->number = byte;
    }
    return 1;
}

static size_t read_auth(struct mysql *mysql, struct mysql_side *side, size_t length)
{
    size_t piece = length < side->number ? length : (size_t)side->number;
    side->number -= piece;
    if (side->number == 0) {
        after_auth(mysql, side);
    }
    return piece;
}

/* --- commands ------------------------------------------------------------------------------ */

static size_t read_id(struct mysql_reader *reader, struct mysql_side *side, uint8_t byte)
{
    struct mysql *mysql = reader->mysql;
    side->number |= (uint64_t)byte << (8 * side->at);
    if (++side->at < 4) {
        return 1;
    }
    uint64_t key = KEY_STATEMENT | side->number;
    if (side->number == UINT32_MAX && mysql->has_prepared) { /* MariaDB: the one just prepared */
        key = KEY_COMMAND | mysql->prepared;
    }
    if (mysql->command == COMMAND_CLOSE) {
        mysql_tell(reader, (struct event){.kind = EVENT_DROP, .key = key});
    } else if (!mysql->is_joining) {
        tell_recall(reader, FIELD_QUERY, key, false);
        bool depends = key >= KEY_COMMAND && !mysql->is_prepared;
        mysql->kinds[newest(mysql) % EXCHANGES_OPEN_MAX] |= depends ? DEPENDS : 0;
    }
    enter(side, PART_SKIP);
    return 1;
}

/* The text of the PREPARE before is known by its id from now on, if it has one. */
static void note_prepare(struct mysql_reader *reader)
{
    struct mysql *mysql = reader->mysql;
    if (mysql->has_prepared && mysql->is_prepared) {
        mysql_tell(
            reader, (struct event){.kind = EVENT_DROP, .key = KEY_COMMAND | mysql->prepared});
    }
    mysql->has_prepared = true;
    mysql->is_prepared = false;
    mysql->prepared = newest(mysql);
}

static size_t read_command(struct mysql_reader *reader, struct mysql_side *side, uint8_t byte)
{
    struct mysql *mysql = reader->mysql;
    const struct command *command = &commands[byte % (sizeof commands / sizeof commands[0])];
    mysql->lost |= byte >= sizeof commands / sizeof commands[0] || !command->is_known;
    if (mysql->lost) {
        return 1;
    }
    mysql->command = byte;
    enter(side, (enum mysql_part)command->part);
    if (command->kind == KIND_SILENT) {
        return 1;
    }
    mysql_begin(reader, (enum mysql_kind)command->kind);
    if (mysql->lost) {
        return 1;
    }
    if (command->kind == KIND_PREPARE) {
        note_prepare(reader);
    } else if (command->kind == KIND_CHANGE_USER) {
        mysql->phase = PHASE_LOGIN;
    } else if (byte == 3 && (mysql->capabilities & CAPABILITY_QUERY_ATTRIBUTES) != 0) {
        enter(side, PART_ATTRIBUTES);
    }
    return 1;
}

static size_t read_head(struct mysql_reader *reader, struct mysql_side *side, size_t length)
{
    struct mysql *mysql = reader->mysql;
    switch ((enum mysql_phase)mysql->phase) {
    case PHASE_RESPONSE:
        enter(side, PART_FIXED);
        return 0;
    case PHASE_COMMANDS:
        if (!mysql->sends_file) {
            return read_command(reader, side, reader->data[reader->at]);
        }
        break;
    default:
        break;
    }
    mysql->command = 0;
    enter(side, PART_SKIP);
    return length;
}

size_t mysql_request_read(struct mysql_reader *reader, struct mysql_side *side, size_t length)
{
    uint8_t byte = reader->data[reader->at];
    if (length == 0) {
        return 0;
    }
    switch ((enum mysql_part)side->part) {
    case PART_HEAD:
        return read_head(reader, side, length);
    case PART_QUERY:
        return read_query(reader, side, length);
    case PART_ATTRIBUTES:
        return read_attributes(reader->mysql, side, byte);
    case PART_ID:
        return read_id(reader, side, byte);
    case PART_FIXED:
        return read_fixed(reader, side, byte);
    case PART_USER:
        return read_user(reader, side, length);
    case PART_AUTH_LENGTH:
        return read_auth_length(reader->mysql, side, byte);
    case PART_AUTH:
        return read_auth(reader->mysql, side, length);
    case PART_DATABASE:
        return read_database(reader, side, length);
    case PART_SKIP:
        break;
    }
    return length;
}

/* The payload is complete. */
void mysql_request_end(struct mysql_reader *reader, struct mysql_side *side)
{
    struct mysql *mysql = reader->mysql;
    bool is_empty = side->part == PART_HEAD;
    if (mysql->phase == PHASE_RESPONSE) {
        mysql->lost = true; /* shorter than its fixed part */
        return;
    }
    if (mysql->sends_file) {
        mysql->sends_file = !is_empty;
        return;
    }
    if (side->is_telling) { /* the last packet of several was empty */
        tell_text(reader, side, 0, true);
    }
    if (!mysql->is_begun) {
        return;
    }
    mysql->is_begun = false;
    if (mysql->keeps && newest_kind(mysql) == KIND_STATEMENT && side->part == PART_QUERY) {
        tell_recall(reader, FIELD_QUERY, own_key(mysql), true);
    }
    if (newest_kind(mysql) == KIND_LOGIN || newest_kind(mysql) == KIND_CHANGE_USER) {
        tell_recall(reader, FIELD_NAMESPACE, own_key(mysql), false);
    }
    mysql_tell(reader,
        (struct event){.kind = EVENT_REQUEST, .exchange = newest(mysql), .offset = reader->at});
}
