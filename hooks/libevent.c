/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libevent (2.0 on): what is said to it now, and done when its loop turns.
 *
 *  - Its HTTP server is given an answer: that begins here, though it is written later.
 *  - Its HTTP client is given a request: if that is all that waits to be written on a connection
 *    that is at nothing else, what goes out there next is whose the thread is.
 *  - event_base_once: what is called once is whose the thread is.
 *  - A program that asks, at work on an answer to a call of a request, when it may write to that
 *    request's client begins to answer it.
 */
#include "callbacks.h"
#include "foreign.h"
#include "pool.h"
#include "thread.h"

struct event;
struct event_base;
struct evbuffer;
struct bufferevent;
struct evhttp_connection;
struct evhttp_request;
struct timeval;
typedef void event_callback(int, short, void *);

#define LOOP(X)                                                                              \
    X(int, event_add, (struct event *, const struct timeval *))                              \
    X(int, event_get_fd, (const struct event *))                                             \
    X(short, event_get_events, (const struct event *))                                       \
    X(int, event_base_once,                                                                  \
        (struct event_base *, int, short, event_callback *, void *, const struct timeval *)) \
    X(int, bufferevent_getfd, (struct bufferevent *))                                        \
    X(struct evbuffer *, bufferevent_get_output, (struct bufferevent *))                     \
    X(size_t, evbuffer_get_length, (const struct evbuffer *))

#define HTTP(X)                                                                                 \
    X(int, evhttp_make_request,                                                                 \
        (struct evhttp_connection *, struct evhttp_request *, int, const char *))               \
    X(void, evhttp_send_reply, (struct evhttp_request *, int, const char *, struct evbuffer *)) \
    X(void, evhttp_send_reply_start, (struct evhttp_request *, int, const char *))              \
    X(void, evhttp_send_error, (struct evhttp_request *, int, const char *))                    \
    X(struct evhttp_connection *, evhttp_request_get_connection, (struct evhttp_request *))     \
    X(struct bufferevent *, evhttp_connection_get_bufferevent, (struct evhttp_connection *))

FOREIGN_LIBRARY(loop, LOOP);
FOREIGN_LIBRARY(http, HTTP);

enum { EVENT_READ = 2, EVENT_WRITE = 4 };

/* --- HTTP ---------------------------------------------------------------------------------------
 */

/* NULL: none, or these are not the functions that we know. */
static struct bufferevent *stream_of(
    const struct loop *loop, const struct http *http, struct evhttp_connection *connection)
{
    bool is_known = connection != NULL && FOREIGN_HAS(http, evhttp_connection_get_bufferevent) &&
                    FOREIGN_HAS(loop, bufferevent_getfd) &&
                    FOREIGN_HAS(loop, bufferevent_get_output) &&
                    FOREIGN_HAS(loop, evbuffer_get_length);
    return is_known ? http->evhttp_connection_get_bufferevent(connection) : NULL;
}

static void answer(const struct loop *loop, const struct http *http, struct evhttp_request *request)
{
    if (thread_self == NULL || !FOREIGN_HAS(http, evhttp_request_get_connection))
        return;
    struct bufferevent *stream =
        stream_of(loop, http, http->evhttp_request_get_connection(request));
    if (stream != NULL)
        callbacks_answer(loop->bufferevent_getfd(stream), false);
}

HOOK_FOREIGN(void, evhttp_send_reply,
    (struct evhttp_request * request, int code, const char *reason, struct evbuffer *body))
{
    FOREIGN(loop);
    FOREIGN(http);
    answer(loop, http, request);
    http->evhttp_send_reply(request, code, reason, body);
}

HOOK_FOREIGN(
    void, evhttp_send_reply_start, (struct evhttp_request * request, int code, const char *reason))
{
    FOREIGN(loop);
    FOREIGN(http);
    answer(loop, http, request);
    http->evhttp_send_reply_start(request, code, reason);
}

HOOK_FOREIGN(
    void, evhttp_send_error, (struct evhttp_request * request, int code, const char *reason))
{
    FOREIGN(loop);
    FOREIGN(http);
    answer(loop, http, request);
    http->evhttp_send_error(request, code, reason);
}

HOOK_FOREIGN(int, evhttp_make_request,
    (struct evhttp_connection * connection, struct evhttp_request *request, int method,
        const char *path))
{
    FOREIGN(loop);
    FOREIGN(http);
    struct bufferevent *stream = thread_self == NULL ? NULL : stream_of(loop, http, connection);
    struct evbuffer *buffer = stream == NULL ? NULL : loop->bufferevent_get_output(stream);
    int fd = stream == NULL ? -1 : loop->bufferevent_getfd(stream);
    bool is_alone = fd >= 0 && buffer != NULL && loop->evbuffer_get_length(buffer) == 0;
    uint64_t number = is_alone ? carrier_calls_by(fd) : 0;
    int result = http->evhttp_make_request(connection, request, method, path);
    /* If that has failed and the program has freed all, the descriptor is closed. */
    if (number != 0 && carrier_calls_by(fd) == number && loop->evbuffer_get_length(buffer) > 0)
        callbacks_send(fd);
    return result;
}

/* --- events -------------------------------------------------------------------------------------
 */

/* What is to be called once, and whose it is. */
struct once {
    uint64_t pool_link;
    event_callback *callback;
    void *argument;
    struct carrier_claim claim;
    uint32_t index;
};
static struct pool pool = {.block_shift = 6, .clear_bytes = 8};
_Static_assert(sizeof(struct once) <= 1 << 6, "it fits its block");

static void call_once(int fd, short events, void *block)
{
    struct once once = *(struct once *)block;
    pool_give(&pool, once.index);
    struct carrier_view before = callbacks_begin(once.claim);
    once.callback(fd, events, once.argument);
    callbacks_end(once.claim, before);
}

/* NULL: nobody's that is known. */
static struct once *claim(event_callback *callback, void *argument)
{
    struct carrier_claim claim = callbacks_claim();
    uint32_t index = claim.handle == CARRIER_NONE ? 0 : pool_take(&pool);
    if (index == 0) {
        carrier_unclaim(claim.handle);
        return NULL;
    }
    struct once *once = pool_block(&pool, index);
    *once = (struct once){0, callback, argument, claim, index};
    return once;
}

HOOK_FOREIGN(int, event_base_once,
    (struct event_base * base, int fd, short events, event_callback *callback, void *argument,
        const struct timeval *after))
{
    FOREIGN(loop);
    struct once *once = claim(callback, argument);
    if (once == NULL)
        return loop->event_base_once(base, fd, events, callback, argument, after);
    int result = loop->event_base_once(base, fd, events, call_once, once, after);
    if (result != 0) {
        carrier_unclaim(once->claim.handle);
        pool_give(&pool, once->index);
    }
    return result;
}

HOOK_FOREIGN(int, event_add, (struct event * event, const struct timeval *after))
{
    FOREIGN(loop);
    bool is_asked = thread_self != NULL && thread_self->current != NULL &&
                    !thread_self->current_read_here && FOREIGN_HAS(loop, event_get_fd) &&
                    FOREIGN_HAS(loop, event_get_events);
    if (is_asked && (loop->event_get_events(event) & (EVENT_READ | EVENT_WRITE)) == EVENT_WRITE)
        callbacks_answer(loop->event_get_fd(event), true);
    return loop->event_add(event, after);
}

FOREIGN_UNVERSIONED(evhttp_send_reply);
FOREIGN_UNVERSIONED(evhttp_send_reply_start);
FOREIGN_UNVERSIONED(evhttp_send_error);
FOREIGN_UNVERSIONED(evhttp_make_request);
FOREIGN_UNVERSIONED(event_base_once);
FOREIGN_UNVERSIONED(event_add);
