/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What we know of a host thread, and the right to observe.
 *
 * The right to observe is a value: observe_open returns the thread's block, and everything that
 * records takes it as its first argument. NULL means that this call is not observed: the thread is
 * already inside us (a signal handler interrupted us), or it is the exporter, or there is no
 * memory.
 *
 * Re-entry is judged by stack position, not by a counter: siglongjmp out of a handler that
 * interrupted us leaves `guard` set, but then the stack is above it again, or other calls have
 * written over the frame that the guard names. A handler on an alternate stack could also be above,
 * so that rare case asks the kernel.
 *
 * | field   | owner thread | other threads | signal handler on the owner |
 * | readable_pages | reads/writes | never  | reads/writes |
 * | others  | reads/writes | never         | only through observe_open, which refuses |
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "../protocols/protocol.h"
#include "heap_thread.h"
#include "isolation.h"
#include "ours.h"
#include "plan.h"
#include "pool.h"
#include "process.h"
#include "propagation.h"
#include "timers.h"
#include "transfers.h"
#include "unwind.h"

struct carrier_part;
struct connection;
struct context;
struct ring;

/* Where a line may be put into the bytes just read: passing.h. */
struct inbound {
    uint32_t splices; /* heads that were completed by them */
    uint32_t serial;
    size_t offset;
    bool bare_lf;
};

/* The outermost call of a TLS library: secure.h. Values, since its frame may be a coroutine's. */
struct secure_mark {
    const void *key; /* of its session; NULL: none */
    uintptr_t frame; /* the call lives only while the stack is below */
    uint32_t session;
};

enum {
    THREAD_IOV_MAX = 64,
    THREAD_LINES_MAX = 16 * 1024,
    THREAD_FLAT_BYTES = 2 * 1024,
    THREAD_PAGES_MAX = 256 /* that are known to be readable: readable.h */
};

/* Of what a consumer inside a carrier's runtime gives the thread: carriers/java/kafka.c. */
struct in_hand {
    uint32_t handle;  /* the thread's message; CARRIER_NONE: none */
    uint32_t asker;   /* held: the request that it asked for; CARRIER_NONE: none */
    int32_t consumer; /* that it has asked last, by its identity */
    uint8_t group;    /* of that, by its number; 0: none */
    bool is_asked;    /* and nothing was handed out since */
    bool may_collect; /* it did nothing for what it had before */
};

/* Of messages that its runtime tells of. */
struct told {
    uint64_t key;
    int32_t fd;
    uint32_t handle; /* held; CARRIER_NONE: none */
};

struct thread {
    uint64_t pool_link;
    uint32_t index;
    uintptr_t guard;         /* stack position of the open block; 0: none; UINTPTR_MAX: never */
    uintptr_t guard_return;  /* return address that its frame holds while it lives */
    struct context *current; /* the request it works for; held */
    bool multiplexes;        /* has returned from a wait whose set held something foreign */
    bool is_loop;            /* and has gone on otherwise than by serving a new client at once */
    bool owes_answer;        /* to the last request that it read */
    bool settles_early;      /* on an event loop: acknowledges a message before it works on it */
    bool settles_late;       /* or has acknowledged one that it had worked on */
    bool wait_timed_out;     /* the thread's last wait ended by time */
    bool current_certain;    /* the carrier is sure of it, also after its answer */
    bool current_guessed;    /* or only guesses; of no meaning unless current_carried */
    bool current_parked;     /* it waits for another thread, which may work for `current` */
    /* Of its present stay in `current`, ended by one store: */
    bool current_read_here; /* this thread itself read the request of `current` */
    bool current_carried;   /* a carrier of the program's runtime said `current`: carrier.h */
    bool current_steps;     /* and says when that is over */
    bool current_retries;   /* it came to it by closing something of its, and has not called yet */
    bool current_strayed;   /* since then it heard from others: attribution_stray */
    bool current_followed;  /* it came to it by a guess: attribution_follows */
    bool current_of_heap;   /* it holds memory of `current`: heap.h */
    bool current_started;   /* it was started for `current`, and has heard of nobody else since */
    bool current_is_client; /* that came by a connection which it had accepted since its wait */
    bool starts;            /* what it starts now is for what it is in: carrier_starts */
    int32_t current_unclaimed; /* calls made here meanwhile that are nobody's */
    bool touched_many;         /* since its last wait, answers of several requests' calls at once */
    bool touched_unknown;      /* or one of a call that nobody is known to have made */
    struct ring *ring;         /* NULL: not needed yet */
    uint64_t random[4];        /* xoshiro256** state; all zero: not seeded */
    uintptr_t stack_low, stack_bytes; /* where the thread was last seen: stacks.h */
    uint32_t stack_generation;        /* this holds while it is stacks_generation */
    uint32_t stack, stack_birth;      /* of the coroutine that it runs; 0: none */
    struct context *home;             /* while it runs one: its own `current`; held */
    bool home_read_here;
    bool has_carrier;      /* which tells of its tasks: stacks say nothing */
    bool current_of_stack; /* the coroutine itself read the request of `current` */
    struct heap_thread heap;
    uint64_t unit;         /* of work: another one after each wait for anybody; of no two threads */
    uint64_t settled_unit; /* one more than that in which it acknowledged a message last */
    struct timers timers;  /* of its event loop */
    struct isolation isolation;
    int32_t brief_epoll, brief_fd; /* stream_epoll_made: one more than each; 0: none */
    struct transfers transfers;
    uint64_t now_ns;                  /* clock of this observe block, 0: not read yet */
    const struct carrier_part *parts; /* of the write being made: carrier.h; NULL: one */
    size_t part_at;                   /* how much of that has been told */
    struct secure_mark secure;        /* the TLS call that the thread is in */
    uint32_t spare_text;              /* a big text block kept for lines cut short; 0: none yet */
    struct trace_ids answered; /* the request that it answered last, on an event loop, if logs are
                                * joined */
    uint64_t answered_ns; /* now_ns of that block; 0: none. Nobody has opened one since if it is
                           * now_ns still */
    uintptr_t readable_pages[THREAD_PAGES_MAX]; /* numbers of pages, by their last bits */
    struct pool_cache exchanges, contexts;
    struct exchange *messages; /* that a library has handed to it: message.h */
    uint32_t message_count;
    struct in_hand in_hand;
    struct told told;
    /* Text blocks of the call being made, which a jump may cut short; 0: none. */
    uint32_t gathered_text; /* what it sends in several buffers and is to be replaced */
    uint32_t wide_text;     /* what is too long for `lines` */
    _Alignas(
        16) uint8_t scan_state[STATE_BYTES_MAX]; /* copy of a parser's state for looking ahead */
    int unsettled_fd; /* one more than where it got messages and has not waited since; 0 */
    /* What has brought it a message last: carrier_source. */
    const struct connection *source;
    uint32_t source_generation;
    int source_fd;
    uint32_t note; /* carrier_note */
    struct inbound inbound;
    struct plan plan; /* of the call being made; like all below too big for the host's stack */
    struct iovec iov[THREAD_IOV_MAX];
    uint32_t frame_count; /* of the call being told */
    uintptr_t frames[UNWIND_FRAMES_MAX];
    char flat[THREAD_FLAT_BYTES]; /* a head with its lines, on its way out */
    char lines[THREAD_LINES_MAX]; /* to be inserted by the call being made; else scratch */
};

OURS __thread struct thread *thread_self;

/* attribution_started, and still in that. */
static inline bool thread_was_started(void)
{
    return thread_self != NULL && thread_self->current_started;
}
OURS uint32_t stacks_generation; /* of what is known of coroutines' stacks; 0: there are none */
OURS __thread uint32_t thread_in_vfork; /* > 0: a vfork child borrows our memory; see vfork.S */

/* Slow paths of observe_open. */
struct thread *thread_attach(void);
bool thread_reenter(struct thread *self, uintptr_t stack);
void stacks_moved(struct thread *self, uintptr_t stack);

/* Its frame is that of who calls it, who lives until observe_close. */
__attribute__((always_inline)) static inline struct thread *observe_open(void)
{
    if (__builtin_expect(process.page == NULL || thread_in_vfork != 0, 0))
        return NULL;
    struct thread *self = thread_self;
    if (__builtin_expect(self == NULL, 0) && (self = thread_attach()) == NULL)
        return NULL;
    uintptr_t stack = (uintptr_t)__builtin_frame_address(0);
    if (__builtin_expect(self->guard != 0, 0) && !thread_reenter(self, stack))
        return NULL;
    self->guard = stack;
    self->guard_return = ((const uintptr_t *)stack)[1];
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    self->now_ns = 0;
    if (process_is_child() && !process_forked()) {
        self->guard = 0;
        return NULL;
    }
    uint32_t generation = __atomic_load_n(&stacks_generation, __ATOMIC_RELAXED);
    if (__builtin_expect(generation != 0, 0) &&
        (self->stack_generation != generation || stack - self->stack_low >= self->stack_bytes))
        stacks_moved(self, stack);
    return self;
}

static inline void observe_close(struct thread *self)
{
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    self->guard = 0;
}

/* Of the call that was made, or of one that a jump cut short. */
__attribute__((cold)) void thread_give_texts(struct thread *self);
static inline void thread_let_go_texts(struct thread *self)
{
    if (__builtin_expect((self->gathered_text | self->wide_text) != 0, 0))
        thread_give_texts(self);
}

/* Marks the calling thread as one of ours: nothing it does is observed. */
void thread_exempt(void);

static inline bool thread_is_exempt(void)
{
    return thread_self != NULL && thread_self->guard == UINTPTR_MAX;
}

/* CLOCK_MONOTONIC in nanoseconds, read at most once per observe block. */
uint64_t thread_now(struct thread *self);

/* 64 random bits. The generator is seeded by getrandom per thread and per process. */
uint64_t thread_random(struct thread *self);

bool thread_start(void);  /* constructor */
void thread_forked(void); /* in a forked child, on its only thread */
