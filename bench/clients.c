/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CPU of the calling thread for a redisCommand and for a PQexec, in ns: clients redis|pg PORT COUNT.
 * The least of many short rounds, since whatever else a machine does only adds.
 */
#include <hiredis/hiredis.h>
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { ROUNDS = 40 };

static double thread_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static void die(const char *why)
{
    fprintf(stderr, "clients: %s\n", why);
    exit(1);
}

static void ask_redis(void *connection)
{
    redisReply *reply = redisCommand(connection, "GET %s", "key");
    if (reply == NULL)
        die("no reply");
    freeReplyObject(reply);
}

static void ask_postgresql(void *connection)
{
    PGresult *result = PQexec(connection, "SELECT a FROM t WHERE id = 7");
    if (PQresultStatus(result) != PGRES_TUPLES_OK)
        die(PQerrorMessage(connection));
    PQclear(result);
}

static double least(void (*ask)(void *), void *connection, int count)
{
    double best = 1e18;
    for (int round = 0; round < ROUNDS; round++) {
        double before = thread_ns();
        for (int i = 0; i < count; i++)
            ask(connection);
        double spent = (thread_ns() - before) / count;
        best = spent < best ? spent : best;
    }
    return best;
}

static void *connect_postgresql(const char *port)
{
    char where[128];
    snprintf(where, sizeof(where), "host=127.0.0.1 port=%s user=postgres dbname=postgres", port);
    PGconn *connection = PQconnectdb(where);
    if (PQstatus(connection) != CONNECTION_OK)
        die(PQerrorMessage(connection));
    PQclear(PQexec(connection, "CREATE TEMP TABLE t (id int PRIMARY KEY, a int)"));
    PQclear(PQexec(connection, "INSERT INTO t SELECT n, n FROM generate_series(1, 10) n"));
    return connection;
}

int main(int argc, char **argv)
{
    if (argc != 4)
        die("redis|pg PORT COUNT");
    int count = atoi(argv[3]);
    if (strcmp(argv[1], "redis") == 0) {
        redisContext *connection = redisConnect("127.0.0.1", atoi(argv[2]));
        if (connection == NULL || connection->err)
            die("cannot connect");
        printf("%.1f\n", least(ask_redis, connection, count));
    } else {
        printf("%.1f\n", least(ask_postgresql, connect_postgresql(argv[2]), count));
    }
    return 0;
}
