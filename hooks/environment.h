/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The environment of a program that is about to be started. It is the host's business and passed on
 * as it is, unless BURDOCK_FOLLOW asks otherwise: then an environment without LD_PRELOAD gets the
 * one that this process was started with, so that tracing survives `env -i`, CGI and the like; and
 * what a request starts gets a TRACEPARENT that names it, unless the program has made one itself.
 * Any thread, a vfork child included: writes nothing but the caller's array.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* Does LD_PRELOAD name us? Else we were loaded some other way. */
bool environment_names_us(char *const *envp);

/* Constructor: remembers LD_PRELOAD. */
void environment_start(char *const *envp);

enum { ENVIRONMENT_TRACEPARENT_BYTES = 80 };

/* What is added to the environment of one program. */
struct following {
    size_t count; /* of the variables that it has */
    bool preloads;
    char traceparent[ENVIRONMENT_TRACEPARENT_BYTES]; /* "TRACEPARENT=..."; "": none */
};

/* Room that environment_follow needs, in pointers; 0: pass envp as it is. */
size_t environment_room(char *const *envp, struct following *following);

/* envp and what is added, in out, which is then the environment to pass. */
char *const *environment_follow(char *const *envp, struct following *following, char **out);

/* Makes `envp` the environment to pass, for the rest of the block. */
#define FOLLOW(envp)                                         \
    struct following following;                              \
    size_t follow_room = environment_room(envp, &following); \
    char *followed[follow_room + 1];                         \
    if (follow_room > 0)                                     \
    envp = environment_follow(envp, &following, followed)
