/* SPDX-License-Identifier: Apache-2.0 */
/* Uses of libpq that no common program makes. pg_client CONNINFO WHAT [N]; ends with 1 if a call that
 * must succeed does not. */
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static PGconn *connection;

static void require(int holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "%s: %s", what, PQerrorMessage(connection));
        exit(1);
    }
}

static void run(const char *text)
{
    PQclear(PQexec(connection, text));
}

static void drain(void)
{
    PGresult *result;
    while ((result = PQgetResult(connection)) != NULL)
        PQclear(result);
}

/* count executions, with a Sync behind each `every`; nothing is read before all are sent. */
static void pipeline(int count, int every)
{
    require(PQenterPipelineMode(connection), "pipeline");
    for (int i = 1; i <= count; i++) {
        char text[64];
        const char *value = "7";
        snprintf(text, sizeof(text), "SELECT $1::int AS piped_%d", i);
        require(
            PQsendQueryParams(connection, text, 1, NULL, &value, NULL, NULL, 0), "send");
        if (i % every == 0)
            require(PQpipelineSync(connection), "sync");
    }
    if (count % every != 0)
        require(PQpipelineSync(connection), "sync");
    int syncs = (count + every - 1) / every;
    while (syncs > 0) {
        PGresult *result = PQgetResult(connection);
        syncs -= PQresultStatus(result) == PGRES_PIPELINE_SYNC;
        PQclear(result);
    }
    require(PQexitPipelineMode(connection), "exit pipeline");
}

/* The second fails: the server passes over the third. */
static void broken_pipeline(void)
{
    static const char *const texts[] = {
        "SELECT 1 AS before", "SELECT 1/0 AS broken", "SELECT 1 AS behind"};
    require(PQenterPipelineMode(connection), "pipeline");
    for (int i = 0; i < 3; i++)
        PQsendQueryParams(connection, texts[i], 0, NULL, NULL, NULL, NULL, 0);
    PQpipelineSync(connection);
    PQsendQueryParams(connection, "SELECT 1 AS after", 0, NULL, NULL, NULL, NULL, 0);
    PQpipelineSync(connection);
    for (int syncs = 0; syncs < 2;) {
        PGresult *result = PQgetResult(connection);
        syncs += PQresultStatus(result) == PGRES_PIPELINE_SYNC;
        PQclear(result);
    }
    require(PQexitPipelineMode(connection), "exit pipeline");
}

/* Its Sync is sent before the server says that it waits for rows, and again behind them. */
static void copy_extended(void)
{
    run("CREATE TEMP TABLE copied (a int)");
    require(PQsendQueryParams(connection, "COPY copied FROM STDIN", 0, NULL, NULL, NULL, NULL, 0),
        "copy");
    PGresult *result = PQgetResult(connection);
    require(PQresultStatus(result) == PGRES_COPY_IN, "copy in");
    PQclear(result);
    PQputCopyData(connection, "1\n2\n", 4);
    PQputCopyEnd(connection, NULL);
    drain();
    run("SELECT a FROM copied");
    require(PQsendQueryParams(connection, "COPY copied TO STDOUT", 0, NULL, NULL, NULL, NULL, 0),
        "copy");
    result = PQgetResult(connection);
    char *row;
    while (PQgetCopyData(connection, &row, 0) > 0)
        PQfreemem(row);
    PQclear(result);
    drain();
    PQsendQueryParams(connection, "COPY copied FROM STDIN", 0, NULL, NULL, NULL, NULL, 0);
    PQclear(PQgetResult(connection));
    PQputCopyData(connection, "no number\n", 10);
    PQputCopyEnd(connection, NULL);
    drain();
    run("SELECT 1 AS after_copies");
}

/* The statement is complete, and its commit fails. */
static void deferred(void)
{
    run("CREATE TEMP TABLE deferred (a int UNIQUE DEFERRABLE INITIALLY DEFERRED)");
    for (int i = 0; i < 2; i++)
        PQclear(PQexecParams(
            connection, "INSERT INTO deferred VALUES (3)", 0, NULL, NULL, NULL, NULL, 0));
    run("SELECT 1 AS after_deferred");
}

static void prepared(void)
{
    const char *value = "5";
    for (int i = 0; i < 5000; i++) {
        char name[32], text[64];
        snprintf(name, sizeof(name), "s%d", i);
        PQclear(PQprepare(connection, name, "SELECT $1::int AS prepared", 0, NULL));
        if (i >= 4990)
            PQclear(PQexecPrepared(connection, name, 1, &value, NULL, NULL, 0));
        snprintf(text, sizeof(text), i % 2 ? "DEALLOCATE %s" : "deallocate \"%s\";", name);
        run(text);
    }
    PQclear(PQprepare(connection, "bad", "SELECT nothing FROM nowhere", 0, NULL));
    PQclear(PQexecPrepared(connection, "unknown", 0, NULL, NULL, NULL, 0));
    run("SELECT 1 AS after_prepared");
}

static void function_call(void)
{
    run("BEGIN");
    int length, answer[1];
    PQArgBlock argument = {.isint = 1, .len = 4, .u.integer = -7};
    PQclear(PQfn(connection, 1397, answer, &length, 1, &argument, 1)); /* abs */
    run("COMMIT");
}

/* In a literal of a session that has them as escapes, what follows a quote is still a secret. */
static void escapes(void)
{
    run("SET standard_conforming_strings = off");
    run("SELECT 'it\\'s secret hunter2' AS escaped");
    run("RESET standard_conforming_strings");
}

/* Its span says which line this is. */
__attribute__((noinline)) static void close_day(void)
{
    run("SELECT 1 AS quick");
    PQclear(PQexec(connection, "SELECT pg_sleep(0.2)"));
    __asm__ volatile("");
}

int main(int argc, char **argv)
{
    const char *what = argv[2];
    int count = argc > 3 ? atoi(argv[3]) : 0;
    connection = PQconnectdb(argv[1]);
    if (strcmp(what, "refused") == 0)
        return PQstatus(connection) != CONNECTION_BAD;
    require(PQstatus(connection) == CONNECTION_OK, "connect");
    if (strcmp(what, "synced") == 0)
        pipeline(count, 1);
    else if (strcmp(what, "mixed") == 0)
        pipeline(count, 3);
    else if (strcmp(what, "joined") == 0)
        pipeline(count, count);
    else if (strcmp(what, "broken") == 0)
        broken_pipeline();
    else if (strcmp(what, "copy") == 0)
        copy_extended();
    else if (strcmp(what, "deferred") == 0)
        deferred();
    else if (strcmp(what, "prepared") == 0)
        prepared();
    else if (strcmp(what, "function") == 0)
        function_call();
    else if (strcmp(what, "escapes") == 0)
        escapes();
    else if (strcmp(what, "slow") == 0)
        close_day();
    PQfinish(connection);
    return 0;
}
