/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Gearman's binary protocol (PROTOCOL of gearmand 1.1; its sections are named): what the files of
 * this protocol share.
 *
 * Jobs that are submitted are given their handles in their order. What waits for one is a list of
 * runs, whose exchanges have numbers that follow each other; a job in the foreground then waits,
 * under its handle, for its result.
 *
 *   runs[0 .. run_count - 1], each of at least one job, are in the order of their submission
 *   open = jobs among them <= GEARMAN_OPEN_MAX
 */
#pragma once

#include <string.h>

#include "broker.h"

enum {
    GEARMAN_HEADER_BYTES = 12,
    GEARMAN_BODY_MAX = 1 << 30,
    GEARMAN_RUNS_MAX = 12,
    GEARMAN_OPEN_MAX = 1024,
    GEARMAN_WAITING_MAX = 16 /* jobs in the foreground; more end when they have their handle */
};

/* FIELD_STATUS of a job that failed is one of these. */
enum gearman_type {
    GEARMAN_SUBMIT_JOB = 7,
    GEARMAN_JOB_CREATED = 8,
    GEARMAN_GRAB_JOB = 9,
    GEARMAN_JOB_ASSIGN = 11,
    GEARMAN_WORK_COMPLETE = 13,
    GEARMAN_WORK_FAIL = 14,
    GEARMAN_SUBMIT_JOB_BG = 18,
    GEARMAN_ERROR = 19,
    GEARMAN_SUBMIT_JOB_HIGH = 21,
    GEARMAN_WORK_EXCEPTION = 25,
    GEARMAN_GRAB_JOB_UNIQ = 30,
    GEARMAN_JOB_ASSIGN_UNIQ,
    GEARMAN_SUBMIT_JOB_HIGH_BG,
    GEARMAN_SUBMIT_JOB_LOW,
    GEARMAN_SUBMIT_JOB_LOW_BG,
    GEARMAN_SUBMIT_JOB_SCHED,
    GEARMAN_SUBMIT_JOB_EPOCH,
    GEARMAN_SUBMIT_REDUCE_JOB,
    GEARMAN_SUBMIT_REDUCE_JOB_BG,
    GEARMAN_GRAB_JOB_ALL,
    GEARMAN_JOB_ASSIGN_ALL,
    GEARMAN_TYPE_MAX = 42
};

/* A packet on its way in one direction. */
struct gearman_side {
    uint8_t header[GEARMAN_HEADER_BYTES];
    uint8_t got;      /* bytes of it */
    uint8_t type;     /* enum gearman_type */
    uint8_t meaning;  /* enum meaning */
    uint8_t argument; /* which one is being read; the third and those behind it are not */
    bool is_inside;   /* some of it was read */
    bool is_told;     /* it is an exchange */
    bool is_answer;   /* its first argument is of what was submitted first */
    bool is_requested;
    uint32_t left;   /* bytes of the body to come */
    uint32_t serial; /* of the exchange */
    uint32_t hash;   /* of the argument; then of the handle */
};

struct gearman_run {
    uint32_t serial; /* of the first one */
    uint32_t count;
    bool is_background;
};

struct gearman_waiting {
    uint32_t handle; /* its hash */
    uint32_t serial;
};

struct gearman {
    struct broker_connection connection;
    struct gearman_side sides[2];
    struct gearman_run runs[GEARMAN_RUNS_MAX];
    struct gearman_waiting waiting[GEARMAN_WAITING_MAX];
    uint32_t open;
    uint8_t run_count;
    uint8_t waiting_count;
};

_Static_assert(sizeof(struct gearman) <= STATE_BYTES_MAX, "connections hold one each");

void gearman_describe(const struct facts *facts, struct describer *out);
