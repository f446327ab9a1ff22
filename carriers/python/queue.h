/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is known of a queue of the program's: who put each of its items, and what it is for. It
 * stands in a table of ours, which the queue does not know of.
 *
 * A queue of *work* is fed: requests put into it what they never took from it. A *pool* is filled
 * once, by whoever makes it, and what a request takes from it, it returns. So a queue that two
 * requests have fed is one of work for ever, and one to which something was returned before that is
 * a pool until then.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "messages.h"

struct mark {
    uint32_t handle; /* held: who put the item; CARRIER_NONE: nobody */
    bool is_known;
    bool is_returned;             /* it, or what stands for it, had been taken from there */
    const struct py_object *item; /* only compared; NULL: not known */
    struct message message;       /* that is to be ended: nats.c */
};

struct debt {
    uint32_t handle, count;
};

struct exchange;

struct queue {
    struct py_object *self, *reference; /* weakly */
    struct queue *next;
    uint64_t number;    /* not used again */
    struct mark *marks; /* beside the items, from `first` on, in the same order */
    struct debt *debts; /* what requests took and have not returned */
    uint32_t first, count, room, debt_count, debt_room;
    uint32_t feeder; /* held: the first request that fed it */
    bool is_work;    /* so did another one */
    bool has_returns;
    bool is_used; /* who has read a request itself has taken what one put: it may be a pool */
    struct exchange *message; /* of Kafka, that it has handed out last; NULL: that is over */
    bool is_asked;            /* and nothing was handed out since; kafka.c */
    bool is_inside;           /* a call of it is under way that asks it by itself */
    bool is_handed;           /* items are messages that are known one by one: nats.c */
    bool is_called;           /* with each of which a function is called */
    bool is_sent;             /* what is put there is written by another task: no work */
    bool lets_in;             /* a known pool's Condition, at which its users wait */
};

/* NULL: no memory. It is there for as long as somebody has the object. */
struct queue *queue_find(struct py_object *object);

/* NULL: it is gone, or none has the number. */
struct queue *queue_numbered(uint64_t number);
/* The interpreter ends: what consumers of Kafka have handed out is over. */
void queue_end_messages(void);

bool queue_is_pool(const struct queue *queue);
/* Is what comes out of it for certain work of who put it there? */
bool queue_is_believed(const struct queue *queue);
void queue_feed(struct queue *queue, uint32_t handle);
/* The request took something; it has put something: false: without having taken. */
void queue_owe(struct queue *queue, uint32_t handle);
bool queue_owes(struct queue *queue, uint32_t handle);
bool queue_repay(struct queue *queue, uint32_t handle);

/* length: of the items before the call. The mark's hold goes with it. */
void queue_push(struct queue *queue, long length, struct mark mark);
/* Of the first item or the last; the hold goes with it. */
struct mark queue_pop(struct queue *queue, long length, bool is_last);
/* The same, after the call, of an item that came out of turn: marks are in any order then. */
struct mark queue_pick(struct queue *queue, long length, const struct py_object *item);

/* Is it a message that NATS' client is about to hand out? */
bool nats_puts(struct queue *queue, struct py_object *item, struct mark *mark);

/* --- consumers.c: what the running code becomes by it ----------------------------------------- */

void consumer_asks(struct queue *queue);
void consumer_takes(struct queue *queue, struct mark mark);
void consumer_fails(const struct queue *queue);
struct mark consumer_puts(struct queue *queue);
