/* SPDX-License-Identifier: Apache-2.0 */
/* Variables of the environment as they are to be. Names are static; values are copied. */
#pragma once

#include <stddef.h>

enum { ASSIGNMENTS_MAX = 96 }; /* there are not that many names */

struct assignments {
    struct assignment {
        const char *name;
        char *value;
        size_t line;
    } all[ASSIGNMENTS_MAX];
    size_t count;
    size_t line; /* of the file that is read, for names that are new; 0: of no file */
};

/* Its value; NULL: it has none. */
const char *assignments_find(const struct assignments *, const char *name);
void assignments_replace(struct assignments *, const char *name, const char *value);
/* Adds an item to a list with commas, behind or before those that are there. */
void assignments_add(struct assignments *, const char *name, const char *prefix, const char *value);
void assignments_put_before(struct assignments *, const char *name, const char *value);
/* Into our own environment. */
void assignments_apply(const struct assignments *);
