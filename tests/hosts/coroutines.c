/* SPDX-License-Identifier: Apache-2.0 */
/* Coroutines on stacks of their own: what they are given is what they get, and they go on on other
 * threads while their stacks come, go and are used again. */
#include <pthread.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "host.h"

enum { STACK = 64 * 1024, THREADS = 4, JOBS = 250 };

static const char request[] = "GET /job HTTP/1.1\r\nHost: peer\r\n\r\n";
static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

static ucontext_t caller;

static void print_all(int a, int b, int c, int d, int e, int f, int g, int h, int i, int j)
{
    printf("%d %d %d %d %d %d %d %d %d %d\n", a, b, c, d, e, f, g, h, i, j);
}

static void arguments(void)
{
    ucontext_t context;
    char *stack = malloc(STACK);
    EXPECT(getcontext(&context) == 0);
    context.uc_stack.ss_sp = stack;
    context.uc_stack.ss_size = STACK;
    context.uc_link = &caller;
    errno = 77;
    makecontext(&context, (void (*)(void))print_all, 10, 1, -2, 3, -4, 5, -6, 7, -8, 9, -10);
    EXPECT(errno == 77);
    EXPECT(swapcontext(&caller, &context) == 0);
    free(stack);
}

struct job {
    ucontext_t self, back;
    char *stack;
    bool is_mapped, is_over;
    struct job *next;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct job *asked; /* and not answered */

static void work(unsigned low, unsigned high)
{
    struct job *job = (struct job *)((uintptr_t)high << 32 | low);
    struct host_pair pair = host_connect(false, false);
    char got[sizeof(request)];
    ssize_t length = sizeof(request) - 1;
    EXPECT(write(pair.client, request, (size_t)length) == length);
    /* What the library has put into the head is not of interest here. */
    EXPECT(raw_read(pair.server, got, sizeof(got) - 1) > 0);
    host_raw_write_all(pair.server, answer, sizeof(answer) - 1);
    EXPECT(swapcontext(&job->self, &job->back) == 0);
    length = sizeof(answer) - 1;
    char text[sizeof(answer)];
    EXPECT(read(pair.client, text, sizeof(text)) == length);
    close(pair.client);
    close(pair.server);
    job->is_over = true;
    EXPECT(swapcontext(&job->self, &job->back) == 0);
}

static void *map_stack(void)
{
    void *memory = mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    EXPECT(memory != MAP_FAILED);
    return memory;
}

static void begin(bool is_mapped)
{
    struct job *job = calloc(1, sizeof(*job));
    job->is_mapped = is_mapped;
    job->stack = is_mapped ? map_stack() : malloc(STACK);
    EXPECT(getcontext(&job->self) == 0);
    job->self.uc_stack.ss_sp = job->stack;
    job->self.uc_stack.ss_size = STACK;
    makecontext(&job->self, (void (*)(void))work, 2, (unsigned)(uintptr_t)job,
        (unsigned)((uintptr_t)job >> 32));
    EXPECT(swapcontext(&job->back, &job->self) == 0);
    pthread_mutex_lock(&lock);
    job->next = asked;
    asked = job;
    pthread_mutex_unlock(&lock);
}

/* Anybody's. */
static bool finish_one(void)
{
    pthread_mutex_lock(&lock);
    struct job *job = asked;
    if (job != NULL)
        asked = job->next;
    pthread_mutex_unlock(&lock);
    if (job == NULL)
        return false;
    EXPECT(swapcontext(&job->back, &job->self) == 0 && job->is_over);
    if (job->is_mapped)
        munmap(job->stack, STACK);
    else
        free(job->stack);
    free(job);
    return true;
}

static void *run(void *argument)
{
    uint64_t random = 1 + (uintptr_t)argument;
    for (int i = 0; i < JOBS; i++) {
        begin(host_below(&random, 2) == 0);
        while (host_below(&random, 3) != 0)
            finish_one();
    }
    return NULL;
}

static void on_any_thread(void)
{
    pthread_t threads[THREADS];
    for (uintptr_t i = 0; i < THREADS; i++)
        EXPECT(pthread_create(&threads[i], NULL, run, (void *)i) == 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    while (finish_one()) {
    }
}

static const struct host_case cases[] = {
    {"arguments", arguments, NULL},
    {"on_any_thread", on_any_thread, "1000"},
    {NULL, NULL, NULL},
};

int main(int argc, char **argv)
{
    return host_main(cases, argc, argv);
}
