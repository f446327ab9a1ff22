/* SPDX-License-Identifier: Apache-2.0 */
/* An event loop over epoll, with libcurl's multi interface. Two calls per request: socket, by
 * curl_multi_socket_action, new connections or kept ones as libcurl likes; few, the same over at
 * most four connections, for which libcurl has its transfers wait; perform, by curl_multi_perform,
 * which goes through all of them; held, given when all events of the turn are read; queue, at most
 * four under way, whoever is answered gives the next one's; mixed, each request another way; cron,
 * a call of nobody's every few ms besides; blocking, the same beside curl_easy_perform; single, the
 * same, and of those that are finished one is taken a turn. BACK_URL is another backend; with
 * SAME_URL all calls have one, and the token is in User-Agent alone. */
#include <curl/curl.h>

#include "app.h"

enum { PEERS_MAX = 4096, JOBS_MAX = 4096, FEW = 4, CRON_MS = 7 };

struct job {
    int client; /* -1: nobody's */
    int k;
    CURLM *multi;
    struct request request;
};

static struct line {
    struct job *jobs[JOBS_MAX];
    unsigned first, end;
} held, queue;

static struct peer {
    bool is_call; /* libcurl's */
    CURLM *multi;
} peers[PEERS_MAX]; /* by descriptor */

static CURLM *by_socket, *of_few, *by_turns;
static int epoll, under_way, performing;
static uint64_t cron_ms;

static uint64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void put(struct line *line, struct job *job)
{
    EXPECT(line->end - line->first < JOBS_MAX);
    line->jobs[line->end++ % JOBS_MAX] = job;
}

static struct job *take(struct line *line)
{
    return line->first == line->end ? NULL : line->jobs[line->first++ % JOBS_MAX];
}

static bool is_single;

static bool is_cell(const struct job *job, const char *name)
{
    return strcmp(job->request.cell, name) == 0;
}

/* --- calls --------------------------------------------------------------------------------------
 */

static size_t discard(char *bytes, size_t size, size_t count, void *argument)
{
    return size * count;
}

static CURL *make_transfer(struct job *job)
{
    char url[96];
    CURL *transfer = curl_easy_init();
    const char *base = getenv("BACK_URL"), *is_same = getenv("SAME_URL");
    int length = base != NULL
                     ? snprintf(url, sizeof(url), "%s/", base)
                     : snprintf(url, sizeof(url), "http://127.0.0.1:%d/", app_port("BACK_HTTP"));
    if (is_same == NULL)
        snprintf(url + length, sizeof(url) - (size_t)length, "%s.%d", job->request.token, job->k);
    curl_easy_setopt(transfer, CURLOPT_URL, url);
    curl_easy_setopt(transfer, CURLOPT_USERAGENT, job->request.token);
    curl_easy_setopt(transfer, CURLOPT_SSL_VERIFYPEER, 0L);
    curl_easy_setopt(transfer, CURLOPT_PRIVATE, job);
    curl_easy_setopt(transfer, CURLOPT_WRITEFUNCTION, discard);
    curl_easy_setopt(transfer, CURLOPT_NOSIGNAL, 1L);
    return transfer;
}

/* Both calls at once, while all others wait. */
static void block(struct job *job)
{
    for (; job->k < 2; job->k++) {
        CURL *transfer = make_transfer(job);
        EXPECT(curl_easy_perform(transfer) == CURLE_OK);
        curl_easy_cleanup(transfer);
    }
    app_reply(job->client, &job->request);
    free(job);
}

static void call(struct job *job)
{
    static unsigned given;
    unsigned way = is_cell(job, "mixed") ? given++ % 3 : 3;
    CURL *transfer = make_transfer(job);
    job->multi = is_cell(job, "few") || way == 0       ? of_few
                 : is_cell(job, "perform") || way == 1 ? by_turns
                                                       : by_socket;
    performing += job->multi == by_turns;
    EXPECT(curl_multi_add_handle(job->multi, transfer) == CURLM_OK);
}

static void start(struct job *job)
{
    if (is_cell(job, "blocking"))
        block(job);
    else if (is_cell(job, "held"))
        put(&held, job);
    else if (is_cell(job, "queue") && under_way == FEW)
        put(&queue, job);
    else {
        under_way += is_cell(job, "queue");
        call(job);
    }
}

static void finished(struct job *job)
{
    performing -= job->multi == by_turns;
    if (is_cell(job, "queue")) {
        struct job *next = take(&queue);
        if (next != NULL)
            call(next);
        else
            under_way--;
    }
    if (job->client >= 0 && ++job->k < 2) {
        start(job);
        return;
    }
    if (job->client >= 0)
        app_reply(job->client, &job->request);
    free(job);
}

static void finish(CURLM *multi)
{
    CURLMsg *message;
    int left;
    do {
        if ((message = curl_multi_info_read(multi, &left)) == NULL)
            return;
        CURL *transfer = message->easy_handle;
        struct job *job;
        EXPECT(message->msg == CURLMSG_DONE && message->data.result == CURLE_OK);
        curl_easy_getinfo(transfer, CURLINFO_PRIVATE, &job);
        curl_multi_remove_handle(multi, transfer);
        curl_easy_cleanup(transfer);
        finished(job);
    } while (!is_single);
}

/* --- libcurl and epoll --------------------------------------------------------------------------
 */

static int on_socket(CURL *transfer, curl_socket_t fd, int what, void *multi, void *is_known)
{
    struct epoll_event event = {.data.fd = fd};
    event.events = (what & CURL_POLL_IN ? EPOLLIN : 0) | (what & CURL_POLL_OUT ? EPOLLOUT : 0);
    EXPECT(fd < PEERS_MAX);
    peers[fd] = (struct peer){true, multi};
    int how = what == CURL_POLL_REMOVE ? EPOLL_CTL_DEL
              : is_known == NULL       ? EPOLL_CTL_ADD
                                       : EPOLL_CTL_MOD;
    EXPECT(epoll_ctl(epoll, how, fd, &event) == 0);
    curl_multi_assign(multi, fd, what == CURL_POLL_REMOVE ? NULL : multi);
    return 0;
}

static int on_timer(CURLM *multi, long ms, void *due)
{
    *(uint64_t *)due = ms < 0 ? 0 : now_ms() + (uint64_t)ms;
    return 0;
}

static CURLM *make(uint64_t *due)
{
    CURLM *multi = curl_multi_init();
    if (due == NULL)
        return multi;
    curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, multi);
    curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, on_timer);
    curl_multi_setopt(multi, CURLMOPT_TIMERDATA, due);
    return multi;
}

static void act(CURLM *multi, int fd, int events)
{
    int running;
    EXPECT(curl_multi_socket_action(multi, fd, events, &running) == CURLM_OK);
    finish(multi);
}

/* --- clients ------------------------------------------------------------------------------------
 */

static void watch(int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    EXPECT(fd >= 0 && fd < PEERS_MAX && epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0);
    peers[fd] = (struct peer){false, NULL};
}

static void asked(int client)
{
    struct request request;
    if (!app_take(client, &request))
        return;
    struct job *job = calloc(1, sizeof(*job));
    job->client = client;
    job->request = request;
    is_single |= is_cell(job, "single");
    if ((is_cell(job, "cron") || is_cell(job, "blocking") || is_cell(job, "single")) &&
        cron_ms == 0)
        cron_ms = now_ms() + CRON_MS;
    start(job);
}

static void dispatch(int fd, uint32_t events, int listener)
{
    if (fd == listener) {
        int client = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        app_no_delay(client);
        watch(client);
    } else if (!peers[fd].is_call)
        asked(fd);
    else
        act(peers[fd].multi, fd,
            (events & EPOLLIN ? CURL_CSELECT_IN : 0) | (events & EPOLLOUT ? CURL_CSELECT_OUT : 0) |
                (events & (EPOLLERR | EPOLLHUP) ? CURL_CSELECT_IN : 0));
}

static void cron(void)
{
    static unsigned count;
    struct job *job = calloc(1, sizeof(*job));
    job->client = -1;
    snprintf(job->request.token, sizeof(job->request.token), "b%uq", count++);
    call(job);
    cron_ms = now_ms() + CRON_MS;
}

int main(void)
{
    uint64_t due[2] = {0, 0};
    int listener = app_listen(), running;
    epoll = epoll_create1(EPOLL_CLOEXEC);
    watch(listener);
    curl_global_init(CURL_GLOBAL_DEFAULT);
    by_socket = make(&due[0]);
    of_few = make(&due[1]);
    by_turns = make(NULL);
    curl_multi_setopt(of_few, CURLMOPT_MAX_TOTAL_CONNECTIONS, (long)FEW);
    for (;;) {
        struct epoll_event events[64];
        bool is_timed = due[0] != 0 || due[1] != 0 || cron_ms != 0 || performing > 0;
        int count = epoll_wait(epoll, events, 64, is_timed ? 1 : -1);
        for (int i = 0; i < count; i++)
            dispatch(events[i].data.fd, events[i].events, listener);
        for (struct job *job = take(&held); job != NULL; job = take(&held))
            call(job);
        for (int i = 0; i < 2; i++)
            if (due[i] != 0 && due[i] <= now_ms()) {
                due[i] = 0;
                act(i == 0 ? by_socket : of_few, CURL_SOCKET_TIMEOUT, 0);
            }
        if (is_single)
            finish(by_socket);
        if (performing > 0) {
            EXPECT(curl_multi_perform(by_turns, &running) == CURLM_OK);
            finish(by_turns);
        }
        if (cron_ms != 0 && cron_ms <= now_ms())
            cron();
    }
}
