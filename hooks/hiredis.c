/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hiredis's asynchronous clients (0.9 on). A command belongs to whose the thread is when it asks
 * for it; what several asked for goes out in one write, and each is called back in its turn.
 * Nothing of the library's own structures is looked at: its calls of its own exported functions say
 * what it puts into the buffer, when it writes that, and when it takes the next answer. Where it
 * was linked so that these cannot be seen (-Bsymbolic), nothing is known of any client.
 *
 * A client of whose answers one is not one command's is given up: subscriptions, MONITOR, RESP3,
 * and what was formatted by the program and is not one command.
 */
#include <stdarg.h>

#include "commands.h"
#include "foreign.h"

struct redis; /* redisContext, the beginning of a redisAsyncContext */
typedef void redis_callback(struct redis *, void *, void *);

#define FUNCTIONS(X)                                                                              \
    X(int, redisGetReply, (struct redis *, void **))                                              \
    X(int, redisBufferWrite, (struct redis *, int *))                                             \
    X(void, redisFree, (struct redis *))                                                          \
    X(int, __redisAppendCommand, (struct redis *, const char *, size_t))                          \
    X(void, __redisSetError, (struct redis *, int, const char *))                                 \
    X(void, redisAsyncFree, (struct redis *))                                                     \
    X(int, redisvAsyncCommand, (struct redis *, redis_callback *, void *, const char *, va_list)) \
    X(int, redisAsyncCommandArgv,                                                                 \
        (struct redis *, redis_callback *, void *, int, const char **, const size_t *))           \
    X(int, redisAsyncFormattedCommand,                                                            \
        (struct redis *, redis_callback *, void *, const char *, size_t))

FOREIGN_LIBRARY(hiredis, FUNCTIONS);

static __thread const struct redis *asking; /* by a function of the asynchronous kind */

/* --- what a command is --------------------------------------------------------------------------
 */

struct text {
    const char *at, *end;
};

/* "<mark><number>\r\n"; -1: it is not that. */
static long take_number(struct text *text, char mark)
{
    long number = 0;
    if (text->at == text->end || *text->at++ != mark)
        return -1;
    for (; text->at != text->end && *text->at >= '0' && *text->at <= '9' && number < 1 << 29;
         text->at++)
        number = number * 10 + *text->at - '0';
    if (text->end - text->at < 2 || *text->at != '\r')
        return -1;
    text->at += 2;
    return number;
}

static bool is_word(struct text word, const char *name)
{
    while (word.at != word.end && (*word.at | 32) == *name)
        word.at++, name++;
    return word.at == word.end && *name == '\0';
}

/* After these, answers come that were not asked for, or none. */
static bool is_turning(struct text word)
{
    static const char names[][13] = {"subscribe", "unsubscribe", "psubscribe", "punsubscribe",
        "ssubscribe", "sunsubscribe", "monitor", "hello", "sync", "psync"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (is_word(word, names[i]))
            return true;
    return false;
}

/* It is one, and has one answer. */
static bool is_plain(const char *bytes, size_t length)
{
    struct text text = {bytes, bytes + length};
    long count = take_number(&text, '*');
    for (long i = 0; i < count; i++) {
        long size = take_number(&text, '$');
        if (size < 0 || size + 2 > text.end - text.at)
            return false;
        if (i == 0 && is_turning((struct text){text.at, text.at + size}))
            return false;
        text.at += size + 2;
    }
    return count > 0 && text.at == text.end;
}

HOOK_FOREIGN(int, __redisAppendCommand, (struct redis * client, const char *bytes, size_t length))
{
    FOREIGN(hiredis);
    if (asking != client)
        commands_strange(client);
    else if (is_plain(bytes, length))
        commands_put(client, length);
    else
        commands_give_up(client);
    return hiredis->__redisAppendCommand(client, bytes, length);
}

/* --- the program asks ---------------------------------------------------------------------------
 */

HOOK_FOREIGN(int, redisvAsyncCommand,
    (struct redis * client, redis_callback *callback, void *own, const char *format, va_list list))
{
    FOREIGN(hiredis);
    const struct redis *outer = asking;
    asking = client;
    int result = hiredis->redisvAsyncCommand(client, callback, own, format, list);
    asking = outer;
    return result;
}

HOOK_FOREIGN(int, redisAsyncCommand,
    (struct redis * client, redis_callback *callback, void *own, const char *format, ...))
{
    FOREIGN(hiredis);
    const struct redis *outer = asking;
    va_list list;
    va_start(list, format);
    asking = client;
    int result = hiredis->redisvAsyncCommand(client, callback, own, format, list);
    asking = outer;
    va_end(list);
    return result;
}

HOOK_FOREIGN(int, redisAsyncCommandArgv,
    (struct redis * client, redis_callback *callback, void *own, int count, const char **words,
        const size_t *lengths))
{
    FOREIGN(hiredis);
    const struct redis *outer = asking;
    asking = client;
    int result = hiredis->redisAsyncCommandArgv(client, callback, own, count, words, lengths);
    asking = outer;
    return result;
}

HOOK_FOREIGN(int, redisAsyncFormattedCommand,
    (struct redis * client, redis_callback *callback, void *own, const char *bytes, size_t length))
{
    FOREIGN(hiredis);
    const struct redis *outer = asking;
    asking = client;
    int result = hiredis->redisAsyncFormattedCommand(client, callback, own, bytes, length);
    asking = outer;
    return result;
}

/* --- its event loop writes, reads and calls back ------------------------------------------------
 */

HOOK_FOREIGN(int, redisBufferWrite, (struct redis * client, int *is_done))
{
    FOREIGN(hiredis);
    struct commands_client *known = commands_write(client);
    int result = hiredis->redisBufferWrite(client, is_done);
    if (known != NULL)
        commands_written(known, result == 0 && is_done != NULL && *is_done);
    return result;
}

HOOK_FOREIGN(int, redisGetReply, (struct redis * client, void **reply))
{
    FOREIGN(hiredis);
    struct commands_client *known = commands_next(client);
    int result = hiredis->redisGetReply(client, reply);
    if (known != NULL && result == 0 && reply != NULL && *reply != NULL)
        commands_answer(known);
    return result;
}

/* From now on all that wait are called back, one after the other, without an answer. */
HOOK_FOREIGN(void, redisAsyncFree, (struct redis * client))
{
    FOREIGN(hiredis);
    commands_abandon(client);
    hiredis->redisAsyncFree(client);
}

HOOK_FOREIGN(void, __redisSetError, (struct redis * client, int type, const char *text))
{
    FOREIGN(hiredis);
    commands_abandon(client);
    hiredis->__redisSetError(client, type, text);
}

HOOK_FOREIGN(void, redisFree, (struct redis * client))
{
    FOREIGN(hiredis);
    commands_forget(client);
    hiredis->redisFree(client);
}

FOREIGN_UNVERSIONED(__redisAppendCommand);
FOREIGN_UNVERSIONED(redisvAsyncCommand);
FOREIGN_UNVERSIONED(redisAsyncCommand);
FOREIGN_UNVERSIONED(redisAsyncCommandArgv);
FOREIGN_UNVERSIONED(redisAsyncFormattedCommand);
FOREIGN_UNVERSIONED(redisBufferWrite);
FOREIGN_UNVERSIONED(redisGetReply);
FOREIGN_UNVERSIONED(__redisSetError);
FOREIGN_UNVERSIONED(redisAsyncFree);
FOREIGN_UNVERSIONED(redisFree);
