/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Puts calls of our own into methods of a class (JVMS 4). What tells of places in the code is moved
 * along: branches, handlers, lines, local variables, frames of the verifier. Pure; any thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What is called: static, native, and of the class CLASSFILE_HELPER. */
enum native {
    NATIVE_GIVE,
    NATIVE_FORGET,
    NATIVE_ENTER,
    NATIVE_LEAVE,
    NATIVE_BEGIN,
    NATIVE_END,
    NATIVE_SAVE,
    NATIVE_SWITCH,
    NATIVE_SERVE,
    NATIVE_RENEW,
    NATIVE_SEEK,
    NATIVE_POLLS, /* Kafka's: kafka_natives.h */
    NATIVE_ASKS,
    NATIVE_HANDS,
    NATIVE_LISTS,
    NATIVE_BRINGS,
    NATIVE_WORK,
    NATIVE_WORKED,
    NATIVE_COUNT
};

#define CLASSFILE_HELPER "burdock/Carrier" /* no module's, so that no warning is printed */

extern const struct native_name {
    char name[7];
    bool takes_object;
} classfile_natives[NATIVE_COUNT];

enum place {
    AT_START,
    BEFORE_CALL, /* of `call`, wherever it is; takes what is on top of the stack */
    BEFORE_RETURN,
    AROUND /* at the start, with NATIVE_END at every way out */
};

enum load { LOAD_TOP = 0x59, LOAD_THIS = 0x2a, LOAD_FIRST = 0x2b }; /* dup, aload_0, aload_1 */

struct edit {
    char method[18]; /* all of this name */
    char call[19];
    uint8_t place, native;
    uint8_t load; /* where native takes an object */
    bool is_optional;
};

/* The class with all the edits, in out; 0: one of them that is not optional found no place, or it
 * is no class that we understand. */
size_t classfile_edit(const uint8_t *in, size_t length, const struct edit *edits, size_t count,
    uint8_t *out, size_t room);

/* The class that has the natives. */
size_t classfile_helper(uint8_t *out, size_t room);

/* A class grows by no more than this. */
enum { CLASSFILE_GROWTH_MAX = 4096 };
