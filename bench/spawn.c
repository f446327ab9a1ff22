/* SPDX-License-Identifier: Apache-2.0 */
/* spawn COUNT PROGRAM: least and median nanoseconds to start PROGRAM and see it end. SPAWN_PRELOAD,
 * if set, becomes the child's LD_PRELOAD; the parent itself stays bare. */
#include <spawn.h>
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
    if (argc != 3)
        return 2;
    int count = atoi(argv[1]);
    static char preload[4096];
    const char *library = getenv("SPAWN_PRELOAD");
    snprintf(preload, sizeof(preload), "LD_PRELOAD=%s", library == NULL ? "" : library);
    char *arguments[] = {argv[2], NULL};
    char *environment[] = {"PATH=/bin", library == NULL ? NULL : preload, NULL};
    double *each = calloc((size_t)count, sizeof(*each));
    for (int i = 0; i < count; i++) {
        pid_t child;
        double start = now_ns();
        if (posix_spawn(&child, argv[2], NULL, NULL, arguments, environment) != 0)
            return 1;
        waitpid(child, NULL, 0);
        each[i] = now_ns() - start;
    }
    qsort(each, (size_t)count, sizeof(*each), compare);
    printf("%.0f %.0f\n", each[0], each[count / 2]);
    return 0;
}
