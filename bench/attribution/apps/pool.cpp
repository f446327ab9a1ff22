/* SPDX-License-Identifier: Apache-2.0 */
/* A pool of workers that are handed requests by an I/O thread, over a queue in memory. A worker
 * makes two blocking calls and then writes the answer itself (worker-), or hands it back to the I/O
 * thread (io-). The queue is first in first out, last in first out, a lock-free stack, or of
 * closures, which may share what they work on (-shared). Jobs may be kept and used again as soon as
 * their calls are made (-reused). Its threads are started before all, or (-lazy) when
 * there is work. */
#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <sys/eventfd.h>
#include <thread>

#include "app.h"

namespace
{
constexpr int WORKERS = 32;

struct job {
    int client;
    struct request request;
    job *next;
};

std::mutex lock;
std::condition_variable ready;
std::deque<job *> queue;                    /* both orders */
std::deque<std::function<void()>> closures; /* of io-function */
std::atomic<job *> stack{nullptr};          /* of io-lockfree: pushed to, taken whole */
std::deque<job *> done;                     /* for the I/O thread */
std::mutex done_lock;
int lazy; /* threads started so far */
int wake; /* eventfd of the I/O thread */

bool is_cell(const job *each, const char *cell)
{
    return strcmp(each->request.cell, cell) == 0;
}

std::deque<job *> spare; /* of io-reused */
std::mutex spare_lock;

void let_go(job *each)
{
    if (!is_cell(each, "io-reused")) {
        delete each;
        return;
    }
    std::lock_guard<std::mutex> hold(spare_lock);
    spare.push_back(each);
}

job *take_spare()
{
    std::lock_guard<std::mutex> hold(spare_lock);
    if (spare.empty())
        return nullptr;
    job *each = spare.back();
    spare.pop_back();
    return each;
}

job *make(int client)
{
    job *each = take_spare();
    if (each == nullptr)
        return new job{client, {}, nullptr};
    each->client = client;
    return each;
}

void finish(job *each)
{
    app_reply(each->client, &each->request);
    let_go(each);
}

void hand_back(job *each)
{
    {
        std::lock_guard<std::mutex> hold(done_lock);
        done.push_back(each);
    }
    uint64_t one = 1;
    EXPECT(write(wake, &one, sizeof(one)) == sizeof(one));
}

void call_twice(job *each)
{
    static thread_local int kept = -1;
    if (kept < 0)
        kept = app_connect();
    app_call(kept, &each->request, 0);
    app_call(kept, &each->request, 1);
}

/* The answer needs no more of the job than a copy. */
void hand_back_copy(job *each)
{
    job *copy = new job(*each);
    strcpy(copy->request.cell, "copy"); /* which is not kept */
    let_go(each);
    hand_back(copy);
}

void work_on(job *each)
{
    call_twice(each);
    if (is_cell(each, "io-reused")) {
        hand_back_copy(each);
        return;
    }
    if (strncmp(each->request.cell, "worker-", 7) == 0)
        finish(each);
    else
        hand_back(each);
}

bool is_lifo(const job *each)
{
    return is_cell(each, "io-lifo");
}

/* One from the stack; what else was on it is put back, newest last. */
job *pop_lock_free()
{
    job *all = stack.exchange(nullptr, std::memory_order_acquire);
    if (all == nullptr)
        return nullptr;
    for (job *rest = all->next; rest != nullptr;) {
        job *following = rest->next;
        rest->next = stack.load(std::memory_order_relaxed);
        while (!stack.compare_exchange_weak(rest->next, rest, std::memory_order_release))
            ;
        rest = following;
    }
    return all;
}

void take_one(std::unique_lock<std::mutex> &hold)
{
    if (!closures.empty()) {
        std::function<void()> closure = std::move(closures.front());
        closures.pop_front();
        hold.unlock();
        closure();
        return;
    }
    job *each = is_lifo(queue.back()) ? queue.back() : queue.front();
    if (each == queue.back())
        queue.pop_back();
    else
        queue.pop_front();
    hold.unlock();
    work_on(each);
}

void work()
{
    for (;;) {
        std::unique_lock<std::mutex> hold(lock);
        ready.wait(hold, [] { return !queue.empty() || !closures.empty() || stack.load(); });
        if (!queue.empty() || !closures.empty()) {
            take_one(hold);
            continue;
        }
        hold.unlock();
        if (job *each = pop_lock_free()) {
            ready.notify_one();
            work_on(each);
        }
    }
}

void enqueue_shared(std::shared_ptr<job> kept)
{
    std::function<void()> closure = [kept] {
        call_twice(kept.get());
        hand_back(new job(*kept));
    };
    std::lock_guard<std::mutex> hold(lock);
    closures.push_back(std::move(closure));
}

void enqueue(job *each)
{
    if (is_cell(each, "io-shared")) {
        enqueue_shared(std::make_shared<job>(*each));
        delete each;
    } else if (is_cell(each, "io-lockfree")) {
        each->next = stack.load(std::memory_order_relaxed);
        while (!stack.compare_exchange_weak(each->next, each, std::memory_order_release))
            ;
        std::lock_guard<std::mutex> hold(lock); /* so that no waiter misses it */
    } else {
        std::lock_guard<std::mutex> hold(lock);
        if (is_cell(each, "io-function"))
            closures.push_back([each, copy = std::string(each->request.token)] { work_on(each); });
        else
            queue.push_back(each);
    }
    ready.notify_one();
    if (lazy < WORKERS && strcmp(getenv("APP_CELL"), "worker-lazy") == 0) {
        lazy++;
        std::thread(work).detach();
    }
}

void take_request(int client, int epoll)
{
    char head[HEAD_BYTES];
    ssize_t got = recv(client, head, sizeof(head) - 1, 0);
    if (got <= 0) {
        epoll_ctl(epoll, EPOLL_CTL_DEL, client, nullptr);
        close(client);
        return;
    }
    head[got] = '\0'; /* requests are small: they come whole */
    job *each = make(client);
    EXPECT(app_parse(head, &each->request));
    enqueue(each);
}

void answer_all()
{
    uint64_t count;
    EXPECT(read(wake, &count, sizeof(count)) == sizeof(count));
    std::deque<job *> all;
    {
        std::lock_guard<std::mutex> hold(done_lock);
        all.swap(done);
    }
    for (job *each : all)
        finish(each);
}

void watch(int epoll, int fd)
{
    struct epoll_event event = {};
    event.events = EPOLLIN;
    event.data.fd = fd;
    EXPECT(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0);
}
} // namespace

int main()
{
    int listener = app_listen(), epoll = epoll_create1(EPOLL_CLOEXEC);
    wake = eventfd(0, EFD_CLOEXEC);
    watch(epoll, listener);
    watch(epoll, wake);
    bool is_lazy = strcmp(getenv("APP_CELL"), "worker-lazy") == 0;
    for (int i = 0; i < WORKERS && !is_lazy; i++)
        std::thread(work).detach();
    for (;;) {
        struct epoll_event events[64];
        int count = epoll_wait(epoll, events, 64, -1);
        for (int i = 0; i < count; i++) {
            int fd = events[i].data.fd;
            if (fd == listener) {
                int client = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
                app_no_delay(client);
                watch(epoll, client);
            } else if (fd == wake)
                answer_all();
            else
                take_request(fd, epoll);
        }
    }
}
