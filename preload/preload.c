/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The shared object's life: in what order things start, and whether they start at all.
 * The constructor makes no thread, prints nothing, and opens no file but a crash guard's; whatever
 * fails leaves every hook a tail call to its original.
 */
#include <gnu/libc-version.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <unistd.h>

#include "attribution.h"
#include "bind.h"
#include "carriers.h"
#include "config.h"
#include "descriptor.h"
#include "environment.h"
#include "exporter.h"
#include "foreign.h"
#include "guard.h"
#include "heap.h"
#include "hook.h"
#include "logs_stdio.h"
#include "originals.h"
#include "outlet.h"
#include "process.h"
#include "propagators.h"
#include "protocol.h"
#include "stream.h"
#include "thread.h"
#include "unwind.h"

/* Declared by the hooks; what the runtime needs of them. */
extern __typeof__(pthread_create) *original_pthread_create;
extern __typeof__(sendmsg) *original_sendmsg;
extern __typeof__(send) *original_send;
extern __typeof__(write) *original_write;

FIND(pthread_attr_getstacksize, originals.pthread_attr_getstacksize, NULL);
FIND(pthread_attr_setstacksize, originals.pthread_attr_setstacksize, NULL);
FIND(pthread_timedjoin_np, originals.pthread_timedjoin_np, NULL);
FIND(pthread_key_create, originals.pthread_key_create, NULL);
FIND(pthread_key_delete, originals.pthread_key_delete, NULL);
FIND(_dl_find_object, unwind_find_object, NULL);
FIND(pthread_setspecific, originals.pthread_setspecific, NULL);
static __typeof__(burdock_heap_attach) *heap_attach; /* NULL: nobody watches the allocator */
FIND(burdock_heap_attach, heap_attach, NULL);

/* A program with more rights than its caller is none of our business (ld.so(8), secure execution).
 */
static bool is_wanted(void)
{
    return getauxval(AT_SECURE) == 0 && !config.disabled && burdock_is_first() &&
           !(config.crash_guard && guard_denies(&config));
}

static void start(char *const *argv, char *const *envp)
{
    if (!descriptor_start())
        return;
    if (!thread_start() || !process_start()) {
        descriptor_limit = 0;
        return;
    }
    originals.pthread_create = original_pthread_create;
    originals.sendmsg = original_sendmsg;
    originals.send = original_send;
    originals.write = original_write;
    attribution_start();
    environment_start(envp);
    carriers_start(argv);
    if (heap_attach != NULL)
        heap_attach(heap_start());
    if (heap_is_on && config.isolation == ISOLATION_AUTO)
        config.isolation = ISOLATION_ALWAYS; /* else its loops read many requests at once */
    if (config.joins_logs)
        logs_stdio = LOGS_STDIO_ON;
}

/* A program for musl takes us for one of its own: our libc.so.6 is its libc.so to it. Its loader
 * passes constructors no arguments, and the rest is not made for it either. */
extern __typeof__(gnu_get_libc_version) gnu_get_libc_version __attribute__((weak));

__attribute__((constructor)) static void preload_start(int argc, char **argv, char **envp)
{
    hooks_resolve();
    logs_stdio = LOGS_STDIO_OFF;
    foreign_start();
    if (gnu_get_libc_version == NULL)
        return;
    hooks_bind_own((const void *)(uintptr_t)gnu_get_libc_version);
    const char *executable = (const char *)getauxval(AT_EXECFN);
    config_read_first(&config, envp, argv, executable == NULL ? "" : executable);
    propagators_start();
    if (config.answer_headers != 0)
        protocol_edit_answers(true);
    protocol_edit_statements(config.comments_statements);
    protocol_edit_messages(config.redis_streams, config.redis_envelope);
    if (!config.crash_guard_given) /* /etc/ld.so.preload: nobody asked for this program */
        config.crash_guard = !environment_names_us(envp);
    if (is_wanted()) {
        outlet_start(&config);
        start(argv, envp);
    }
}

__attribute__((destructor)) static void preload_end(void)
{
    process.is_ending = true;
    stream_process_ends();
    exporter_flush(true);
}
