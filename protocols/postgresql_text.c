/* SPDX-License-Identifier: Apache-2.0 */
/* Texts that end with a zero byte, as they come: hashed, told, and looked at for one word. */
#include "postgresql.h"

#include <string.h>

#define FNV_PRIME UINT64_C(0x100000001b3)

const uint64_t pg_statement_seed = UINT64_C(0xcbf29ce484222325);
const uint64_t pg_portal_seed = UINT64_C(0x9e3779b97f4a7c15);

static uint64_t hash_on(uint64_t hash, uint8_t byte)
{
    return (hash ^ byte) * FNV_PRIME;
}

bool pg_hash_text(struct pg_reader *reader, size_t end)
{
    uint64_t hash = reader->stream->hash;
    bool is_whole = false;
    while (reader->at < end && !is_whole) {
        uint8_t byte = reader->data[reader->at++];
        is_whole = byte == 0;
        if (!is_whole) {
            hash = hash_on(hash, byte);
        }
    }
    reader->stream->hash = hash;
    return is_whole;
}

bool pg_hash_is(const struct pg_stream *stream, const char *name)
{
    uint64_t hash = pg_statement_seed;
    for (; *name != '\0'; name++) {
        hash = hash_on(hash, (uint8_t)*name);
    }
    return stream->hash == hash;
}

static void tell_piece(struct pg_reader *reader, struct event *event, size_t length)
{
    struct pg_stream *stream = reader->stream;
    event->first = !stream->has_text;
    event->offset = reader->at;
    event->text = reader->data + reader->at;
    event->length = length;
    stream->told += (uint32_t)length;
    stream->has_text = !event->last;
    if (length > 0 || event->first || event->last) {
        reader->sink->event(reader->sink, event);
    }
}

bool pg_tell_text(struct pg_reader *reader, size_t end, struct event event, uint32_t limit)
{
    struct pg_stream *stream = reader->stream;
    const uint8_t *zero = memchr(reader->data + reader->at, 0, end - reader->at);
    size_t to = zero != NULL ? (size_t)(zero - reader->data) : end;
    if (stream->tells) {
        uint32_t room = limit - stream->told;
        event.last = zero != NULL;
        tell_piece(reader, &event, to - reader->at < room ? to - reader->at : room);
    }
    reader->at = to + (zero != NULL);
    return zero != NULL;
}

void pg_tell_end(struct pg_reader *reader, struct event event)
{
    if (reader->stream->has_text) {
        event.last = true;
        tell_piece(reader, &event, 0);
    }
}

/* --- DEALLOCATE ---------------------------------------------------------------------------- */

static const char word_letters[] = "deallocate";

enum {
    WORD_LETTERS = sizeof(word_letters) - 1, /* all of them were there */
    WORD_GAP,
    WORD_NAME,
    WORD_QUOTED,
    WORD_OVER,
    WORD_OTHER /* the statement is another one */
};

static bool is_space(uint8_t byte)
{
    return byte == ' ' || (byte >= '\t' && byte <= '\r');
}

static uint8_t lower(uint8_t byte)
{
    return byte >= 'A' && byte <= 'Z' ? byte | 0x20 : byte;
}

static void read_letter(struct pg_word *word, uint8_t byte)
{
    bool is_lead = word->at == 0 && is_space(byte);
    if (lower(byte) == (uint8_t)word_letters[word->at]) {
        word->at++;
    } else if (!is_lead) {
        word->at = WORD_OTHER;
    }
}

static void begin_name(struct pg_word *word, uint8_t byte)
{
    word->hash = pg_statement_seed;
    word->at = byte == '"' ? WORD_QUOTED : WORD_NAME;
    if (byte != '"') {
        word->hash = hash_on(word->hash, lower(byte));
    }
}

static void read_gap(struct pg_word *word, uint8_t byte)
{
    if (is_space(byte)) {
        word->at = WORD_GAP;
    } else if (word->at == WORD_GAP || byte == '"') {
        begin_name(word, byte);
    } else {
        word->at = WORD_OTHER;
    }
}

static void read_name(struct pg_word *word, uint8_t byte)
{
    bool is_quoted = word->at == WORD_QUOTED;
    if (is_quoted ? byte == '"' : is_space(byte) || byte == ';') {
        word->at = WORD_OVER;
    } else {
        word->hash = hash_on(word->hash, is_quoted ? byte : lower(byte));
    }
}

void pg_word_read(struct pg_word *word, const uint8_t *text, size_t length)
{
    for (; length > 0 && word->at < WORD_OVER; text++, length--) {
        if (word->at < WORD_LETTERS) {
            read_letter(word, *text);
        } else if (word->at <= WORD_GAP) {
            read_gap(word, *text);
        } else {
            read_name(word, *text);
        }
    }
}

bool pg_word_has_name(const struct pg_word *word)
{
    return word->at == WORD_NAME || word->at == WORD_OVER;
}
