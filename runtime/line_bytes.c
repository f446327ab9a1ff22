/* SPDX-License-Identifier: Apache-2.0 */
#include "line_bytes.h"

#include <string.h>

#include "elf_file.h"

bool line_bytes_fill(struct line_bytes *bytes)
{
    size_t some = bytes->left < sizeof(bytes->buffer) ? (size_t)bytes->left : sizeof(bytes->buffer);
    if (some == 0 || !file_read(bytes->fd, bytes->at, bytes->buffer, some)) {
        bytes->left = 0; /* a file that got shorter ends here */
        return false;
    }
    bytes->next = bytes->buffer;
    bytes->end = bytes->buffer + some;
    bytes->at += some;
    bytes->left -= some;
    return true;
}

struct line_bytes *line_bytes_at(
    long fd, const struct byte_range *section, uint64_t from, uint64_t to)
{
    static struct line_bytes bytes;
    bytes.fd = fd;
    bytes.at = section->offset + from;
    bytes.left = to - from;
    bytes.next = bytes.end = bytes.buffer;
    if (section->memory != NULL) {
        bytes.next = section->memory + from;
        bytes.end = section->memory + to;
        bytes.left = 0;
    }
    return &bytes;
}

/* The least byte first: so are all machines that we run on. */
uint64_t take_fixed(struct line_bytes *bytes, uint64_t count)
{
    uint64_t value = 0;
    for (uint64_t i = 0; i < count; i++)
        value |= (uint64_t)take_byte(bytes) << 8 * i;
    return value;
}

/* 7.6, "Variable Length Data". Bits beyond 64 are lost. */
uint64_t take_uleb(struct line_bytes *bytes)
{
    uint64_t value = 0;
    for (unsigned shift = 0;; shift += 7) {
        uint8_t byte = take_byte(bytes);
        if (shift < 64)
            value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            return value;
    }
}

int64_t take_sleb(struct line_bytes *bytes)
{
    uint64_t value = 0;
    for (unsigned shift = 0;;) {
        uint8_t byte = take_byte(bytes);
        if (shift < 64)
            value |= (uint64_t)(byte & 0x7f) << shift;
        shift += 7;
        if (byte >= 0x80)
            continue;
        if (shift < 64 && (byte & 0x40) != 0)
            value |= UINT64_MAX << shift;
        return (int64_t)value;
    }
}

void skip_bytes(struct line_bytes *bytes, uint64_t count)
{
    uint64_t here = (uint64_t)(bytes->end - bytes->next);
    if (count <= here) {
        bytes->next += count;
        return;
    }
    count -= here;
    bytes->next = bytes->end;
    if (count > bytes->left)
        count = bytes->left;
    bytes->at += count;
    bytes->left -= count;
}

static uint64_t place(const struct line_bytes *bytes, const struct line_unit *unit)
{
    return unit->end - bytes->left - (uint64_t)(bytes->end - bytes->next);
}

/* 7.4, "32-Bit and 64-Bit DWARF Formats": how long it is, without that itself. */
static bool read_length(const struct line_tables *tables, uint64_t offset, struct line_unit *unit)
{
    uint64_t size = tables->lines.size;
    if (offset >= size || size - offset < 4)
        return false;
    struct line_bytes *bytes = line_bytes_at(tables->fd, &tables->lines, offset, size);
    uint64_t length = take_fixed(bytes, 4), head = 4;
    unit->offset_bytes = 4;
    if (length == 0xffffffffu) {
        length = take_fixed(bytes, 8);
        head = 12;
        unit->offset_bytes = 8;
    } else if (length >= 0xfffffff0u) {
        return false;
    }
    if (size - offset < head || length > size - offset - head || length == 0)
        return false;
    unit->offset = offset;
    unit->end = offset + head + length;
    unit->tables = offset + head; /* as yet */
    return true;
}

bool line_unit_read(const struct line_tables *tables, uint64_t offset, struct line_unit *unit)
{
    if (!read_length(tables, offset, unit))
        return false;
    struct line_bytes *bytes = line_bytes_at(tables->fd, &tables->lines, unit->tables, unit->end);
    unit->version = (uint16_t)take_fixed(bytes, 2);
    if (unit->version >= 5)
        take_fixed(bytes, 2); /* sizes of an address and of a segment's selector */
    uint64_t length = take_fixed(bytes, unit->offset_bytes);
    uint64_t rest = unit->end - place(bytes, unit);
    unit->program = unit->end - rest + (length < rest ? length : rest);
    unit->instruction_bytes = take_byte(bytes);
    uint8_t operations = unit->version >= 4 ? take_byte(bytes) : 1;
    take_byte(bytes); /* whether rows are statements at first: all are taken */
    unit->line_base = (int8_t)take_byte(bytes);
    unit->line_range = take_byte(bytes);
    unit->opcode_base = take_byte(bytes);
    memset(unit->operands, 0, sizeof(unit->operands));
    for (unsigned i = 1; i < unit->opcode_base; i++)
        unit->operands[i] = take_byte(bytes);
    unit->tables = place(bytes, unit);
    unit->is_followed = unit->version >= 2 && unit->version <= 5 && operations <= 1 &&
                        unit->line_range != 0 && unit->opcode_base != 0 &&
                        unit->tables <= unit->program;
    return true;
}
