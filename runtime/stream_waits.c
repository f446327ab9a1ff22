/* SPDX-License-Identifier: Apache-2.0 */
/* The reports of hooks about waits: where one request's work ends and another's may begin. */
#include <errno.h>
#include <sys/epoll.h>

#include "sharing.h"
#include "stream_internal.h"

bool stream_drains(int epoll, int *most, bool sleeps)
{
    struct thread *self = thread_self;
    if (__builtin_expect(self == NULL || !isolation_is_on(&self->isolation), 1))
        return false;
    if (epoll != STREAM_POLLS && descriptor_slot(epoll) == SLOT_UNKNOWN)
        return false; /* another loop than the one that is isolated */
    int saved_errno = errno;
    bool drains = false;
    if ((self = observe_open()) != NULL) {
        drains = isolation_asks(&self->isolation, epoll, most, sleeps);
        if (drains)
            attribution_look(self);
        observe_close(self);
    }
    errno = saved_errno;
    return drains;
}

static void isolate(struct thread *self, int epoll, int events, bool is_new, bool sleeps)
{
    struct isolation *isolation = &self->isolation;
    if (is_new)
        *isolation = (struct isolation){0};
    bool was_on = isolation_is_on(isolation);
    isolation_waited(isolation, epoll, events, sleeps, attribution_trusts_loops());
    if (config.isolation == ISOLATION_OFF || self->has_carrier || sharing_is_seen())
        isolation->phase = ISOLATION_NEVER;
    else if (config.isolation == ISOLATION_ALWAYS)
        isolation->phase = ISOLATION_HELPS;
    if (!was_on && isolation_is_on(isolation))
        counter_add(COUNTER_LOOPS_ISOLATED, 1);
    if (isolation_settles(isolation))
        attribution_isolated();
}

bool stream_isolates_polls(void)
{
    return thread_self != NULL && thread_self->isolation.loop == STREAM_POLLS + 1 &&
           isolation_is_on(&thread_self->isolation);
}

int stream_turn(int fd, int best)
{
    int last = thread_self->isolation.given;
    bool is_next = fd > last, is_best_next = best > last;
    return best < 0 || (is_next == is_best_next ? fd < best : is_next) ? fd : best;
}

void stream_give(int fd)
{
    thread_self->isolation.given = fd;
}

void stream_waited(int epoll, int events, int64_t timeout_ns)
{
    struct thread *self = thread_self;
    if (self == NULL) /* this thread has touched nothing of interest yet */
        return;
    int saved_errno = errno;
    if ((self = observe_open()) != NULL) {
        attribution_wait(self, timeout_ns);
        if (epoll >= 0) {
            /* Whatever is known of a loop of this number, that one has ended. */
            bool is_new = events >= 0 && descriptor_is_new(epoll);
            sharing_waited(self->index, epoll, is_new);
            isolate(self, epoll, events, is_new, timeout_ns != 0);
        } else if (epoll == STREAM_POLLS && self->isolation.loop <= 0)
            isolate(self, epoll, events, false, timeout_ns != 0);
        if (events != 0 || timeout_ns != 0) /* a look of no time that finds nothing says nothing */
            self->wait_timed_out = events == 0;
        observe_close(self);
    }
    errno = saved_errno;
}

void stream_epoll_made(int epoll)
{
    struct thread *self = thread_self;
    if (self == NULL)
        return;
    self->brief_epoll = epoll + 1;
    self->brief_fd = 0;
}

/* The ends of a helper's pipes, as CGI's, while the request that the thread has read is unanswered:
 * then they tell of no other. */
static bool is_of_helper(const struct thread *self, int fd)
{
    uint32_t slot = descriptor_slot(fd);
    return slot < SLOT_FIRST && slot != SLOT_LISTENER && attribution_serves_one(self) &&
           !self->current->ended;
}

void stream_epoll_changed(int epoll, int operation, int fd)
{
    struct thread *self = thread_self;
    if (self == NULL || self->brief_epoll != epoll + 1)
        return;
    if (operation == EPOLL_CTL_ADD && self->brief_fd == 0)
        self->brief_fd = fd + 1;
    else if (!is_of_helper(self, fd) || !is_of_helper(self, self->brief_fd - 1))
        self->brief_epoll = 0;
}

int stream_epoll_only(int epoll, int events)
{
    struct thread *self = thread_self;
    if (self == NULL || self->brief_epoll != epoll + 1)
        return -1;
    bool stays = events < 0 || is_of_helper(self, self->brief_fd - 1);
    if (!stays) /* else it was interrupted, or waits once more */
        self->brief_epoll = 0;
    return self->brief_fd - 1;
}

bool stream_thread_is_known(void)
{
    return thread_self != NULL && thread_in_vfork == 0 && !thread_is_exempt();
}

bool stream_is_foreign(int fd, bool alone)
{
    uint32_t slot = descriptor_slot(fd);
    struct sight sight;
    if (slot == SLOT_LISTENER)
        return true;
    if (alone || slot < SLOT_FIRST || !stream_look(fd, &sight))
        return false;
    /* Read without the lock: the pointer is only compared. */
    const struct connection *connection = sight.connection;
    struct context *context = __atomic_load_n(&connection->current, __ATOMIC_RELAXED);
    if (connection->requests_out || connection->origin == ORIGIN_CONNECTED)
        return context != NULL && context != thread_self->current;
    return context == NULL || context != thread_self->current;
}

bool stream_is_own(int fd)
{
    struct sight sight;
    if (descriptor_slot(fd) < SLOT_FIRST || !stream_look(fd, &sight))
        return false;
    const struct connection *connection = sight.connection;
    const struct context *current = thread_self->current;
    return stream_is_heirs(connection, current) ||
           __atomic_load_n(&connection->current, __ATOMIC_RELAXED) == current ||
           __atomic_load_n(&connection->opener.context, __ATOMIC_RELAXED) == current;
}

void stream_asks_for_more(int fd, bool looks)
{
    struct sight sight;
    struct visit visit;
    int of_thread = stream_thread_is_known() ? thread_self->unsettled_fd - 1 : -1;
    if (of_thread < 0 || (fd >= 0 && fd != of_thread))
        return;
    thread_self->unsettled_fd = 0;
    if (!stream_look(of_thread, &sight) || !stream_enter(&visit, &sight))
        return;
    stream_rest(visit.self, visit.connection, of_thread, looks);
    stream_leave(&visit);
}

void stream_asks_to_write(int fd)
{
    struct sight sight;
    struct visit visit;
    bool may_be_its =
        stream_thread_is_known() && (thread_self->current != NULL || thread_self->touched_unknown);
    if (!may_be_its || !stream_look(fd, &sight) || !stream_enter(&visit, &sight))
        return;
    struct connection *connection = visit.connection;
    if (connection->current != NULL && !connection->requests_out)
        attribution_asks(visit.self, connection->current);
    else if (isolation_is_on(&visit.self->isolation) && connection->requests_out &&
             connection->state == CONNECTION_CLAIMED)
        stream_own_next(visit.self, connection);
    stream_leave(&visit);
}

static bool is_at_work(void)
{
    return stream_thread_is_known() && thread_self->current != NULL;
}

bool stream_is_after_answer(void)
{
    return is_at_work() && thread_self->current->ended && !thread_self->current_started;
}

static void report(void (*happened)(struct thread *self))
{
    int saved_errno = errno;
    struct thread *self = observe_open();
    if (self != NULL) {
        happened(self);
        observe_close(self);
    }
    errno = saved_errno;
}

void stream_sleep(void)
{
    if (__builtin_expect(stream_is_after_answer() || thread_was_started(), 0))
        report(attribution_sleep);
}

bool stream_park(void)
{
    if (__builtin_expect(!is_at_work(), 1))
        return false;
    int saved_errno = errno;
    struct thread *self = observe_open();
    bool is_parked = self != NULL && attribution_park(self);
    if (self != NULL)
        observe_close(self);
    errno = saved_errno;
    return is_parked;
}

void stream_unpark(void)
{
    report(attribution_unpark);
}

void stream_wait_timed_out(int fd)
{
    struct sight sight;
    if (descriptor_slot(fd) >= SLOT_FIRST && stream_look(fd, &sight))
        sight.connection->wait_timed_out = true;
}
