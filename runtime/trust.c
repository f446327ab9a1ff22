/* SPDX-License-Identifier: Apache-2.0 */
#include "trust.h"

#include <string.h>

bool trust_believes(const struct address *peer)
{
    return config.trust == TRUST_PRIVATE && address_is_private(peer);
}

void trust_refuse(struct exchange *exchange, struct extracted *extracted)
{
    if (extracted->found == FOUND_PARENT) {
        struct trace_link *link = &exchange->links[0];
        exchange_unlink(exchange);
        memcpy(link->trace_id, extracted->ids.trace_id, sizeof(link->trace_id));
        memcpy(link->span_id, extracted->ids.span_id, sizeof(link->span_id));
        exchange->link_count = 1;
    }
    extracted->found = FOUND_NOTHING;
    extracted->is_w3c = false;
    exchange->texts[FIELD_BAGGAGE].length = 0;
    exchange->texts[FIELD_CARRIED].length = 0;
}
