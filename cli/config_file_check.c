/* SPDX-License-Identifier: Apache-2.0 */
/* Values that only who uses them can judge: the variables are read as the library would. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "assignments.h"
#include "cli.h"
#include "config_file.h"

bool config_file_overrides(const char *name)
{
    static const char fact[] = "OTEL_RESOURCE_ATTRIBUTES_";
    return strncmp(name, "OTEL_", 5) == 0 && strncmp(name, fact, sizeof(fact) - 1) != 0;
}

/* As it will be; of a name that is there twice the first counts. */
static char **environment_with(const struct assignments *assignments)
{
    size_t count = 0, used = 0;
    while (environ[count] != NULL)
        count++;
    char **all = allocate((assignments->count + count + 1) * sizeof *all);
    for (; used < assignments->count; used++)
        all[used] = format_text("%s=%s", assignments->all[used].name, assignments->all[used].value);
    for (size_t i = 0; i < count; i++)
        if (!config_file_overrides(environ[i]))
            all[used++] = duplicate(environ[i]);
    return all;
}

/* What has no effect is not wrong. */
static bool is_wrong(const struct config_problem *problem)
{
    return strncmp(problem->why, "without effect", 14) != 0;
}

static bool is_told(
    const char *file, const struct assignments *assignments, const struct config_problem *problem)
{
    for (size_t i = 0; i < assignments->count; i++) {
        const struct assignment *one = &assignments->all[i];
        if (one->line == 0 || strcmp(one->name, problem->variable) != 0)
            continue;
        char *where = format_text("%s:%zu", file, one->line);
        char *what = format_text("%s: %s", one->name, problem->why);
        complain(where, what, NULL);
        free(what);
        free(where);
        return true;
    }
    return false;
}

bool config_file_check(const char *file, const struct assignments *assignments)
{
    static struct config config;
    char *const arguments[] = {"burdock", NULL}, **all = environment_with(assignments);
    bool is_good = true;
    config_read(&config, all, arguments, "burdock");
    for (uint32_t i = 0; i < config.problem_count && i < CONFIG_PROBLEMS_MAX && is_good; i++)
        is_good =
            !is_wrong(&config.problems[i]) || !is_told(file, assignments, &config.problems[i]);
    for (size_t i = 0; all[i] != NULL; i++)
        free(all[i]);
    free(all);
    return is_good;
}
