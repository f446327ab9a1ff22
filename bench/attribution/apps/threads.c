/* SPDX-License-Identifier: Apache-2.0 */
/* A thread per connection, two calls per request: fresh, each over a connection of its own; kept,
 * over one that the thread keeps; spawn, each by a thread of its own; ahead, over a pool
 * that opens connections before they are needed; after, the second one when
 * the answer is already written; brief, each wait by a descriptor of epoll made for it. In cron a
 * thread calls that serves nobody. */
#include <pthread.h>

#include "app.h"

struct task {
    const struct request *request;
    int k;
};

static void *run_task(void *argument)
{
    const struct task *task = argument;
    app_call_fresh(task->request, task->k);
    return NULL;
}

static void call_by_threads(const struct request *request)
{
    for (int k = 0; k < 2; k++) {
        struct task task = {request, k};
        pthread_t thread;
        EXPECT(pthread_create(&thread, NULL, run_task, &task) == 0);
        EXPECT(pthread_join(thread, NULL) == 0);
    }
}

static void *call_now_and_then(void *unused)
{
    struct request nobodys = {.cell = "cron"};
    for (unsigned count = 0;; count++) {
        snprintf(nobodys.token, sizeof(nobodys.token), "b%uq", count);
        app_call_fresh(&nobodys, 0);
        nanosleep(&(struct timespec){0, 3000000}, NULL);
    }
    return unused;
}

/* Connections that all threads share, each good for three calls. Where none is idle two are
 * opened: the second one's first call is not of the request that opened it. */
static struct {
    pthread_mutex_t lock;
    struct kept {
        int fd, calls;
    } idle[1024];
    size_t count;
} pool = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void pool_give(struct kept kept)
{
    if (kept.calls == 3) {
        close(kept.fd);
        return;
    }
    pthread_mutex_lock(&pool.lock);
    pool.idle[pool.count++] = kept;
    pthread_mutex_unlock(&pool.lock);
}

static struct kept pool_take(void)
{
    pthread_mutex_lock(&pool.lock);
    struct kept kept = pool.count > 0 ? pool.idle[--pool.count] : (struct kept){-1, 0};
    pthread_mutex_unlock(&pool.lock);
    if (kept.fd >= 0)
        return kept;
    pool_give((struct kept){app_connect(), 0});
    return (struct kept){app_connect(), 0};
}

static void call_ahead(const struct request *request)
{
    for (int k = 0; k < 2; k++) {
        struct kept kept = pool_take();
        app_call(kept.fd, request, k);
        kept.calls++;
        pool_give(kept);
    }
}

/* As POCO waits for a connection: as if by poll. */
static void wait_briefly(int fd)
{
    int epoll = epoll_create(1);
    struct epoll_event event = {.events = EPOLLIN};
    EXPECT(epoll >= 0 && epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0);
    EXPECT(epoll_wait(epoll, &event, 1, -1) == 1);
    close(epoll);
}

static bool is_brief(void)
{
    return strcmp(getenv("APP_CELL"), "brief") == 0;
}

static void call_briefly(const struct request *request)
{
    for (int k = 0; k < 2; k++) {
        int fd = app_connect();
        app_ask(fd, request, k);
        wait_briefly(fd);
        app_await(fd);
        close(fd);
    }
}

static void serve(int client, const struct request *request, int *kept)
{
    if (strcmp(request->cell, "kept") == 0) {
        if (*kept < 0)
            *kept = app_connect();
        app_call(*kept, request, 0);
        app_call(*kept, request, 1);
        app_reply(client, request);
        return;
    }
    if (strcmp(request->cell, "spawn") == 0 || strcmp(request->cell, "ahead") == 0) {
        *request->cell == 's' ? call_by_threads(request) : call_ahead(request);
        app_reply(client, request);
        return;
    }
    if (is_brief()) {
        call_briefly(request);
        app_reply(client, request);
        return;
    }
    bool is_after = strcmp(request->cell, "after") == 0;
    app_call_fresh(request, 0);
    if (is_after)
        app_reply(client, request);
    app_call_fresh(request, 1);
    if (!is_after)
        app_reply(client, request);
}

static void *work(void *argument)
{
    int client = (int)(intptr_t)argument, kept = -1;
    struct request request;
    for (;;) {
        if (is_brief())
            wait_briefly(client);
        if (!app_read(client, &request))
            break;
        serve(client, &request, &kept);
    }
    close(client);
    if (kept >= 0)
        close(kept);
    return NULL;
}

int main(void)
{
    int listener = app_listen();
    pthread_t cron;
    if (strcmp(getenv("APP_CELL"), "cron") == 0)
        EXPECT(pthread_create(&cron, NULL, call_now_and_then, NULL) == 0);
    for (;;) {
        pthread_t thread;
        int client = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        EXPECT(client >= 0);
        app_no_delay(client);
        EXPECT(pthread_create(&thread, NULL, work, (void *)(intptr_t)client) == 0);
        pthread_detach(thread);
    }
}
