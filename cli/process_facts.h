/* SPDX-License-Identifier: Apache-2.0 */
/* What /proc tells of a living process. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "config.h"

/* A whole file of /proc with a NUL behind it; NULL with errno. Free the result. */
char *process_read(int pid, const char *name, size_t *length);

/* The settings exactly as the library read them when the process began. False: its environment
 * cannot be read. */
bool process_settings(int pid, struct config *settings);

enum process_library {
    PROCESS_UNREADABLE, /* see errno */
    PROCESS_BARE,
    PROCESS_REPLACED, /* the library is there, of a file that is gone */
    PROCESS_LOADED
};

enum process_library process_library(int pid);
