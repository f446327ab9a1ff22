/* SPDX-License-Identifier: Apache-2.0 */
#include "otlp.h"

#include <stddef.h>
#include <string.h>

#include "attributes.h"
#include "otlp_read.h"
#include "otlp_write.h"
#include "propagation.h"
#include "text.h"

#define SCHEMA_URL "https://opentelemetry.io/schemas/1.44.0"

/* Tags and prefixes of one span without its attributes, and of one attribute without its texts. */
enum {
    SPAN_FIXED_BYTES = 128,
    ATTRIBUTE_FIXED_BYTES = 32,
    LINK_BYTES = 30,
    EVENT_FIXED_BYTES = 32
};

static uint64_t load8(const uint8_t *text)
{
    uint64_t word;
    memcpy(&word, text, sizeof(word));
    return word;
}

static bool is_ascii(const uint8_t *text, size_t length)
{
    uint64_t seen = 0;
    if (length >= 8) {
        for (size_t at = 0; at < length - 8; at += 8)
            seen |= load8(text + at);
        seen |= load8(text + length - 8);
    } else {
        for (size_t at = 0; at < length; at++)
            seen |= text[at];
    }
    return (seen & 0x8080808080808080u) == 0;
}

static const uint8_t replacement[3] = {0xEF, 0xBF, 0xBD}; /* U+FFFD */

/* Copies at most `characters` of text to [out, limit), well-formed; NULL only measures. Both ways
 * stop at limit, since text may lie in shared memory and differ the second time. */
static size_t copy_utf8(
    const uint8_t *text, size_t length, uint32_t characters, uint8_t *out, size_t limit)
{
    size_t used = 0;
    for (size_t at = 0; at < length && characters > 0; characters--) {
        unsigned bytes = utf8_sequence(text + at, length - at);
        const uint8_t *from = bytes ? text + at : replacement;
        size_t size = bytes ? bytes : sizeof(replacement);
        if (size > limit - used)
            break;
        if (out)
            memcpy(out + used, from, size);
        used += size;
        at += bytes ? bytes : 1;
    }
    return used;
}

__attribute__((noinline)) static void put_other_text(
    struct writer *w, const uint8_t *text, size_t length, uint32_t characters)
{
    size_t size = copy_utf8(text, length, characters, NULL, SIZE_MAX);
    size_t growth = size > length ? size - length : 0;
    if (growth > w->slack) {
        w->full = true;
        return;
    }
    w->slack -= growth;
    w->at -= size;
    size_t copied = copy_utf8(text, length, characters, w->at, size);
    memset(w->at + copied, '?', size - copied); /* only if the text changed between the passes */
}

static void put_text(struct writer *w, const void *data, size_t length, uint32_t characters)
{
    const uint8_t *text = data;
    size_t shown = length < characters ? length : characters;
    if (is_ascii(text, shown))
        put_bytes(w, text, shown);
    else
        put_other_text(w, text, length, characters);
}

static void put_text_field(
    struct writer *w, unsigned field, const void *text, size_t length, uint32_t characters)
{
    const uint8_t *end = w->at;
    put_text(w, text, length, characters);
    put_prefix(w, field, end);
}

enum { KEY_BYTES_MAX = 62, SHORT_VALUE_BYTES_MAX = 127 - KEY_BYTES_MAX - 2 - 4 };

/* Field `key` of KeyValue, ready to be copied. */
static const struct {
    uint8_t tag, length;
    char text[KEY_BYTES_MAX];
} keys[ATTRIBUTE_COUNT] = {
#define ATTRIBUTE(id, key) [ATTRIBUTE_##id] = {TAG(1, WIRE_BYTES), sizeof(key) - 1, key},
#include "attributes.def"
#undef ATTRIBUTE
};

#define ATTRIBUTE(id, key) \
    _Static_assert(sizeof(key) <= KEY_BYTES_MAX, "key is too long for the table");
#include "attributes.def"
#undef ATTRIBUTE

/* AnyValue is a oneof: its field is written even if it is 0 or empty. */
static void put_number_value(struct writer *w, const struct span_attribute *attribute)
{
    const uint8_t *end = w->at;
    put_varint(w, (uint64_t)attribute->number);
    put_varint(w, TAG(attribute->kind == SPAN_VALUE_BOOLEAN ? 2 : 3, WIRE_VARINT));
    put_prefix(w, 2, end);
}

static void put_string_value(struct writer *w, const void *text, size_t length, uint32_t characters)
{
    const uint8_t *end = w->at;
    put_text_field(w, 1, text, length, characters);
    put_prefix(w, 2, end);
}

static size_t shown_length(struct span_text text, uint32_t characters)
{
    /* A character has at most four bytes, and one that was a malformed byte has three. */
    return text.length / 4 < characters ? text.length : (size_t)characters * 4;
}

static size_t room_for(const struct span_attribute *attributes, unsigned count, uint32_t characters)
{
    size_t room = 0;
    for (unsigned i = 0; i < count; i++) {
        room += ATTRIBUTE_FIXED_BYTES + keys[attributes[i].key].length;
        if (attributes[i].kind == SPAN_VALUE_TEXT)
            room += shown_length(attributes[i].text, characters);
    }
    return room;
}

static const struct span_attribute *of_event(const struct span *span)
{
    return span->attributes + span->attribute_count;
}

/* Room for the span if all its texts are well-formed. */
static size_t room_needed(const struct span *span, unsigned attributes, uint32_t characters)
{
    size_t room = SPAN_FIXED_BYTES + span->name.length + span->trace_state.length +
                  (size_t)span->link_count * LINK_BYTES +
                  room_for(span->attributes, attributes, characters);
    if (span->event.name.length > 0)
        room += EVENT_FIXED_BYTES + span->event.name.length +
                room_for(of_event(span), span->event.attribute_count, characters);
    return room;
}

/* A short ASCII value, as nearly all are: every length takes one byte, and is known beforehand. */
__attribute__((always_inline)) static inline void put_short_attribute(
    struct writer *w, enum attribute key, const void *text, size_t length)
{
    size_t key_bytes = 2u + keys[key].length;
    size_t pair_bytes = key_bytes + 4 + length;
    uint8_t *at = w->at -= 2 + pair_bytes;
    *at++ = TAG(9, WIRE_BYTES);
    *at++ = (uint8_t)pair_bytes;
    copy_short(at, &keys[key], key_bytes);
    at += key_bytes;
    *at++ = TAG(2, WIRE_BYTES);
    *at++ = (uint8_t)(2 + length);
    *at++ = TAG(1, WIRE_BYTES);
    *at++ = (uint8_t)length;
    copy_short(at, text, length);
}

static bool is_short(const struct span_attribute *attribute, uint32_t characters)
{
    size_t length = attribute->text.length;
    return length <= SHORT_VALUE_BYTES_MAX && length <= characters &&
           is_ascii((const uint8_t *)attribute->text.text, length);
}

/* An attribute of `field`, however long. */
static inline __attribute__((always_inline)) void put_pair(
    struct writer *w, unsigned field, const struct span_attribute *attribute, uint32_t characters)
{
    const uint8_t *end = w->at;
    if (attribute->kind != SPAN_VALUE_TEXT)
        put_number_value(w, attribute);
    else
        put_string_value(w, attribute->text.text, attribute->text.length, characters);
    put_bytes(w, &keys[attribute->key], 2u + keys[attribute->key].length);
    put_prefix(w, field, end);
}

static void put_attribute(
    struct writer *w, const struct span_attribute *attribute, uint32_t characters)
{
    if (attribute->kind == SPAN_VALUE_TEXT && is_short(attribute, characters))
        put_short_attribute(w, attribute->key, attribute->text.text, attribute->text.length);
    else
        put_pair(w, 9, attribute, characters);
}

void otlp_put_attribute(
    struct writer *w, unsigned field, const struct span_attribute *attribute, uint32_t characters)
{
    put_pair(w, field, attribute, characters);
}

void otlp_put_text(struct writer *w, unsigned field, const void *text, size_t length)
{
    put_text_field(w, field, text, length, UINT32_MAX);
}

static void put_status(struct writer *w, uint8_t status)
{
    const uint8_t *end = w->at;
    put_varint(w, status);
    put_varint(w, TAG(3, WIRE_VARINT));
    put_prefix(w, 15, end);
}

static void put_link(struct writer *w, const uint8_t *link)
{
    const uint8_t *end = w->at;
    put_field(w, 2, link + offsetof(struct trace_link, span_id), 8);
    put_field(w, 1, link + offsetof(struct trace_link, trace_id), 16);
    put_prefix(w, 13, end);
}

static void put_time(struct writer *w, unsigned field, uint64_t time_ns)
{
    if (time_ns == 0)
        return;
    put_fixed64(w, time_ns);
    put_varint(w, TAG(field, WIRE_FIXED64));
}

static __attribute__((noinline)) void put_event(
    struct writer *w, const struct span *span, uint32_t characters)
{
    const struct span_event *event = &span->event;
    const uint8_t *end = w->at;
    for (unsigned i = event->attribute_count; i-- > 0;)
        put_pair(w, 3, &of_event(span)[i], characters);
    put_text_field(w, 2, event->name.text, event->name.length, UINT32_MAX);
    put_time(w, 1, event->time_ns);
    put_prefix(w, 11, end);
}

/* Span's fields 16 to 10: those after the attributes. Defaults are omitted (proto3). */
static void put_tail(
    struct writer *w, const struct span *span, unsigned dropped, const struct config *config)
{
    uint32_t links = span->link_count;
    if (links > config->link_count_limit)
        links = config->link_count_limit;
    uint32_t links_dropped = span->links_dropped + span->link_count - links;
    if (span->flags) {
        put_fixed32(w, span->flags);
        put_varint(w, TAG(16, WIRE_FIXED32));
    }
    if (span->status != SPAN_STATUS_UNSET)
        put_status(w, span->status);
    if (links_dropped > 0) {
        put_varint(w, links_dropped);
        put_varint(w, TAG(14, WIRE_VARINT));
    }
    for (unsigned i = links; i-- > 0;)
        put_link(w, span->links + i * sizeof(struct trace_link));
    if (span->event.name.length > 0)
        put_event(w, span, config->attribute_value_limit);
    if (dropped) {
        put_varint(w, dropped);
        put_varint(w, TAG(10, WIRE_VARINT));
    }
}

/* Span's fields 8 to 1: those before the attributes. */
static void put_head(struct writer *w, const struct span *span)
{
    put_time(w, 8, span->end_ns);
    put_time(w, 7, span->start_ns);
    put_varint(w, span->kind);
    put_varint(w, TAG(6, WIRE_VARINT));
    if (span->name.length)
        put_text_field(w, 5, span->name.text, span->name.length, UINT32_MAX);
    if (span->has_parent)
        put_field(w, 4, span->parent_id, sizeof(span->parent_id));
    if (span->trace_state.length)
        put_text_field(w, 3, span->trace_state.text, span->trace_state.length, UINT32_MAX);
    put_field(w, 2, span->span_id, sizeof(span->span_id));
    put_field(w, 1, span->trace_id, sizeof(span->trace_id));
}

bool otlp_batch_add(struct otlp_batch *batch, const struct span *span, const struct config *config)
{
    unsigned count = span->attribute_count;
    unsigned kept = count < config->attribute_count_limit ? count : config->attribute_count_limit;
    uint32_t characters = config->attribute_value_limit;
    size_t room = (size_t)(batch->start - batch->base);
    size_t needed =
        room_needed(span, kept, characters) + OTLP_RESOURCE_BYTES_MAX + OTLP_ENVELOPE_BYTES_MAX;
    if (room < needed)
        return false;

    struct writer writer = {.at = batch->start, .slack = room - needed};
    put_tail(&writer, span, count - kept, config);
    for (unsigned i = kept; i-- > 0;)
        put_attribute(&writer, &span->attributes[i], characters);
    put_head(&writer, span);
    put_prefix(&writer, 2, batch->start);
    if (writer.full)
        return false;
    batch->start = writer.at;
    batch->spans++;
    return true;
}

uint8_t *otlp_batch_add_copy(struct otlp_batch *batch, const uint8_t *span, size_t length)
{
    size_t room = (size_t)(batch->start - batch->base);
    if (room < length + OTLP_RESOURCE_BYTES_MAX + OTLP_ENVELOPE_BYTES_MAX)
        return NULL;
    batch->spans++;
    batch->start -= length;
    return memcpy(batch->start, span, length);
}

/* What follows the spans is written first: schema_url of ResourceSpans, then of ScopeSpans. */
void otlp_batch_reset(struct otlp_batch *batch, uint8_t *base, size_t bytes)
{
    *batch = (struct otlp_batch){.base = base, .start = base + bytes, .limit = base + bytes};
    if (bytes < OTLP_ENVELOPE_BYTES_MAX)
        return;
    struct writer writer = {.at = batch->limit};
    put_field(&writer, 3, SCHEMA_URL, strlen(SCHEMA_URL));
    put_field(&writer, 3, SCHEMA_URL, strlen(SCHEMA_URL));
    batch->start = writer.at;
}

void otlp_batch_take_first(struct otlp_batch *batch, uint32_t items, struct otlp_batch *part)
{
    const uint8_t *at = batch->start;
    struct wire_field field;
    for (uint32_t left = batch->spans - items; left != 0 && wire_next(&at, batch->limit, &field);)
        left--;
    otlp_batch_reset(part, batch->base, (size_t)(batch->limit - batch->base));
    size_t behind = (size_t)(part->limit - part->start);
    part->start = batch->start + (at - batch->start);
    part->spans = items;
    batch->limit = part->start + behind;
    batch->spans -= items;
}

/* The items of a ScopeSpans or ScopeLogs, which are all that is in it behind the scope. */
static const uint8_t *find_items(
    const struct wire_field *scope, uint32_t *items, const uint8_t **end)
{
    const uint8_t *first = NULL, *at = scope->data, *before = at;
    struct wire_field field;
    for (*items = 0; wire_next(&at, scope->data + scope->length, &field); before = at)
        if (field.number == 2 && field.type == WIRE_BYTES) {
            first = first == NULL ? before : first;
            *end = at;
            ++*items;
        }
    return first;
}

bool otlp_batch_reopen(struct otlp_batch *batch, uint8_t *memory, size_t room, size_t length,
    uint8_t *resource, uint32_t *resource_bytes)
{
    struct wire_field outer, inner, scope;
    const uint8_t *end = NULL, *request_end = memory + length;
    uint8_t tail[OTLP_ENVELOPE_BYTES_MAX];
    struct otlp_batch empty;
    uint32_t items;
    otlp_batch_reset(&empty, tail, sizeof(tail));
    size_t behind = (size_t)(empty.limit - empty.start);
    if (!wire_find(memory, length, 1, WIRE_BYTES, &outer) ||
        outer.data + outer.length != request_end ||
        !wire_find(outer.data, outer.length, 1, WIRE_BYTES, &inner) ||
        !wire_find(outer.data, outer.length, 2, WIRE_BYTES, &scope) ||
        inner.length > OTLP_RESOURCE_BYTES_MAX)
        return false;
    const uint8_t *first = find_items(&scope, &items, &end);
    if (first == NULL || (size_t)(request_end - end) != behind ||
        memcmp(end, empty.start, behind) != 0)
        return false;
    size_t bytes = (size_t)(request_end - first);
    if (room - bytes < OTLP_ENVELOPE_BYTES_MAX + inner.length)
        return false;
    memcpy(resource, inner.data, inner.length);
    *resource_bytes = (uint32_t)inner.length;
    memmove(memory + room - bytes, first, bytes);
    *batch = (struct otlp_batch){
        .base = memory, .start = memory + room - bytes, .limit = memory + room, .spans = items};
    return true;
}

bool otlp_batch_finish(struct otlp_batch *batch, const uint8_t *resource, size_t resource_bytes)
{
    size_t room = (size_t)(batch->start - batch->base);
    if (batch->spans == 0 || room < OTLP_ENVELOPE_BYTES_MAX ||
        room - OTLP_ENVELOPE_BYTES_MAX < resource_bytes)
        return false;
    struct writer writer = {.at = batch->start};
    const uint8_t *scope_end = writer.at;
    put_field(&writer, 2, BURDOCK_VERSION, strlen(BURDOCK_VERSION));
    put_field(&writer, 1, "burdock", strlen("burdock"));
    put_prefix(&writer, 1, scope_end);
    /* ScopeSpans ends where the schema_url of ResourceSpans begins. */
    put_prefix(&writer, 2, batch->limit - (2 + strlen(SCHEMA_URL)));
    put_field(&writer, 1, resource, resource_bytes);
    put_prefix(&writer, 1, batch->limit);
    batch->start = writer.at;
    return true;
}
