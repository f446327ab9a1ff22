/* SPDX-License-Identifier: Apache-2.0 */
/* Where libburdock.so is, and how it gets into LD_PRELOAD. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum library_problem {
    LIBRARY_FOUND,
    LIBRARY_MISSING,
    LIBRARY_UNUSABLE_PATH /* has a separator of LD_PRELOAD in it */
};

/* The first of these paths, relative to this executable, that may be used in this way (access(2)),
 * in its absolute form; NULL: none. Free the result. */
char *beside_find(const char *const *paths, size_t count, int mode);

/* BURDOCK_LIBRARY, else the places relative to this executable. *path (free it) is absolute; with
 * LIBRARY_MISSING it is where it was expected first. */
enum library_problem library_find(char **path);

/* Of libburdock-heap.so, which is installed beside the library. Free the result. */
char *library_heap(const char *path);

/* One line on stderr. */
void library_complain(enum library_problem problem, const char *path);

/* The value of LD_PRELOAD with path in front and every other entry of existing (may be NULL) kept
 * in its order; path itself is in it once. Free the result. */
char *library_preload(const char *path, const char *existing);
