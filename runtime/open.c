/* SPDX-License-Identifier: Apache-2.0 */
#include "open.h"

#include <stddef.h>

#include "ring.h"

_Static_assert(offsetof(struct exchange, texts[1].length) - offsetof(struct exchange, texts[0]) ==
                   4 * sizeof(uint16_t),
    "texts are copied as they are");

struct open_slot *open_slots;

_Static_assert(OPEN_SLOTS * sizeof(struct open_slot) <= RING_FILE_OPEN_BYTES, "all have room");

static const struct open_slot *slots_of(const struct ring_file *file)
{
    return (const struct open_slot *)((const uint8_t *)file + RING_FILE_OPEN_AT);
}

bool open_any(const struct ring_file *file)
{
    for (unsigned i = 0; i < OPEN_SLOTS; i++)
        if (slots_of(file)[i].is_open)
            return true;
    return false;
}

/* What is noted, as an exchange without texts. */
static struct exchange exchange_of(const struct open_slot *slot)
{
    struct exchange exchange = {0};
    memcpy((uint8_t *)&exchange + OPEN_FACTS_AT, slot->facts, OPEN_FACTS_BYTES);
    return exchange;
}

/* Those that ended: a process may die between the span and the end of the note. And when the last
 * thing ended that is known. */
struct ended {
    bool of[OPEN_SLOTS];
    uint64_t last_ns;
};

static void note_ended(
    const struct ring_file *file, const struct record *record, struct ended *ended)
{
    if (record->end_ns > ended->last_ns)
        ended->last_ns = record->end_ns;
    for (unsigned i = 0; i < OPEN_SLOTS; i++) {
        const struct open_slot *slot = &slots_of(file)[i];
        if (slot->is_open && record->kind != RECORD_LOG &&
            memcmp(exchange_of(slot).ids.span_id, record->span_id, 8) == 0)
            ended->of[i] = true;
    }
}

static uint8_t *put_texts(uint8_t *at, const struct open_slot *slot)
{
    for (unsigned i = 0; i < OPEN_TEXTS; i++) {
        uint32_t offset = slot->texts[3 * i], length = slot->texts[3 * i + 1];
        if (offset + length <= OPEN_TEXT_BYTES)
            at = record_put_text(at, FIELD_METHOD + i, slot->text + offset, length);
    }
    return at;
}

static void put_record(const struct ring_file *file, const struct open_slot *slot, struct ring *out,
    uint64_t last_ns, uint64_t now_ns)
{
    static const char error[] = "process_died";
    struct exchange exchange = exchange_of(slot);
    struct record *record = (struct record *)(out->data + out->head);
    uint64_t start_ns = exchange.start_ns + file->clock_offset_ns;
    if (start_ns > now_ns)
        start_ns = now_ns;
    struct record_unfinished unfinished = {slot->is_answered, now_ns - start_ns};
    *record = (struct record){.kind = RECORD_EXCHANGE,
        .protocol = slot->protocol,
        .marks = (exchange.is_server ? RECORD_SERVER : 0) |
                 (exchange.has_parent ? RECORD_HAS_PARENT : 0),
        .rule = exchange.rule,
        .flags = exchange.ids.flags | 0x100u | (exchange.parent_is_remote ? 0x200u : 0),
        .start_ns = start_ns,
        .numbers = {[FIELD_VERSION] = exchange.numbers[FIELD_VERSION]},
        .end_ns = last_ns > start_ns && last_ns <= now_ns ? last_ns : start_ns};
    memcpy(record->trace_id, exchange.ids.trace_id, sizeof(record->trace_id));
    memcpy(record->span_id, exchange.ids.span_id, sizeof(record->span_id));
    memcpy(record->parent_id, exchange.parent_id, sizeof(record->parent_id));
    uint8_t *at = put_texts((uint8_t *)(record + 1), slot);
    at = record_put_text(at, RECORD_TEXT_ERROR, error, sizeof(error) - 1);
    at = record_put_text(at, RECORD_TEXT_UNFINISHED, &unfinished, sizeof(unfinished));
    memset(at, 0, RECORD_ALIGNMENT);
    record->bytes = (uint32_t)record_rounded((size_t)(at - (uint8_t *)record));
    out->head += record->bytes;
}

void open_tell(const struct ring_file *file, struct ring *const *rings, uint32_t count,
    struct ring *out, uint64_t now_ns)
{
    struct ended ended = {.last_ns = file->alive_ns};
    for (uint32_t i = 0; i < count; i++) {
        uint64_t cursor = ring_cursor(rings[i]), head = ring_head(rings[i]);
        const struct record *record;
        while ((record = ring_next(rings[i], &cursor, head)) != NULL)
            note_ended(file, record, &ended);
    }
    for (unsigned i = 0; i < OPEN_SLOTS; i++)
        if (slots_of(file)[i].is_open && !ended.of[i])
            put_record(file, &slots_of(file)[i], out, ended.last_ns, now_ns);
}
