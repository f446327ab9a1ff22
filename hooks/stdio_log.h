/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Functions of the C library's stdio that put text into streams (stdio.c) or format it first
 * (stdio_format.c). While no logs are asked for each is a jump to the original.
 */
#pragma once

#include <stdio.h>

#include "hook.h"
#include "logs_stdio.h"
#include "stream.h"

extern __typeof__(fwrite) *original_fwrite;

static inline bool stdio_is_log(const FILE *file)
{
    struct sight sight;
    return logs_may_have_stream(file) && !stream_look(file->_fileno, &sight) &&
           logs_has(file->_fileno);
}
