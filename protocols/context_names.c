/* SPDX-License-Identifier: Apache-2.0 */
#include "context_names.h"

#include <string.h>

static protocol_context_names *others;
const struct context_row *context_rows;
unsigned context_row_count;

void context_look_for(protocol_context_names *names, const struct context_row *rows, unsigned count)
{
    others = names;
    context_rows = rows;
    context_row_count = count;
}

enum field context_other_field(const uint8_t *name, size_t length)
{
    return others == NULL ? FIELD_COUNT : others(name, length);
}

enum field context_field(const void *name, size_t length)
{
    static const struct context_row w3c[] = {{"traceparent", 11, FIELD_TRACEPARENT},
        {"tracestate", 10, FIELD_TRACESTATE}, {"baggage", 7, FIELD_BAGGAGE}};
    for (size_t i = 0; i < sizeof(w3c) / sizeof(w3c[0]); i++)
        if (w3c[i].length == length && memcmp(w3c[i].name, name, length) == 0)
            return (enum field)w3c[i].field;
    bool may_be = length > 0 && length <= CONTEXT_NAME_MAX;
    return may_be ? context_other_field(name, length) : FIELD_COUNT;
}

void context_tell_name(struct sink *sink, struct event event, const void *name, size_t length)
{
    event.first = true;
    event.last = false;
    event.text = name;
    event.length = length;
    sink->event(sink, &event);
    event.first = false;
    event.text = (const uint8_t *)": ";
    event.length = 2;
    sink->event(sink, &event);
}
