/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Event isolation: an event loop that its process cannot be believed of gets one ready
 * event at a time, and is told that there is nothing more until it has done what it put off. So all
 * that a thread does between two waits is of one event, and a request that seems to wait does.
 * What such a loop returns is what epoll_wait, poll and select may return at any time.
 *
 * Only where it is needed, and as long as it helps: a loop of whose calls many are doubtful, whose
 * events come together or whose work is put off, is isolated for a trial. Never where a runtime's
 * carrier tells of tasks, where threads take turns at one loop, or where a loop never sleeps.
 *
 * Who knows better sets the phase: NEVER, or HELPS for a loop that is to be isolated always.
 *
 * Of one thread, and of one descriptor of epoll at a time; docs/ATTRIBUTION.md, "Event isolation".
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum isolation_phase {
    ISOLATION_WATCHES, /* is there need? */
    ISOLATION_SETTLES, /* on; until trust is regained, if it was lost */
    ISOLATION_TRIES,   /* on; does it help? */
    ISOLATION_HELPS,   /* on */
    ISOLATION_NEVER    /* off, for good */
};

struct isolation { /* all zero: no loop was seen yet */
    int32_t loop;  /* one more than the descriptor of epoll, or STREAM_POLLS; 0: none */
    int32_t given; /* of polls: the descriptor whose event it was given last */
    uint8_t phase; /* enum isolation_phase */
    uint8_t refusals;
    uint8_t drained;   /* looks in a row that were answered here */
    bool is_single;    /* the wait that it is about to begin is for one event */
    bool is_clean;     /* the last one was, and may have slept: nothing had been put off */
    bool is_needed;    /* events came together, or it looked without sleeping, in this window */
    bool has_settled;  /* isolation_settles has said so */
    uint32_t calls;    /* in this window */
    uint32_t doubtful; /* those of them that were */
    uint32_t before;   /* of 1,024 calls so many were, before isolation */
    uint32_t pause;    /* calls to come before the next window */
};

/* The loop asks. True: it is told that nothing is ready. Else *most is what it is to get at most.
 */
bool isolation_asks(struct isolation *isolation, int epoll, int *most, bool sleeps);
/* It was given so many events; -1: an error. is_trusted: the self-check has nothing against loops.
 */
void isolation_waited(
    struct isolation *isolation, int epoll, int events, bool sleeps, bool is_trusted);
/* True once, when what was under way as it was isolated is over: trust may be regained from here.
 */
bool isolation_settles(struct isolation *isolation);
void isolation_count(struct isolation *isolation, bool is_doubtful);
/* A call was decided. */
static inline void isolation_called(struct isolation *isolation, bool is_doubtful)
{
    if (isolation->loop != 0)
        isolation_count(isolation, is_doubtful);
}

/* The last call that was doubtful has a parent after all: its head names it. */
static inline void isolation_named(struct isolation *isolation)
{
    isolation->doubtful -= isolation->doubtful > 0;
}

static inline bool isolation_is_on(const struct isolation *isolation)
{
    return (uint32_t)isolation->phase - ISOLATION_SETTLES < ISOLATION_NEVER - ISOLATION_SETTLES;
}
