/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP for the drivers in C: a thread for each connection, and a pool of sixteen connections to the
 * database for all of them. A driver offers the four functions below. */
#pragma once

#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { POOL = 16 };

static void *driver_connect(int port, const char *how);
static void driver_ask(void *connection, int number); /* statements rN_a, rN_b, rN_c */
static void driver_play(void *connection);            /* some of all it can */

static inline void must(int holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "%s\n", what);
        exit(1);
    }
}

static void *pool[POOL];
static int pool_free;
static pthread_mutex_t pool_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t pool_given = PTHREAD_COND_INITIALIZER;

static void *pool_take(void)
{
    pthread_mutex_lock(&pool_lock);
    while (pool_free == 0)
        pthread_cond_wait(&pool_given, &pool_lock);
    void *connection = pool[--pool_free];
    pthread_mutex_unlock(&pool_lock);
    return connection;
}

static void pool_give(void *connection)
{
    pthread_mutex_lock(&pool_lock);
    pool[pool_free++] = connection;
    pthread_cond_signal(&pool_given);
    pthread_mutex_unlock(&pool_lock);
}

static void *web_serve_one(void *argument)
{
    static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    int fd = (int)(long)argument, number;
    char head[2048];
    ssize_t length;
    while ((length = read(fd, head, sizeof(head) - 1)) > 0) {
        head[length] = '\0';
        if (sscanf(head, "GET /r/%d", &number) != 1)
            break;
        void *connection = pool_take();
        driver_ask(connection, number);
        pool_give(connection);
        if (write(fd, answer, sizeof(answer) - 1) < 0)
            break;
    }
    close(fd);
    return NULL;
}

static void web_serve(int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
        .sin_port = htons((uint16_t)port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int listener = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    must(bind(listener, (struct sockaddr *)&address, sizeof(address)) == 0, "bind");
    must(listen(listener, 256) == 0, "listen");
    for (;;) {
        pthread_t thread;
        int fd = accept(listener, NULL, NULL);
        must(fd >= 0, "accept");
        must(pthread_create(&thread, NULL, web_serve_one, (void *)(long)fd) == 0, "thread");
        pthread_detach(thread);
    }
}

/* driver PORT plain|tls|compressed [HTTP_PORT] */
int main(int count, char **arguments)
{
    must(count >= 3, "driver PORT plain|tls|compressed [HTTP_PORT]");
    int port = atoi(arguments[1]);
    if (count == 3) {
        driver_play(driver_connect(port, arguments[2]));
        return 0;
    }
    while (pool_free < POOL)
        pool[pool_free++] = driver_connect(port, arguments[2]);
    web_serve(atoi(arguments[3]));
}
