/* SPDX-License-Identifier: Apache-2.0 */
/* redis_client PORT sync|pipeline|async COUNT: commands by hiredis, one after the other, all at
 * once, or from an event loop of libevent. */
#include <event2/event.h>
#include <hiredis/adapters/libevent.h>
#include <hiredis/async.h>
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void expect(int holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "%s\n", what);
        exit(1);
    }
}

static void take(redisReply *reply)
{
    expect(reply != NULL && reply->type != REDIS_REPLY_ERROR, "an answer");
    freeReplyObject(reply);
}

static void one_by_one(int port, int count)
{
    redisContext *redis = redisConnect("127.0.0.1", port);
    expect(redis != NULL && !redis->err, "a connection");
    for (int i = 0; i < count; i++) {
        take(redisCommand(redis, "SET sync:%d %s", i, "value"));
        take(redisCommand(redis, "GET sync:%d", i));
    }
    redisFree(redis);
}

static void at_once(int port, int count)
{
    redisContext *redis = redisConnect("127.0.0.1", port);
    expect(redis != NULL && !redis->err, "a connection");
    for (int i = 0; i < count; i++)
        redisAppendCommand(redis, "INCRBY pipeline %d", i);
    for (int i = 0; i < count; i++) {
        void *reply = NULL;
        redisGetReply(redis, &reply);
        take(reply);
    }
    redisFree(redis);
}

static int left;

static void on_reply(redisAsyncContext *redis, void *reply, void *argument)
{
    (void)argument;
    expect(reply != NULL, "an answer");
    if (--left == 0)
        redisAsyncDisconnect(redis);
}

static void by_events(int port, int count)
{
    struct event_base *base = event_base_new();
    redisAsyncContext *redis = redisAsyncConnect("127.0.0.1", port);
    expect(redis != NULL && !redis->err, "a connection");
    redisLibeventAttach(redis, base);
    left = count;
    for (int i = 0; i < count; i++)
        redisAsyncCommand(redis, on_reply, NULL, "HSET async field%d %d", i, i);
    event_base_dispatch(base);
    event_base_free(base);
    expect(left == 0, "all answers");
}

int main(int count, char **arguments)
{
    expect(count == 4, "redis_client PORT sync|pipeline|async COUNT");
    int port = atoi(arguments[1]), commands = atoi(arguments[3]);
    if (strcmp(arguments[2], "sync") == 0)
        one_by_one(port, commands);
    else if (strcmp(arguments[2], "pipeline") == 0)
        at_once(port, commands);
    else
        by_events(port, commands);
    puts("done");
    return 0;
}
