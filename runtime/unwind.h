/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The native call stack of the calling thread, as return addresses. Any thread, also inside a
 * signal handler: no lock, no allocation, no system call but those of readable.h; keeps errno.
 *
 * Frames are found by the tables that compilers write for exceptions (.eh_frame: Linux Standard
 * Base Core 5.0, 10.6; its instructions: DWARF 5, 6.4.2), which objects have that are built without
 * frame pointers, too. Rules that were worked out are remembered by address. The object of an
 * address is asked of glibc's _dl_find_object, which takes no lock; where there is none (before
 * glibc 2.35) there are no stacks.
 *
 * The walk ends where it cannot be sure: at code without tables (made at run time, or assembly),
 * at a signal handler's frame, at a frame that its tables describe by an expression, or by another
 * register than the stack and the frame pointer.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum { UNWIND_FRAMES_MAX = 48 };

/* Innermost first, the caller's own frame being the first; answers how many. Each is the address
 * that a call returns to. */
size_t unwind(uintptr_t frames[], size_t frames_max);

/* The same without the innermost frames that are of the object we are in ourselves. */
size_t unwind_callers(uintptr_t frames[], size_t frames_max);

/* struct dl_find_object of glibc 2.35, <dlfcn.h>; here so that older headers will do. */
struct unwind_object {
    unsigned long long flags;
    void *start, *end;
    void *link_map;
    void *table; /* .eh_frame_hdr */
    unsigned long long reserved[7];
};

/* Raised whenever an object may have been loaded where another one was: what is remembered of
 * addresses is forgotten. Any thread. */
extern uint32_t unwind_generation;

/* _dl_find_object, or NULL: filled in by who finds originals, before threads exist. */
extern int (*unwind_find_object)(void *address, struct unwind_object *found);
