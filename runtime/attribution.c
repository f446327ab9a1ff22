/* SPDX-License-Identifier: Apache-2.0 */
/* What moves a thread to a request's context and away from it, and who waits. */
#include "attribution_internal.h"

#include "config.h"
#include "sharing.h"
#include "stacks.h"

struct attribution attribution;

_Static_assert(sizeof(struct context) <= 1 << 8, "a context fits its block");

static void note_starved(struct context *context)
{
    context->has_starved = true;
    if (!context->may_have_made_calls && attribution_somebody_starves())
        __atomic_store_n(&attribution.puts_off, true, __ATOMIC_RELAXED);
    note_lately(context);
}

__attribute__((noinline)) static void count(struct context *context, uint64_t old, uint64_t new)
{
    if (context->epoch != process.epoch)
        return;
    if (is_lost(old) != is_lost(new))
        __atomic_fetch_add(&attribution.lost, is_lost(new) ? 1 : -1, __ATOMIC_RELAXED);
    if (is_starved(old) == is_starved(new))
        return;
    __atomic_fetch_add(&attribution.starved, is_starved(new) ? 1 : -1, __ATOMIC_RELAXED);
    if (is_starved(new))
        note_starved(context);
}

static void change(struct context *context, uint64_t delta)
{
    uint64_t old = __atomic_fetch_add(&context->state, delta, __ATOMIC_RELEASE);
    if (is_starved(old) || is_starved(old + delta))
        count(context, old, old + delta);
}

void attribution_forked(void)
{
    __atomic_store_n(&attribution.starved, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&attribution.lost, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&attribution.unclaimed, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&attribution.asking, 0, __ATOMIC_RELAXED);
    sharing_forked();
}

static void set_current(struct thread *self, struct context *context)
{
    struct context *old = self->current;
    self->heap.context = 0;
    if (old == context)
        return;
    if (context != NULL) {
        context_hold(context);
        change(context, ATTACHED);
        self->is_loop |= self->multiplexes;
    }
    self->current = context;
    self->current_read_here = false;
    self->current_carried = false;
    self->current_steps = false;
    self->current_of_stack = false;
    self->current_retries = false;
    self->current_unclaimed = 0;
    self->current_strayed = false;
    self->current_followed = false;
    self->current_is_client = false;
    self->current_of_heap = self->current_started = false;
    if (old != NULL) {
        change(old, self->current_parked ? -PARKED : -ATTACHED);
        self->current_parked = false;
        context_drop(old);
    }
    if (self->stack != 0)
        stacks_keep(self);
}

void attribution_inherit(struct thread *self, struct context *context)
{
    set_current(self, NULL);
    context->epoch = process.epoch;
    context->is_inherited = true;
    context->ended = true;
    __atomic_store_n(&context->state, 0, __ATOMIC_RELAXED);
    set_current(self, context);
    self->current_read_here = true;
    self->multiplexes = self->is_loop = self->owes_answer = false;
}

/* What the coroutine has read itself is its own until it is answered. One that takes up another
 * before that does not say which it is at. */
static void read_by_coroutine(struct thread *self, bool is_torn)
{
    if (is_torn)
        stacks_be_loop(self);
    bool is_its = !stacks_is_loop(self);
    self->current_read_here = self->current_carried = is_its;
    self->current_of_stack = self->current_certain = is_its;
    self->current_guessed = false;
    stacks_keep(self);
}

void attribution_switch(
    struct thread *self, struct context *context, bool is_read_here, bool is_certain)
{
    set_current(self, context);
    bool is_its = context != NULL && is_certain;
    self->current_read_here = context != NULL && is_read_here;
    self->current_of_stack = self->current_carried = self->current_certain = is_its;
    self->current_guessed = false;
}

static bool has_put_aside(const struct thread *self, const struct context *next)
{
    const struct context *current = self->current;
    return serves_one(self) && current != next && !current->is_message && !next->is_message &&
           is_waiting(current);
}

void attribution_request(struct thread *self, struct context *context, bool is_new_clients)
{
    struct context *before = self->current_of_stack ? self->current : NULL;
    bool is_torn = before != NULL && before != context && !before->ended;
    if (__builtin_expect(has_put_aside(self, context), 0))
        self->multiplexes = self->is_loop = true; /* it takes what comes */
    is_new_clients &= !self->is_loop;
    set_current(self, context);
    if (is_new_clients && self->multiplexes) {
        self->is_loop = false;
        self->current_is_client = true;
    }
    self->current_read_here = !sharing_is_seen();
    self->owes_answer = true;
    self->touched_many = false;
    if (self->stack != 0)
        read_by_coroutine(self, is_torn);
}

void attribution_request_complete(struct context *context)
{
    if (!is_waiting(context) && !context->ended)
        change(context, WAITING);
}

/* Who serves one request and takes up another's affairs before it is answered may go on with
 * either. */
static void come_to(struct thread *self, struct context *context)
{
    bool is_torn = serves_one(self) && !self->current->ended && self->current != context;
    set_current(self, is_torn ? NULL : context);
}

void attribution_request_behind(struct context *context, bool behind)
{
    change(context, behind ? PARKED : -PARKED);
}

/* Whatever it hears besides, for others that share a connection with it. */
static bool is_coroutines(const struct thread *self)
{
    return self->current_of_stack && !self->current->ended;
}

void attribution_touch(struct thread *self, struct context *context)
{
    if (is_coroutines(self))
        return;
    come_to(self, context);
}

void attribution_use(struct thread *self, struct context *context)
{
    if (!self->current_carried)
        come_to(self, context);
}

bool attribution_follows(const struct thread *self, const struct context *likeliest)
{
    return isolation_is_on(&self->isolation) && likeliest != NULL && !likeliest->ended;
}

void attribution_touch_guess(struct thread *self, struct context *guess)
{
    self->touched_unknown = true;
    self->is_loop |= self->multiplexes;
    if (serves_one(self) || self->current_carried)
        return;
    set_current(self, guess);
    self->current_followed = guess != NULL;
}

void attribution_touch_many(struct thread *self)
{
    self->touched_many = true;
    self->is_loop |= self->multiplexes;
    if (!is_coroutines(self))
        set_current(self, NULL);
}

void attribution_opened(struct thread *self, struct context *context)
{
    if (!serves_one(self) && !self->current_carried)
        set_current(self, context);
}

void attribution_closed(struct thread *self, const struct context *context)
{
    self->current_retries = context != NULL && self->current == context;
}

void attribution_touch_opened(struct thread *self, const struct opener *opener)
{
    if (opener->is_doubtful)
        attribution_touch_guess(
            self, attribution_follows(self, opener->context) ? opener->context : NULL);
    else if (opener->context != NULL)
        attribution_opened(self, opener->context);
}

/* Does the task run because something came in for another one? */
static bool is_woken_by_other(const struct thread *self, const struct context *context)
{
    bool is_read = self->current != NULL && !self->current_carried;
    return is_read ? self->current != context : self->touched_unknown;
}

static void be_in_task(
    struct thread *self, struct context *context, bool is_certain, bool is_guessed)
{
    set_current(self, context);
    self->current_carried = context != NULL;
    self->current_of_stack = false;
    self->current_certain = is_certain;
    self->current_guessed = is_guessed;
}

void attribution_carry(struct thread *self, struct context *context, bool is_certain)
{
    if (context != NULL && is_of_parent(context)) {
        if (context == self->current)
            return;
        context = NULL;
    }
    if (context != NULL && !is_certain && is_woken_by_other(self, context))
        context->is_woken_by_other = true;
    be_in_task(self, context, is_certain, false);
}

void attribution_guess(struct thread *self, struct context *context)
{
    be_in_task(self, context, false, context != NULL);
}

__attribute__((noinline)) static void leave_answered(struct thread *self)
{
    self->answered = self->current->ids;
    self->answered_ns = is_uncertain(self->current) ? 0 : thread_now(self);
    set_current(self, NULL);
}

static void leave_ended(struct thread *self)
{
    if (config.joins_logs)
        leave_answered(self);
    else
        set_current(self, NULL);
}

void attribution_take_up(struct thread *self, struct context *context)
{
    set_current(self, context);
    self->current_carried = self->current_certain = self->current_of_heap = context != NULL;
    self->current_of_stack = self->current_guessed = false;
}

void attribution_started(struct thread *self, struct context *context)
{
    be_in_task(self, context, true, false);
    self->current_started = true;
}

void attribution_serve(struct thread *self, struct context *context)
{
    be_in_task(self, context, true, false);
    self->current_read_here = context != NULL;
    self->multiplexes = self->is_loop = false;
}

void attribution_step(struct thread *self, struct context *context)
{
    attribution_carry(self, context, true);
    self->current_steps = context != NULL;
}

void attribution_work(struct thread *self, struct context *context)
{
    attribution_step(self, context);
    self->current_read_here = true; /* whatever it waits for meanwhile */
}

void attribution_call_back(struct thread *self, struct context *context, bool is_guess)
{
    be_in_task(self, context, false, context != NULL && is_guess);
    self->current_steps = context != NULL;
    self->touched_unknown |= context == NULL;
}

void attribution_rest(struct context *context, bool begins)
{
    context->rests += begins ? 1 : -1;
    change(context, begins ? OUTSTANDING : -OUTSTANDING);
}

void attribution_stepped(struct thread *self, struct context *context)
{
    set_current(self, context);
    self->current_carried = self->current_steps = false;
    if (context != NULL && context->ended)
        leave_ended(self);
}

void attribution_return(struct thread *self, struct context *context, bool read_here)
{
    set_current(self, context);
    self->current_carried = false;
    self->current_read_here = read_here;
}

void attribution_wait(struct thread *self, int64_t timeout_ns)
{
    if (is_given(self))
        return; /* for more of the same */
    timers_waited(&self->timers, thread_now(self), timeout_ns);
    self->unit++;
    self->is_loop |= self->owes_answer;
    self->multiplexes = true;
    self->touched_many = self->touched_unknown = false;
    if (self->stack != 0)
        stacks_be_loop(self);
    set_current(self, NULL);
    if (__atomic_load_n(&attribution.unclaimed, __ATOMIC_RELAXED) >
        __atomic_load_n(&attribution.starved, __ATOMIC_RELAXED))
        __atomic_store_n(&attribution.fans_out, true, __ATOMIC_RELAXED);
}

void attribution_look(struct thread *self)
{
    timers_waited(&self->timers, thread_now(self), 0);
}

/* What a thread came to, or was started with, is over with its first wait: then it may be given
 * anything. What it read itself is its own until the answer. An event loop waits for its helpers
 * now and then, as for a collection of garbage, and goes on with what it was at. */
bool attribution_park(struct thread *self)
{
    if (self->current == NULL || self->current_parked ||
        (self->current_carried && !self->current_of_heap && !self->current_started) ||
        (self->multiplexes && !self->current_is_client))
        return false;
    if (!self->current_read_here || self->current->ended) {
        set_current(self, NULL);
        return false;
    }
    change(self->current, PARKED - ATTACHED);
    self->current_parked = true;
    return true;
}

void attribution_unpark(struct thread *self)
{
    if (!self->current_parked)
        return;
    change(self->current, ATTACHED - PARKED);
    self->current_parked = false;
}

void attribution_sleep(struct thread *self)
{
    if (self->current != NULL &&
        (self->current_started || (self->current->ended && !self->current_carried)))
        set_current(self, NULL);
}

/* Nothing of the request is under way, and the thread is in it, or was led out of it by the answer
 * to a call that nobody is known to have made. */
void attribution_asks(struct thread *self, struct context *context)
{
    uint64_t state = __atomic_load_n(&context->state, __ATOMIC_RELAXED);
    bool is_here = self->current == context && state == WAITING + ATTACHED;
    bool is_lost_here = self->current == NULL && self->touched_unknown && state == WAITING;
    if (context->is_message || context->epoch != process.epoch || (!is_here && !is_lost_here))
        return;
    __atomic_fetch_add(&attribution.asking, 1, __ATOMIC_RELAXED);
    bool is_done = attribution_believes_asking(self, context);
    change(context, is_done ? ASKED + DONE : ASKED);
    note_lately(context);
}

__attribute__((noinline)) static void answering_asked(struct context *context, uint64_t state)
{
    change(context, -(state & (WAITING | ASKED | DONE)));
    if (context->epoch == process.epoch)
        __atomic_fetch_sub(&attribution.asking, 1, __ATOMIC_RELAXED);
}

void attribution_answering(struct context *context)
{
    uint64_t state = __atomic_load_n(&context->state, __ATOMIC_RELAXED);
    if (__builtin_expect(state / WAITING == 1, 1))
        change(context, -WAITING);
    else if (state & WAITING)
        answering_asked(context, state);
}

void attribution_answered(struct thread *self, struct context *context)
{
    __atomic_store_n(&context->ended, true, __ATOMIC_RELAXED);
    attribution_answering(context);
    self->owes_answer &= self->current != context;
    /* Work after the answer still belongs to it, but only where the thread serves one request at a
     * time; on an event loop the next touch could be anybody's. */
    if (self->current != context || (self->current_steps && !is_open_step(self)))
        return;
    if (self->multiplexes || !self->current_read_here)
        leave_ended(self);
    else if (is_given(self))
        self->current_carried = false; /* what ends it is as if it had read it */
}

void attribution_leave_message(struct thread *self, const struct context *context)
{
    if (context != NULL && self->current == context && !self->current_steps)
        set_current(self, NULL);
}

void attribution_leave_ended(struct thread *self)
{
    if (self->current != NULL && self->current->is_message && self->current->ended &&
        !self->current_steps)
        set_current(self, NULL);
}

/* It has others under way. */
static void note_others(const struct thread *self)
{
    if (!serves_one(self))
        __atomic_store_n(&attribution.fans_out, true, __ATOMIC_RELAXED);
}

void attribution_call_known(const struct thread *self, struct context *context, bool is_behind)
{
    context->has_made_calls = true;
    uint64_t old = __atomic_fetch_add(&context->state, CALL, __ATOMIC_RELEASE);
    if ((old & CALLS) && !is_behind)
        note_others(self);
    if (is_starved(old))
        count(context, old, old + CALL);
}

void attribution_call_known_end(struct context *context)
{
    change(context, -CALL);
}

void attribution_call_begin(struct context *context)
{
    context->has_made_calls = true;
    change(context, OUTSTANDING);
}

void attribution_call_end(struct context *context)
{
    change(context, -OUTSTANDING);
}

void attribution_unclaimed_begin(struct thread *self)
{
    __atomic_fetch_add(&attribution.unclaimed, 1, __ATOMIC_RELAXED);
    self->current_unclaimed += self->current != NULL;
}

void attribution_unclaimed_end(void)
{
    __atomic_fetch_sub(&attribution.unclaimed, 1, __ATOMIC_RELAXED);
}

void attribution_leave(struct thread *self)
{
    set_current(self, NULL);
}
