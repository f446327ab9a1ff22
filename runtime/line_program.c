/* SPDX-License-Identifier: Apache-2.0 */
#include "line_program.h"

#include <string.h>

#include "elf_file.h"
#include "line_bytes.h"

/* 6.2.5: standard and extended opcodes. */
enum {
    EXTENDED,
    COPY,
    ADVANCE_PC,
    ADVANCE_LINE,
    SET_FILE,
    SET_COLUMN,
    NEGATE,
    BASIC_BLOCK,
    CONST_ADD_PC,
    FIXED_ADVANCE_PC
};
enum { END_SEQUENCE = 1, SET_ADDRESS = 2 };

/* --- a run --------------------------------------------------------------------------------- */

/* A row ends the one before it: that is what the addresses between them are of. */
struct row {
    uint64_t address, file, line;
};

struct run {
    struct line_unit unit;
    struct line_wanted *wanted;
    size_t count, next; /* wanted[next] is the first that the row before or a later one may have */
    struct row row, before;
    bool has_before;
    bool is_dead; /* a sequence of code that the linker has thrown away */
    struct line_cover cover;
};

static void begin_sequence(struct run *run)
{
    run->row = (struct row){.file = 1, .line = 1};
    run->has_before = run->is_dead = false;
}

/* No code is linked at 0; there and at the end of all addresses linkers put what they drop. */
static bool is_dropped(uint64_t address)
{
    return address == 0 || address >= UINT64_MAX - 1 || address == UINT32_MAX;
}

static void cover(struct line_cover *cover, uint64_t low, uint64_t high)
{
    if (low < cover->low)
        cover->low = low;
    if (high > cover->high)
        cover->high = high;
}

static void answer(struct run *run, struct line_wanted *wanted)
{
    if (wanted->is_found)
        return;
    wanted->is_found = true;
    wanted->unit = run->unit.offset;
    wanted->file = run->before.file;
    wanted->answer->line = run->before.line <= UINT32_MAX ? (uint32_t)run->before.line : 0;
}

static void emit(struct run *run)
{
    uint64_t address = run->row.address;
    if (!run->has_before) {
        run->is_dead = is_dropped(address);
        for (run->next = 0; run->next < run->count && run->wanted[run->next].address < address;)
            run->next++;
    } else if (address < run->before.address) {
        run->is_dead = true;
    }
    if (run->is_dead)
        run->next = run->count;
    else if (run->has_before)
        cover(&run->cover, run->before.address, address);
    while (run->next < run->count && run->wanted[run->next].address < address)
        answer(run, &run->wanted[run->next++]);
    run->before = run->row;
    run->has_before = true;
}

static void extended(struct run *run, struct line_bytes *bytes)
{
    uint64_t length = take_uleb(bytes);
    if (length == 0)
        return;
    uint8_t opcode = take_byte(bytes);
    if (opcode == SET_ADDRESS && (length == 9 || length == 5)) {
        run->row.address = take_fixed(bytes, length - 1);
        return;
    }
    skip_bytes(bytes, length - 1);
    if (opcode != END_SEQUENCE)
        return;
    emit(run);
    begin_sequence(run);
}

static void standard(struct run *run, struct line_bytes *bytes, uint8_t opcode)
{
    const struct line_unit *unit = &run->unit;
    switch (opcode) {
    case COPY:
        emit(run);
        break;
    case ADVANCE_PC:
        run->row.address += take_uleb(bytes) * unit->instruction_bytes;
        break;
    case ADVANCE_LINE:
        run->row.line += (uint64_t)take_sleb(bytes);
        break;
    case SET_FILE:
        run->row.file = take_uleb(bytes);
        break;
    case CONST_ADD_PC:
        run->row.address +=
            (uint64_t)((255 - unit->opcode_base) / unit->line_range) * unit->instruction_bytes;
        break;
    case FIXED_ADVANCE_PC:
        run->row.address += take_fixed(bytes, 2);
        break;
    default: /* SET_COLUMN and the like, and what is not known: what it takes is said */
        for (unsigned i = 0; i < unit->operands[opcode]; i++)
            take_uleb(bytes);
    }
}

/* 6.2.5.1: one byte that advances both, and makes a row. */
static void special(struct run *run, uint8_t opcode)
{
    const struct line_unit *unit = &run->unit;
    unsigned step = opcode - unit->opcode_base;
    run->row.address += (uint64_t)(step / unit->line_range) * unit->instruction_bytes;
    run->row.line += (uint64_t)(int64_t)(unit->line_base + (int)(step % unit->line_range));
    emit(run);
}

bool line_program_run(const struct line_tables *tables, uint64_t *unit, struct line_wanted wanted[],
    size_t count, struct line_cover *covered)
{
    struct run run = {.wanted = wanted, .count = count, .cover = {UINT64_MAX, 0}};
    if (!line_unit_read(tables, *unit, &run.unit))
        return false;
    begin_sequence(&run);
    if (run.unit.is_followed) {
        struct line_bytes *bytes =
            line_bytes_at(tables->fd, &tables->lines, run.unit.program, run.unit.end);
        while (has_bytes(bytes)) {
            uint8_t opcode = take_byte(bytes);
            if (opcode >= run.unit.opcode_base)
                special(&run, opcode);
            else if (opcode == EXTENDED)
                extended(&run, bytes);
            else
                standard(&run, bytes, opcode);
        }
    }
    *covered = run.cover;
    *unit = run.unit.end;
    return true;
}

bool line_program_next(const struct line_tables *tables, uint64_t *unit)
{
    struct line_unit read;
    if (!line_unit_read(tables, *unit, &read))
        return false;
    *unit = read.end;
    return true;
}
