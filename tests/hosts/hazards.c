/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What preloaded libraries have broken in real programs, one function each. A hazard ends with
 * status 0 and the same output whether or not the library is there.
 *
 *     hazards --list      names, and how many spans each must leave behind
 *     hazards NAME
 */
#include <fcntl.h>
#include <linux/seccomp.h>
#include <linux/filter.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "host.h"

extern char **environ;

static const char request[] = "GET /hazard HTTP/1.1\r\nHost: h\r\n\r\n";
static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/* One request through hooked calls, the answer by the peer past libc. */
static void exchange(const struct host_pair *pair)
{
    char buffer[1024];
    EXPECT(write(pair->client, request, sizeof(request) - 1) == sizeof(request) - 1);
    size_t got = 0;
    while (memmem(buffer, got, "\r\n\r\n", 4) == NULL) {
        long more = raw_read(pair->server, buffer + got, sizeof(buffer) - got);
        EXPECT(more > 0 || more == -EINTR);
        got += more > 0 ? (size_t)more : 0;
    }
    EXPECT(raw_write(pair->server, answer, sizeof(answer) - 1) == sizeof(answer) - 1);
    for (got = 0; got < sizeof(answer) - 1;) {
        ssize_t more = read(pair->client, buffer + got, sizeof(buffer) - got);
        EXPECT(more > 0 || errno == EINTR);
        got += more > 0 ? (size_t)more : 0;
    }
    EXPECT(memcmp(buffer, answer, got) == 0);
}

static void finish(const struct host_pair *pair)
{
    EXPECT(close(pair->client) == 0 && close(pair->server) == 0);
}

static void exchanges_of(int count)
{
    struct host_pair pair = host_connect(false, false);
    for (int i = 0; i < count; i++)
        exchange(&pair);
    finish(&pair);
}

static void exchanges(void)
{
    exchanges_of(10);
}

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
        exchanges_of(100);
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
        exchanges_of(100);
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
    exchanges_of(5);
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

/* --- sandboxes and limits -----------------------------------------------------------------------
 */

static void after_filter(void)
{
    struct host_pair pair = host_connect(false, false);
    exchange(&pair);
    EXPECT(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    /* read, write, close, exit_group, exit; anything else kills. */
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_read, 5, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_write, 4, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_close, 3, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 2, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof(filter) / sizeof(filter[0]), filter};
    bool by_number = getenv("BY_NUMBER") != NULL;
    if (by_number)
        EXPECT(syscall(SYS_seccomp, 1, 1 /* all threads */, &program) == 0);
    else
        EXPECT(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
    for (int i = 0; i < 5; i++)
        exchange(&pair);
    finish(&pair);
    _exit(0);
}

static void seccomp_prctl(void)
{
    after_filter();
}

static void seccomp_number(void)
{
    setenv("BY_NUMBER", "1", 1);
    after_filter();
}

static void limit(int resource, rlim_t value)
{
    struct rlimit limits = {value, value};
    EXPECT(setrlimit(resource, &limits) == 0);
}

static void limit_processes(void)
{
    limit(RLIMIT_NPROC, 0);
    exchanges();
}

static void limit_file_size(void)
{
    limit(RLIMIT_FSIZE, 0);
    exchanges();
}

static void limit_files(void)
{
    struct host_pair pair = host_connect(false, false);
    limit(RLIMIT_NOFILE, 3);
    for (int i = 0; i < 5; i++)
        exchange(&pair);
}

static void limit_memory(void)
{
    struct host_pair pair = host_connect(false, false);
    limit(RLIMIT_AS, 1 << 20);
    for (int i = 0; i < 5; i++)
        exchange(&pair);
}

/* --- descriptors --------------------------------------------------------------------------------
 */

static void close_everything(void)
{
    exchanges();
    EXPECT(close_range(3, ~0u, 0) == 0);
    exchanges();
    closefrom(3);
    exchanges();
    for (int fd = 3; fd < 200; fd++)
        EXPECT(close(fd) == -1 && errno == EBADF);
    for (int fd = 3; fd < 100; fd++)
        EXPECT(dup2(1, fd) == fd);
    exchanges();
}

static void lowest_descriptor(void)
{
    int before = dup(0);
    close(before);
    exchanges();
    int after = dup(0);
    EXPECT(before == after);
    close(0);
    EXPECT(open("/dev/null", O_RDONLY) == 0);
    close(0);
    close(2);
    exchanges();
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

/* --- processes ----------------------------------------------------------------------------------
 */

static void wait_for(pid_t child)
{
    int status;
    pid_t got;
    do
        got = waitpid(child, &status, 0);
    while (got < 0 && errno == EINTR);
    EXPECT(got == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void *exchange_on(void *count)
{
    exchanges_of((int)(intptr_t)count);
    return NULL;
}

static void forks(void)
{
    pthread_t threads[2];
    for (int i = 0; i < 2; i++)
        pthread_create(&threads[i], NULL, exchange_on, (void *)500);
    for (int i = 0; i < 20; i++) {
        pid_t child = fork();
        if (child == 0) {
            exchanges_of(1);
            _exit(0);
        }
        wait_for(child);
    }
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
}

/* The child's first observed calls are made by several threads at once. */
static void forked_threads(void)
{
    exchanges_of(1);
    for (int i = 0; i < 10; i++) {
        pid_t child = fork();
        if (child == 0) {
            pthread_t threads[4];
            for (int t = 0; t < 4; t++)
                pthread_create(&threads[t], NULL, exchange_on, (void *)5);
            for (int t = 0; t < 4; t++)
                pthread_join(threads[t], NULL);
            exit(0);
        }
        wait_for(child);
    }
}

static void vforks(void)
{
    struct host_pair pair = host_connect(false, false);
    exchange(&pair);
    for (int i = 0; i < 10; i++) {
        pid_t child = vfork();
        if (child == 0) {
            close(pair.client);
            dup2(1, pair.server);
            close_range(3, ~0u, 0);
            execl("/bin/true", "true", NULL);
            _exit(1);
        }
        wait_for(child);
        exchange(&pair);
    }
    char *arguments[] = {"true", NULL};
    pid_t child;
    EXPECT(posix_spawn(&child, "/bin/true", NULL, NULL, arguments, environ) == 0);
    wait_for(child);
    EXPECT(system("exit 0") == 0);
    FILE *file = popen("echo spoken", "r");
    char line[32];
    EXPECT(fgets(line, sizeof(line), file) && pclose(file) == 0);
    fputs(line, stdout);
    exchange(&pair);
    finish(&pair);
}

static void ends_anyhow(void)
{
    for (int i = 0; i < 24; i++) {
        pid_t child = fork();
        if (child == 0) {
            pthread_t thread;
            pthread_create(&thread, NULL, exchange_on, (void *)100000);
            usleep((useconds_t)(i * 300));
            if (i % 4 == 0)
                _exit(0);
            if (i % 4 == 1)
                quick_exit(0);
            if (i % 4 == 2)
                kill(getpid(), SIGKILL);
            execl("/bin/true", "true", NULL);
        }
        int status;
        EXPECT(waitpid(child, &status, 0) == child);
    }
}

/* --- threads ------------------------------------------------------------------------------------
 */

static void *small_stack(void *unused)
{
    exchanges_of(3);
    return unused;
}

static void small_stacks(void)
{
    pthread_attr_t attributes;
    pthread_t thread;
    pthread_attr_init(&attributes);
    EXPECT(pthread_attr_setstacksize(&attributes, 16384) == 0);
    for (int i = 0; i < 500; i++) {
        EXPECT(pthread_create(&thread, i % 2 ? &attributes : NULL, small_stack, NULL) == 0);
        pthread_join(thread, NULL);
    }
}

static void *blocked_read(void *fd)
{
    char byte;
    (void)!read(*(int *)fd, &byte, 1);
    return NULL;
}

static void cancels(void)
{
    for (int i = 0; i < 50; i++) {
        struct host_pair pair = host_connect(false, false);
        pthread_t thread;
        void *result;
        pthread_create(&thread, NULL, blocked_read, &pair.client);
        usleep(200);
        pthread_cancel(thread);
        pthread_join(thread, &result);
        EXPECT(result == PTHREAD_CANCELED);
        exchange(&pair);
        finish(&pair);
    }
}

static void *blocked_write(void *pair)
{
    static char body[8 << 20];
    int head = sprintf(body, "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n", 9 << 20);
    EXPECT(head > 0);
    for (;;)
        EXPECT(write(((struct host_pair *)pair)->client, body, sizeof(body)) > 0);
}

/* The write gets lines, so it is the library's own call that the thread dies in. */
static void cancelled_in_write(void)
{
    struct host_pair pair = host_connect(false, false);
    pthread_t thread;
    void *result;
    char byte;
    EXPECT(pthread_create(&thread, NULL, blocked_write, &pair) == 0);
    EXPECT(raw_read(pair.server, &byte, 1) == 1);
    EXPECT(pthread_cancel(thread) == 0 && pthread_join(thread, &result) == 0);
    EXPECT(result == PTHREAD_CANCELED);
    finish(&pair);
    exchanges();
    EXPECT(pthread_create(&thread, NULL, exchange_on, (void *)10) == 0);
    EXPECT(pthread_join(thread, NULL) == 0);
}

/* A request that finds no room is sent again, or given up; what follows is traced as ever. */
static void no_room_for_a_request(void)
{
    static char filler[65536];
    struct host_pair pair;
    for (int i = 0; i < 4; i++) {
        long went, filled = 0;
        pair = host_connect(false, false);
        EXPECT(fcntl(pair.client, F_SETFL, O_NONBLOCK) == 0);
        while ((went = raw_write(pair.client, filler, sizeof(filler))) > 0)
            filled += went;
        for (int j = 0; j < 3; j++)
            EXPECT(write(pair.client, request, sizeof(request) - 1) == -1 && errno == EAGAIN);
        EXPECT(fcntl(pair.client, F_SETFL, 0) == 0);
        for (; i % 2 == 0 && filled > 0; filled -= went)
            EXPECT((went = raw_read(pair.server, filler, sizeof(filler))) > 0);
        if (i % 2 == 0)
            exchange(&pair);
        finish(&pair);
    }
    exchanges();
}

static struct host_pair duplex;
enum { DUPLEX_REQUESTS = 2000 };

static void *duplex_reader(void *count)
{
    static char buffer[65536];
    size_t wanted = DUPLEX_REQUESTS * (sizeof(answer) - 1);
    while (wanted > 0) {
        ssize_t got = read(duplex.client, buffer, 1 + wanted % 97);
        EXPECT(got > 0);
        wanted -= (size_t)got;
        size_t left = (wanted + sizeof(answer) - 2) / (sizeof(answer) - 1);
        __atomic_store_n((int *)count, DUPLEX_REQUESTS - (int)left, __ATOMIC_RELEASE);
    }
    return NULL;
}

static void *duplex_peer(void *unused)
{
    static char buffer[65536];
    unsigned lines = 0;
    int answered = 0;
    while (answered < DUPLEX_REQUESTS) {
        long got = raw_read(duplex.server, buffer, sizeof(buffer));
        EXPECT(got > 0);
        for (long i = 0; i < got; i++) {
            lines += buffer[i] == '\n';
            static char last[4];
            memmove(last, last + 1, 3);
            last[3] = buffer[i];
            if (memcmp(last, "\r\n\r\n", 4) != 0)
                continue;
            EXPECT(raw_write(duplex.server, answer, sizeof(answer) - 1) == sizeof(answer) - 1);
            answered++;
        }
    }
    EXPECT(lines == (host_is_traced() ? 4u : 3u) * DUPLEX_REQUESTS);
    return unused;
}

/* One thread reads what another writes for, and neither waits for the other. */
static void full_duplex(void)
{
    pthread_t reader, peer;
    static int answered;
    duplex = host_connect(false, false);
    pthread_create(&reader, NULL, duplex_reader, &answered);
    pthread_create(&peer, NULL, duplex_peer, NULL);
    for (int i = 0; i < DUPLEX_REQUESTS; i++) {
        while (i > __atomic_load_n(&answered, __ATOMIC_ACQUIRE) + 10)
            usleep(10);
        EXPECT(write(duplex.client, request, sizeof(request) - 1) == sizeof(request) - 1);
    }
    pthread_join(peer, NULL);
    pthread_join(reader, NULL);
    finish(&duplex);
}

static void closed_by_another(void)
{
    for (int i = 0; i < 300; i++) {
        pthread_t thread;
        int fds[1];
        struct host_pair pair = host_connect(false, false);
        fds[0] = pair.client;
        pthread_create(&thread, NULL, blocked_read, fds);
        usleep((useconds_t)(i % 5 * 20));
        close(pair.client);
        close(pair.server); /* ends the read */
        pthread_join(thread, NULL);
    }
    exchanges();
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

static void host_state(void)
{
    sigset_t before, after;
    pthread_sigmask(SIG_SETMASK, NULL, &before);
    exchanges();
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

static const struct {
    const char *name;
    void (*run)(void);
    int spans; /* -1: not counted */
} hazards[] = {
    {"exchanges", exchanges, 10},
    {"page_end", page_end, -1},
    {"refused_arguments", refused_arguments, -1},
    {"errno_stays", errno_stays, 20},
    {"busy_handler", busy_handler, 2000},
    {"alternate_stack", alternate_stack, 1000},
    {"jumps_out", jumps_out, 10},
    {"jumps_out_of_write", jumps_out_of_write, -1},
    {"seccomp_prctl", seccomp_prctl, -1},
    {"seccomp_number", seccomp_number, -1},
    {"limit_processes", limit_processes, -1},
    {"limit_file_size", limit_file_size, -1},
    {"limit_files", limit_files, -1},
    {"limit_memory", limit_memory, -1},
    {"close_everything", close_everything, 40},
    {"lowest_descriptor", lowest_descriptor, 20},
    {"high_descriptor", high_descriptor, 10},
    {"forks", forks, 1020},
    {"forked_threads", forked_threads, 201},
    {"vforks", vforks, 12},
    {"ends_anyhow", ends_anyhow, -1},
    {"small_stacks", small_stacks, 1500},
    {"cancels", cancels, 50},
    {"cancelled_in_write", cancelled_in_write, 20},
    {"no_room_for_a_request", no_room_for_a_request, 12},
    {"full_duplex", full_duplex, DUPLEX_REQUESTS},
    {"closed_by_another", closed_by_another, 10},
    {"other_protocols", other_protocols, -1},
    {"special_sends", special_sends, -1},
    {"host_state", host_state, 10},
};

static void list(void)
{
    for (size_t i = 0; i < sizeof(hazards) / sizeof(hazards[0]); i++)
        if (hazards[i].spans < 0)
            printf("%s\n", hazards[i].name);
        else
            printf("%s %d\n", hazards[i].name, hazards[i].spans);
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "--list") == 0) {
        list();
        return 0;
    }
    for (size_t i = 0; i < sizeof(hazards) / sizeof(hazards[0]) && argc == 2; i++)
        if (strcmp(argv[1], hazards[i].name) == 0) {
            hazards[i].run();
            return 0;
        }
    return 2;
}
