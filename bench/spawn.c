/* SPDX-License-Identifier: Apache-2.0 */
/* spawn COUNT PROGRAM [OPTION...]: least and median nanoseconds to start PROGRAM and see it end.
 * SPAWN_PRELOAD and SPAWN_STORE become the child's LD_PRELOAD and BURDOCK_STORE; the parent itself
 * stays bare. */
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>

static double now_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

static int compare(const void *a, const void *b)
{
    double difference = *(const double *)a - *(const double *)b;
    return (difference > 0) - (difference < 0);
}

int main(int argc, char **argv)
{
    if (argc < 3)
        return 2;
    int count = atoi(argv[1]);
    static char preload[4096], store[4096];
    const char *library = getenv("SPAWN_PRELOAD"), *directory = getenv("SPAWN_STORE");
    bool is_traced = library != NULL && directory != NULL && library[0] != '\0';
    snprintf(preload, sizeof(preload), "LD_PRELOAD=%s", is_traced ? library : "");
    snprintf(store, sizeof(store), "BURDOCK_STORE=%s", is_traced ? directory : "");
    char *environment[] = {"PATH=/bin", is_traced ? preload : NULL, store, NULL};
    double *each = calloc((size_t)count, sizeof(*each));
    for (int i = 0; i < count; i++) {
        pid_t child;
        double start = now_ns();
        if (posix_spawn(&child, argv[2], NULL, NULL, argv + 2, environment) != 0)
            return 1;
        waitpid(child, NULL, 0);
        each[i] = now_ns() - start;
    }
    qsort(each, (size_t)count, sizeof(*each), compare);
    printf("%.0f %.0f\n", each[0], each[count / 2]);
    return 0;
}
