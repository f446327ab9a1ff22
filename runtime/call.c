/* SPDX-License-Identifier: Apache-2.0 */
#include "call.h"

#include <errno.h>

#include "counters.h"
#include "exporter.h"

struct call_row call_rows[1 << CALL_ROW_SHIFT];

static const char claimed; /* the address of nothing that a library has */

static struct exchange *begin(struct thread *self)
{
    struct exchange *exchange = process.broken ? NULL : exchange_take(self, 0, false);
    if (exchange == NULL)
        return NULL;
    exchange_identify_client(self, exchange, attribution_parent(self, &nobody_opened));
    exchange_uncount(exchange);
    if (exchange_is_recorded(exchange)) {
        exporter_need(); /* ahead of need, so that the span finds a ring */
        return exchange;
    }
    exchange_free(exchange);
    return NULL;
}

struct exchange *call_begin(void)
{
    int saved_errno = errno;
    struct thread *self = call_is_told() ? observe_open() : NULL;
    if (self == NULL)
        return NULL;
    struct exchange *exchange = begin(self);
    observe_close(self);
    errno = saved_errno;
    return exchange;
}

void call_text(struct exchange *exchange, enum field field, const void *text, size_t length)
{
    struct event event = {.kind = EVENT_TEXT,
        .field = field,
        .first = !(exchange->present & 1u << field),
        .last = true,
        .text = text,
        .length = length};
    exchange->present |= 1u << field;
    exchange_add_text(exchange, &event);
}

static void record(
    struct thread *self, struct exchange *exchange, enum library library, bool is_error)
{
    struct peer nobody = {.address = ""};
    if (!exchange_is_recorded(exchange))
        return; /* a forked child's parent tells it */
    if (exchange_wants_code(self, exchange, is_error ? "" : NULL))
        exchange_note_code(self);
    exchange_record(self, exchange, RECORD_CALL, (uint8_t)library, nobody, NULL);
}

void call_end(struct exchange *exchange, enum library library, bool is_error)
{
    int saved_errno = errno;
    struct thread *self = observe_open();
    if (self == NULL)
        return; /* in a signal handler that interrupted us: one block of memory is lost */
    record(self, exchange, library, is_error);
    exchange_free(exchange);
    observe_close(self);
    errno = saved_errno;
}

static void forget(struct exchange *exchange)
{
    int saved_errno = errno;
    struct thread *self = exchange == NULL ? NULL : observe_open();
    counter_add(COUNTER_CALLS_UNTOLD, 1);
    if (self == NULL)
        return;
    exchange_free(exchange);
    observe_close(self);
    errno = saved_errno;
}

static bool claim(const void **place, const void *key)
{
    return __atomic_load_n(place, __ATOMIC_RELAXED) == key &&
           __atomic_compare_exchange_n(
               place, &key, &claimed, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}

struct call *call_put(const void *key, struct call call)
{
    struct call_row *row = call_row(key);
    for (unsigned i = 0; i < CALL_ROW_WIDTH; i++) {
        if (!claim(&row->keys[i], NULL))
            continue;
        row->calls[i] = call;
        __atomic_store_n(&row->keys[i], key, __ATOMIC_RELEASE);
        return &row->calls[i];
    }
    forget(call.exchange);
    return NULL;
}

bool call_take(const void *key, struct call *taken)
{
    struct call_row *row = call_row(key);
    for (unsigned i = 0; i < CALL_ROW_WIDTH; i++) {
        if (!claim(&row->keys[i], key))
            continue;
        *taken = row->calls[i];
        __atomic_store_n(&row->keys[i], NULL, __ATOMIC_RELEASE);
        return true;
    }
    return false;
}
