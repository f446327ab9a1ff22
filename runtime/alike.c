/* SPDX-License-Identifier: Apache-2.0 */
#include "alike.h"

#include <stddef.h>
#include <string.h>

#include "otlp_read.h"

/* The record from here on tells its kind, and before its ids: */
enum { KIND_AT = offsetof(struct record, numbers), HEAD_BYTES = offsetof(struct record, trace_id) };
_Static_assert(HEAD_BYTES == 16 && offsetof(struct record, peer_port) == 12 && KIND_AT % 8 == 0,
    "two words stand before the ids; see head_of");

/* Ports from here on, to the last, are varints of three bytes. */
enum { WIDE_PORT = 1 << 14, PORT_BYTES = 3 };

static void put_port(uint8_t out[PORT_BYTES], uint16_t port)
{
    out[0] = (uint8_t)(port | 0x80);
    out[1] = (uint8_t)(port >> 7 | 0x80);
    out[2] = (uint8_t)(port >> 14);
}

/* All but the port of a client, since each of its connections has another. */
static void head_of(const struct record *record, uint64_t head[2])
{
    static const uint8_t port[HEAD_BYTES] = {[12] = 0xff, [13] = 0xff};
    uint64_t mask[2];
    memcpy(head, record, HEAD_BYTES);
    memcpy(mask, port, sizeof(port));
    if (record->marks & RECORD_SERVER)
        head[1] &= ~mask[1];
}

static uint64_t mix(uint64_t hash, uint64_t word)
{
    hash = (hash ^ word) * 0x9E3779B97F4A7C15u;
    return hash ^ hash >> 32;
}

static uint64_t hash_of(const struct record *record, uint32_t bytes)
{
    const uint8_t *at = (const uint8_t *)record + KIND_AT, *end = (const uint8_t *)record + bytes;
    uint64_t head[2], word;
    head_of(record, head);
    uint64_t hash = mix(mix(1, head[0]), head[1]);
    for (; at < end; at += sizeof(word)) {
        memcpy(&word, at, sizeof(word));
        hash = mix(hash, word);
    }
    return hash;
}

/* NULL: it was not seen before. */
static struct alike_entry *place_for(struct alike *alike, struct alike_set *set, uint64_t hash)
{
    uint32_t *seen = &alike->seen[hash % ALIKE_SEEN], tag = (uint32_t)(hash >> 32);
    bool is_known = *seen == tag;
    *seen = tag;
    if (!is_known)
        return NULL;
    set->latest ^= 1;
    set->entries[set->latest].hash = hash;
    set->entries[set->latest].record_bytes = 0;
    return &set->entries[set->latest];
}

struct alike_entry *alike_find(struct alike *alike, const struct record *record)
{
    uint32_t bytes = *(const volatile uint32_t *)&record->bytes;
    if (bytes < sizeof(*record) || bytes > ALIKE_RECORD_BYTES || bytes % 8 != 0)
        return NULL;
    uint64_t hash = hash_of(record, bytes);
    struct alike_set *set = &alike->sets[hash % ALIKE_SETS];
    if (set->entries[set->latest].hash != hash && set->entries[set->latest ^ 1].hash != hash)
        return place_for(alike, set, hash);
    set->latest ^= set->entries[set->latest].hash != hash;
    return &set->entries[set->latest];
}

bool alike_is_kept(const struct alike_entry *entry, const struct record *record)
{
    uint64_t head[2];
    uint16_t port = record->peer_port;
    head_of(record, head);
    /* The first word has the record's length. */
    return entry->record_bytes != 0 && memcmp(entry->record, head, sizeof(head)) == 0 &&
           memcmp(entry->record + HEAD_BYTES, (const uint8_t *)record + KIND_AT,
               entry->record_bytes - KIND_AT) == 0 &&
           (entry->span_bytes == 0 || port == entry->port ||
               (entry->places.port != 0 && port >= WIDE_PORT));
}

static void put(uint8_t *span, uint16_t place, const void *bytes, size_t length)
{
    if (place != 0)
        memcpy(span + place, bytes, length);
}

bool alike_add(
    const struct alike_entry *entry, const struct record *record, struct otlp_batch *batch)
{
    const struct alike_places *places = &entry->places;
    uint8_t *span = otlp_batch_add_copy(batch, entry->span, entry->span_bytes);
    if (span == NULL)
        return false;
    uint8_t port[PORT_BYTES];
    put_port(port, record->peer_port);
    put(span, places->trace_id, record->trace_id, sizeof(record->trace_id));
    put(span, places->span_id, record->span_id, sizeof(record->span_id));
    put(span, places->parent_id, record->parent_id, sizeof(record->parent_id));
    put(span, places->start, &record->start_ns, sizeof(record->start_ns));
    put(span, places->end, &record->end_ns, sizeof(record->end_ns));
    put(span, places->port, port, sizeof(port));
    return true;
}

/* --- what is kept -------------------------------------------------------------------------- */

/* Where the port stands, if it stands there alone. */
static uint16_t place_of_port(const struct alike_entry *entry)
{
    static const char key[] = "network.peer.port";
    enum { KEY_BYTES = sizeof(key) - 1, VALUE_AT = 3 };
    uint8_t value[VALUE_AT + PORT_BYTES] = {
        TAG(2, WIRE_BYTES), 1 + PORT_BYTES, TAG(3, WIRE_VARINT)};
    put_port(value + VALUE_AT, entry->port);
    const uint8_t *span = entry->span, *end = span + entry->span_bytes;
    const uint8_t *at = memmem(span, (size_t)(end - span), value, sizeof(value));
    bool is_alone = at != NULL && at - span >= KEY_BYTES &&
                    memcmp(at - KEY_BYTES, key, KEY_BYTES) == 0 &&
                    memmem(at + 1, (size_t)(end - at - 1), value, sizeof(value)) == NULL;
    return is_alone ? (uint16_t)(at + VALUE_AT - span) : 0;
}

/* False: the span has no id or time that could be put elsewhere. */
static bool find_places(struct alike_entry *entry, bool has_parent, bool is_server)
{
    struct alike_places *places = &entry->places;
    const uint8_t *base = entry->span, *at = base;
    struct wire_field span, field;
    *places = (struct alike_places){0};
    if (!wire_next(&at, base + entry->span_bytes, &span) || span.type != WIRE_BYTES)
        return false;
    const uint8_t *end = span.data + span.length;
    for (at = span.data; wire_next(&at, end, &field) && field.number < 9;) {
        uint16_t bytes = field.number == 1 ? 16 : 8, place = (uint16_t)(at - base - bytes);
        if (field.number == 1)
            places->trace_id = place;
        else if (field.number == 2)
            places->span_id = place;
        else if (field.number == 4)
            places->parent_id = place;
        else if (field.number == 7)
            places->start = place;
        else if (field.number == 8)
            places->end = place;
    }
    if (is_server && entry->port >= WIDE_PORT)
        places->port = place_of_port(entry);
    return places->trace_id != 0 && places->span_id != 0 && places->start != 0 &&
           places->end != 0 && (places->parent_id != 0) == has_parent;
}

/* How code is named depends on what is loaded. */
static bool has_stack(const struct record *record)
{
    const uint8_t *at = (const uint8_t *)(record + 1);
    const uint8_t *end = (const uint8_t *)record + record->bytes;
    struct record_text head = {.length = 1};
    while (end - at >= (ptrdiff_t)sizeof(head) && head.length != 0) {
        memcpy(&head, at, sizeof(head));
        if (head.kind == RECORD_TEXT_STACK && head.length != 0)
            return true;
        at += sizeof(head) + head.length;
    }
    return false;
}

void alike_keep(struct alike_entry *entry, const struct record *record, const uint8_t *span,
    size_t length, const struct measured *measured)
{
    entry->record_bytes = 0;
    if (length > ALIKE_SPAN_BYTES || record->bytes > ALIKE_RECORD_BYTES || has_stack(record))
        return;
    uint64_t head[2];
    head_of(record, head);
    memcpy(entry->record, head, sizeof(head));
    memcpy(entry->record + HEAD_BYTES, (const uint8_t *)record + KIND_AT, record->bytes - KIND_AT);
    copy_short(entry->span, span, length);
    entry->span_bytes = (uint32_t)length;
    entry->port = record->peer_port;
    entry->measured = *measured;
    if (length == 0 ||
        find_places(entry, record->marks & RECORD_HAS_PARENT, record->marks & RECORD_SERVER))
        entry->record_bytes = record->bytes;
}

/* Reading memory that was never written to takes none. */
void alike_forget(struct alike *alike)
{
    for (unsigned i = 0; i < ALIKE_SETS; i++)
        for (unsigned way = 0; way < 2; way++)
            if (alike->sets[i].entries[way].hash != 0)
                alike->sets[i].entries[way].hash = 0;
}
