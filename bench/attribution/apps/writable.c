/* SPDX-License-Identifier: Apache-2.0 */
/* An event loop that always asks epoll when it may write, and answers then. Two calls per request,
 * which block: before, when the request is read, then it asks; batch, the same, but it asks for all
 * at the end of the turn; when, asked first, the calls are made when it may write; split, one of
 * them before, one then; streamed, the same with the head of the answer before the second one;
 * mixed, each request another way, some by a call that does not block. */
#include "app.h"

enum { PEERS_MAX = 4096, EVENTS_MAX = 64 };

enum way { WAY_BEFORE, WAY_WHEN, WAY_SPLIT, WAY_NO_WAIT, WAYS };

static struct peer {
    bool is_client, has_begun;
    enum way way;
    int k; /* calls that were made */
    int client;
    struct request request;
} peers[PEERS_MAX]; /* by descriptor; a call that does not block has its request's */

static int kept = -1, epoll, asking[PEERS_MAX], asking_count;

static void watch(int fd, uint32_t events, int how)
{
    struct epoll_event event = {.events = events, .data.fd = fd};
    EXPECT(fd < PEERS_MAX && epoll_ctl(epoll, how, fd, &event) == 0);
}

static void call(struct peer *peer)
{
    if (peer->k == 0) {
        app_call_fresh(&peer->request, peer->k++);
        return;
    }
    if (kept < 0)
        kept = app_connect();
    app_call(kept, &peer->request, peer->k++);
}

static void call_without_waiting(int client)
{
    int fd = app_connect();
    peers[fd] = peers[client];
    peers[fd].is_client = false;
    peers[fd].client = client;
    app_ask(fd, &peers[fd].request, peers[client].k++);
    watch(fd, EPOLLIN, EPOLL_CTL_ADD);
}

static void ask(int client)
{
    watch(client, EPOLLOUT, EPOLL_CTL_MOD);
}

static void end_call(int fd)
{
    app_await(fd);
    close(fd);
    int client = peers[fd].client;
    if (peers[client].k < 2)
        call_without_waiting(client);
    else
        ask(client);
}

static enum way way_of(const struct request *request)
{
    if (strcmp(request->cell, "mixed") == 0)
        return strtoul(request->token + 1, NULL, 10) % WAYS;
    if (strcmp(request->cell, "when") == 0)
        return WAY_WHEN;
    bool is_split = strcmp(request->cell, "split") == 0 || strcmp(request->cell, "streamed") == 0;
    return is_split ? WAY_SPLIT : WAY_BEFORE;
}

static void asked(int client)
{
    struct peer *peer = &peers[client];
    struct request request;
    if (!app_take(client, &request))
        return;
    *peer = (struct peer){.is_client = true, .request = request};
    peer->way = way_of(&peer->request);
    if (peer->way == WAY_NO_WAIT) {
        call_without_waiting(client);
        return;
    }
    int before = peer->way == WAY_BEFORE ? 2 : peer->way == WAY_SPLIT;
    while (peer->k < before)
        call(peer);
    if (strcmp(peer->request.cell, "batch") == 0)
        asking[asking_count++] = client;
    else
        ask(client);
}

static void may_write(int client)
{
    struct peer *peer = &peers[client];
    if (strcmp(peer->request.cell, "streamed") == 0 && !peer->has_begun) {
        char head[96];
        snprintf(head, sizeof(head), "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n",
            strlen(peer->request.token));
        app_send(client, head);
        peer->has_begun = true;
        return;
    }
    while (peer->k < 2)
        call(peer);
    if (peer->has_begun)
        app_send(client, peer->request.token);
    else
        app_reply(client, &peer->request);
    watch(client, EPOLLIN, EPOLL_CTL_MOD);
}

static void accept_one(int listener)
{
    int client = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    EXPECT(client >= 0 && client < PEERS_MAX);
    app_no_delay(client);
    peers[client] = (struct peer){.is_client = true};
    watch(client, EPOLLIN, EPOLL_CTL_ADD);
}

static void dispatch(const struct epoll_event *event, int listener)
{
    int fd = event->data.fd;
    if (fd == listener)
        accept_one(listener);
    else if (!peers[fd].is_client)
        end_call(fd);
    else if (event->events & EPOLLOUT)
        may_write(fd);
    else
        asked(fd);
}

int main(void)
{
    int listener = app_listen();
    epoll = epoll_create1(EPOLL_CLOEXEC);
    watch(listener, EPOLLIN, EPOLL_CTL_ADD);
    for (;;) {
        struct epoll_event events[EVENTS_MAX];
        int count = epoll_wait(epoll, events, EVENTS_MAX, -1);
        for (int i = 0; i < count; i++)
            dispatch(&events[i], listener);
        while (asking_count > 0)
            ask(asking[--asking_count]);
    }
}
