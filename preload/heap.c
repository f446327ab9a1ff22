/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libburdock-heap.so: watches the allocator for libburdock.so, behind which it stands in
 * LD_PRELOAD; runtime/heap.h. It decides nothing, and without the other it is a jump to what it
 * stands before. An object of its own, since who does not want it is not to pay for it at each
 * malloc.
 */
#include <malloc.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>

#include "heap_watch.h"
#include "hook.h"

static const struct heap_watch *watch;

__attribute__((visibility("default"))) void burdock_heap_attach(const struct heap_watch *by)
{
    __atomic_store_n(&watch, by, __ATOMIC_RELEASE);
}

static void *told(void *block, size_t bytes)
{
    const struct heap_watch *by = __atomic_load_n(&watch, __ATOMIC_ACQUIRE);
    if (by != NULL)
        by->took(block, bytes);
    return block;
}

static void tell_gone(void *block)
{
    const struct heap_watch *by = __atomic_load_n(&watch, __ATOMIC_ACQUIRE);
    if (by != NULL)
        by->gave(block);
}

HOOK(void *, malloc, (size_t bytes))
{
    return told(ORIGINAL(malloc)(bytes), bytes);
}

HOOK(void *, calloc, (size_t count, size_t each))
{
    return told(ORIGINAL(calloc)(count, each), count * each);
}

/* If it fails, the block is there still and only its mark is lost. */
HOOK(void *, realloc, (void *block, size_t bytes))
{
    tell_gone(block);
    return told(ORIGINAL(realloc)(block, bytes), bytes);
}

HOOK(void, free, (void *block))
{
    tell_gone(block);
    ORIGINAL(free)(block);
}

HOOK(int, posix_memalign, (void **block, size_t alignment, size_t bytes))
{
    int error = ORIGINAL(posix_memalign)(block, alignment, bytes);
    if (error == 0)
        told(*block, bytes);
    return error;
}

HOOK(void *, aligned_alloc, (size_t alignment, size_t bytes))
{
    return told(ORIGINAL(aligned_alloc)(alignment, bytes), bytes);
}

HOOK(void *, memalign, (size_t alignment, size_t bytes))
{
    return told(ORIGINAL(memalign)(alignment, bytes), bytes);
}

/* What the original answers decides: 0 is success. The event is the last thing done here, so that
 * no frame of ours is left on the stack when it comes: heap_watch.h. */
#define HOOK_TOLD(name, event, parameters, arguments)                            \
    HOOK(int, name, parameters)                                                  \
    {                                                                            \
        int result = ORIGINAL(name) arguments;                                   \
        const struct heap_watch *by = __atomic_load_n(&watch, __ATOMIC_ACQUIRE); \
        return by != NULL && result == 0 ? by->event() : result;                 \
    }

HOOK_TOLD(pthread_mutex_lock, locked, (pthread_mutex_t * mutex), (mutex))
HOOK_TOLD(pthread_mutex_trylock, locked, (pthread_mutex_t * mutex), (mutex))
HOOK_TOLD(pthread_mutex_unlock, unlocked, (pthread_mutex_t * mutex), (mutex))
HOOK_TOLD(pthread_spin_lock, locked, (pthread_spinlock_t * lock), (lock))
HOOK_TOLD(pthread_spin_trylock, locked, (pthread_spinlock_t * lock), (lock))
HOOK_TOLD(pthread_spin_unlock, unlocked, (pthread_spinlock_t * lock), (lock))
HOOK_TOLD(pthread_cond_wait, waited, (pthread_cond_t * condition, pthread_mutex_t *mutex),
    (condition, mutex))
HOOK_TOLD(pthread_cond_timedwait, waited,
    (pthread_cond_t * condition, pthread_mutex_t *mutex, const struct timespec *until),
    (condition, mutex, until))
HOOK_TOLD(pthread_cond_clockwait, waited,
    (pthread_cond_t * condition, pthread_mutex_t *mutex, clockid_t clock,
        const struct timespec *until),
    (condition, mutex, clock, until))
HOOK_TOLD(sem_wait, waited, (sem_t * semaphore), (semaphore))
HOOK_TOLD(sem_trywait, waited, (sem_t * semaphore), (semaphore))
HOOK_TOLD(
    sem_timedwait, waited, (sem_t * semaphore, const struct timespec *until), (semaphore, until))
HOOK_TOLD(sem_clockwait, waited, (sem_t * semaphore, clockid_t clock, const struct timespec *until),
    (semaphore, clock, until))
HOOK_TOLD(pthread_cond_signal, woke, (pthread_cond_t * condition), (condition))
HOOK_TOLD(pthread_cond_broadcast, woke, (pthread_cond_t * condition), (condition))
HOOK_TOLD(sem_post, woke, (sem_t * semaphore), (semaphore))
