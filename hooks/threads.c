/* SPDX-License-Identifier: Apache-2.0 */
/* Threads begin and end. A thread that a request starts works for that request, until it reads
 * another or waits for anybody's event. */
#include <errno.h>
#include <pthread.h>
#include <threads.h>

#include "attribution.h"
#include "exporter.h"
#include "hook.h"

/* glibc before 2.34 without libpthread; it may have come by now. */
__attribute__((used)) static int absent_pthread_create(
    pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *), void *argument);

HOOK_OR(absent_pthread_create, int, pthread_create,
    (pthread_t * thread, const pthread_attr_t *attributes, void *(*start)(void *), void *argument))
{
    struct inheritance *inheritance = inheritance_take(attributes, start, argument);
    if (__builtin_expect(inheritance == NULL, 1))
        return ORIGINAL(pthread_create)(thread, attributes, start, argument);
    int error = ORIGINAL(pthread_create)(thread, attributes, inheritance_run, inheritance);
    if (error != 0)
        inheritance_drop(inheritance);
    return error;
}

static int absent_pthread_create(
    pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *), void *argument)
{
    hooks_resolve();
    return original_pthread_create == absent_pthread_create
               ? ENOSYS
               : original_pthread_create(thread, attributes, start, argument);
}

HOOK(void, pthread_exit, (void *result))
{
    exporter_retire();
    ORIGINAL(pthread_exit)(result);
    __builtin_unreachable();
}

/* glibc before 2.34 without libpthread. */
__attribute__((used)) static void absent_thrd_exit(int result)
{
    ORIGINAL(pthread_exit)((void *)(intptr_t)result); /* as libc's own */
    __builtin_unreachable();
}

HOOK_OR(absent_thrd_exit, void, thrd_exit, (int result))
{
    exporter_retire();
    ORIGINAL(thrd_exit)(result);
    __builtin_unreachable();
}
