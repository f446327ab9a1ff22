/* SPDX-License-Identifier: Apache-2.0 */
/* What the programs here use of SQLite: its header need not be there. sqlite.org, "C/C++
 * Interface". */
#pragma once

typedef struct sqlite3 sqlite3;
typedef struct sqlite3_stmt sqlite3_stmt;

enum { SQLITE_OK = 0, SQLITE_BUSY = 5, SQLITE_ROW = 100, SQLITE_DONE = 101, SQLITE_TRACE_STMT = 1 };

int sqlite3_open(const char *, sqlite3 **);
int sqlite3_close(sqlite3 *);
int sqlite3_exec(sqlite3 *, const char *, int (*)(void *, int, char **, char **), void *, char **);
int sqlite3_get_table(sqlite3 *, const char *, char ***, int *, int *, char **);
void sqlite3_free_table(char **);
int sqlite3_prepare(sqlite3 *, const char *, int, sqlite3_stmt **, const char **);
int sqlite3_prepare_v2(sqlite3 *, const char *, int, sqlite3_stmt **, const char **);
int sqlite3_prepare_v3(sqlite3 *, const char *, int, unsigned, sqlite3_stmt **, const char **);
int sqlite3_prepare16(sqlite3 *, const void *, int, sqlite3_stmt **, const void **);
int sqlite3_prepare16_v2(sqlite3 *, const void *, int, sqlite3_stmt **, const void **);
int sqlite3_prepare16_v3(sqlite3 *, const void *, int, unsigned, sqlite3_stmt **, const void **);
int sqlite3_step(sqlite3_stmt *);
int sqlite3_reset(sqlite3_stmt *);
int sqlite3_finalize(sqlite3_stmt *);
int sqlite3_bind_int(sqlite3_stmt *, int, int);
int sqlite3_column_int(sqlite3_stmt *, int);
int sqlite3_trace_v2(sqlite3 *, unsigned, int (*)(unsigned, void *, void *, void *), void *);
int sqlite3_auto_extension(void (*)(void));
