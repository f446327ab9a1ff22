/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What writes (logs.c) and streams of the C library (logs_stdio.c) have in common. Host threads,
 * inside an observe block.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { LOGS_IN_LINE = 1 }; /* of the upper half of a descriptor's entry: see logs.h */

/* The bytes that went to a descriptor last have ended a line, or not. Another thread may have
 * closed it meanwhile. */
void logs_note_end(int fd, uint64_t entry, bool in_line);

/* Is it still the same file, and would the kernel take so many bytes at once and as a whole? */
bool logs_is_taken_whole(int fd, uint64_t entry, size_t length);

/* While it is true no other line gets anything. */
bool logs_has_debts(void);
