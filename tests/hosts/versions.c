/* SPDX-License-Identifier: Apache-2.0 */
/* What programs built long ago ask of libc by an older version of a name: they must get that one.
 * posix_spawn gave files without #! to the shell before glibc 2.15, and condition variables were
 * pointers before 2.3.2. Only amd64 is old enough. */
#include <pthread.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "host.h"

#if defined(__x86_64__) && defined(__GLIBC__)
extern char **environ;

typedef int spawns(pid_t *, const char *, const posix_spawn_file_actions_t *,
    const posix_spawnattr_t *, char *const[], char *const[]);
spawns old_posix_spawn, old_posix_spawnp;
int old_wait(void **, pthread_mutex_t *);
int old_timedwait(void **, pthread_mutex_t *, const struct timespec *);
int old_signal(void **);
__asm__(".symver old_posix_spawn, posix_spawn@GLIBC_2.2.5");
__asm__(".symver old_posix_spawnp, posix_spawnp@GLIBC_2.2.5");
__asm__(".symver old_wait, pthread_cond_wait@GLIBC_2.2.5");
__asm__(".symver old_timedwait, pthread_cond_timedwait@GLIBC_2.2.5");
__asm__(".symver old_signal, pthread_cond_signal@GLIBC_2.2.5");

static void spawn(const char *what, spawns *how, const char *path)
{
    char *argv[] = {(char *)path, NULL};
    int status = 0;
    pid_t child;
    int refused = how(&child, path, NULL, NULL, argv, environ);
    if (refused == 0)
        EXPECT(waitpid(child, &status, 0) == child);
    printf("%s: %d, %d\n", what, refused, WEXITSTATUS(status));
}

static void spawned(void)
{
    char path[] = "/tmp/burdock-host-XXXXXX";
    int fd = mkstemp(path);
    EXPECT(fd >= 0 && write(fd, "exit 7\n", 7) == 7 && fchmod(fd, 0700) == 0 && close(fd) == 0);
    spawn("posix_spawn, old", old_posix_spawn, path);
    spawn("posix_spawnp, old", old_posix_spawnp, path);
    spawn("posix_spawn", posix_spawn, path);
    spawn("posix_spawnp", posix_spawnp, path);
    EXPECT(unlink(path) == 0);
}

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct {
    void *pointer;
    char beyond[sizeof(pthread_cond_t)]; /* which nobody may touch */
} old;
static bool is_signalled;

static void *signals(void *nothing)
{
    EXPECT(pthread_mutex_lock(&mutex) == 0);
    is_signalled = true;
    EXPECT(old_signal(&old.pointer) == 0);
    EXPECT(pthread_mutex_unlock(&mutex) == 0);
    return nothing;
}

static void waited(void)
{
    pthread_t thread;
    alarm(20);
    EXPECT(pthread_mutex_lock(&mutex) == 0);
    EXPECT(pthread_create(&thread, NULL, signals, NULL) == 0);
    while (!is_signalled)
        EXPECT(old_wait(&old.pointer, &mutex) == 0);
    struct timespec past = {0};
    EXPECT(old_timedwait(&old.pointer, &mutex, &past) == ETIMEDOUT);
    EXPECT(pthread_mutex_unlock(&mutex) == 0 && pthread_join(thread, NULL) == 0);
    for (size_t i = 0; i < sizeof(old.beyond); i++)
        EXPECT(old.beyond[i] == 0);
    puts("woken");
}

static const struct host_case cases[] = {
    {"old_spawns", spawned, NULL},
    {"old_conditions", waited, NULL},
    {NULL, NULL, NULL},
};
#else
static void nothing_older(void)
{
}

static const struct host_case cases[] = {
    {"nothing_older", nothing_older, NULL},
    {NULL, NULL, NULL},
};
#endif

int main(int argc, char **argv)
{
    return host_main(cases, argc, argv);
}
