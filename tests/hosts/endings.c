/* SPDX-License-Identifier: Apache-2.0 */
/* How processes end and begin: every way leaves the status that it leaves bare, and soon. And what
 * signal handlers do while a hooked call is blocked. */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <threads.h>

#include "exchange.h"

static void no_core(void)
{
    struct rlimit none = {0, 0};
    EXPECT(setrlimit(RLIMIT_CORE, &none) == 0);
}

/* --- processes ---------------------------------------------------------------------------------
 */

static void say(const char *what)
{
    EXPECT(write(1, what, strlen(what)) == (ssize_t)strlen(what));
}

static void daemon_forks_twice(void)
{
    int done[2];
    char byte;
    exchanges(2);
    EXPECT(pipe(done) == 0);
    pid_t child = fork();
    if (child == 0) {
        EXPECT(setsid() > 0);
        if (fork() != 0)
            _exit(0);
        EXPECT(close_range(0, (unsigned)done[1] - 1, 0) == 0);
        EXPECT(open("/dev/null", O_RDWR) == 0 && dup(0) == 1 && dup(0) == 2);
        exchanges(5);
        EXPECT(write(done[1], "d", 1) == 1);
        exit(0);
    }
    EXPECT(waitpid(child, NULL, 0) == child && close(done[1]) == 0);
    EXPECT(read(done[0], &byte, 1) == 1 && read(done[0], &byte, 1) == 0); /* it has ended */
    exchanges(1);
}

static void executes_without_environment(void)
{
    char *nothing[] = {NULL};
    char *arguments[] = {"sh", "-c", "echo executed $BURDOCK_STORE$LD_PRELOAD", NULL};
    exchanges(3);
    execve("/bin/sh", arguments, nothing);
}

static void executes_after_clearenv(void)
{
    exchanges(3);
    EXPECT(clearenv() == 0);
    execl("/bin/sh", "sh", "-c", "echo executed $BURDOCK_STORE$LD_PRELOAD", NULL);
}

static void fails_to_execute(void)
{
    exchanges(2);
    EXPECT(execl("/nowhere/at/all", "all", NULL) == -1 && errno == ENOENT);
    exchanges(2);
}

static void aborts(void)
{
    no_core();
    exchanges(3);
    abort();
}

static void aborts_in_handler_of_abort(int signal)
{
    say("handled\n");
}

static void aborts_handled(void)
{
    no_core();
    signal(SIGABRT, aborts_in_handler_of_abort);
    exchanges(3);
    abort();
}

static void faults(void)
{
    volatile int *volatile nowhere = NULL;
    no_core();
    exchanges(3);
    *nowhere = 1;
}

static void is_killed(void)
{
    exchanges(3);
    raise(SIGTERM);
}

static void exit_now(int signal)
{
    exit(7);
}

static void exits_in_handler(void)
{
    struct host_pair pair = host_connect(false, false);
    char byte;
    signal(SIGALRM, exit_now);
    exchange(&pair);
    alarm(1);
    for (;;)
        (void)!read(pair.client, &byte, 1);
}

static void end_now(int signal)
{
    _exit(9);
}

static void ends_in_handler_anywhere(void (*handler)(int))
{
    struct itimerval soon = {{0, 0}, {0, 30000}};
    signal(SIGALRM, handler);
    setitimer(ITIMER_REAL, &soon, NULL);
    for (;;)
        exchanges(10);
}

static void exits_in_handler_anywhere(void)
{
    ends_in_handler_anywhere(exit_now);
}

static void underscore_exits_in_handler_anywhere(void)
{
    ends_in_handler_anywhere(end_now);
}

static void at_exit(void)
{
    exchanges(1);
    say("at exit\n");
}

static void quick_exits(void)
{
    EXPECT(at_quick_exit(at_exit) == 0);
    exchanges(3);
    quick_exit(5);
}

static void exits_with_handlers(void)
{
    EXPECT(atexit(at_exit) == 0);
    exchanges(3);
    exit(6);
}

static void exits_at_once(void)
{
    exchanges(3);
    _exit(4);
}

static void *exit_from(void *unused)
{
    exchanges(1);
    exit(3);
}

static void exits_from_thread(void)
{
    pthread_t thread;
    exchanges(3);
    pthread_create(&thread, NULL, exit_from, NULL);
    pause();
}

static void *exchange_after(void *unused)
{
    usleep(20000);
    exchanges(4);
    return unused;
}

static void main_thread_leaves(void)
{
    pthread_t thread;
    exchanges(1);
    pthread_create(&thread, NULL, exchange_after, NULL);
    pthread_exit(NULL);
}

static int exchange_after_in_c11(void *unused)
{
    return exchange_after(unused) != NULL;
}

static void main_thread_leaves_as_in_c11(void)
{
    thrd_t thread;
    exchanges(1);
    thrd_create(&thread, exchange_after_in_c11, NULL);
    thrd_exit(0);
}

static void main_thread_leaves_by_number(void)
{
    pthread_t thread;
    exchanges(1);
    pthread_create(&thread, NULL, exchange_after, NULL);
    syscall(SYS_exit, 0);
}

/* --- handlers ----------------------------------------------------------------------------------
 */

static struct host_pair other;
static volatile sig_atomic_t handled;

static void exchange_in_handler(int signal)
{
    int saved = errno;
    exchange(&other);
    handled++;
    errno = saved;
}

struct blocked {
    struct host_pair pair;
    pthread_t thread;
    pid_t id;
};

#ifdef SYS_poll
#define POLL_CALL SYS_poll
#else
#define POLL_CALL SYS_ppoll
#endif

/* Until the kernel has the thread waiting in a call that reads, polls or writes. */
static void await_blocked(pid_t thread)
{
    static const long calls[] = {SYS_read, SYS_recvfrom, POLL_CALL, SYS_write, SYS_sendmsg};
    char path[64], text[32] = "";
    sprintf(path, "/proc/self/task/%d/syscall", thread);
    for (;;) {
        long file = sys_call(SYS_openat, AT_FDCWD, (long)path, O_RDONLY, 0, 0, 0);
        if (file < 0 || raw_read((int)file, text, sizeof(text) - 1) <= 0)
            usleep(1000); /* not told here: it will be there by then */
        sys_call(SYS_close, file, 0, 0, 0, 0, 0);
        for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
            if (*text == '\0' || (*text != 'r' && strtol(text, NULL, 10) == calls[i]))
                return;
        sched_yield();
    }
}

/* The peer of the blocked one: signals it, waits for the handler's end, then lets it go on. */
static void *interrupt(void *argument)
{
    struct blocked *blocked = argument;
    for (int i = 1; i <= 20; i++) {
        expect_request(blocked->pair.server);
        await_blocked(blocked->id);
        EXPECT(pthread_kill(blocked->thread, SIGUSR1) == 0);
        while (handled < i)
            usleep(100);
        host_raw_write_all(blocked->pair.server, answer, ANSWER);
    }
    return NULL;
}

static void handler_sends(void (*await)(int fd), int flags)
{
    struct sigaction action = {.sa_handler = exchange_in_handler, .sa_flags = flags};
    struct blocked blocked = {host_connect(false, false), pthread_self(), gettid()};
    pthread_t thread;
    other = host_connect(false, false);
    EXPECT(sigaction(SIGUSR1, &action, NULL) == 0);
    EXPECT(pthread_create(&thread, NULL, interrupt, &blocked) == 0);
    for (int i = 0; i < 20; i++) {
        EXPECT(send(blocked.pair.client, request, REQUEST, 0) == REQUEST);
        await(blocked.pair.client);
        read_answer(blocked.pair.client);
    }
    pthread_join(thread, NULL);
    EXPECT(close(other.client) == 0 && close(blocked.pair.client) == 0);
    EXPECT(handled == 20);
}

static void by_read(int fd)
{
}

static void by_peek(int fd)
{
    char byte;
    while (recv(fd, &byte, 1, MSG_PEEK) < 0)
        EXPECT(errno == EINTR);
}

static void by_poll(int fd)
{
    struct pollfd poll_fd = {fd, POLLIN, 0};
    while (poll(&poll_fd, 1, -1) < 0)
        EXPECT(errno == EINTR);
}

static void handler_during_read(void)
{
    handler_sends(by_read, SA_RESTART);
}

static void handler_during_interrupted_read(void)
{
    handler_sends(by_read, 0);
}

static void handler_during_peek(void)
{
    handler_sends(by_peek, 0);
}

static void handler_during_poll(void)
{
    handler_sends(by_poll, 0);
}

static void *interrupt_writer(void *argument)
{
    static char sink[65536];
    struct blocked *blocked = argument;
    size_t wanted = 8 << 20;
    for (int i = 1; i <= 20; i++) {
        await_blocked(blocked->id);
        EXPECT(pthread_kill(blocked->thread, SIGUSR1) == 0);
        while (handled < i)
            usleep(100);
    }
    while (wanted > 0) { /* the body's end, whatever lines the head got */
        long got = raw_read(blocked->pair.server, sink, sizeof(sink));
        EXPECT(got > 0);
        wanted -= (size_t)got < wanted ? (size_t)got : wanted;
    }
    return NULL;
}

/* The write is one of the library's own system calls: what the handler does passes unobserved. */
static void interrupted_write(void (*handler)(int))
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};
    struct blocked blocked = {host_connect(false, false), pthread_self(), gettid()};
    static char body[8 << 20];
    pthread_t thread;
    int head = sprintf(body, "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n", 9 << 20);
    EXPECT(head > 0 && sigaction(SIGUSR1, &action, NULL) == 0);
    EXPECT(pthread_create(&thread, NULL, interrupt_writer, &blocked) == 0);
    for (size_t sent = 0; sent < sizeof(body);) {
        ssize_t went = write(blocked.pair.client, body + sent, sizeof(body) - sent);
        EXPECT(went > 0 || errno == EINTR);
        sent += went > 0 ? (size_t)went : 0;
    }
    pthread_join(thread, NULL);
    EXPECT(handled == 20);
    EXPECT(close(blocked.pair.client) == 0);
}

static void exits_inside_the_library(void)
{
    exchanges(3);
    interrupted_write(exit_now);
}

static void underscore_exits_inside_the_library(void)
{
    exchanges(3);
    interrupted_write(end_now);
}

static void handler_during_write(void)
{
    other = host_connect(false, false);
    interrupted_write(exchange_in_handler);
    exchanges(3);
}

static struct host_pair replaced;
static int pipe_ends[2];

static void close_in_handler(int signal)
{
    if (handled++ > 0)
        return;
    EXPECT(close(other.client) == 0);
    EXPECT(dup2(pipe_ends[1], replaced.client) == replaced.client);
}

/* The unanswered request on a connection that the handler closed is told when the next connection
 * is made; the number that it gave to a pipe is a pipe's from then on. */
static void handler_closes_during_write(void)
{
    char bytes[2 * REQUEST];
    other = host_connect(false, false);
    replaced = host_connect(false, false);
    EXPECT(pipe(pipe_ends) == 0);
    EXPECT(write(other.client, request, REQUEST) == REQUEST);
    exchange(&replaced);
    interrupted_write(close_in_handler);
    EXPECT(write(replaced.client, request, REQUEST) == REQUEST);
    EXPECT(read(pipe_ends[0], bytes, sizeof(bytes)) == REQUEST);
    exchanges(3);
}

static const struct host_case cases[] = {
    {"daemon_forks_twice", daemon_forks_twice, "8 CLIENT/200=8"},
    {"executes_without_environment", executes_without_environment, "3 CLIENT/200=3"},
    {"executes_after_clearenv", executes_after_clearenv, "3 CLIENT/200=3"},
    {"fails_to_execute", fails_to_execute, "4 CLIENT/200=4"},
    {"aborts", aborts, NULL},
    {"aborts_handled", aborts_handled, NULL},
    {"faults", faults, NULL},
    {"is_killed", is_killed, NULL},
    {"exits_in_handler", exits_in_handler, "1 CLIENT/200=1"},
    {"exits_in_handler_anywhere", exits_in_handler_anywhere, NULL},
    {"underscore_exits_in_handler_anywhere", underscore_exits_in_handler_anywhere, NULL},
    {"exits_inside_the_library", exits_inside_the_library, "3 CLIENT/200=3"},
    {"underscore_exits_inside_the_library", underscore_exits_inside_the_library, "3 CLIENT/200=3"},
    {"quick_exits", quick_exits, NULL},
    {"exits_with_handlers", exits_with_handlers, "4 CLIENT/200=4"},
    {"exits_at_once", exits_at_once, "3 CLIENT/200=3"},
    {"exits_from_thread", exits_from_thread, "4 CLIENT/200=4"},
    {"main_thread_leaves", main_thread_leaves, "5 CLIENT/200=5"},
    {"main_thread_leaves_as_in_c11", main_thread_leaves_as_in_c11, "5 CLIENT/200=5"},
    {"main_thread_leaves_by_number", main_thread_leaves_by_number, NULL},
    {"handler_during_read", handler_during_read, "40 CLIENT/200=40"},
    {"handler_during_interrupted_read", handler_during_interrupted_read, "40 CLIENT/200=40"},
    {"handler_during_peek", handler_during_peek, "40 CLIENT/200=40"},
    {"handler_during_poll", handler_during_poll, "40 CLIENT/200=40"},
    {"handler_during_write", handler_during_write, NULL},
    {"handler_closes_during_write", handler_closes_during_write, "6 CLIENT/200=4 CLIENT/none=2"},
    {NULL, NULL, NULL},
};

int main(int argc, char **argv)
{
    return host_main(cases, argc, argv);
}
