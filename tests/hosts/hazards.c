/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What preloaded libraries have broken in real programs, one function each. A hazard ends with
 * status 0 and the same output whether or not the library is there.
 */
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/time.h>
#include <sys/uio.h>

#include "exchange.h"

static void page_end(void)
{
    uint8_t *pages = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct host_pair pair = host_connect(false, false);
    EXPECT(mprotect(pages + 4096, 4096, PROT_NONE) == 0);
    for (size_t size = 1; size < sizeof(request) - 1; size++) {
        uint8_t *edge = pages + 4096 - size;
        memcpy(edge, request, size);
        EXPECT(send(pair.client, edge, size, 0) == (ssize_t)size);
        finish(&pair);
        pair = host_connect(false, false);
        EXPECT(raw_write(pair.server, "H", 1) == 1);
        EXPECT(recv(pair.client, pages + 4095, 1, 0) == 1);
    }
    struct sockaddr_storage address;
    socklen_t length, room = 2;
    int listener = host_listen(false, &address, &length);
    int client = socket(AF_INET, SOCK_STREAM, 0);
    EXPECT(connect(client, (struct sockaddr *)&address, length) == 0);
    EXPECT(accept(listener, (struct sockaddr *)(pages + 4094), &room) >= 0);
    EXPECT(room == sizeof(struct sockaddr_in));
    finish(&pair);
}

/* Arguments that the kernel refuses must not be looked at before it. */
static void refused_arguments(void)
{
    struct host_pair pair = host_connect(false, false);
    exchange(&pair);
    int fd = pair.client;
    void *volatile bad = NULL;
    volatile int none = -1;
    EXPECT(write(fd, bad, 10) == -1 && errno == EFAULT);
    EXPECT(send(fd, bad, 10, 0) == -1 && errno == EFAULT);
    EXPECT(writev(fd, bad, 3) == -1 && errno == EFAULT);
    EXPECT(writev(fd, bad, none) == -1 && errno == EINVAL);
    EXPECT(sendmsg(fd, bad, 0) == -1 && errno == EFAULT);
    struct iovec iov = {(void *)request, REQUEST};
    struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
    EXPECT(sendmsg(fd, &message, INT_MIN) == -1 && errno == EINVAL); /* MSG_CMSG_COMPAT */
    EXPECT(recvmsg(fd, bad, MSG_DONTWAIT) == -1 && errno == EFAULT);
    EXPECT(raw_write(pair.server, "x", 1) == 1);
    EXPECT(readv(fd, bad, 3) == -1 && errno == EFAULT);
    EXPECT(poll(bad, 2, 0) == -1 && errno == EFAULT);
    int other = socket(AF_INET, SOCK_STREAM, 0);
    EXPECT(connect(other, bad, 16) == -1 && errno == EFAULT);
    EXPECT(close(-1) == -1 && errno == EBADF);
    EXPECT(dup2(fd, -1) == -1 && errno == EBADF);
    finish(&pair);
}

static void errno_stays(void)
{
    struct host_pair pair = host_connect(false, false);
    for (int i = 0; i < 20; i++) {
        errno = 4711;
        exchange(&pair);
        EXPECT(errno == 4711);
    }
    errno = 4711;
    finish(&pair);
    EXPECT(errno == 4711);
}

/* --- signals ---------------------------------------------------------------------------------- */

static int handler_pipe[2];
static volatile sig_atomic_t handled;

static void noisy_handler(int signal)
{
    char byte;
    int saved = errno;
    EXPECT(write(handler_pipe[1], "x", 1) == 1);
    EXPECT(read(handler_pipe[0], &byte, 1) == 1);
    int fd = open("/dev/null", O_RDONLY);
    EXPECT(fd >= 0 && close(fd) == 0);
    handled++;
    errno = saved;
}

static void every(long us, void (*handler)(int), int flags)
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = flags};
    struct itimerval timer = {{0, us}, {0, us}};
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &timer, NULL);
}

static void quiet(void)
{
    struct itimerval none = {{0, 0}, {0, 0}};
    setitimer(ITIMER_REAL, &none, NULL);
}

static void busy_handler(void)
{
    EXPECT(pipe(handler_pipe) == 0);
    every(60, noisy_handler, SA_RESTART);
    for (int i = 0; i < 20; i++)
        exchanges(100);
    quiet();
    EXPECT(handled > 0);
}

static void alternate_stack(void)
{
    static char memory[8192];
    stack_t stack = {.ss_sp = memory, .ss_size = sizeof(memory)};
    EXPECT(sigaltstack(&stack, NULL) == 0 && pipe(handler_pipe) == 0);
    every(100, noisy_handler, SA_RESTART | SA_ONSTACK);
    for (int i = 0; i < 10; i++)
        exchanges(100);
    quiet();
}

static sigjmp_buf jump;

static void jump_out(int signal)
{
    siglongjmp(jump, 1);
}

/* Uses the stack below its caller. */
__attribute__((noinline)) static void deeper(int levels, void (*work)(void))
{
    volatile char room[256];
    memset((char *)room, levels, sizeof(room));
    if (levels == 0)
        work();
    else
        deeper(levels - 1, work);
    EXPECT(room[0] == (char)levels);
}

static void five_exchanges(void)
{
    exchanges(5);
}

static void jumps_out(void)
{
    struct sigaction action = {.sa_handler = jump_out, .sa_flags = SA_NODEFER};
    struct host_pair pair = host_connect(false, false);
    char byte;
    sigaction(SIGALRM, &action, NULL);
    for (int i = 0; i < 3; i++) {
        struct itimerval soon = {{0, 0}, {0, 2000}};
        if (sigsetjmp(jump, 1) == 0) {
            setitimer(ITIMER_REAL, &soon, NULL);
            for (;;)
                (void)!read(pair.client, &byte, 1);
        }
    }
    for (int i = 0; i < 5; i++)
        exchange(&pair);
    finish(&pair);
    deeper(20, five_exchanges);
}

/* The jump leaves a write that was making a system call of the library's. */
static void jumps_out_of_write(void)
{
    struct sigaction action = {.sa_handler = jump_out, .sa_flags = SA_NODEFER};
    static char body[4 << 20];
    struct host_pair pair = host_connect(false, false);
    struct itimerval soon = {{0, 0}, {0, 20000}};
    int used =
        sprintf(body, "POST /big HTTP/1.1\r\nHost: h\r\nContent-Length: %zu\r\n\r\n", sizeof(body));
    EXPECT(used > 0);
    sigaction(SIGALRM, &action, NULL);
    if (sigsetjmp(jump, 1) == 0) {
        setitimer(ITIMER_REAL, &soon, NULL);
        for (;;)
            EXPECT(write(pair.client, body, sizeof(body)) > 0);
    }
    deeper(20, five_exchanges);
    finish(&pair);
}

/* --- descriptors --------------------------------------------------------------------------------
 */

static void close_everything(void)
{
    exchanges(10);
    EXPECT(close_range(3, ~0u, 0) == 0);
    exchanges(10);
    closefrom(3);
    exchanges(10);
    for (int fd = 3; fd < 200; fd++)
        EXPECT(close(fd) == -1 && errno == EBADF);
    for (int fd = 3; fd < 100; fd++)
        EXPECT(dup2(1, fd) == fd);
    exchanges(10);
}

static void lowest_descriptor(void)
{
    int before = dup(0);
    close(before);
    exchanges(10);
    int after = dup(0);
    EXPECT(before == after);
    close(0);
    EXPECT(open("/dev/null", O_RDONLY) == 0);
    close(0);
    close(2);
    exchanges(10);
    EXPECT(open("/dev/null", O_RDONLY) == 0);
}

static void high_descriptor(void)
{
    struct host_pair pair = host_connect(false, false);
    int high = fcntl(pair.client, F_DUPFD, 2000);
    EXPECT(high >= 2000);
    close(pair.client);
    pair.client = high;
    for (int i = 0; i < 10; i++)
        exchange(&pair);
    finish(&pair);
}

/* --- what is not ours ---------------------------------------------------------------------------
 */

static void untouched_bytes(const char *bytes, size_t length, bool visible_server)
{
    struct host_pair pair = host_connect(false, visible_server);
    char got[512];
    EXPECT(send(pair.client, bytes, length, 0) == (ssize_t)length);
    EXPECT(raw_read(pair.server, got, sizeof(got)) == (long)length);
    EXPECT(memcmp(got, bytes, length) == 0);
    finish(&pair);
}

static void other_protocols(void)
{
    static const char *const texts[] = {"get key\r\n", "set a 0 0 1\r\nx\r\n", "GET /nothing",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "EHLO me\r\n", "*1\r\n$4\r\nPING\r\n", "GET key\r\n",
        "GET / HTTP/1.1\r\ntraceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n"
        "\r\n"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        untouched_bytes(texts[i], strlen(texts[i]), false);
    untouched_bytes("\x16\x03\x01\x00\x05hello", 10, false);
    untouched_bytes("\0\0\0\x10GET / HTTP/1.1\r\n\r\n", 22, false);
    untouched_bytes("HTTP/1.1 200 OK\r\n\r\n", 19, true);
}

static void special_sends(void)
{
    struct host_pair pair = host_connect(true, false);
    char control[CMSG_SPACE(sizeof(int))] = {0}, got[512];
    struct iovec iov = {(void *)request, sizeof(request) - 1};
    struct msghdr message = {.msg_iov = &iov,
        .msg_iovlen = 1,
        .msg_control = control,
        .msg_controllen = sizeof(control)};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    *header = (struct cmsghdr){
        .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(int))};
    memcpy(CMSG_DATA(header), &pair.client, sizeof(int));
    EXPECT(sendmsg(pair.client, &message, 0) == sizeof(request) - 1);
    EXPECT(raw_read(pair.server, got, sizeof(got)) == sizeof(request) - 1);
    EXPECT(memcmp(got, request, sizeof(request) - 1) == 0);
    finish(&pair);
    pair = host_connect(false, false);
    EXPECT(send(pair.client, request, sizeof(request) - 1, MSG_OOB) == sizeof(request) - 1);
    EXPECT(raw_read(pair.server, got, sizeof(got)) == sizeof(request) - 2);
    finish(&pair);
}

/* No timer and no signal of ours ends a wait of the host, however busy the exporter is. */
static void waits_undisturbed(void)
{
    pthread_t threads[2];
    struct pollfd pipe_end = {.events = POLLIN};
    struct epoll_event event = {.events = EPOLLIN};
    struct timespec nap = {0, 30000000};
    int ends[2], epoll = epoll_create1(0);
    EXPECT(pipe(ends) == 0 && epoll_ctl(epoll, EPOLL_CTL_ADD, ends[0], &event) == 0);
    pipe_end.fd = ends[0];
    for (int i = 0; i < 2; i++)
        EXPECT(pthread_create(&threads[i], NULL, exchanges_on_thread, (void *)3000) == 0);
    for (int i = 0; i < 10; i++) {
        EXPECT(epoll_wait(epoll, &event, 1, 30) == 0);
        EXPECT(poll(&pipe_end, 1, 30) == 0);
        EXPECT(nanosleep(&nap, NULL) == 0);
    }
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    for (int which = ITIMER_REAL; which <= ITIMER_PROF; which++) {
        struct itimerval timer;
        EXPECT(getitimer(which, &timer) == 0 && timer.it_value.tv_usec == 0);
        EXPECT(timer.it_value.tv_sec == 0);
    }
}

/* What the kernel says is there to read is what a read gives, on both sides of a connection. */
static void counts_are_true(void)
{
    struct host_pair pair = host_connect(false, true);
    char buffer[1024];
    int queued;
    for (int i = 0; i < 5; i++) {
        EXPECT(write(pair.client, request, REQUEST) == REQUEST);
        EXPECT(ioctl(pair.server, FIONREAD, &queued) == 0 && queued >= REQUEST);
        EXPECT(recv(pair.server, buffer, sizeof(buffer), MSG_PEEK) == queued);
        EXPECT(read(pair.server, buffer, 10) == 10);
        EXPECT(read(pair.server, buffer, sizeof(buffer)) == queued - 10);
        EXPECT(ioctl(pair.server, FIONREAD, &queued) == 0 && queued == 0);
        EXPECT(write(pair.server, answer, ANSWER) == ANSWER);
        EXPECT(ioctl(pair.client, FIONREAD, &queued) == 0 && queued == ANSWER);
        EXPECT(read(pair.client, buffer, sizeof(buffer)) == ANSWER);
    }
    finish(&pair);
}

static void host_state(void)
{
    sigset_t before, after;
    memset(&before, 0, sizeof(before)); /* the kernel fills a part */
    memset(&after, 0, sizeof(after));
    pthread_sigmask(SIG_SETMASK, NULL, &before);
    exchanges(10);
    pthread_sigmask(SIG_SETMASK, NULL, &after);
    EXPECT(memcmp(&before, &after, sizeof(before)) == 0);
    for (int signal = 1; signal < 65; signal++) {
        struct sigaction action;
        if (signal == 32 || signal == 33 || sigaction(signal, NULL, &action) != 0)
            continue;
        /* Some may be ignored from the start (nohup); the bare run prints the same. */
        EXPECT(action.sa_handler == SIG_DFL || action.sa_handler == SIG_IGN);
        printf("%d %s\n", signal, action.sa_handler == SIG_IGN ? "ignored" : "default");
    }
    FILE *maps = fopen("/proc/self/maps", "r");
    char line[512];
    while (fgets(line, sizeof(line), maps))
        EXPECT(strstr(line, "[stack]") == NULL || strstr(line, "rw-p") != NULL);
    fclose(maps);
}

/* A loop begins without what was known of the one that had its number, even where all are isolated:
 * what is ready is found by its first look. */
static void loops_anew(void)
{
    struct host_pair pair = host_connect(false, false);
    exchange(&pair);
    int ready[2];
    EXPECT(pipe(ready) == 0 && raw_write(ready[1], "x", 1) == 1);
    for (int i = 0; i < 4; i++) {
        int epoll = epoll_create1(EPOLL_CLOEXEC);
        struct epoll_event event = {.events = EPOLLIN, .data.fd = ready[0]};
        EXPECT(epoll_ctl(epoll, EPOLL_CTL_ADD, ready[0], &event) == 0);
        EXPECT(epoll_wait(epoll, &event, 1, 0) == 1);
        for (int turn = 0; turn < 2; turn++)
            EXPECT(epoll_wait(epoll, &event, 1, 1000) == 1);
        EXPECT(i % 2 == 0 ? close(epoll) == 0 : dup2(ready[1], epoll) == epoll);
        if (i % 2 == 1)
            EXPECT(close(epoll) == 0);
    }
    EXPECT(close(ready[0]) == 0 && close(ready[1]) == 0);
    finish(&pair);
}

/* A file is put at a connection's number by a call that only the kernel sees, or by syscall(): what
 * looks like requests is written to it as it is. */
static void replaced_unseen(void)
{
    for (int i = 0; i < 2; i++) {
        struct host_pair pair = host_connect(false, false);
        exchange(&pair);
        int file = memfd_create("replaced", 0);
        long put = i == 0 ? sys_call(SYS_dup3, file, pair.client, 0, 0, 0, 0)
                          : syscall(SYS_dup3, file, pair.client, 0);
        EXPECT(put == pair.client);
        for (int j = 0; j < 2; j++)
            EXPECT(write(pair.client, request, REQUEST) == REQUEST);
        EXPECT(lseek(file, 0, SEEK_END) == 2 * REQUEST);
        EXPECT(close(file) == 0);
        EXPECT(close(pair.client) == 0 && close(pair.server) == 0);
    }
}

/* Requests of one call to a peer that has closed: its RST must not come between them. */
static void after_the_peer(void)
{
    struct host_pair pair = host_connect(false, false);
    char all[3 * REQUEST];
    exchange(&pair);
    EXPECT(close(pair.server) == 0);
    for (int i = 0; i < 3; i++)
        memcpy(all + i * REQUEST, request, REQUEST);
    EXPECT(send(pair.client, all, sizeof(all), MSG_EOR | MSG_NOSIGNAL) == sizeof(all));
    EXPECT(close(pair.client) == 0);
}

static void ten_exchanges(void)
{
    exchanges(10);
}

static const struct host_case cases[] = {
    {"exchanges", ten_exchanges, "10"},
    {"page_end", page_end, NULL},
    {"refused_arguments", refused_arguments, NULL},
    {"errno_stays", errno_stays, "20"},
    {"busy_handler", busy_handler, "2000"},
    {"alternate_stack", alternate_stack, "1000"},
    {"jumps_out", jumps_out, "10"},
    {"jumps_out_of_write", jumps_out_of_write, NULL},
    {"close_everything", close_everything, "40"},
    {"lowest_descriptor", lowest_descriptor, "20"},
    {"high_descriptor", high_descriptor, "10"},
    {"other_protocols", other_protocols, NULL},
    {"special_sends", special_sends, NULL},
    {"waits_undisturbed", waits_undisturbed, "6000"},
    {"counts_are_true", counts_are_true, "10"},
    {"host_state", host_state, "10"},
    {"loops_anew", loops_anew, NULL},
    {"replaced_unseen", replaced_unseen, NULL},
    {"after_the_peer", after_the_peer, NULL},
    {NULL, NULL, NULL},
};

int main(int argc, char **argv)
{
    return host_main(cases, argc, argv);
}
