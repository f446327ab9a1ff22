/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The exporter: one background thread that drains the rings, builds OTLP and delivers it.
 *
 * It starts when the first exchange of the process begins, with all signals blocked. Its first act
 * is to leave the process's descriptor table (close_range with CLOSE_RANGE_UNSHARE): its socket,
 * store and ring files never have a number in the host, so the host can neither close, duplicate
 * over, inherit nor list them, and the host's lowest free number never changes.
 * Asleep on a futex, without a timeout, while there is nothing to export.
 *
 * | function            | who                              | may wait               |
 * | exporter_need       | host thread in its observe block | no (starts the thread) |
 * | exporter_wake       | host thread in its observe block | no                     |
 * | exporter_flush      | host thread at exit, _exit, exec | yes, bounded           |
 * | exporter_stop       | host thread asking for a sandbox | yes, bounded           |
 * | exporter_step_aside | host thread asking to be alone   | yes, bounded           |
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "ours.h"

struct thread;

/* Makes sure that there is a ring file and that the exporter runs, or that it is known that they
 * cannot be. */
void exporter_need(void);

enum exporter_work { WORK_NONE, WORK_SOON, WORK_NOW };
OURS uint32_t exporter_work; /* futex: what the thread has been asked to do */
void exporter_ask(uint32_t wanted);

/* Something was written to a ring. urgent: do not wait for the schedule delay. */
static inline void exporter_wake(bool urgent)
{
    uint32_t wanted = urgent ? WORK_NOW : WORK_SOON;
    if (__atomic_load_n(&exporter_work, __ATOMIC_SEQ_CST) < wanted)
        exporter_ask(wanted);
}

/* Delivers all that is in the rings, at most for config.exit_timeout_ms. last: the process image
 * ends now, the ring file is removed when empty. */
void exporter_flush(bool last);

/* Flushes, then ends the thread; it does not start again in this process. */
void exporter_stop(void);

/* For a call that is granted to processes of one thread only: flushes, ends the thread and waits
 * until the kernel has forgotten it, bounded. The next exchange starts it anew. */
void exporter_step_aside(void);

/* The calling thread ends by pthread_exit. If it is the main thread, the process ends with its last
 * thread, and ours must not be that: it flushes and ends. From then on spans wait in the rings, for
 * whoever drains them from outside and for the end of the process. */
void exporter_retire(void);

void exporter_forked(void);
