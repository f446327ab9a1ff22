/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Processes that send to us: HTTP/1.1 over the socket, a request at a time each. All of it on the
 * thread of the loop, which waits for all of them by one epoll descriptor.
 * Limits: 256 at a time, the others wait to be accepted; 128 MB of bodies, beyond which is answered
 * 503; a head of 8 KB.
 */
#pragma once

#include "backend.h"
#include "peers.h"

struct transfer;

struct clients {
    int epoll, listener;
    struct backend *backend;
    struct peers peers;
    size_t body_bytes; /* of all that are being read */
    unsigned count;
    uint64_t seen_ns; /* when one last came, or was here */
};

bool clients_open(struct clients *clients, struct backend *backend, int listener);

/* Takes who waits to be accepted. */
void clients_accept(struct clients *clients);

/* Nobody new is accepted any more; the others go when they are answered. */
void clients_stop(struct clients *clients);

/* Whoever is still there gets no answer any more. */
void clients_close(struct clients *clients);

/* Something happened at a client's socket: what epoll(7) says. */
void client_attend(struct client *client, uint32_t events);

/* From the backend: the answer will come, by this transfer; or here it is. */
void client_wait(struct client *client, struct transfer *transfer);
void client_answer(struct client *client, const struct reply *reply);

/* Answers GET /status: fills a text, and tells its length. Given by who knows it. */
size_t relay_status(char *out, size_t room);
