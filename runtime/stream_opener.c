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
