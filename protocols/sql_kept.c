/* SPDX-License-Identifier: Apache-2.0 */
#include "sql_kept.h"

#include <string.h>

/* Multiply and fold, eight bytes at a time; the last eight may be some of those before. */
static uint64_t hash_of(struct fact text, enum sql_dialect dialect)
{
    uint64_t hash = (0x9E3779B97F4A7C15u ^ text.length) + (uint64_t)dialect, word = 0;
    for (size_t left = text.length; left > sizeof(word); left -= sizeof(word)) {
        memcpy(&word, text.text + text.length - left, sizeof(word));
        hash = (hash ^ word) * 0xFF51AFD7ED558CCDu;
        hash ^= hash >> 32;
    }
    if (text.length >= sizeof(word)) {
        memcpy(&word, text.text + text.length - sizeof(word), sizeof(word));
    } else {
        memcpy(&word, text.text, text.length);
    }
    return (hash ^ word) * 0xFF51AFD7ED558CCDu;
}

static bool is_it(
    const struct sql_kept_row *row, uint64_t hash, enum sql_dialect dialect, struct fact text)
{
    return row->hash == hash && row->text == text.length && row->dialect == dialect &&
           memcmp(row->bytes, text.text, text.length) == 0;
}

struct writer {
    struct describer describer; /* first */
    struct sql_kept_row *row;
    bool is_full;
};

static void append(struct describer *describer, const void *text, size_t length)
{
    struct writer *writer = (struct writer *)describer;
    struct sql_kept_row *row = writer->row;
    size_t used = (size_t)row->text + row->told;
    if (length > sizeof(row->bytes) - used) {
        writer->is_full = true;
        return;
    }
    memcpy(row->bytes + used, text, length);
    row->told += (uint16_t)length;
}

static bool fill(struct sql_kept_row *row, enum sql_dialect dialect, struct fact text)
{
    char summary[SQL_SUMMARY_BYTES_MAX];
    struct writer writer = {.describer = {.append = append}, .row = row};
    if (text.length > sizeof(row->bytes)) {
        return false;
    }
    memcpy(row->bytes, text.text, text.length);
    row->text = (uint16_t)text.length;
    row->told = 0;
    row->dialect = (uint16_t)dialect;
    row->summary = (uint16_t)sql_tell(dialect, text.text, text.length, &writer.describer, summary);
    append(&writer.describer, summary, row->summary);
    if (writer.is_full) {
        row->text = 0;
        return false;
    }
    row->told -= row->summary;
    return true;
}

bool sql_kept_tell(struct sql_kept *kept, enum sql_dialect dialect, struct fact text,
    struct fact *told, struct fact *summary)
{
    uint64_t hash = hash_of(text, dialect);
    struct sql_kept_row *row = &kept->rows[(hash >> 32) % SQL_KEPT_ROWS];
    if (!is_it(row, hash, dialect, text)) {
        row->hash = hash;
        if (!fill(row, dialect, text)) {
            return false;
        }
    }
    *told = (struct fact){row->bytes + row->text, row->told};
    *summary = (struct fact){told->text + told->length, row->summary};
    return true;
}
