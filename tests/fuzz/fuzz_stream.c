/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes the whole way of bytes: calls of a host at the hooks, what the kernel answers, parsers,
 * exchanges, insertion, rings, OTLP. The hooks are the real ones under other names; their originals
 * are a kernel of the test (fake_kernel.h), which takes and gives what the input says.
 *
 * What must hold whatever happens:
 *   the host's bytes reach the kernel whole and in order, with nothing between them but our lines
 *   no call returns more than was asked for; a call that the kernel served does not fail
 *   the breaker stays shut; every record is encoded, and protobuf-c can read it
 *   no exchange, connection or text stays behind: the pools never run dry
 *
 * The input is a list of operations: one byte what, one byte which descriptor and how, then what it
 * asks for.
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "alike.h"
#include "attribution.h"
#include "config.h"
#include "counters.h"
#include "descriptor.h"
#include "fake_kernel.h"
#include "otlp.h"
#include "otlp.pb-c.h"
#include "propagators.h"
#include "ring.h"
#include "stream.h"
#include "telling.h"
#include "thread.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length);

static const uint8_t *input;
static size_t input_left;
static uint8_t take_byte(void)
{
    return input_left == 0 ? 0 : (input_left--, *input++);
}

/* A length in two bytes, and that many bytes as far as they are there. */
static const uint8_t *take_bytes(size_t *length)
{
    size_t low = take_byte();
    *length = low | (size_t)take_byte() << 8;
    if (*length > input_left)
        *length = input_left;
    const uint8_t *bytes = input;
    input += *length;
    input_left -= *length;
    return bytes;
}

/* --- the host ------------------------------------------------------------------------------ */

static bool begins_line(const struct stream *stream, size_t at, const char *name)
{
    size_t length = strlen(name), left = stream->got - at;
    return (at == 0 || stream->kernel[at - 1] == '\n') &&
           strncasecmp((const char *)stream->kernel + at, name, length < left ? length : left) == 0;
}

static bool begins_line_of_ours(const struct stream *stream, size_t at)
{
    return begins_line(stream, at, "traceparent: ") || begins_line(stream, at, "tracestate: ") ||
           begins_line(stream, at, "baggage: ") || begins_line(stream, at, "x-amzn-trace-id: ") ||
           begins_line(stream, at, "b3: ") || begins_line(stream, at, "x-b3-") ||
           begins_line(stream, at, "sw8") || begins_line(stream, at, "traceresponse: ") ||
           begins_line(stream, at, "server-timing: traceparent;desc=");
}

static bool begins(const uint8_t *bytes, size_t length, const char *word)
{
    size_t least = length < strlen(word) ? length : strlen(word);
    return least > 0 && memcmp(bytes, word, least) == 0;
}

/* Is the byte inside a context that the host passed on? Then it may be ours. */
static bool is_in_traceparent(const struct stream *stream, size_t at)
{
    size_t line = at;
    while (line > 0 && stream->kernel[line - 1] != '\n')
        line--;
    return (at - line > 11 && begins_line(stream, line, "traceparent")) ||
           (at - line > 2 && begins_line(stream, line, "b3")) ||
           (at - line > 11 && begins_line(stream, line, "x-b3-spanid"));
}

/* Between the host's bytes there is nothing but whole lines of ours; the last may be on its way. */
static void check_stream(const struct stream *stream)
{
    size_t at = 0;
    for (size_t told = 0; told < stream->told;) {
        size_t left = stream->told - told < 10 ? stream->told - told : 10;
        require(at + left <= stream->got, "what the host was told has gone out went out");
        bool is_host = memcmp(stream->host + told, stream->kernel + at, left) == 0;
        if (!is_host && begins_line_of_ours(stream, at)) {
            while (at < stream->got && stream->kernel[at++] != '\n')
                ;
            continue;
        }
        require(stream->host[told] == stream->kernel[at] || is_in_traceparent(stream, at),
            "nothing but our lines stands between");
        told++;
        at++;
    }
}

static void forget(int fd)
{
    struct stream *stream = &kernel.streams[fd - FIRST_FD];
    stream->is_open = false;
    stream->is_blurred = false;
    stream->told = stream->got = 0;
}

static void host_close(int fd)
{
    hooked_close(fd);
    forget(fd);
}

static void host_accept(int fd)
{
    struct sockaddr_storage peer;
    socklen_t length = sizeof(peer);
    host_close(fd);
    kernel.accepted = fd;
    hooked_accept4(LISTENER, (struct sockaddr *)&peer, &length, 0);
    kernel.streams[fd - FIRST_FD].is_open = true;
}

static void host_connect(int fd, uint8_t how)
{
    static const int errors[] = {0, 0, EINPROGRESS, ECONNREFUSED, EINTR, ETIMEDOUT, EINVAL, 0};
    struct sockaddr_in peer = {.sin_family = AF_INET, .sin_port = htons(80)};
    peer.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    host_close(fd);
    kernel.error = errors[how % 8];
    hooked_connect(fd, (struct sockaddr *)&peer, sizeof(peer));
    kernel.streams[fd - FIRST_FD].is_open = true;
}

/* What goes out is written anew, not only put between: that is test_cut's to check. */
static void note_rewriting(int fd)
{
    struct sight sight;
    if (stream_is_plain(fd) || !connection_look(fd, &sight))
        return;
    const struct connection *connection = sight.connection;
    kernel.streams[fd - FIRST_FD].is_blurred |=
        connection->state == CONNECTION_CLAIMED && connection->protocol->insert != NULL;
}

static void host_read(int fd, uint8_t how)
{
    size_t length;
    kernel.incoming = take_bytes(&length);
    kernel.incoming_left = length;
    if (begins(kernel.incoming, length, "INFO "))
        kernel.streams[fd - FIRST_FD].is_blurred = true; /* of NATS: so are its lines */
    config.inserts_inbound = how & 16;
    config.w3c = config.w3c_of_all = (how & 32) == 0; /* from now on */
    size_t room = length + (how & 1) + (how & 16 ? 80 : 0);
    uint8_t *buffer = malloc(room + 1); /* exact, so that ASan sees what is read beyond it */
    struct iovec iov[2] = {{buffer, room / 2}, {buffer + room / 2, room - room / 2}};
    struct msghdr message = {.msg_iov = iov, .msg_iovlen = 2};
    ssize_t result = 0;
    switch (how >> 1 & 7) {
    case 0:
    case 1:
        result = hooked_read(fd, buffer, room);
        break;
    case 2:
        result = hooked_readv(fd, iov, 2);
        break;
    case 3:
        result = hooked_recv(fd, buffer, room, 0);
        break;
    case 4:
        result = hooked_recvmsg(fd, &message, 0);
        break;
    case 5:
        result = hooked___read_chk(fd, buffer, room, room);
        break;
    case 6:
        hooked_recv(fd, buffer, room, MSG_PEEK);
        result = hooked_recvfrom(fd, buffer, room, 0, NULL, NULL);
        break;
    case 7:
        result = hooked_recv(fd, buffer, room, MSG_TRUNC);
        break;
    }
    config.inserts_inbound = false;
    if (result > (ssize_t)length)
        require((how & 16) && result <= (ssize_t)room &&
                    memmem(buffer, (size_t)result, "traceparent: ", 13) != NULL,
            "more is read only by a line of ours, and where there is room");
    else
        require(
            result == (ssize_t)length || kernel.error != 0, "a read gives what the kernel gave");
    free(buffer);
}

/* Like a program that wants its bytes out: what is left after a short write is offered again. */
static void host_write(int fd, uint8_t how)
{
    size_t length, sent = 0;
    struct stream *stream = &kernel.streams[fd - FIRST_FD];
    for (size_t i = 0; i < TAKES_MAX; i++)
        kernel.takes[i] = take_byte();
    kernel.takes_at = 0;
    const uint8_t *bytes = take_bytes(&length);
    if (stream->got + length * 40 + 4096 > STREAM_MAX) /* each "\n\n" could get lines of ours */
        return;
    uint8_t *buffer = malloc(length + 1);
    memcpy(buffer, bytes, length);
    if (begins(bytes, length, "AMQP") || begins(bytes, length, "\x10") || /* MQTT */
        memmem(bytes, length, protocol_rewritten, sizeof(protocol_rewritten) - 1) != NULL ||
        (begins(bytes, length, "*") && memmem(bytes, length, "XADD", 4) != NULL)) /* Redis */
        stream->is_blurred =
            true; /* its frames, heads or bodies are written anew, or one of its
                   * entries, also where what follows in the same call is no Redis */
    for (int tries = 0; tries < 4 && (sent < length || tries == 0); tries++) {
        size_t left = length - sent, cut = left * (how >> 4) / 16;
        struct iovec iov[2] = {{buffer + sent, cut}, {buffer + sent + cut, left - cut}};
        struct msghdr message = {.msg_iov = iov, .msg_iovlen = 2};
        ssize_t result = 0;
        switch (how & 3) {
        case 0:
            result = hooked_write(fd, buffer + sent, left);
            break;
        case 1:
            result = hooked_writev(fd, iov, 2);
            break;
        case 2:
            result = hooked_send(fd, buffer + sent, left, how & 4 ? MSG_MORE : MSG_NOSIGNAL);
            break;
        case 3:
            result = hooked_sendmsg(fd, &message, 0);
            break;
        }
        note_rewriting(fd);
        require(result <= (ssize_t)left, "a write takes no more than was offered");
        require(result != 0 || left == 0, "a write of something does not answer 0");
        require(result >= 0 || errno == EAGAIN || kernel.error != 0, "no error but the kernel's");
        if (result < 0)
            break;
        memcpy(stream->host + stream->told, buffer + sent, (size_t)result);
        stream->told += (size_t)result;
        sent += (size_t)result;
    }
    free(buffer);
    if (!stream->is_blurred)
        check_stream(stream);
}

static void host_other(int fd, uint8_t what, uint8_t how)
{
    static const int errors[] = {ECONNRESET, EPIPE, EAGAIN, ETIMEDOUT, EINTR, EBADF};
    char byte[4];
    struct epoll_event event;
    struct pollfd polled[2] = {{.fd = fd}, {.fd = FIRST_FD + how % SOCKETS}};
    int value = 0;
    socklen_t length = sizeof(value);
    switch (what) {
    case 0: /* the end of what the peer sends */
        hooked_read(fd, byte, sizeof(byte));
        break;
    case 1:
        kernel.error = errors[how % 6];
        hooked_read(fd, byte, sizeof(byte));
        break;
    case 2:
        kernel.error = errors[how % 6];
        hooked_write(fd, "x", 1);
        break;
    case 3:
        kernel.error = how & 1 ? 0 : errors[how / 2 % 6];
        hooked_getsockopt(fd, SOL_SOCKET, SO_ERROR, &value, &length);
        break;
    case 4:
        kernel.ready = how & 1;
        hooked_epoll_wait(LISTENER + 1, &event, 1, 0);
        break;
    case 5:
        kernel.ready = how & 1;
        hooked_poll(polled, 1 + (how >> 1 & 1), 0);
        break;
    case 6:
        hooked_sendfile(fd, 0, NULL, (size_t)how * 16);
        break;
    case 7:
        hooked_shutdown(fd, how % 3);
        break;
    case 8:
        if (fd == polled[1].fd)
            break;
        hooked_dup2(fd, polled[1].fd);
        kernel.streams[fd - FIRST_FD].is_blurred = true; /* two numbers of one stream from now on */
        forget(polled[1].fd);
        kernel.streams[polled[1].fd - FIRST_FD].is_blurred = true;
        break;
    }
}

static void act(void)
{
    uint8_t what = take_byte(), how = take_byte();
    int fd = FIRST_FD + what / 16 % SOCKETS;
    kernel.error = 0;
    kernel.incoming_left = 0;
    kernel.takes_at = TAKES_MAX;
    switch (what % 16) {
    case 0:
        host_accept(fd);
        break;
    case 1:
        host_connect(fd, how);
        break;
    case 2:
    case 3:
        host_read(fd, how);
        break;
    case 4:
    case 5:
        host_write(fd, how);
        break;
    case 6:
        host_close(fd);
        break;
    default:
        host_other(fd, what % 16 - 7, how);
        break;
    }
    require(!process.broken, "the breaker stays shut");
}

/* --- the exporter -------------------------------------------------------------------------- */

static void check_request(const struct otlp_batch *batch)
{
    size_t found = 0;
    Otlp__ExportTraceServiceRequest *request = otlp__export_trace_service_request__unpack(
        NULL, (size_t)(batch->limit - batch->start), batch->start);
    require(request != NULL, "protobuf-c reads the request");
    for (size_t i = 0; i < request->n_resource_spans; i++)
        for (size_t j = 0; j < request->resource_spans[i]->n_scope_spans; j++)
            found += request->resource_spans[i]->scope_spans[j]->n_spans;
    require(found == batch->spans, "every span is in it");
    otlp__export_trace_service_request__free_unpacked(request, NULL);
}

/* As if it came back from the spool. */
static void check_reopened(const struct otlp_batch *sent)
{
    static uint8_t memory[2 * RING_BYTES];
    uint8_t resource[OTLP_RESOURCE_BYTES_MAX];
    uint32_t resource_bytes;
    size_t length = (size_t)(sent->limit - sent->start);
    struct otlp_batch batch;
    memcpy(memory, sent->start, length);
    require(otlp_batch_reopen(&batch, memory, sizeof(memory), length, resource, &resource_bytes),
        "a request is a batch again");
    require(batch.spans == sent->spans && otlp_batch_finish(&batch, resource, resource_bytes) &&
                (size_t)(batch.limit - batch.start) == length &&
                memcmp(batch.start, sent->start, length) == 0,
        "which makes the same request");
    for (size_t cut = 1; cut < length; cut = 2 * cut + 1) { /* whatever it answers */
        memcpy(memory, sent->start, cut);
        otlp_batch_reopen(&batch, memory, sizeof(memory), cut, resource, &resource_bytes);
    }
}

/* What is copied of a span that was told before is what one would be told. */
static void check_alike(
    struct telling *telling, const struct record *record, const uint8_t *encoded, size_t length)
{
    static struct alike alike;
    static uint8_t memory[2][64 * 1024];
    static _Alignas(8) uint8_t copy[ALIKE_RECORD_BYTES];
    struct record *other = (struct record *)copy;
    struct otlp_batch told, copied;
    alike_find(&alike, record);
    struct alike_entry *entry = alike_find(&alike, record);
    if (entry == NULL)
        return;
    alike_keep(entry, record, encoded, length, &(struct measured){0});
    require(entry->record_bytes == 0 || alike_is_kept(entry, record), "it is what was kept");
    memcpy(copy, record, record->bytes);
    memset(other->trace_id, 0xa1, sizeof(other->trace_id));
    memset(other->span_id, 0xa2, sizeof(other->span_id));
    memset(other->parent_id, 0xa3, sizeof(other->parent_id));
    other->start_ns += 0xffffff;
    other->end_ns ^= UINT64_MAX >> 1;
    other->peer_port ^= 0x5555;
    if (!alike_is_kept(entry, other))
        other->peer_port = record->peer_port;
    if (!alike_is_kept(entry, other))
        return;
    otlp_batch_reset(&told, memory[0], sizeof(memory[0]));
    otlp_batch_reset(&copied, memory[1], sizeof(memory[1]));
    require(otlp_batch_add(&told, telling_span(telling, other, &config), &config) &&
                alike_add(entry, other, &copied) &&
                told.limit - told.start == copied.limit - copied.start &&
                memcmp(told.start, copied.start, (size_t)(told.limit - told.start)) == 0,
        "a copy of a span is the span");
}

static void drain(void)
{
    static uint8_t memory[2 * RING_BYTES];
    static struct telling telling;
    struct otlp_batch batch;
    otlp_batch_reset(&batch, memory, sizeof(memory));
    for (uint32_t i = 0; i < rings_count(); i++) {
        uint64_t cursor = ring_cursor(rings_at(i)), head = ring_head(rings_at(i));
        const struct record *record;
        while ((record = ring_next(rings_at(i), &cursor, head)) != NULL) {
            const struct span *span = telling_span(&telling, record, &config);
            const uint8_t *end = batch.start;
            require(span != NULL && otlp_batch_add(&batch, span, &config), "a span can be encoded");
            check_alike(&telling, record, batch.start, (size_t)(end - batch.start));
        }
        ring_consume(rings_at(i), cursor);
    }
    struct otlp_batch part;
    for (uint32_t items = (batch.spans + 1) / 2; batch.spans != 0; items = batch.spans) {
        uint8_t kept[OTLP_ENVELOPE_BYTES_MAX];
        otlp_batch_take_first(&batch, items, &part);
        uint8_t *at = part.start - sizeof(kept);
        memcpy(kept, at, sizeof(kept));
        require(otlp_batch_finish(&part, NULL, 0), "a part of a batch can be finished");
        check_request(&part);
        check_reopened(&part);
        memcpy(at, kept, sizeof(kept));
    }
}

static void start(void)
{
    char *const environment[] = {"BURDOCK_DIR=/nonexistent", "BURDOCK_STORE=/nonexistent",
        "BURDOCK_SQLCOMMENTER=1", "BURDOCK_REDIS_STREAMS=1", "BURDOCK_REDIS_ENVELOPE=1",
        "OTEL_SPAN_LINK_COUNT_LIMIT=4", "BURDOCK_RESPONSE_HEADERS=traceresponse,server-timing",
        "OTEL_PROPAGATORS=tracecontext,baggage,b3,b3multi,sw8", NULL};
    char *const arguments[] = {"fuzz", NULL};
    kernel_start();
    config_read(&config, environment, arguments, "fuzz");
    require(descriptor_start() && thread_start() && process_start(), "the library starts");
    attribution_start();
    protocol_edit_answers(true);
    protocol_edit_messages(true, true);
    propagators_start();
}

/* The program closes what it has, some of it with an answer in a stream of libc's; or it ends. */
static void end(size_t length)
{
    for (int fd = FIRST_FD; fd < FIRST_FD + SOCKETS; fd++)
        if (length & 2)
            stream_sends_unseen(fd);
    if (length & 1)
        stream_process_ends();
    process.is_over = false;
    for (int fd = FIRST_FD; fd < FIRST_FD + SOCKETS; fd++)
        host_close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    static bool is_started;
    struct epoll_event event;
    if (!is_started)
        start();
    is_started = true;
    input = data;
    input_left = length;
    while (input_left > 0)
        act();
    end(length);
    kernel.ready = 1;
    hooked_epoll_wait(LISTENER + 1, &event, 1, 0); /* back in the loop: works for nobody */
    drain();
    require(
        counters[COUNTER_SPANS_DROPPED_MEMORY] == 0 && counters[COUNTER_CONNECTIONS_REFUSED] == 0,
        "the pools never run dry");
    require(counters[COUNTER_CONNECTIONS_CONTENDED] == 0, "no lock stays behind");
    return 0;
}
