/* SPDX-License-Identifier: Apache-2.0 */
/* An event loop over epoll. Two calls per request: own, over a connection that the request opens;
 * kept, over an idle one or a new one; queue, over one of four that are waited for; pipe, over four
 * on which calls follow each other without waiting; timer, kept after 3 ms; put-off, kept when all
 * events of the turn are read. */
#include "app.h"

enum { PEERS_MAX = 4096, LINE_MAX = 4096, FEW = 4, LATE_MS = 3 };

struct job {
    int client;
    int k;
    uint64_t due_ms;
    struct request request;
};

/* A first-in-first-out line of jobs. */
struct line {
    struct job *jobs[LINE_MAX];
    unsigned first, end;
};

struct upstream {
    bool is_open, is_connected;
    struct line *calls; /* sent or to be sent, not answered */
    size_t have;
    char answer[HEAD_BYTES];
};

static struct upstream upstreams[PEERS_MAX]; /* by descriptor */
static struct line waiting, timers, put_off;
static int idle[PEERS_MAX], idle_count, few[FEW], few_open, next_few, epoll;

static void put(struct line *line, struct job *job)
{
    EXPECT(line->end - line->first < LINE_MAX);
    line->jobs[line->end++ % LINE_MAX] = job;
}

static struct job *first(const struct line *line)
{
    return line->first == line->end ? NULL : line->jobs[line->first % LINE_MAX];
}

static struct job *take(struct line *line)
{
    struct job *job = first(line);
    line->first += job != NULL;
    return job;
}

static bool is_cell(const struct job *job, const char *name)
{
    return strcmp(job->request.cell, name) == 0;
}

static uint64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void watch(int fd, uint32_t events, int how)
{
    struct epoll_event event = {.events = events, .data.fd = fd};
    EXPECT(fd < PEERS_MAX && epoll_ctl(epoll, how, fd, &event) == 0);
}

static int open_upstream(void)
{
    struct sockaddr_in to = app_loopback(app_port("BACK_HTTP"));
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    EXPECT(connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0 || errno == EINPROGRESS);
    app_no_delay(fd);
    struct line *calls = upstreams[fd].calls;
    memset(&upstreams[fd], 0, sizeof(upstreams[fd]));
    upstreams[fd].calls = calls == NULL ? calloc(1, sizeof(*calls)) : calls;
    upstreams[fd].is_open = true;
    watch(fd, EPOLLOUT, EPOLL_CTL_ADD);
    return fd;
}

static void call_over(int fd, struct job *job)
{
    put(upstreams[fd].calls, job);
    if (upstreams[fd].is_connected)
        app_ask(fd, &job->request, job->k);
}

static void call(struct job *job)
{
    bool is_pipe = is_cell(job, "pipe");
    if (!is_pipe && !is_cell(job, "queue")) {
        bool is_new = idle_count == 0 || is_cell(job, "own");
        call_over(is_new ? open_upstream() : idle[--idle_count], job);
    } else if (few_open < FEW) {
        few[few_open] = open_upstream();
        call_over(few[few_open++], job);
    } else if (is_pipe)
        call_over(few[next_few++ % FEW], job);
    else if (idle_count > 0)
        call_over(idle[--idle_count], job);
    else
        put(&waiting, job);
}

static void start(struct job *job)
{
    if (is_cell(job, "timer")) {
        job->due_ms = now_ms() + LATE_MS;
        put(&timers, job);
    } else if (is_cell(job, "put-off"))
        put(&put_off, job);
    else
        call(job);
}

static void go_on(struct job *job)
{
    if (++job->k < 2) {
        start(job);
        return;
    }
    app_reply(job->client, &job->request);
    free(job);
}

static void connected(int fd)
{
    int error = 0;
    EXPECT(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &(socklen_t){sizeof(error)}) == 0);
    EXPECT(error == 0);
    upstreams[fd].is_connected = true;
    watch(fd, EPOLLIN, EPOLL_CTL_MOD);
    const struct line *calls = upstreams[fd].calls;
    for (unsigned at = calls->first; at != calls->end; at++)
        app_ask(fd, &calls->jobs[at % LINE_MAX]->request, calls->jobs[at % LINE_MAX]->k);
}

/* The connection has nothing to do: whoever waits gets it. */
static void release(int fd, const struct job *job)
{
    if (is_cell(job, "own")) {
        close(fd);
        upstreams[fd].is_open = false;
    } else if (first(&waiting) != NULL)
        call_over(fd, take(&waiting));
    else if (!is_cell(job, "pipe"))
        idle[idle_count++] = fd;
}

static void answered(int fd)
{
    struct upstream *upstream = &upstreams[fd];
    ssize_t got = recv(fd, upstream->answer + upstream->have, HEAD_BYTES - 1 - upstream->have, 0);
    EXPECT(got > 0);
    upstream->have += (size_t)got;
    upstream->answer[upstream->have] = '\0';
    while (upstream->have > 0 && app_is_answer(upstream->answer)) {
        const char *body = strstr(upstream->answer, "\r\n\r\n") + 4;
        body += strtoul(strcasestr(upstream->answer, "Content-Length:") + 15, NULL, 10);
        upstream->have -= (size_t)(body - upstream->answer);
        memmove(upstream->answer, body, upstream->have + 1);
        struct job *job = take(upstream->calls);
        release(fd, job);
        go_on(job);
    }
}

static void asked(int client)
{
    struct request request;
    if (!app_take(client, &request))
        return;
    struct job *job = calloc(1, sizeof(*job));
    job->client = client;
    job->request = request;
    start(job);
}

static void accept_one(int listener)
{
    int client = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    EXPECT(client >= 0);
    app_no_delay(client);
    upstreams[client].is_open = false;
    watch(client, EPOLLIN, EPOLL_CTL_ADD);
}

static void dispatch(int fd, int listener)
{
    if (fd == listener)
        accept_one(listener);
    else if (!upstreams[fd].is_open)
        asked(fd);
    else if (!upstreams[fd].is_connected)
        connected(fd);
    else
        answered(fd);
}

int main(void)
{
    int listener = app_listen();
    epoll = epoll_create1(EPOLL_CLOEXEC);
    watch(listener, EPOLLIN, EPOLL_CTL_ADD);
    for (;;) {
        struct epoll_event events[64];
        int count = epoll_wait(epoll, events, 64, first(&timers) == NULL ? -1 : 1);
        for (int i = 0; i < count; i++)
            dispatch(events[i].data.fd, listener);
        while (first(&put_off) != NULL)
            call(take(&put_off));
        while (first(&timers) != NULL && first(&timers)->due_ms <= now_ms())
            call(take(&timers));
    }
}
