/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "pooling.h"

enum { PORTS = 64 };
static int32_t connecting[PORTS]; /* connections being made */
int32_t pooling_under_way;
static uint32_t given; /* how often one may have got what another was made for */

static int32_t *count_of(const struct connection *connection)
{
    return &connecting[connection->peer.port % PORTS];
}

void pooling_connects(struct connection *connection, bool is_under_way)
{
    connection->connecting = is_under_way;
    connection->given = __atomic_load_n(&given, __ATOMIC_RELAXED);
    if (!is_under_way)
        return;
    __atomic_fetch_add(count_of(connection), 1, __ATOMIC_RELAXED);
    __atomic_fetch_add(&pooling_under_way, 1, __ATOMIC_RELAXED);
}

void pooling_settle(struct connection *connection)
{
    int32_t *count = count_of(connection);
    connection->connecting = false;
    if (__atomic_load_n(count, __ATOMIC_RELAXED) == 0)
        return; /* begun by whom we were forked from */
    __atomic_fetch_sub(count, 1, __ATOMIC_RELAXED);
    __atomic_fetch_sub(&pooling_under_way, 1, __ATOMIC_RELAXED);
}

void pooling_forked(void)
{
    memset(connecting, 0, sizeof(connecting));
    pooling_under_way = 0;
}

/* It has become free in this caller's name, or would have gone on so if that one were not over. */
static bool is_free_again(const struct thread *self, const struct connection *connection)
{
    const struct context *before = connection->previous;
    return before != NULL && (self->current == NULL ? before->ended : self->current == before) &&
           __atomic_load_n(count_of(connection), __ATOMIC_RELAXED) > 0;
}

void pooling_weigh(struct thread *self, struct connection *connection)
{
    struct opener *opener = &connection->opener;
    if (self->current_carried || attribution_is_engaged(self))
        return;
    if (connection->used) {
        if (!is_free_again(self, connection))
            return;
        __atomic_fetch_add(&given, 1, __ATOMIC_RELAXED);
        opener->is_doubtful = self->current != NULL;
    } else if (opener->context != NULL) {
        opener->is_doubtful |= connection->given != __atomic_load_n(&given, __ATOMIC_RELAXED);
    } else if (connection->connecting && connection->made_unit != self->unit)
        opener->is_doubtful = true; /* nobody's, and the thread is at work for others */
}
