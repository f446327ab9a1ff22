/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kafka on the wire: context into the records of a request, as headers of each that has none of
 * that name. All of the request is written anew.
 *
 *   request | ... records: length, batches | ...      batch | length ... checksum ... | records
 *
 * If anything is not as it should be, the request stays as it is.
 */
#include "crc32c.h"
#include "kafka_wire.h"

enum {
    LENGTH_AT = 8,
    MAGIC_AT = 16,
    CHECKSUM_AT = 17,
    CHECKED_AT = 21,
    ATTRIBUTES_AT = 21,
    COUNT_AT = 57,
    OPAQUE = 7 | 1 << 5 /* attributes: compressed, or of the broker's own */
};

struct editor {
    const struct insertion *insertion;
    const uint8_t *from; /* the request */
    size_t at, end;
    char *out;
    size_t used, room;
    unsigned edited; /* records */
    unsigned kept;   /* which headers stand at out + kept_at; 0: none yet */
    size_t kept_at, kept_bytes;
    bool is_flexible, is_odd;
};

/* --- reading and writing ------------------------------------------------------------------- */

static void put(struct editor *editor, const void *bytes, size_t length)
{
    editor->is_odd |= length > editor->room - editor->used;
    if (editor->is_odd)
        return;
    memcpy(editor->out + editor->used, bytes, length);
    editor->used += length;
}

static void copy(struct editor *editor, size_t length)
{
    editor->is_odd |= length > editor->end - editor->at;
    if (editor->is_odd)
        return;
    put(editor, editor->from + editor->at, length);
    editor->at += length;
}

static void put_variable(struct editor *editor, uint64_t number)
{
    for (; number > 0x7f; number >>= 7)
        put(editor, &(uint8_t){(uint8_t)(number | 0x80)}, 1);
    put(editor, &(uint8_t){(uint8_t)number}, 1);
}

/* In records numbers have a sign: their last bit. */
static void put_signed(struct editor *editor, size_t number)
{
    put_variable(editor, (uint64_t)number << 1);
}

static unsigned variable_bytes(uint64_t number)
{
    unsigned bytes = 1;
    for (; number > 0x7f; number >>= 7)
        bytes++;
    return bytes;
}

static void put_number_at(char *out, size_t number)
{
    for (int i = 3; i >= 0; i--, number >>= 8)
        out[i] = (char)number;
}

static uint64_t long_variable(struct editor *editor)
{
    uint64_t number = 0;
    for (unsigned shift = 0; shift < 64 && editor->at < editor->end; shift += 7) {
        uint8_t byte = editor->from[editor->at++];
        number |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80))
            return number;
    }
    editor->is_odd = true;
    return 0;
}

/* Nearly all have one byte. */
static inline uint64_t variable(struct editor *editor)
{
    bool is_short = editor->at < editor->end && editor->from[editor->at] < 0x80;
    return is_short ? editor->from[editor->at++] : long_variable(editor);
}

static int64_t signed_variable(struct editor *editor)
{
    uint64_t number = variable(editor);
    return (int64_t)(number >> 1) ^ -(int64_t)(number & 1);
}

/* A length or a number of elements, which is copied; none is nothing. */
static size_t copy_length(struct editor *editor, unsigned bytes)
{
    size_t from = editor->at;
    uint64_t number = 0;
    if (editor->is_flexible) {
        number = variable(editor);
        bytes = (unsigned)(editor->at - from);
        editor->at = from;
    }
    copy(editor, bytes);
    if (editor->is_flexible || editor->is_odd)
        return number > 0 ? (size_t)(number - 1) : 0;
    for (; from < editor->at; from++)
        number = number << 8 | editor->from[from];
    return number == (UINT64_C(1) << 8 * bytes) - 1 ? 0 : (size_t)number;
}

static void copy_text(struct editor *editor)
{
    copy(editor, copy_length(editor, 2));
}

/* Clients send none here. */
static void copy_no_tags(struct editor *editor)
{
    if (!editor->is_flexible)
        return;
    editor->is_odd |= editor->at == editor->end || editor->from[editor->at] != 0;
    copy(editor, 1);
}

/* --- a record ------------------------------------------------------------------------------ */

struct record {
    size_t body, headers, behind, end; /* where it, the number of its headers, and they begin */
    size_t count;                      /* of its headers */
    unsigned has;                      /* bits: which of ours */
    bool is_carrying;                  /* a context of the application's */
};

static void pass(struct editor *editor)
{
    int64_t length = signed_variable(editor);
    editor->is_odd |= length > (int64_t)(editor->end - editor->at);
    if (!editor->is_odd && length > 0)
        editor->at += (size_t)length;
}

static void look(const struct insertion *insertion, struct record *record, struct fact name)
{
    enum field field = context_field(name.text, name.length);
    record->is_carrying |= context_is_parent(field);
    for (unsigned i = 0; i < insertion->count && field != FIELD_COUNT; i++) {
        struct fact ours = insertion->headers[i].name;
        if (name.length == ours.length && memcmp(name.text, ours.text, ours.length) == 0)
            record->has |= 1u << i;
    }
}

static void pass_header(struct editor *editor, struct record *record)
{
    size_t from = editor->at;
    int64_t length = signed_variable(editor);
    const uint8_t *name = editor->from + editor->at;
    editor->at = from;
    pass(editor);
    if (!editor->is_odd && length > 0)
        look(editor->insertion, record, (struct fact){name, (uint32_t)length});
    pass(editor);
}

static struct record read_record(struct editor *editor, size_t batch_end)
{
    struct record record = {0};
    int64_t length = signed_variable(editor);
    record.body = editor->at;
    editor->is_odd |= length < 1 || length > (int64_t)batch_end - (int64_t)editor->at;
    if (editor->is_odd)
        return record;
    record.end = record.body + (size_t)length;
    editor->at++;            /* attributes */
    signed_variable(editor); /* timestamp */
    signed_variable(editor); /* offset */
    pass(editor);            /* key */
    pass(editor);            /* value */
    record.headers = editor->at;
    int64_t count = signed_variable(editor);
    record.behind = editor->at;
    editor->is_odd |= count < 0 || count > length;
    record.count = (size_t)count;
    for (size_t i = 0; i < record.count && !editor->is_odd; i++)
        pass_header(editor, &record);
    editor->is_odd |= editor->at != record.end;
    return record;
}

static void write_headers(struct editor *editor, unsigned which)
{
    for (unsigned i = 0; i < editor->insertion->count; i++) {
        struct fact name = editor->insertion->headers[i].name;
        struct fact value = editor->insertion->headers[i].value;
        if (!(which >> i & 1))
            continue;
        put_signed(editor, name.length);
        put(editor, name.text, name.length);
        put_signed(editor, value.length);
        put(editor, value.text, value.length);
    }
}

/* In front of the record's own. They are the same for nearly all records. */
static void put_headers(struct editor *editor, unsigned which)
{
    size_t at = editor->used;
    if (editor->kept == which) {
        put(editor, editor->out + editor->kept_at, editor->kept_bytes);
        return;
    }
    write_headers(editor, which);
    editor->kept = which;
    editor->kept_at = at;
    editor->kept_bytes = editor->used - at;
}

static size_t headers_bytes(const struct editor *editor, unsigned which)
{
    if (editor->kept == which)
        return editor->kept_bytes;
    struct editor counter = *editor;
    write_headers(&counter, which);
    return counter.used - editor->used;
}

static size_t bits_of(unsigned which)
{
    size_t count = 0;
    for (; which != 0; which &= which - 1)
        count++;
    return count;
}

static void edit_record(struct editor *editor, size_t batch_end)
{
    size_t start = editor->at;
    struct record record = read_record(editor, batch_end);
    if (editor->is_odd)
        return;
    unsigned which = ((1u << editor->insertion->count) - 1) & ~record.has;
    if (which == 0 || record.is_carrying) {
        editor->at = start;
        copy(editor, record.end - start);
        return;
    }
    size_t count = record.count + bits_of(which);
    put_signed(editor, record.end - record.body + headers_bytes(editor, which) +
                           variable_bytes((uint64_t)count << 1) - (record.behind - record.headers));
    editor->at = record.body;
    copy(editor, record.headers - record.body);
    put_signed(editor, count);
    put_headers(editor, which);
    editor->at = record.behind;
    copy(editor, record.end - record.behind);
    editor->edited++;
}

/* --- a request ----------------------------------------------------------------------------- */

static void edit_batch(struct editor *editor, size_t records_end)
{
    const uint8_t *head = editor->from + editor->at;
    size_t start = editor->used, room = records_end - editor->at;
    editor->is_odd |= room < KAFKA_BATCH_HEAD_BYTES || head[MAGIC_AT] != 2;
    size_t length = editor->is_odd ? 0 : LENGTH_AT + 4 + (size_t)kafka_number_at(head + LENGTH_AT);
    editor->is_odd |= length < KAFKA_BATCH_HEAD_BYTES || length > room;
    if (editor->is_odd || (head[ATTRIBUTES_AT + 1] & OPAQUE)) {
        copy(editor, length);
        return;
    }
    size_t end = editor->at + length;
    copy(editor, KAFKA_BATCH_HEAD_BYTES);
    for (uint32_t left = kafka_number_at(head + COUNT_AT); left > 0 && !editor->is_odd; left--)
        edit_record(editor, end);
    editor->is_odd |= editor->at != end;
    if (editor->is_odd)
        return;
    char *batch = editor->out + start;
    size_t whole = editor->used - start;
    editor->is_odd = whole > KAFKA_BATCH_EDITED_MAX;
    put_number_at(batch + LENGTH_AT, whole - LENGTH_AT - 4);
    put_number_at(
        batch + CHECKSUM_AT, crc32c((const uint8_t *)batch + CHECKED_AT, whole - CHECKED_AT));
}

/* How long they are is known behind them: most often it takes as many bytes to say as before. */
static void edit_records(struct editor *editor)
{
    size_t start = editor->used, length = copy_length(editor, 4), begin = editor->used;
    size_t end = editor->at + length;
    editor->is_odd |= length > editor->end - editor->at;
    while (editor->at < end && !editor->is_odd)
        edit_batch(editor, end);
    if (editor->is_odd || length == 0)
        return;
    size_t written = editor->used - begin;
    size_t moved = start + (editor->is_flexible ? variable_bytes(written + 1) : 4);
    editor->is_odd |= moved + written > editor->room;
    if (editor->is_odd)
        return;
    if (moved != begin) {
        memmove(editor->out + moved, editor->out + begin, written);
        editor->kept = 0;
    }
    editor->used = start;
    if (editor->is_flexible)
        put_variable(editor, written + 1);
    else
        put_number_at(editor->out + start, written);
    editor->used = moved + written;
}

static void edit_topic(struct editor *editor, unsigned version)
{
    enum { VERSION_OF_IDS = 13, ID_BYTES = 16 };
    if (version >= VERSION_OF_IDS)
        copy(editor, ID_BYTES);
    else
        copy_text(editor);
    for (size_t left = copy_length(editor, 4); left > 0 && !editor->is_odd; left--) {
        copy(editor, 4); /* partition */
        edit_records(editor);
        copy_no_tags(editor);
    }
    copy_no_tags(editor);
}

static void edit_request(struct editor *editor)
{
    enum { VERSION_AT = 7, FLEXIBLE_FROM = 9 };
    unsigned version = editor->from[VERSION_AT];
    copy(editor, KAFKA_REQUEST_HEAD_BYTES);
    copy_text(editor); /* client.id */
    editor->is_flexible = version >= FLEXIBLE_FROM;
    copy_no_tags(editor);
    copy_text(editor); /* transactional.id */
    copy(editor, 6);   /* acks, timeout */
    for (size_t left = copy_length(editor, 4); left > 0 && !editor->is_odd; left--)
        edit_topic(editor, version);
    copy_no_tags(editor);
}

size_t kafka_insert(const struct insertion *insertion, char *out)
{
    struct editor editor = {.insertion = insertion,
        .from = insertion->replaced.text,
        .end = insertion->replaced.length,
        .out = out,
        .room = insertion->room};
    if (insertion->count == 0)
        return 0;
    edit_request(&editor);
    if (editor.is_odd || editor.at != editor.end || editor.edited == 0)
        return 0;
    put_number_at(out, editor.used - 4);
    return editor.used;
}
