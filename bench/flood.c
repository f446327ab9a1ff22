/* SPDX-License-Identifier: Apache-2.0 */
/*
 * flood RATE SECONDS THREADS: that many statements of SQLite a second in all, each a span, since
 * nothing costs a program less; waits a second; prints how many there were.
 */
#include <pthread.h>
#include <sqlite3.h>
#include <time.h>

#include "../tests/hosts/host.h"

enum { THREADS_MAX = 64, PERIODS = 1000 /* a second */ };

static double rate, seconds;
static long made[THREADS_MAX];

static void *flood(void *count)
{
    sqlite3 *database;
    sqlite3_stmt *statement;
    struct timespec due;
    EXPECT(sqlite3_open(":memory:", &database) == SQLITE_OK);
    EXPECT(sqlite3_prepare_v2(database, "SELECT 1", -1, &statement, NULL) == SQLITE_OK);
    clock_gettime(CLOCK_MONOTONIC, &due);
    for (long period = 0; period < (long)(seconds * PERIODS); period++) {
        for (long wanted = (long)(rate / PERIODS * (double)(period + 1)); *(long *)count < wanted;
             ++*(long *)count) {
            EXPECT(sqlite3_step(statement) == SQLITE_ROW);
            EXPECT(sqlite3_reset(statement) == SQLITE_OK);
        }
        due.tv_nsec += 1000000000 / PERIODS;
        due.tv_sec += due.tv_nsec / 1000000000;
        due.tv_nsec %= 1000000000;
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL);
    }
    sqlite3_finalize(statement);
    sqlite3_close(database);
    return NULL;
}

int main(int argc, char **argv)
{
    pthread_t threads[THREADS_MAX];
    long sum = 0;
    EXPECT(argc == 4);
    int count = atoi(argv[3]);
    EXPECT(count > 0 && count <= THREADS_MAX);
    rate = atof(argv[1]) / count;
    seconds = atof(argv[2]);
    for (int i = 0; i < count; i++)
        EXPECT(pthread_create(&threads[i], NULL, flood, &made[i]) == 0);
    for (int i = 0; i < count; i++) {
        EXPECT(pthread_join(threads[i], NULL) == 0);
        sum += made[i];
    }
    nanosleep(&(struct timespec){1, 0}, NULL);
    printf("%ld\n", sum);
    return 0;
}
