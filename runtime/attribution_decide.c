/* SPDX-License-Identifier: Apache-2.0 */
/* Whose a call is, and what is learnt from answers: this file moves nothing. */
#include "attribution_internal.h"

#include <string.h>

#include "counters.h"
#include "heap.h"
#include "sharing.h"
#include "stacks.h"
#include "trial.h"

/* Wrong once, an event loop is believed again after so many answers that were right. */
enum { DISTRUST = 200 };
static uint32_t distrust; /* answers still to come */

/* Tasks that are not certain are believed while others wait, once so many requests that had waited
 * were seen to make their own calls: where a queue of the program's own calls back, only those few
 * do that keep it going. After one that did not it takes DISTRUST of them. */
enum { TRIAL = 16 };
static uint32_t trial = TRIAL;

/* The same of asking when an answer may be written: it is done once the work is, as far as so many
 * requests showed that had made calls before. One who works for a request that has asked takes
 * DISTRUST of them. Those who have made calls are believed as soon as TRIAL are left. */
static uint32_t asking_trial = TRIAL;

bool attribution_trusts_loops(void)
{
    return trial_left(&distrust) == 0;
}

/* A loop is isolated from now on: what went wrong before need not any more. */
void attribution_isolated(void)
{
    if (trial_left(&asking_trial) > TRIAL)
        trial_failed(&asking_trial, TRIAL);
    if (trial_left(&distrust) > DISTRUST / 4)
        trial_failed(&distrust, DISTRUST / 4);
}

/* Its answer begins: has its runtime known its calls? */
static void try_carrier(const struct context *context)
{
    if (!context->has_starved)
        return;
    if (!context->has_called && context->is_woken_by_other)
        trial_failed(&trial, DISTRUST);
    else if (context->has_called)
        trial_passed(&trial);
}

void attribution_check(const struct thread *self, const struct context *context)
{
    if (!is_waiting(context))
        return; /* not its first byte, or its request is not complete */
    bool is_right = self->current == context;
    if (!is_right && (context->is_checked ||
                         (self->current == NULL ? self->touched_unknown : self->current_followed)))
        return; /* nothing was believed, so nothing is learnt */
    if (!is_right && attribution_is_engaged(self))
        sharing_handed_over();
    if (self->current_carried && !self->current_certain && is_right)
        try_carrier(context);
    if (self->current_of_heap && !is_right)
        heap_checked(false);
    counter_add(is_right ? COUNTER_SELFCHECK_RIGHT : COUNTER_SELFCHECK_WRONG, 1);
    if (is_right)
        trial_passed(&distrust);
    else
        trial_failed(&distrust, DISTRUST);
}

bool attribution_believes_asking(const struct thread *self, struct context *context)
{
    uint32_t left = trial_left(&asking_trial);
    bool has_called = context->has_made_calls || context->may_have_made_calls;
    if (has_called)
        trial_passed(&asking_trial);
    if (left > TRIAL)
        return false;
    if (self->current == context)
        attribution_check(self, context);
    context->is_checked = true;
    return self->current == context && (has_called || left == 0);
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
    return __atomic_load_n(&attribution.fans_out, __ATOMIC_RELAXED)
               ? 0
               : __atomic_load_n(&attribution.unclaimed, __ATOMIC_RELAXED);
}

/* More than those that look so because of so many calls under way whose maker is not known. */
static bool are_more(const int32_t *count, int32_t calls)
{
    return __atomic_load_n(count, __ATOMIC_RELAXED) > calls;
}

bool attribution_somebody_starves(void)
{
    return are_more(&attribution.starved, hidden());
}

/* Who has asked when its answer may be written may have its work done then, by a thread that is in
 * no request, or in one that has asked itself, and so is done with. */
static bool somebody_asks(const struct thread *self)
{
    bool is_asking = self->current != NULL && has_asked(self->current);
    return are_more(&attribution.asking, is_asking) && (is_asking || self->current == NULL);
}

/* A thread that serves one request is sure of it while others wait with threads of their own. Who
 * has made a call that could not be attributed looks as if it waited: as many do as there are such
 * calls under way. Whom the thread is in does not, though it may have made those that are made
 * here. */
__attribute__((noinline)) static bool is_anothers_turn(const struct thread *self)
{
    int32_t others = hidden() - self->current_unclaimed;
    const int32_t *who = serves_one(self) ? &attribution.lost : &attribution.starved;
    return are_more(who, others < 0 ? 0 : others) || somebody_asks(self);
}

static bool somebody_waits(const struct thread *self)
{
    bool may_be = are_more(&attribution.starved, 0) || are_more(&attribution.asking, 0);
    return __builtin_expect(may_be, 0) && is_anothers_turn(self);
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
           !__atomic_load_n(&attribution.puts_off, __ATOMIC_RELAXED);
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
    if (self->current_guessed || (is_open_step(self) && is_timers_work(self)))
        return ambiguous(context);
    bool is_tried = !context->ended && !self->current_steps && trial_left(&trial) == 0;
    bool is_trusted = attribution_trusts_loops() &&
                      (is_tried || __atomic_load_n(&attribution.starved, __ATOMIC_RELAXED) == 0);
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

bool attribution_serves_one(const struct thread *self)
{
    return serves_one(self);
}

bool attribution_is_engaged(const struct thread *self)
{
    return serves_one(self) && !self->current->ended && !self->current->is_message;
}

bool attribution_has_threads(const struct context *context)
{
    return (__atomic_load_n(&context->state, __ATOMIC_RELAXED) & (OUTSTANDING - 1)) != 0;
}

bool attribution_is_sure(const struct thread *self)
{
    if (self->current_of_heap)
        return false; /* it may have taken up something else since its last call */
    if (self->current_carried)
        return self->current_certain && !self->current_guessed;
    bool is_loop = self->multiplexes && !self->current_read_here;
    return serves_one(self) || (!is_loop && decide(self, &nobody_opened).rule == RULE_THREAD);
}

/* Of messages that came in one read a thread is at one, by what it settles; where it puts one after
 * the other into a queue, each of them may be any. */
static bool may_be_another(const struct context *message)
{
    return !message->is_followed && (!message->is_alone || is_uncertain(message));
}

struct context *attribution_given(const struct thread *self)
{
    struct context *context = attribution_is_sure(self) ? self->current : NULL;
    bool is_known = context != NULL && !(context->is_message && may_be_another(context));
    return is_known ? context : NULL;
}

/* It may be the work of one that has asked; an isolated loop's is rather that of who is likeliest.
 */
__attribute__((noinline)) static void note_uncertain(struct thread *self, struct context *likely)
{
    bool is_likely = likely != NULL && isolation_is_on(&self->isolation);
    if (somebody_asks(self) && (!is_likely || has_asked(likely)))
        trial_failed(&asking_trial, DISTRUST);
    counter_add(COUNTER_PARENT_UNCERTAIN, 1);
}

/* The decision is a call's, as it stands. */
static struct decision noted(struct thread *self, struct decision decision)
{
    if (decision.parent != NULL && is_uncertain(decision.parent))
        decision = ambiguous(decision.parent);
    if (decision.parent != NULL && decision.parent->is_message && decision.rule != RULE_AMBIGUOUS)
        decision.parent->has_named_calls = true;
    if (self->current_carried && !self->current_guessed)
        self->current->has_called = true;
    self->current_retries = false;
    isolation_called(&self->isolation, decision.rule == RULE_AMBIGUOUS);
    if (decision.rule == RULE_AMBIGUOUS)
        note_uncertain(self, decision.parent);
    return decision;
}

__attribute__((noinline)) static void look_closer(struct thread *self)
{
    if (self->transfers.turn.frame != 0)
        transfers_look(self);
    else
        heap_look(self);
}

/* What says whose the thread is only when it is asked. */
static inline void look(struct thread *self)
{
    if (__builtin_expect(heap_is_on || self->transfers.turn.frame != 0, 0))
        look_closer(self);
}

struct decision attribution_parent(struct thread *self, const struct opener *opener)
{
    look(self);
    return noted(self, decide(self, opener));
}

struct opener attribution_opens(struct thread *self)
{
    look(self);
    struct decision decision = decide(self, &nobody_opened);
    self->current_retries = false;
    bool has_ended = self->current != NULL && self->current->ended;
    return (struct opener){.context = has_ended ? NULL : self->current,
        .is_doubtful = decision.rule == RULE_AMBIGUOUS,
        .is_heirs = has_ended && self->current->is_inherited};
}

struct decision attribution_parent_behind(struct thread *self, bool was_doubtful)
{
    look(self);
    struct decision decision = decide(self, &nobody_opened);
    if (was_doubtful && !self->current_carried)
        decision = ambiguous(decision.parent);
    decision.is_behind = true;
    return noted(self, decision);
}

const struct context *attribution_at_work(void)
{
    bool is_known = process.page != NULL && thread_self != NULL && !thread_is_exempt();
    if (is_known && (thread_self->current_of_heap || !stacks_is_here(thread_self)))
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

static bool may_have_called(uint64_t state)
{
    return is_starved(state) || (state & DONE);
}

/* The one that came so many ago, 1: the last, if it may have called. */
static uint32_t add_lately(uint32_t ago, struct trace_link out[CANDIDATES_MAX], uint32_t count)
{
    uint32_t next = __atomic_load_n(&attribution.lately_next, __ATOMIC_RELAXED);
    uint32_t *place = &attribution.lately[(next - ago) % LATELY];
    struct context *context = context_hold_at(__atomic_load_n(place, __ATOMIC_ACQUIRE));
    if (context == NULL)
        return count;
    if (context->epoch == process.epoch &&
        may_have_called(__atomic_load_n(&context->state, __ATOMIC_ACQUIRE)))
        count = add_link(context, out, count);
    context_drop(context);
    return count;
}

/* Where there are more than have room: the last ones, and those that have waited longest, at which
 * who works in order is. */
uint32_t attribution_candidates(
    struct thread *self, struct context *likeliest, struct trace_link out[CANDIDATES_MAX])
{
    uint32_t count = likeliest == NULL ? 0 : add_link(likeliest, out, 0);
    if (usable(self, self->current) != NULL)
        count = add_link(self->current, out, count);
    for (uint32_t ago = 1; ago <= LATELY && count < CANDIDATES_MAX / 2; ago++)
        count = add_lately(ago, out, count);
    for (uint32_t ago = LATELY; ago > 0 && count < CANDIDATES_MAX; ago--)
        count = add_lately(ago, out, count);
    return count;
}
