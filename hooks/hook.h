/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a function of libc is interposed:
 *
 *     HOOK(ssize_t, read, (int fd, void *buffer, size_t size))
 *     {
 *         ...
 *         return ORIGINAL(read)(fd, buffer, size);
 *     }
 *
 * The wrapper has its own C name and takes the real one as its assembler name, so that fortified
 * inline twins in headers do not clash. The original's type comes from its declaration, and the
 * compiler checks ours against it. Each hook is a row in the section `hook_rows`, from which the
 * originals are resolved and the export list is made. burdock_is_first is exported besides.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hook_row {
    const char *name;
    void **original;
    void *absent;  /* what stands in where the C library has no such function; HOOKS_MISSING */
    uint32_t hash; /* of the name; 0: not reckoned yet */
};

/* What the linker calls a hook. Tests that play the kernel give it another name. */
#ifndef HOOK_SYMBOL
#define HOOK_SYMBOL(name) #name
#endif

/* A function of the C library to be found with the originals. */
#define FIND(name, where, absent)     \
    static struct hook_row row_##name \
        __attribute__((section("hook_rows"), used)) = {#name, (void **)&(where), absent, 0}

/* Originals stand beside the rows: a start of a program writes both, and then one page. */
#define HOOK_DECLARE(result, name, parameters, absent)                                      \
    __typeof__(name) *original_##name __attribute__((section(".data")));                    \
    result hook_##name parameters __asm__(HOOK_SYMBOL(name))                                \
        __attribute__((visibility("default")));                                             \
    _Static_assert(__builtin_types_compatible_p(__typeof__(name), __typeof__(hook_##name)), \
        #name " is declared otherwise");                                                    \
    FIND(name, original_##name, absent)

#define HOOK(result, name, parameters)                     \
    HOOK_DECLARE(result, name, parameters, HOOKS_MISSING); \
    result hook_##name parameters

/* The same for a function that not every glibc of ours has (2.28 is the oldest): where it is
 * missing, `absent` is called in its place, with the same parameters. */
#define HOOK_OR(absent, result, name, parameters)   \
    HOOK_DECLARE(result, name, parameters, absent); \
    result hook_##name parameters

/* Resolved in the constructor. A constructor of another library may call us before ours has run:
 * then all are resolved at that moment. */
#define ORIGINAL(name)                                                                 \
    (__builtin_expect(original_##name == NULL, 0) ? (hooks_resolve(), original_##name) \
                                                  : original_##name)

/* A hook of calls that are mostly none of our business: while `is_plain` holds it is a jump to the
 * original, without a frame of its own. The body is for the rest. is_plain (stream_is_plain of the
 * descriptor) is true only after the constructor has run, so the original needs no check. */
#define HOOK_STREAM(result, name, parameters, arguments, is_plain)                   \
    static result observed_##name parameters;                                        \
    HOOK(result, name, parameters)                                                   \
    {                                                                                \
        return (is_plain) ? (*original_##name)arguments : observed_##name arguments; \
    }                                                                                \
    __attribute__((noinline)) static result observed_##name parameters

/* The original of what this libc does not have. A program that asks whether the name exists, to do
 * without it otherwise, finds ours: it hears what an old kernel would say. */
long hooks_missing(void);
#define HOOKS_MISSING ((void *)-1) /* it, in a row: no address that were relocated */

/* Finds the originals that have not been found yet. */
void hooks_resolve(void);

/* Looks for the first row's name in all loaded objects, and for the others in the object that
 * defines it: what is not there stays NULL. False: none does. Not in a signal handler. */
bool hooks_find(struct hook_row *rows, size_t count);

/* The hook of this name, for who has to call it by an address; NULL: there is none. */
void *hooks_own(const char *name);

/* Our own file, as the linker knows it; NULL before hooks_resolve. */
const char *hooks_path(void);

/* A carrier inside the program's runtime asks by a name that is no file: true, and dlopen opens the
 * program itself instead. NULL: nobody asks. */
extern bool (*hooks_dlopen)(const char *file);

/* Of several copies of the library in one process (two paths in LD_PRELOAD, two versions) the one
 * that the linker searches first observes, and the others stay inert: each asks who answers to this
 * name, so it does not matter whose constructor runs first. The one export that is no hook. */
bool burdock_is_first(void);
