/* SPDX-License-Identifier: Apache-2.0 */
#include "library.h"

void (*const library_describe[LIBRARY_COUNT])(const struct facts *, struct describer *) = {
#define LIBRARY(id, describe) describe,
#include "libraries.def"
#undef LIBRARY
};
