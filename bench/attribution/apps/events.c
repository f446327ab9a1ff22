/* SPDX-License-Identifier: Apache-2.0 */
/* libevent's own HTTP server; two calls per request: http, by its HTTP client over a connection of
 * the request's own; redis, by hiredis over one connection that all share; once, the same after a
 * timer each; queue, the same where only a few may be under way: who is answered sends the next
 * one's; mixed, every other request so. */
#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <hiredis/adapters/libevent.h>
#include <hiredis/async.h>

#include "app.h"

struct job {
    struct evhttp_request *client;
    struct request request;
    struct evhttp_connection *connection;
    struct job *next; /* in the queue */
    int k;
};

static struct event_base *base;
static redisAsyncContext *redis;

static void go_on(struct job *job);

static void finish(struct job *job)
{
    struct evbuffer *body = evbuffer_new();
    evbuffer_add_printf(body, "%s", job->request.token);
    evhttp_send_reply(job->client, 200, "OK", body);
    evbuffer_free(body);
    if (job->connection != NULL)
        evhttp_connection_free(job->connection);
    free(job);
}

static void on_answer(struct evhttp_request *request, void *argument)
{
    EXPECT(request != NULL && evhttp_request_get_response_code(request) == 200);
    go_on(argument);
}

static void call_redis(struct job *job);

static struct job *first, **last = &first;
static int under_way;

static bool is_queued(const struct job *job)
{
    static uint32_t count;
    return strcmp(job->request.cell, "queue") == 0 ||
           (strcmp(job->request.cell, "mixed") == 0 && count++ % 2 == 0);
}

static void on_reply(redisAsyncContext *context, void *reply, void *argument)
{
    EXPECT(reply != NULL);
    go_on(argument);
}

static void on_queued_reply(redisAsyncContext *context, void *reply, void *argument)
{
    struct job *next = first;
    under_way--;
    if (next != NULL) {
        if ((first = next->next) == NULL)
            last = &first;
        call_redis(next);
    }
    on_reply(context, reply, argument);
}

static void call_redis(struct job *job)
{
    under_way++;
    redisAsyncCommand(redis, on_queued_reply, job, "GET %s:%d", job->request.token, job->k++);
}

static void put_off(struct job *job)
{
    if (under_way < 3) {
        call_redis(job);
        return;
    }
    job->next = NULL;
    *last = job;
    last = &job->next;
}

static void call_after_timer(evutil_socket_t fd, short events, void *argument)
{
    struct job *job = argument;
    redisAsyncCommand(redis, on_reply, job, "GET %s:%d", job->request.token, job->k++);
}

static void call_http(struct job *job)
{
    char path[64];
    if (job->connection == NULL)
        job->connection = evhttp_connection_base_new(
            base, NULL, "127.0.0.1", (unsigned short)app_port("BACK_HTTP"));
    struct evhttp_request *call = evhttp_request_new(on_answer, job);
    evhttp_add_header(evhttp_request_get_output_headers(call), "Host", "back");
    snprintf(path, sizeof(path), "/%s.%d", job->request.token, job->k++);
    EXPECT(evhttp_make_request(job->connection, call, EVHTTP_REQ_GET, path) == 0);
}

/* The connection may not be closed from the callback of its last answer. */
static void finish_later(evutil_socket_t fd, short events, void *job)
{
    finish(job);
}

static void go_on(struct job *job)
{
    if (job->k == 2) {
        if (job->connection == NULL)
            finish(job);
        else
            event_base_once(base, -1, EV_TIMEOUT, finish_later, job, &(struct timeval){0, 0});
        return;
    }
    if (is_queued(job))
        put_off(job);
    else if (strcmp(job->request.cell, "once") == 0)
        event_base_once(base, -1, EV_TIMEOUT, call_after_timer, job,
            &(struct timeval){0, 1000 + rand() % 3000});
    else if (strcmp(job->request.cell, "http") != 0)
        redisAsyncCommand(redis, on_reply, job, "GET %s:%d", job->request.token, job->k++);
    else
        call_http(job);
}

static void on_request(struct evhttp_request *client, void *argument)
{
    struct job *job = calloc(1, sizeof(*job));
    job->client = client;
    EXPECT(sscanf(evhttp_request_get_uri(client), "/%31[^/]/%31[^/?]", job->request.cell,
               job->request.token) == 2);
    go_on(job);
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    base = event_base_new();
    redis = redisAsyncConnect("127.0.0.1", app_port("BACK_RESP"));
    EXPECT(redis != NULL && redis->err == 0 && redisLibeventAttach(redis, base) == REDIS_OK);
    struct evhttp *server = evhttp_new(base);
    evhttp_set_gencb(server, on_request, NULL);
    EXPECT(evhttp_bind_socket(server, "127.0.0.1", (unsigned short)app_port("APP_PORT")) == 0);
    return event_base_dispatch(base);
}
