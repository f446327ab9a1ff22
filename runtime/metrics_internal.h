/* SPDX-License-Identifier: Apache-2.0 */
/* What metrics.c fills and metrics_write.c encodes. Exporter thread. */
#pragma once

#include "exponential.h"
#include "metrics.h"

enum { INDEX_SIZE = 8192, KEYS_BYTES = 1024 * 1024, BUCKETS_MAX = BOUNDS_MAX + 1 };

/* The last operation of a bucket that has one. */
struct exemplar {
    uint64_t time_ns; /* 0: none */
    uint64_t duration_ns;
    uint8_t trace_id[16];
    uint8_t span_id[8];
};

struct series {
    uint64_t hash;
    uint32_t key_at; /* in keys */
    uint16_t key_bytes;
    uint8_t measure;
    bool is_overflow;
    uint64_t count, sum_ns, least_ns, most_ns;
    uint64_t buckets[BUCKETS_MAX];
    uint64_t saved; /* count, as it was when that was; what stands before it was saved */
    struct exemplar exemplars[BUCKETS_MAX];
};

struct metrics_memory {
    uint32_t series_count;
    uint32_t keys_used;
    uint32_t counts[MEASURE_COUNT];   /* series of each */
    uint16_t overflow[MEASURE_COUNT]; /* their number + 1; 0: none */
    uint16_t index[INDEX_SIZE];       /* numbers + 1, by hash; 0: free */
    struct exponential *exponentials; /* by series, mapped apart; NULL: buckets are explicit */
    struct series series[SERIES_MAX];
    uint8_t keys[KEYS_BYTES];
};

/* A value of a key: struct key_head, then the text, or the number's 8 bytes if length is
 * KEY_NUMBER. */
enum { KEY_NUMBER = UINT16_MAX };

struct key_head {
    uint16_t attribute;
    uint16_t length;
};

struct bounds {
    uint32_t count;
    uint16_t ms[BOUNDS_MAX]; /* upper, inclusive */
};

struct measure_row {
    const char *name, *description;
    const struct bounds *bounds; /* NULL: a sum */
};

extern const struct measure_row measure_rows[MEASURE_COUNT];

/* Figures of the process, for metrics_write.c; those that cannot be had are -1. */
struct process_figures {
    int64_t user_ns, system_ns; /* CPU of all threads */
    int64_t resident, virtual;  /* bytes */
    int64_t threads, descriptors;
};

struct process_figures process_figures(void);
