/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The names by which messages carry context: those of W3C's headers as they are written, those of
 * other formats (protocol_look_for_context) in any case of letters.
 *
 * A header of another format is told as FIELD_CONTEXT or FIELD_CARRIED: its name, ": " and its
 * value, in pieces of one text.
 */
#pragma once

#include "protocol.h"

/* Of a message no longer name is known as one: x-datadog-sampling-priority has 27. */
enum { CONTEXT_NAME_MAX = 28, CONTEXT_ROWS_MAX = 32 };

/* The part of protocol_look_for_context that is not HTTP's. */
void context_look_for(
    protocol_context_names *names, const struct context_row *rows, unsigned count);

/* FIELD_COUNT: it carries none that is looked for. */
enum field context_field(const void *name, size_t length);
/* The same of names of any length, but for W3C's. */
enum field context_other_field(const uint8_t *name, size_t length);

/* Who has one of those has a context. */
static inline bool context_is_parent(enum field field)
{
    return field == FIELD_TRACEPARENT || field == FIELD_CONTEXT;
}

/* Is its name told, before its value? */
static inline bool context_is_named(enum field field)
{
    return field == FIELD_CONTEXT || field == FIELD_CARRIED;
}

/* The first pieces of such a text. `event` is the one that tells its value, of which kind, field,
 * exchange and offset count. */
void context_tell_name(struct sink *, struct event event, const void *name, size_t length);

/* What other formats are looked for by names alone; set before threads exist. */
extern const struct context_row *context_rows;
extern unsigned context_row_count;
