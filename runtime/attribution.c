/* SPDX-License-Identifier: Apache-2.0 */
#include "attribution.h"

#include <string.h>

#include "config.h"
#include "counters.h"
#include "heap.h"
#include "sharing.h"
#include "stacks.h"

/* state: one word, so that "became starved" and "is no longer starved" are exact transitions even
 * when several threads report at once. */
#define ATTACHED ((uint64_t)1)          /* a thread is in it and runs */
#define PARKED ((uint64_t)1 << 16)      /* a thread is in it and waits for another */
#define OUTSTANDING ((uint64_t)1 << 32) /* a call, or a connection not used yet */
#define WAITING ((uint64_t)1 << 60)     /* its request is complete, its answer has not begun */

static int32_t starved;   /* contexts that must be waiting in user space */
static int32_t lost;      /* those of them that no thread waits with */
static int32_t unclaimed; /* calls under way that could be of any of them */
static bool puts_off;     /* one has been seen to wait so in an event loop */
/* More such calls have been seen than requests that look so: some are of one request, or of one
 * that others are known of. Then they hide nobody. */
static bool fans_out;

/* Wrong once, an event loop is believed again after so many answers that were right. */
enum { DISTRUST = 200 };
static uint32_t distrust; /* answers still to come; a race loses one or two of them */

/* Tasks that are not certain are believed while others wait, once so many requests that had waited
 * were seen to make their own calls: where a queue of the program's own calls back, only those few
 * do that keep it going. After one that did not it takes DISTRUST of them. */
enum { TRIAL = 16 };
static uint32_t trial = TRIAL;

/* The last ones that began to wait: links to them are made without a lock. An entry may be over, or
 * another request's by now; whoever reads it asks the context itself. */
enum { LATELY = 64 };
static uint32_t lately[LATELY], lately_next;

_Static_assert(sizeof(struct context) <= 1 << 8, "a context fits its block");

bool attribution_trusts_loops(void)
{
    return __atomic_load_n(&distrust, __ATOMIC_RELAXED) == 0;
}

static bool is_lost(uint64_t state)
{
    return state == WAITING;
}

static bool is_starved(uint64_t state)
{
    return (state & ~(OUTSTANDING - PARKED)) == WAITING;
}

/* More than those that look so because of so many calls under way whose maker is not known. */
static bool are_more(const int32_t *count, int32_t calls)
{
    return __atomic_load_n(count, __ATOMIC_RELAXED) > calls;
}

static void note_starved(struct context *context)
{
    context->has_starved = true;
    if (!context->may_have_made_calls && attribution_somebody_starves())
        __atomic_store_n(&puts_off, true, __ATOMIC_RELAXED);
    uint32_t at = __atomic_fetch_add(&lately_next, 1, __ATOMIC_RELAXED) % LATELY;
    __atomic_store_n(&lately[at], context->index, __ATOMIC_RELEASE);
}

__attribute__((noinline)) static void count(struct context *context, uint64_t old, uint64_t new)
{
    if (context->epoch != process.epoch)
        return;
    if (is_lost(old) != is_lost(new))
        __atomic_fetch_add(&lost, is_lost(new) ? 1 : -1, __ATOMIC_RELAXED);
    if (is_starved(old) == is_starved(new))
        return;
    __atomic_fetch_add(&starved, is_starved(new) ? 1 : -1, __ATOMIC_RELAXED);
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
    __atomic_store_n(&starved, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&lost, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&unclaimed, 0, __ATOMIC_RELAXED);
    sharing_forked();
}

static void set_current(struct thread *self, struct context *context)
{
    struct context *old = self->current;
    self->heap_context = 0;
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
    self->current_of_heap = false;
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

/* It works for the request that it has read, until it reads another. */
static bool serves_one(const struct thread *self)
{
    return self->current != NULL && self->current_read_here &&
           (!self->multiplexes || self->current_is_client);
}

static bool has_put_aside(const struct thread *self, const struct context *next)
{
    const struct context *current = self->current;
    return serves_one(self) && current != next && !current->is_message && !next->is_message &&
           (__atomic_load_n(&current->state, __ATOMIC_RELAXED) & WAITING);
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
    if (!(__atomic_load_n(&context->state, __ATOMIC_RELAXED) & WAITING) && !context->ended)
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

/* Its runtime in a forked child knows of no end that it had in the parent. */
static bool is_of_parent(const struct context *context)
{
    return context->is_inherited || context->epoch != process.epoch;
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
    set_current(self, context);
    self->current_carried = context != NULL;
    self->current_of_stack = false;
    self->current_certain = is_certain;
    self->current_guessed = false;
}

void attribution_guess(struct thread *self, struct context *context)
{
    set_current(self, context);
    self->current_carried = context != NULL;
    self->current_of_stack = false;
    self->current_certain = false;
    self->current_guessed = context != NULL;
}

/* It may be another message that is worked on. */
static bool is_uncertain(const struct context *context)
{
    return context->is_uncertain || (context->is_of_many && !context->is_followed);
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

void attribution_step(struct thread *self, struct context *context)
{
    attribution_carry(self, context, true);
    self->current_steps = context != NULL;
}

void attribution_call_back(struct thread *self, struct context *context, bool is_guess)
{
    attribution_guess(self, context);
    self->current_guessed = context != NULL && is_guess;
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
    timers_waited(&self->timers, thread_now(self), timeout_ns);
    self->unit++;
    self->is_loop |= self->owes_answer;
    self->multiplexes = true;
    self->touched_many = self->touched_unknown = false;
    if (self->stack != 0)
        stacks_be_loop(self);
    set_current(self, NULL);
    if (__atomic_load_n(&unclaimed, __ATOMIC_RELAXED) > __atomic_load_n(&starved, __ATOMIC_RELAXED))
        __atomic_store_n(&fans_out, true, __ATOMIC_RELAXED);
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
        (self->current_carried && !self->current_of_heap) ||
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
    if (self->current != NULL && self->current->ended && !self->current_carried)
        set_current(self, NULL);
}

/* Its answer begins: has its runtime known its calls? */
static void try_carrier(const struct context *context)
{
    uint32_t left = __atomic_load_n(&trial, __ATOMIC_RELAXED);
    if (!context->has_starved)
        return;
    if (!context->has_called && context->is_woken_by_other)
        __atomic_store_n(&trial, DISTRUST, __ATOMIC_RELAXED);
    else if (context->has_called && left > 0)
        __atomic_store_n(&trial, left - 1, __ATOMIC_RELAXED);
}

void attribution_check(const struct thread *self, const struct context *context)
{
    if (!(__atomic_load_n(&context->state, __ATOMIC_RELAXED) & WAITING))
        return; /* not its first byte, or its request is not complete */
    bool is_right = self->current == context;
    if (!is_right && (self->current == NULL ? self->touched_unknown : self->current_followed))
        return; /* nothing was believed, so nothing is learnt */
    if (!is_right && attribution_is_engaged(self))
        sharing_handed_over();
    uint32_t left = __atomic_load_n(&distrust, __ATOMIC_RELAXED);
    if (self->current_carried && !self->current_certain && is_right)
        try_carrier(context);
    if (self->current_of_heap && !is_right)
        heap_checked(false);
    counter_add(is_right ? COUNTER_SELFCHECK_RIGHT : COUNTER_SELFCHECK_WRONG, 1);
    if (!is_right)
        __atomic_store_n(&distrust, DISTRUST, __ATOMIC_RELAXED);
    else if (left > 0)
        __atomic_store_n(&distrust, left - 1, __ATOMIC_RELAXED);
}

void attribution_answering(struct context *context)
{
    if (__atomic_load_n(&context->state, __ATOMIC_RELAXED) & WAITING)
        change(context, -WAITING);
}

void attribution_answered(struct thread *self, struct context *context)
{
    __atomic_store_n(&context->ended, true, __ATOMIC_RELAXED);
    attribution_answering(context);
    self->owes_answer &= self->current != context;
    /* Work after the answer still belongs to it, but only where the thread serves one request at a
     * time; on an event loop the next touch could be anybody's. */
    if (self->current != context || self->current_steps ||
        (!self->multiplexes && self->current_read_here))
        return;
    leave_ended(self);
}

bool attribution_is_engaged(const struct thread *self)
{
    return serves_one(self) && !self->current->ended && !self->current->is_message;
}

void attribution_leave_message(struct thread *self, const struct context *context)
{
    if (context != NULL && self->current == context)
        set_current(self, NULL);
}

void attribution_leave_ended(struct thread *self)
{
    if (self->current != NULL && self->current->is_message && self->current->ended)
        set_current(self, NULL);
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
    __atomic_fetch_add(&unclaimed, 1, __ATOMIC_RELAXED);
    self->current_unclaimed += self->current != NULL;
}

void attribution_unclaimed_end(void)
{
    __atomic_fetch_sub(&unclaimed, 1, __ATOMIC_RELAXED);
}

void attribution_leave(struct thread *self)
{
    set_current(self, NULL);
}

const struct opener nobody_opened;

static struct context *usable(const struct thread *self, struct context *context)
{
    if (context == NULL || context->epoch != process.epoch)
        return NULL;
    if (!context->ended)
        return context;
    return context == self->current && self->current_read_here ? context : NULL;
}

static int32_t hidden(void)
{
    return __atomic_load_n(&fans_out, __ATOMIC_RELAXED)
               ? 0
               : __atomic_load_n(&unclaimed, __ATOMIC_RELAXED);
}

bool attribution_somebody_starves(void)
{
    return are_more(&starved, hidden());
}

/* A thread that serves one request is sure of it while others wait with threads of their own. Who
 * has made a call that could not be attributed looks as if it waited: as many do as there are such
 * calls under way. Whom the thread is in does not, though it may have made those that are made
 * here. */
static bool somebody_waits(const struct thread *self)
{
    int32_t others = hidden() - self->current_unclaimed;
    return are_more(serves_one(self) ? &lost : &starved, others < 0 ? 0 : others);
}

static struct decision ambiguous(struct context *likeliest)
{
    if (likeliest != NULL)
        likeliest->may_have_made_calls = true;
    return (struct decision){likeliest, RULE_AMBIGUOUS};
}

/* Its request and the answers to all its calls are there: what does not put work off does something
 * for it now, before anything else. */
static bool is_to_act(const struct thread *self)
{
    uint64_t state = __atomic_load_n(&self->current->state, __ATOMIC_RELAXED);
    state -= ATTACHED + self->current->rests * OUTSTANDING;
    return is_starved(state) && self->current_unclaimed == 0 &&
           !__atomic_load_n(&puts_off, __ATOMIC_RELAXED);
}

/* Timers' work begins after everything else of its turn, so what the thread has come to before may
 * be over. A time-out is told by closing what was too slow, and the call is made again at once. */
static bool is_timers_work(const struct thread *self)
{
    return !self->current_retries && !is_to_act(self) && timers_may_be_due(&self->timers);
}

/* A program that was seen to put work off may have put off that of a request that has calls under
 * way besides, and so does not look as if it waited. */
static bool is_doubtful(const struct thread *self)
{
    return self->touched_many || self->current_followed || sharing_is_seen() ||
           !attribution_trusts_loops();
}

/* Its runtime says whose task this is. What a queue of the program's own calls back may be in the
 * context of who emptied it: while another one waits, nobody is certain where that one is over or
 * the runtime has not stood its trial. */
static struct decision carried(const struct thread *self)
{
    struct context *context = self->current;
    if (self->current_of_stack && (context->ended || !attribution_trusts_loops()))
        return ambiguous(context);
    if (self->current_of_stack)
        return (struct decision){context, RULE_STACK};
    if (self->current_of_heap)
        return heap_is_doubtful() || context->ended ? ambiguous(context)
                                                    : (struct decision){context, RULE_HEAP};
    if (self->current_certain)
        return (struct decision){context, RULE_CARRIER};
    if (self->current_guessed)
        return ambiguous(context);
    bool is_tried =
        !context->ended && !self->current_steps && __atomic_load_n(&trial, __ATOMIC_RELAXED) == 0;
    bool is_trusted = attribution_trusts_loops() &&
                      (is_tried || __atomic_load_n(&starved, __ATOMIC_RELAXED) == 0);
    return is_trusted ? (struct decision){context, RULE_CARRIER} : ambiguous(context);
}

static struct decision nobodys(void)
{
    struct context *context = attribution_process_context;
    return (struct decision){context, context == NULL ? RULE_NONE : RULE_PROCESS};
}

static struct decision decide(const struct thread *self, const struct opener *owner)
{
    if (self->current_carried && self->current->epoch == process.epoch)
        return carried(self);
    struct context *opener = usable(self, owner->context);
    struct context *current = usable(self, self->current);
    if (current != NULL && serves_one(self))
        opener = NULL; /* whoever opened the connection */
    struct context *context = opener != NULL ? opener : current;
    if (opener != NULL && owner->is_certain)
        return (struct decision){opener, RULE_OWNER};
    if (somebody_waits(self) || (opener != NULL && current != NULL && opener != current))
        return ambiguous(context);
    if (owner->is_doubtful && !serves_one(self))
        return ambiguous(context);
    if (context == NULL)
        return nobodys();
    if (!serves_one(self) && (is_doubtful(self) || (opener == NULL && is_timers_work(self))))
        return ambiguous(context);
    return (struct decision){context, opener != NULL ? RULE_OWNER : RULE_THREAD};
}

bool attribution_is_sure(const struct thread *self)
{
    if (self->current_carried)
        return self->current_certain && !self->current_guessed;
    bool is_loop = self->multiplexes && !self->current_read_here;
    return serves_one(self) || (!is_loop && decide(self, &nobody_opened).rule == RULE_THREAD);
}

/* The decision is a call's, as it stands. */
static struct decision noted(struct thread *self, struct decision decision)
{
    if (decision.parent != NULL && is_uncertain(decision.parent))
        decision = ambiguous(decision.parent);
    if (self->current_carried && !self->current_guessed)
        self->current->has_called = true;
    self->current_retries = false;
    isolation_called(&self->isolation, decision.rule == RULE_AMBIGUOUS);
    if (decision.rule == RULE_AMBIGUOUS)
        counter_add(COUNTER_PARENT_UNCERTAIN, 1);
    return decision;
}

struct decision attribution_parent(struct thread *self, const struct opener *opener)
{
    if (__builtin_expect(heap_is_on, 0))
        heap_look(self);
    return noted(self, decide(self, opener));
}

struct opener attribution_opens(struct thread *self)
{
    if (__builtin_expect(heap_is_on, 0))
        heap_look(self);
    struct decision decision = decide(self, &nobody_opened);
    self->current_retries = false;
    bool has_ended = self->current != NULL && self->current->ended;
    return (struct opener){has_ended ? NULL : self->current, decision.rule == RULE_AMBIGUOUS};
}

struct decision attribution_parent_behind(struct thread *self, bool was_doubtful)
{
    struct decision decision = decide(self, &nobody_opened);
    if (was_doubtful && !self->current_carried)
        decision = ambiguous(decision.parent);
    decision.is_behind = true;
    return noted(self, decision);
}

const struct context *attribution_at_work(void)
{
    bool is_known = process.page != NULL && thread_self != NULL && !thread_is_exempt();
    if (is_known && !stacks_is_here(thread_self))
        return NULL;
    struct decision decision = is_known ? decide(thread_self, &nobody_opened) : nobodys();
    return decision.rule == RULE_AMBIGUOUS ? NULL : decision.parent;
}

/* A timer may write to the log, too. */
static bool is_timers_line(const struct thread *self)
{
    return self->current == NULL ? timers_may_be_due(&self->timers) : is_timers_work(self);
}

const struct trace_ids *attribution_of_line(const struct thread *self, uint64_t last_ns)
{
    const struct context *current = self->current;
    bool is_loop = !self->current_carried && !serves_one(self);
    if (is_loop && (self->current_strayed || is_doubtful(self) || is_timers_line(self)))
        return NULL;
    if (current == NULL && last_ns != 0 && self->answered_ns == last_ns && !somebody_waits(self))
        return &self->answered;
    /* What a forked child writes may be read by whoever forked it. */
    bool is_its = current != NULL && !is_uncertain(current) && !is_of_parent(current);
    /* What a library may do in another's name is in doubt; not what is said. */
    bool is_sure = self->current_guessed || attribution_at_work() == current;
    return is_its && is_sure ? &current->ids : NULL;
}

static uint32_t add_link(const struct context *context, struct trace_link *links, uint32_t count)
{
    struct trace_link link;
    if (!trace_id_is_set(context->ids.trace_id))
        return count;
    memcpy(link.trace_id, context->ids.trace_id, sizeof(link.trace_id));
    memcpy(link.span_id, context->ids.span_id, sizeof(link.span_id));
    for (uint32_t i = 0; i < count; i++)
        if (memcmp(&links[i], &link, sizeof(link)) == 0)
            return count;
    links[count] = link;
    return count + 1;
}

uint32_t attribution_candidates(
    struct thread *self, struct context *likeliest, struct trace_link out[CANDIDATES_MAX])
{
    uint32_t count = likeliest == NULL ? 0 : add_link(likeliest, out, 0);
    if (usable(self, self->current) != NULL)
        count = add_link(self->current, out, count);
    uint32_t next = __atomic_load_n(&lately_next, __ATOMIC_RELAXED);
    for (uint32_t i = 1; i <= LATELY && count < CANDIDATES_MAX; i++) {
        uint32_t index = __atomic_load_n(&lately[(next - i) % LATELY], __ATOMIC_ACQUIRE);
        struct context *context = context_hold_at(index);
        if (context == NULL)
            continue;
        if (context->epoch == process.epoch &&
            is_starved(__atomic_load_n(&context->state, __ATOMIC_ACQUIRE)))
            count = add_link(context, out, count);
        context_drop(context);
    }
    return count;
}
