/* SPDX-License-Identifier: Apache-2.0 */
/* hiredis in threads; redis_client.c has its event loop. Debian 12's is too old for TLS. */
#include <hiredis/hiredis.h>

#include "web.h"

static void *driver_connect(int port, const char *how)
{
    redisContext *redis = redisConnect("127.0.0.1", port);
    must(strcmp(how, "plain") == 0 && redis != NULL && !redis->err, "a connection");
    return redis;
}

static void take(redisContext *redis, int type)
{
    redisReply *reply = NULL;
    must(redisGetReply(redis, (void **)&reply) == REDIS_OK && reply->type == type, "an answer");
    freeReplyObject(reply);
}

static void driver_ask(void *redis, int number)
{
    redisAppendCommand(redis, "INCR r%d_a", number);
    take(redis, REDIS_REPLY_INTEGER);
    redisAppendCommand(redis, "SET r%d_b v", number);
    redisAppendCommand(redis, "GET r%d_c", number);
    take(redis, REDIS_REPLY_STATUS);
    take(redis, REDIS_REPLY_NIL);
}

static void driver_play(void *redis)
{
    static char value[3000000];
    for (int i = 0; i < 500; i++)
        redisAppendCommand(redis, "RPUSH list %d", i);
    for (int i = 0; i < 500; i++)
        take(redis, REDIS_REPLY_INTEGER);
    redisAppendCommand(redis, "LPUSH big %b", value, sizeof(value));
    take(redis, REDIS_REPLY_INTEGER);
    redisAppendCommand(redis, "GET list");
    take(redis, REDIS_REPLY_ERROR);
    redisFree(redis);
}
