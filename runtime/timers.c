/* SPDX-License-Identifier: Apache-2.0 */
#include "timers.h"

enum {
    SLACK_NS = 5000000,  /* a loop may go by CLOCK_MONOTONIC_COARSE, or by whole milliseconds */
    NEW_NS = 2000000,    /* nobody knows yet how short they are */
    LOOKS_MAX = 200,     /* a loop that has looked so often and was not seen to set one sets none */
    SHORT_NS = 100000000 /* a first wait, of which nobody knows when it began, may be nearly over */
};

/* When what takes so long from now on may be over; 0 is never. */
static uint64_t after(const struct timers *timers, uint64_t length_ns)
{
    if (length_ns == 0)
        return UINT64_MAX;
    return timers->woke_ns + (length_ns > SLACK_NS ? length_ns - SLACK_NS : 0);
}

/* It waited for no time, since there is something else to do at once. Timers that were set
 * meanwhile are not seen. */
static void looked(struct timers *timers)
{
    uint64_t due = timers->slept_ns + NEW_NS;
    if (timers->shortest_ns != 0 || timers->looks >= LOOKS_MAX)
        return;
    timers->looks++;
    if (due < timers->due_ns || timers->due_ns == 0)
        timers->due_ns = due;
}

/* The loop's own clock, by which it waits, is as old as its last return at most. A timer that is
 * set from now on may be as short as the shortest that was seen to be set, when the loop waited for
 * less than it had wanted to before. */
static void slept(struct timers *timers, uint64_t before, uint64_t length)
{
    timers->slept_ns = timers->woke_ns;
    if (before == 0) {
        timers->due_ns = length - 1 < SHORT_NS ? timers->woke_ns : 0;
        return;
    }
    if (length != 0 && timers->woke_ns + length < timers->wanted_ns &&
        length - 1 < timers->shortest_ns - 1)
        timers->shortest_ns = length;
    timers->wanted_ns =
        length == 0 ? UINT64_MAX : after(timers, length) - (timers->woke_ns - before);
    uint64_t if_set_now = after(timers, timers->shortest_ns);
    timers->due_ns = if_set_now < timers->wanted_ns ? if_set_now : timers->wanted_ns;
}

void timers_waited(struct timers *timers, uint64_t now_ns, int64_t timeout_ns)
{
    uint64_t before = timers->woke_ns;
    timers->woke_ns = now_ns;
    if (timeout_ns == 0)
        looked(timers);
    else
        slept(timers, before, timeout_ns < 0 ? 0 : (uint64_t)timeout_ns);
}
