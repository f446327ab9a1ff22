/* SPDX-License-Identifier: Apache-2.0 */
/* Every call of SQLite that is hooked, and the edges of each: prints what came of it.
 *   sqlite_calls DATABASE MODE */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <uchar.h>
#include <unistd.h>

#include "sqlite.h"

enum { MANY = 20000, COUNTED = 1000 };

static const char *file;
static sqlite3 *db;

static void say(const char *what, int result)
{
    printf("%s %d\n", what, result);
}

static sqlite3_stmt *prepare(const char *text)
{
    sqlite3_stmt *statement = NULL;
    say("prepare", sqlite3_prepare_v2(db, text, -1, &statement, NULL));
    return statement;
}

static int rows_of(sqlite3_stmt *statement)
{
    int result, rows = 0;
    while ((result = sqlite3_step(statement)) == SQLITE_ROW)
        rows++;
    say("rows", rows);
    return result;
}

static int on_row(void *argument, int columns, char **values, char **names)
{
    sqlite3_stmt *statement = prepare("SELECT 1 AS inside");
    say("inside", rows_of(statement));
    return sqlite3_finalize(statement);
}

/* The forms of preparing; each text is known by the name it gives its column. */
static void forms(void)
{
    sqlite3_stmt *statement;
    const char *tail;
    const void *wide_tail;
    sqlite3_prepare(db, "SELECT 1 AS old", -1, &statement, NULL);
    say("old", rows_of(statement));
    sqlite3_finalize(statement);
    sqlite3_prepare_v2(db, "SELECT 1 AS cut AND NOT THIS", 15, &statement, &tail);
    say("cut", rows_of(statement));
    sqlite3_finalize(statement);
    sqlite3_prepare_v2(db, "SELECT 1 AS first; SELECT 2 AS second", -1, &statement, &tail);
    say("first", rows_of(statement));
    sqlite3_finalize(statement);
    sqlite3_prepare_v3(db, tail, -1, 1, &statement, NULL);
    say("second", rows_of(statement));
    sqlite3_finalize(statement);
    sqlite3_prepare16(db, u"SELECT 1 AS gr\u00f6\u00dfe", -1, &statement, NULL);
    say("wide", rows_of(statement));
    sqlite3_finalize(statement);
    sqlite3_prepare16_v2(db, u"SELECT 1 AS gr\u00f6\u00dfer", -1, &statement, &wide_tail);
    say("wider", rows_of(statement));
    sqlite3_finalize(statement);
    sqlite3_prepare16_v3(db, u"SELECT 1 AS \U00010348", -1, 0, &statement, NULL);
    say("widest", rows_of(statement));
    sqlite3_finalize(statement);
    say("refused", sqlite3_prepare_v2(db, "SELECT 1 FROM absent", -1, &statement, NULL));
    say("refused",
        sqlite3_prepare_v3(db, "SELECT 1 FROM absent3 -- and more", 22, 0, &statement, NULL));
    say("refused", sqlite3_prepare(db, "SELECT 1 FROM absent1", -1, &statement, NULL));
    say("refused", sqlite3_prepare16(db, u"SELECT 1 FROM \u00e4\U00010348", -1, &statement, NULL));
    say("refused", sqlite3_prepare16_v2(db, u"SELECT 1 FROM absent162, t", 46, &statement, NULL));
    say("refused", sqlite3_prepare16_v3(db, u"SELECT 1 FROM absent163", -1, 0, &statement, NULL));
    say("nothing", sqlite3_prepare_v2(db, "  ", -1, &statement, NULL));
    say("nothing", statement != NULL);
    say("nothing", sqlite3_step(NULL));
    say("nothing", sqlite3_reset(NULL));
    say("nothing", sqlite3_finalize(NULL));
}

static void executions(void)
{
    sqlite3_stmt *statement = prepare("SELECT n AS again FROM t");
    say("again", rows_of(statement)); /* to its end */
    say("again", rows_of(statement)); /* which begins anew by itself */
    say("reset", sqlite3_reset(statement));
    say("again", sqlite3_step(statement));
    say("reset", sqlite3_reset(statement)); /* in the middle */
    say("reset", sqlite3_reset(statement)); /* of nothing */
    say("again", sqlite3_step(statement));
    say("finalize", sqlite3_finalize(statement)); /* in the middle */
    statement = prepare("SELECT n AS never FROM t");
    say("finalize", sqlite3_finalize(statement)); /* never begun */
    statement = prepare("INSERT INTO t VALUES (1)");
    say("unique", sqlite3_step(statement));
    say("unique", sqlite3_reset(statement));
    say("unique", sqlite3_finalize(statement));
    statement = prepare("SELECT abs(-9223372036854775808) AS wrong FROM t");
    say("wrong", sqlite3_step(statement));
    say("wrong", sqlite3_step(statement));
    say("wrong", sqlite3_finalize(statement));
}

static void whole(void)
{
    char **table, *message = NULL;
    int rows, columns;
    say("exec", sqlite3_exec(db, "SELECT n AS one FROM t LIMIT 2", on_row, NULL, NULL));
    say("exec", sqlite3_exec(db, "SELECT 1 AS two; SELECT 2 AS three;", NULL, NULL, NULL));
    say("exec", sqlite3_exec(db, "SELECT 1 AS four; SELECT 2 FROM absent", NULL, NULL, &message));
    puts(message);
    say("exec", sqlite3_exec(db, NULL, NULL, NULL, NULL));
    say("exec", sqlite3_exec(NULL, "SELECT 1", NULL, NULL, NULL));
    say("table", sqlite3_get_table(db, "SELECT n AS five FROM t", &table, &rows, &columns, NULL));
    say("table", rows);
    sqlite3_free_table(table);
}

/* Another connection holds the lock: tried again, and once more when it is gone. */
static void busy(void)
{
    sqlite3 *other;
    sqlite3_open(file, &other);
    sqlite3_exec(other, "BEGIN IMMEDIATE", NULL, NULL, NULL);
    sqlite3_stmt *statement = prepare("INSERT INTO t VALUES (100)");
    say("busy", sqlite3_step(statement));
    say("busy", sqlite3_step(statement));
    sqlite3_exec(other, "COMMIT", NULL, NULL, NULL);
    say("busy", sqlite3_step(statement));
    say("busy", sqlite3_finalize(statement));
    sqlite3_close(other);
}

static void *go_on(void *statement)
{
    say("moved", rows_of(statement));
    return NULL;
}

static void moved(void)
{
    pthread_t thread;
    sqlite3_stmt *statement = prepare("SELECT n AS moved FROM t");
    say("moved", sqlite3_step(statement));
    pthread_create(&thread, NULL, go_on, statement);
    pthread_join(thread, NULL);
    say("moved", sqlite3_finalize(statement));
}

/* What the parent began is the parent's to tell. */
static void forked(void)
{
    sqlite3_stmt *statement = prepare("SELECT n AS forked FROM t");
    say("forked", sqlite3_step(statement));
    fflush(stdout);
    if (fork() == 0) {
        int result = rows_of(statement);
        say("child", result);
        rows_of(statement);
        fflush(stdout);
        _exit(0);
    }
    wait(NULL);
    say("forked", rows_of(statement));
    sqlite3_finalize(statement);
}

/* More under way than there is room for. */
static void many(void)
{
    static sqlite3_stmt *statements[MANY];
    for (int i = 0; i < MANY; i++)
        sqlite3_prepare_v2(db, "SELECT n FROM t", -1, &statements[i], NULL);
    for (int i = 0; i < MANY; i++)
        if (sqlite3_step(statements[i]) != SQLITE_ROW)
            say("many", i);
    for (int i = 0; i < MANY; i++)
        if (rows_of(statements[i]) != SQLITE_DONE || sqlite3_finalize(statements[i]) != SQLITE_OK)
            say("many", i);
}

/* Is the library told that there is a SQLite? By name alone only SQLite's own is found. */
static void by_name(void)
{
    int (*step)(sqlite3_stmt *) = (int (*)(sqlite3_stmt *))dlsym(RTLD_DEFAULT, "sqlite3_step");
    Dl_info of_step, of_close;
    dladdr((void *)step, &of_step);
    dladdr(dlsym(RTLD_DEFAULT, "sqlite3_close"), &of_close);
    say("by name", step != NULL && strcmp(of_step.dli_fname, of_close.dli_fname) == 0);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(void);
    } modes[] = {{"forms", forms}, {"executions", executions}, {"whole", whole}, {"busy", busy},
        {"moved", moved}, {"forked", forked}, {"many", many}, {"by_name", by_name}};
    file = argv[1];
    sqlite3_open(file, &db);
    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++)
        if (strcmp(argv[2], modes[i].name) == 0)
            modes[i].run();
    say("close", sqlite3_close(db));
    return 0;
}
