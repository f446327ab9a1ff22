/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which line of a source an instruction is of: the line number programs of .debug_line (DWARF 2 to
 * 5, "Line Number Information"), a unit of which says it for the code of one compilation. Exporter
 * thread only: what is read lies in one static buffer. Allocates nothing; an offset, count or
 * length in the tables is checked against what there is, each step takes a byte at least.
 *
 * Not followed: programs for machines that pack several operations into one instruction.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SOURCE_PATH_MAX = 256 };

struct source_line {
    char path[SOURCE_PATH_MAX]; /* "": not known */
    uint32_t line;              /* 0: not known */
};

struct byte_range {
    uint64_t offset, size;
    uint64_t packed;       /* not 0: of the file it takes only so much, compressed by zlib */
    const uint8_t *memory; /* and this is where it has been unpacked to */
};

/* Of one file. Of the last two each may be empty; names that lie there are not known then. */
struct line_tables {
    long fd;
    struct byte_range lines, line_strings, strings; /* .debug_line, .debug_line_str, .debug_str */
};

/* What is asked, and what was found. */
struct line_wanted {
    uint64_t address; /* as linked */
    struct source_line *answer;
    uint64_t unit; /* if answer->line is not 0: where line_program_path finds it */
    uint64_t file;
    bool is_found;
};

/* What a unit speaks of: the lowest address and the one after the highest. */
struct line_cover {
    uint64_t low, high;
};

/* Runs the program of the unit at *unit for addresses in ascending order, and moves on to the next
 * unit. False: there is none, or it does not hold together, and where the next is cannot be known.
 */
bool line_program_run(const struct line_tables *tables, uint64_t *unit, struct line_wanted wanted[],
    size_t count, struct line_cover *cover);

/* Where the unit at this offset ends; false as above. */
bool line_program_next(const struct line_tables *tables, uint64_t *unit);

/* The path of what was found: as the compiler was told, under the directory that it worked in where
 * the tables have that (DWARF 5). One that is too long is told without its directory. */
void line_program_path(const struct line_tables *tables, const struct line_wanted *wanted);
