/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A context is the identity of one server request (or of the process, from TRACEPARENT). It lives
 * as long as somebody holds it: its exchange, threads whose current it is, connections it opened,
 * calls it has in flight. Any thread may hold and drop.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "propagation.h"

struct context {
    uint64_t pool_link;
    uint32_t index;
    uint32_t references;
    uint64_t state;       /* threads in it, outstanding calls, waiting: see attribution.c */
    bool ended;           /* the answer is complete */
    bool is_remote;       /* its span id is a peer's, not ours (nothing is recorded here) */
    struct trace_ids ids; /* of our own span: the parent of calls made under it */
    uint8_t remote_id[8]; /* span id the request carried; valid if has_remote */
    bool has_remote;
    bool is_remote_shared; /* another request at work came from the same span */
    uint32_t tracestate_length;
    uint32_t baggage_length;
    uint32_t others_length;
    uint32_t text_index; /* block with tracestate, baggage, others' lines; 0: none */
    bool text_is_big;
    uint32_t epoch;    /* the process that began it */
    bool is_inherited; /* the process was forked in it: when its answer is complete is not known */
    uint32_t worker;   /* heap.c: who has taken it up; 0: nobody yet */
    bool is_overtaken; /* the next request of its connection was read: it may be answered */
    bool is_message;   /* it is a message's that was delivered, no request's */
    bool is_taken;     /* who asks for more of its kind, by any connection, is done with it */
    uint64_t left_ns;  /* of such, and of what a transaction is to settle: when, monotonic; or 0 */
    bool is_alone;     /* nothing else in hand has come so, and it is to be acknowledged */
    bool is_uncertain; /* whoever is at work on it may be at work on another message instead */
    bool is_of_many; /* it came where the program asks for more before it works: the same, unless */
    bool has_named_calls; /* of a message: a call has been its */
    bool is_followed;     /* its runtime tells of every task that works for it */
    uint32_t rests;       /* tasks that wait for their next step: carrier_rest */
    bool has_made_calls;
    bool may_have_made_calls; /* a call was in doubt while it was the likeliest */
    bool is_checked;          /* the self-check has been made, before its answer was written */
    /* While tasks that are not certain carry it: */
    bool has_starved;
    bool has_called;        /* a call was, or would have been, named its */
    bool is_woken_by_other; /* in the tick of an answer that was not to a call of its */
};

/* Take and drop: in an observe block; take also in the constructor. */
struct context *context_take(void); /* one reference; NULL: no memory */
void context_hold(struct context *context);
struct context *context_at(uint32_t index);      /* that somebody holds */
struct context *context_hold_at(uint32_t index); /* holds it if anybody does; NULL; 0 is allowed */
void context_drop(struct context *context);      /* NULL is allowed */

/* Copies what the request carried. False: no memory, nothing is carried on. */
bool context_set_texts(struct context *context, const char *tracestate, uint32_t tracestate_length,
    const char *baggage, uint32_t baggage_length);
/* Adds what is passed on as it came: FIELD_CARRIED. False: as above. */
bool context_add_others(struct context *context, const char *lines, uint32_t length);
const char *context_texts(const struct context *context);
