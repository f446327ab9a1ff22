/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The environment of a program that is about to be started. It is the host's business and passed on
 * as it is, unless BURDOCK_FOLLOW asks otherwise: then an environment without LD_PRELOAD gets the
 * one that this process was started with, so that tracing survives `env -i`, CGI and the like; and
 * what a request starts gets a TRACEPARENT that names it, with TRACESTATE and BAGGAGE, unless the
 * program has made one itself (OpenTelemetry, Environment Variables as Context Propagation
 * Carriers). Any thread, a vfork child included: writes nothing but the caller's arrays.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "text.h"

/* Does LD_PRELOAD name us? Else we were loaded some other way. */
bool environment_names_us(char *const *envp);

/* Constructor: remembers LD_PRELOAD. */
void environment_start(char *const *envp);

enum {
    ENVIRONMENT_TRACEPARENT_BYTES = 80,
    ENVIRONMENT_TEXT_BYTES_MAX = 1023 /* of each of the others; what is longer is left out */
};

/* What is added to the environment of one program. */
struct following {
    size_t count; /* of the variables that it has */
    bool preloads;
    char traceparent[ENVIRONMENT_TRACEPARENT_BYTES]; /* "TRACEPARENT=..."; "": none */
    struct slice tracestate, baggage;                /* the context's; empty: none */
};

/* Pointers and bytes that environment_follow needs; no pointers: pass envp as it is. */
struct environment_room {
    size_t pointers, bytes;
};
struct environment_room environment_room(char *const *envp, struct following *following);

/* envp and what is added, in out, which is then the environment to pass. */
char *const *environment_follow(
    char *const *envp, struct following *following, char **out, char *texts);

/* Makes `envp` the environment to pass, for the rest of the block. */
#define FOLLOW(envp)                                                               \
    struct following following;                                                    \
    struct environment_room follow_room = environment_room(envp, &following);      \
    char *followed[follow_room.pointers + 1], follow_texts[follow_room.bytes + 1]; \
    if (follow_room.pointers > 0)                                                  \
    envp = environment_follow(envp, &following, followed, follow_texts)
