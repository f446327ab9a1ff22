/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The cap of the local store. Exporter thread or command-line tool; raw system calls, about 8 KB
 * of stack, no allocation.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Longest name of a store file with its terminator: 16 + 1 + 20 + 1 + 16 + 5 + 1. */
enum { STORE_NAME_BYTES_MAX = 60 };

/* Takes a file away; false: it cannot be. remove NULL: unlinks it. */
struct store_remover {
    bool (*remove)(void *context, int directory, const char *name);
    void *context;
};

/* Removes the oldest store files of the directory until the others have at most bytes_max
 * together. False: they still have more. Descriptor of the directory; other files are let be. */
bool store_prune(int directory, uint64_t bytes_max, const struct store_remover *remover);

/* One look at the directory: the sum, and the oldest files in order. */
enum { STORE_OLDEST_MAX = 32 };
struct store_survey {
    uint64_t total;
    unsigned count;
    struct store_file {
        char name[STORE_NAME_BYTES_MAX];
        uint64_t bytes;
    } oldest[STORE_OLDEST_MAX];
};

/* tag: only files whose names end so; NULL: all. after: listed is only what sorts behind it.
 * False: the directory cannot be read. */
bool store_look(int directory, const char *tag, const char *after, struct store_survey *survey);
