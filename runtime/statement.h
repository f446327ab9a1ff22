/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The context that a statement carries in a comment which the program, or a framework in it, has
 * written (protocols/sql_comment.h): its span continues that, as one of HTTP does what its head
 * carries, and is not sampled if that is not. Under the connection's lock, in an observe block,
 * while nothing is being sent.
 */
#pragma once

#include "../protocols/sql_comment.h"
#include "exchange.h"

/* Has it a statement that may carry one, and whose text its own message brought? Of one that was
 * prepared before, the context would be that of the call which prepared it. */
static inline bool statement_may_carry(const struct exchange *exchange)
{
    uint32_t query = exchange->present & (1u << FIELD_QUERY | EXCHANGE_IS_REPEATED);
    size_t length = exchange->texts[FIELD_QUERY].length;
    const char *text = exchange->inline_text + exchange->texts[FIELD_QUERY].offset;
    return query == 1u << FIELD_QUERY &&
           (exchange->big_index != 0 || sql_may_have_context((const uint8_t *)text, length));
}

/* Of such a one. True: it has another parent now, or may be sampled otherwise. */
bool statement_adopt(
    struct thread *self, const struct protocol *protocol, struct exchange *exchange);
