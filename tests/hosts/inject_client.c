/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A client of HTTP/1.1 sends thousands of requests through every call that can send, cut at random
 * places. What arrives must be what it sent, byte for byte, but for one block of lines before the
 * final empty line of each head that carries no traceparent of its own.
 *
 *     inject_client SEED REQUESTS OPTION...
 *     unix, nonblocking, edge, alarm, tiny (send buffer), bytes (single ones), sendfile
 */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/time.h>
#include <sys/uio.h>

#include "host.h"

enum { REQUESTS_MAX = 20000, OPEN_MAX_REQUESTS = 30, HEAD_TEXT = 80 * 1024 };

struct request {
    size_t begin, splice, body, end; /* offsets in the stream; splice: the final empty line */
    bool own;                        /* carries a traceparent of its own */
    bool chunked;
    bool bare_lf;
};

static struct request requests[REQUESTS_MAX];
static size_t request_count;
static uint8_t *stream;
static size_t stream_length, stream_room;
static int stream_file;
static uint64_t seed, peer_seed;
static struct host_pair pair;
static bool is_unix, nonblocking, edge, alarms, tiny, single_bytes, sends_files;
static size_t answered;   /* answers that the client has read */
static uint32_t inserted; /* by the peer */

static void put(const void *data, size_t length)
{
    if (stream_length + length > stream_room) {
        stream_room = (stream_length + length) * 2;
        stream = realloc(stream, stream_room);
        EXPECT(stream != NULL);
    }
    memcpy(stream + stream_length, data, length);
    stream_length += length;
}

static void put_text(const char *text)
{
    put(text, strlen(text));
}

static void put_line(const struct request *request, const char *text)
{
    put_text(text);
    put_text(request->bare_lf ? "\n" : "\r\n");
}

static void put_filler(size_t length)
{
    for (size_t i = 0; i < length; i++)
        put(&"abcdefgh\r\n"[host_below(&seed, 10)], 1);
}

static void put_header_filler(const struct request *request)
{
    char line[1024];
    size_t total = host_below(&seed, 60) == 0 ? 64 * 1024 : host_below(&seed, 300);
    for (size_t done = 0; done < total;) {
        size_t length = 1 + host_below(&seed, total > 1000 ? 900 : 60);
        int used = snprintf(line, sizeof(line), "X-%zu: ", done);
        memset(line + used, 'v', length);
        line[used + (int)length] = '\0';
        put_line(request, line);
        done += length + (size_t)used;
    }
}

static void put_chunks(void)
{
    char size[32];
    for (size_t i = host_below(&seed, 4); i > 0; i--) {
        size_t length = 1 + host_below(&seed, 3000);
        snprintf(size, sizeof(size), "%zx\r\n", length);
        put_text(size);
        put_filler(length);
        put_text("\r\n");
    }
    put_text("0\r\n\r\n");
}

static void put_request(void)
{
    struct request *request = &requests[request_count++];
    static const char *const kinds[] = {"GET", "POST", "POST", "DELETE", "OPTIONS", "PUT"};
    size_t kind = host_below(&seed, 6);
    size_t body = kind == 1 || kind == 5 ? host_below(&seed, sends_files ? 60000 : 6000) : 0;
    char line[128];
    request->begin = stream_length;
    request->bare_lf = host_below(&seed, 8) == 0;
    request->own = host_below(&seed, 6) == 0;
    request->chunked = kind == 2;
    snprintf(line, sizeof(line), "%s /item/%zu?q=%zu HTTP/1.1", kinds[kind], request_count, kind);
    put_line(request, line);
    put_line(request, "Host: service.example");
    if (request->own && host_below(&seed, 2))
        put_line(request, "TraceParent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
    put_header_filler(request);
    if (request->chunked)
        put_line(request, "Transfer-Encoding: chunked");
    else if (body > 0) {
        snprintf(line, sizeof(line), "Content-Length: %zu", body);
        put_line(request, line);
    }
    if (request->own &&
        memmem(stream + request->begin, stream_length - request->begin, "TraceParent", 11) == NULL)
        put_line(request, "traceparent:00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
    request->splice = stream_length;
    put_line(request, "");
    request->body = stream_length;
    if (request->chunked)
        put_chunks();
    else
        put_filler(body);
    request->end = stream_length;
}

/* --- the peer: checks what arrives, answers each request ------------------------------------ */

static uint8_t window[256 * 1024];
static size_t window_used;

static void peer_fill(void)
{
    size_t most = 1 + host_below(&peer_seed, tiny ? 2000 : 60000);
    if (most > sizeof(window) - window_used)
        most = sizeof(window) - window_used;
    EXPECT(most > 0);
    if (tiny && host_below(&peer_seed, 20) == 0)
        usleep(500);
    long got;
    do
        got = raw_read(pair.server, window + window_used, most);
    while (got == -EINTR);
    EXPECT(got > 0);
    window_used += (size_t)got;
}

static void peer_need(size_t bytes)
{
    while (window_used < bytes)
        peer_fill();
}

static void peer_drop(size_t bytes)
{
    window_used -= bytes;
    memmove(window, window + bytes, window_used);
}

static void peer_match(size_t from, size_t to)
{
    while (from < to) {
        size_t length = to - from < 4096 ? to - from : 4096;
        peer_need(length);
        if (memcmp(window, stream + from, length) != 0) {
            size_t i = 0;
            while (window[i] == stream[from + i])
                i++;
            fprintf(stderr, "byte %zu differs: '%.40s' for '%.40s'\n", from + i, window + i,
                stream + from + i);
            abort();
        }
        peer_drop(length);
        from += length;
    }
}

static bool is_hex(const uint8_t *text, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (!strchr("0123456789abcdef", text[i]))
            return false;
    return true;
}

/* traceparent: 00-(32 hex)-(16 hex)-(2 hex) and the head's kind of line end. */
static void peer_match_lines(const struct request *request)
{
    size_t length = 13 + 55 + (request->bare_lf ? 1 : 2);
    peer_need(1);
    if (window[0] == '\r' || window[0] == '\n')
        return; /* no lines here */
    peer_need(length);
    EXPECT(memcmp(window, "traceparent: 00-", 16) == 0);
    EXPECT(is_hex(window + 16, 32) && window[48] == '-' && is_hex(window + 49, 16));
    EXPECT(window[65] == '-' && is_hex(window + 66, 2));
    EXPECT(memcmp(window + 68, request->bare_lf ? "\n" : "\r\n", request->bare_lf ? 1 : 2) == 0);
    peer_drop(length);
    inserted++;
}

static void *peer(void *unused)
{
    static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    for (size_t i = 0; i < request_count; i++) {
        uint32_t before = inserted;
        peer_match(requests[i].begin, requests[i].splice);
        peer_match_lines(&requests[i]);
        peer_match(requests[i].splice, requests[i].end);
        bool wanted = host_is_traced() && !requests[i].own;
        if ((inserted != before) != wanted) {
            fprintf(stderr, "request %zu of %zu bytes: %s: %.300s\n", i,
                requests[i].end - requests[i].begin, wanted ? "no lines" : "unwanted lines",
                stream + requests[i].begin);
            abort();
        }
        EXPECT(raw_write(pair.server, answer, sizeof(answer) - 1) == sizeof(answer) - 1);
    }
    EXPECT(window_used == 0);
    long got = raw_read(pair.server, window, 1);
    EXPECT(got == 0);
    return unused;
}

/* --- the client ------------------------------------------------------------------------------ */

static int epoll = -1;

static void await(short events)
{
    struct pollfd poll_fd = {pair.client, events, 0};
    if (edge && events == POLLOUT) { /* an EAGAIN that the kernel did not give has no edge */
        struct epoll_event event;
        int got = epoll_wait(epoll, &event, 1, 20000);
        EXPECT(got > 0 || (got < 0 && errno == EINTR)); /* an edge that never comes would hang */
        return;
    }
    int got = poll(&poll_fd, 1, 20000);
    EXPECT(got > 0 || (got < 0 && errno == EINTR));
}

static void read_answers(bool waits)
{
    static const size_t answer_length = 40;
    static size_t got_bytes;
    char buffer[4096];
    if (waits)
        await(POLLIN);
    ssize_t got = recv(pair.client, buffer, sizeof(buffer), MSG_DONTWAIT);
    if (got < 0) {
        EXPECT(errno == EAGAIN || errno == EINTR);
        return;
    }
    EXPECT(got > 0);
    got_bytes += (size_t)got;
    answered = got_bytes / answer_length;
}

static ssize_t send_vector(size_t at, size_t length)
{
    struct iovec iov[80];
    int count = 0, limit = (int)(1 + host_below(&seed, host_below(&seed, 4) ? 8 : 79));
    size_t done = 0;
    while (done < length && count < limit) {
        size_t part = count + 1 == limit ? length - done : host_below(&seed, length - done + 1);
        if (host_below(&seed, 3) == 0 && part > 3)
            part = 1 + host_below(&seed, 3);
        iov[count++] = (struct iovec){stream + at + done, part};
        done += part;
    }
    if (host_below(&seed, 2))
        return writev(pair.client, iov, count);
    struct msghdr message = {.msg_iov = iov, .msg_iovlen = (size_t)count};
    return sendmsg(pair.client, &message, host_below(&seed, 2) ? MSG_NOSIGNAL : MSG_MORE);
}

static ssize_t send_spliced(size_t at, size_t length)
{
    int ends[2];
    size_t done = 0;
    if (length > 4096)
        length = 4096;
    EXPECT(pipe(ends) == 0);
    EXPECT(write(ends[1], stream + at, length) == (ssize_t)length);
    while (done < length) {
        ssize_t went = splice(ends[0], NULL, pair.client, NULL, length - done, SPLICE_F_MOVE);
        if (went < 0) {
            EXPECT(errno == EAGAIN || errno == EINTR);
            read_answers(false);
            await(POLLOUT);
            continue;
        }
        EXPECT(went > 0);
        done += (size_t)went;
    }
    close(ends[0]);
    close(ends[1]);
    return (ssize_t)length;
}

/* The bytes from `at` on that may go from a file: of a body whose length was announced. What chunks
 * are sent unseen cannot be followed. */
static size_t body_at(size_t at, const struct request *request)
{
    return at >= request->body && !request->chunked ? request->end - at : 0;
}

static ssize_t send_some(size_t at, size_t length, const struct request *request)
{
    size_t body = body_at(at, request);
    off_t offset = (off_t)at;
    if (sends_files && body > 0 && host_below(&seed, 2)) {
        if (host_below(&seed, 2))
            return sendfile(pair.client, stream_file, &offset, body);
        return send_spliced(at, body);
    }
    switch (host_below(&seed, 6)) {
    case 0:
        return write(pair.client, stream + at, length);
    case 1:
        return send(pair.client, stream + at, length, MSG_NOSIGNAL);
    case 2:
        return send(pair.client, stream + at, length, MSG_MORE | MSG_DONTWAIT);
    case 3:
        return sendto(pair.client, stream + at, length, 0, NULL, 0);
    default:
        return send_vector(at, length);
    }
}

static size_t choose_length(size_t left)
{
    size_t length;
    switch (single_bytes ? 0 : host_below(&seed, 6)) {
    case 0:
        length = 1 + host_below(&seed, 3);
        break;
    case 1:
        length = 1 + host_below(&seed, 100);
        break;
    case 2:
        length = 1 + host_below(&seed, 100000);
        break;
    default:
        length = 1 + host_below(&seed, 2000);
    }
    return length < left ? length : left;
}

static void send_all(void)
{
    size_t at = 0, current = 0;
    while (at < stream_length) {
        while (requests[current].end <= at)
            current++;
        while (current > answered + OPEN_MAX_REQUESTS)
            read_answers(true);
        size_t last = answered + OPEN_MAX_REQUESTS + 10;
        size_t limit = last < request_count ? requests[last].end : stream_length;
        size_t left = limit - at;
        /* Sometimes up to a place of interest exactly. */
        size_t length = choose_length(left);
        if (host_below(&seed, 4) == 0 && requests[current].splice > at)
            length = requests[current].splice - at;
        else if (host_below(&seed, 4) == 0 && requests[current].body > at)
            length = requests[current].body - at;
        ssize_t went = send_some(at, length, &requests[current]);
        EXPECT(went != 0);
        if (went < 0) {
            EXPECT(errno == EAGAIN || (errno == EINTR && alarms) || getenv("FAULTS") != NULL);
            read_answers(false);
            if (errno == EAGAIN || nonblocking)
                await(POLLOUT);
            continue;
        }
        at += (size_t)went;
        EXPECT(at <= limit);
        if (host_below(&seed, 10) == 0)
            read_answers(false);
    }
    while (answered < request_count)
        read_answers(true);
}

static void on_alarm(int signal)
{
}

static void start_alarms(void)
{
    struct sigaction action = {.sa_handler = on_alarm};
    struct itimerval often = {{0, 700}, {0, 700}};
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &often, NULL);
}

static void read_options(char **options)
{
    for (; *options != NULL; options++) {
        is_unix |= strcmp(*options, "unix") == 0;
        edge |= strcmp(*options, "edge") == 0;
        nonblocking |= edge || strcmp(*options, "nonblocking") == 0;
        alarms |= strcmp(*options, "alarm") == 0;
        tiny |= strcmp(*options, "tiny") == 0;
        single_bytes |= strcmp(*options, "bytes") == 0;
        sends_files |= strcmp(*options, "sendfile") == 0;
    }
}

static void open_connection(void)
{
    int size = 4608, flags;
    pair = host_connect(is_unix, false);
    if (tiny) {
        setsockopt(pair.client, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
        if (is_unix) /* TCP would wait for its delayed acknowledgements */
            setsockopt(pair.server, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
    }
    flags = fcntl(pair.client, F_GETFL);
    if (nonblocking)
        fcntl(pair.client, F_SETFL, flags | O_NONBLOCK);
    struct epoll_event event = {.events = EPOLLOUT | EPOLLET};
    if (edge) {
        epoll = epoll_create1(0);
        EXPECT(epoll_ctl(epoll, EPOLL_CTL_ADD, pair.client, &event) == 0);
    }
}

int main(int argc, char **argv)
{
    pthread_t thread;
    sigset_t alarm_set;
    EXPECT(argc >= 3);
    seed = strtoull(argv[1], NULL, 10) * 0x9e3779b97f4a7c15u + 1;
    peer_seed = seed ^ 0x1234567;
    read_options(argv + 3);
    while (request_count < strtoull(argv[2], NULL, 10))
        put_request();
    stream_file = memfd_create("stream", 0);
    EXPECT(write(stream_file, stream, stream_length) == (ssize_t)stream_length);
    open_connection();
    sigemptyset(&alarm_set);
    sigaddset(&alarm_set, SIGALRM);
    pthread_sigmask(SIG_BLOCK, &alarm_set, NULL);
    pthread_create(&thread, NULL, peer, NULL);
    pthread_sigmask(SIG_UNBLOCK, &alarm_set, NULL);
    if (alarms)
        start_alarms();
    send_all();
    EXPECT(shutdown(pair.client, SHUT_WR) == 0);
    pthread_join(thread, NULL);
    printf("%zu requests, %zu bytes\n", request_count, stream_length);
    return 0;
}
