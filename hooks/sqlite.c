/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a program asks of SQLite, which works inside it: there is no wire. An execution of a
 * statement lasts from its first step to SQLITE_DONE, an error, or sqlite3_reset or _finalize.
 *
 * What libsqlite3 calls of itself, or NSS's own store, is their own business: sqlite3_exec is one
 * call, and its extensions keep their tables by statements of their own. Debian's is bound within;
 * another one need not be.
 */
#include <string.h>

#include "call.h"
#include "foreign.h"

typedef struct sqlite3 sqlite3; /* as sqlite3.h has it, which is not needed to build us */
typedef struct sqlite3_stmt sqlite3_stmt;
typedef int row_callback(void *, int, char **, char **);

/* What is called of it. sqlite3_step is what a libsqlite3 is known by. */
#define FUNCTIONS(X)                                                                             \
    X(int, sqlite3_step, (sqlite3_stmt *))                                                       \
    X(int, sqlite3_reset, (sqlite3_stmt *))                                                      \
    X(int, sqlite3_finalize, (sqlite3_stmt *))                                                   \
    X(int, sqlite3_exec, (sqlite3 *, const char *, row_callback *, void *, char **))             \
    X(int, sqlite3_get_table, (sqlite3 *, const char *, char ***, int *, int *, char **))        \
    X(int, sqlite3_prepare, (sqlite3 *, const char *, int, sqlite3_stmt **, const char **))      \
    X(int, sqlite3_prepare_v2, (sqlite3 *, const char *, int, sqlite3_stmt **, const char **))   \
    X(int, sqlite3_prepare_v3,                                                                   \
        (sqlite3 *, const char *, int, unsigned, sqlite3_stmt **, const char **))                \
    X(int, sqlite3_prepare16, (sqlite3 *, const void *, int, sqlite3_stmt **, const void **))    \
    X(int, sqlite3_prepare16_v2, (sqlite3 *, const void *, int, sqlite3_stmt **, const void **)) \
    X(int, sqlite3_prepare16_v3,                                                                 \
        (sqlite3 *, const void *, int, unsigned, sqlite3_stmt **, const void **))                \
    X(const char *, sqlite3_sql, (sqlite3_stmt *))                                               \
    X(int, sqlite3_stmt_busy, (sqlite3_stmt *))                                                  \
    X(int, sqlite3_column_count, (sqlite3_stmt *))                                               \
    X(sqlite3 *, sqlite3_db_handle, (sqlite3_stmt *))                                            \
    X(const char *, sqlite3_db_filename, (sqlite3 *, const char *))                              \
    X(int, sqlite3_extended_errcode, (sqlite3 *))

/* NSS keeps certificates in such a database, of which each of its sessions asks a dozen times. */
FOREIGN_LIBRARY(sqlite, FUNCTIONS, .housekeeper = "libsoftokn3.so");

/* sqlite.org, "Result and Error Codes" */
enum { SQLITE_OK = 0, SQLITE_MISUSE = 21, SQLITE_ROW = 100, SQLITE_DONE = 101, PRIMARY = 0xff };

/* Of a library older than 3.7.10 nothing is told. */
static bool is_told(const struct sqlite *sqlite)
{
    return call_is_told() && sqlite->own == NULL && FOREIGN_HAS(sqlite, sqlite3_db_filename);
}

static void tell_database(const struct sqlite *sqlite, struct exchange *exchange, sqlite3 *db)
{
    const char *file = db == NULL ? NULL : sqlite->sqlite3_db_filename(db, "main");
    if (file != NULL) /* "": in memory, or a temporary one */
        call_text(exchange, FIELD_NAMESPACE, file, strlen(file));
}

/* The code with its extension, as long as nobody else has used the database meanwhile. */
static void end(const struct sqlite *sqlite, struct exchange *exchange, sqlite3 *db, int result)
{
    if (result != SQLITE_OK && result != SQLITE_MISUSE && db != NULL) {
        int extended = sqlite->sqlite3_extended_errcode(db);
        result = (extended & PRIMARY) == (result & PRIMARY) ? extended : result;
    }
    call_number(exchange, FIELD_STATUS, result);
    call_end(exchange, LIBRARY_SQLITE, result != SQLITE_OK);
}

/* --- executions ---------------------------------------------------------------------------- */

/* FIELD_ROWS counts from 1. */
static struct call *begin(const struct sqlite *sqlite, sqlite3_stmt *statement)
{
    struct exchange *exchange = call_begin();
    if (exchange == NULL)
        return NULL;
    const char *text = sqlite->sqlite3_sql(statement);
    if (text != NULL) /* some versions do not keep that of sqlite3_prepare */
        call_text(exchange, FIELD_QUERY, text, strlen(text));
    tell_database(sqlite, exchange, sqlite->sqlite3_db_handle(statement));
    struct call call = {exchange, sqlite->sqlite3_column_count(statement) > 0};
    return call_put(statement, call);
}

/* A statement that has been stepped before, and is not known, began unseen. */
static struct call *find(const struct sqlite *sqlite, sqlite3_stmt *statement)
{
    struct call ended, *call = call_find(statement);
    if (call != NULL && call->exchange != NULL)
        return call;
    if (call == NULL ? sqlite->sqlite3_stmt_busy(statement) != 0 : !call_take(statement, &ended))
        return NULL;
    return begin(sqlite, statement);
}

/* Some errors leave it where it was, so that it may be tried again (SQLITE_BUSY). */
static void stopped(const struct sqlite *sqlite, sqlite3_stmt *statement, int result)
{
    struct call call;
    if (!call_take(statement, &call) || call.exchange == NULL)
        return;
    call_number(call.exchange, FIELD_ROWS, call.count);
    end(sqlite, call.exchange, sqlite->sqlite3_db_handle(statement),
        result == SQLITE_DONE ? SQLITE_OK : result);
    if (result != SQLITE_DONE && sqlite->sqlite3_stmt_busy(statement) != 0)
        call_put(statement, (struct call){NULL, 0});
}

HOOK_FOREIGN(int, sqlite3_step, (sqlite3_stmt * statement))
{
    FOREIGN(sqlite);
    struct call *call = statement == NULL || !is_told(sqlite) ? NULL : find(sqlite, statement);
    int result = sqlite->sqlite3_step(statement);
    if (call == NULL)
        return result;
    if (result == SQLITE_ROW)
        call->count++;
    else
        stopped(sqlite, statement, result);
    return result;
}

/* The program has had enough of it. */
static void leave(const struct sqlite *sqlite, sqlite3_stmt *statement)
{
    struct call call;
    if (sqlite->own != NULL || statement == NULL || !call_take(statement, &call) ||
        call.exchange == NULL)
        return;
    call_number(call.exchange, FIELD_ROWS, call.count);
    end(sqlite, call.exchange, NULL, SQLITE_OK);
}

HOOK_FOREIGN(int, sqlite3_reset, (sqlite3_stmt * statement))
{
    FOREIGN(sqlite);
    leave(sqlite, statement);
    return sqlite->sqlite3_reset(statement);
}

HOOK_FOREIGN(int, sqlite3_finalize, (sqlite3_stmt * statement))
{
    FOREIGN(sqlite);
    leave(sqlite, statement);
    return sqlite->sqlite3_finalize(statement);
}

/* --- whole texts --------------------------------------------------------------------------- */

static struct exchange *begin_text(const struct sqlite *sqlite, sqlite3 *db, const char *text)
{
    struct exchange *exchange =
        db == NULL || text == NULL || !is_told(sqlite) ? NULL : call_begin();
    if (exchange != NULL)
        call_text(exchange, FIELD_QUERY, text, strlen(text));
    return exchange;
}

/* A database that is misused may be none. */
static void end_text(
    const struct sqlite *sqlite, struct exchange *exchange, sqlite3 *db, int result)
{
    if (exchange == NULL)
        return;
    if (result != SQLITE_MISUSE)
        tell_database(sqlite, exchange, db);
    end(sqlite, exchange, db, result);
}

HOOK_FOREIGN(int, sqlite3_exec,
    (sqlite3 * db, const char *text, row_callback *callback, void *argument, char **message))
{
    FOREIGN(sqlite);
    struct exchange *exchange = begin_text(sqlite, db, text);
    int result = sqlite->sqlite3_exec(db, text, callback, argument, message);
    end_text(sqlite, exchange, db, result);
    return result;
}

HOOK_FOREIGN(int, sqlite3_get_table,
    (sqlite3 * db, const char *text, char ***table, int *rows, int *columns, char **message))
{
    FOREIGN(sqlite);
    struct exchange *exchange = begin_text(sqlite, db, text);
    int result = sqlite->sqlite3_get_table(db, text, table, rows, columns, message);
    end_text(sqlite, exchange, db, result);
    return result;
}

/* --- statements that cannot be prepared ---------------------------------------------------- */

static uint64_t begin_preparing(const struct sqlite *sqlite, sqlite3 *db, const void *text)
{
    return db == NULL || text == NULL || !is_told(sqlite) ? 0 : process_monotonic_ns();
}

static struct exchange *begin_refused(uint64_t start_ns, int result)
{
    bool is_refused = start_ns != 0 && result != SQLITE_OK && result != SQLITE_MISUSE;
    struct exchange *exchange = is_refused ? call_begin() : NULL;
    if (exchange != NULL)
        call_began(exchange, start_ns);
    return exchange;
}

/* bytes: of the text, < 0: up to its end, which it may have before. */
static int prepared(const struct sqlite *sqlite, sqlite3 *db, const char *text, int bytes,
    uint64_t start_ns, int result)
{
    struct exchange *exchange = begin_refused(start_ns, result);
    if (exchange == NULL)
        return result;
    const char *stop = bytes < 0 ? NULL : memchr(text, '\0', (size_t)bytes);
    size_t length = bytes < 0 ? strlen(text) : stop == NULL ? (size_t)bytes : (size_t)(stop - text);
    call_text(exchange, FIELD_QUERY, text, length);
    end_text(sqlite, exchange, db, result);
    return result;
}

HOOK_FOREIGN(int, sqlite3_prepare,
    (sqlite3 * db, const char *text, int bytes, sqlite3_stmt **statement, const char **tail))
{
    FOREIGN(sqlite);
    uint64_t start_ns = begin_preparing(sqlite, db, text);
    return prepared(sqlite, db, text, bytes, start_ns,
        sqlite->sqlite3_prepare(db, text, bytes, statement, tail));
}

HOOK_FOREIGN(int, sqlite3_prepare_v2,
    (sqlite3 * db, const char *text, int bytes, sqlite3_stmt **statement, const char **tail))
{
    FOREIGN(sqlite);
    uint64_t start_ns = begin_preparing(sqlite, db, text);
    return prepared(sqlite, db, text, bytes, start_ns,
        sqlite->sqlite3_prepare_v2(db, text, bytes, statement, tail));
}

HOOK_FOREIGN(int, sqlite3_prepare_v3,
    (sqlite3 * db, const char *text, int bytes, unsigned flags, sqlite3_stmt **statement,
        const char **tail))
{
    FOREIGN(sqlite);
    uint64_t start_ns = begin_preparing(sqlite, db, text);
    return prepared(sqlite, db, text, bytes, start_ns,
        sqlite->sqlite3_prepare_v3(db, text, bytes, flags, statement, tail));
}

static size_t put_utf8(char *out, uint32_t letter)
{
    static const uint8_t marks[] = {0, 0, 0xc0, 0xe0, 0xf0};
    size_t length = letter < 0x80 ? 1 : letter < 0x800 ? 2 : letter < 0x10000 ? 3 : 4;
    for (size_t i = length; i-- > 1; letter >>= 6)
        out[i] = (char)(0x80 | (letter & 0x3f));
    out[0] = (char)(marks[length > 1 ? length : 0] | letter);
    return length;
}

/* UTF-16 in the machine's order (RFC 2781, 2.2); may lie at any address. `units` at most. */
static void tell_wide_text(struct exchange *exchange, const uint8_t *text, size_t units)
{
    char piece[256];
    size_t used = 0;
    uint16_t unit, low;
    for (size_t i = 0; i < units; i++) {
        memcpy(&unit, text + 2 * i, sizeof(unit));
        if (unit == 0)
            break;
        uint32_t letter = unit;
        if (unit >= 0xd800 && unit < 0xdc00 && i + 1 < units) {
            memcpy(&low, text + 2 * ++i, sizeof(low));
            letter = 0x10000 + ((uint32_t)(unit - 0xd800) << 10) + (low & 0x3ff);
        }
        used += put_utf8(piece + used, letter);
        if (used > sizeof(piece) - 4) {
            call_text(exchange, FIELD_QUERY, piece, used);
            used = 0;
        }
    }
    call_text(exchange, FIELD_QUERY, piece, used);
}

static int prepared_wide(const struct sqlite *sqlite, sqlite3 *db, const void *text, int bytes,
    uint64_t start_ns, int result)
{
    struct exchange *exchange = begin_refused(start_ns, result);
    if (exchange == NULL)
        return result;
    tell_wide_text(exchange, text, bytes < 0 ? SIZE_MAX / 2 : (size_t)bytes / 2);
    end_text(sqlite, exchange, db, result);
    return result;
}

HOOK_FOREIGN(int, sqlite3_prepare16,
    (sqlite3 * db, const void *text, int bytes, sqlite3_stmt **statement, const void **tail))
{
    FOREIGN(sqlite);
    uint64_t start_ns = begin_preparing(sqlite, db, text);
    return prepared_wide(sqlite, db, text, bytes, start_ns,
        sqlite->sqlite3_prepare16(db, text, bytes, statement, tail));
}

HOOK_FOREIGN(int, sqlite3_prepare16_v2,
    (sqlite3 * db, const void *text, int bytes, sqlite3_stmt **statement, const void **tail))
{
    FOREIGN(sqlite);
    uint64_t start_ns = begin_preparing(sqlite, db, text);
    return prepared_wide(sqlite, db, text, bytes, start_ns,
        sqlite->sqlite3_prepare16_v2(db, text, bytes, statement, tail));
}

HOOK_FOREIGN(int, sqlite3_prepare16_v3,
    (sqlite3 * db, const void *text, int bytes, unsigned flags, sqlite3_stmt **statement,
        const void **tail))
{
    FOREIGN(sqlite);
    uint64_t start_ns = begin_preparing(sqlite, db, text);
    return prepared_wide(sqlite, db, text, bytes, start_ns,
        sqlite->sqlite3_prepare16_v3(db, text, bytes, flags, statement, tail));
}

FOREIGN_UNVERSIONED(sqlite3_step);
FOREIGN_UNVERSIONED(sqlite3_reset);
FOREIGN_UNVERSIONED(sqlite3_finalize);
FOREIGN_UNVERSIONED(sqlite3_exec);
FOREIGN_UNVERSIONED(sqlite3_get_table);
FOREIGN_UNVERSIONED(sqlite3_prepare);
FOREIGN_UNVERSIONED(sqlite3_prepare_v2);
FOREIGN_UNVERSIONED(sqlite3_prepare_v3);
FOREIGN_UNVERSIONED(sqlite3_prepare16);
FOREIGN_UNVERSIONED(sqlite3_prepare16_v2);
FOREIGN_UNVERSIONED(sqlite3_prepare16_v3);
