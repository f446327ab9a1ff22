/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The environment of a program that is about to be started. It is the host's business and passed on
 * as it is, unless BURDOCK_FOLLOW asks otherwise: then an environment without LD_PRELOAD gets the
 * one that this process was started with, so that tracing survives `env -i`, CGI and the like.
 * Any thread, a vfork child included: writes nothing but the caller's array.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* Does LD_PRELOAD name us? Else we were loaded some other way. */
bool environment_names_us(char *const *envp);

/* Constructor: remembers LD_PRELOAD. */
void environment_start(char *const *envp);

/* Room that environment_follow needs, in pointers; 0: pass envp as it is. */
size_t environment_room(char *const *envp);

/* envp and the remembered LD_PRELOAD, in out, which is then the environment to pass. */
char *const *environment_follow(char *const *envp, char **out);

/* Makes `envp` the environment to pass, for the rest of the block. */
#define FOLLOW(envp)                             \
    size_t follow_room = environment_room(envp); \
    char *followed[follow_room + 1];             \
    if (follow_room > 0)                         \
    envp = environment_follow(envp, followed)
