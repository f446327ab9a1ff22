/* SPDX-License-Identifier: Apache-2.0 */
/* libpq, where pg_client.c does not go: single rows, cancelling, notifications, large objects. */
#include <libpq-fe.h>
#include <libpq/libpq-fs.h>
#include <poll.h>

#include "web.h"

static void *driver_connect(int port, const char *how)
{
    char text[128];
    snprintf(text, sizeof(text), "host=127.0.0.1 port=%d user=postgres dbname=postgres sslmode=%s",
        port, strcmp(how, "tls") == 0 ? "require" : "disable");
    PGconn *connection = PQconnectdb(text);
    must(PQstatus(connection) == CONNECTION_OK, PQerrorMessage(connection));
    return connection;
}

static ExecStatusType run(PGconn *connection, const char *text)
{
    PGresult *result = PQexec(connection, text);
    ExecStatusType status = PQresultStatus(result);
    PQclear(result);
    return status;
}

static void pipeline(PGconn *connection, const char *format, int number, int from, int to)
{
    must(PQenterPipelineMode(connection), "pipeline");
    for (int i = from; i <= to; i++) {
        char text[64];
        const char *value = "7";
        snprintf(text, sizeof(text), format, number, i);
        must(PQsendQueryParams(connection, text, 1, NULL, &value, NULL, NULL, 0), "send");
    }
    must(PQpipelineSync(connection), "sync");
    for (ExecStatusType status = PGRES_TUPLES_OK; status != PGRES_PIPELINE_SYNC;) {
        PGresult *result = PQgetResult(connection);
        status = result == NULL ? PGRES_TUPLES_OK : PQresultStatus(result);
        PQclear(result);
    }
    must(PQexitPipelineMode(connection), "exit pipeline");
}

static void driver_ask(void *connection, int number)
{
    char text[64];
    snprintf(text, sizeof(text), "SELECT 7 AS r%d_a", number);
    must(run(connection, text) == PGRES_TUPLES_OK, "a statement");
    pipeline(connection, "SELECT $1::int AS r%d_%c", number, 'b', 'c');
}

static void row_by_row(PGconn *connection)
{
    int rows = 0;
    must(PQsendQuery(connection, "SELECT generate_series(1, 5000) AS rows_one_by_one"), "send");
    must(PQsetSingleRowMode(connection), "single rows");
    for (PGresult *result; (result = PQgetResult(connection)) != NULL; PQclear(result))
        rows += PQresultStatus(result) == PGRES_SINGLE_TUPLE;
    must(rows == 5000, "rows");
}

static void cancel(PGconn *connection)
{
    char error[256];
    must(PQsendQuery(connection, "SELECT pg_sleep(30) AS cancelled"), "send");
    PGcancel *handle = PQgetCancel(connection);
    struct pollfd socket = {.fd = PQsocket(connection), .events = POLLIN};
    int tries = 0; /* it may come before the statement does */
    do
        must(tries++ < 100 && PQcancel(handle, error, sizeof(error)), error);
    while (poll(&socket, 1, 200) == 0);
    PQfreeCancel(handle);
    PGresult *result = PQgetResult(connection);
    must(strcmp(PQresultErrorField(result, PG_DIAG_SQLSTATE), "57014") == 0, "cancelled");
    PQclear(result);
    must(PQgetResult(connection) == NULL, "no more");
}

static void notify(PGconn *connection)
{
    PGnotify *news;
    run(connection, "LISTEN news");
    run(connection, "NOTIFY news, 'secret'");
    while ((news = PQnotifies(connection)) == NULL) {
        struct pollfd socket = {.fd = PQsocket(connection), .events = POLLIN};
        must(poll(&socket, 1, 10000) == 1 && PQconsumeInput(connection), "news");
    }
    PQfreemem(news);
}

/* By FunctionCall, which the log of statements does not have. */
static void large_object(PGconn *connection)
{
    static char bytes[100000];
    run(connection, "BEGIN");
    Oid large = lo_creat(connection, INV_READ | INV_WRITE);
    int file = lo_open(connection, large, INV_READ | INV_WRITE);
    must(lo_write(connection, file, bytes, sizeof(bytes)) == (int)sizeof(bytes), "write");
    must(lo_lseek(connection, file, 0, SEEK_SET) == 0, "seek");
    must(lo_read(connection, file, bytes, sizeof(bytes)) == (int)sizeof(bytes), "read");
    must(lo_close(connection, file) == 0 && lo_unlink(connection, large) == 1, "unlink");
    run(connection, "COMMIT");
}

static void driver_play(void *connection)
{
    row_by_row(connection);
    cancel(connection);
    notify(connection);
    large_object(connection);
    pipeline(connection, "SELECT $1::int AS piped_%d_%d", 0, 1, 500);
    run(connection, "SELECT 1 AS last");
    PQfinish(connection);
}
