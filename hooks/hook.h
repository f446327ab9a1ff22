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

/* Distances, each from where it stands: the loader has nothing to do, and no page is written. */
struct hook_row {
    uint32_t hash; /* of the name: object_hash */
    int32_t name, original;
    int32_t absent; /* what stands in where the C library has no such function; 0: NULL */
};

/* What the linker calls a hook. Tests that play the kernel give it another name. */
#ifndef HOOK_SYMBOL
#define HOOK_SYMBOL(name) #name
#endif

/* The assembler reckons the hash. What it calls a letter's value: within a quotation it puts none
 * in place of a parameter. */
#define HOOK_LETTERS(first, letters)                                                            \
    ".set hook_next, " #first "\n.irpc letter, " #letters "\n.set .Lhook_\\letter, hook_next\n" \
    ".set hook_next, hook_next + 1\n.endr\n"
__asm__(HOOK_LETTERS(48, 0123456789) HOOK_LETTERS(65, ABCDEFGHIJKLMNOPQRSTUVWXYZ)
        HOOK_LETTERS(95, _) HOOK_LETTERS(97, abcdefghijklmnopqrstuvwxyz));

#define HOOK_ROW(name, absent)                                                           \
    __asm__(".pushsection .rodata.hooks, \"aMS\", %progbits, 1\n1: .asciz \"" #name      \
            "\"\n.popsection\n.pushsection hook_rows, \"a\", %progbits\n.balign 4\n"     \
            ".set hook_hash, 5381\n.irpc letter, " #name                                 \
            "\n.set hook_hash, (hook_hash * 33 + .Lhook_\\letter) & 0xffffffff\n.endr\n" \
            ".long hook_hash\n.long 1b - .\n.long original_" #name " - .\n.long " absent \
            "\n.popsection\n")

/* Originals stand beside each other: a start of a program writes all of them. */
#define HOOK_ORIGINAL(name) \
    __typeof__(name) *original_##name __attribute__((section(".data"), visibility("hidden")))

/* A function of the C library to be found with the originals: original_NAME, or NULL. */
#define FIND(name)       \
    HOOK_ORIGINAL(name); \
    HOOK_ROW(name, "0")

#define HOOK_DECLARE(result, name, parameters, absent)                                      \
    HOOK_ORIGINAL(name);                                                                    \
    result hook_##name parameters __asm__(HOOK_SYMBOL(name))                                \
        __attribute__((visibility("default")));                                             \
    _Static_assert(__builtin_types_compatible_p(__typeof__(name), __typeof__(hook_##name)), \
        #name " is declared otherwise");                                                    \
    HOOK_ROW(name, #absent " - .")

#define HOOK(result, name, parameters)                     \
    HOOK_DECLARE(result, name, parameters, hooks_missing); \
    result hook_##name parameters

/* The same for a function that not every glibc of ours has (2.28 is the oldest): where it is
 * missing, `absent` is called in its place, with the same parameters; it is marked as used. */
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

/* Finds the originals that have not been found yet. */
void hooks_resolve(void);

/* Looks for the first name in all loaded objects, and for the others in the object that defines it:
 * what is not there stays as it is. False: none does. The names are ended by '\0' each, and the
 * last by two; `functions` has a place for each. Not in a signal handler. */
bool hooks_find(const char *names, void *functions);

/* The hook of this name, for who has to call it by an address; NULL: there is none. */
void *hooks_own(const char *name);

/* Something that was loaded at the start has Node-API. Looked for on the way, since each start
 * asks. */
extern bool hooks_node_is_here;

/* Our own file, as the linker knows it; NULL before hooks_resolve. */
const char *hooks_path(void);

/* A carrier inside the program's runtime asks by a name that is no file: true, and dlopen opens the
 * program itself instead. NULL: nobody asks. */
extern bool (*hooks_dlopen)(const char *file);

/* Of several copies of the library in one process (two paths in LD_PRELOAD, two versions) the one
 * that the linker searches first observes, and the others stay inert: each asks who answers to this
 * name, so it does not matter whose constructor runs first. The one export that is no hook. */
bool burdock_is_first(void);
