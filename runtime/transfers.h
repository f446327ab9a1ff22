/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Transfers that a client library in C makes side by side: the program gives one to a group of
 * such, and when the group has its turn whichever of them can go on is worked at, and those that
 * are finished are taken out one by one. Each is of the request whose its thread was when it was
 * given.
 *
 * No call of the library tells which transfer it is at when it sends. But the frames that lead from
 * the turn's beginning to the call have its address, since they go on with it: of those in the
 * group that are found there, all are of one request, or what is sent next names the one by its
 * URL, or one alone is about to send. Else it is not known whose the call is.
 *
 * A transfer and a group are known by their addresses. A group is used by one thread at a time, as
 * the library asks for; different ones by any threads at once. Not in a signal handler.
 *
 *   at most TRANSFERS_MAX transfers are known; others' calls are nobody's that is known, with links
 *   a turn's frames are at most TRANSFERS_STACK_MAX bytes, else the same
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "carrier.h"

enum { TRANSFERS_MAX = 2048, TRANSFERS_STACK_MAX = 8 * 1024 };

/* What can be asked of a transfer while its group has its turn. */
struct transfers_library {
    /* The URL that it is at; the library's memory, until it goes on. NULL: not known. */
    const char *(*url)(const void *functions, const void *transfer);
    /* It has a connection and has sent nothing yet. False: no, or not known. */
    bool (*is_ready)(const void *functions, const void *transfer);
};

struct transfers_turn {
    uintptr_t frame; /* where it begins: a turn lives only while the stack is below; 0: none */
    const void *group;
    const struct transfers_library *library;
    const void *functions; /* of the copy of the library whose turn it is */
    uint32_t stack;        /* the coroutine's: another one that runs meanwhile is not in the turn */
};

/* A thread's, of its own. */
struct transfers {
    struct transfers_turn turn;
    const uint8_t *sending; /* what goes out next; NULL: not known */
    size_t sending_bytes;
    const void *group; /* of which it has taken one that is finished, and is at what follows */
    uint64_t unit;     /* of work, in which that is so */
    struct carrier_claim claim; /* whose that is */
    struct carrier_view before; /* and where the thread was */
};

/* The thread gives the transfer to the group. What serves one request needs no such help. */
void transfers_give(const void *group, const void *transfer);
/* It is taken away, whether it is finished or not; of a whole group. */
void transfers_take(const void *transfer);
void transfers_forget(const void *group);

/* The group has its turn, in a call of the thread's that began at `frame`. False: there is nothing
 * to follow. */
struct transfers_outer {
    struct transfers_turn turn;
    struct carrier_view before;
};
bool transfers_begin(struct transfers_outer *outer, const struct transfers_turn *turn);
void transfers_end(const struct transfers_outer *outer);

/* The thread asks for the next one of the group that is finished: what it did for the last one is
 * over. Then it has got it. */
void transfers_next(const void *group);
void transfers_finished(const void *group, const void *transfer);

/* In a turn, in an observe block: the thread comes to what it is working at. */
struct thread;
void transfers_look(struct thread *self);
