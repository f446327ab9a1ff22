/* SPDX-License-Identifier: Apache-2.0 */
/* Hosts that lock themselves up: filters of system calls, and limits at their smallest. What they
 * asked for must hold, and nothing of ours may run into it. */
#include <fcntl.h>
#include <grp.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "exchange.h"

enum way { BY_PRCTL, BY_NUMBER };

/* read, write and the end of the process; anything else kills. */
static void lock_up(enum way way)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_read, 3, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_write, 2, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof(filter) / sizeof(filter[0]), filter};
    EXPECT(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    if (way == BY_NUMBER)
        EXPECT(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program) ==
               0);
    else
        EXPECT(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
}

static void filtered(enum way way, int before)
{
    struct host_pair pair = host_connect(false, false);
    for (int i = 0; i < before; i++)
        exchange(&pair);
    lock_up(way);
    for (int i = 0; i < 5; i++)
        exchange(&pair);
    exit(0);
}

static void seccomp_prctl(void)
{
    filtered(BY_PRCTL, 1);
}

static void seccomp_number(void)
{
    filtered(BY_NUMBER, 100);
}

static void seccomp_first(void)
{
    filtered(BY_PRCTL, 0);
}

/* A filter refuses before the kernel reads an argument. Installed past libc it is as one that was
 * there before the program. */
static void refused_connect(enum way way)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_connect, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof(filter) / sizeof(filter[0]), filter};
    void *closed = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    EXPECT(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    if (way == BY_PRCTL)
        EXPECT(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
    else
        EXPECT(sys_call(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, (long)&program, 0, 0, 0) == 0);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    EXPECT(connect(fd, closed, sizeof(struct sockaddr_in)) == -1 && errno == EPERM);
    EXPECT(connect(fd, closed, UINT32_MAX) == -1 && errno == EPERM);
    close(fd);
}

static void seccomp_refuses(void)
{
    for (int way = 0; way < 2; way++) {
        pid_t child = fork();
        int status;
        if (child == 0) {
            struct host_pair pair = host_connect(false, false);
            exchange(&pair);
            refused_connect(way == 0 ? BY_PRCTL : BY_NUMBER);
            exit(3);
        }
        EXPECT(waitpid(child, &status, 0) == child && WIFEXITED(status));
        printf("way %d: %d\n", way, WEXITSTATUS(status));
    }
}

/* Strict mode takes the cycle counter as well: who reads the time by it dies of SIGSEGV. */
static void seccomp_strict(void)
{
    for (int way = 0; way < 3; way++) {
        pid_t child = fork();
        int status;
        if (child == 0) {
            struct host_pair pair = host_connect(false, false);
            exchange(&pair);
            if (way == 0)
                EXPECT(prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) == 0);
            if (way == 1)
                EXPECT(syscall(SYS_seccomp, SECCOMP_SET_MODE_STRICT, 0, NULL) == 0);
            if (way == 2)
                EXPECT(syscall(SYS_prctl, PR_SET_SECCOMP, SECCOMP_MODE_STRICT) == 0);
            for (int i = 0; i < 5; i++)
                exchange(&pair);
            syscall(SYS_exit, 0); /* exit_group is forbidden */
        }
        EXPECT(waitpid(child, &status, 0) == child);
        printf("status %d\n", status);
    }
}

#ifdef __x86_64__
/* A host without a cycle counter has its other calls. */
static void without_cycle_counter(void)
{
    exchanges(3);
    EXPECT(prctl(PR_SET_TSC, PR_TSC_SIGSEGV) == 0);
    exchanges(3);
    EXPECT(fork() != 0 || (exchanges(3), _exit(0), true));
    EXPECT(wait(NULL) > 0);
    exchanges(3);
}
#endif

/* The sandbox is on: what it forbids kills, as bare. */
static void seccomp_holds(void)
{
    for (int i = 0; i < 4; i++) {
        pid_t child = fork();
        int status;
        if (child == 0) {
            struct rlimit none = {0, 0};
            EXPECT(setrlimit(RLIMIT_CORE, &none) == 0);
            if (i % 2 == 1)
                exchanges(2);
            lock_up(i / 2 ? BY_PRCTL : BY_NUMBER);
            socket(AF_INET, SOCK_STREAM, 0);
            _exit(0);
        }
        EXPECT(waitpid(child, &status, 0) == child);
        printf("signal %d\n", WTERMSIG(status));
    }
}

static void *locked_up(void *unused)
{
    struct host_pair pair = host_connect(false, false);
    exchange(&pair);
    lock_up(BY_PRCTL);
    for (int i = 0; i < 100; i++)
        exchange(&pair);
    for (;;)
        read(pair.client, &pair, 1); /* a thread cannot end here without more calls */
    return unused;
}

/* A filter of one thread: the others go on. */
static void seccomp_of_one_thread(void)
{
    pthread_t thread;
    exchanges(3);
    EXPECT(pthread_create(&thread, NULL, locked_up, NULL) == 0);
    for (int i = 0; i < 10; i++)
        exchanges(20);
    exit(0);
}

static void limit(int resource, rlim_t value)
{
    struct rlimit limits = {value, value};
    EXPECT(setrlimit(resource, &limits) == 0);
}

static void *nothing(void *unused)
{
    return unused;
}

/* No limit is one for root, so another user's it is: then no thread can be had. */
static void limit_processes(void)
{
    pthread_t thread;
    if (getuid() == 0)
        EXPECT(setgroups(0, NULL) == 0 && setgid(65534) == 0 && setuid(65534) == 0);
    limit(RLIMIT_NPROC, 0);
    exchanges(10);
    EXPECT(fork() == -1 && errno == EAGAIN);
    EXPECT(pthread_create(&thread, NULL, nothing, NULL) == EAGAIN);
}

static void limit_file_size(void)
{
    limit(RLIMIT_FSIZE, 0);
    exchanges(10);
    EXPECT(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
    int file = memfd_create("limited", MFD_CLOEXEC);
    EXPECT(write(file, "x", 1) == -1 && errno == EFBIG);
}

static void limit_files(void)
{
    struct host_pair pair = host_connect(false, false);
    limit(RLIMIT_NOFILE, 3);
    for (int i = 0; i < 5; i++)
        exchange(&pair);
    limit(RLIMIT_NOFILE, 0);
    for (int i = 0; i < 5; i++)
        exchange(&pair);
    EXPECT(dup(1) == -1 && errno == EMFILE);
}

static void limit_memory(void)
{
    struct host_pair pair = host_connect(false, false);
    limit(RLIMIT_AS, 1 << 20);
    for (int i = 0; i < 5; i++)
        exchange(&pair);
}

static const struct host_case cases[] = {
    {"seccomp_prctl", seccomp_prctl, "1"},
    {"seccomp_number", seccomp_number, "100"},
    {"seccomp_first", seccomp_first, NULL},
    {"seccomp_refuses", seccomp_refuses, "2"},
    {"seccomp_strict", seccomp_strict, "3"},
#ifdef __x86_64__
    {"without_cycle_counter", without_cycle_counter, "3"},
#endif
    {"seccomp_holds", seccomp_holds, "4"},
    {"seccomp_of_one_thread", seccomp_of_one_thread, NULL},
    {"limit_processes", limit_processes, "0 exporter.thread_refused=1"},
    {"limit_file_size", limit_file_size, NULL},
    {"limit_files", limit_files, NULL},
    {"limit_memory", limit_memory, NULL},
    {NULL, NULL, NULL},
};

int main(int argc, char **argv)
{
    return host_main(cases, argc, argv);
}
