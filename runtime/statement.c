/* SPDX-License-Identifier: Apache-2.0 */
#include "statement.h"

#include "passing.h"
#include "propagators.h"

/* As a head's; what would be cut is none. */
static void add_tracestate(struct exchange *exchange, struct fact tracestate)
{
    struct event event = {.kind = EVENT_TEXT,
        .field = FIELD_TRACESTATE,
        .first = true,
        .last = true,
        .text = tracestate.text,
        .length = tracestate.length};
    exchange_add_text(exchange, &event);
    if (exchange->texts[FIELD_TRACESTATE].length != tracestate.length)
        exchange->texts[FIELD_TRACESTATE].length = 0;
}

bool statement_adopt(
    struct thread *self, const struct protocol *protocol, struct exchange *exchange)
{
    struct sql_context context;
    struct extracted own;
    const uint8_t *text = (const uint8_t *)exchange_text(exchange, FIELD_QUERY);
    size_t length = exchange->texts[FIELD_QUERY].length;
    uint8_t *room = (uint8_t *)self->lines; /* nothing is being sent now */
    if (protocol->dialect == NULL || !sql_may_have_context(text, length) ||
        !sql_context((enum sql_dialect)protocol->dialect(exchange->numbers[FIELD_VERSION]), text,
            length, room, &context))
        return false;
    struct carried carried = {
        .traceparent = {(const char *)context.traceparent.text, context.traceparent.length}};
    propagators_extract(&carried, &own);
    if (own.found != FOUND_PARENT)
        return false;
    if (passing_take(self, exchange, &own.ids))
        return true;
    exchange_adopt_ids(exchange, &own.ids);
    if (context.tracestate.length > 0)
        add_tracestate(exchange, context.tracestate);
    return true;
}
