/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Libraries whose work is told by the calls that are made to them, since no wire shows it: who
 * tells such a call as a span. A row in libraries.def.
 */
#pragma once

#include "protocol.h"

enum library {
#define LIBRARY(id, describe) LIBRARY_##id,
#include "libraries.def"
#undef LIBRARY
    LIBRARY_COUNT
};

#define LIBRARY(id, describe) void describe(const struct facts *, struct describer *);
#include "libraries.def"
#undef LIBRARY

extern void (*const library_describe[LIBRARY_COUNT])(const struct facts *, struct describer *);
