/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A server of HTTP/1.1 that reads by every call that can read and answers by every call that can
 * send, each with each: one connection per pair, first one request after another, then all in one
 * piece. Its client is past libc, so every span is the server's.
 */
#include <fcntl.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/uio.h>

#include "host.h"

enum { KINDS = 6, IN_TURN = 2 * KINDS, PIPELINED = 2 * KINDS, BODY = 3000, ROOM = 16 * 1024 };

ssize_t __read_chk(int fd, void *buffer, size_t size, size_t room);
ssize_t __recv_chk(int fd, void *buffer, size_t size, size_t room, int flags);
ssize_t __recvfrom_chk(int fd, void *buffer, size_t size, size_t room, int flags,
    struct sockaddr *from, socklen_t *from_length);

struct message {
    char bytes[ROOM];
    size_t head, length;
};

/* --- what is said ------------------------------------------------------------------------------
 */

static void add_body(struct message *message, size_t length)
{
    message->head = message->length;
    for (size_t i = 0; i < length; i++) /* looks like heads, to whoever reads it as one */
        message->bytes[message->length++] = "GET / HTTP/1.1\r\n\r\nHTTP/1.1 503 \r\n\r\n"[i % 36];
}

static void make_request(unsigned number, struct message *request)
{
    static const char *const lines[KINDS] = {"GET", "POST", "GET", "HEAD", "POST", "GET"};
    const char *method = lines[number % KINDS];
    size_t body = *method == 'P' ? BODY : 0;
    request->length = (size_t)sprintf(request->bytes,
        "%s /kind/%u HTTP/1.1\r\nHost: servers\r\nContent-Length: %zu\r\n\r\n", method, number,
        body);
    add_body(request, body);
}

static void make_answer(unsigned number, struct message *answer)
{
    static const struct {
        const char *head;
        size_t body;
    } kinds[KINDS] = {
        {"HTTP/1.1 200 OK\r\nContent-Length: 3000\r\n\r\n", BODY},
        {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\nContent-Length: 3\r\n\r\n", 3},
        {"HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", 0},
        {"HTTP/1.1 206 Partial\r\nContent-Length: 1000\r\n\r\n", 0},
        {"HTTP/1.1 502 \r\nContent-Length: 3000\r\n\r\n", BODY},
        {"HTTP/1.1 304 Not Modified\r\nContent-Length: 77\r\n\r\n", 0},
    };
    answer->length = (size_t)sprintf(answer->bytes, "%s", kinds[number % KINDS].head);
    add_body(answer, kinds[number % KINDS].body);
}

/* --- the client, past libc ---------------------------------------------------------------------
 */

static void expect_answer(int fd, unsigned number)
{
    static struct message answer;
    static char got[ROOM];
    make_answer(number, &answer);
    host_raw_read_all(fd, got, answer.length);
    EXPECT(memcmp(got, answer.bytes, answer.length) == 0);
}

static void *ask(void *argument)
{
    static struct message request, all[1 + PIPELINED * BODY / ROOM];
    uint64_t seed = 88172645463325252u;
    int fd = (int)(intptr_t)argument;
    for (unsigned number = 0; number < IN_TURN; number++) {
        make_request(number, &request);
        size_t cut = 1 + host_below(&seed, request.length - 1);
        host_raw_write_all(fd, request.bytes, cut);
        host_raw_write_all(fd, request.bytes + cut, request.length - cut);
        expect_answer(fd, number);
    }
    char *at = (char *)all;
    for (unsigned number = 0; number < PIPELINED; number++) {
        make_request(number, &request);
        at = mempcpy(at, request.bytes, request.length);
        EXPECT(at < (char *)all + sizeof(all));
    }
    host_raw_write_all(fd, all, (size_t)(at - (char *)all));
    for (unsigned number = 0; number < PIPELINED; number++)
        expect_answer(fd, number);
    EXPECT(sys_call(SYS_shutdown, fd, SHUT_WR, 0, 0, 0, 0) == 0);
    return NULL;
}

/* --- ways to read ------------------------------------------------------------------------------
 */

static ssize_t by_read(int fd, char *buffer, size_t size)
{
    return read(fd, buffer, size);
}

static ssize_t by_read_chk(int fd, char *buffer, size_t size)
{
    return __read_chk(fd, buffer, size, size);
}

static ssize_t by_single_bytes(int fd, char *buffer, size_t size)
{
    return read(fd, buffer, 1);
}

static size_t scatter(struct iovec iov[4], char *buffer, size_t size)
{
    size_t first = size < 5 ? size : 5;
    iov[0] = (struct iovec){buffer, first};
    iov[1] = (struct iovec){NULL, 0};
    iov[2] = (struct iovec){buffer + first, (size - first) / 2};
    iov[3] = (struct iovec){buffer + first + iov[2].iov_len, size - first - iov[2].iov_len};
    return 4;
}

static ssize_t by_readv(int fd, char *buffer, size_t size)
{
    struct iovec iov[4];
    return readv(fd, iov, (int)scatter(iov, buffer, size));
}

static ssize_t by_recv(int fd, char *buffer, size_t size)
{
    return recv(fd, buffer, size, 0);
}

static ssize_t by_recv_chk(int fd, char *buffer, size_t size)
{
    return __recv_chk(fd, buffer, size, size, 0);
}

static ssize_t by_recvfrom(int fd, char *buffer, size_t size)
{
    struct sockaddr_storage from;
    socklen_t length = sizeof(from);
    return recvfrom(fd, buffer, size, 0, (struct sockaddr *)&from, &length);
}

static ssize_t by_recvfrom_chk(int fd, char *buffer, size_t size)
{
    return __recvfrom_chk(fd, buffer, size, size, 0, NULL, NULL);
}

static ssize_t by_recvmsg(int fd, char *buffer, size_t size)
{
    struct iovec iov[4];
    struct msghdr message = {.msg_iov = iov, .msg_iovlen = scatter(iov, buffer, size)};
    return recvmsg(fd, &message, 0);
}

/* On a stream each message takes what there is; the second may find more than the first. */
static ssize_t by_recvmmsg(int fd, char *buffer, size_t size)
{
    size_t first = 1 + (size - 1) / 2;
    struct iovec iov[2] = {{buffer, first}, {buffer + first, size - first}};
    struct mmsghdr messages[2] = {{.msg_hdr = {.msg_iov = &iov[0], .msg_iovlen = 1}},
        {.msg_hdr = {.msg_iov = &iov[1], .msg_iovlen = 1}}};
    int count = recvmmsg(fd, messages, size > first ? 2 : 1, MSG_WAITFORONE, NULL);
    if (count == 2)
        memmove(buffer + messages[0].msg_len, buffer + first, messages[1].msg_len);
    if (count <= 0)
        return count;
    return (ssize_t)messages[0].msg_len + (count == 2 ? (ssize_t)messages[1].msg_len : 0);
}

static ssize_t by_peek(int fd, char *buffer, size_t size)
{
    struct iovec iov = {buffer, size};
    struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
    struct mmsghdr messages = {.msg_hdr = message};
    if (recv(fd, buffer, 1, MSG_PEEK) <= 0)
        return 0;
    EXPECT(recvfrom(fd, buffer, size, MSG_PEEK, NULL, NULL) > 0);
    EXPECT(recvmsg(fd, &message, MSG_PEEK) > 0);
    EXPECT(recvmmsg(fd, &messages, 1, MSG_PEEK, NULL) == 1);
    ssize_t seen = recv(fd, buffer, size, MSG_PEEK | MSG_TRUNC);
    EXPECT(seen > 0);
    return recv(fd, buffer, (size_t)seen < size ? (size_t)seen : size, 0);
}

static ssize_t by_waiting(int fd, char *buffer, size_t size)
{
    ssize_t seen = recv(fd, buffer, size, MSG_PEEK);
    return seen <= 0 ? seen : recv(fd, buffer, (size_t)seen, MSG_WAITALL);
}

static ssize_t body_waiting(int fd, char *buffer, size_t size)
{
    return recv(fd, buffer, size, MSG_WAITALL);
}

/* What is dropped by the kernel: the buffer says something else altogether. */
static const char lie[] = "GET /lie HTTP/1.1\r\n\r\n";

static ssize_t body_dropped(int fd, char *buffer, size_t size)
{
    static char untouched[ROOM];
    memcpy(untouched, lie, sizeof(lie) - 1);
    ssize_t got = recv(fd, untouched, size, MSG_TRUNC);
    EXPECT(memcmp(untouched, lie, sizeof(lie) - 1) == 0);
    return got;
}

static ssize_t body_dropped_nowhere(int fd, char *buffer, size_t size)
{
    return recvfrom(fd, NULL, size, MSG_TRUNC, NULL, NULL);
}

static ssize_t body_dropped_message(int fd, char *buffer, size_t size)
{
    memcpy(buffer, lie, sizeof(lie) - 1 < size ? sizeof(lie) - 1 : size);
    struct iovec iov = {buffer, size};
    struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
    return recvmsg(fd, &message, MSG_TRUNC);
}

static ssize_t body_dropped_messages(int fd, char *buffer, size_t size)
{
    memcpy(buffer, lie, sizeof(lie) - 1 < size ? sizeof(lie) - 1 : size);
    struct iovec iov = {buffer, size};
    struct mmsghdr message = {.msg_hdr = {.msg_iov = &iov, .msg_iovlen = 1}};
    int count = recvmmsg(fd, &message, 1, MSG_TRUNC, NULL);
    return count <= 0 ? count : (ssize_t)message.msg_len;
}

static ssize_t body_spliced(int fd, char *buffer, size_t size)
{
    int ends[2];
    EXPECT(pipe(ends) == 0);
    ssize_t got = splice(fd, NULL, ends[1], NULL, size < 4096 ? size : 4096, 0);
    EXPECT(got > 0 && read(ends[0], buffer, (size_t)got) == got);
    EXPECT(close(ends[0]) == 0 && close(ends[1]) == 0);
    return got;
}

static const struct {
    const char *name;
    ssize_t (*head)(int fd, char *buffer, size_t size);
    ssize_t (*body)(int fd, char *buffer, size_t size); /* NULL: as the head */
    bool discards;
} readers[] = {
    {"read", by_read, NULL, false},
    {"read_chk", by_read_chk, NULL, false},
    {"single_bytes", by_single_bytes, NULL, false},
    {"readv", by_readv, NULL, false},
    {"recv", by_recv, NULL, false},
    {"recv_chk", by_recv_chk, NULL, false},
    {"recvfrom", by_recvfrom, NULL, false},
    {"recvfrom_chk", by_recvfrom_chk, NULL, false},
    {"recvmsg", by_recvmsg, NULL, false},
    {"recvmmsg", by_recvmmsg, NULL, false},
    {"peek", by_peek, NULL, false},
    {"waitall", by_waiting, body_waiting, false},
    {"trunc_recv", by_single_bytes, body_dropped, true},
    {"trunc_recvfrom_nowhere", by_single_bytes, body_dropped_nowhere, true},
    {"trunc_recvmsg", by_single_bytes, body_dropped_message, true},
    {"trunc_recvmmsg", by_single_bytes, body_dropped_messages, true},
    {"splice_body", by_single_bytes, body_spliced, false},
};

/* --- ways to send ------------------------------------------------------------------------------
 */

static void send_write(int fd, const struct message *m)
{
    EXPECT(write(fd, m->bytes, m->length) == (ssize_t)m->length);
}

static void send_bytes(int fd, const struct message *m)
{
    for (size_t i = 0; i < m->length; i++)
        EXPECT(send(fd, m->bytes + i, 1, i % 3 == 0 && i + 1 < m->length ? MSG_MORE : 0) == 1);
}

static void send_send(int fd, const struct message *m)
{
    EXPECT(send(fd, m->bytes, m->length, MSG_NOSIGNAL) == (ssize_t)m->length);
}

static void send_sendto(int fd, const struct message *m)
{
    EXPECT(sendto(fd, m->bytes, m->length, 0, NULL, 0) == (ssize_t)m->length);
}

static size_t cut(struct iovec iov[3], const struct message *m)
{
    iov[0] = (struct iovec){(char *)m->bytes, m->head / 2};
    iov[1] = (struct iovec){(char *)m->bytes + m->head / 2, m->head - m->head / 2};
    iov[2] = (struct iovec){(char *)m->bytes + m->head, m->length - m->head};
    return 3;
}

static void send_writev(int fd, const struct message *m)
{
    struct iovec iov[3];
    EXPECT(writev(fd, iov, (int)cut(iov, m)) == (ssize_t)m->length);
}

static void send_sendmsg(int fd, const struct message *m)
{
    struct iovec iov[3];
    struct msghdr message = {.msg_iov = iov, .msg_iovlen = cut(iov, m)};
    EXPECT(sendmsg(fd, &message, 0) == (ssize_t)m->length);
}

static void send_sendmmsg(int fd, const struct message *m)
{
    struct iovec iov[3];
    struct mmsghdr messages[3] = {0};
    int count = m->length > m->head ? 3 : 2;
    cut(iov, m);
    for (int i = 0; i < count; i++)
        messages[i].msg_hdr = (struct msghdr){.msg_iov = &iov[i], .msg_iovlen = 1};
    EXPECT(sendmmsg(fd, messages, (unsigned)count, 0) == count);
}

static int file_of(const struct message *m)
{
    int file = memfd_create("answer", 0);
    EXPECT(write(file, m->bytes, m->length) == (ssize_t)m->length);
    return file;
}

static void send_sendfile(int fd, const struct message *m)
{
    int file = file_of(m);
    off_t offset = (off_t)m->head;
    EXPECT(send(fd, m->bytes, m->head, m->head < m->length ? MSG_MORE : 0) == (ssize_t)m->head);
    while ((size_t)offset < m->length)
        EXPECT(sendfile(fd, file, &offset, 700) > 0);
    EXPECT(close(file) == 0);
}

static void send_splice(int fd, const struct message *m)
{
    int ends[2];
    size_t body = m->length - m->head;
    EXPECT(write(fd, m->bytes, m->head) == (ssize_t)m->head);
    EXPECT(pipe(ends) == 0 && write(ends[1], m->bytes + m->head, body) == (ssize_t)body);
    while (body > 0) {
        ssize_t went = splice(ends[0], NULL, fd, NULL, body, SPLICE_F_MOVE);
        EXPECT(went > 0);
        body -= (size_t)went;
    }
    EXPECT(close(ends[0]) == 0 && close(ends[1]) == 0);
}

static void (*const senders[])(int fd, const struct message *message) = {send_write, send_bytes,
    send_send, send_sendto, send_writev, send_sendmsg, send_sendmmsg, send_sendfile, send_splice};

enum {
    READERS = sizeof(readers) / sizeof(readers[0]),
    SENDERS = sizeof(senders) / sizeof(senders[0])
};

/* --- the server --------------------------------------------------------------------------------
 */

static void serve(int fd, size_t reader, void (*send_answer)(int, const struct message *))
{
    static char buffer[64 * 1024];
    static struct message request, answer;
    size_t used = 0;
    for (unsigned i = 0; i < IN_TURN + PIPELINED; i++) {
        unsigned number = i < IN_TURN ? i : i - IN_TURN;
        make_request(number, &request);
        make_answer(number, &answer);
        while (memmem(buffer, used, "\r\n\r\n", 4) == NULL) {
            ssize_t got = readers[reader].head(fd, buffer + used, sizeof(buffer) - used);
            EXPECT(got > 0);
            used += (size_t)got;
        }
        while (used < request.length) {
            ssize_t got = (readers[reader].body ? readers[reader].body : readers[reader].head)(
                fd, buffer + used, request.length - used);
            EXPECT(got > 0);
            used += (size_t)got;
        }
        size_t compared = readers[reader].discards ? request.head : request.length;
        EXPECT(memcmp(buffer, request.bytes, compared) == 0);
        used -= request.length;
        memmove(buffer, buffer + request.length, used);
        send_answer(fd, &answer);
    }
    EXPECT(used == 0 && readers[reader].head(fd, buffer, 10) == 0);
}

static void run_one(size_t reader, size_t sender)
{
    pthread_t client;
    struct host_pair pair = host_connect(false, true);
    int on = 1; /* single bytes would wait for delayed acknowledgements */
    setsockopt(pair.server, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    setsockopt(pair.client, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    EXPECT(pthread_create(&client, NULL, ask, (void *)(intptr_t)pair.client) == 0);
    serve(pair.server, reader, senders[sender]);
    pthread_join(client, NULL);
    EXPECT(close(pair.server) == 0);
    sys_call(SYS_close, pair.client, 0, 0, 0, 0, 0);
}

/* Bytes that the kernel dropped are not in the buffer, whatever it holds. */
static void dropped_unread(void)
{
    for (int way = 0; way < 4; way++) {
        struct host_pair pair = host_connect(false, true);
        char buffer[sizeof(lie) - 1];
        memcpy(buffer, lie, sizeof(lie) - 1);
        struct iovec iov = {buffer, sizeof(buffer)};
        struct mmsghdr message = {.msg_hdr = {.msg_iov = &iov, .msg_iovlen = 1}};
        host_raw_write_all(pair.client, "some other protocol, and long enough for both", 45);
        if (way == 0)
            EXPECT(recv(pair.server, buffer, sizeof(lie) - 1, MSG_TRUNC) == sizeof(lie) - 1);
        if (way == 1)
            EXPECT(recvfrom(pair.server, buffer, sizeof(lie) - 1, MSG_TRUNC, NULL, NULL) > 0);
        if (way == 2)
            EXPECT(recvmsg(pair.server, &message.msg_hdr, MSG_TRUNC) == sizeof(lie) - 1);
        if (way == 3)
            EXPECT(recvmmsg(pair.server, &message, 1, MSG_TRUNC, NULL) == 1);
        EXPECT(memcmp(buffer, lie, sizeof(lie) - 1) == 0);
        EXPECT(write(pair.server, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 38) == 38);
        EXPECT(close(pair.server) == 0);
        sys_call(SYS_close, pair.client, 0, 0, 0, 0, 0);
    }
}

static void list(void)
{
    int spans = (IN_TURN + PIPELINED) * SENDERS;
    for (size_t reader = 0; reader < READERS; reader++) {
        printf("%s %d", readers[reader].name, spans);
        for (size_t kind = 0; kind < KINDS; kind++)
            printf(" SERVER/%d=%d", (int[]){200, 201, 404, 206, 502, 304}[kind], spans / KINDS);
        printf("\n");
    }
    printf("dropped_unread 0\n");
}

int main(int argc, char **argv)
{
    EXPECT(argc == 2);
    if (strcmp(argv[1], "--list") == 0)
        list();
    if (strcmp(argv[1], "dropped_unread") == 0)
        dropped_unread();
    for (size_t reader = 0; reader < READERS; reader++)
        for (size_t sender = 0; sender < SENDERS; sender++)
            if (strcmp(argv[1], readers[reader].name) == 0) {
                run_one(reader, sender);
            }
    return 0;
}
