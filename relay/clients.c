/* SPDX-License-Identifier: Apache-2.0 */
#include "clients.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "process.h"
#include "request.h"

enum {
    CLIENTS_MAX = 256,
    HEAD_BYTES_MAX = 8 * 1024,
    BODIES_BYTES_MAX = 128 * 1024 * 1024,
    STATUS_BYTES_MAX = 8 * 1024
};

enum phase { PHASE_HEAD, PHASE_BODY, PHASE_WAITING, PHASE_ANSWERING };

struct client {
    struct clients *clients; /* NULL: a free place */
    int descriptor;
    enum phase phase;
    char head[HEAD_BYTES_MAX];
    size_t head_bytes;
    struct request request;
    uint8_t *body;
    size_t body_bytes;
    struct transfer *transfer;
    char *answer;
    size_t answer_bytes, answer_sent;
};

static struct client all[CLIENTS_MAX];
static bool is_stopping;

static void watch(struct client *client, int operation, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = client};
    epoll_ctl(client->clients->epoll, operation, client->descriptor, &event);
}

/* Only while there is a place for another one. */
static void watch_listener(struct clients *clients)
{
    struct epoll_event event = {
        .events = clients->count < CLIENTS_MAX ? EPOLLIN : 0, .data.ptr = NULL};
    if (!is_stopping)
        epoll_ctl(clients->epoll, EPOLL_CTL_MOD, clients->listener, &event);
}

static void forget_body(struct client *client)
{
    if (client->body != NULL)
        client->clients->body_bytes -= client->request.body_bytes;
    free(client->body);
    client->body = NULL;
}

static void drop(struct client *client)
{
    struct clients *clients = client->clients;
    if (client->transfer != NULL)
        backend_abort(clients->backend, client->transfer);
    forget_body(client);
    free(client->answer);
    close(client->descriptor);
    client->clients = NULL;
    clients->count--;
    clients->seen_ns = process_monotonic_ns();
    watch_listener(clients);
}

/* ---- the answer ---- */

static void begin_request(struct client *client)
{
    free(client->answer);
    client->answer = NULL;
    client->head_bytes = client->body_bytes = client->answer_bytes = client->answer_sent = 0;
    client->phase = PHASE_HEAD;
    watch(client, EPOLL_CTL_MOD, EPOLLIN);
}

static void send_answer(struct client *client)
{
    while (client->answer_sent < client->answer_bytes) {
        ssize_t taken = send(client->descriptor, client->answer + client->answer_sent,
            client->answer_bytes - client->answer_sent, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (taken < 0 && errno == EAGAIN) {
            watch(client, EPOLL_CTL_MOD, EPOLLOUT);
            return;
        }
        if (taken <= 0) {
            drop(client);
            return;
        }
        client->answer_sent += (size_t)taken;
    }
    if (client->request.keep_alive && !is_stopping)
        begin_request(client);
    else
        drop(client);
}

void client_answer(struct client *client, const struct reply *reply)
{
    char head[256], retry[48] = "";
    if (reply->retry_after_s > 0)
        snprintf(retry, sizeof retry, "Retry-After: %u\r\n", reply->retry_after_s);
    int head_bytes = snprintf(head, sizeof head,
        "HTTP/1.1 %d Relay\r\nContent-Type: %s\r\nContent-Length: %zu\r\n%s\r\n", reply->status,
        reply->type, reply->body_bytes, retry);
    client->transfer = NULL;
    client->phase = PHASE_ANSWERING;
    client->answer_bytes = (size_t)head_bytes + reply->body_bytes;
    client->answer = malloc(client->answer_bytes);
    if (client->answer == NULL) {
        drop(client);
        return;
    }
    memcpy(client->answer, head, (size_t)head_bytes);
    if (reply->body_bytes > 0)
        memcpy(client->answer + head_bytes, reply->body, reply->body_bytes);
    send_answer(client);
}

void client_wait(struct client *client, struct transfer *transfer)
{
    client->transfer = transfer;
    client->phase = PHASE_WAITING;
    watch(client, EPOLL_CTL_MOD, EPOLLRDHUP);
}

static void answer_plainly(struct client *client, int status, const char *type, const char *text)
{
    struct reply reply = {
        .status = status, .type = type, .body = (const uint8_t *)text, .body_bytes = strlen(text)};
    client_answer(client, &reply);
}

/* What follows on the connection could not be told from the rest of this request. */
static void refuse(struct client *client, int status, const char *why)
{
    client->request.keep_alive = false;
    answer_plainly(client, status, "text/plain", why);
}

/* ---- the request ---- */

/* Only of signals that are relayed. */
static bool signal_of(const struct backend *backend, struct slice path, enum signal *signal)
{
    for (unsigned i = 0; i < SIGNAL_COUNT; i++) {
        const struct config_signal *settings = backend->targets[i].settings;
        *signal = (enum signal)i;
        if (settings != NULL && slice_is(path, settings->path))
            return true;
    }
    return false;
}

static void take_whole(struct client *client)
{
    enum signal signal;
    if (!client->request.is_post) {
        char text[STATUS_BYTES_MAX];
        forget_body(client);
        if (slice_is(client->request.path, "/status") && relay_status(text, sizeof text) > 0)
            answer_plainly(client, 200, "application/json", text);
        else
            answer_plainly(client, 404, "text/plain", "there is /status");
        return;
    }
    uint8_t *body = client->body;
    client->clients->body_bytes -= client->request.body_bytes;
    client->body = NULL; /* the backend's now */
    if (signal_of(client->clients->backend, client->request.path, &signal)) {
        backend_post(client->clients->backend, signal, client, body, client->body_bytes);
        return;
    }
    free(body);
    answer_plainly(client, 404, "text/plain", "no signal that is configured here has this path");
}

static void begin_body(struct client *client, const char *rest, size_t rest_bytes)
{
    size_t length = client->request.body_bytes;
    if (rest_bytes > length) {
        refuse(client, 400, "one request at a time");
        return;
    }
    if (client->clients->body_bytes + length > BODIES_BYTES_MAX ||
        (client->body = malloc(length + 1)) == NULL) {
        refuse(client, 503, "too much at a time");
        return;
    }
    client->clients->body_bytes += length;
    memcpy(client->body, rest, rest_bytes);
    client->body_bytes = rest_bytes;
    client->phase = PHASE_BODY;
    if (client->body_bytes == length)
        take_whole(client);
}

static void read_head(struct client *client)
{
    size_t room = sizeof client->head - client->head_bytes;
    ssize_t got = recv(client->descriptor, client->head + client->head_bytes, room, MSG_DONTWAIT);
    if (got < 0 && errno == EAGAIN)
        return;
    if (got <= 0) {
        drop(client);
        return;
    }
    client->head_bytes += (size_t)got;
    const char *end = memmem(client->head, client->head_bytes, "\r\n\r\n", 4);
    if (end == NULL) {
        if (client->head_bytes == sizeof client->head)
            refuse(client, 431, "the head is too long");
        return;
    }
    size_t head_bytes = (size_t)(end - client->head) + 4;
    int refusal = request_read((struct slice){client->head, head_bytes}, &client->request);
    if (refusal != 0)
        refuse(client, refusal, "not a request that a relay takes");
    else
        begin_body(client, client->head + head_bytes, client->head_bytes - head_bytes);
}

static void read_body(struct client *client)
{
    size_t missing = client->request.body_bytes - client->body_bytes;
    ssize_t got =
        recv(client->descriptor, client->body + client->body_bytes, missing, MSG_DONTWAIT);
    if (got < 0 && errno == EAGAIN)
        return;
    if (got <= 0) {
        drop(client);
        return;
    }
    client->body_bytes += (size_t)got;
    if (client->body_bytes == client->request.body_bytes)
        take_whole(client);
}

void client_attend(struct client *client, uint32_t events)
{
    if (client->clients == NULL) /* dropped a moment ago, for another reason */
        return;
    switch (client->phase) {
    case PHASE_HEAD:
        read_head(client);
        break;
    case PHASE_BODY:
        read_body(client);
        break;
    case PHASE_WAITING: /* it has given up: so do we, and it sends the same again */
        if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
            drop(client);
        break;
    case PHASE_ANSWERING:
        send_answer(client);
        break;
    }
}

/* ---- who comes and goes ---- */

bool clients_open(struct clients *clients, struct backend *backend, int listener)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    *clients = (struct clients){.listener = listener, .backend = backend};
    clients->epoll = epoll_create1(EPOLL_CLOEXEC);
    clients->seen_ns = process_monotonic_ns();
    return clients->epoll >= 0 && epoll_ctl(clients->epoll, EPOLL_CTL_ADD, listener, &event) == 0;
}

static void take_in(struct clients *clients, int descriptor)
{
    struct client *client = all;
    while (client->clients != NULL)
        client++;
    *client = (struct client){.clients = clients, .descriptor = descriptor};
    clients->count++;
    watch(client, EPOLL_CTL_ADD, EPOLLIN);
}

void clients_accept(struct clients *clients)
{
    while (clients->count < CLIENTS_MAX) {
        int descriptor = accept4(clients->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (descriptor < 0)
            break;
        clients->seen_ns = process_monotonic_ns();
        if (peers_admit(&clients->peers, descriptor))
            take_in(clients, descriptor);
        else
            close(descriptor);
    }
    watch_listener(clients);
}

void clients_stop(struct clients *clients)
{
    clients_accept(clients);
    is_stopping = true;
    epoll_ctl(clients->epoll, EPOLL_CTL_DEL, clients->listener, NULL);
    for (unsigned i = 0; i < CLIENTS_MAX; i++)
        if (all[i].clients != NULL && all[i].phase == PHASE_HEAD && all[i].head_bytes == 0)
            drop(&all[i]);
}

void clients_close(struct clients *clients)
{
    for (unsigned i = 0; i < CLIENTS_MAX; i++)
        if (all[i].clients != NULL)
            drop(&all[i]);
    close(clients->epoll);
}
