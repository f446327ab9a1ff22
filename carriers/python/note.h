/* SPDX-License-Identifier: Apache-2.0 */
/* What a capsule holds, for current.c and consumers.c. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "messages.h"

/* consumers.c says what leads from one to the other. Nobody's: a request's of CARRIER_NONE, or no
 * note at all. */
enum note_state { NOTE_REQUEST, NOTE_SUSPECT, NOTE_CONSUMER };

/* The one connection whose requests it has read, or was woken by. */
struct served {
    int fd;
    uint64_t connection; /* carrier_serves_by; 0: none is known */
};
#define SERVES_MANY UINT64_MAX

struct note {
    uint32_t handle; /* held: whose it is; CARRIER_NONE: nobody's */
    uint32_t handed; /* held: the message that ends when it asks again... */
    struct message message;
    uint32_t home; /* held: of a suspect, the request it was and may still be of */
    enum note_state state;
    bool is_read;            /* its own request came in while it was adopted */
    bool is_woken;           /* adopted by being woken; else by reading, or as a thread began */
    bool is_made;            /* its owner was made in the request, and is its for ever */
    bool is_tried;           /* it may work on others' things: it has to stand a trial */
    bool is_batch;           /* it took several items before it did anything */
    bool is_told;            /* of a consumer: what it took is exactly what is worked on: kafka.c */
    bool is_asked;           /* and has taken nothing since: of messages, nats.c */
    bool has_taken;          /* from its queue, and put nothing there since */
    bool is_given;           /* a greenlet's, which a request has started: greenlets.c */
    uint32_t keeps;          /* and calls of it under way by which it is given nothing */
    bool is_shared;          /* others than what waits for this taking may be its followers, too */
    struct served served;    /* its owner's */
    uint32_t uses;           /* what was sent, made or put since the capsule is there */
    uint64_t queue;          /* of a suspect or a consumer: its number */
    uint64_t untold;         /* the queue from which was taken for its owner, who does not know */
    uint64_t failed;         /* the queue that was empty when it was asked last */
    uint64_t asks;           /* the consumer of Kafka that was asked last: its number */
    uint64_t serial;         /* unlike an address not used again */
    uint64_t follower;       /* the serial that what waits for this taking has; 0: nothing does */
    struct py_object *owner; /* weakly, the context into which it was put; NULL: none... */
    struct py_object *asker; /* held: the capsule of what had it ask; NULL: none is known */
    const void *thread;      /* ...but a thread's own; NULL: neither */
};

struct note *note_of(struct py_object *capsule);
/* The handle's hold goes with it. */
struct py_object *note_make(uint32_t handle);
/* What it was handed is over. */
void note_end(struct note *note);
/* Into the running context, which is `context`. The capsule's reference goes with it. */
void note_put(struct py_object *capsule, struct py_object *context);
/* Was it put into this context itself, rather than copied there? */
bool note_is_own(struct py_object *capsule, struct py_object *context);
/* Nobody's, or adopted by a request that is over. */
bool note_is_orphan(struct py_object *capsule, struct py_object *context);
/* The request it is of; of a suspect, its home. */
uint32_t note_request(const struct note *note);
/* The same, held, of work that is given away: a thread that reads messages has several. */
uint32_t note_given(const struct note *note);
