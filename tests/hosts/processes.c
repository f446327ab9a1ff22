/* SPDX-License-Identifier: Apache-2.0 */
/* How processes come from one another: fork at any moment, vfork, clone, daemon, exec, jails. */
#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <sys/time.h>
#include <sys/wait.h>

#include "exchange.h"

extern char **environ;

static void wait_for(pid_t child)
{
    int status;
    pid_t got;
    do
        got = waitpid(child, &status, 0);
    while (got < 0 && errno == EINTR);
    EXPECT(got == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void forks(void)
{
    pthread_t threads[2];
    for (int i = 0; i < 2; i++)
        pthread_create(&threads[i], NULL, exchanges_on_thread, (void *)500);
    for (int i = 0; i < 20; i++) {
        pid_t child = fork();
        if (child == 0) {
            exchanges(1);
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
    exchanges(1);
    for (int i = 0; i < 10; i++) {
        pid_t child = fork();
        if (child == 0) {
            pthread_t threads[4];
            for (int t = 0; t < 4; t++)
                pthread_create(&threads[t], NULL, exchanges_on_thread, (void *)5);
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
            pthread_create(&thread, NULL, exchanges_on_thread, (void *)100000);
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

/* Two threads fork while two others are at work and the exporter is busy. */
static void *forks_often(void *count)
{
    for (int i = 0; i < (int)(intptr_t)count; i++) {
        pid_t child = fork();
        if (child == 0) {
            exchanges(1);
            if (i % 2 == 0)
                exit(0);
            _exit(0);
        }
        wait_for(child);
    }
    return NULL;
}

static void forks_in_threads(void)
{
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        EXPECT(pthread_create(&threads[i], NULL, i % 2 ? forks_often : exchanges_on_thread,
                   (void *)(i % 2 ? 20L : 500L)) == 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
}

static volatile sig_atomic_t forked;

static void fork_in_handler(int signal)
{
    int saved = errno;
    pid_t child = forked < 20 ? fork() : -1;
    if (child == 0) {
        exchanges(1);
        _exit(0);
    }
    if (child > 0) {
        wait_for(child);
        forked++;
    }
    errno = saved;
}

static void forks_in_handlers(void)
{
    struct sigaction action = {.sa_handler = fork_in_handler, .sa_flags = SA_RESTART};
    struct itimerval often = {{0, 1000}, {0, 1000}}, never = {{0, 0}, {0, 0}};
    EXPECT(sigaction(SIGALRM, &action, NULL) == 0);
    EXPECT(setitimer(ITIMER_REAL, &often, NULL) == 0);
    while (forked < 20)
        exchanges(20);
    EXPECT(setitimer(ITIMER_REAL, &never, NULL) == 0);
}

/* The child of CLONE_VM is at work in our memory, as a thread or in our place. */
static int child_of_clone(void *fd)
{
    EXPECT(close(*(int *)fd) == 0 && dup2(1, *(int *)fd) == *(int *)fd);
    EXPECT(write(*(int *)fd, "cloned\n", 7) == 7);
    _exit(0);
}

static void clones(void)
{
    static const int flags[] = {SIGCHLD, CLONE_VM | CLONE_VFORK | SIGCHLD, CLONE_VM | SIGCHLD};
    static char stack[64 * 1024] __attribute__((aligned(16)));
    exchanges(1);
    for (int i = 0; i < 9; i++) {
        struct host_pair pair = host_connect(false, false);
        exchange(&pair);
        wait_for(clone(child_of_clone, stack + sizeof(stack), flags[i % 3], &pair.client));
        exchange(&pair);
        finish(&pair);
    }
}

/* Without the library's memory: a descriptor of ours that the next program finds is a leak. */
static void nothing_inherited(void)
{
    exchanges(5);
    pid_t child = fork();
    if (child == 0)
        execl("/bin/ls", "ls", "/proc/self/fd", NULL);
    wait_for(child);
    char *arguments[] = {"ls", "/proc/self/fd", NULL};
    EXPECT(posix_spawn(&child, "/bin/ls", NULL, NULL, arguments, environ) == 0);
    wait_for(child);
    EXPECT(system("ls /proc/self/fd") == 0);
    exchanges(5);
}

/* The process that calls daemon() is ended inside libc; what it had seen is told all the same. */
static void daemons(void)
{
    int done[2];
    char byte;
    EXPECT(pipe(done) == 0);
    pid_t child = fork();
    if (child == 0) {
        EXPECT(close(done[0]) == 0);
        exchanges(3);
        EXPECT(daemon(0, 0) == 0);
        exchanges(2);
        EXPECT(write(done[1], "d", 1) == 1);
        exit(0);
    }
    wait_for(child);
    EXPECT(close(done[1]) == 0 && read(done[0], &byte, 1) == 1 && read(done[0], &byte, 1) == 0);
    exchanges(1);
}

static void drop_privileges(void)
{
    if (getuid() != 0)
        return;
    EXPECT(setgroups(0, NULL) == 0 && setgid(65534) == 0 && setuid(65534) == 0);
    EXPECT(setuid(0) == -1 && errno == EPERM);
}

static void drops_privileges(void)
{
    exchanges(5);
    drop_privileges();
    exchanges(5);
    forks_often((void *)2);
}

/* As daemons do: first into an empty directory, then another user. */
static void enters_a_jail(void)
{
    char jail[] = "/tmp/jail-XXXXXX";
    exchanges(5);
    EXPECT(mkdtemp(jail) != NULL && chdir(jail) == 0 && rmdir(jail) == 0);
    if (getuid() == 0)
        EXPECT(chroot(".") == 0);
    drop_privileges();
    exchanges(5);
    forks_often((void *)2);
    EXPECT(getuid() != 0 && access("/tmp", F_OK) == (geteuid() == 65534 ? -1 : 0));
}

/* Started without descriptors 0 to 2: the first that it opens get these numbers. */
static void without_descriptors(void)
{
    if (fcntl(0, F_GETFD) == -1) {
        exchanges(5);
        EXPECT(socket(AF_INET, SOCK_STREAM, 0) == 0 && open("/dev/null", O_RDWR) == 1);
        exchanges(5);
        EXPECT(dup(1) == 2);
        exit(21);
    }
    exchanges(1);
    pid_t child = fork();
    if (child == 0) {
        EXPECT(close_range(0, ~0u, 0) == 0);
        execl("/proc/self/exe", "processes", "without_descriptors", NULL);
        _exit(1);
    }
    int status;
    EXPECT(waitpid(child, &status, 0) == child);
    printf("%d\n", WEXITSTATUS(status));
}

/* A keep-alive connection is followed into the next image of the process. */
static void connection_into_exec(void)
{
    const char *numbers = getenv("CONNECTION");
    struct host_pair pair;
    char text[32];
    if (numbers == NULL) {
        pair = host_connect(false, false);
        exchange(&pair);
        sprintf(text, "%d %d", pair.client, pair.server);
        EXPECT(setenv("CONNECTION", text, 1) == 0);
        execl("/proc/self/exe", "processes", "connection_into_exec", NULL);
    }
    EXPECT(sscanf(numbers, "%d %d", &pair.client, &pair.server) == 2);
    exchange(&pair);
    exchange(&pair);
    finish(&pair);
}

/* The kernel grants these to processes of one thread only; machines may refuse them to all. */
static int own_namespace(const char *path, int kind)
{
    int fd = open(path, O_RDONLY);
    int result = setns(fd, kind);
    close(fd);
    return result;
}

static void enters_namespaces(void)
{
    exchanges(2);
    int again = own_namespace("/proc/self/ns/mnt", 0);
    exchanges(2);
    int by_number = (int)syscall(SYS_unshare, CLONE_VM);
    exchanges(2);
    int users = unshare(CLONE_NEWUSER);
    exchanges(2);
    printf("%d, %d, %d\n", again, by_number, users);
}

/* True: the process's other threads, one at least, are none of real-time. */
static bool others_are_ordinary(void)
{
    int others = 0, ordinary = 0;
    DIR *tasks = opendir("/proc/self/task");
    for (struct dirent *task; (task = readdir(tasks)) != NULL;) {
        pid_t id = atoi(task->d_name);
        if (id == 0 || id == getpid())
            continue;
        others++;
        ordinary += sched_getscheduler(id) == SCHED_OTHER;
    }
    closedir(tasks);
    return others > 0 && others == ordinary;
}

/* What the program was given, at the cost of all others, is not for us. */
static void of_real_time(void)
{
    struct sched_param param = {.sched_priority = 1};
    int result = sched_setscheduler(0, SCHED_FIFO, &param);
    exchanges(1);
    if (host_is_traced() && result == 0)
        for (int i = 0; !others_are_ordinary(); i++)
            EXPECT(i < 2000 && usleep(10000) == 0);
    printf("%d, %d\n", result, sched_getscheduler(0));
}

static const struct host_case cases[] = {
    {"forks", forks, "1020"},
    {"forks_in_threads", forks_in_threads, "1040"},
    {"forks_in_handlers", forks_in_handlers, NULL},
    {"forked_threads", forked_threads, "201"},
    {"vforks", vforks, "12"},
    {"clones", clones, NULL},
    {"nothing_inherited", nothing_inherited, "10"},
    {"ends_anyhow", ends_anyhow, NULL},
    {"daemons", daemons, "6"},
    {"drops_privileges", drops_privileges, "12"},
    {"enters_a_jail", enters_a_jail, NULL},
    {"without_descriptors", without_descriptors, "11"},
    {"connection_into_exec", connection_into_exec, "3"},
    {"enters_namespaces", enters_namespaces, "8 CLIENT/200=8"},
    {"of_real_time", of_real_time, "1"},
    {NULL, NULL, NULL},
};

int main(int argc, char **argv)
{
    return host_main(cases, argc, argv);
}
