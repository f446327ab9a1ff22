/* SPDX-License-Identifier: Apache-2.0 */
#include "assignments.h"

#include <stdlib.h>
#include <string.h>

#include "cli.h"

const char *assignments_find(const struct assignments *assignments, const char *name)
{
    for (size_t i = 0; i < assignments->count; i++)
        if (strcmp(assignments->all[i].name, name) == 0)
            return assignments->all[i].value;
    return NULL;
}

void assignments_replace(struct assignments *assignments, const char *name, const char *value)
{
    char *copy = duplicate(value);
    size_t i = 0;
    while (i < assignments->count && strcmp(assignments->all[i].name, name) != 0)
        i++;
    if (i == ASSIGNMENTS_MAX)
        abort();
    if (i == assignments->count)
        assignments->all[assignments->count++] = (struct assignment){name, NULL, assignments->line};
    free(assignments->all[i].value);
    assignments->all[i].value = copy;
}

void assignments_add(
    struct assignments *assignments, const char *name, const char *prefix, const char *value)
{
    const char *before = assignments_find(assignments, name);
    char *list = before == NULL ? format_text("%s%s", prefix, value)
                                : format_text("%s,%s%s", before, prefix, value);
    assignments_replace(assignments, name, list);
    free(list);
}

void assignments_put_before(struct assignments *assignments, const char *name, const char *value)
{
    const char *behind = assignments_find(assignments, name);
    char *list = behind == NULL ? duplicate(value) : format_text("%s,%s", value, behind);
    assignments_replace(assignments, name, list);
    free(list);
}

void assignments_apply(const struct assignments *assignments)
{
    for (size_t i = 0; i < assignments->count; i++)
        setenv(assignments->all[i].name, assignments->all[i].value, 1);
}
