/* SPDX-License-Identifier: Apache-2.0 */
/* What is recorded of an exchange. */
#include <string.h>

#include "config.h"
#include "exchange.h"
#include "process.h"
#include "ring.h"
#include "sampling.h"
#include "text_pool.h"

/* Of a trace that begins with this call. */
__attribute__((noinline)) static uint8_t *put_threshold(uint8_t *at, uint64_t threshold)
{
    struct record_text head = {.kind = RECORD_TEXT_TRACE_STATE};
    head.length = (uint16_t)probability_put((char *)at + sizeof(head), threshold);
    memcpy(at, &head, sizeof(head));
    return at + sizeof(head) + head.length;
}

/* The tracestate of the span. Of a head that carries the application's own context: what it says,
 * not what we would have. */
static uint8_t *put_tracestate(struct thread *self, uint8_t *at, const struct exchange *exchange)
{
    const struct context *context = exchange->context;
    char *clean = self->lines; /* nothing is being sent now */
    size_t length = 0;
    if (!(exchange->marks & RECORD_ADOPTED) && context != NULL && context->tracestate_length > 0)
        return record_put_text(
            at, RECORD_TEXT_TRACE_STATE, context_texts(context), context->tracestate_length);
    if (!(exchange->marks & RECORD_ADOPTED))
        return __builtin_expect(exchange->threshold == 0, 1)
                   ? at
                   : put_threshold(at, exchange->threshold);
    if (!tracestate_clean((const uint8_t *)exchange_text(exchange, FIELD_TRACESTATE),
            exchange->texts[FIELD_TRACESTATE].length, clean, &length))
        length = 0;
    return record_put_text(at, RECORD_TEXT_TRACE_STATE, clean, length);
}

_Static_assert(FIELD_COUNT < 32, "a bit each");

/* What only propagates is no part of the span. */
static uint8_t *put_texts(uint8_t *at, const struct exchange *exchange)
{
    const char *area =
        exchange->big_index == 0 ? exchange->inline_text : text_block(true, exchange->big_index);
    uint32_t fields = exchange->present & ((1u << FIELD_RECORDED) - 1);
    for (fields >>= FIELD_NUMBERS; fields != 0; fields &= fields - 1) {
        unsigned i = FIELD_NUMBERS + (unsigned)__builtin_ctz(fields);
        at = record_put_text(at, i, area + exchange->texts[i].offset, exchange->texts[i].length);
    }
    return at;
}

static void fill_record(
    struct record *record, struct thread *self, const struct exchange *exchange, struct peer peer)
{
    uint64_t offset = process_clock_offset_ns();
    record->marks = (exchange->is_server ? RECORD_SERVER : 0) |
                    (exchange->has_parent ? RECORD_HAS_PARENT : 0) |
                    (exchange->has_response ? RECORD_HAS_RESPONSE : 0) | exchange->marks;
    record->rule = exchange->rule;
    record->flags = exchange->ids.flags | 0x100u | (exchange->parent_is_remote ? 0x200u : 0);
    record->peer_port = peer.port;
    record->kept = 0;
    memcpy(record->trace_id, exchange->ids.trace_id, sizeof(record->trace_id));
    memcpy(record->span_id, exchange->ids.span_id, sizeof(record->span_id));
    memcpy(record->parent_id, exchange->parent_id, sizeof(record->parent_id));
    record->start_ns = exchange->start_ns + offset;
    record->end_ns = thread_now(self) + offset;
    memcpy(record->numbers, exchange->numbers, sizeof(record->numbers));
}

void exchange_note_code(struct thread *self)
{
    if (config.stack_min_ns != UINT64_MAX)
        self->frame_count = (uint32_t)unwind_callers(self->frames, UNWIND_FRAMES_MAX);
}

__attribute__((noinline)) static uint8_t *put_links(uint8_t *at, const struct exchange *exchange)
{
    struct fact links = exchange_links(exchange);
    return record_put_text(at, RECORD_TEXT_LINKS, links.text, links.length);
}

/* The kinds of texts, each with its head; what is not the exchange's own; and the rounding up. */
static size_t record_bytes_max(const struct exchange *exchange, size_t peer, size_t error)
{
    uint32_t tracestate = exchange->context == NULL ? 0 : exchange->context->tracestate_length;
    size_t links = exchange->link_count * sizeof(struct trace_link);
    return record_rounded(sizeof(struct record) + RECORD_TEXTS * sizeof(struct record_text) +
                          PROBABILITY_TEXT_MAX + exchange->text_used + tracestate + peer + error +
                          links + sizeof(uint32_t) + RECORD_ALIGNMENT);
}

void exchange_record(struct thread *self, const struct exchange *exchange, enum record_kind kind,
    uint8_t protocol, struct peer peer, const char *error)
{
    size_t peer_length = strlen(peer.address), error_length = error == NULL ? 0 : strlen(error);
    size_t stack = self->frame_count * sizeof(self->frames[0]);
    size_t bytes_max = record_bytes_max(exchange, peer_length, error_length + stack);
    struct record *record = ring_reserve(self, bytes_max);
    self->frame_count = 0;
    if (record == NULL)
        return;
    record->kind = (uint8_t)kind;
    record->protocol = protocol;
    fill_record(record, self, exchange, peer);
    uint8_t *at = put_texts((uint8_t *)(record + 1), exchange);
    at = record_put_text(at, RECORD_TEXT_PEER, peer.address, peer_length);
    at = record_put_text(at, RECORD_TEXT_ERROR, error, error_length);
    at = put_tracestate(self, at, exchange);
    at = record_put_text(at, RECORD_TEXT_STACK, self->frames, stack);
    if (exchange->link_count != 0)
        at = put_links(at, exchange);
    memset(at, 0, RECORD_ALIGNMENT);
    record->bytes = (uint32_t)record_rounded((size_t)(at - (uint8_t *)record));
    ring_commit(self, record);
}

void exchange_record_attempt(struct thread *self, enum record_kind kind, bool is_server,
    struct decision decision, struct peer peer, uint64_t start_ns, uint64_t unit, const char *error)
{
    struct exchange *attempt = exchange_take(self, 0, false);
    if (attempt == NULL)
        return;
    attempt->start_ns = start_ns;
    exchange_identify_client(self, attempt, decision);
    attempt->is_server = is_server;
    if (((attempt->ids.flags & FLAG_SAMPLED) || config.keeps) && exchange_is_recorded(attempt)) {
        if (unit == self->unit)
            exchange_note_code(self);
        exchange_record(self, attempt, kind, 0, peer, error);
    }
    exchange_free(attempt);
}
