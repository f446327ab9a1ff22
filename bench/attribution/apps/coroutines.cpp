/* SPDX-License-Identifier: Apache-2.0 */
/* A coroutine per client connection, on a stack of its own, over one epoll. Two calls per request:
 * own, over a connection that the coroutine opens; shared, over one of four that all share and wait
 * for; sleep, shared after a sleep of 3 ms. Switched by swapcontext or, with BOOST, by
 * boost.context. */
#include <deque>
#include <map>
#ifdef BOOST
#include <boost/context/fiber.hpp>
#else
#include <ucontext.h>
#endif

#include "app.h"

namespace
{
constexpr int SHARED = 4;

void serve(int client);

#ifdef BOOST
struct coroutine {
    boost::context::fiber self, scheduler;
};
#else
constexpr size_t STACK_BYTES = 128 * 1024;
struct coroutine {
    ucontext_t self;
    char *stack;
    int client;
    bool is_done;
};
ucontext_t scheduler;
#endif

coroutine *current;
int epoll;
std::map<int, coroutine *> readers;            /* who waits for a descriptor */
std::multimap<uint64_t, coroutine *> sleepers; /* by the time they want to go on, ms */
std::deque<coroutine *> runnable, waiting;     /* waiting: for a shared connection */
std::deque<int> idle;                          /* shared connections */
int shared_open;

#ifdef BOOST
void yield()
{
    coroutine *me = current;
    me->scheduler = std::move(me->scheduler).resume();
}

void resume(coroutine *each)
{
    current = each;
    each->self = std::move(each->self).resume();
    if (!each->self)
        delete each;
}

void start(int client)
{
    coroutine *each = new coroutine;
    each->self = boost::context::fiber([each, client](boost::context::fiber &&from) {
        each->scheduler = std::move(from);
        serve(client);
        return std::move(each->scheduler);
    });
    runnable.push_back(each);
}
#else
void yield()
{
    coroutine *me = current;
    EXPECT(swapcontext(&me->self, &scheduler) == 0);
}

void resume(coroutine *each)
{
    current = each;
    EXPECT(swapcontext(&scheduler, &each->self) == 0);
    if (each->is_done) {
        free(each->stack);
        delete each;
    }
}

void enter()
{
    coroutine *me = current;
    serve(me->client);
    me->is_done = true;
    yield();
}

void start(int client)
{
    coroutine *each = new coroutine();
    each->client = client;
    each->stack = static_cast<char *>(malloc(STACK_BYTES));
    EXPECT(getcontext(&each->self) == 0);
    each->self.uc_stack.ss_sp = each->stack;
    each->self.uc_stack.ss_size = STACK_BYTES;
    makecontext(&each->self, enter, 0);
    runnable.push_back(each);
}
#endif

uint64_t now_ms()
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return static_cast<uint64_t>(now.tv_sec) * 1000 + static_cast<uint64_t>(now.tv_nsec) / 1000000;
}

void sleep_ms(uint64_t span)
{
    sleepers.emplace(now_ms() + span, current);
    yield();
}

void watch(int fd)
{
    struct epoll_event event = {};
    event.events = EPOLLIN;
    event.data.fd = fd;
    EXPECT(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0);
}

/* A text up to where it is complete; false: the peer has gone. */
template <typename Complete> bool receive(int fd, Complete is_complete)
{
    char text[HEAD_BYTES];
    size_t have = 0;
    for (;;) {
        ssize_t got = recv(fd, text + have, sizeof(text) - 1 - have, MSG_DONTWAIT);
        if (got < 0 && errno == EAGAIN) {
            readers[fd] = current;
            yield();
            continue;
        }
        if (got <= 0)
            return false;
        have += static_cast<size_t>(got);
        text[have] = '\0';
        if (is_complete(text))
            return true;
    }
}

int open_call()
{
    int fd = app_connect();
    watch(fd);
    return fd;
}

void call(int fd, const struct request *request, int k)
{
    app_ask(fd, request, k);
    EXPECT(receive(fd, app_is_answer));
}

int take_shared()
{
    if (idle.empty() && shared_open < SHARED) {
        shared_open++;
        return open_call();
    }
    while (idle.empty()) {
        waiting.push_back(current);
        yield();
    }
    int fd = idle.front();
    idle.pop_front();
    return fd;
}

void give_shared(int fd)
{
    idle.push_back(fd);
    if (waiting.empty())
        return;
    runnable.push_back(waiting.front());
    waiting.pop_front();
}

void call_twice(const struct request *request, int *own)
{
    for (int k = 0; k < 2; k++) {
        if (strcmp(request->cell, "own") == 0) {
            if (*own < 0)
                *own = open_call();
            call(*own, request, k);
            continue;
        }
        if (strcmp(request->cell, "sleep") == 0)
            sleep_ms(3);
        int fd = take_shared();
        call(fd, request, k);
        give_shared(fd);
    }
}

void serve(int client)
{
    int own = -1;
    struct request request;
    watch(client);
    while (receive(client, [&](const char *text) { return app_parse(text, &request); })) {
        call_twice(&request, &own);
        app_reply(client, &request);
    }
    close(client);
    if (own >= 0)
        close(own);
}

void run_all()
{
    while (!sleepers.empty() && sleepers.begin()->first <= now_ms()) {
        runnable.push_back(sleepers.begin()->second);
        sleepers.erase(sleepers.begin());
    }
    while (!runnable.empty()) {
        coroutine *each = runnable.front();
        runnable.pop_front();
        resume(each);
    }
}

void wake(int fd)
{
    auto found = readers.find(fd);
    if (found == readers.end())
        return;
    runnable.push_back(found->second);
    readers.erase(found);
}
} // namespace

int main()
{
    int listener = app_listen();
    epoll = epoll_create1(EPOLL_CLOEXEC);
    watch(listener);
    for (;;) {
        struct epoll_event events[64];
        int count = epoll_wait(epoll, events, 64, sleepers.empty() ? -1 : 1);
        for (int i = 0; i < count; i++) {
            if (events[i].data.fd != listener) {
                wake(events[i].data.fd);
                continue;
            }
            int client = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
            app_no_delay(client);
            start(client);
        }
        run_all();
    }
}
