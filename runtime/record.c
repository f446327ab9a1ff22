/* SPDX-License-Identifier: Apache-2.0 */
#include "record.h"

#include <string.h>

#include "counters.h"
#include "ring.h"

/* Attributes are written in place; texts are gathered in the thread's block first, since they
 * follow the attributes, whose number is not known before the end. Until commit, text offsets count
 * from the first text byte. */

static struct record *of(struct describer *describer)
{
    return (struct record *)describer;
}

struct span_text record_text(struct record *record, const void *text, size_t length)
{
    struct thread *self = record->self;
    size_t room = record->text_max - self->text_used;
    if (length > room) {
        length = room;
        counter_add(COUNTER_ATTRIBUTES_TRUNCATED, 1);
    }
    struct span_text result = {self->text_used, (uint32_t)length};
    memcpy(self->text + self->text_used, text, length);
    self->text_used += (uint32_t)length;
    return result;
}

static struct span_attribute *add(struct record *record, enum attribute key)
{
    struct span *span = record->span;
    if (span->attribute_count >= SPAN_ATTRIBUTES_MAX)
        return NULL;
    struct span_attribute *attribute = &span->attributes[span->attribute_count++];
    *attribute = (struct span_attribute){.key = (uint16_t)key};
    return attribute;
}

static void on_text(
    struct describer *describer, enum attribute key, const void *text, size_t length)
{
    struct span_attribute *attribute = add(of(describer), key);
    of(describer)->open = attribute;
    if (attribute != NULL)
        attribute->text = record_text(of(describer), text, length);
}

static void on_number(struct describer *describer, enum attribute key, int64_t number)
{
    struct span_attribute *attribute = add(of(describer), key);
    if (attribute == NULL)
        return;
    attribute->is_number = 1;
    attribute->number = number;
}

static void on_open(struct describer *describer, enum attribute key)
{
    on_text(describer, key, "", 0);
}

static void on_append(struct describer *describer, const void *text, size_t length)
{
    struct record *record = of(describer);
    if (record->open != NULL)
        record->open->text.length += record_text(record, text, length).length;
}

static void on_close(struct describer *describer)
{
    of(describer)->open = NULL;
}

static void on_name(struct describer *describer, const void *text, size_t length)
{
    of(describer)->span->name = record_text(of(describer), text, length);
}

static void on_error(struct describer *describer)
{
    of(describer)->span->status = SPAN_STATUS_ERROR;
}

bool record_open(struct record *record, struct thread *self, size_t text_max)
{
    *record = (struct record){
        .describer = {on_text, on_number, on_open, on_append, on_close, on_name, on_error},
        .self = self};
    if (text_max > sizeof(self->text))
        text_max = sizeof(self->text);
    record->text_max = (uint32_t)text_max;
    size_t most =
        sizeof(struct span) + SPAN_ATTRIBUTES_MAX * sizeof(struct span_attribute) + text_max + 8;
    self->text_used = 0;
    record->span = ring_reserve(self, (most + 7) & ~(size_t)7);
    if (record->span == NULL)
        return false;
    memset(record->span, 0, sizeof(struct span));
    return true;
}

void record_commit(struct record *record)
{
    struct span *span = record->span;
    struct thread *self = record->self;
    uint32_t base =
        (uint32_t)(sizeof(struct span) + span->attribute_count * sizeof(struct span_attribute));
    for (uint32_t i = 0; i < span->attribute_count; i++)
        if (!span->attributes[i].is_number)
            span->attributes[i].text.offset += base;
    span->name.offset += base;
    span->trace_state.offset += base;
    memcpy((char *)span + base, self->text, self->text_used);
    span->bytes = (base + self->text_used + 7) & ~7u;
    ring_commit(self, span);
}
