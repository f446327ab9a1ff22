/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The way into Node. Before main, NODE_OPTIONS is made to require burdock-node.cjs, the first of
 * all; it puts the variable back before any code of the program's runs. It asks for the addon by a
 * name that is no file: process.dlopen calls dlopen, where ours offers the addon and opens the
 * program itself instead. So nothing is exported that another addon could be bound to.
 *
 * Node ends with an error if it cannot read what it is to require. So there is nothing to require
 * where the file cannot be read now, and where the command line speaks of something that could
 * forbid it.
 */
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "addon.h"
#include "hook.h"
#include "memory.h"
#include "sys.h"

static const char variable[] = "NODE_OPTIONS=";
static const char require[] = "--require ";
static const char script[] = "burdock-node.cjs";
static const char addon[] = "burdock:node"; /* as burdock-node.cjs asks for it */

enum { PATH_BYTES_MAX = 4096 };

static char options[2 * PATH_BYTES_MAX]; /* the variable as Node is to find it */

/* The program's file is Node's, and not what else has Node inside: such programs take other options
 * or none. */
static bool is_node(void)
{
    char path[PATH_BYTES_MAX];
    long length = sys(SYS_readlinkat, AT_FDCWD, "/proc/self/exe", path, sizeof(path) - 1);
    if (length <= 0)
        return false;
    path[length] = '\0';
    const char *slash = strrchr(path, '/');
    const char *name = slash == NULL ? path : slash + 1;
    return strcmp(name, "node") == 0 || strcmp(name, "nodejs") == 0;
}

/* Node takes - and _ for each other in the names of its options. */
static bool contains(const char *text, const char *word)
{
    size_t length = strlen(word);
    for (; *text != '\0'; text++) {
        size_t i = 0;
        while (i < length && (text[i] == word[i] || (text[i] == '_' && word[i] == '-')))
            i++;
        if (i == length)
            return true;
    }
    return false;
}

/* Options under which a script that is required, or an addon, ends the program, is written into its
 * image, is in what it reports, or hides options that come from a file. The program's own arguments
 * are not told apart. */
static bool forbids(const char *text)
{
    static const char *const words[] = {
        "-permission", "-policy", "-snapshot", "-addons", "-env-file", "-config-file", "-coverage"};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (contains(text, words[i]))
            return true;
    return false;
}

static bool is_forbidden(char *const *argv, const char *given)
{
    for (; *argv != NULL; argv++)
        if (**argv == '-' && forbids(*argv))
            return true;
    return given != NULL && forbids(given);
}

static bool append(const char *text, size_t length)
{
    size_t used = strlen(options);
    if (used + length >= sizeof(options))
        return false;
    memcpy(options + used, text, length);
    return true;
}

/* "NODE_OPTIONS=--require PATH", and behind a space what it was, if it was set at all. */
static bool compose(const char *given)
{
    const char *library = hooks_path();
    const char *slash = library == NULL ? NULL : strrchr(library, '/');
    if (slash == NULL || *library != '/' || library[strcspn(library, " \"\\")] != '\0')
        return false;
    if (!append(variable, sizeof(variable) - 1) || !append(require, sizeof(require) - 1))
        return false;
    size_t start = strlen(options);
    if (!append(library, (size_t)(slash + 1 - library)) || !append(script, sizeof(script) - 1) ||
        sys(SYS_faccessat, AT_FDCWD, options + start, R_OK) != 0)
        return false;
    return given == NULL || (append(" ", 1) && append(given, strlen(given)));
}

/* In the place of what was there, so that the order stays. */
static bool set(char **place)
{
    if (place != NULL) {
        *place = options;
        return true;
    }
    size_t count = 0;
    while (environ[count] != NULL)
        count++;
    char **wider = memory_map((count + 2) * sizeof(*wider));
    if (wider == NULL)
        return false;
    memcpy(wider, environ, count * sizeof(*wider));
    wider[count] = options;
    environ = wider;
    return true;
}

static char **find(const char *name)
{
    for (char **entry = environ; entry != NULL && *entry != NULL; entry++)
        if (strncmp(*entry, name, strlen(name)) == 0)
            return entry;
    return NULL;
}

static bool is_ours(const char *file)
{
    if (file == NULL || strcmp(file, addon) != 0)
        return false;
    addon_offer();
    return true;
}

void node_start(char *const *argv)
{
    if (environ == NULL || !hooks_node_is_here || !addon_find() || !is_node())
        return;
    if (find("NODE_V8_COVERAGE=") != NULL)
        return;
    char **place = find(variable);
    const char *given = place == NULL ? NULL : *place + sizeof(variable) - 1;
    if (!is_forbidden(argv, given) && compose(given) && set(place))
        hooks_dlopen = is_ours;
}
