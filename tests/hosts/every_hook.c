/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every hooked function under circumstances that a host may make: before any constructor has run,
 * on the smallest stack, under storms of signals, by a handler that interrupted the library, in a
 * thread that is cancelled, with arguments that are refused.
 *
 *     every_hook --functions     the names in hooked_calls.h
 */
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <time.h>

#include "hooked_calls.h"

static struct outcome {
    long result;
    int error;
} outcomes[ROWS];
static unsigned calls;

static struct outcome call(const struct row *row)
{
    if (row->kind == READS) {
        EXPECT(do_write() == REQUEST);
        expect_request(world.seen.server);
        host_raw_write_all(world.seen.server, answer, ANSWER);
    }
    errno = STALE;
    struct outcome outcome = {row->call(), errno};
    if (row->kind == SENDS) {
        expect_request(world.seen.server);
        host_raw_write_all(world.seen.server, answer, ANSWER);
        EXPECT(do_read() == ANSWER && memcmp(world.buffer, answer, ANSWER) == 0);
    }
    if (row->kind == UNSEEN)
        expect_request(world.unseen.server);
    __atomic_add_fetch(&calls, 1, __ATOMIC_RELAXED);
    return outcome;
}

/* The first time tells what is right; each time after it must be the same. */
static void call_all(void)
{
    for (size_t i = 0; i < ROWS; i++) {
        struct outcome now = call(&rows[i]);
        if (outcomes[i].error == 0)
            outcomes[i] = now;
        if (now.result != outcomes[i].result || now.error != outcomes[i].error)
            fprintf(stderr, "%s: %ld, errno %d\n", rows[i].name, now.result, now.error);
        EXPECT(now.result == outcomes[i].result && now.error == outcomes[i].error);
    }
}

static void print_all(void)
{
    for (size_t i = 0; i < ROWS; i++)
        printf("%s %ld %d\n", rows[i].name, outcomes[i].result, outcomes[i].error);
}

static void quietly(void)
{
    open_world();
    for (int i = 0; i < 3; i++)
        call_all();
    print_all();
}

/* --- before the library has started ----------------------------------------------------------- */

static bool called_early;

static void call_early(int argc, char **argv, char **envp)
{
    if (argc != 2 || strcmp(argv[1], "before_start") != 0)
        return;
    open_world();
    call_all();
    called_early = true;
}

__attribute__((section(".preinit_array"), used)) static void (*const early)(
    int, char **, char **) = call_early;

static void before_start(void)
{
    EXPECT(called_early);
    call_all();
    print_all();
}

/* --- what is refused -------------------------------------------------------------------------- */

#define REFUSED(call)                                         \
    do {                                                      \
        errno = 0;                                            \
        long result_ = (long)(call);                          \
        printf("%s: %ld, errno %d\n", #call, result_, errno); \
    } while (0)

/* More stack than there is address space. */
static pthread_attr_t *too_big(void)
{
    static pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, (size_t)1 << 60);
    return &attributes;
}

/* A number without a descriptor, and arguments that the kernel does not take. */
static void refused(void)
{
    struct pollfd *volatile nowhere = NULL;
    struct msghdr message = {.msg_iovlen = 1};
    struct mmsghdr messages = {.msg_hdr = message};
    struct iovec bad = {(void *)8, 8};
    off_t offset = 0;
    off64_t offset64 = 0;
    socklen_t length = 4;
    int ends[2];
    struct timeval no_time = {0, 0};
    struct timespec not_now = {0, 0}, never = {0, -1};
    sem_t closed;
    EXPECT(sem_init(&closed, 0, 0) == 0 && pthread_mutex_lock(&pause_mutex) == 0);
    fd_set set;
    FD_ZERO(&set);
    FD_SET(777, &set);
    pid_t child;
    for (int round = 0; round < 2; round++) {
        int fd = round == 0 ? -1 : 777;
        REFUSED(read(fd, world.buffer, 1));
        REFUSED(__read_chk(fd, world.buffer, 1, 1));
        REFUSED(readv(fd, &bad, 1));
        REFUSED(recv(fd, world.buffer, 1, 0));
        REFUSED(__recv_chk(fd, world.buffer, 1, 1, 0));
        REFUSED(recvfrom(fd, world.buffer, 1, 0, NULL, NULL));
        REFUSED(__recvfrom_chk(fd, world.buffer, 1, 1, 0, NULL, NULL));
        REFUSED(recvmsg(fd, &message, 0));
        REFUSED(recvmmsg(fd, &messages, 1, 0, NULL));
        REFUSED(write(fd, "x", 1));
        REFUSED(writev(fd, &bad, 1));
        REFUSED(send(fd, "x", 1, 0));
        REFUSED(sendto(fd, "x", 1, 0, NULL, 0));
        REFUSED(sendmsg(fd, &message, 0));
        REFUSED(sendmmsg(fd, &messages, 1, 0));
        REFUSED(sendfile(fd, 0, &offset, 1));
        REFUSED(sendfile64(fd, 0, &offset64, 1));
        REFUSED(splice(fd, NULL, fd, NULL, 1, 0));
        REFUSED(accept(fd, NULL, NULL));
        REFUSED(accept4(fd, NULL, NULL, 0x7fff));
        REFUSED(connect(fd, (struct sockaddr *)&world.address, 16));
        REFUSED(getsockopt(fd, SOL_SOCKET, SO_ERROR, ends, &length));
        REFUSED(shutdown(fd, SHUT_WR));
        REFUSED(close(fd));
        REFUSED(dup(fd));
        REFUSED(dup2(fd, fd));
        REFUSED(dup3(fd, fd, 0));
        REFUSED(fcntl(fd, F_DUPFD, 0));
        REFUSED(fcntl64(fd, F_DUPFD, 0));
        REFUSED(syscall(SYS_close, fd));
        REFUSED(epoll_wait(fd, events, 1, 0));
        REFUSED(epoll_pwait(fd, events, 1, 0, NULL));
        REFUSED(epoll_pwait2(fd, events, 1, NULL, NULL));
        REFUSED(fexecve(fd, true_words, environ));
    }
    REFUSED(close_range(9, 3, 0));
    REFUSED(close_range(3, 9, 0x8000));
    REFUSED(socketpair(AF_INET, SOCK_STREAM, 0, ends));
    REFUSED(poll(nowhere, 1, 0));
    REFUSED(ppoll(nowhere, 1, NULL, NULL));
    REFUSED(select(-1, NULL, NULL, NULL, NULL));
    REFUSED(select(800, &set, NULL, NULL, &no_time));
    REFUSED(pselect(800, &set, NULL, NULL, &not_now, NULL));
    REFUSED(prctl(-1));
    REFUSED(prctl(PR_SET_SECCOMP, 77, 0, 0, 0));
    REFUSED(syscall(-1));
    REFUSED(nanosleep(&never, NULL));
    REFUSED(clock_nanosleep(-77, 0, &moment, NULL));
    REFUSED(sem_timedwait(&closed, &never));
    REFUSED(pthread_cond_timedwait(&pause_condition, &pause_mutex, &never));
    REFUSED(pthread_cond_clockwait(&pause_condition, &pause_mutex, -77, &never));
    REFUSED(dlopen("/nowhere/at/all.so", RTLD_NOW));
    REFUSED(freopen("/nowhere/at/all", "r", stdin));
    REFUSED(freopen64("/nowhere/at/all", "r", stdin));
    REFUSED(execl("/nowhere/at/all", "all", NULL));
    REFUSED(execle("/nowhere/at/all", "all", NULL, environ));
    REFUSED(execlp("nowhere-at-all", "all", NULL));
    REFUSED(execv("/nowhere/at/all", true_words));
    REFUSED(execve("/etc/passwd", true_words, environ));
    REFUSED(execvp("nowhere-at-all", true_words));
    REFUSED(execvpe("", true_words, environ));
    REFUSED(posix_spawn(&child, "/nowhere/at/all", NULL, NULL, true_words, environ));
    REFUSED(posix_spawnp(&child, "nowhere-at-all", NULL, NULL, true_words, environ));
    REFUSED(pthread_create((pthread_t *)&message, too_big(), leave, NULL));
}

/* Each twin must still end a program whose buffer is too small, in glibc's words. */
static void overflows(void)
{
    struct rlimit none = {0, 0};
    EXPECT(setrlimit(RLIMIT_CORE, &none) == 0);
    open_world();
    for (int twin = 0; twin < 5; twin++) {
        pid_t child = fork();
        if (child == 0) {
            EXPECT(dup2(1, 2) == 2);
            if (twin == 0)
                __read_chk(world.seen.client, world.buffer, 2, 1);
            if (twin == 1)
                __recv_chk(world.seen.client, world.buffer, 2, 1, 0);
            if (twin == 2)
                __recvfrom_chk(world.seen.client, world.buffer, 2, 1, 0, NULL, NULL);
            if (twin == 3)
                __poll_chk(ready(), 2, 0, sizeof(struct pollfd));
            if (twin == 4)
                __ppoll_chk(ready(), 2, &second, NULL, sizeof(struct pollfd));
            _exit(1);
        }
        printf("%ld\n", status_of(child));
        fflush(stdout);
    }
}

/* --- threads ---------------------------------------------------------------------------------- */

static void *call_all_on_thread(void *unused)
{
    call_all();
    return unused;
}

static void on_small_stack(void)
{
    pthread_attr_t attributes;
    pthread_t thread;
    open_world();
    pthread_attr_init(&attributes);
    EXPECT(pthread_attr_setstacksize(&attributes, (size_t)sysconf(_SC_THREAD_STACK_MIN)) == 0);
    for (int i = 0; i < 10; i++) {
        EXPECT(pthread_create(&thread, &attributes, call_all_on_thread, NULL) == 0);
        EXPECT(pthread_join(thread, NULL) == 0);
    }
    print_all();
}

static void *call_for_ever(void *unused)
{
    for (;;)
        call_all();
    return unused;
}

static void cancelled(void)
{
    uint64_t seed = 88172645463325252u;
    for (int i = 0; i < 40; i++) {
        pthread_t thread;
        void *result;
        open_world();
        unsigned until =
            __atomic_load_n(&calls, __ATOMIC_RELAXED) + (unsigned)host_below(&seed, 2 * ROWS);
        EXPECT(pthread_create(&thread, NULL, call_for_ever, NULL) == 0);
        while ((int)(__atomic_load_n(&calls, __ATOMIC_RELAXED) - until) < 0)
            sched_yield();
        EXPECT(pthread_cancel(thread) == 0 && pthread_join(thread, &result) == 0);
        EXPECT(result == PTHREAD_CANCELED);

        EXPECT(close_range(3, ~0u, 0) == 0);
    }
    open_world();
    call_all();
    print_all();
}

/* --- signals ---------------------------------------------------------------------------------- */

static struct host_pair other;
static volatile sig_atomic_t handled;

static pid_t storm_thread;

/* A timer's signal may come to a thread of some row as well, and there is but one connection. */
static void exchange_in_handler(int signal)
{
    int saved = errno;
    char buffer[ROOM];
    if (gettid() != storm_thread)
        return;
    EXPECT(send(other.client, request, REQUEST, 0) == REQUEST);
    expect_request(other.server);
    host_raw_write_all(other.server, answer, ANSWER);
    EXPECT(recv(other.client, buffer, ROOM, 0) == ANSWER && close(dup(other.client)) == 0);
    handled++;
    errno = saved;
}

static void handle(int signal, void (*handler)(int))
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};
    EXPECT(sigaction(signal, &action, NULL) == 0);
}

static void storm_begins(int signal)
{
    open_world();
    call_all();
    other = host_connect(false, false);
    storm_thread = gettid();
    handle(signal, exchange_in_handler);
}

static void storm_rages(void)
{
    for (int i = 0; i < 12; i++)
        call_all();
    EXPECT(handled > 0);
    print_all();
}

enum { PERIOD_US = 150 };

static void under_setitimer(void)
{
    struct itimerval often = {{0, PERIOD_US}, {0, PERIOD_US}}, never = {{0, 0}, {0, 0}};
    storm_begins(SIGALRM);
    EXPECT(setitimer(ITIMER_REAL, &often, NULL) == 0);
    storm_rages();
    EXPECT(setitimer(ITIMER_REAL, &never, NULL) == 0);
}

static void under_timer_create(void)
{
    struct itimerspec often = {{0, PERIOD_US * 1000}, {0, PERIOD_US * 1000}};
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + 3};
    timer_t timer;
    storm_begins(SIGRTMIN + 3);
    EXPECT(timer_create(CLOCK_MONOTONIC, &event, &timer) == 0);
    EXPECT(timer_settime(timer, 0, &often, NULL) == 0);
    storm_rages();
    EXPECT(timer_delete(timer) == 0);
}

static bool is_over;

/* The next only after the last was handled, or the thread would never get on. */
static void *kill_often(void *target)
{
    uint64_t seed = 88172645463325252u;
    while (!__atomic_load_n(&is_over, __ATOMIC_ACQUIRE)) {
        sig_atomic_t before = handled;
        EXPECT(sys_call(SYS_tgkill, getpid(), (long)target, SIGUSR2, 0, 0, 0) == 0);
        while (handled == before && !__atomic_load_n(&is_over, __ATOMIC_ACQUIRE))
            sched_yield();
        for (size_t i = host_below(&seed, 20000); i > 0; i--)
            __asm__ volatile("" : : : "memory");
    }
    return NULL;
}

static void under_tgkill(void)
{
    pthread_t thread;
    storm_begins(SIGUSR2);
    EXPECT(pthread_create(&thread, NULL, kill_often, (void *)(long)gettid()) == 0);
    storm_rages();
    __atomic_store_n(&is_over, true, __ATOMIC_RELEASE);
    EXPECT(pthread_join(thread, NULL) == 0);
}

/* --- inside the library ----------------------------------------------------------------------- */

static char body[8 << 20];
static struct host_pair blocked;

static void call_all_in_handler(int signal)
{
    call_all();
    call_all();
    handled++;
}

static void *interrupt_writer(void *target)
{
    static char sink[65536];
    expect_request(blocked.server); /* it is in the call, and stays: the rest does not fit */
    EXPECT(pthread_kill((pthread_t)target, SIGUSR1) == 0);
    while (handled == 0)
        usleep(100);
    while (raw_read(blocked.server, sink, sizeof(sink)) > 0)
        continue;
    return NULL;
}

/* The head gets lines, so the write that the signal interrupts is the library's own call. */
static void inside_the_library(void)
{
    pthread_t thread;
    open_world();
    call_all();
    blocked = host_connect(false, false);
    handle(SIGUSR1, call_all_in_handler);
    EXPECT(sprintf(body, "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n", 9 << 20) > 0);
    EXPECT(pthread_create(&thread, NULL, interrupt_writer, (void *)pthread_self()) == 0);
    for (size_t sent = 0; sent < sizeof(body);) {
        ssize_t went = write(blocked.client, body + sent, sizeof(body) - sent);
        EXPECT(went > 0);
        sent += (size_t)went;
    }
    EXPECT(shutdown(blocked.client, SHUT_WR) == 0); /* ends the draining */
    pthread_join(thread, NULL);
    EXPECT(handled == 1);
    call_all();
    print_all();
}

static const struct host_case cases[] = {
    {"quietly", quietly, "45"},
    {"refused", refused, NULL},
    {"overflows", overflows, NULL},
    {"before_start", before_start, "15"},
    {"on_small_stack", on_small_stack, "150"},
    {"cancelled", cancelled, NULL},
    {"under_setitimer", under_setitimer, NULL},
    {"under_timer_create", under_timer_create, NULL},
    {"under_tgkill", under_tgkill, NULL},
    {"inside_the_library", inside_the_library, "16 CLIENT/200=15 CLIENT/none=1"},
    {NULL, NULL, NULL},
};

int main(int argc, char **argv)
{
    for (size_t i = 0; argc == 2 && i < ROWS; i++)
        if (strcmp(argv[1], "--functions") == 0)
            puts(rows[i].name);
    return argc == 2 && strcmp(argv[1], "--functions") == 0 ? 0 : host_main(cases, argc, argv);
}
