/* SPDX-License-Identifier: Apache-2.0 */
#include "passing.h"

#include <string.h>

#include "config.h"
#include "stream_internal.h"

/* Indexes of contexts, by the span that their request came from; the last to come is the first of
 * its row. One may be over, or another request's by now: whoever reads it asks the context. Two
 * threads at one row may lose an index: then its request is found by other rules. */
enum { ROW_SHIFT = 12, ROW_WIDTH = 4 };
static uint32_t rows[1 << ROW_SHIFT][ROW_WIDTH];

static uint32_t *row_of(const uint8_t span_id[8])
{
    uint64_t bits;
    memcpy(&bits, span_id, sizeof(bits));
    return rows[(bits * UINT64_C(0x9E3779B97F4A7C15)) >> (64 - ROW_SHIFT)];
}

static bool carries(
    const struct context *context, const uint8_t trace_id[16], const uint8_t span_id[8])
{
    return __atomic_load_n(&context->has_remote, __ATOMIC_ACQUIRE) &&
           !__atomic_load_n(&context->ended, __ATOMIC_RELAXED) && context->epoch == process.epoch &&
           memcmp(context->remote_id, span_id, sizeof(context->remote_id)) == 0 &&
           memcmp(context->ids.trace_id, trace_id, sizeof(context->ids.trace_id)) == 0;
}

/* One of the row that carries these ids, and is not this one: held. */
static struct context *find(uint32_t *row, const uint8_t trace_id[16], const uint8_t span_id[8],
    const struct context *except)
{
    for (unsigned i = 0; i < ROW_WIDTH; i++) {
        struct context *context = context_hold_at(__atomic_load_n(&row[i], __ATOMIC_ACQUIRE));
        if (context != NULL && context != except && carries(context, trace_id, span_id))
            return context;
        context_drop(context);
    }
    return NULL;
}

void passing_enter(struct context *context, const uint8_t span_id[8])
{
    memcpy(context->remote_id, span_id, sizeof(context->remote_id));
    __atomic_store_n(
        &context->has_remote, true, __ATOMIC_RELEASE); /* from now on others may look */
    uint32_t *row = row_of(context->remote_id);
    /* The row may name it from the time when its block was another one's. */
    struct context *other = find(row, context->ids.trace_id, context->remote_id, context);
    if (other != NULL) {
        __atomic_store_n(&other->is_remote_shared, true, __ATOMIC_RELAXED);
        __atomic_store_n(&context->is_remote_shared, true, __ATOMIC_RELAXED);
    }
    context_drop(other);
    for (unsigned i = ROW_WIDTH - 1; i > 0; i--)
        __atomic_store_n(&row[i], __atomic_load_n(&row[i - 1], __ATOMIC_RELAXED), __ATOMIC_RELAXED);
    __atomic_store_n(&row[0], context->index, __ATOMIC_RELEASE);
}

struct context *passing_find(const struct trace_ids *ids, struct context *likeliest)
{
    if (likeliest != NULL && carries(likeliest, ids->trace_id, ids->span_id)) {
        context_hold(likeliest);
        return likeliest;
    }
    struct context *context = find(row_of(ids->span_id), ids->trace_id, ids->span_id, NULL);
    if (context == NULL || !__atomic_load_n(&context->is_remote_shared, __ATOMIC_RELAXED))
        return context;
    context_drop(context);
    return NULL;
}

bool passing_take(struct thread *self, struct exchange *exchange, const struct trace_ids *ids)
{
    struct context *context = passing_find(ids, exchange->context);
    if (context == NULL)
        return false;
    if (context == exchange->context)
        context_drop(context);
    else
        exchange_pass_on(self, exchange, context);
    exchange->rule = RULE_HEADER;
    return true;
}

ssize_t passing_insert(struct visit *visit, char *buffer, size_t length, size_t size)
{
    struct inbound inbound = visit->self->inbound;
    struct exchange *exchange = stream_find(visit->connection, inbound.serial);
    if (exchange == NULL || !exchange->requested || exchange->context == NULL ||
        (exchange->present & EXCHANGE_HAS_CONTEXT) || inbound.offset > length)
        return (ssize_t)length;
    char *lines = visit->self->lines; /* nothing is being sent now */
    size_t more = exchange_lines(exchange, lines, inbound.bare_lf);
    if (more == 0 || more > size - length)
        return (ssize_t)length;
    memmove(buffer + inbound.offset + more, buffer + inbound.offset, length - inbound.offset);
    memcpy(buffer + inbound.offset, lines, more);
    passing_enter(exchange->context, exchange->context->ids.span_id);
    return (ssize_t)(length + more);
}
