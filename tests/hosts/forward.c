/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A proxy passes its client's heads on as they came, cut at random places. What goes upstream is
 * what came, but for the 55 bytes of the client's own traceparent (all of them, if the value lies
 * in one buffer of one call), or for one line inserted where there was none. And sends that nobody
 * may edit: zero-copy, and several messages in one call.
 */
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <sys/uio.h>
#include <time.h>

#include <linux/errqueue.h> /* needs time.h */

#include "host.h"

enum { REQUESTS = 400, ROOM = 8192, VALUE = 55 };

static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
enum { ANSWER = sizeof(answer) - 1 };

static uint64_t seed = 88172645463325252u;

struct head {
    char bytes[ROOM];
    size_t length, value, end; /* value: of traceparent, 0: none; end: the final empty line */
};

static void put(struct head *head, const char *text)
{
    size_t length = strlen(text);
    memcpy(head->bytes + head->length, text, length);
    head->length += length;
}

static void put_fillers(struct head *head)
{
    char line[64];
    for (size_t i = host_below(&seed, 6); i > 0; i--) {
        sprintf(line, "X-%zu: 00-%016zx\r\n", i, (size_t)host_random(&seed));
        put(head, line);
    }
}

static void make(struct head *head, unsigned number)
{
    static const char *const names[] = {"traceparent: ", "Traceparent:", "TRACEPARENT: \t"};
    char value[128];
    head->length = head->value = 0;
    sprintf(value, "POST /forward/%u HTTP/1.1\r\nHost: up\r\nContent-Length: 70\r\n", number);
    put(head, value);
    put_fillers(head);
    if (host_below(&seed, 4) != 0) {
        put(head, names[host_below(&seed, 3)]);
        head->value = head->length;
        sprintf(value, "00-%016lx%016lx-%016lx-01\r\n", host_random(&seed), host_random(&seed),
            host_random(&seed));
        put(head, value);
    }
    put_fillers(head);
    head->end = head->length;
    /* The body quotes a head. */
    put(head, "\r\ntraceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n");
    EXPECT(head->length - head->end == 2 + 70);
}

struct ends {
    struct host_pair down, up; /* down.server and up.client are the proxy's */
};

static bool value_is_whole; /* it lay in one buffer */

static void note_part(const struct head *head, size_t at, size_t length)
{
    if (head->value != 0 && at <= head->value && at + length >= head->value + VALUE)
        value_is_whole = true;
}

static size_t send_part(int fd, const struct head *head, size_t at)
{
    size_t left = head->length - at;
    size_t length = 1 + host_below(&seed, host_below(&seed, 3) ? left : (left < 80 ? left : 80));
    size_t end = head->value + VALUE + host_below(&seed, 4); /* often at the value's end */
    if (head->value != 0 && at < end && end <= head->length && host_below(&seed, 4) == 0)
        length = end - at;
    size_t first = host_below(&seed, length + 1);
    char *bytes = (char *)head->bytes + at;
    struct iovec iov[2] = {{bytes, first}, {bytes + first, length - first}};
    struct msghdr message = {.msg_iov = iov, .msg_iovlen = 2};
    size_t kind = host_below(&seed, 4);
    ssize_t went = kind == 0   ? write(fd, bytes, length)
                   : kind == 1 ? send(fd, bytes, length, MSG_NOSIGNAL)
                   : kind == 2 ? writev(fd, iov, 2)
                               : sendmsg(fd, &message, 0);
    EXPECT(went == (ssize_t)length);
    if (kind < 2)
        note_part(head, at, length);
    else {
        note_part(head, at, first);
        note_part(head, at + first, length - first);
    }
    return length;
}

static void pass_on(const struct ends *ends, const struct head *head)
{
    char buffer[ROOM];
    size_t got = 0;
    host_raw_write_all(ends->down.client, head->bytes, head->length);
    while (got < head->length) {
        ssize_t more = read(ends->down.server, buffer + got, sizeof(buffer) - got);
        EXPECT(more > 0);
        got += (size_t)more;
    }
    EXPECT(memcmp(buffer, head->bytes, head->length) == 0);
    value_is_whole = false;
    for (size_t at = 0; at < head->length;)
        at += send_part(ends->up.client, head, at);
}

static void expect_same(const char *got, const struct head *head, size_t from, size_t to)
{
    if (memcmp(got, head->bytes + from, to - from) != 0) {
        fprintf(stderr, "'%.*s'\nfor\n'%.*s'\n", (int)(to - from), got, (int)(to - from),
            head->bytes + from);
        abort();
    }
}

/* The same trace, another span; or nothing has changed. */
static void expect_value(const char *got, const char *sent)
{
    bool changed = memcmp(got, sent, VALUE) != 0;
    EXPECT(memcmp(got, sent, 36) == 0 && memcmp(got + 52, "-0", 2) == 0);
    EXPECT(strspn(got + 36, "0123456789abcdef") == 16);
    if (changed)
        EXPECT(memcmp(got + 36, sent + 36, 16) != 0);
    EXPECT(changed == (host_is_traced() && value_is_whole));
}

static void arrives(int fd, const struct head *head)
{
    char got[ROOM];
    enum { LINE = 13 + VALUE + 2 };
    bool inserts = head->value == 0 && host_is_traced();
    host_raw_read_all(fd, got, head->length + (inserts ? LINE : 0));
    if (head->value != 0) {
        expect_same(got, head, 0, head->value);
        expect_value(got + head->value, head->bytes + head->value);
        expect_same(got + head->value + VALUE, head, head->value + VALUE, head->length);
        return;
    }
    expect_same(got, head, 0, head->end);
    if (inserts)
        EXPECT(memcmp(got + head->end, "traceparent: 00-", 16) == 0);
    expect_same(got + head->end + (inserts ? LINE : 0), head, head->end, head->length);
}

static void give_answers(const struct ends *ends)
{
    char buffer[ANSWER];
    host_raw_write_all(ends->up.server, answer, ANSWER);
    for (size_t got = 0; got < ANSWER;) {
        ssize_t more = read(ends->up.client, buffer + got, ANSWER - got);
        EXPECT(more > 0);
        got += (size_t)more;
    }
    EXPECT(write(ends->down.server, answer, ANSWER) == ANSWER);
    host_raw_read_all(ends->down.client, buffer, ANSWER);
    EXPECT(memcmp(buffer, answer, ANSWER) == 0);
}

static void proxies(bool is_unix)
{
    struct ends ends = {host_connect(is_unix, true), host_connect(is_unix, false)};
    int fds[] = {ends.up.client, ends.up.server, ends.down.client, ends.down.server}, on = 1;
    static struct head head;
    for (int i = 0; i < 4 && !is_unix; i++) /* heads in pieces would wait for acknowledgements */
        EXPECT(setsockopt(fds[i], IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) == 0);
    for (unsigned i = 0; i < REQUESTS; i++) {
        make(&head, i);
        pass_on(&ends, &head);
        arrives(ends.up.server, &head);
        give_answers(&ends);
    }
    EXPECT(close(ends.up.client) == 0 && close(ends.down.server) == 0);
}

static void inet(void)
{
    proxies(false);
}

static void local(void)
{
    proxies(true);
}

/* --- what nobody may edit ----------------------------------------------------------------------
 */

static const char request[] = "GET /as-it-is HTTP/1.1\r\nHost: up\r\n\r\n";
enum { REQUEST = sizeof(request) - 1, TIMES = 5 };

static void expect_untouched(const struct host_pair *pair, int count)
{
    char got[REQUEST];
    for (int i = 0; i < count; i++) {
        host_raw_read_all(pair->server, got, REQUEST);
        EXPECT(memcmp(got, request, REQUEST) == 0);
        host_raw_write_all(pair->server, answer, ANSWER);
    }
    for (int left = count * ANSWER; left > 0;) {
        ssize_t more = read(pair->client, got, (size_t)left < REQUEST ? (size_t)left : REQUEST);
        EXPECT(more > 0);
        left -= (int)more;
    }
}

static void expect_completion(int fd, uint32_t number)
{
    char control[128];
    struct msghdr message = {.msg_control = control, .msg_controllen = sizeof(control)};
    struct pollfd poll_fd = {fd, 0, 0};
    EXPECT(poll(&poll_fd, 1, 5000) == 1 && (poll_fd.revents & POLLERR));
    EXPECT(recvmsg(fd, &message, MSG_ERRQUEUE) == 0);
    struct sock_extended_err error;
    memcpy(&error, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(error));
    EXPECT(error.ee_origin == SO_EE_ORIGIN_ZEROCOPY && error.ee_errno == 0);
    EXPECT(error.ee_info == number && error.ee_data == number);
}

/* A ring file stays behind who is killed, with the counters that the exporter put there. */
static void leave_counters(void)
{
    if (host_is_traced())
        sleep(1);
    raise(SIGKILL);
}

static void zero_copy(void)
{
    struct host_pair pair = host_connect(false, false);
    int on = 1;
    EXPECT(setsockopt(pair.client, SOL_SOCKET, SO_ZEROCOPY, &on, sizeof(on)) == 0);
    for (uint32_t i = 0; i < TIMES; i++) {
        struct iovec iov = {(void *)request, REQUEST};
        struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
        if (i % 2)
            EXPECT(send(pair.client, request, REQUEST, MSG_ZEROCOPY) == REQUEST);
        else
            EXPECT(sendmsg(pair.client, &message, MSG_ZEROCOPY) == REQUEST);
        expect_untouched(&pair, 1);
        expect_completion(pair.client, i);
    }
    leave_counters();
}

static void many_messages(void)
{
    struct host_pair pair = host_connect(false, false);
    struct iovec iov[TIMES + 1];
    struct mmsghdr messages[TIMES + 1] = {0};
    for (int i = 0; i < TIMES; i++) {
        iov[i] = (struct iovec){(void *)request, REQUEST};
        messages[i].msg_hdr = (struct msghdr){.msg_iov = &iov[i], .msg_iovlen = 1};
    }
    EXPECT(sendmmsg(pair.client, messages, TIMES, 0) == TIMES);
    for (int i = 0; i < TIMES; i++)
        EXPECT(messages[i].msg_len == REQUEST);
    expect_untouched(&pair, TIMES);
    leave_counters();
}

static const struct host_case cases[] = {
    {"inet", inet, "800 SERVER/200=400 CLIENT/200=400"},
    {"local", local, "800 SERVER/200=400 CLIENT/200=400"},
    {"zero_copy", zero_copy, "5 CLIENT/200=5 inject.skipped=5"},
    {"many_messages", many_messages, "5 CLIENT/200=5 inject.skipped=5"},
    {NULL, NULL, NULL},
};

int main(int argc, char **argv)
{
    return host_main(cases, argc, argv);
}
