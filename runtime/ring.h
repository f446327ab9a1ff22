/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One ring per host thread: finished spans on their way to the exporter.
 *
 * Single producer (the owning thread, inside its observe block), single consumer (the exporter
 * thread, or whoever recovers the file after the process is dead). Wait-free on both sides:
 *
 *   head, tail count bytes ever written and ever consumed; 0 <= head - tail <= capacity
 *   bytes [tail, head) are complete records; a record never wraps: the end is filled by padding
 *
 * | during       | by another producer  | by the consumer           | the process dies | | reserve
 * | cannot be: the observe block admits one writer, signal handlers included        | | commit |
 * cannot be            | sees the old or new head  | old or new head, both whole  | | delivery |
 * goes on until full   | -                         | the recoverer sends again    | | consume |
 * sees old or new room | -                         | at most one batch twice      |
 *
 * To a collector, that is, or the spool. A batch in the local store is there once: before it is
 * appended, `intent` says where it will be and `storing` how far it reaches, so that a recoverer
 * who finds it there knows that it is delivered.
 *
 * The head is published after the record is whole, so an outside reader never sees a torn one.
 *
 * Rings live in one file per process, <run directory>/burdock-<pid>-<start>.ring, mapped shared, so
 * that a killed process's spans can be recovered. The thread that begins the process's first
 * exchange makes the file, before the answer can leave; the exporter keeps a spare ring ready, and
 * a thread that finds none adds its own. Pages are reserved (fallocate), since touching one that a
 * full tmpfs cannot give would raise SIGBUS in the host. Where that cannot be (no room, no place, a
 * sandbox) a thread gets a private ring: same use, but not durable, so the exporter hurries, and
 * the thread moves if there is room later. Counted: rings.private.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config.h"
#include "connection_counts.h"
#include "counters.h"
#include "record.h"
#include "store.h"

struct thread;

enum {
    RING_BYTES = 1024 * 1024, /* with its header; a power of two */
    RINGS_MAX = 256,
    RING_FILE_OPEN_AT = 32 * 1024, /* the requests that are open: open.h */
    RING_FILE_OPEN_BYTES = 48 * 1024,
    RING_FILE_HEADER_BYTES = RING_FILE_OPEN_AT + RING_FILE_OPEN_BYTES,
    RING_RESOURCE_BYTES_MAX = 16 * 1024,
    RING_PATH_BYTES_MAX = CONFIG_TEXT_MAX + 64,
    RING_VERSION = 15
};

struct ring {
    _Alignas(64) uint64_t head;
    uint64_t records; /* committed ever, but for those of logs; the producer's */
    uint64_t logs;    /* those */
    _Alignas(64) uint64_t tail;
    uint64_t counted[2];          /* metrics_state.h; the consumer's */
    uint64_t storing;             /* what is being stored ends here; the consumer's */
    _Alignas(64) uint32_t in_use; /* 1: a thread owns it as producer */
    uint32_t is_private;
    _Alignas(64) uint8_t data[];
};

enum { RING_CAPACITY = RING_BYTES - 4096 };

/* When things happened, since the Unix epoch in nanoseconds; 0: never. */
struct ring_health {
    uint64_t updated_ns;     /* these, and the counters */
    uint64_t exported_ns;    /* spans last reached their destination */
    uint64_t troubled_ns;    /* a counter of losses last grew */
    uint64_t used_max;       /* bytes of a ring, as the exporter found it fullest */
    uint64_t exported, lost; /* counted, when it was last looked at */
};

enum ring_measures { RING_MEASURES = 1, RING_MEASURES_DELTA = 2, RING_MEASURES_EXPONENTIAL = 4 };

struct ring_file {
    char magic[8]; /* "BURDOCK\0" */
    uint32_t version;
    uint32_t pid;
    uint64_t start_ns;
    char run_id[24];
    char service_name[256];
    uint32_t is_locked; /* its owner holds flock while alive; else judge by pid */
    uint32_t ring_count;
    uint32_t resource_place; /* in `resource`: where << 16 | bytes; the exporter writes another */
    uint32_t broken;
    char broken_why[128];
    uint64_t counters[COUNTER_COUNT];
    uint8_t resource[RING_RESOURCE_BYTES_MAX]; /* encoded OTLP Resource */
    struct ring_health health;
    uint64_t alive_ns;        /* since the epoch: when the exporter last was at it */
    uint64_t clock_offset_ns; /* Unix time minus monotonic time, then */
    struct connection_counts connections;
    uint32_t rings_begun;                  /* at least ring_count */
    char path[RING_PATH_BYTES_MAX];        /* ""; it is removed */
    uint32_t measures;                     /* its metrics go to a collector: enum ring_measures */
    uint64_t counters_sent[COUNTER_COUNT]; /* what the collector knows of them */
    struct store_intent intent;            /* of the local store: see ring.storing */
};
_Static_assert(sizeof(struct ring_file) <= RING_FILE_OPEN_AT, "the header has room");

static inline uint32_t ring_file_resource_at(const struct ring_file *file)
{
    return file->resource_place >> 16;
}

static inline uint32_t ring_file_resource_bytes(const struct ring_file *file)
{
    return file->resource_place & 0xffff;
}

/* --- host threads -------------------------------------------------------------------------- */

/* Room for a record of at most `bytes`; NULL: full or no ring (counted). Publish with ring_commit
 * after writing record->bytes <= bytes; or forget it. */
struct record *ring_reserve(struct thread *self, size_t bytes);
void ring_commit(struct thread *self, const struct record *record);
/* The same for a line of a log. Lines leave a part of the ring to spans. */
struct record *ring_reserve_log(struct thread *self, size_t bytes);
void ring_commit_log(struct thread *self, const struct record *record);
void ring_release(struct thread *self); /* the thread ends */
void rings_forked(void);                /* drop the parent's rings: they are shared memory */

/* --- consumer ------------------------------------------------------------------------------ */

/* Where reading starts: nothing before it is still needed. */
uint64_t ring_cursor(const struct ring *ring);
/* Where it ends now: what is before it has been committed. */
uint64_t ring_head(const struct ring *ring);
/* The record at *cursor, which moves behind it; NULL: no more before `head`. Checks every bound, so
 * that the rings of dead processes can be read too. The record stays until it is consumed. */
const struct record *ring_next(struct ring *ring, uint64_t *cursor, uint64_t head);
/* Gives the room up to cursor back: called when everything before it was delivered. */
void ring_consume(struct ring *ring, uint64_t cursor);

/* All rings of this process. */
uint32_t rings_count(void);
struct ring *rings_at(uint32_t index);

/* --- the file -------------------------------------------------------------------------------- */

/* False: whoever calls is no thread of this process, but a child of clone(CLONE_VM), which has its
 * memory. One system call, if it may. */
bool rings_are_callers(void);
/* Any thread that may make system calls: makes the file, if there is none. It has no ring yet, and
 * is judged by its pid until the exporter has it. False: there can be none, and private rings
 * serve.
 */
bool rings_make_file(const struct config *config);

/* --- exporter thread: the file ------------------------------------------------------------- */

/* Takes the file over, or makes it. The descriptor stays open in the exporter's own table and holds
 * the lock; -1: there is no file. */
int rings_take_file(const struct config *config);
/* The file's Resource, in the place of what was known at first. */
void rings_set_resource(const uint8_t *resource, size_t bytes);
/* Adds a spare ring to the file if none is free; sees to the lock. */
void rings_keep_spare(int descriptor);
/* Are there spans in private rings, which would die with the process? */
bool rings_are_exposed(void);
/* Looks how full the rings are; before they are drained. */
void rings_look_at_use(void);
uint64_t rings_used_max(void);
/* Spans, and lines of logs, that this process has recorded. */
uint64_t rings_recorded(void);
uint64_t rings_recorded_logs(void);
/* A counter as it is now: those two are counted in the rings. */
uint64_t rings_counter(enum counter counter);
/* What a collector knows of the counters now, for who recovers them. */
void rings_counters_sent(const uint64_t sent[COUNTER_COUNT]);
/* Publishes what outside readers find beside the counters: those of the rings, and its health. */
void rings_publish_counters(void);
bool rings_have_file(void);
/* "" if there is none. */
const char *rings_file_path(void);
/* Where the exporter says what it stores next; NULL: there is no file. */
struct store_intent *rings_intent(void);
/* Gives the lock up: from now on the process is judged by its pid. */
void rings_unlock(void);
/* Unlinks the file: everything was exported. But not if requests are still open, as where the image
 * is replaced: who finds the file tells them. */
void rings_remove_file(void);
