/* SPDX-License-Identifier: Apache-2.0 */
/* The calls of hooks/pauses.c, for hooked_calls.h. */
#pragma once

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <time.h>
#include <unistd.h>

#include "host.h"

static pthread_mutex_t pause_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t pause_condition = PTHREAD_COND_INITIALIZER;
static const struct timespec long_ago = {1, 0}, moment = {0, 1};

static void unlock_pause(void *unused)
{
    pthread_mutex_unlock(&pause_mutex);
}

/* Comes in only when the other one waits. */
static void *end_pause(void *unused)
{
    pthread_mutex_lock(&pause_mutex);
    pthread_cond_broadcast(&pause_condition);
    pthread_mutex_unlock(&pause_mutex);
    return NULL;
}

static long do_pthread_cond_wait(void)
{
    pthread_t thread;
    long result;
    EXPECT(pthread_mutex_lock(&pause_mutex) == 0);
    pthread_cleanup_push(unlock_pause, NULL);
    EXPECT(pthread_create(&thread, NULL, end_pause, NULL) == 0);
    result = pthread_cond_wait(&pause_condition, &pause_mutex);
    pthread_cleanup_pop(1);
    EXPECT(pthread_join(thread, NULL) == 0);
    return result;
}

static long do_pthread_cond_timedwait(void)
{
    long result;
    EXPECT(pthread_mutex_lock(&pause_mutex) == 0);
    pthread_cleanup_push(unlock_pause, NULL);
    result = pthread_cond_timedwait(&pause_condition, &pause_mutex, &long_ago);
    pthread_cleanup_pop(1);
    return result;
}

static long do_pthread_cond_clockwait(void)
{
    long result;
    EXPECT(pthread_mutex_lock(&pause_mutex) == 0);
    pthread_cleanup_push(unlock_pause, NULL);
    result = pthread_cond_clockwait(&pause_condition, &pause_mutex, CLOCK_REALTIME, &long_ago);
    pthread_cleanup_pop(1);
    return result;
}

static long do_sem_wait(void)
{
    sem_t semaphore;
    EXPECT(sem_init(&semaphore, 0, 1) == 0);
    return sem_wait(&semaphore);
}

static long do_sem_timedwait(void)
{
    sem_t semaphore;
    EXPECT(sem_init(&semaphore, 0, 0) == 0);
    return sem_timedwait(&semaphore, &long_ago); /* too late: -1 */
}

static long do_sem_clockwait(void)
{
    sem_t semaphore;
    EXPECT(sem_init(&semaphore, 0, 1) == 0);
    return sem_clockwait(&semaphore, CLOCK_REALTIME, &long_ago);
}

/* Storms of signals interrupt sleeps, in the bare program as well. */
static long undisturbed(long (*sleeps)(void))
{
    int before = errno;
    long result;
    while ((result = sleeps()) != 0 && errno == EINTR)
        ;
    errno = result == 0 ? before : errno;
    return result;
}

static long sleep_once(void)
{
    return nanosleep(&moment, NULL);
}

static long usleep_once(void)
{
    return usleep(1);
}

static long do_nanosleep(void)
{
    return undisturbed(sleep_once);
}

static long do_clock_nanosleep(void)
{
    return clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &long_ago, NULL);
}

static long do_sleep(void)
{
    int before = errno;
    long result = sleep(0);
    errno = before;
    return result;
}

static long do_usleep(void)
{
    return undisturbed(usleep_once);
}
