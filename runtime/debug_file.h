/* SPDX-License-Identifier: Apache-2.0 */
/* Where an object's debug information may be. Exporter thread only. */
#pragma once

#include "elf_file.h"

enum { DEBUG_FILES_MAX = 5, DEBUG_PATH_MAX = 512 };

/* The path of its n-th place, the first of which is the object itself. False: there is none such.
 */
bool debug_file_path(
    const struct elf_file *object, const char *path, unsigned n, char out[DEBUG_PATH_MAX]);
