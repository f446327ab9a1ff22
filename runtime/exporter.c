/* SPDX-License-Identifier: Apache-2.0 */
#include "exporter.h"

#include <pthread.h>
#include <signal.h>
#include <sched.h>
#include <string.h>
#include <time.h>
#include <sys/prctl.h>

#include "config.h"
#include "counters.h"
#include "delivery.h"
#include "descriptor.h"
#include "memory.h"
#include "message.h"
#include "metrics_file.h"
#include "originals.h"
#include "outlet.h"
#include "process.h"
#include "recover.h"
#include "resource.h"
#include "ring.h"
#include "sampler_remote.h"
#include "sys.h"
#include "text_pool.h"
#include "thread.h"
#include "wait.h"

#ifndef CLOSE_RANGE_UNSHARE
#define CLOSE_RANGE_UNSHARE 2
#endif

enum { STACK_BYTES = 256 * 1024, EXPOSED_DELAY_MS = 5 };
/* RETIRED: the host's main thread has left, so the process ends with its last thread, which must
 * not be ours; RINGS_ONLY: the same, and the ring file has been made. */
enum life { LIFE_NONE, LIFE_RUNNING, LIFE_REFUSED, LIFE_STOPPED, LIFE_RETIRED, LIFE_RINGS_ONLY };

/* Host threads write life (once), work, requested, is_last, is_stopping; the thread the rest. */
static uint32_t life AT_START;
uint32_t exporter_work;
static uint32_t requested; /* flushes asked for */
static uint32_t finished;  /* futex: flushes done */
static bool is_last, is_stopping;
static pthread_t thread;
static long thread_id; /* for the kernel */
static struct delivery delivery;
static struct metrics metrics;
static struct tail tail;
static int ring_descriptor = -1; /* a number of the thread's own table */
static uint8_t resource[RING_RESOURCE_BYTES_MAX];
static size_t resource_bytes;
static uint64_t counted_us; /* CPU time of this thread */

static void make_resource(void)
{
    static struct otlp_process facts;
    memset(&facts, 0, sizeof(facts));
    resource_begin(&facts);
    resource_finish(&facts, &config, &delivery.stop_ns);
    resource_bytes = otlp_resource(&config, &facts, resource, sizeof(resource));
    rings_set_resource(resource, resource_bytes);
}

/* False: we would share the host's descriptors, or keep its connections open. */
static bool leave_descriptor_table(void)
{
    int kept = outlet_kept(&config); /* 1 or 2, or -1 */
    if (sys(SYS_close_range, kept + 1, ~0u, CLOSE_RANGE_UNSHARE) == 0) {
        for (int fd = 0; fd < kept; fd++)
            sys(SYS_close, fd);
        return true;
    }
    if (sys(SYS_unshare, CLONE_FILES) !=
        0) /* Linux before 5.9, or a filter that does not know it */
        return false;
    for (int fd = 0; fd < DESCRIPTORS_MAX; fd++)
        if (fd != kept)
            sys(SYS_close, fd);
    return true;
}

/* A root of its own as well, so that a jail that the host enters later is none for it, and a
 * directory that the host leaves is not kept busy. Filters that do not know it may refuse. */
static void leave_directories(void)
{
    if (sys(SYS_unshare, CLONE_FS) == 0)
        sys(SYS_chdir, "/");
}

static bool rings_are_empty(void)
{
    for (uint32_t i = 0; i < rings_count(); i++) {
        struct ring *ring = rings_at(i);
        uint64_t cursor = ring == NULL ? 0 : ring_cursor(ring);
        if (ring != NULL && ring_next(ring, &cursor, ring_head(ring)) != NULL)
            return false;
    }
    return true;
}

static void drain(void)
{
    struct ring *all[RINGS_MAX];
    uint32_t count = rings_count();
    for (uint32_t i = 0; i < count; i++)
        all[i] = rings_at(i);
    delivery.intent = rings_intent();
    delivery_drain(&delivery, all, count, resource, (uint32_t)resource_bytes);
    delivery.intent = NULL;
}

/* Monotonic; never, if nothing has been measured and nobody is to be asked. */
static uint64_t next_due(void)
{
    uint64_t metrics_ns = metrics.due_ns == 0 ? UINT64_MAX : metrics.due_ns;
    return metrics_ns < sampler_remote_due() ? metrics_ns : sampler_remote_due();
}

static void ask_for_strategy(void)
{
    if (process_monotonic_ns() >= sampler_remote_due() &&
        __atomic_load_n(&delivery.stop_ns, __ATOMIC_RELAXED) == 0)
        sampler_remote_poll(&delivery.stop_ns);
}

/* While nothing else is asked for than `asked`; meanwhile the spool is sent, at its pace. */
static uint32_t wait_while(uint32_t asked, uint64_t until)
{
    uint32_t wanted;
    while ((wanted = __atomic_load_n(&exporter_work, __ATOMIC_SEQ_CST)) == asked &&
           process_monotonic_ns() < until) {
        uint64_t due = delivery_catch_up(&delivery);
        rings_publish_counters();
        wait_until(&exporter_work, asked, due < until ? due : until);
    }
    return wanted;
}

static void await_work(void)
{
    uint32_t wanted = wait_while(WORK_NONE, next_due());
    uint64_t delay_ms = rings_are_exposed() ? EXPOSED_DELAY_MS : config.schedule_delay_ms;
    if (wanted == WORK_SOON)
        wait_while(WORK_SOON, process_monotonic_ns() + delay_ms * 1000000ull);
    /* Before the rings are looked at: a record committed from now on asks again. */
    __atomic_store_n(&exporter_work, WORK_NONE, __ATOMIC_SEQ_CST);
}

/* What it costs to be observed, but for the calls themselves. */
static void count_own_time(void)
{
    struct timespec now;
    if (clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now) != 0)
        return;
    uint64_t now_us = (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000;
    counter_add(COUNTER_SELF_MICROSECONDS, now_us - counted_us);
    counted_us = now_us;
}

/* Each interval, and what is new of the last one when the process ends. */
static void send_metrics(void)
{
    if (config.scraped)
        metrics_file_write(&metrics, resource, resource_bytes);
    bool is_end = __atomic_load_n(&is_last, __ATOMIC_RELAXED) ||
                  __atomic_load_n(&is_stopping, __ATOMIC_ACQUIRE);
    bool is_due = metrics.due_ns != 0 && process_monotonic_ns() >= metrics.due_ns;
    bool is_sent = config_sends(&config, SIGNAL_METRICS);
    if (is_due || is_end)
        counters_gather();
    if (is_due && !is_sent)
        metrics_done(&metrics, 0);
    if (is_sent && (is_due || (is_end && (metrics.is_changed ||
                                             counters_tell_loss(counters, metrics.counters_sent)))))
        delivery_send_metrics(&delivery, resource, (uint32_t)resource_bytes);
}

static void finish_flushes(uint32_t upto)
{
    if (__atomic_load_n(&finished, __ATOMIC_RELAXED) == upto)
        return;
    if (__atomic_load_n(&is_last, __ATOMIC_RELAXED) && rings_are_empty())
        rings_remove_file();
    __atomic_store_n(&finished, upto, __ATOMIC_RELEASE);
    wait_wake(&finished);
}

/* Their spans tell neither of our code nor in our metrics. */
static void recover_others(void)
{
    struct metrics *ours = delivery.metrics;
    struct tail *our_tail = delivery.tail;
    delivery.holds_logs = false;
    delivery.telling->name_code = NULL;
    delivery.metrics = NULL;
    delivery.tail = NULL;
    recover_dead(&delivery, &config, config.service_name, NULL, NULL);
    delivery.telling->name_code = symbols_find;
    delivery.metrics = ours;
    delivery.tail = our_tail;
    delivery.holds_logs = true;
    alike_forget(delivery.alike);
}

/* A program of real-time has not given that to us, nor the time that RLIMIT_RTTIME allows. */
static void be_ordinary(void)
{
    static const struct sched_param none;
    long policy = sys(SYS_sched_getscheduler, 0);
    if (policy == SCHED_FIFO || policy == SCHED_RR)
        sys(SYS_sched_setscheduler, 0, SCHED_OTHER, &none);
}

static void *run(void *unused)
{
    thread_exempt();
    be_ordinary();
    counted_us = 0;
    __atomic_store_n(&thread_id, sys(SYS_gettid), __ATOMIC_RELAXED);
    sys(SYS_prctl, PR_SET_NAME, "burdock");
    if (!leave_descriptor_table()) {
        __atomic_store_n(&life, LIFE_REFUSED, __ATOMIC_RELEASE);
        return NULL;
    }
    leave_directories();
    ring_descriptor = rings_take_file(&config);
    rings_keep_spare(ring_descriptor);
    make_resource();
    if (!delivery_open(&delivery, &config)) {
        rings_unlock();
        __atomic_store_n(&life, LIFE_REFUSED, __ATOMIC_RELEASE); /* nobody waits for us at exit */
        return NULL;
    }
    if (__atomic_load_n(&is_stopping, __ATOMIC_ACQUIRE)) /* already; opening forgot the deadline */
        delivery_stop_by(
            &delivery, &config, process_monotonic_ns() + config.exit_timeout_ms * 1000000ull);
    delivery.telling->name_code = symbols_find;
    delivery.holds_logs = true;
    metrics_init(&metrics, &config);
    delivery.metrics = config.measures ? &metrics : NULL;
    sampler_remote_start(delivery.ways[SIGNAL_TRACES].http.scratch);
    delivery.tail = tail_open(&tail, &config) ? &tail : NULL;
    if (rings_are_exposed()) /* what was recorded before the file was there is not durable */
        drain();
    recover_others();
    bool is_last_round;
    do { /* whoever stops us asks for a flush as well: one round more, which begins after that */
        ask_for_strategy();
        await_work();
        is_last_round = __atomic_load_n(&is_stopping, __ATOMIC_ACQUIRE);
        uint32_t upto = __atomic_load_n(&requested, __ATOMIC_ACQUIRE);
        process_clock_refresh();
        rings_keep_spare(ring_descriptor);
        rings_look_at_use();
        drain();
        if (delivery.tail != NULL)
            tail_age(&tail);
        text_trim();
        count_own_time();
        send_metrics();
        rings_publish_counters();
        if (__atomic_load_n(&exporter_work, __ATOMIC_RELAXED) == WORK_NONE)
            delivery_rest(&delivery);
        finish_flushes(upto);
    } while (!is_last_round);
    rings_unlock();
    delivery_close(&delivery);
    /* Whoever asked too late for another round is not to wait for it. */
    __atomic_store_n(&life, LIFE_STOPPED, __ATOMIC_SEQ_CST);
    finish_flushes(__atomic_load_n(&requested, __ATOMIC_SEQ_CST));
    return NULL;
}

/* Runs on the host's stack, once per process at a time: what is large lies elsewhere. */
static bool start_thread(void)
{
    static pthread_attr_t attributes;
    /* But for 32 and 33, which glibc sends to its own threads: setuid() waits for their answer. */
    uint64_t all = ~(3ull << 31), before;
    if (originals.pthread_create == NULL || originals.pthread_attr_setstacksize == NULL ||
        pthread_attr_init(&attributes) != 0)
        return false;
    originals.pthread_attr_setstacksize(&attributes, STACK_BYTES);
    sys(SYS_rt_sigprocmask, SIG_SETMASK, &all, &before, sizeof(all));
    int error = originals.pthread_create(&thread, &attributes, run, NULL);
    sys(SYS_rt_sigprocmask, SIG_SETMASK, &before, NULL, sizeof(before));
    pthread_attr_destroy(&attributes);
    return error == 0;
}

/* The file comes first: who finds `life` set finds the file, or there can be none. Without a thread
 * (RLIMIT_NPROC, a sandbox, a retired main thread) it is drained from outside, or at the end. */
void exporter_need(void)
{
    uint32_t expected = LIFE_RETIRED;
    uint32_t now = __atomic_load_n(&life, __ATOMIC_ACQUIRE);
    if (__builtin_expect(now != LIFE_NONE && now != LIFE_RETIRED, 1))
        return;
    if (!config.records && !config.records_logs)
        return;
    rings_make_file(&config);
    if (__atomic_compare_exchange_n(
            &life, &expected, LIFE_RINGS_ONLY, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED)) {
        rings_publish_counters();
        return;
    }
    expected = LIFE_NONE;
    if (!__atomic_compare_exchange_n(
            &life, &expected, LIFE_RUNNING, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
        return;
    if (process_may_call() && start_thread())
        return;
    __atomic_store_n(&life, LIFE_REFUSED, __ATOMIC_RELEASE);
    counter_add(COUNTER_THREAD_REFUSED, 1);
    rings_publish_counters();
}

void exporter_ask(uint32_t wanted)
{
    uint32_t now = __atomic_load_n(&exporter_work, __ATOMIC_SEQ_CST);
    while (now < wanted) {
        if (!__atomic_compare_exchange_n(
                &exporter_work, &now, wanted, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
            continue;
        if (process_may_call())
            wait_wake(&exporter_work);
        return;
    }
}

/* The thread has ended, and the next one shall start as the first one did. */
static void begin_anew(void)
{
    __atomic_store_n(&is_stopping, false, __ATOMIC_RELEASE);
    __atomic_store_n(&delivery.stop_ns, 0, __ATOMIC_RELEASE);
    __atomic_store_n(&life, LIFE_NONE, __ATOMIC_RELEASE);
}

/* The process ends and the thread had retired or stepped aside: it comes back for what is left. */
static void return_for_the_end(void)
{
    uint32_t now = __atomic_load_n(&life, __ATOMIC_ACQUIRE);
    if (now != LIFE_RETIRED && now != LIFE_RINGS_ONLY && now != LIFE_NONE)
        return;
    if (rings_are_empty()) {
        rings_remove_file();
        return;
    }
    begin_anew();
    exporter_need();
}

void exporter_flush(bool last)
{
    if (last)
        message_over();
    if (process.page != NULL && last && process.is_ending && process_may_call())
        return_for_the_end();
    if (process.page == NULL || process_is_child() || thread_in_vfork != 0 ||
        __atomic_load_n(&life, __ATOMIC_ACQUIRE) != LIFE_RUNNING || !process_may_call())
        return;
    uint64_t deadline = process_monotonic_ns() + config.exit_timeout_ms * 1000000ull;
    if (last)
        __atomic_store_n(&is_last, true, __ATOMIC_RELAXED);
    delivery_stop_by(&delivery, &config, deadline);
    uint32_t ticket = __atomic_add_fetch(&requested, 1, __ATOMIC_SEQ_CST);
    __atomic_fetch_add(&delivery.interrupt, 1, __ATOMIC_RELEASE);
    wait_wake(&delivery.interrupt);
    exporter_wake(true);
    uint32_t seen;
    while ((int32_t)((seen = __atomic_load_n(&finished, __ATOMIC_ACQUIRE)) - ticket) < 0 &&
           __atomic_load_n(&life, __ATOMIC_SEQ_CST) == LIFE_RUNNING &&
           process_monotonic_ns() < deadline)
        wait_until(&finished, seen, deadline);
    if (!__atomic_load_n(&is_stopping, __ATOMIC_RELAXED)) /* else the thread is to give up, too */
        __atomic_store_n(&delivery.stop_ns, 0, __ATOMIC_RELEASE);
}

/* True if the thread has ended, or there was none. */
static bool stop(void)
{
    __atomic_store_n(&is_stopping, true, __ATOMIC_RELEASE);
    bool runs = __atomic_load_n(&life, __ATOMIC_ACQUIRE) == LIFE_RUNNING && !process_is_child();
    exporter_flush(false);
    /* A filter for all threads may kill the process for our last system calls. */
    struct timespec until;
    sys(SYS_clock_gettime, CLOCK_REALTIME, &until); /* the kernel's, as that of the wait is */
    until.tv_sec += 1 + (time_t)(config.exit_timeout_ms / 1000);
    bool has_ended = !runs || (originals.pthread_timedjoin_np != NULL &&
                                  originals.pthread_timedjoin_np(thread, NULL, &until) == 0);
    __atomic_store_n(&life, LIFE_STOPPED, __ATOMIC_RELEASE);
    return has_ended;
}

void exporter_stop(void)
{
    stop();
}

/* A thread that was joined is one of the process for a moment more. */
static void await_end_of_thread(void)
{
    static const struct timespec moment = {0, 200000};
    long id = __atomic_load_n(&thread_id, __ATOMIC_RELAXED);
    for (int i = 0; i < 500 && sys(SYS_tgkill, sys(SYS_getpid), id, 0) == 0; i++)
        sys(SYS_nanosleep, &moment, NULL);
}

void exporter_step_aside(void)
{
    if (process.page == NULL || process_is_child() || thread_in_vfork != 0 || !process_may_call() ||
        __atomic_load_n(&life, __ATOMIC_ACQUIRE) != LIFE_RUNNING || !stop())
        return;
    await_end_of_thread();
    begin_anew();
}

void exporter_retire(void)
{
    if (process.page == NULL || process_is_child() || !process_may_call() ||
        sys(SYS_gettid) != sys(SYS_getpid))
        return;
    exporter_stop();
    __atomic_store_n(&life, rings_have_file() ? LIFE_RINGS_ONLY : LIFE_RETIRED, __ATOMIC_RELEASE);
}

void exporter_forked(void)
{
    life = LIFE_NONE;
    exporter_work = WORK_NONE;
    requested = finished = 0;
    is_last = is_stopping = false;
    memset(&delivery, 0, sizeof(delivery));
    memset(&metrics, 0, sizeof(metrics));
    ring_descriptor = -1;
    resource_bytes = 0;
}
