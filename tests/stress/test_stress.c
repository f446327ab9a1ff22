/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Many threads at once under ThreadSanitizer: their rings, the table of connections, the exporter
 * that drains while they write, two threads at one connection, descriptors closed under a reader's
 * hands, and a fork in the middle. The hooks are the real ones under other names (hook.h), their
 * originals are libc's, the sockets are pairs.
 */
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "attribution.h"
#include "config.h"
#include "counters.h"
#include "descriptor.h"
#include "exporter.h"
#include "hook.h"
#include "originals.h"
#include "recover.h"
#include "ring.h"
#include "stream.h"
#include "sys.h"
#include "tap.h"
#include "thread.h"

enum { PRODUCERS = 4, ROUNDS = 2000, FORKS = 8, CHILD_ROUNDS = 20 };

#define HOOKED(X) X(read) X(write) X(close) X(poll) X(dup2) X(recv) X(send)
#define DECLARE(name)                                               \
    extern __typeof__(name) hooked_##name __asm__("hooked_" #name); \
    extern __typeof__(name) *original_##name;
HOOKED(DECLARE)

/* The originals: without libc, whose twins in the sanitizer would take every descriptor for a lock.
 */
static ssize_t raw_read(int fd, void *buffer, size_t size)
{
    return sys_result(sys(SYS_read, fd, buffer, size));
}

static ssize_t raw_write(int fd, const void *buffer, size_t size)
{
    return sys_result(sys(SYS_write, fd, buffer, size));
}

static ssize_t raw_recv(int fd, void *buffer, size_t size, int flags)
{
    return sys_result(sys(SYS_recvfrom, fd, buffer, size, flags, NULL, NULL));
}

static ssize_t raw_send(int fd, const void *buffer, size_t size, int flags)
{
    return sys_result(sys(SYS_sendto, fd, buffer, size, flags, NULL, 0));
}

static ssize_t raw_sendmsg(int fd, const struct msghdr *message, int flags)
{
    return sys_result(sys(SYS_sendmsg, fd, message, flags));
}

static int raw_close(int fd)
{
    return (int)sys_result(sys(SYS_close, fd));
}

static int raw_dup2(int fd, int to)
{
    return (int)sys_result(sys(SYS_dup3, fd, to, 0));
}

static const char request[] = "GET /stress HTTP/1.1\r\nHost: stress\r\n\r\n";
static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
static char directory[] = "/tmp/burdock-stress-XXXXXX";

/* A connection whose both ends this process has. */
struct pair {
    int client, server;
};

static struct pair pair_open(void)
{
    struct sockaddr_in peer = {.sin_family = AF_INET, .sin_port = htons(80)};
    int ends[2];
    if (sys(SYS_socketpair, AF_UNIX, SOCK_STREAM, 0, ends) != 0)
        abort();
    stream_connected(ends[0], (struct sockaddr *)&peer, sizeof(peer), stream_connect_time(), 0);
    stream_accepted(0, ends[1], (struct sockaddr *)&peer, sizeof(peer));
    return (struct pair){ends[0], ends[1]};
}

static void pair_close(struct pair pair)
{
    hooked_close(pair.client);
    hooked_close(pair.server);
}

/* Heads end in an empty line, answers in "ok"; neither holds the other's end elsewhere. */
static int count_ends(const char *bytes, const char *end)
{
    int count = 0;
    while ((bytes = strstr(bytes, end)) != NULL) {
        count++;
        bytes += strlen(end);
    }
    return count;
}

/* Reads until what was read ends with `end`; answers how many there were, 0: the stream ended. */
static int read_until(int fd, const char *end)
{
    char bytes[16 * 1024];
    size_t length = 0;
    while (length < sizeof(bytes) - 1) {
        ssize_t got = hooked_read(fd, bytes + length, sizeof(bytes) - 1 - length);
        if (got <= 0)
            return 0;
        length += (size_t)got;
        bytes[length] = '\0';
        if (length >= strlen(end) && strcmp(bytes + length - strlen(end), end) == 0)
            return count_ends(bytes, end);
    }
    return 0;
}

static bool serve(int fd)
{
    int requests = read_until(fd, "\r\n\r\n");
    for (int i = 0; i < requests; i++)
        if (hooked_write(fd, answer, sizeof(answer) - 1) != sizeof(answer) - 1)
            return false;
    return requests > 0;
}

static bool ask(int fd)
{
    return hooked_write(fd, request, sizeof(request) - 1) == sizeof(request) - 1;
}

/* Each thread is client and server of its own connections. */
static void *produce(void *argument)
{
    int rounds = *(int *)argument;
    struct pair pair = pair_open();
    for (int i = 0; i < rounds; i++) {
        if (!ask(pair.client) || !serve(pair.server) || !read_until(pair.client, "ok"))
            abort();
        if (i % 16 == 15) {
            pair_close(pair);
            pair = pair_open();
        }
    }
    pair_close(pair);
    return NULL;
}

static void *serve_all(void *argument)
{
    while (serve(*(int *)argument))
        ;
    return NULL;
}

static int answered;

static void *read_answers(void *argument)
{
    for (int got; answered < ROUNDS; __atomic_fetch_add(&answered, got, __ATOMIC_RELAXED)) {
        struct pollfd polled = {.fd = *(int *)argument, .events = POLLIN};
        hooked_poll(&polled, 1, -1);
        if ((got = read_until(*(int *)argument, "ok")) == 0)
            abort();
    }
    return NULL;
}

/* One thread asks, another reads the answers, of the same connection. */
static void share_connection(void)
{
    struct pair pair = pair_open();
    pthread_t server, reader;
    pthread_create(&server, NULL, serve_all, &pair.server);
    pthread_create(&reader, NULL, read_answers, &pair.client);
    for (int i = 0; i < ROUNDS; i++) {
        while (i - __atomic_load_n(&answered, __ATOMIC_RELAXED) > 8)
            sched_yield();
        if (!ask(pair.client))
            abort();
    }
    pthread_join(reader, NULL);
    hooked_close(pair.client);
    pthread_join(server, NULL);
    hooked_close(pair.server);
}

/* One thread waits and reads while another closes. */
static void close_under_reader(void)
{
    for (int i = 0; i < 50; i++) {
        struct pair pair = pair_open();
        pthread_t server;
        pthread_create(&server, NULL, serve_all, &pair.server);
        ask(pair.client);
        sys(SYS_shutdown, pair.client, SHUT_RDWR);
        hooked_close(pair.client);
        pthread_join(server, NULL);
        hooked_close(pair.server);
    }
}

/* A program that is wrong: several threads use and replace the same numbers with no order at all.
 * What is observed then means nothing, but the tables must stay sound. */
static void *fight(void *argument)
{
    int first = *(int *)argument;
    unsigned random = (unsigned)(uintptr_t)&first;
    char bytes[256];
    for (int i = 0; i < ROUNDS; i++) {
        random = random * 1103515245 + 12345;
        int fd = first + (int)(random >> 16 & 3);
        switch (random >> 20 & 7) {
        case 0: {
            struct pair pair = pair_open();
            hooked_dup2(pair.client, fd);
            pair_close(pair);
            break;
        }
        case 1:
            hooked_dup2(fd, first + (int)(random >> 24 & 3));
            break;
        case 2:
        case 3:
            hooked_recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT);
            break;
        default:
            hooked_send(fd, request, sizeof(request) - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
        }
    }
    return NULL;
}

static void fight_over_descriptors(void)
{
    int first = 100;
    pthread_t fighters[PRODUCERS];
    for (int i = 0; i < 4; i++) {
        struct pair pair = pair_open();
        hooked_dup2(pair.client, first + i);
        pair_close(pair);
    }
    for (int i = 0; i < PRODUCERS; i++)
        pthread_create(&fighters[i], NULL, fight, &first);
    for (int i = 0; i < PRODUCERS; i++)
        pthread_join(fighters[i], NULL);
    for (int i = 0; i < 4; i++)
        hooked_close(first + i);
}

static void print_counters(void)
{
    for (int i = 0; i < COUNTER_COUNT; i++)
        if (counter_now((enum counter)i) != 0)
            printf("# %s %d\n", counter_name((enum counter)i), (int)counter_now((enum counter)i));
}

static bool fork_once(void)
{
    int rounds = CHILD_ROUNDS, status = -1;
    pid_t child = fork();
    if (child == 0) {
        produce(&rounds);
        exporter_flush(true);
        if (counter_now(COUNTER_SPANS_EXPORTED) == 2 * CHILD_ROUNDS)
            _exit(0);
        printf("# a child recorded %d spans and has counted:\n", (int)rings_recorded());
        print_counters();
        fflush(stdout);
        _exit(1);
    }
    if (waitpid(child, &status, 0) == child && status == 0)
        return true;
    printf("# a child ended with status 0x%x\n", (unsigned)status);
    return false;
}

static void start(void)
{
    static char run[64], store[64];
    /* However slow the machine: what is not exported then is lost. */
    char *const environment[] = {
        run, store, "OTEL_BSP_SCHEDULE_DELAY=1", "BURDOCK_EXIT_TIMEOUT=20000", NULL};
    char *const arguments[] = {"stress", NULL};
    snprintf(run, sizeof(run), "BURDOCK_DIR=%s", mkdtemp(directory));
    snprintf(store, sizeof(store), "BURDOCK_STORE=%s", directory);
    hooks_resolve();
    original_read = raw_read;
    original_write = raw_write;
    original_recv = raw_recv;
    original_send = raw_send;
    original_close = raw_close;
    original_dup2 = raw_dup2;
    originals.pthread_create = pthread_create;
    originals.pthread_attr_setstacksize = pthread_attr_setstacksize;
    originals.pthread_timedjoin_np = pthread_timedjoin_np;
    originals.pthread_key_create = pthread_key_create;
    originals.pthread_key_delete = pthread_key_delete;
    originals.pthread_setspecific = pthread_setspecific;
    originals.sendmsg = raw_sendmsg;
    originals.send = raw_send;
    config_read(&config, environment, arguments, "stress");
    if (!descriptor_start() || !thread_start() || !process_start())
        abort();
    attribution_start();
}

/* What the breaker does: nothing more is observed, and whoever looks from outside learns why. */
static void trip_breaker(uint64_t recorded)
{
    static struct ring_file seen;
    int rounds = CHILD_ROUNDS;
    process_break("the test said so");
    produce(&rounds);
    CHECK(rings_recorded() == recorded, "nothing is recorded any more");
    for (int i = 0; i < 1000 && seen.broken == 0; i++) {
        recover_counters(&config, (uint32_t)getpid(), &seen, &(uint64_t){0});
        sched_yield();
    }
    CHECK(strcmp(seen.broken_why, "the test said so") == 0, "the ring file says why");
    exporter_flush(true);
}

static void remove_all(void)
{
    char command[128];
    snprintf(command, sizeof(command), "rm -rf '%s'", directory);
    CHECK(system(command) == 0, "what was stored is removed");
}

int main(void)
{
    pthread_t producers[PRODUCERS];
    int rounds = ROUNDS, children = 0;
    signal(SIGPIPE, SIG_IGN);
    start();
    for (int i = 0; i < PRODUCERS; i++)
        pthread_create(&producers[i], NULL, produce, &rounds);
    for (int i = 0; i < FORKS; i++)
        children += fork_once();
    share_connection();
    close_under_reader();
    fight_over_descriptors();
    for (int i = 0; i < PRODUCERS; i++)
        pthread_join(producers[i], NULL);
    exporter_flush(false);
    uint64_t recorded = rings_recorded(), exported = counter_now(COUNTER_SPANS_EXPORTED);
    CHECK(children == FORKS, "%d of %d children exported their own spans", children, FORKS);
    CHECK(recorded >= 2 * PRODUCERS * ROUNDS, "%d spans were recorded", (int)recorded);
    CHECK(exported == recorded, "all of them were exported, each once: %d", (int)exported);
    CHECK(!process.broken, "the breaker stays shut");
    trip_breaker(recorded);
    print_counters();
    remove_all();
    return tap_done();
}
