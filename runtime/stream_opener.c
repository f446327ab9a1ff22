/* SPDX-License-Identifier: Apache-2.0 */
/* Whose the next request of a connection is. */
#include "stream_internal.h"

void stream_own(struct thread *self, struct connection *connection)
{
    struct opener opener = attribution_opens(self);
    connection->opener = opener;
    if (opener.context == NULL)
        return;
    context_hold(opener.context);
    attribution_call_begin(opener.context);
}

void stream_own_next(struct thread *self, struct connection *connection)
{
    struct opener *opener = &connection->opener;
    if (connection->origin != ORIGIN_CONNECTED || connection->first != NULL ||
        opener->context != NULL || opener->is_doubtful)
        return;
    stream_own(self, connection);
    opener->is_certain = !opener->is_doubtful;
}

bool stream_is_heirs(const struct connection *connection, const struct context *current)
{
    const struct protocol *protocol = connection->protocol;
    if (current == NULL || !current->is_inherited || connection->state != CONNECTION_CLAIMED ||
        !connection->requests_out)
        return false;
    bool is_brokers = protocol->client_only && protocol->edits == EDITS_ALWAYS;
    return connection->opener.is_heirs || (is_brokers && connection->previous == current);
}
