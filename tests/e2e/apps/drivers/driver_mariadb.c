/* SPDX-License-Identifier: Apache-2.0 */
/* libmariadb by its functions that do not block: mysql_real_query_start and _cont. */
#include <mysql.h>
#include <poll.h>

#include "web.h"

static void *driver_connect(int port, const char *how)
{
    MYSQL *connection = mysql_init(NULL), *connected;
    my_bool on = 1, off = 0;
    mysql_options(connection, MYSQL_OPT_NONBLOCK, NULL);
    if (strcmp(how, "compressed") == 0)
        mysql_options(connection, MYSQL_OPT_COMPRESS, NULL);
    if (strcmp(how, "tls") == 0) {
        mysql_options(connection, MYSQL_OPT_SSL_ENFORCE, &on);
        mysql_options(connection, MYSQL_OPT_SSL_VERIFY_SERVER_CERT, &off);
        mysql_options(connection, MYSQL_OPT_SSL_CA, getenv("TLS_CA"));
    }
    connected = mysql_real_connect(connection, "127.0.0.1", "app", "correcthorse", "shop",
        (unsigned)port, NULL, CLIENT_MULTI_STATEMENTS | CLIENT_MULTI_RESULTS);
    must(connected != NULL, mysql_error(connection));
    return connection;
}

static int await(MYSQL *connection, int status)
{
    struct pollfd socket = {.fd = mysql_get_socket(connection),
        .events = (short)((status & MYSQL_WAIT_READ ? POLLIN : 0) |
                          (status & MYSQL_WAIT_WRITE ? POLLOUT : 0))};
    must(poll(&socket, 1, 30000) == 1, "an event");
    return (socket.revents & POLLIN ? MYSQL_WAIT_READ : 0) |
           (socket.revents & POLLOUT ? MYSQL_WAIT_WRITE : 0);
}

static int ask(MYSQL *connection, const char *text)
{
    int failed, status = mysql_real_query_start(&failed, connection, text, strlen(text));
    while (status != 0)
        status = mysql_real_query_cont(&failed, connection, await(connection, status));
    while (!failed) {
        MYSQL_RES *result;
        status = mysql_store_result_start(&result, connection);
        while (status != 0)
            status = mysql_store_result_cont(&result, connection, await(connection, status));
        mysql_free_result(result);
        if (!mysql_more_results(connection))
            break;
        status = mysql_next_result_start(&failed, connection);
        while (status != 0)
            status = mysql_next_result_cont(&failed, connection, await(connection, status));
    }
    return failed;
}

static void driver_ask(void *connection, int number)
{
    for (char part = 'a'; part <= 'c'; part++) {
        char text[64];
        snprintf(text, sizeof(text), "select 7 as r%d_%c", number, part);
        must(!ask(connection, text), "a statement");
    }
}

static void driver_play(void *connection)
{
    char text[64];
    for (int i = 4; i < 54; i++) {
        snprintf(text, sizeof(text), "insert into t values (%d, 'secret')", i);
        must(!ask(connection, text), "an insert");
    }
    must(ask(connection, "select nonsense from t"), "an error");
    must(!ask(connection, "select n, s from t; call two(); select 5"), "several");
    must(!ask(connection, "select repeat('x', 20000000) as long_row"), "a long row");
    must(!ask(connection, "delete from t where n > 3"), "a deletion");
    mysql_close(connection);
}
