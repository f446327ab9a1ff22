/* SPDX-License-Identifier: Apache-2.0 */
#include "thread.h"

#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <time.h>

#include "attribution.h"
#include "counters.h"
#include "memory.h"
#include "message.h"
#include "originals.h"
#include "pool.h"
#include "ring.h"
#include "stacks.h"
#include "sys.h"
#include "text_pool.h"

__thread struct thread *thread_self;
__thread uint32_t thread_in_vfork;

static struct pool threads = {
    .block_shift = 15, .clear_bytes = offsetof(struct thread, scan_state)};
_Static_assert(sizeof(struct thread) <= 1 << 15, "a thread fits its block");
static struct thread exempt;
static pthread_key_t exit_key AT_START;
static bool has_exit_key AT_START;

/* The first 32 keys live in the thread's descriptor; a later one would make pthread_setspecific
 * allocate from the host's malloc on a host thread (glibc, nptl/pthread_setspecific.c). */
enum { KEYS_WITHOUT_ALLOCATION = 32 };

void thread_give_texts(struct thread *self)
{
    text_let_go(&self->gathered_text);
    text_let_go(&self->wide_text);
}

static void thread_exited(void *block)
{
    struct thread *self = block;
    if (thread_self != self)
        return;
    self->guard = (uintptr_t)__builtin_frame_address(0); /* a handler now finds us busy */
    message_leave(self);
    if (self->in_hand.asker != 0)
        context_drop(context_at(self->in_hand.asker));
    stacks_end(self);
    attribution_leave(self);
    ring_release(self);
    pool_cache_empty(&self->exchanges);
    pool_cache_empty(&self->contexts);
    if (self->spare_text != 0)
        text_give(true, self->spare_text);
    thread_let_go_texts(self);
    thread_self = NULL;
    pool_give(&threads, self->index);
}

bool thread_start(void)
{
    if (originals.pthread_key_create == NULL)
        return true; /* no libpthread: the only thread ends with the process */
    if (originals.pthread_key_create(&exit_key, thread_exited) != 0)
        return false;
    has_exit_key = exit_key < KEYS_WITHOUT_ALLOCATION;
    if (!has_exit_key)
        originals.pthread_key_delete(exit_key);
    return has_exit_key;
}

static uint32_t attached; /* how many threads so far */

struct thread *thread_attach(void)
{
    uint32_t index = pool_take(&threads);
    if (index == 0)
        return NULL;
    struct thread *self = pool_block(&threads, index);
    self->index = index;
    self->unit = (uint64_t)__atomic_add_fetch(&attached, 1, __ATOMIC_RELAXED) << 32;
    if (has_exit_key)
        originals.pthread_setspecific(exit_key, self);
    thread_self = self;
    return self;
}

void thread_exempt(void)
{
    exempt.guard = UINTPTR_MAX;
    thread_self = &exempt;
}

/* Is the frame of the open block still there? Both architectures keep the caller's frame and the
 * return address at the frame address. The stack may have been a coroutine's and be unmapped. */
static bool frame_lives(const struct thread *self, uintptr_t stack)
{
    unsigned char resident;
    uintptr_t word = self->guard + sizeof(uintptr_t);
    if (stack == self->guard)
        return false; /* two frames at one place */
    if (!process_may_call() || sys(SYS_mincore, word & ~4095ul, 1, &resident) != 0)
        return true;
    return *(const uintptr_t *)word == self->guard_return;
}

bool thread_reenter(struct thread *self, uintptr_t stack)
{
    if (self->guard != UINTPTR_MAX && stack <= self->guard && !frame_lives(self, stack))
        return true;
    if (stack > self->guard && self->guard != UINTPTR_MAX && process_may_call()) {
        stack_t alternate;
        if (sys(SYS_sigaltstack, 0, &alternate) == 0 && !(alternate.ss_flags & SS_ONSTACK))
            return true; /* left by siglongjmp: the block that set the guard is gone */
    }
    if (self->guard != UINTPTR_MAX)
        counter_add(COUNTER_SIGNAL_REENTRY, 1);
    return false;
}

void thread_forked(void)
{
    attribution_forked();
    stacks_forked();
    /* The blocks of the parent's other threads stay taken: they are few, and one of them may have
     * been in the middle of anything. */
    struct thread *self = thread_self;
    if (self == NULL || self == &exempt)
        return;
    attribution_leave(self);
    self->ring = NULL;
    memset(self->random, 0, sizeof(self->random));
}

uint64_t thread_now(struct thread *self)
{
    if (self->now_ns == 0)
        self->now_ns = process_monotonic_ns();
    return self->now_ns;
}

static uint64_t rotate(uint64_t x, int bits)
{
    return x << bits | x >> (64 - bits);
}

__attribute__((noinline, cold)) static void seed(struct thread *self)
{
    long got = -1;
    if (process_may_call())
        got = sys(SYS_getrandom, self->random, sizeof(self->random), 1 /* GRND_NONBLOCK */);
    if (got == (long)sizeof(self->random))
        return;
    /* Early boot or a sandbox: time, address and process make collisions unlikely, no more. */
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    self->random[0] ^= (uint64_t)time.tv_nsec * 0x9e3779b97f4a7c15u;
    self->random[1] ^= (uintptr_t)self ^ (uint64_t)process.epoch << 32;
    self->random[2] ^= (uint64_t)time.tv_sec * 0xbf58476d1ce4e5b9u;
    self->random[3] ^= (uintptr_t)&time | 1;
}

/* xoshiro256** 1.0 (Blackman, Vigna 2018). */
uint64_t thread_random(struct thread *self)
{
    uint64_t *s = self->random;
    if ((s[0] | s[1] | s[2] | s[3]) == 0)
        seed(self);
    uint64_t result = rotate(s[1] * 5, 7) * 9;
    uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate(s[3], 45);
    return result;
}
