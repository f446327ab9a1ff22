/* SPDX-License-Identifier: Apache-2.0 */
/* Every hooked function, one row each: a call that succeeds and leaves everything as it found it.
 * run_hosts.py compares the names with what the library exports. */
#pragma once

#include <dlfcn.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <spawn.h>
#include <stdarg.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <syslog.h>
#include <threads.h>
#include <ucontext.h>

#include "exchange.h"
#include "hooked_pauses.h"
#include "hooked_stdio.h"

extern char **environ;
int __poll_chk(struct pollfd *fds, nfds_t count, int timeout, size_t room);
int __ppoll_chk(struct pollfd *fds, nfds_t count, const struct timespec *timeout,
    const sigset_t *mask, size_t room);
void __syslog_chk(int priority, int flag, const char *format, ...);
void __vsyslog_chk(int priority, int flag, const char *format, va_list arguments);
ssize_t __read_chk(int fd, void *buffer, size_t size, size_t room);
ssize_t __recv_chk(int fd, void *buffer, size_t size, size_t room, int flags);
ssize_t __recvfrom_chk(int fd, void *buffer, size_t size, size_t room, int flags,
    struct sockaddr *from, socklen_t *from_length);

enum { ROOM = 1024, STALE = 4711 };

static struct {
    struct host_pair seen;   /* requests go out and answers come in by every call */
    struct host_pair unseen; /* bytes that never were in our memory go out here */
    int listener, ready[2], file, executable, epoll;
    struct sockaddr_storage address;
    socklen_t length;
    char buffer[ROOM];
} world;

static void open_world(void)
{
    struct epoll_event event = {.events = EPOLLIN};
    setlogmask(LOG_MASK(LOG_EMERG));
    open_sink();
    world.seen = host_connect(false, false);
    world.unseen = host_connect(false, false);
    world.listener = host_listen(false, &world.address, &world.length);
    EXPECT(pipe2(world.ready, O_CLOEXEC) == 0 && write(world.ready[1], "r", 1) == 1);
    world.file = memfd_create("request", MFD_CLOEXEC);
    EXPECT(write(world.file, request, REQUEST) == REQUEST);
    world.executable = open("/bin/true", O_RDONLY | O_CLOEXEC);
    world.epoll = epoll_create1(EPOLL_CLOEXEC);
    EXPECT(epoll_ctl(world.epoll, EPOLL_CTL_ADD, world.ready[0], &event) == 0);
}

/* --- calls that send a request ---------------------------------------------------------------- */

static struct iovec whole = {(void *)request, REQUEST};

static long do_write(void)
{
    return write(world.seen.client, request, REQUEST);
}

static long do_writev(void)
{
    return writev(world.seen.client, &whole, 1);
}

static long do_send(void)
{
    return send(world.seen.client, request, REQUEST, 0);
}

static long do_sendto(void)
{
    return sendto(world.seen.client, request, REQUEST, 0, NULL, 0);
}

static long do_sendmsg(void)
{
    struct msghdr message = {.msg_iov = &whole, .msg_iovlen = 1};
    return sendmsg(world.seen.client, &message, 0);
}

static long do_sendmmsg(void)
{
    struct mmsghdr message = {.msg_hdr = {.msg_iov = &whole, .msg_iovlen = 1}};
    EXPECT(sendmmsg(world.seen.client, &message, 1, 0) == 1);
    return message.msg_len;
}

/* --- calls that read an answer ---------------------------------------------------------------- */

static long do_read(void)
{
    return read(world.seen.client, world.buffer, ROOM);
}

static long do_read_chk(void)
{
    return __read_chk(world.seen.client, world.buffer, ROOM, ROOM);
}

static long do_readv(void)
{
    struct iovec iov = {world.buffer, ROOM};
    return readv(world.seen.client, &iov, 1);
}

static long do_recv(void)
{
    return recv(world.seen.client, world.buffer, ROOM, 0);
}

static long do_recv_chk(void)
{
    return __recv_chk(world.seen.client, world.buffer, ROOM, ROOM, 0);
}

static long do_recvfrom(void)
{
    return recvfrom(world.seen.client, world.buffer, ROOM, 0, NULL, NULL);
}

static long do_recvfrom_chk(void)
{
    return __recvfrom_chk(world.seen.client, world.buffer, ROOM, ROOM, 0, NULL, NULL);
}

static long do_recvmsg(void)
{
    struct iovec iov = {world.buffer, ROOM};
    struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
    return recvmsg(world.seen.client, &message, 0);
}

static long do_recvmmsg(void)
{
    struct iovec iov = {world.buffer, ROOM};
    struct mmsghdr message = {.msg_hdr = {.msg_iov = &iov, .msg_iovlen = 1}};
    EXPECT(recvmmsg(world.seen.client, &message, 1, 0, NULL) == 1);
    return message.msg_len;
}

/* --- calls that send what is not in our memory ------------------------------------------------ */

static long do_sendfile(void)
{
    off_t from = 0;
    return sendfile(world.unseen.client, world.file, &from, REQUEST);
}

static long do_sendfile64(void)
{
    off64_t from = 0;
    return sendfile64(world.unseen.client, world.file, &from, REQUEST);
}

static long do_splice(void)
{
    int ends[2];
    EXPECT(pipe(ends) == 0 && write(ends[1], request, REQUEST) == REQUEST);
    long result = splice(ends[0], NULL, world.unseen.client, NULL, REQUEST, 0);
    EXPECT(close(ends[0]) == 0 && close(ends[1]) == 0);
    return result;
}

/* --- descriptors ------------------------------------------------------------------------------ */

static int connected(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    EXPECT(connect(fd, (struct sockaddr *)&world.address, world.length) == 0);
    return fd;
}

static long closed(int fd, int other)
{
    EXPECT(fd >= 0 && close(fd) == 0 && (other < 0 || close(other) == 0));
    return 0;
}

static long do_accept(void)
{
    int client = connected();
    return closed(accept(world.listener, NULL, NULL), client);
}

static long do_accept4(void)
{
    int client = connected();
    return closed(accept4(world.listener, NULL, NULL, SOCK_CLOEXEC), client);
}

static long do_shutdown(void)
{
    int client = connected(), server = (int)raw_accept(world.listener);
    long result = shutdown(client, SHUT_WR);
    return closed(client, server) + result;
}

static long do_close(void)
{
    return close(dup(world.seen.client));
}

static long do_close_range(void)
{
    int fd = fcntl(world.seen.client, F_DUPFD, 900);
    return close_range((unsigned)fd, (unsigned)fd, 0);
}

static long do_dup(void)
{
    return closed(dup(world.seen.client), -1);
}

static long do_dup2(void)
{
    return closed(dup2(world.seen.client, dup(0)), -1);
}

static long do_dup3(void)
{
    return closed(dup3(world.seen.client, dup(0), O_CLOEXEC), -1);
}

static long do_fcntl(void)
{
    return closed(fcntl(world.seen.client, F_DUPFD_CLOEXEC, 0), -1);
}

static long do_fcntl64(void)
{
    return closed(fcntl64(world.seen.client, F_DUPFD, 0), -1);
}

static long do_socketpair(void)
{
    int ends[2];
    long result = socketpair(AF_UNIX, SOCK_STREAM, 0, ends);
    return closed(ends[0], ends[1]) + result;
}

static long do_getsockopt(void)
{
    int error = -1;
    socklen_t length = sizeof(error);
    return getsockopt(world.seen.client, SOL_SOCKET, SO_ERROR, &error, &length) + error;
}

static long do_fclose(void)
{
    return fclose(fdopen(dup(world.seen.client), "r"));
}

static long do_freopen(void)
{
    return fclose(freopen("/dev/null", "r", fdopen(dup(world.seen.client), "r")));
}

static long do_freopen64(void)
{
    return fclose(freopen64("/dev/null", "r", fdopen(dup(world.seen.client), "r")));
}

static long do_syscall(void)
{
    return syscall(SYS_close, dup(world.seen.client));
}

static long do_connect(void)
{
    int client = connected();
    return closed(client, (int)raw_accept(world.listener));
}

/* --- waits ------------------------------------------------------------------------------------ */

static const struct timespec second = {1, 0};

static struct pollfd *ready(void)
{
    static struct pollfd fds;
    fds = (struct pollfd){world.ready[0], POLLIN, 0};
    return &fds;
}

static long do_poll(void)
{
    return poll(ready(), 1, 1000);
}

static long do_poll_chk(void)
{
    return __poll_chk(ready(), 1, 1000, sizeof(struct pollfd));
}

static long do_ppoll(void)
{
    return ppoll(ready(), 1, &second, NULL);
}

static long do_ppoll_chk(void)
{
    return __ppoll_chk(ready(), 1, &second, NULL, sizeof(struct pollfd));
}

static long do_select(void)
{
    struct timeval time = {1, 0};
    fd_set set;
    FD_ZERO(&set);
    FD_SET(world.ready[0], &set);
    return select(world.ready[0] + 1, &set, NULL, NULL, &time);
}

static long do_pselect(void)
{
    fd_set set;
    FD_ZERO(&set);
    FD_SET(world.ready[0], &set);
    return pselect(world.ready[0] + 1, &set, NULL, NULL, &second, NULL);
}

static struct epoll_event events[4];

static long do_epoll_create(void)
{
    return close(epoll_create(1));
}

static long do_epoll_create1(void)
{
    return close(epoll_create1(EPOLL_CLOEXEC));
}

static long do_epoll_ctl(void)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT};
    return epoll_ctl(world.epoll, EPOLL_CTL_MOD, world.ready[0], &event);
}

static long do_epoll_wait(void)
{
    return epoll_wait(world.epoll, events, 4, 1000);
}

static long do_epoll_pwait(void)
{
    return epoll_pwait(world.epoll, events, 4, 1000, NULL);
}

static long do_epoll_pwait2(void)
{
    return epoll_pwait2(world.epoll, events, 4, &second, NULL);
}

/* --- processes, threads, code ----------------------------------------------------------------- */

static long status_of(pid_t child)
{
    int status = -1;
    pid_t got;
    do
        got = waitpid(child, &status, 0);
    while (got < 0 && errno == EINTR);
    EXPECT(child > 0 && got == child);
    errno = STALE;
    return status;
}

#define IN_CHILD(name, statement)                        \
    static long do_##name(void)                          \
    {                                                    \
        pid_t child = fork();                            \
        if (child == 0) {                                \
            statement;                                   \
            sys_call(SYS_exit_group, 99, 0, 0, 0, 0, 0); \
        }                                                \
        return status_of(child);                         \
    }

static char *true_words[] = {"true", NULL};

IN_CHILD(_exit, _exit(7))
IN_CHILD(_Exit, _Exit(8))
IN_CHILD(perror, dup2(fileno(sink), 2); perror("what"); _exit(5))
IN_CHILD(puts, dup2(fileno(sink), 1); _exit(puts(line)))
IN_CHILD(putchar, dup2(fileno(sink), 1); _exit(putchar('p')))
IN_CHILD(closefrom, closefrom(3); _exit(close(3) == -1 && errno == EBADF ? 0 : 1))
IN_CHILD(daemon, _exit(daemon(1, 1)))
IN_CHILD(execl, execl("/bin/true", "true", NULL))
IN_CHILD(execle, execle("/bin/true", "true", NULL, environ))
IN_CHILD(execlp, execlp("true", "true", NULL))
IN_CHILD(execv, execv("/bin/true", true_words))
IN_CHILD(execve, execve("/bin/true", true_words, environ))
IN_CHILD(execvp, execvp("true", true_words))
IN_CHILD(execvpe, execvpe("true", true_words, environ))
IN_CHILD(fexecve, fexecve(world.executable, true_words, environ))

static void run_never(void)
{
}

static long do_makecontext(void)
{
    static char stack[4096];
    ucontext_t context = {.uc_stack = {.ss_sp = stack, .ss_size = sizeof(stack)}};
    makecontext(&context, run_never, 0);
    return 0;
}

static long do_vfork(void)
{
    pid_t child = vfork();
    if (child == 0)
        _exit(3);
    return status_of(child);
}

static long do_fork(void)
{
    pid_t child = fork();
    if (child == 0)
        _exit(4);
    return status_of(child);
}

static long do_posix_spawn(void)
{
    pid_t child;
    EXPECT(posix_spawn(&child, "/bin/true", NULL, NULL, true_words, environ) == 0);
    return status_of(child);
}

static long do_posix_spawnp(void)
{
    pid_t child;
    EXPECT(posix_spawnp(&child, "true", NULL, NULL, true_words, environ) == 0);
    return status_of(child);
}

static void *leave(void *how)
{
    if (how != NULL)
        pthread_exit(how);
    return (void *)6;
}

static long joined(void *how)
{
    pthread_t thread;
    void *result;
    EXPECT(pthread_create(&thread, NULL, leave, how) == 0);
    EXPECT(pthread_join(thread, &result) == 0);
    return (long)result;
}

static long do_pthread_create(void)
{
    return joined(NULL);
}

static long do_pthread_exit(void)
{
    return joined((void *)5);
}

static int leave_as_in_c11(void *how)
{
    thrd_exit((int)(intptr_t)how);
}

static long do_thrd_exit(void)
{
    thrd_t thread;
    int result;
    EXPECT(thrd_create(&thread, leave_as_in_c11, (void *)7) == thrd_success);
    EXPECT(thrd_join(thread, &result) == thrd_success);
    return result;
}

static long do_unshare(void)
{
    return unshare(0);
}

static long do_setns(void)
{
    return setns(-1, CLONE_NEWNET);
}

static long do_dlopen(void)
{
    void *program = dlopen(NULL, RTLD_NOW);
    return program == NULL ? -1 : dlclose(program);
}

static long do_prctl(void)
{
    return prctl(PR_GET_DUMPABLE);
}

/* --- messages that the mask of their priority keeps back -------------------------------------- */

static long do_syslog(void)
{
    syslog(LOG_DEBUG, "kept %s", "back");
    return 0;
}

static long do_syslog_chk(void)
{
    __syslog_chk(LOG_DEBUG, 1, "kept %s", "back");
    return 0;
}

static long say(void (*how)(const char *format, va_list arguments), const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    how(format, arguments);
    va_end(arguments);
    return 0;
}

static void by_vsyslog(const char *format, va_list arguments)
{
    vsyslog(LOG_DEBUG, format, arguments);
}

static void by_vsyslog_chk(const char *format, va_list arguments)
{
    __vsyslog_chk(LOG_DEBUG, 1, format, arguments);
}

static long do_vsyslog(void)
{
    return say(by_vsyslog, "kept %s", "back");
}

static long do_vsyslog_chk(void)
{
    return say(by_vsyslog_chk, "kept %s", "back");
}

/* --- the rows --------------------------------------------------------------------------------- */

enum kind { SENDS, READS, UNSEEN, OTHER };

/* clang-format off */
static const struct row {
    const char *name;
    long (*call)(void);
    enum kind kind;
} rows[] = {
    {"write", do_write, SENDS}, {"writev", do_writev, SENDS}, {"send", do_send, SENDS},
    {"sendto", do_sendto, SENDS}, {"sendmsg", do_sendmsg, SENDS}, {"sendmmsg", do_sendmmsg, SENDS},
    {"read", do_read, READS}, {"__read_chk", do_read_chk, READS}, {"readv", do_readv, READS},
    {"recv", do_recv, READS}, {"__recv_chk", do_recv_chk, READS}, {"recvfrom", do_recvfrom, READS},
    {"__recvfrom_chk", do_recvfrom_chk, READS}, {"recvmsg", do_recvmsg, READS},
    {"recvmmsg", do_recvmmsg, READS}, {"sendfile", do_sendfile, UNSEEN},
    {"sendfile64", do_sendfile64, UNSEEN}, {"splice", do_splice, UNSEEN},
    {"accept", do_accept, OTHER}, {"accept4", do_accept4, OTHER}, {"connect", do_connect, OTHER},
    {"shutdown", do_shutdown, OTHER}, {"close", do_close, OTHER},
    {"close_range", do_close_range, OTHER}, {"closefrom", do_closefrom, OTHER},
    {"dup", do_dup, OTHER}, {"dup2", do_dup2, OTHER}, {"dup3", do_dup3, OTHER},
    {"fcntl", do_fcntl, OTHER}, {"fcntl64", do_fcntl64, OTHER},
    {"socketpair", do_socketpair, OTHER}, {"getsockopt", do_getsockopt, OTHER},
    {"fclose", do_fclose, OTHER}, {"freopen", do_freopen, OTHER},
    {"freopen64", do_freopen64, OTHER}, {"syscall", do_syscall, OTHER}, {"poll", do_poll, OTHER},
    {"__poll_chk", do_poll_chk, OTHER}, {"ppoll", do_ppoll, OTHER},
    {"__ppoll_chk", do_ppoll_chk, OTHER}, {"select", do_select, OTHER},
    {"pselect", do_pselect, OTHER}, {"epoll_create", do_epoll_create, OTHER},
    {"epoll_create1", do_epoll_create1, OTHER}, {"epoll_ctl", do_epoll_ctl, OTHER}, {"epoll_wait", do_epoll_wait, OTHER},
    {"epoll_pwait", do_epoll_pwait, OTHER}, {"epoll_pwait2", do_epoll_pwait2, OTHER},
    {"daemon", do_daemon, OTHER}, {"_exit", do__exit, OTHER}, {"_Exit", do__Exit, OTHER},
    {"execl", do_execl, OTHER}, {"execle", do_execle, OTHER}, {"execlp", do_execlp, OTHER},
    {"execv", do_execv, OTHER}, {"execve", do_execve, OTHER}, {"execvp", do_execvp, OTHER},
    {"execvpe", do_execvpe, OTHER}, {"fexecve", do_fexecve, OTHER}, {"vfork", do_vfork, OTHER}, {"fork", do_fork, OTHER},
    {"makecontext", do_makecontext, OTHER},
    {"posix_spawn", do_posix_spawn, OTHER}, {"posix_spawnp", do_posix_spawnp, OTHER},
    {"pthread_create", do_pthread_create, OTHER}, {"pthread_exit", do_pthread_exit, OTHER},
    {"thrd_exit", do_thrd_exit, OTHER}, {"unshare", do_unshare, OTHER}, {"setns", do_setns, OTHER},
    {"dlopen", do_dlopen, OTHER}, {"dlclose", do_dlopen, OTHER}, {"prctl", do_prctl, OTHER},
    {"pthread_cond_wait", do_pthread_cond_wait, OTHER},
    {"pthread_cond_timedwait", do_pthread_cond_timedwait, OTHER},
    {"pthread_cond_clockwait", do_pthread_cond_clockwait, OTHER},
    {"sem_wait", do_sem_wait, OTHER}, {"sem_timedwait", do_sem_timedwait, OTHER},
    {"sem_clockwait", do_sem_clockwait, OTHER}, {"nanosleep", do_nanosleep, OTHER},
    {"clock_nanosleep", do_clock_nanosleep, OTHER}, {"sleep", do_sleep, OTHER},
    {"usleep", do_usleep, OTHER}, {"syslog", do_syslog, OTHER},
    {"__syslog_chk", do_syslog_chk, OTHER}, {"vsyslog", do_vsyslog, OTHER},
    {"__vsyslog_chk", do_vsyslog_chk, OTHER},
    {"fwrite", do_fwrite, OTHER}, {"fwrite_unlocked", do_fwrite_unlocked, OTHER},
    {"fputs", do_fputs, OTHER}, {"fputs_unlocked", do_fputs_unlocked, OTHER},
    {"fputc", do_fputc, OTHER}, {"putc", do_putc, OTHER}, {"__overflow", do_overflow, OTHER},
    {"puts", do_puts, OTHER}, {"putchar", do_putchar, OTHER}, {"perror", do_perror, OTHER},
    {"printf", do_printf, OTHER}, {"__printf_chk", do_printf_chk, OTHER},
    {"fprintf", do_fprintf, OTHER}, {"__fprintf_chk", do_fprintf_chk, OTHER},
    {"vprintf", do_vprintf, OTHER}, {"__vprintf_chk", do_vprintf_chk, OTHER},
    {"vfprintf", do_vfprintf, OTHER}, {"__vfprintf_chk", do_vfprintf_chk, OTHER},
    {"dprintf", do_dprintf, OTHER}, {"__dprintf_chk", do_dprintf_chk, OTHER},
    {"vdprintf", do_vdprintf, OTHER}, {"__vdprintf_chk", do_vdprintf_chk, OTHER},
};
/* clang-format on */
enum { ROWS = sizeof(rows) / sizeof(rows[0]) };
