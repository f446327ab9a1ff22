/* SPDX-License-Identifier: Apache-2.0 */
#include "catch_up.h"

#include <pthread.h>
#include <time.h>
#include <unistd.h>

#include "delivery.h"
#include "process.h"

enum { LOOK_EVERY_MS = 1000, BYTES_PER_S = 8 * 1024 * 1024 };

static pthread_t thread;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t wake;
static struct delivery delivery;
static struct catch_up_state state; /* the rest: under the lock */
static bool runs, is_leaving, is_hurried;
static uint64_t looked_ns; /* the thread's own */

static void publish(bool waits)
{
    state = (struct catch_up_state){.waits = waits};
    for (unsigned i = 0; i < SIGNAL_COUNT; i++) {
        const uint64_t *fates = delivery.ways[i].fates;
        state.sent += fates[FATE_EXPORTED];
        state.lost += fates[FATE_REJECTED] + fates[FATE_DROPPED_SPOOL];
    }
}

/* Every so often, at what held nothing. */
static void look_again(void)
{
    uint64_t now = process_monotonic_ns();
    if (now - looked_ns < LOOK_EVERY_MS * 1000000ull)
        return;
    looked_ns = now;
    for (unsigned i = 0; i < SIGNAL_COUNT; i++)
        if (delivery.ways[i].catch_up_ns == UINT64_MAX)
            delivery.ways[i].catch_up_ns = 0;
}

/* Under the lock. */
static void sleep_until(uint64_t ns)
{
    struct timespec until = {(time_t)(ns / 1000000000), (long)(ns % 1000000000)};
    while (!is_leaving && !is_hurried && process_monotonic_ns() < ns)
        pthread_cond_timedwait(&wake, &lock, &until);
    for (unsigned i = 0; i < SIGNAL_COUNT && is_hurried; i++)
        delivery.ways[i].catch_up_ns = delivery.ways[i].away.until_ns = 0;
    is_hurried = false;
}

static void *run(void *unused)
{
    pthread_mutex_lock(&lock);
    while (!is_leaving) {
        pthread_mutex_unlock(&lock);
        look_again();
        uint64_t due = delivery_catch_up(&delivery);
        uint64_t look = looked_ns + LOOK_EVERY_MS * 1000000ull;
        pthread_mutex_lock(&lock);
        publish(due != UINT64_MAX);
        sleep_until(due < look ? due : look);
    }
    pthread_mutex_unlock(&lock);
    return NULL;
}

/* What is not ours to send is not looked at. */
static bool open_spools(const struct config *config)
{
    bool any = false;
    for (unsigned i = 0; i < SIGNAL_COUNT; i++) {
        struct spool *spool = delivery.ways[i].spool;
        spool->is_on &= config->signals[i].is_relayed;
        spool->takes_others = geteuid() == 0;
        any |= spool->is_on;
    }
    return any;
}

bool catch_up_start(const struct config *config)
{
    pthread_condattr_t attributes;
    if (!delivery_open(&delivery, config))
        return false;
    if (!open_spools(config)) {
        delivery_close(&delivery);
        return false;
    }
    delivery.catch_up_bytes_per_s = BYTES_PER_S;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&wake, &attributes);
    pthread_condattr_destroy(&attributes);
    runs = pthread_create(&thread, NULL, run, NULL) == 0;
    return runs;
}

void catch_up_now(void)
{
    pthread_mutex_lock(&lock);
    is_hurried = true;
    pthread_cond_signal(&wake);
    pthread_mutex_unlock(&lock);
}

struct catch_up_state catch_up_state(void)
{
    pthread_mutex_lock(&lock);
    struct catch_up_state now = state;
    pthread_mutex_unlock(&lock);
    return now;
}

void catch_up_leave(void)
{
    pthread_mutex_lock(&lock);
    is_leaving = true;
    pthread_cond_signal(&wake);
    pthread_mutex_unlock(&lock);
}

void catch_up_join(void)
{
    if (!runs)
        return;
    pthread_join(thread, NULL);
    delivery_close(&delivery);
}
