/* SPDX-License-Identifier: Apache-2.0 */
/* Between the class and its code: what an edit of a class has come to. */
#pragma once

#include "bytes.h"
#include "classfile.h"

struct pool {
    struct in constants; /* from the first one on */
    uint32_t count;      /* behind the class's own are those that we add */
    uint32_t this_class;
};

struct class_edit {
    struct in in;
    struct out out;
    struct pool pool;
    const struct edit *edits;
    size_t count;          /* 32 at most */
    uint32_t chosen, done; /* of the edits: for the method that is looked at; found their place */
};

/* The constant is this text. */
bool pool_names(const struct pool *pool, uint32_t index, const char *text);
/* The constant is a method of this name, of whatever class. */
bool pool_calls(const struct pool *pool, uint32_t index, const char *name);
/* Numbers of constants that we add. */
uint32_t pool_native(const struct pool *pool, enum native native);
uint32_t pool_throwable(const struct pool *pool);
uint32_t pool_frames(const struct pool *pool);

/* The chosen edits, in the attribute whose head is at `start`: its name and its length. */
void code_edit(struct class_edit *edit, const uint8_t *start, struct in in);
