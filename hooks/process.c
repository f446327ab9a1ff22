/* SPDX-License-Identifier: Apache-2.0 */
/* How a process image begins and ends, and what it loads. That it was forked is recognised by
 * process.h, also without our hook; vfork is in vfork.S. */
#include <dlfcn.h>
#include <errno.h>
#include <sched.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "alone.h"
#include "attribution.h"
#include "environment.h"
#include "exporter.h"
#include "foreign.h"
#include "hook.h"
#include "process.h"
#include "sandbox.h"
#include "stream.h"
#include "unwind.h"

/* glibc before 2.34 without libdl. Whoever calls has it, or found our name where it would find
 * none; libdl may have come by now. */
__attribute__((used)) static void *absent_dlopen(const char *file, int flags);

bool (*hooks_dlopen)(const char *file);

/* PHP loads its extensions with RTLD_DEEPBIND, which would bind them past every hook. This must
 * stay a tail call: the loader judges RUNPATH by its caller. */
HOOK_OR(absent_dlopen, void *, dlopen, (const char *file, int flags))
{
    __atomic_add_fetch(&unwind_generation, 1, __ATOMIC_RELAXED);
    if (hooks_dlopen != NULL && hooks_dlopen(file))
        file = NULL;
    return ORIGINAL(dlopen)(file, process.page == NULL ? flags : flags & ~RTLD_DEEPBIND);
}

static void *absent_dlopen(const char *file, int flags)
{
    hooks_resolve();
    return original_dlopen == absent_dlopen ? NULL : original_dlopen(file, flags);
}

/* As absent_dlopen. */
__attribute__((used)) static int absent_dlclose(void *handle);

HOOK_OR(absent_dlclose, int, dlclose, (void *handle))
{
    int result = ORIGINAL(dlclose)(handle);
    foreign_forget();
    return result;
}

static int absent_dlclose(void *handle)
{
    hooks_resolve();
    return original_dlclose == absent_dlclose ? -1 : original_dlclose(handle);
}

/* A child that a request forks works for that request, until it is given anything else. */
HOOK(pid_t, fork, (void))
{
    struct inheritance *inheritance = inheritance_take_for_child();
    pid_t child = ORIGINAL(fork)();
    if (__builtin_expect(inheritance == NULL, 1))
        return child;
    int saved_errno = errno;
    if (child == 0)
        inheritance_enter(inheritance);
    else
        inheritance_drop(inheritance);
    errno = saved_errno;
    return child;
}

HOOK(void, _exit, (int status))
{
    stream_process_ends();
    exporter_flush(true);
    ORIGINAL(_exit)(status);
    __builtin_unreachable();
}

HOOK(void, _Exit, (int status))
{
    stream_process_ends();
    exporter_flush(true);
    ORIGINAL(_Exit)(status);
    __builtin_unreachable();
}

/* The process that asks for a daemon is ended inside libc, by its own _exit. */
HOOK(int, daemon, (int keep_directory, int keep_files))
{
    exporter_flush(true);
    return ORIGINAL(daemon)(keep_directory, keep_files);
}

HOOK(int, prctl, (int option, ...))
{
    va_list arguments;
    unsigned long a[4];
    va_start(arguments, option);
    for (int i = 0; i < 4; i++)
        a[i] = va_arg(arguments, unsigned long);
    va_end(arguments);
    sandbox_by_prctl((unsigned long)option, a[0], a[1]);
    return ORIGINAL(prctl)(option, a[0], a[1], a[2], a[3]);
}

HOOK(int, unshare, (int flags))
{
    alone_for_unshare((unsigned)flags);
    return ORIGINAL(unshare)(flags);
}

HOOK(int, setns, (int fd, int kind))
{
    alone_for_setns(fd, (unsigned)kind);
    return ORIGINAL(setns)(fd, kind);
}

/* --- exec: spans leave before the image is replaced ---------------------------------------- */

extern char **environ;

HOOK(int, execve, (const char *path, char *const argv[], char *const envp[]))
{
    FOLLOW(envp);
    exporter_flush(true);
    return ORIGINAL(execve)(path, argv, envp);
}

HOOK(int, execv, (const char *path, char *const argv[]))
{
    char *const *envp = environ;
    FOLLOW(envp);
    exporter_flush(true);
    return ORIGINAL(execve)(path, argv, envp);
}

HOOK(int, execvpe, (const char *file, char *const argv[], char *const envp[]))
{
    FOLLOW(envp);
    exporter_flush(true);
    return ORIGINAL(execvpe)(file, argv, envp);
}

HOOK(int, execvp, (const char *file, char *const argv[]))
{
    char *const *envp = environ;
    FOLLOW(envp);
    exporter_flush(true);
    return ORIGINAL(execvpe)(file, argv, envp);
}

HOOK(int, fexecve, (int fd, char *const argv[], char *const envp[]))
{
    FOLLOW(envp);
    exporter_flush(true);
    return ORIGINAL(fexecve)(fd, argv, envp);
}

HOOK(int, posix_spawn,
    (pid_t * pid, const char *path, const posix_spawn_file_actions_t *actions,
        const posix_spawnattr_t *attributes, char *const argv[], char *const envp[]))
{
    FOLLOW(envp);
    return ORIGINAL(posix_spawn)(pid, path, actions, attributes, argv, envp);
}

HOOK(int, posix_spawnp,
    (pid_t * pid, const char *file, const posix_spawn_file_actions_t *actions,
        const posix_spawnattr_t *attributes, char *const argv[], char *const envp[]))
{
    FOLLOW(envp);
    return ORIGINAL(posix_spawnp)(pid, file, actions, attributes, argv, envp);
}

/* The list forms are their vector forms with the arguments gathered, as in glibc. */
static size_t count_list(va_list arguments)
{
    size_t count = 1;
    while (va_arg(arguments, char *) != NULL)
        count++;
    return count;
}

static void gather(char **argv, const char *first, size_t count, va_list arguments)
{
    argv[0] = (char *)first;
    for (size_t i = 1; i <= count; i++)
        argv[i] = va_arg(arguments, char *);
}

#define GATHER(argv, first, arguments)                        \
    va_list arguments;                                        \
    va_start(arguments, first);                               \
    size_t count = first == NULL ? 0 : count_list(arguments); \
    va_end(arguments);                                        \
    char *argv[count + 1];                                    \
    va_start(arguments, first);                               \
    gather(argv, first, count, arguments)

HOOK(int, execl, (const char *path, const char *argument, ...))
{
    GATHER(argv, argument, arguments);
    va_end(arguments);
    char *const *envp = environ;
    FOLLOW(envp);
    exporter_flush(true);
    return ORIGINAL(execve)(path, argv, envp);
}

HOOK(int, execlp, (const char *file, const char *argument, ...))
{
    GATHER(argv, argument, arguments);
    va_end(arguments);
    char *const *envp = environ;
    FOLLOW(envp);
    exporter_flush(true);
    return ORIGINAL(execvpe)(file, argv, envp);
}

HOOK(int, execle, (const char *path, const char *argument, ...))
{
    GATHER(argv, argument, arguments);
    char *const *envp = va_arg(arguments, char *const *);
    va_end(arguments);
    FOLLOW(envp);
    exporter_flush(true);
    return ORIGINAL(execve)(path, argv, envp);
}
