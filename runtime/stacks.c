/* SPDX-License-Identifier: Apache-2.0 */
#include "stacks.h"

#include <errno.h>
#include <string.h>

#include "attribution.h"
#include "context.h"
#include "memory.h"

enum {
    STACKS_MAX = 32768,
    STACK_BYTES_MIN = 1024,
    SPINS = 20000,                    /* more than a change of the table takes */
    OWN_STACK_BYTES = 8 * 1024 * 1024 /* what a thread has unless the program says otherwise */
};

struct range {
    uintptr_t low, high;
    uint32_t row; /* behind the last range: one that is free; 0: that of its own number */
};

struct row {
    uint32_t context; /* held; 0: none */
    uint32_t birth;   /* of which coroutine it is */
    bool is_certain;
    bool is_loop;
};

static struct table {
    struct range ranges[STACKS_MAX];
    struct row rows[STACKS_MAX + 1];
} * table;

static uint32_t count, sequence;
static bool is_off; /* for good: somebody did not let go of the table */
uint32_t stacks_generation;

static void pause_briefly(void)
{
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
}

/* Everybody looks again where he is. */
static void renew(void)
{
    if (__atomic_add_fetch(&stacks_generation, 1, __ATOMIC_RELEASE) == 0)
        __atomic_add_fetch(&stacks_generation, 1, __ATOMIC_RELEASE);
}

static bool lock(void)
{
    for (uint32_t i = 0; i < SPINS; i++) {
        uint32_t seen = __atomic_load_n(&sequence, __ATOMIC_RELAXED);
        if (!(seen & 1) && __atomic_compare_exchange_n(&sequence, &seen, seen + 1, false,
                               __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)) {
            __atomic_thread_fence(__ATOMIC_RELEASE);
            return true;
        }
        pause_briefly();
    }
    __atomic_store_n(&is_off, true, __ATOMIC_RELAXED);
    renew();
    return false;
}

static void unlock(void)
{
    __atomic_store_n(&sequence, sequence + 1, __ATOMIC_RELEASE);
}

/* How many ranges end at the address or before. */
static uint32_t position_of(uintptr_t address)
{
    uint32_t from = 0, to = __atomic_load_n(&count, __ATOMIC_RELAXED);
    while (from < to) {
        uint32_t middle = from + (to - from) / 2;
        if (__atomic_load_n(&table->ranges[middle].high, __ATOMIC_RELAXED) <= address)
            from = middle + 1;
        else
            to = middle;
    }
    return from;
}

/* What one coroutine was at is not the next one's business. */
static void bear(struct row *row, struct context *context)
{
    struct context *old = row->context == 0 ? NULL : context_at(row->context);
    if (context != NULL)
        context_hold(context);
    row->context = context == NULL ? 0 : context->index;
    row->is_certain = row->is_loop = false;
    __atomic_store_n(&row->birth, row->birth + 1, __ATOMIC_RELEASE);
    context_drop(old);
}

/* With the lock. */
static void remove_between(uintptr_t low, uintptr_t high)
{
    struct range *ranges = table->ranges;
    uint32_t at = position_of(low), end = at;
    uint32_t freed[64];
    while (end < count && ranges[end].low < high && end - at < 64) {
        freed[end - at] = ranges[end].row;
        bear(&table->rows[ranges[end].row], NULL);
        end++;
    }
    if (end == at)
        return;
    memmove(&ranges[at], &ranges[end], (count - end) * sizeof(*ranges));
    __atomic_store_n(&count, count - (end - at), __ATOMIC_RELAXED);
    for (uint32_t i = 0; i < end - at; i++)
        ranges[count + i].row = freed[i];
    if (end - at == 64)
        remove_between(low, high);
}

static void insert(uintptr_t low, uintptr_t high, struct context *context)
{
    struct range *ranges = table->ranges;
    remove_between(low, high);
    if (count == STACKS_MAX)
        return;
    uint32_t at = position_of(low);
    uint32_t row = ranges[count].row == 0 ? count + 1 : ranges[count].row;
    memmove(&ranges[at + 1], &ranges[at], (count - at) * sizeof(*ranges));
    ranges[at] = (struct range){low, high, row};
    __atomic_store_n(&count, count + 1, __ATOMIC_RELAXED);
    bear(&table->rows[row], context);
}

/* What the address lies in: a stack, or what is between two. row 0: between. False: the table is
 * being changed for too long. */
static bool find(uintptr_t address, struct range *found)
{
    for (uint32_t i = 0; i < SPINS; i++) {
        uint32_t seen = __atomic_load_n(&sequence, __ATOMIC_ACQUIRE);
        pause_briefly();
        if (seen & 1)
            continue;
        uint32_t at = position_of(address), known = __atomic_load_n(&count, __ATOMIC_RELAXED);
        bool is_in = at < known && table->ranges[at].low <= address;
        if (is_in)
            *found = table->ranges[at];
        else
            *found = (struct range){at == 0 ? 0 : table->ranges[at - 1].high,
                at >= known ? UINTPTR_MAX : table->ranges[at].low, 0};
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        if (__atomic_load_n(&sequence, __ATOMIC_RELAXED) == seen)
            return true;
    }
    return false;
}

/* --- where a thread is ------------------------------------------------------------------------ */

static void go_home(struct thread *self)
{
    if (self->stack == 0)
        return;
    self->stack = 0;
    attribution_switch(self, self->home, self->home_read_here, false);
    if (self->home != NULL)
        context_drop(self->home);
    self->home = NULL;
}

static void go_to(struct thread *self, uint32_t number)
{
    struct row *row = &table->rows[number];
    if (self->stack == 0 && (self->home = self->current) != NULL) {
        context_hold(self->home);
        self->home_read_here = self->current_read_here;
    }
    self->stack = number;
    self->stack_birth = row->birth;
    struct context *context = row->context == 0 ? NULL : context_at(row->context);
    if (context != NULL && __atomic_load_n(&context->ended, __ATOMIC_RELAXED))
        context = NULL;
    attribution_switch(self, context, row->is_certain, row->is_certain);
    stacks_keep(self);
}

/* A new thread's own stack may lie where coroutines had theirs. It ends at the thread's
 * descriptor. */
static void settle(const struct thread *self, uintptr_t stack)
{
    uintptr_t end = (uintptr_t)__builtin_thread_pointer();
    if (self->stack_generation != 0 || stack >= end || end - stack > OWN_STACK_BYTES)
        return;
    struct range found;
    uintptr_t low = end - OWN_STACK_BYTES;
    if (!find(low, &found) || (found.row == 0 && found.high >= end) || !lock())
        return;
    remove_between(low, end);
    unlock();
    renew();
}

void stacks_moved(struct thread *self, uintptr_t stack)
{
    struct range found = {0, UINTPTR_MAX, 0};
    bool is_known = true;
    if (self->has_carrier || __atomic_load_n(&is_off, __ATOMIC_RELAXED)) {
        go_home(self);
    } else {
        settle(self, stack);
        self->stack_generation = __atomic_load_n(&stacks_generation, __ATOMIC_ACQUIRE);
        is_known = find(stack, &found);
        if (!is_known || found.row == 0)
            go_home(self);
        else if (self->stack != found.row || self->stack_birth != table->rows[found.row].birth)
            go_to(self, found.row);
        if (!is_known)
            attribution_switch(self, NULL, false, false);
    }
    self->stack_generation =
        __atomic_load_n(&stacks_generation, __ATOMIC_RELAXED) - (is_known ? 0u : 1u);
    self->stack_low = found.low;
    self->stack_bytes = found.high - found.low;
}

void stacks_leave(struct thread *self)
{
    self->has_carrier = true;
    go_home(self);
}

bool stacks_is_here(const struct thread *self)
{
    uint32_t generation = __atomic_load_n(&stacks_generation, __ATOMIC_RELAXED);
    uintptr_t stack = (uintptr_t)__builtin_frame_address(0);
    return generation == 0 ||
           (self->stack_generation == generation && stack - self->stack_low < self->stack_bytes);
}

void stacks_end(struct thread *self)
{
    if (self->home != NULL)
        context_drop(self->home);
    self->home = NULL;
    self->stack = 0;
}

/* --- what is told ----------------------------------------------------------------------------- */

void stacks_keep(struct thread *self)
{
    if (self->stack == 0)
        return;
    struct row *row = &table->rows[self->stack];
    struct context *old = row->context == 0 ? NULL : context_at(row->context);
    row->is_certain = self->current_of_stack;
    if (old == self->current)
        return;
    if (self->current != NULL)
        context_hold(self->current);
    row->context = self->current == NULL ? 0 : self->current->index;
    context_drop(old);
}

bool stacks_is_loop(const struct thread *self)
{
    return table->rows[self->stack].is_loop;
}

void stacks_be_loop(struct thread *self)
{
    table->rows[self->stack].is_loop = true;
}

static bool make_table(void)
{
    struct table *expected = NULL, *made = process_may_call() ? memory_map(sizeof(*made)) : NULL;
    if (made != NULL && !__atomic_compare_exchange_n(
                            &table, &expected, made, false, __ATOMIC_RELEASE, __ATOMIC_RELAXED))
        memory_unmap(made, sizeof(*made)); /* another thread was faster */
    return made != NULL;
}

void stacks_note(struct thread *self, uintptr_t low, uintptr_t high)
{
    struct range found;
    if (__atomic_load_n(&table, __ATOMIC_ACQUIRE) == NULL && !make_table())
        return;
    struct context *context = self->current != NULL && self->current->ended ? NULL : self->current;
    if (find(low, &found) && found.row != 0 && found.low == low && found.high == high) {
        bear(&table->rows[found.row], context);
    } else if (lock()) {
        insert(low, high, context);
        unlock();
    }
    renew();
}

void stacks_born(uintptr_t low, uintptr_t high)
{
    int saved_errno = errno;
    struct thread *self = NULL;
    bool is_ours =
        (uintptr_t)&saved_errno - low < high - low; /* whoever runs there is no new one */
    if (low < high && high - low >= STACK_BYTES_MIN && !is_ours &&
        !__atomic_load_n(&is_off, __ATOMIC_RELAXED))
        self = observe_open();
    if (self != NULL) {
        stacks_note(self, low, high);
        observe_close(self);
    }
    errno = saved_errno;
}

void stacks_forked(void)
{
    if (sequence & 1)
        is_off = true; /* another thread of the parent was changing it */
    if (stacks_generation != 0)
        renew();
}
