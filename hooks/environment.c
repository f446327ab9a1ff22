/* SPDX-License-Identifier: Apache-2.0 */
#include "environment.h"

#include <stdbool.h>
#include <string.h>

#include "attribution.h"
#include "config.h"
#include "propagation.h"

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

static bool names(const char *variable, const char *name)
{
    size_t length = strlen(name);
    return strncmp(variable, name, length) == 0 && variable[length] == '=';
}

/* What the program has put there itself stays, and so does what we were started with where there is
 * nothing better. */
static bool is_traceparent_to_keep(const char *variable)
{
    return names(variable, "TRACEPARENT") &&
           (strcmp(variable + 12, config.traceparent) != 0 ||
               attribution_at_work() == attribution_process_context);
}

static void put_traceparent(char *out)
{
    static const char name[] = "TRACEPARENT=";
    const struct context *context = attribution_at_work();
    out[0] = '\0';
    if (context == NULL || !(config.propagators & PROPAGATOR_TRACECONTEXT) ||
        !trace_id_is_set(context->ids.trace_id))
        return;
    memcpy(out, name, sizeof(name) - 1);
    traceparent_format(out + sizeof(name) - 1, &context->ids);
    out[sizeof(name) - 1 + TRACEPARENT_LENGTH] = '\0';
}

size_t environment_room(char *const *envp, struct following *following)
{
    if (!config.follow)
        return 0;
    put_traceparent(following->traceparent);
    following->preloads = preload[0] != '\0';
    following->count = 0;
    for (; envp != NULL && envp[following->count] != NULL; following->count++) {
        const char *variable = envp[following->count];
        if (is_preload(variable))
            following->preloads = false;
        if (is_traceparent_to_keep(variable))
            following->traceparent[0] = '\0';
    }
    bool is_changed = following->preloads || following->traceparent[0] != '\0';
    return is_changed ? following->count + 3 : 0;
}

/* The state of our own parent's trace says nothing in another one. */
char *const *environment_follow(char *const *envp, struct following *following, char **out)
{
    bool replaces = following->traceparent[0] != '\0';
    size_t kept = 0;
    for (size_t i = 0; i < following->count; i++)
        if (!replaces || (!names(envp[i], "TRACEPARENT") && !names(envp[i], "TRACESTATE")))
            out[kept++] = envp[i];
    if (replaces)
        out[kept++] = following->traceparent;
    if (following->preloads)
        out[kept++] = preload;
    out[kept] = NULL;
    return out;
}
