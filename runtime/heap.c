/* SPDX-License-Identifier: Apache-2.0 */
#include "heap.h"

#include <string.h>
#include <sys/resource.h>

#include "attribution.h"
#include "memory.h"
#include "originals.h"
#include "sharing.h"
#include "trial.h"

enum {
    HEAP_BLOCKS = 65536,
    WAYS = 4,              /* places that a block may have */
    GRANULE = 16,          /* what allocators align to */
    INSIDE_BYTES = 128,    /* how far into a block a pointer may point */
    SCANNED_BYTES = 16384, /* of a stack, from its outermost frame on */
    TRIAL = 64,            /* calls whose request was known, before any is believed; */
    DISTRUST = 256         /* and after one for which memory of a request that is over was seen */
};

/* A place is written by whoever has made `start` BUSY, and read as it is: a reader looks at `start`
 * before and after. */
struct block {
    uintptr_t start; /* 0: free */
    uint64_t span;   /* of the request, to know the context from its block's next one */
    uint64_t sequence;
    uint32_t context, bytes;
};
_Static_assert(sizeof(struct block) == 32, "a bucket is two lines of the cache");
enum { BUSY = 1 };
enum { WORKER_DONE = UINT32_MAX };

typedef struct block bucket[WAYS];

/* Reads others' frames, which a sanitizer forbids. */
#define AS_IT_LIES __attribute__((no_sanitize_address))

bool heap_is_on AT_START;
static bucket *buckets;
static uint64_t sequence; /* of blocks marked */
static uintptr_t lowest = UINTPTR_MAX, highest;
static uint32_t distrust = TRIAL;
static size_t usual_stack_bytes = 2 << 20; /* of a thread; at least, as glibc has it */

static struct block *bucket_of(uintptr_t start)
{
    uint64_t hash = (start / GRANULE) * UINT64_C(0x9e3779b97f4a7c15);
    return buckets[hash >> 32 & (HEAP_BLOCKS / WAYS - 1)];
}

static uint64_t span_of(const struct context *context)
{
    uint64_t span;
    memcpy(&span, context->ids.span_id, sizeof(span));
    return span;
}

/* Races widen it too little now and then: a block is not found. */
static void widen(uintptr_t start)
{
    if (start < __atomic_load_n(&lowest, __ATOMIC_RELAXED))
        __atomic_store_n(&lowest, start, __ATOMIC_RELAXED);
    if (start > __atomic_load_n(&highest, __ATOMIC_RELAXED))
        __atomic_store_n(&highest, start, __ATOMIC_RELAXED);
}

/* What functions that have returned have left on the stack, from `at` to the caller's frame, is of
 * work that is over. Only where the stack is known to have been already. Nothing that this function
 * has put there itself is needed any more. */
__attribute__((noinline)) static int wipe(uintptr_t at)
{
#if defined(__x86_64__)
    __asm__ volatile("0: cmp %%rsp, %0\n\tjae 1f\n\tmovq $0, (%0)\n\tadd $8, %0\n\tjmp 0b\n1:"
                     : "+r"(at)
                     :
                     : "memory", "cc");
#elif defined(__aarch64__)
    uintptr_t stack;
    __asm__ volatile("mov %1, sp\n0: cmp %0, %1\n\tb.hs 1f\n\tstr xzr, [%0], #8\n\tb 0b\n1:"
                     : "+r"(at), "=&r"(stack)
                     :
                     : "memory", "cc");
#endif
    return 0;
}

/* Where it is marked; NULL: it is not. */
static struct block *place_at(uintptr_t start)
{
    struct block *row = bucket_of(start);
    for (unsigned way = 0; way < WAYS; way++)
        if (__atomic_load_n(&row[way].start, __ATOMIC_ACQUIRE) == start)
            return &row[way];
    return NULL;
}

/* A free one, or the oldest's. */
static struct block *place_for(uintptr_t start)
{
    struct block *row = bucket_of(start), *place = row;
    for (unsigned way = 0; way < WAYS; way++) {
        if (__atomic_load_n(&row[way].start, __ATOMIC_RELAXED) == 0)
            return &row[way];
        if (row[way].sequence < place->sequence)
            place = &row[way];
    }
    return place;
}

static void took(const void *memory, size_t bytes)
{
    struct thread *self = thread_self;
    if (self == NULL || self->heap.context == 0 || self->heap.locks != 0 || memory == NULL)
        return;
    uintptr_t start = (uintptr_t)memory;
    struct block *place = place_for(start);
    uintptr_t before = __atomic_load_n(&place->start, __ATOMIC_RELAXED);
    if (before == BUSY || !__atomic_compare_exchange_n(&place->start, &before, BUSY, false,
                              __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
        return;
    place->span = self->heap.span;
    place->context = self->heap.context;
    place->bytes = bytes < UINT32_MAX ? (uint32_t)bytes : UINT32_MAX;
    place->sequence = __atomic_add_fetch(&sequence, 1, __ATOMIC_RELAXED);
    __atomic_store_n(&place->start, start, __ATOMIC_RELEASE);
    widen(start);
}

static void gave(const void *memory)
{
    uintptr_t start = (uintptr_t)memory;
    struct block *place = start <= BUSY ? NULL : place_at(start); /* a number, as of threads */
    if (place != NULL)
        __atomic_compare_exchange_n(
            &place->start, &start, 0, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
}

/* A copy of what is marked there. Freed, allocated and marked anew meanwhile it is another span's.
 */
static bool read_at(uintptr_t start, struct block *out)
{
    const struct block *place = place_at(start);
    if (place == NULL)
        return false;
    *out = *place;
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    return __atomic_load_n(&place->start, __ATOMIC_RELAXED) == start &&
           __atomic_load_n(&place->span, __ATOMIC_RELAXED) == out->span && out->span != 0;
}

/* The block that it points into. */
static bool find(uintptr_t pointer, struct block *out)
{
    uintptr_t start = pointer & ~(uintptr_t)(GRANULE - 1);
    if (pointer < __atomic_load_n(&lowest, __ATOMIC_RELAXED) ||
        start - INSIDE_BYTES > __atomic_load_n(&highest, __ATOMIC_RELAXED))
        return false;
    for (uintptr_t back = 0; back <= INSIDE_BYTES; back += GRANULE)
        if (read_at(start - back, out))
            return pointer - out->start < out->bytes;
    return false;
}

/* It is there still, and no sign of anybody's work any more. */
static void retire(const struct block *block)
{
    struct block *place = place_at(block->start);
    uint64_t span = block->span;
    if (place != NULL)
        __atomic_compare_exchange_n(
            &place->span, &span, 0, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
}

static struct context *hold(uint32_t index, uint64_t span)
{
    struct context *context = context_hold_at(index);
    if (context == NULL || (span_of(context) == span && context->epoch == process.epoch))
        return context;
    context_drop(context);
    return NULL;
}

/* Held; NULL: it is over. */
static struct context *context_of(const struct block *block)
{
    struct context *context = hold(block->context, block->span);
    if (context == NULL || (!context->ended && !context->is_overtaken))
        return context;
    context_drop(context);
    return NULL;
}

/* A signal's handler and a coroutine may have another. */
static bool is_on_own_stack(const struct thread *self, uintptr_t stack)
{
    return stack < self->heap.top && self->heap.top - stack < self->heap.stack_bytes;
}

/* Does the stack, from there on, point to what it has taken up? */
AS_IT_LIES static bool holds(const struct thread *self, uintptr_t at)
{
    struct block block;
    if (self->heap.top - at > SCANNED_BYTES)
        return true;
    for (const uintptr_t *word = (const uintptr_t *)at; (uintptr_t)word < self->heap.top; word++)
        if (find(*word, &block) && block.span == self->heap.held_span)
            return true;
    return false;
}

/* It has done with it. What of it is there still the program may use for another request before
 * this one's answer has come: so nobody takes it up again. */
static void let_go(struct thread *self)
{
    struct context *context = hold(self->heap.held, self->heap.held_span);
    if (context != NULL)
        __atomic_store_n(&context->worker, WORKER_DONE, __ATOMIC_RELAXED);
    context_drop(context);
    self->heap.held = 0;
}

static uint32_t number_of(const struct thread *self)
{
    return self->index + 1;
}

/* Another worker is at it, or was. */
static bool is_taken(const struct thread *self, const struct context *context)
{
    uint32_t worker = __atomic_load_n(&context->worker, __ATOMIC_RELAXED);
    return worker != 0 && worker != number_of(self);
}

/* False: another one was faster. */
static bool take(struct thread *self, struct context *context)
{
    uint32_t nobody = 0;
    __atomic_compare_exchange_n(
        &context->worker, &nobody, number_of(self), false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
    if (is_taken(self, context))
        return false;
    uint64_t span = span_of(context);
    if (self->heap.held != 0 && self->heap.held_span != span)
        let_go(self);
    self->heap.held = context->index;
    self->heap.held_span = span;
    return true;
}

static int wipe_below(const struct thread *self)
{
    return self->heap.low != 0 ? wipe(self->heap.low) : 0;
}

#if defined(__x86_64__)
enum { SAVED_BYTES = 40 }; /* registers, below the frame's address */
#else
enum { SAVED_BYTES = 0 };
#endif

/* What the caller has in registers that outlast calls is in our frame, and then come its own. */
static __attribute__((noinline)) int waited_holding(struct thread *self)
{
    __builtin_unwind_init();
    if (!holds(self, (uintptr_t)__builtin_frame_address(0) - SAVED_BYTES))
        let_go(self);
    return wipe_below(self);
}

/* What it works on next is there by now. */
static int waited(void)
{
    struct thread *self = thread_self;
    if (self == NULL || self->heap.top == 0 ||
        !is_on_own_stack(self, (uintptr_t)__builtin_frame_address(0)))
        return 0;
    self->heap.picked = __atomic_load_n(&sequence, __ATOMIC_RELAXED);
    self->heap.is_over = false;
    return self->heap.held != 0 ? waited_holding(self) : wipe_below(self);
}

static int locked(void)
{
    if (thread_self != NULL)
        thread_self->heap.locks++;
    return waited();
}

static int unlocked(void)
{
    if (thread_self != NULL && thread_self->heap.locks > 0)
        thread_self->heap.locks--;
    return 0;
}

/* What it allocates from now on is for something else. */
static int woke(void)
{
    if (thread_self != NULL)
        thread_self->heap.context = 0;
    return 0;
}

static const struct heap_watch watch = {took, gave, locked, unlocked, waited, woke};

const struct heap_watch *heap_start(void)
{
    buckets = memory_map(HEAP_BLOCKS * sizeof(struct block));
    if (buckets == NULL)
        return NULL;
    struct rlimit limit;
    long error = sys(SYS_prlimit64, 0, RLIMIT_STACK, NULL, &limit);
    if (error == 0 && limit.rlim_cur != RLIM_INFINITY)
        usual_stack_bytes = limit.rlim_cur;
    heap_is_on = true;
    return &watch;
}

void heap_read(struct thread *self, const struct context *context)
{
    bool waits = (uint32_t)self->unit != 0;
    bool reads_on = waits && self->heap.unit == self->unit;
    self->heap.unit = self->unit;
    self->heap.context = reads_on || sharing_is_seen() ? 0 : context->index;
    self->heap.span = span_of(context);
}

size_t heap_stack_bytes(const pthread_attr_t *attributes)
{
    size_t bytes;
    bool is_given = attributes != NULL && originals.pthread_attr_getstacksize != NULL &&
                    originals.pthread_attr_getstacksize(attributes, &bytes) == 0;
    return is_given ? bytes : usual_stack_bytes;
}

void heap_thread_started(
    struct thread *self, uintptr_t frames, size_t stack_bytes, const void *argument)
{
    self->heap.top = frames;
    self->heap.stack_bytes = stack_bytes;
    gave(argument);
}

/* Whose memory the thread's stack points to. What it works on is in the frames of all that it has
 * called for it; another's, as its queue's next, is seen in passing. */
struct finding {
    struct context *context; /* of the innermost frame; held; NULL: none */
    uint32_t its, others;    /* pointers */
    bool is_over;            /* one is to what remains of a request that is over */
};

static void note(const struct thread *self, struct finding *finding, const struct block *block)
{
    struct context *context = context_of(block);
    if (context == NULL) {
        finding->is_over = true;
        retire(block);
        return;
    }
    bool is_first = finding->its + finding->others == 0 && !is_taken(self, context);
    if (is_first)
        finding->context = context;
    if (context == finding->context)
        finding->its++;
    else
        finding->others++;
    if (!is_first)
        context_drop(context);
}

AS_IT_LIES static struct finding search(const struct thread *self, uintptr_t low)
{
    struct finding finding = {0};
    for (const uintptr_t *word = (const uintptr_t *)low; (uintptr_t)word < self->heap.top; word++) {
        struct block block;
        if (find(*word, &block) && (self->heap.picked == 0 || block.sequence <= self->heap.picked))
            note(self, &finding, &block);
    }
    return finding;
}

void heap_checked(bool is_right)
{
    if (is_right)
        trial_passed(&distrust);
    else
        trial_failed(&distrust, DISTRUST);
}

/* Held; NULL: nobody's, or not known. */
static struct context *owner(struct thread *self)
{
    uintptr_t top = self->heap.top;
    uintptr_t low = (uintptr_t)__builtin_frame_address(0) & ~(sizeof(low) - 1);
    if (self->heap.is_over || !is_on_own_stack(self, low))
        return NULL;
    if (top - low > SCANNED_BYTES)
        low = top - SCANNED_BYTES;
    if (self->heap.low == 0 || low < self->heap.low)
        self->heap.low = low;
    struct finding finding = search(self, low);
    self->heap.is_over = finding.is_over;
    if (finding.is_over)
        heap_checked(false); /* the program keeps memory, and may use it again */
    else if (finding.its > finding.others && take(self, finding.context)) {
        heap_checked(true);
        return finding.context;
    }
    context_drop(finding.context);
    return NULL;
}

/* A thread that waits for anybody's events does many requests' work, and one that has read its
 * request is known to work for it. So is one whose runtime tells, or that was started for one. */
static bool is_orphan(const struct thread *self)
{
    return self->heap.top != 0 && !self->multiplexes && !self->current_read_here &&
           self->stack == 0 && (self->current == NULL || self->current_of_heap);
}

void heap_look(struct thread *self)
{
    if (!is_orphan(self))
        return;
    struct context *context = owner(self);
    attribution_take_up(self, context);
    context_drop(context);
}

bool heap_is_doubtful(void)
{
    return trial_left(&distrust) != 0;
}
