/* SPDX-License-Identifier: Apache-2.0 */
#include "carriers.h"

#include <errno.h>
#include <stddef.h>

#include "carrier.h"
#include "config.h"
#include "java/java.h"
#include "node/addon.h"
#include "process.h"
#include "python/python.h"
#include "ruby/ruby.h"
#include "thread.h"

static const struct {
    enum carrier_bits bit;
    /* In the constructor, before the program's own code: no allocation by malloc. May be NULL. */
    void (*start)(char *const *argv);
    /* When a connection was accepted. False: not now, the runtime is not ready; ask again. */
    bool (*install)(void);
} rows[] = {
    {CARRIER_PYTHON, NULL, python_install},
    {CARRIER_NODE, node_start, NULL},
    {CARRIER_JAVA, NULL, java_install},
    {CARRIER_RUBY, NULL, ruby_install},
};

/* Threads that are not the runtime's own may accept often before one that is comes: mod_wsgi's. */
enum { TRIES_MAX = 1024 };
static uint32_t tries, tried_epoch; /* the process that did */

static bool is_busy;

static bool may_look(void)
{
    return thread_in_vfork == 0 && !thread_is_exempt() && !process.is_ending && process_may_call();
}

/* A message has come, maybe of such a library. */
static void bringing(void)
{
    if (!may_look() || __atomic_exchange_n(&is_busy, true, __ATOMIC_ACQUIRE))
        return;
    int saved_errno = errno;
    if (java_brought())
        __atomic_store_n(&carrier_serving, NULL, __ATOMIC_RELEASE);
    errno = saved_errno;
    __atomic_store_n(&is_busy, false, __ATOMIC_RELEASE);
}

/* Of a library that was not there when its runtime's carrier was installed. */
static void handing(void)
{
    if (!may_look() || __atomic_exchange_n(&is_busy, true, __ATOMIC_ACQUIRE))
        return;
    int saved_errno = errno;
    __atomic_store_n(&carrier_serving, bringing, __ATOMIC_RELEASE);
    if (java_look_again())
        __atomic_store_n(&carrier_handing, NULL, __ATOMIC_RELEASE);
    errno = saved_errno;
    __atomic_store_n(&is_busy, false, __ATOMIC_RELEASE);
}

/* One thread at a time; what another one would do now, the next accepted connection does. */
static void serving(void)
{
    if (!may_look() || __atomic_exchange_n(&is_busy, true, __ATOMIC_ACQUIRE))
        return;
    int saved_errno = errno;
    static uint32_t done;
    bool is_done = true;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        bool is_asked = (config.carriers & rows[i].bit) && rows[i].install != NULL;
        if (is_asked && !(done & rows[i].bit) && rows[i].install())
            done |= rows[i].bit;
        is_done &= !is_asked || (done & rows[i].bit);
    }
    tried_epoch = process.epoch;
    if (is_done || ++tries == TRIES_MAX) {
        __atomic_store_n(
            &carrier_serving, config.carriers & CARRIER_JAVA ? bringing : NULL, __ATOMIC_RELEASE);
        if (config.carriers & CARRIER_JAVA)
            __atomic_store_n(&carrier_handing, handing, __ATOMIC_RELEASE);
    }
    errno = saved_errno;
    __atomic_store_n(&is_busy, false, __ATOMIC_RELEASE);
}

/* A worker of billiard's (Celery) that has its work by a pipe: each process asks once. */
static bool may_be_worker(void)
{
    static uint32_t asked_epoch;
    return __atomic_exchange_n(&asked_epoch, process.epoch, __ATOMIC_ACQ_REL) != process.epoch;
}

/* Where connections are accepted, but by none of Python's threads, as inside Apache, one of them
 * connects; not in a child of that process. */
static void connecting(const void *caller)
{
    bool serves = tried_epoch == process.epoch;
    if (carrier_serving == NULL || !may_look() || (!serves && !may_be_worker()) ||
        __atomic_exchange_n(&is_busy, true, __ATOMIC_ACQUIRE))
        return;
    int saved_errno = errno;
    if (!serves)
        python_connecting();
    else if (python_connected(caller))
        __atomic_store_n(&carrier_connecting, NULL, __ATOMIC_RELEASE);
    errno = saved_errno;
    __atomic_store_n(&is_busy, false, __ATOMIC_RELEASE);
}

void carriers_start(char *const *argv)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (!(config.carriers & rows[i].bit))
            continue;
        if (rows[i].start != NULL)
            rows[i].start(argv);
        if (rows[i].install != NULL)
            carrier_serving = serving;
        if (rows[i].bit == CARRIER_PYTHON)
            carrier_connecting = connecting;
    }
}
