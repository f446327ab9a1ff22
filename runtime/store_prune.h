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

/* Removes the oldest store files of the directory until the others have at most bytes_max
 * together. False: they still have more. Descriptor of the directory; other files are let be. */
bool store_prune(int directory, uint64_t bytes_max);
