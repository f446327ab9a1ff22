/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hooks of libraries other than libc, of which a process may have none, or several copies.
 *
 * The hook is exported under the versions that the library gives its functions (SSL_read of
 * OPENSSL_3.0.0), and never as the default one. The linker binds to it what was linked against such
 * a library, whose presence it has checked then. A program that looks whether a name is there, by a
 * weak reference or by dlsym, does not find ours. What it gets by dlsym from the library itself is
 * the library's own, and is not seen.
 *
 * Of a library without versions (libsqlite3) the hook has ours, BURDOCK. It is our first one and
 * not the default, and for that the linker has a rule: what refers to a name without a version is
 * bound to it, dlsym does not find it. Only a weak reference does, although there is no such
 * library. And the linker would bind such a name to the first object that has it: of what was
 * opened with RTLD_GLOBAL we do not know that, where there are several copies.
 *
 * The original is the one of the library that the calling object was linked against: found by the
 * return address, once for each object, and kept. Host threads at any time; no lock of ours.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "hook.h"

enum { FOREIGN_CALLERS_MAX = 32, FOREIGN_FUNCTIONS_MAX = 24 };

/* | state   | who                          | may                                       |
 * | EMPTY   | who makes it TAKEN           | write the rest, then make it READY or DEAD |
 * | READY   | all                          | read                                      |
 * | DEAD    | nobody: its object was unloaded; it is never used again                  | */
struct foreign_caller {
    uint32_t state;
    uintptr_t start, end; /* of the calling object */
    void *functions[FOREIGN_FUNCTIONS_MAX];
};

struct foreign_library {
    const char *names; /* of functions, each ended by '\0'; who has the first is such a library */
    uint32_t count;    /* < FOREIGN_FUNCTIONS_MAX */
    const char *housekeeper;      /* NULL, or soname of who is as the library itself: see own */
    struct foreign_library *next; /* of those that were asked for */
    bool is_listed;
    struct foreign_caller *callers; /* FOREIGN_CALLERS_MAX */
};

/* The functions, in the order of the names, for the object that `address` lies in. What the library
 * lacks is hooks_missing. After them one more pointer: not NULL if that object is the library
 * itself. Into `scratch` if there is no room to keep them. */
void *const *foreign_functions(
    struct foreign_library *library, const void *address, void *scratch[FOREIGN_FUNCTIONS_MAX]);

/* Constructor. */
void foreign_start(void);
/* Objects were unloaded. */
void foreign_forget(void);

/* The table of a library is made from FUNCTIONS(X), X(result, name, parameters): a structure of
 * pointers by name, and the library itself. The first name is what it is known by. own: not NULL if
 * the caller is the library itself, or its housekeeper, whose calls are no program's business. */
#define FOREIGN_POINTER(result, name, parameters) result(*name) parameters;
#define FOREIGN_NAME(result, name, parameters) #name "\0"
#define FOREIGN_LIBRARY(type, FUNCTIONS, ...)                                                  \
    struct type {                                                                              \
        FUNCTIONS(FOREIGN_POINTER)                                                             \
        const void *own;                                                                       \
    };                                                                                         \
    _Static_assert(sizeof(struct type) <= FOREIGN_FUNCTIONS_MAX * sizeof(void *), "they fit"); \
    static struct foreign_caller type##_callers[FOREIGN_CALLERS_MAX];                          \
    static struct foreign_library type##_library = {.names = FUNCTIONS(FOREIGN_NAME),          \
        .callers = type##_callers,                                                             \
        .count = offsetof(struct type, own) / sizeof(void *),                                  \
        __VA_ARGS__}

/* In a hook: a variable of this name, of the library that the caller of the hook uses. */
#define FOREIGN(type)                                                 \
    void *scratch_of_##type[FOREIGN_FUNCTIONS_MAX];                   \
    const struct type *type = (const struct type *)foreign_functions( \
        &type##_library, __builtin_return_address(0), scratch_of_##type)

/* Does that copy have the function? */
#define FOREIGN_HAS(type, name) ((void *)(type)->name != (void *)hooks_missing)

/* HOOK_FOREIGN(int, SSL_read, (SSL *ssl, void *buffer, int size)) { ... }, and for each version
 * that programs were linked against: FOREIGN_VERSION(SSL_read, "OPENSSL_3.0.0"). */
#define HOOK_FOREIGN(result, name, parameters)                            \
    result hook_##name parameters __attribute__((visibility("default"))); \
    result hook_##name parameters

#define FOREIGN_VERSION(name, version) \
    __asm__(".symver hook_" #name ", " #name "@" version ", local")

/* For a library that gives its functions no versions. */
#define FOREIGN_UNVERSIONED(name) FOREIGN_VERSION(name, "BURDOCK")
