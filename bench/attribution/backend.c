/* SPDX-License-Identifier: Apache-2.0 */
/*
 * backend LOG LEAST_US MOST_US HTTP SLOW RESP PG: what the workloads of the attribution benchmark
 * call. It listens on four ports of loopback, answers each request between LEAST_US and MOST_US
 * microseconds later, in the order of its connection, and logs what it was asked: the ground truth.
 * On SLOW every fourth answer takes 150 ms more, so that a proxy gives up and asks elsewhere.
 *
 * A request is known by its token: u<N>q, w<N>q while warming up, b<N>q where no request is the
 * cause; then perhaps one of ._: and the number k of the call. A line of the log: protocol, k,
 * tokens, traceparent or "-".
 */
#include <ctype.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <time.h>

#include "../../tests/hosts/host.h"

enum {
    DESCRIPTORS_MAX = 8192,
    REPLIES_MAX = 1 << 16,
    IN_BYTES = 32 * 1024,
    REPLY_BYTES = 480,
    TOKENS_BYTES = 2048,
    LATE_NS = 150 * 1000 * 1000
};

struct connection;

struct protocol {
    const char *name;
    bool is_slow;
    /* Takes one request from the bytes that are there; 0: more are needed. */
    size_t (*take)(struct connection *connection, const uint8_t *bytes, size_t length);
};

/* What is to be written, and when. Replies of one connection are due in their order. */
struct reply {
    uint64_t due_ns, sequence;
    int fd;
    uint32_t generation;
    bool closes;
    uint32_t length;
    uint8_t bytes[REPLY_BYTES];
};

struct connection {
    const struct protocol *protocol; /* NULL: not open */
    uint32_t generation;
    uint64_t last_due_ns;
    bool is_started; /* PostgreSQL: the start-up is over */
    size_t have;
    uint8_t in[IN_BYTES + 1];
    char tokens[TOKENS_BYTES]; /* of the request that is being taken */
    unsigned k;
    struct reply reply;
};

static struct connection connections[DESCRIPTORS_MAX];
static struct reply replies[REPLIES_MAX]; /* a heap */
static size_t replies_count;
static uint64_t sequence, least_ns, most_ns, random_state = 0x2545F4914F6CDD1D;
static FILE *journal;
static int epoll;

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* --- replies ------------------------------------------------------------------------------- */

static bool is_before(const struct reply *a, const struct reply *b)
{
    return a->due_ns != b->due_ns ? a->due_ns < b->due_ns : a->sequence < b->sequence;
}

static void swap(size_t a, size_t b)
{
    struct reply kept = replies[a];
    replies[a] = replies[b];
    replies[b] = kept;
}

static void push(const struct reply *reply)
{
    EXPECT(replies_count < REPLIES_MAX);
    size_t at = replies_count++;
    replies[at] = *reply;
    for (; at > 0 && is_before(&replies[at], &replies[(at - 1) / 2]); at = (at - 1) / 2)
        swap(at, (at - 1) / 2);
}

static void pop(void)
{
    replies[0] = replies[--replies_count];
    for (size_t at = 0;;) {
        size_t least = at;
        for (size_t child = 2 * at + 1; child <= 2 * at + 2 && child < replies_count; child++)
            if (is_before(&replies[child], &replies[least]))
                least = child;
        if (least == at)
            return;
        swap(at, least);
        at = least;
    }
}

static void add(struct connection *c, const void *bytes, size_t length)
{
    EXPECT(c->reply.length + length <= REPLY_BYTES);
    memcpy(c->reply.bytes + c->reply.length, bytes, length);
    c->reply.length += (uint32_t)length;
}

static void say(struct connection *c, const char *text)
{
    add(c, text, strlen(text));
}

/* --- tokens -------------------------------------------------------------------------------- */

/* Adds what tokens there are in some bytes to those of the request. */
static void find_tokens(struct connection *c, const uint8_t *bytes, size_t length)
{
    const char *at = (const char *)bytes, *end = at + length;
    for (; at < end; at++) {
        if (strchr("uwb", *at) == NULL || (at > (const char *)bytes && isalnum(at[-1])))
            continue;
        const char *digits = at + 1;
        while (digits < end && isdigit(*digits))
            digits++;
        if (digits == at + 1 || digits == end || *digits != 'q')
            continue;
        size_t size = (size_t)(digits + 1 - at), used = strlen(c->tokens);
        EXPECT(used + size + 2 < TOKENS_BYTES);
        snprintf(c->tokens + used, TOKENS_BYTES - used, "%s%.*s", used ? "," : "", (int)size, at);
        if (digits + 2 < end && strchr("._:", digits[1]) != NULL && isdigit(digits[2]))
            c->k = (unsigned)(digits[2] - '0');
        at = digits;
    }
}

/* The request is complete: it is logged, and its reply waits for its time. */
static void answer(struct connection *c, const char *traceparent, bool closes)
{
    uint64_t due = now_ns();
    if (c->tokens[0] != '\0') {
        fprintf(journal, "%s %u %s %.55s\n", c->protocol->name, c->k, c->tokens, traceparent);
        due += least_ns + host_random(&random_state) % (most_ns - least_ns + 1);
        if (c->protocol->is_slow && host_below(&random_state, 4) == 0)
            due += LATE_NS;
    }
    if (due < c->last_due_ns)
        due = c->last_due_ns;
    c->last_due_ns = due;
    c->reply.due_ns = due;
    c->reply.sequence = sequence++;
    c->reply.fd = (int)(c - connections);
    c->reply.generation = c->generation;
    c->reply.closes = closes;
    push(&c->reply);
    c->reply.length = 0;
    c->tokens[0] = '\0';
    c->k = 0;
}

/* --- HTTP ---------------------------------------------------------------------------------- */

static size_t take_http(struct connection *c, const uint8_t *bytes, size_t length)
{
    const char *head = (const char *)bytes, *end = strstr(head, "\r\n\r\n");
    if (end == NULL)
        return 0;
    size_t head_bytes = (size_t)(end + 4 - head);
    char copy[IN_BYTES + 1];
    memcpy(copy, head, head_bytes);
    copy[head_bytes] = '\0';
    const char *body = strcasestr(copy, "\r\nContent-Length:");
    size_t whole = head_bytes + (body == NULL ? 0 : strtoul(body + 17, NULL, 10));
    if (length < whole)
        return 0;
    find_tokens(c, bytes, strcspn(copy, "\r"));
    bool closes = strcasestr(copy, "\r\nConnection: close") != NULL ||
                  (strstr(copy, " HTTP/1.0\r\n") != NULL && !strcasestr(copy, ": keep-alive\r\n"));
    char reply[REPLY_BYTES];
    snprintf(reply, sizeof(reply),
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\n%s\r\n%.*s",
        strnlen(c->tokens, 200), closes ? "Connection: close\r\n" : "", 200, c->tokens);
    say(c, reply);
    const char *traceparent = strcasestr(copy, "\r\ntraceparent: ");
    answer(c, traceparent == NULL ? "-" : traceparent + 15, closes);
    return whole;
}

/* --- Redis (RESP2) ------------------------------------------------------------------------- */

/* A line "<kind><number>\r\n" at an offset; moves the offset behind it. False: not there yet. */
static bool number_line(const uint8_t *bytes, size_t length, size_t *at, size_t *number)
{
    const uint8_t *end = memmem(bytes + *at, length - *at, "\r\n", 2);
    if (end == NULL)
        return false;
    *number = strtoul((const char *)bytes + *at + 1, NULL, 10);
    *at = (size_t)(end + 2 - bytes);
    return true;
}

static void reply_redis(struct connection *c, const char *command, size_t length)
{
    char reply[REPLY_BYTES];
    if (length == 5 && strncasecmp(command, "HELLO", 5) == 0)
        say(c, "-ERR unknown command\r\n");
    else if (length == 4 && strncasecmp(command, "INFO", 4) == 0)
        say(c, "$31\r\nredis_version:7.0.15\r\nloading:0\r\n");
    else if (c->tokens[0] == '\0')
        say(c, "+OK\r\n");
    else {
        snprintf(reply, sizeof(reply), "$%zu\r\n%.*s\r\n", strnlen(c->tokens, 200), 200, c->tokens);
        say(c, reply);
    }
}

static size_t take_redis(struct connection *c, const uint8_t *bytes, size_t length)
{
    size_t at = 0, parts, size, first = 0, first_bytes = 0;
    if (!number_line(bytes, length, &at, &parts))
        return 0;
    for (size_t part = 0; part < parts; part++) {
        if (!number_line(bytes, length, &at, &size) || length < at + size + 2)
            return 0;
        if (part == 0) {
            first = at;
            first_bytes = size;
        }
        at += size + 2;
    }
    find_tokens(c, bytes, at);
    reply_redis(c, (const char *)bytes + first, first_bytes);
    answer(c, "-", false);
    return at;
}

/* --- PostgreSQL (protocol 3.0, sections 55.2 and 55.7) --------------------------------------- */

static uint32_t big(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

static void message(struct connection *c, char type, const void *body, size_t length)
{
    uint32_t size = htonl((uint32_t)length + 4);
    add(c, &type, 1);
    add(c, &size, 4);
    add(c, body, length);
}

#define MESSAGE(c, type, literal) message(c, type, literal, sizeof(literal) - 1)

static void describe_row(struct connection *c)
{
    MESSAGE(c, 'T', "\0\1token\0\0\0\0\0\0\0\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\0");
}

static void rows(struct connection *c)
{
    uint8_t row[256] = {0, 1};
    uint32_t size = (uint32_t)strnlen(c->tokens, 200);
    row[5] = (uint8_t)size;
    memcpy(row + 6, c->tokens, size);
    message(c, 'D', row, size + 6);
    message(c, 'C', "SELECT 1", 9);
}

static void postgres_message(struct connection *c, char type, const uint8_t *body, size_t length)
{
    bool asks_portal = length > 0 && body[0] == 'P';
    if (type == 'Q' || type == 'P' || type == 'B')
        find_tokens(c, body, length);
    switch (type) {
    case 'P':
        MESSAGE(c, '1', "");
        break;
    case 'B':
        MESSAGE(c, '2', "");
        break;
    case 'C':
        MESSAGE(c, '3', "");
        break;
    case 'D':
        if (!asks_portal)
            MESSAGE(c, 't', "\0\0");
        describe_row(c);
        break;
    case 'E':
        rows(c);
        break;
    case 'Q':
        if (c->tokens[0] != '\0') {
            describe_row(c);
            rows(c);
        } else
            message(c, 'C', "SET", 4);
    }
    if (type == 'Q' || type == 'S') {
        MESSAGE(c, 'Z', "I");
        answer(c, "-", false);
    }
}

static size_t start_postgres(struct connection *c, const uint8_t *bytes, size_t length)
{
    size_t whole = big(bytes);
    if (length < whole)
        return 0;
    if (big(bytes + 4) != 196608) {
        say(c, "N"); /* neither SSL nor GSS */
    } else {
        c->is_started = true;
        MESSAGE(c, 'R', "\0\0\0\0");
        MESSAGE(c, 'S',
            "server_version\0"
            "15.0\0");
        MESSAGE(c, 'S',
            "client_encoding\0"
            "UTF8\0");
        MESSAGE(c, 'S',
            "standard_conforming_strings\0"
            "on\0");
        MESSAGE(c, 'K', "\0\0\0\1\0\0\0\1");
        MESSAGE(c, 'Z', "I");
    }
    answer(c, "-", false);
    return whole;
}

static size_t take_postgres(struct connection *c, const uint8_t *bytes, size_t length)
{
    if (!c->is_started)
        return length < 8 ? 0 : start_postgres(c, bytes, length);
    if (length < 5 || length < 1 + (size_t)big(bytes + 1))
        return 0;
    postgres_message(c, (char)bytes[0], bytes + 5, big(bytes + 1) - 4);
    return 1 + (size_t)big(bytes + 1);
}

/* --- connections --------------------------------------------------------------------------- */

static const struct protocol protocols[] = {
    {"http", false, take_http},
    {"http", true, take_http},
    {"resp", false, take_redis},
    {"pg", false, take_postgres},
};

static void forget(struct connection *c)
{
    close((int)(c - connections));
    c->protocol = NULL;
    c->generation++;
}

static void open_connection(int listener, const struct protocol *protocol)
{
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0)
        return;
    EXPECT(fd < DESCRIPTORS_MAX);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    struct connection *c = &connections[fd];
    uint32_t generation = c->generation;
    memset(c, 0, offsetof(struct connection, in));
    c->generation = generation;
    c->protocol = protocol;
    c->tokens[0] = '\0';
    c->k = 0;
    c->reply.length = 0;
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    EXPECT(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0);
}

static void take(struct connection *c)
{
    ssize_t got = read((int)(c - connections), c->in + c->have, IN_BYTES - c->have);
    if (got <= 0) {
        if (got == 0 || errno != EAGAIN)
            forget(c);
        return;
    }
    c->have += (size_t)got;
    c->in[c->have] = '\0';
    size_t taken = 0, more;
    while (taken < c->have && (more = c->protocol->take(c, c->in + taken, c->have - taken)) > 0)
        taken += more;
    c->have -= taken;
    memmove(c->in, c->in + taken, c->have + 1);
    EXPECT(c->have < IN_BYTES);
}

static void reply_due(void)
{
    while (replies_count > 0 && replies[0].due_ns <= now_ns()) {
        const struct reply *reply = &replies[0];
        struct connection *c = &connections[reply->fd];
        if (c->protocol != NULL && c->generation == reply->generation) {
            ssize_t sent = send(reply->fd, reply->bytes, reply->length, MSG_NOSIGNAL);
            if (reply->closes || sent != (ssize_t)reply->length)
                forget(c);
        }
        pop();
    }
}

static int listen_on(int port)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    EXPECT(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int)) == 0);
    EXPECT(bind(fd, (struct sockaddr *)&to, sizeof(to)) == 0 && listen(fd, 1024) == 0);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    EXPECT(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0);
    return fd;
}

/* SIGTERM is the end, and comes as an event. */
static int listen_for_the_end(void)
{
    sigset_t end;
    sigemptyset(&end);
    sigaddset(&end, SIGTERM);
    EXPECT(sigprocmask(SIG_BLOCK, &end, NULL) == 0);
    int fd = signalfd(-1, &end, 0);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    EXPECT(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0);
    return fd;
}

int main(int argc, char **argv)
{
    enum { PROTOCOLS = sizeof(protocols) / sizeof(*protocols), EVENTS = 256 };
    EXPECT(argc == 4 + PROTOCOLS);
    EXPECT(setrlimit(RLIMIT_NOFILE, &(struct rlimit){DESCRIPTORS_MAX, DESCRIPTORS_MAX}) == 0);
    journal = fopen(argv[1], "w");
    least_ns = strtoul(argv[2], NULL, 10) * 1000;
    most_ns = strtoul(argv[3], NULL, 10) * 1000;
    epoll = epoll_create1(0);
    EXPECT(journal != NULL && epoll >= 0 && least_ns <= most_ns);
    int end = listen_for_the_end(), listeners[PROTOCOLS];
    for (int i = 0; i < PROTOCOLS; i++)
        listeners[i] = listen_on(atoi(argv[4 + i]));
    for (;;) {
        struct epoll_event events[EVENTS];
        struct timespec wait = {0};
        if (replies_count > 0 && replies[0].due_ns > now_ns())
            wait.tv_nsec = (long)(replies[0].due_ns - now_ns()) % 1000000000;
        int count = epoll_pwait2(epoll, events, EVENTS, replies_count > 0 ? &wait : NULL, NULL);
        for (int i = 0; i < count; i++) {
            int fd = events[i].data.fd;
            if (fd == end)
                return fclose(journal);
            if (fd >= listeners[0] && fd < listeners[0] + PROTOCOLS)
                open_connection(fd, &protocols[fd - listeners[0]]);
            else if (connections[fd].protocol != NULL)
                take(&connections[fd]);
        }
        reply_due();
    }
}
