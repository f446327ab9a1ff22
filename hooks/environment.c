/* SPDX-License-Identifier: Apache-2.0 */
#include "environment.h"

#include <stdbool.h>
#include <string.h>

#include "config.h"

enum { PRELOAD_BYTES_MAX = 4096 };

static char preload[PRELOAD_BYTES_MAX]; /* "LD_PRELOAD=..."; "": loaded otherwise, or too long */

static bool is_preload(const char *variable)
{
    return strncmp(variable, "LD_PRELOAD=", 11) == 0;
}

bool environment_names_us(char *const *envp)
{
    for (; *envp != NULL; envp++)
        if (is_preload(*envp) && strstr(*envp, "libburdock.so") != NULL)
            return true;
    return false;
}

void environment_start(char *const *envp)
{
    for (; config.follow && *envp != NULL; envp++)
        if (is_preload(*envp) && strlen(*envp) < sizeof(preload))
            memcpy(preload, *envp, strlen(*envp) + 1);
}

size_t environment_room(char *const *envp)
{
    size_t count = 0;
    if (preload[0] == '\0')
        return 0;
    for (; envp != NULL && envp[count] != NULL; count++)
        if (is_preload(envp[count]))
            return 0;
    return count + 2;
}

char *const *environment_follow(char *const *envp, char **out)
{
    size_t count = 0;
    for (; envp != NULL && envp[count] != NULL; count++)
        out[count] = envp[count];
    out[count] = preload;
    out[count + 1] = NULL;
    return out;
}
