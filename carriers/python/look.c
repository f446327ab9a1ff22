/* SPDX-License-Identifier: Apache-2.0 */
/* Recognises CPython. PyPy has other names; builds with reference tracing or without the
 * interpreter's lock have other layouts. */
#include <stddef.h>
#include <string.h>

#include "hook.h"
#include "python.h"

struct python py;

static const char names[] =
#define PYTHON(result, name, parameters) #name "\0"
#include "api.def"
#undef PYTHON
    ;

enum { FUNCTIONS = sizeof(py) / sizeof(void *), MINOR_MIN = 8, MINOR_MAX = 13 };

static bool is_known_version(void)
{
    const char *version = py.Py_GetVersion();
    if (strncmp(version, "3.", 2) != 0)
        return false;
    unsigned minor = 0;
    for (version += 2; *version >= '0' && *version <= '9' && minor < 100; version++)
        minor = minor * 10 + (unsigned)(*version - '0');
    bool is_free_threaded = strstr(version, "free-threading") != NULL;
    return *version == '.' && minor >= MINOR_MIN && minor <= MINOR_MAX && !is_free_threaded;
}

bool python_look(void)
{
    if (!hooks_find(names, &py))
        return false;
    for (size_t i = 0; i < FUNCTIONS; i++)
        if (((void **)&py)[i] == NULL)
            return false;
    return is_known_version();
}
