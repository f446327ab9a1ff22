/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes to the parser: who claims a connection, and what is fed. */
#include <string.h>
#include <sys/prctl.h>

#include "carrier.h"
#include "counters.h"
#include "secure.h"
#include "stream_internal.h"
#include "sys.h"

void stream_give_up(struct thread *self, struct connection *connection, int fd)
{
    if (connection->used && !connection->switched)
        counter_add(COUNTER_CONNECTIONS_LOST, 1);
    struct exchange *exchange;
    while ((exchange = stream_any(connection)) != NULL) {
        if (exchange->requested && exchange_is_recorded(exchange))
            counter_add(COUNTER_SPANS_ABANDONED, 1);
        if (exchange->is_server && exchange->context != NULL)
            attribution_answered(self, exchange->context);
        stream_forget(connection, exchange);
    }
    pooling_over(connection);
    stream_unprepare(connection);
    stream_disown(connection);
    kept_end(&connection->kept);
    connection_ignore(self, connection, fd);
}

enum verdict stream_probe(const struct connection *connection, struct prefix prefixes[2],
    enum direction direction, const uint8_t *data, size_t length, const struct protocol **protocol,
    enum direction *requests, uint32_t *refused)
{
    memcpy(prefixes, connection->prefixes, sizeof(connection->prefixes));
    struct prefix *prefix = &prefixes[direction];
    size_t room = PREFIX_BYTES_MAX - prefix->length;
    size_t more = length < room ? length : room;
    memcpy(prefix->bytes + prefix->length, data, more);
    prefix->length += (uint8_t)more;
    *refused = connection->refused;
    bool undecided = false;
    for (uint32_t i = 0; protocol_rows[i] != NULL; i++) {
        if (*refused & 1u << i)
            continue;
        enum verdict verdict = protocol_rows[i]->probe(prefixes, requests);
        if (verdict == VERDICT_YES) {
            *protocol = protocol_rows[i];
            return VERDICT_YES;
        }
        if (verdict == VERDICT_NO || prefix->length == PREFIX_BYTES_MAX)
            *refused |= 1u << i;
        else
            undecided = true;
    }
    return undecided ? VERDICT_MORE : VERDICT_NO;
}

static uint8_t row_of(const struct protocol *protocol)
{
    uint8_t row = 0;
    while (protocol_rows[row] != protocol)
        row++;
    return row;
}

/* Is the thread one of a library's own, whose calls are told by our hooks of the library? */
static bool is_librarys(const char *prefix)
{
    char name[16];
    return prefix != NULL && process_may_call() && sys(SYS_prctl, PR_GET_NAME, name) == 0 &&
           strncmp(name, prefix, strlen(prefix)) == 0;
}

/* Is the connection claimed, now that these bytes have been seen? If so they are still to be fed.
 */
__attribute__((noinline)) static bool decide(struct thread *self, struct connection *connection,
    int fd, enum direction direction, const uint8_t *data, size_t length)
{
    struct prefix prefixes[2];
    const struct protocol *protocol;
    enum direction requests;
    if (self->secure.key != NULL && secure_learn(self, connection, fd, data, length))
        return false;
    switch (stream_probe(connection, prefixes, direction, data, length, &protocol, &requests,
        &connection->refused)) {
    case VERDICT_NO:
        stream_give_up(self, connection, fd);
        return false;
    case VERDICT_MORE:
        memcpy(connection->prefixes, prefixes, sizeof(prefixes));
        return false;
    case VERDICT_YES:
        break;
    }
    if ((protocol->client_only && requests == DIRECTION_IN) ||
        is_librarys(protocol->library_threads)) {
        stream_give_up(self, connection, fd);
        return false;
    }
    memcpy(prefixes, connection->prefixes, sizeof(prefixes)); /* without these bytes */
    connection->state = CONNECTION_CLAIMED;
    connection->protocol = protocol;
    if (protocol->hands_on)
        carrier_hands_on();
    connection->row = row_of(protocol);
    connection->requests_out = requests == DIRECTION_OUT;
    connection->edits = connection->requests_out ? is_edited(protocol) : is_answer_edited(protocol);
    connection_count_in(connection);
    protocol->start(connection->protocol_state, requests);
    /* What was seen before: in which order the two sides spoke is not known any more; a protocol in
     * which it matters decides on the first byte of the second side. */
    enum direction first = direction_other(direction);
    stream_feed(self, connection, fd, first, prefixes[first].bytes, prefixes[first].length);
    stream_feed(
        self, connection, fd, direction, prefixes[direction].bytes, prefixes[direction].length);
    return connection->state == CONNECTION_CLAIMED;
}

/* After 101 the stream belongs to a protocol we were not asked to follow; after CONNECT it is a
 * fresh connection to somewhere else. */
static bool after_switch(struct thread *self, struct connection *connection, int fd)
{
    if (connection->first != NULL || !connection->requests_out || !connection->tunnels) {
        stream_give_up(self, connection, fd);
        return false;
    }
    connection->switched = false;
    connection->state = CONNECTION_UNDECIDED;
    __atomic_store_n(&connection->counted, 0, __ATOMIC_RELAXED);
    connection->refused = 0;
    memset(connection->prefixes, 0, sizeof(connection->prefixes));
    return true;
}

void stream_feed(struct thread *self, struct connection *connection, int fd,
    enum direction direction, const uint8_t *data, size_t length)
{
    while (length > 0 && connection->state != CONNECTION_IGNORED) {
        if (connection->state == CONNECTION_UNDECIDED &&
            !decide(self, connection, fd, direction, data, length))
            return;
        struct stream_sink sink = stream_sink_for(self, connection, CAUSE_PROTOCOL, NULL);
        connection->feeds++;
        size_t used = connection->protocol->feed(
            connection->protocol_state, direction, data, length, &sink.sink);
        if (used == FEED_LOST) {
            stream_give_up(self, connection, fd);
            return;
        }
        if (connection->switched && !after_switch(self, connection, fd))
            return;
        data += used;
        length -= used;
    }
}

/* The same of what was put together for several: each hears of its own part. */
static void feed_parts(struct thread *self, struct connection *connection, int fd,
    enum direction direction, const uint8_t *data, size_t length)
{
    while (length > 0) {
        size_t part = carrier_part(self);
        if (part > length)
            part = length;
        stream_feed(self, connection, fd, direction, data, part);
        self->part_at += part;
        data += part;
        length -= part;
    }
}

void stream_feed_range(struct thread *self, struct connection *connection, int fd,
    enum direction direction, const struct iovec *iov, int count, size_t from, size_t length)
{
    for (int i = 0; i < count && length > 0; i++) {
        if (from >= iov[i].iov_len) {
            from -= iov[i].iov_len;
            continue;
        }
        size_t part = iov[i].iov_len - from;
        if (part > length)
            part = length;
        const uint8_t *data = (const uint8_t *)iov[i].iov_base + from;
        if (__builtin_expect(self->parts != NULL, 0))
            feed_parts(self, connection, fd, direction, data, part);
        else
            stream_feed(self, connection, fd, direction, data, part);
        length -= part;
        from = 0;
    }
}

void stream_skip(struct thread *self, struct connection *connection, int fd,
    enum direction direction, uint64_t length)
{
    struct stream_sink sink = stream_sink_for(self, connection, CAUSE_PROTOCOL, NULL);
    connection->feeds++;
    if (connection->state == CONNECTION_CLAIMED &&
        connection->protocol->skip(connection->protocol_state, direction, length, &sink.sink))
        return;
    if (connection->state != CONNECTION_IGNORED)
        stream_give_up(self, connection, fd);
}

void stream_finish(struct thread *self, struct connection *connection, enum direction direction,
    enum cause cause, const char *error)
{
    struct stream_sink sink = stream_sink_for(self, connection, cause, error);
    connection->feeds++;
    if (connection->state == CONNECTION_CLAIMED)
        connection->protocol->finish(connection->protocol_state, direction, &sink.sink);
}
