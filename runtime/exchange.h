/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One request and its answer on one connection, from its first byte to the span.
 * Used under its connection's lock; the observe block's thread is passed where spans are written.
 *
 *   ids are set (has_ids) before the first inserted byte leaves, or when the head is complete
 *   is_server: context is the exchange's own;  else: context is the caller's (may be NULL)
 *   every exchange that began ends in exactly one of: a span, unsampled, void, a counter
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "../protocols/protocol.h"
#include "attribution.h"
#include "config.h"
#include "counters.h"
#include "probability.h"
#include "propagation.h"
#include "record.h"
#include "thread.h"

/* In the order of use, as a connection is: EXCHANGE_WARM_BYTES are asked for ahead of need. */
struct exchange {
    uint64_t pool_link;
    uint32_t index;
    uint32_t serial;
    struct exchange *next;   /* later on the same connection */
    struct context *context; /* held */
    struct context *guess;   /* whose it is counted as, though nobody is named; held; NULL */
    struct open_slot *open;  /* where it is noted, for when the process dies; NULL: nowhere */
    uint64_t key;            /* what SETTLE calls it */
    uint64_t start_ns;       /* monotonic; from here to the first of the numbers: open.h */
    uint64_t unit;    /* thread's, when it began; the same at the end: its caller still waits */
    uint32_t epoch;   /* process that began it: a forked child never reports it */
    uint32_t present; /* bits of enum field: headers seen, in bytes sent or offered; and below */
    uint32_t text_used;
    uint32_t big_index; /* block of long texts; 0: inline */
    bool is_server;
    bool has_ids;
    bool requested; /* the request's head is complete */
    bool behind;    /* its request was complete before an earlier one was answered */
    bool injected;  /* our lines went out, or were not wanted: look no further */
    bool forwarded; /* the head passes the incoming traceparent on; we put our ids in its place */
    uint8_t marks;  /* RECORD_ADOPTED, RECORD_UNTOUCHED, RECORD_REWRITTEN */
    bool has_parent;
    bool parent_is_remote;
    bool has_response;
    bool is_delivery;    /* a message that came in; is_server, too */
    bool is_settled;     /* SETTLE will end it */
    bool is_grouped;     /* maybe together with those before it */
    bool is_complete;    /* it is all here */
    bool is_left;        /* the program has asked for more since */
    bool tells_shake;    /* how the session inside TLS began */
    bool counts_as_call; /* attribution_call_begin was told */
    bool is_unclaimed;   /* attribution_unclaimed was told */
    bool is_ours;        /* we have decided whether it is sampled, whatever its caller says */
    bool is_decided;     /* its caller has, without naming a parent */
    bool is_distrusted;  /* who sent the request is not believed: trust.h */
    uint8_t rule;        /* enum rule: what named the parent */
    uint8_t link_count;
    struct trace_ids ids;
    uint8_t parent_id[8];
    uint64_t threshold; /* that we ourselves sampled it by and tell: probability.h; 0: none */
    int64_t numbers[FIELD_NUMBERS];
    struct {
        uint16_t offset, length, values; /* values: how many headers of this name */
    } texts[FIELD_COUNT];
    char inline_text[464];
    struct trace_link links[CANDIDATES_MAX]; /* link_count of them; more: exchange_links.c */
};

enum { EXCHANGE_WARM_BYTES = 320 };
/* Of exchange.present: the head names a parent, in whichever format. */
enum { EXCHANGE_HAS_CONTEXT = 1u << FIELD_TRACEPARENT | 1u << FIELD_CONTEXT };
/* Of the same: its statement was sent before it, and prepared. */
enum { EXCHANGE_IS_REPEATED = 1u << FIELD_COUNT };

struct exchange *exchange_take(struct thread *self, uint32_t serial, bool is_server);
void exchange_free(struct exchange *exchange);

/* Adds a piece of a field's value. Values of a repeated header are joined by commas. */
void exchange_add_text(struct exchange *exchange, const struct event *event);
/* Forgets one text, whose room is used again if nothing stands behind it. */
void exchange_forget_last(struct exchange *exchange, enum field field);
/* Forgets all texts: the head is going to be told again from its start. */
void exchange_forget_texts(struct exchange *exchange);
const char *exchange_text(const struct exchange *exchange, enum field field);
/* The answer to ASK: a server's requests are no statements. */
bool exchange_wants(const struct exchange *exchange, const struct protocol *protocol);

/* Decides ids, parent and sampling. */
void exchange_identify_server(struct thread *self, struct exchange *exchange);
void exchange_identify_client(
    struct thread *self, struct exchange *exchange, struct decision decision);
/* The head turned out not to be its request's, though it was taken for one: a root after all. */
void exchange_doubt(struct thread *self, struct exchange *exchange);
/* The head turned out to repeat what this context's request carried: its parent after all. Takes
 * over the caller's hold. */
void exchange_pass_on(struct thread *self, struct exchange *exchange, struct context *context);
/* The head turned out to carry the application's own traceparent: continue that. */
void exchange_adopt(struct exchange *exchange);
/* It carries these otherwise. */
void exchange_adopt_ids(struct exchange *exchange, const struct trace_ids *own);
/* It goes out without a context, since it could not be edited safely: counted, and the span says
 * so. */
static inline void exchange_untouched(struct exchange *exchange)
{
    counter_add(COUNTER_INJECT_SKIPPED, 1);
    exchange->marks |= RECORD_UNTOUCHED;
}

/* Its span is linked to that one, too, up to SPAN_LINKS_MAX different ones; others are counted.
 * What is no traceparent, is none; of length 0: FIELD_CONTEXT says it, and is forgotten. */
void exchange_link(struct exchange *exchange, const uint8_t *traceparent, size_t length);
/* Its span is linked to its parent's, too. */
void exchange_link_parent(struct exchange *exchange);
/* Of more links than there are candidates: as in a record; they are given back. */
struct fact exchange_many_links(const struct exchange *exchange);
void exchange_give_links(struct exchange *exchange);

/* Its links as a record has them. */
static inline struct fact exchange_links(const struct exchange *exchange)
{
    if (__builtin_expect(exchange->link_count > CANDIDATES_MAX, 0))
        return exchange_many_links(exchange);
    return (struct fact){(const uint8_t *)exchange->links,
        exchange->link_count * (uint32_t)sizeof(struct trace_link)};
}

static inline void exchange_unlink(struct exchange *exchange)
{
    if (__builtin_expect(exchange->link_count != 0, 0))
        exchange_give_links(exchange);
}

/* A delivery that has been recorded: what is recorded next is its acknowledgement. */
void exchange_settle(struct thread *self, struct exchange *exchange);

/* Its request does not wait for it: it may be under way while its thread does other things. */
void exchange_uncount(struct exchange *exchange);

/* Writes the lines to insert into `out` of TEXT_BIG_BYTES; returns their length, 0: none. */
size_t exchange_lines(const struct exchange *exchange, char *out, bool bare_lf);
/* Which headers its answer gets at this ANSWER: enum answer_header_bits; and their lines. */
uint32_t exchange_answer_headers(const struct exchange *exchange, const struct event *answer);
size_t exchange_answer_lines(
    const struct exchange *exchange, const struct event *answer, char *out);
/* The same, behind `length` of those: the line of X-Ray's that a queue takes a message's context
 * from, if it is not among them. */
size_t exchange_queue_line(
    const struct exchange *exchange, char *lines, size_t length, bool bare_lf);
/* The headers that it is to carry, but for those that it has of its own. They lie in `own`, in the
 * context, or, of other formats than W3C's, in `lines`; what has no room there is left out. */
struct exchange_own {
    unsigned count;
    struct context_header headers[INSERT_HEADERS_MAX];
    char ids[TRACEPARENT_LENGTH];
    char tracestate[PROBABILITY_TEXT_MAX];
};
void exchange_headers(
    const struct exchange *exchange, struct exchange_own *own, char *lines, size_t room);
/* Of their names and values, and `each` more of each header. */
size_t exchange_own_bytes(const struct exchange_own *own, size_t each);
/* The same in the protocol's own form, in place of what is `replaced`: into self->lines, or into
 * self->wide_text: of other formats than W3C's, or if it may be longer, of a splice that has a
 * number. */
typedef size_t exchange_writer(const struct insertion *insertion, char *out);
size_t exchange_insert(struct thread *self, const struct exchange *exchange,
    exchange_writer *insert, const struct event *splice, const uint8_t *replaced, bool *is_wide);

/* The other end of a connection, as spans tell it. */
struct peer {
    const char *address; /* "" if unknown */
    uint16_t port;
};

/* Will it be a span, or at least measured? Of this process only. */
static inline bool exchange_is_recorded(const struct exchange *exchange)
{
    return ((exchange->ids.flags & FLAG_SAMPLED) || config.records_unsampled) && config.records &&
           exchange->epoch == process.epoch;
}

/* Is it to be said which code made the call, and can it be? The stack is looked at when the call
 * ends: only then is it known to be slow or to have failed. error: as below. */
static inline bool exchange_wants_code(
    struct thread *self, const struct exchange *exchange, const char *error)
{
    return !exchange->is_server && exchange->unit == self->unit &&
           (error != NULL || exchange->numbers[FIELD_STATUS] >= 400 ||
               (exchange->present & 1u << FIELD_CODE) != 0 ||
               thread_now(self) - exchange->start_ns >= config.stack_min_ns);
}

/* The stack of the calling thread, without our own frames, becomes part of what is recorded next.
 */
void exchange_note_code(struct thread *self);

/* Records it: it will be a span. error: error.type of the transport, or NULL. */
void exchange_record(struct thread *self, const struct exchange *exchange, enum record_kind kind,
    uint8_t protocol, struct peer peer, const char *error);

/* An attempt that failed, to connect or to agree on TLS: a span of its own, since no request was
 * ever sent. */
void exchange_record_attempt(struct thread *self, enum record_kind kind, bool is_server,
    struct decision decision, struct peer peer, uint64_t start_ns, uint64_t unit,
    const char *error);
