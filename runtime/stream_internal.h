/* SPDX-License-Identifier: Apache-2.0 */
/* What stream.c and inject.c share. Under the connection's lock. */
#pragma once

#include "stream.h"

/* Probes with `length` more bytes of one direction. YES: *protocol and *requests are set. */
enum verdict stream_probe(const struct connection *connection, struct prefix prefixes[2],
    enum direction direction, const uint8_t *data, size_t length, const struct protocol **protocol,
    enum direction *requests, uint32_t *refused);

/* Feeds accepted bytes of the host. */
void stream_feed(struct thread *self, struct connection *connection, int fd,
    enum direction direction, const uint8_t *data, size_t length);
/* Feeds the range [from, from + length) of an iovec. */
void stream_feed_range(struct thread *self, struct connection *connection, int fd,
    enum direction direction, const struct iovec *iov, int count, size_t from, size_t length);

/* A call failed with this errno: what cannot go on ends. */
void stream_failed(struct thread *self, struct connection *connection, int fd, int error);

enum { STREAM_NAP_NS = 50 * 1000, STREAM_NAPS_MAX = 100 /* 5 ms */ };

/* Its bytes have been fed, or did not go. */
static inline void stream_done_sending(const struct sight *sight)
{
    uint32_t sending = __atomic_load_n(&sight->connection->sending, __ATOMIC_RELAXED);
    if (sending & 1)
        __atomic_store_n(&sight->connection->sending, sending + 1, __ATOMIC_RELEASE);
}

struct exchange *stream_find(struct connection *connection, uint32_t serial);
/* The exchange of a request about to be sent, with ids and parent; NULL: no memory. */
struct exchange *stream_prepare(
    struct thread *self, struct connection *connection, uint32_t serial);
/* All that the look-ahead saw went out: its state and what it told become the connection's. */
void stream_take_over(struct thread *self, struct connection *connection);
/* What was prepared is not going to be sent after all. */
void stream_unprepare(struct connection *connection);
