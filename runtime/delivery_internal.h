/* SPDX-License-Identifier: Apache-2.0 */
/* Between the files of delivery. */
#pragma once

#include "delivery.h"

enum {
    DELIVERY_BATCH_BYTES = 2 * 1024 * 1024,
    DELIVERY_TOO_LARGE = 413 /* Content Too Large (RFC 9110, 15.5.14) */
};

/* LATE: the time was up, or the store has no room. */
enum outcome {
    OUTCOME_DELIVERED,
    OUTCOME_SPOOLED,
    OUTCOME_REFUSED,
    OUTCOME_TOO_LARGE,
    OUTCOME_LATE
};

static inline uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* The host is leaving: there is no later. */
static inline bool delivery_is_leaving(const struct delivery *delivery)
{
    return __atomic_load_n(&delivery->stop_ns, __ATOMIC_RELAXED) != 0;
}

/* ---- delivery_post.c ---- */

bool delivery_is_away(const struct delivery *delivery, enum signal signal);
uint64_t delivery_deadline(const struct delivery *delivery, uint32_t timeout_ms);

/* Batches of spans may be larger than usual: they are delivered, and nobody has set their size. */
bool delivery_may_grow(const struct delivery *delivery);

/* The signal's batch, which is a request, once; or again and again if it may be repeated.
 * *rejected: by a partial success. */
void delivery_try(
    struct delivery *delivery, enum signal signal, uint64_t deadline, struct otlp_answer *answer);
enum outcome delivery_post(
    struct delivery *delivery, enum signal signal, bool may_repeat, int64_t *rejected);

/* Finishes the batch of spans or logs, and brings it to where its signal goes. */
enum outcome delivery_place(
    struct delivery *delivery, enum signal signal, bool may_repeat, int64_t *rejected);

/* The signal's batch, which is a request, to where its copies go. */
void delivery_copy(struct delivery *delivery, enum signal signal);

/* ---- delivery_split.c ---- */

/* The batch of spans or of lines, which was OUTCOME_TOO_LARGE and is not finished: in parts. */
void delivery_split(struct delivery *delivery, enum signal signal);
/* The same of a request of the spool's, which lies in the memory of spans. What cannot be sent now
 * is spooled again. False: it cannot be taken apart. */
bool delivery_split_spooled(struct delivery *delivery, enum signal signal, size_t length);

/* ---- delivery_spool.c ---- */

/* The signal's request, into its spool. False: it cannot be. */
bool delivery_keep(struct delivery *delivery, enum signal signal);
/* Something was delivered: now and then, others may have left something. */
void delivery_look_again(struct delivery *delivery, enum signal signal);

/* ---- delivery.c ---- */

/* The batch of spans or of lines, which is empty then, unless it may wait and has to. */
void delivery_send(struct delivery *delivery, enum signal signal, bool may_wait);
void delivery_count(
    struct delivery *delivery, enum signal signal, enum delivery_fate fate, uint32_t items);
/* Counts what has become of a batch: what is neither delivered nor spooled is dropped. */
void delivery_settle(struct delivery *delivery, enum signal signal, enum outcome outcome,
    uint32_t items, int64_t rejected);
/* All of them, but for those that a partial success rejects. */
void delivery_accepted(
    struct delivery *delivery, enum signal signal, uint32_t items, int64_t rejected);

/* ---- delivery_logs.c ---- */

void delivery_begin_logs(struct delivery *delivery, const uint8_t *resource);
void delivery_add_log(struct delivery *delivery, const struct record *record);
bool delivery_may_hold_logs(const struct delivery *delivery);
/* Is it time to send? */
bool delivery_logs_are_due(const struct delivery *delivery);
/* When the lines that wait in memory are to be tried again; tries it if it is time. */
uint64_t delivery_retry_logs(struct delivery *delivery);
