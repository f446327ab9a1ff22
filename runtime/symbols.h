/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The names of this process's code: of return addresses that its threads have left in their rings.
 * Exporter thread only: it reads files, in a descriptor table of its own; no memory of the host's
 * is looked at, so that nothing can be unloaded under its eyes.
 *
 * Objects are found in /proc/self/maps, names in an object's .symtab or else .dynsym (ELF
 * specification, "Symbol Table"), as the file's bytes stand on disk: not if it was replaced; lines
 * by source_lines.h. What was found is remembered by address until code is loaded
 * (unwind_generation).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "line_program.h"

enum { SYMBOL_NAME_MAX = 160, SYMBOL_OBJECT_MAX = 64 };

struct symbol {
    char name[SYMBOL_NAME_MAX];     /* "": not known. As the linker sees it: not demangled */
    char object[SYMBOL_OBJECT_MAX]; /* last part of the path; "": no file */
    uint64_t offset;                /* of the address, from the name's or else the file's start */
    struct source_line source;      /* of the call */
};

/* Of `count` return addresses, at most UNWIND_FRAMES_MAX; each answer is valid until the next call.
 */
void symbols_find(const uintptr_t addresses[], size_t count, const struct symbol *found[]);
