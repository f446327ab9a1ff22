/* SPDX-License-Identifier: Apache-2.0 */
/* Waits that another thread ends, and sleeps: what a thread does after them need not be for the
 * request that it was at work on before. A thread that is at work on none leaves at once. */
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdint.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "hook.h"
#include "process.h"
#include "stream.h"

#ifdef __GLIBC__
enum { SEMAPHORE_PRIVATE = 0 };
#else
enum { SEMAPHORE_PRIVATE = 128 };
#endif

/* A thread that is cancelled in its wait never comes back to unpark: it ends, parked. glibc before
 * 2.34 without libpthread has not all of these; it may have come by now. */
#define HOOK_PARK(name, missing, goes_on, parameters, arguments)                         \
    __attribute__((used)) static int absent_##name parameters;                           \
    HOOK_OR(absent_##name, int, name, parameters)                                        \
    {                                                                                    \
        if ((goes_on) || __builtin_expect(!stream_park(), 1))                            \
            return ORIGINAL(name) arguments;                                             \
        int result = ORIGINAL(name) arguments;                                           \
        stream_unpark();                                                                 \
        return result;                                                                   \
    }                                                                                    \
    static int absent_##name parameters                                                  \
    {                                                                                    \
        hooks_resolve();                                                                 \
        return original_##name == absent_##name ? (missing) : original_##name arguments; \
    }

static int no_semaphore(void)
{
    errno = ENOSYS;
    return -1;
}

/* In a forked child: a semaphore of its own that is free is a lock, which brings nothing to do. So
 * is Python's after each fork. What both C libraries make of a semaphore begins with its value; its
 * third word tells whose it may be. */
static bool is_lock(const sem_t *semaphore)
{
    if (__builtin_expect(!process.is_heir, 1))
        return false;
    uint32_t words[3];
    memcpy(words, semaphore, sizeof(words));
    return (words[0] & INT32_MAX) != 0 && words[2] == SEMAPHORE_PRIVATE;
}

/* CPython's threads wait for its lock by a condition, and for each other by semaphores. */
HOOK_PARK(pthread_cond_wait, ENOSYS, thread_was_started(),
    (pthread_cond_t * condition, pthread_mutex_t *mutex), (condition, mutex))
HOOK_PARK(pthread_cond_timedwait, ENOSYS, thread_was_started(),
    (pthread_cond_t * condition, pthread_mutex_t *mutex, const struct timespec *until),
    (condition, mutex, until))
HOOK_PARK(pthread_cond_clockwait, ENOSYS, thread_was_started(),
    (pthread_cond_t * condition, pthread_mutex_t *mutex, clockid_t clock,
        const struct timespec *until),
    (condition, mutex, clock, until))
HOOK_PARK(sem_wait, no_semaphore(), is_lock(semaphore), (sem_t * semaphore), (semaphore))
HOOK_PARK(sem_timedwait, no_semaphore(), is_lock(semaphore),
    (sem_t * semaphore, const struct timespec *until), (semaphore, until))
HOOK_PARK(sem_clockwait, no_semaphore(), is_lock(semaphore),
    (sem_t * semaphore, clockid_t clock, const struct timespec *until), (semaphore, clock, until))

HOOK(int, nanosleep, (const struct timespec *time, struct timespec *left))
{
    stream_sleep();
    return ORIGINAL(nanosleep)(time, left);
}

HOOK(int, clock_nanosleep,
    (clockid_t clock, int flags, const struct timespec *time, struct timespec *left))
{
    stream_sleep();
    return ORIGINAL(clock_nanosleep)(clock, flags, time, left);
}

HOOK(unsigned, sleep, (unsigned seconds))
{
    stream_sleep();
    return ORIGINAL(sleep)(seconds);
}

HOOK(int, usleep, (useconds_t microseconds))
{
    stream_sleep();
    return ORIGINAL(usleep)(microseconds);
}
