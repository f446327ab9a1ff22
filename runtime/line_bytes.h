/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes of .debug_line in their order, through the one buffer that line_program.c and line_names.c
 * share, and the head of a unit. What is taken beyond the end is 0, and has_bytes is false then.
 */
#pragma once

#include "line_program.h"

enum { LINE_BUFFER_BYTES = 16 * 1024 };

struct line_bytes {
    const uint8_t *next, *end; /* what is in the buffer */
    long fd;
    uint64_t at, left; /* of the file: where the bytes after those are, how many */
    uint8_t buffer[LINE_BUFFER_BYTES];
};

/* 6.2.4, "The Line Number Program Header", but for its tables of names. */
struct line_unit {
    uint64_t offset, tables, program, end; /* in the section */
    uint16_t version;
    uint8_t offset_bytes; /* 4, or 8: 64-bit DWARF */
    uint8_t instruction_bytes, line_range, opcode_base;
    int8_t line_base;
    uint8_t operands[256]; /* by opcode */
    bool is_followed;
};

/* From one offset of the section to another, which the caller has checked. */
struct line_bytes *line_bytes_at(
    long fd, const struct byte_range *section, uint64_t from, uint64_t to);

/* False: there is no unit, or it says that it is longer than the section. */
bool line_unit_read(const struct line_tables *tables, uint64_t offset, struct line_unit *unit);

bool line_bytes_fill(struct line_bytes *bytes);
uint64_t take_fixed(struct line_bytes *bytes, uint64_t count);
uint64_t take_uleb(struct line_bytes *bytes);
int64_t take_sleb(struct line_bytes *bytes);
void skip_bytes(struct line_bytes *bytes, uint64_t count);

static inline bool has_bytes(struct line_bytes *bytes)
{
    return bytes->next < bytes->end || line_bytes_fill(bytes);
}

static inline uint8_t take_byte(struct line_bytes *bytes)
{
    return has_bytes(bytes) ? *bytes->next++ : 0;
}
