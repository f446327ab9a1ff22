/* SPDX-License-Identifier: Apache-2.0 */
/* What a program sees of the allocator and of locks: prints it, the same with the allocator
 * watched. Then threads hand each other blocks to free, for a while. */
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { THREADS = 4, ROUNDS = 20000, PLACES = 64 };

static void say(const char *what, void *block)
{
    printf("%s %s errno %d\n", what, block == NULL ? "NULL" : "there", errno);
    errno = 0;
    free(block);
    printf("%s freed, errno %d\n", what, errno);
}

/* Not known to the compiler, which would take such calls away, or warn. */
static volatile size_t none = 0, some = 100, all = SIZE_MAX - 64, odd = 24;

static void say_edges(void)
{
    errno = 0;
    say("malloc of nothing", malloc(none));
    say("malloc of all", malloc(all));
    say("calloc that overflows", calloc(all, 2));
    say("realloc of NULL", realloc(NULL, some));
    char *volatile kept = malloc(some);
    strcpy(kept, "kept");
    char *failed = realloc(kept, all);
    printf("realloc to all %s errno %d, %s\n", failed == NULL ? "NULL" : "there", errno, kept);
    kept = realloc(kept, 100 * some);
    printf("realloc %s, usable %d\n", kept, malloc_usable_size(kept) >= 100 * some);
    errno = 5;
    free(kept);
    free(NULL);
    printf("errno %d\n", errno);
    void *block = (void *)16;
    printf("posix_memalign %d", posix_memalign(&block, odd, some));
    printf(" %d\n", block == (void *)16);
    printf("posix_memalign %d", posix_memalign(&block, 256, some));
    printf(" %d\n", (uintptr_t)block % 256 == 0);
    free(block);
    block = aligned_alloc(4096, 4096);
    printf("aligned_alloc %d\n", (uintptr_t)block % 4096 == 0);
    free(block);
    block = memalign(64, some);
    printf("memalign %d\n", (uintptr_t)block % 64 == 0);
    free(block);
}

static void say_locks(void)
{
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_ERRORCHECK);
    pthread_mutex_t mutex;
    pthread_mutex_init(&mutex, &attributes);
    printf("unlock %d", pthread_mutex_unlock(&mutex) == EPERM);
    printf(" lock %d", pthread_mutex_lock(&mutex));
    printf(" again %d", pthread_mutex_lock(&mutex) == EDEADLK);
    printf(" try %d", pthread_mutex_trylock(&mutex) == EBUSY);
    pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
    struct timespec past = {0};
    printf(" wait %d", pthread_cond_timedwait(&condition, &mutex, &past) == ETIMEDOUT);
    printf(" unlock %d\n", pthread_mutex_unlock(&mutex));
    sem_t semaphore;
    sem_init(&semaphore, 0, 1);
    printf("sem_wait %d", sem_wait(&semaphore));
    printf(" sem_trywait %d errno %d", sem_trywait(&semaphore), errno);
    printf(" sem_timedwait %d", sem_timedwait(&semaphore, &past));
    printf(" errno %d", errno);
    printf(" sem_post %d", sem_post(&semaphore));
    printf(" sem_wait %d\n", sem_wait(&semaphore));
    pthread_spinlock_t spin;
    pthread_spin_init(&spin, PTHREAD_PROCESS_PRIVATE);
    printf("spin %d", pthread_spin_lock(&spin));
    printf(" again %d", pthread_spin_trylock(&spin) == EBUSY);
    printf(" unlock %d\n", pthread_spin_unlock(&spin));
}

static void *places[PLACES];

static void *churn(void *argument)
{
    unsigned seed = (unsigned)(uintptr_t)argument;
    for (int i = 0; i < ROUNDS; i++) {
        size_t bytes = (size_t)rand_r(&seed) % 2000 + sizeof(size_t);
        char *block = i % 3 == 0 ? calloc(1, bytes) : malloc(bytes);
        if (i % 5 == 0)
            block = realloc(block, bytes *= 2);
        memset(block, 0x5a, bytes);
        free(__atomic_exchange_n(&places[rand_r(&seed) % PLACES], block, __ATOMIC_ACQ_REL));
    }
    return NULL;
}

int main(void)
{
    say_edges();
    say_locks();
    pthread_t threads[THREADS];
    for (uintptr_t i = 0; i < THREADS; i++)
        if (pthread_create(&threads[i], NULL, churn, (void *)(i + 1)) != 0)
            return 1;
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < PLACES; i++)
        free(places[i]);
    puts("done");
    return 0;
}
