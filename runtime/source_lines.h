/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which lines of which sources addresses of an object are of. Exporter thread only; files are read,
 * never mapped, and none stays open.
 *
 * They stand in the object's own .debug_line, or that of a debug file with the same build-id:
 * /usr/lib/debug/.build-id/xx/yyyy.debug, or what .gnu_debuglink names, in the places where gdb
 * looks. What each unit of a table speaks of is remembered while it is read the first time, so
 * later questions read one unit or two. Limits: LINES_TABLE_BYTES_MAX of a table, or it is not
 * read; LINES_BYTES_PER_SECOND of all of them, or the rest waits.
 *
 * What zlib has compressed is unpacked into memory for each question, and given back then: at most
 * LINES_UNPACKED_BYTES_MAX, which count as read, too. Not read: what zstd has, the .zdebug_line
 * of old, names in a compressed .debug_str.
 */
#pragma once

#include "elf_file.h"
#include "line_program.h"

enum {
    LINES_TABLE_BYTES_MAX = 64 * 1024 * 1024,
    LINES_BYTES_PER_SECOND = 16 * 1024 * 1024,
    LINES_UNPACKED_BYTES_MAX = 12 * 1024 * 1024, /* less: it is read in the same second */
};

/* Addresses in ascending order. False: they, or some, may be found at another time. */
bool source_lines_find(
    const struct elf_file *object, const char *path, struct line_wanted wanted[], size_t count);
