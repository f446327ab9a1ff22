/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "pooling.h"

enum { PORTS = 64 };
static struct port {
    int32_t connecting; /* connections being made */
    int32_t asking;     /* their first request is not over */
    bool has_logins;    /* which was a login, of one: so is that of others */
} ports[PORTS];
int32_t pooling_under_way;
static uint32_t given; /* how often one may have got what another was made for */

static struct port *port_of(const struct connection *connection)
{
    return &ports[connection->peer.port % PORTS];
}

/* Those that are being connected count always; those that ask, where that may be a login. */
static void count(int32_t *what, int32_t more, bool is_under_way)
{
    __atomic_fetch_add(what, more, __ATOMIC_RELAXED);
    if (is_under_way)
        __atomic_fetch_add(&pooling_under_way, more, __ATOMIC_RELAXED);
}

static bool has_logins(const struct port *port)
{
    return __atomic_load_n(&port->has_logins, __ATOMIC_RELAXED);
}

void pooling_connects(struct connection *connection, bool is_under_way)
{
    struct port *port = port_of(connection);
    connection->given = __atomic_load_n(&given, __ATOMIC_RELAXED);
    connection->making = MAKING_ASKS;
    count(&port->asking, 1, has_logins(port));
    if (!is_under_way)
        return;
    connection->making |= MAKING_CONNECTS;
    count(&port->connecting, 1, true);
}

/* None is left only if it was begun by whom we were forked from. */
void pooling_settle(struct connection *connection)
{
    int32_t *connecting = &port_of(connection)->connecting;
    connection->making &= (uint8_t)~MAKING_CONNECTS;
    if (__atomic_load_n(connecting, __ATOMIC_RELAXED) > 0)
        count(connecting, -1, true);
}

void pooling_ask(struct connection *connection, bool is_login)
{
    struct port *port = port_of(connection);
    connection->making &= (uint8_t)~MAKING_ASKS;
    if (__atomic_load_n(&port->asking, __ATOMIC_RELAXED) > 0)
        count(&port->asking, -1, has_logins(port));
    if (!is_login)
        return;
    connection->making |= MAKING_FRESH;
    if (!__atomic_exchange_n(&port->has_logins, true, __ATOMIC_RELAXED))
        count(&pooling_under_way, __atomic_load_n(&port->asking, __ATOMIC_RELAXED), false);
}

void pooling_forked(void)
{
    memset(ports, 0, sizeof(ports));
    pooling_under_way = 0;
}

/* Is any being made that this one could be given away for? */
static bool are_made(const struct connection *connection)
{
    const struct port *port = port_of(connection);
    return __atomic_load_n(&port->connecting, __ATOMIC_RELAXED) > 0 ||
           (has_logins(port) && __atomic_load_n(&port->asking, __ATOMIC_RELAXED) > 0);
}

/* It has become free in this caller's name, or would have gone on so if that one were not over. */
static bool is_free_again(const struct thread *self, const struct connection *connection)
{
    const struct context *before = connection->previous;
    return before != NULL && (self->current == NULL ? before->ended : self->current == before) &&
           are_made(connection);
}

static bool is_older(const struct connection *connection)
{
    return connection->given != __atomic_load_n(&given, __ATOMIC_RELAXED);
}

/* The first call behind its login, by which the thread has come to whom it was made for. */
static bool is_given_away(const struct connection *connection)
{
    if (are_made(connection))
        __atomic_fetch_add(&given, 1, __ATOMIC_RELAXED);
    return is_older(connection);
}

void pooling_weigh(struct thread *self, struct connection *connection)
{
    struct opener *opener = &connection->opener;
    bool is_fresh = connection->making & MAKING_FRESH;
    connection->making &= (uint8_t)~MAKING_FRESH;
    if (self->current_carried || attribution_is_engaged(self))
        return;
    if (is_fresh)
        opener->is_doubtful = is_given_away(connection) && self->current != NULL;
    else if (connection->used) {
        if (!is_free_again(self, connection))
            return;
        __atomic_fetch_add(&given, 1, __ATOMIC_RELAXED);
        opener->is_doubtful = self->current != NULL;
    } else if (opener->context != NULL) {
        opener->is_doubtful |= is_older(connection);
    } else if ((connection->making & MAKING_CONNECTS) && connection->made_unit != self->unit)
        opener->is_doubtful = true; /* nobody's, and the thread is at work for others */
}
