/* SPDX-License-Identifier: Apache-2.0 */
/*
 * No handlers: every signal of interest is blocked before the fork and taken by sigwaitinfo, so the
 * child inherits dispositions that were never touched and gets the old mask back before exec.
 * (A blocked signal is kept even if it is ignored, which is what makes this work under nohup.)
 *
 * What the terminal sends, the kernel sends to the whole process group: the child has it already.
 * Such signals come with SI_KERNEL. What kill() sends to us alone must be passed on. A sender in
 * another pid namespace has si_pid 0, so the code is what tells the two apart.
 */
#include "supervise.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cli.h"

static const int forwarded[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGWINCH,
    SIGCONT, SIGTSTP, SIGTTIN, SIGTTOU};

struct supervisor {
    pid_t child;
    sigset_t awaited; /* forwarded and SIGCHLD */
    sigset_t old_mask;
    struct sigaction old_child_action;
    bool stopped; /* the child, as far as we have been told */
    bool woken;   /* we were stopped too; the SIGCONT that ended it is still to come */
    bool ended;
    int wait_status;
};

static void signals_take(struct supervisor *supervisor)
{
    sigemptyset(&supervisor->awaited);
    sigaddset(&supervisor->awaited, SIGCHLD);
    for (size_t i = 0; i < sizeof forwarded / sizeof forwarded[0]; i++)
        sigaddset(&supervisor->awaited, forwarded[i]);
    sigprocmask(SIG_BLOCK, &supervisor->awaited, &supervisor->old_mask);
    /* Where SIGCHLD is inherited as ignored the kernel would keep no status for us. */
    const struct sigaction normal = {.sa_handler = SIG_DFL};
    sigaction(SIGCHLD, &normal, &supervisor->old_child_action);
}

static void become(const struct supervisor *supervisor, char **argv, int report)
{
    sigaction(SIGCHLD, &supervisor->old_child_action, NULL);
    sigprocmask(SIG_SETMASK, &supervisor->old_mask, NULL);
    execvp(argv[0], argv);
    int error = errno;
    ssize_t written = write(report, &error, sizeof error);
    _exit(written == sizeof error ? STATUS_LAUNCHER : STATUS_NOT_FOUND);
}

/* Forks; the errno of a failed exec comes through a pipe that a successful one closes. */
static bool start(struct supervisor *supervisor, char **argv, int *launch_error)
{
    int report[2];
    *launch_error = 0;
    if (pipe2(report, O_CLOEXEC) != 0)
        return false;
    supervisor->child = fork();
    if (supervisor->child == 0)
        become(supervisor, argv, report[1]);
    close(report[1]);
    if (supervisor->child > 0 && read(report[0], launch_error, sizeof *launch_error) <= 0)
        *launch_error = 0;
    close(report[0]);
    return supervisor->child > 0;
}

/* Stops this process by the signal that stopped the child, so that the shell sees what it would
 * have seen. Returns when we are continued. */
static void stop_self(const struct supervisor *supervisor, int number)
{
    sigset_t just_this, before;
    struct sigaction old;
    const struct sigaction normal = {.sa_handler = SIG_DFL};
    sigemptyset(&just_this);
    sigaddset(&just_this, number);
    if (number == SIGSTOP) {
        raise(SIGSTOP);
        return;
    }
    sigaction(number, &normal, &old);
    raise(number);
    sigprocmask(SIG_UNBLOCK, &just_this, &before);
    sigprocmask(SIG_SETMASK, &before, NULL);
    sigaction(number, &old, NULL);
}

static void child_changed(struct supervisor *supervisor, int status)
{
    if (WIFSTOPPED(status)) {
        supervisor->stopped = true;
        stop_self(supervisor, WSTOPSIG(status));
        supervisor->woken = true;
        return;
    }
    supervisor->stopped = false;
    if (WIFCONTINUED(status))
        return;
    supervisor->ended = true;
    supervisor->wait_status = status;
}

/* Takes news of all children: as process 1, or after `exec burdock`, there may be strangers. */
static void collect(struct supervisor *supervisor)
{
    int status;
    pid_t pid;
    while (
        !supervisor->ended && (pid = waitpid(-1, &status, WNOHANG | WUNTRACED | WCONTINUED)) > 0) {
        if (pid == supervisor->child)
            child_changed(supervisor, status);
    }
}

/* A shell continues the whole group, one process after the other: the child may be a moment later
 * than we are. One that still lies stopped after that moment needs ours. */
static bool still_stopped(struct supervisor *supervisor)
{
    static const struct timespec moment = {0, 10000000};
    sigset_t child_news;
    sigemptyset(&child_news);
    sigaddset(&child_news, SIGCHLD);
    collect(supervisor);
    if (supervisor->stopped && sigtimedwait(&child_news, NULL, &moment) == SIGCHLD)
        collect(supervisor);
    return supervisor->stopped;
}

static bool is_for_child(struct supervisor *supervisor, const siginfo_t *info)
{
    if (info->si_code == SI_KERNEL || info->si_pid == supervisor->child)
        return false;
    if (info->si_signo != SIGCONT || !supervisor->woken)
        return true;
    supervisor->woken = false;
    return still_stopped(supervisor);
}

static void forward(struct supervisor *supervisor, const siginfo_t *info)
{
    if (is_for_child(supervisor, info) && !supervisor->ended)
        kill(supervisor->child, info->si_signo);
}

static void attend(struct supervisor *supervisor, void (*now_and_then)(void))
{
    static const struct timespec every = {5, 0};
    collect(supervisor);
    while (!supervisor->ended) {
        siginfo_t info;
        if (sigtimedwait(&supervisor->awaited, &info, now_and_then ? &every : NULL) < 0) {
            if (errno == EAGAIN)
                now_and_then();
            continue;
        }
        if (info.si_signo == SIGCHLD)
            collect(supervisor);
        else
            forward(supervisor, &info);
    }
}

/* Ends of pipes that we kept would hide from others that the command closed its own. Stderr stays
 * for the summary. Where close_range is not known the rest stays open too. */
static void descriptors_release(void)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null >= 0) {
        dup2(null, STDIN_FILENO);
        dup2(null, STDOUT_FILENO);
    }
#ifdef SYS_close_range
    syscall(SYS_close_range, STDERR_FILENO + 1, ~0u, 0);
#endif
}

struct ending supervise(char **argv, void (*now_and_then)(void))
{
    struct supervisor supervisor = {0};
    struct ending ending = {0};
    signals_take(&supervisor);
    ending.fork_failed = !start(&supervisor, argv, &ending.launch_error);
    if (ending.fork_failed)
        return ending;
    descriptors_release();
    attend(&supervisor, now_and_then);
    ending.wait_status = supervisor.wait_status;
    return ending;
}

/* Dies by the signal that the command died of, without a core of our own over the command's:
 * the limit is for files, dumpable for cores that go into a pipe. */
static int die_of(int number)
{
    const struct sigaction normal = {.sa_handler = SIG_DFL};
    sigset_t just_this;
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    prctl(PR_SET_DUMPABLE, 0);
    sigaction(number, &normal, NULL);
    sigemptyset(&just_this);
    sigaddset(&just_this, number);
    kill(getpid(), number);
    sigprocmask(SIG_UNBLOCK, &just_this, NULL);
    /* Process 1 of a container is still here: signals without handler do not reach it. */
    return 128 + number;
}

int ending_status(const struct ending *ending)
{
    if (ending->fork_failed)
        return STATUS_LAUNCHER;
    if (ending->launch_error)
        return ending->launch_error == ENOENT ? STATUS_NOT_FOUND : STATUS_NOT_EXECUTABLE;
    if (WIFSIGNALED(ending->wait_status))
        return die_of(WTERMSIG(ending->wait_status));
    return WEXITSTATUS(ending->wait_status);
}
