/* SPDX-License-Identifier: Apache-2.0 */
/* The names of sources: the tables of directories and files in the head of a unit. */
#include <string.h>

#include "elf_file.h"
#include "format.h"
#include "line_bytes.h"

/* 7.22, 7.5.6: what an entry of DWARF 5 says, and how. */
enum { CONTENT_PATH = 1, CONTENT_DIRECTORY = 2 };
enum {
    FORM_DATA2 = 0x05,
    FORM_DATA4,
    FORM_DATA8,
    FORM_STRING,
    FORM_BLOCK,
    FORM_BLOCK1,
    FORM_DATA1,
    FORM_STRP = 0x0e,
    FORM_UDATA,
    FORM_DATA16 = 0x1e,
    FORM_LINE_STRP
};
enum { FORMATS_MAX = 16, DIRECTORIES = 0, FILES = 1 };
static const uint64_t NOBODY = UINT64_MAX;

struct entry {
    char path[SOURCE_PATH_MAX];
    uint64_t directory;
    bool is_found;
};

struct reader {
    const struct line_tables *tables;
    struct line_unit unit;
    struct line_bytes *bytes;
};

/* In its place. One that does not fit is none; out may be NULL. */
static void take_string(struct line_bytes *bytes, char out[SOURCE_PATH_MAX], bool *is_empty)
{
    size_t length = 0;
    for (uint8_t byte; (byte = take_byte(bytes)) != 0; length++)
        if (out != NULL && length < SOURCE_PATH_MAX - 1)
            out[length] = (char)byte;
    if (out != NULL)
        out[length < SOURCE_PATH_MAX ? length : 0] = '\0';
    *is_empty = length == 0;
}

static void read_string(
    long fd, const struct byte_range *section, uint64_t at, char out[SOURCE_PATH_MAX])
{
    out[0] = '\0';
    if (at >= section->size)
        return;
    uint64_t room = section->size - at;
    size_t length = room < SOURCE_PATH_MAX ? (size_t)room : SOURCE_PATH_MAX;
    if (section->memory != NULL)
        memcpy(out, section->memory + at, length);
    else if (!file_read(fd, section->offset + at, out, length))
        length = 0;
    if (memchr(out, '\0', length) == NULL)
        out[0] = '\0';
}

/* --- DWARF 5 ------------------------------------------------------------------------------- */

/* The value's number, 0 for a text, which goes to `path` if that is not NULL. An unknown form ends
 * all: how long it is cannot be known. */
static uint64_t take_form(struct reader *reader, uint64_t form, char *path)
{
    struct line_bytes *bytes = reader->bytes;
    bool is_empty;
    uint64_t at;
    switch (form) {
    case FORM_DATA1:
        return take_byte(bytes);
    case FORM_DATA2:
        return take_fixed(bytes, 2);
    case FORM_DATA4:
        return take_fixed(bytes, 4);
    case FORM_DATA8:
        return take_fixed(bytes, 8);
    case FORM_UDATA:
        return take_uleb(bytes);
    case FORM_DATA16:
        skip_bytes(bytes, 16);
        return 0;
    case FORM_BLOCK:
        skip_bytes(bytes, take_uleb(bytes));
        return 0;
    case FORM_BLOCK1:
        skip_bytes(bytes, take_byte(bytes));
        return 0;
    case FORM_STRING:
        take_string(bytes, path, &is_empty);
        return 0;
    case FORM_STRP:
    case FORM_LINE_STRP:
        at = take_fixed(bytes, reader->unit.offset_bytes);
        if (path != NULL)
            read_string(reader->tables->fd,
                form == FORM_STRP ? &reader->tables->strings : &reader->tables->line_strings, at,
                path);
        return 0;
    default:
        skip_bytes(bytes, UINT64_MAX);
        return 0;
    }
}

/* One of the two tables; of its entries the one that is asked for. */
static void take_table(struct reader *reader, uint64_t index, struct entry *out)
{
    struct line_bytes *bytes = reader->bytes;
    uint64_t contents[FORMATS_MAX] = {0}, forms[FORMATS_MAX] = {0};
    uint8_t formats = take_byte(bytes);
    if (formats > FORMATS_MAX)
        skip_bytes(bytes, UINT64_MAX);
    for (unsigned i = 0; i < formats && has_bytes(bytes); i++) {
        contents[i] = take_uleb(bytes);
        forms[i] = take_uleb(bytes);
    }
    uint64_t count = take_uleb(bytes);
    for (uint64_t at = 0; formats > 0 && at < count && has_bytes(bytes); at++) {
        for (unsigned i = 0; i < formats; i++) {
            bool is_path = at == index && contents[i] == CONTENT_PATH;
            uint64_t number = take_form(reader, forms[i], is_path ? out->path : NULL);
            if (at == index && contents[i] == CONTENT_DIRECTORY)
                out->directory = number;
        }
        if (at == index)
            out->is_found = true;
    }
}

/* --- before it ----------------------------------------------------------------------------- */

/* They end with an empty name, and are counted from 1. */
static void take_old_table(struct reader *reader, unsigned kind, uint64_t index, struct entry *out)
{
    bool is_empty = false;
    for (uint64_t at = 1; has_bytes(reader->bytes); at++) {
        take_string(reader->bytes, at == index ? out->path : NULL, &is_empty);
        if (is_empty)
            return;
        uint64_t directory = kind == FILES ? take_uleb(reader->bytes) : 0;
        if (kind == FILES) {
            take_uleb(reader->bytes); /* when it was changed */
            take_uleb(reader->bytes); /* how long it is */
        }
        if (at != index)
            continue;
        out->directory = directory;
        out->is_found = true;
    }
}

/* --- both ---------------------------------------------------------------------------------- */

static struct entry find(struct reader *reader, unsigned kind, uint64_t index)
{
    const struct line_unit *unit = &reader->unit;
    struct entry entry = {.is_found = false};
    reader->bytes =
        line_bytes_at(reader->tables->fd, &reader->tables->lines, unit->tables, unit->program);
    for (unsigned at = DIRECTORIES; at <= kind; at++)
        if (unit->version >= 5)
            take_table(reader, at == kind ? index : NOBODY, &entry);
        else
            take_old_table(reader, at, at == kind ? index : NOBODY, &entry);
    return entry;
}

static void join(struct format *format, const struct entry *directory)
{
    if (!directory->is_found || directory->path[0] == '\0')
        return;
    format_text(format, directory->path);
    format_text(format, "/");
}

void line_program_path(const struct line_tables *tables, const struct line_wanted *wanted)
{
    struct reader reader = {.tables = tables};
    char *out = wanted->answer->path;
    struct format format;
    out[0] = '\0';
    if (!line_unit_read(tables, wanted->unit, &reader.unit) || !reader.unit.is_followed)
        return;
    struct entry file = find(&reader, FILES, wanted->file);
    if (!file.is_found || file.path[0] == '\0')
        return;
    format_start(&format, out, SOURCE_PATH_MAX);
    if (file.path[0] != '/') {
        struct entry directory = find(&reader, DIRECTORIES, file.directory);
        if (directory.path[0] != '/' && file.directory != 0) {
            struct entry root = find(&reader, DIRECTORIES, 0); /* that of the compilation */
            join(&format, &root);
        }
        join(&format, &directory);
    }
    format_text(&format, file.path);
    if (!format.fits) {
        format_start(&format, out, SOURCE_PATH_MAX);
        format_text(&format, file.path);
    }
}
