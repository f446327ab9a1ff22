/* SPDX-License-Identifier: Apache-2.0 */
/* Identifiers of traces as people write them: digits, of which the first ones may do. */
#pragma once

#include <ctype.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { TRACE_ID_DIGITS = 32 };

static inline void trace_id_text(const uint8_t trace_id[16], char out[TRACE_ID_DIGITS + 1])
{
    for (int i = 0; i < 16; i++)
        sprintf(out + i * 2, "%02x", trace_id[i]);
}

/* Every id begins with "". */
static inline bool trace_id_begins(const uint8_t trace_id[16], const char *prefix)
{
    char id[TRACE_ID_DIGITS + 1];
    trace_id_text(trace_id, id);
    return strncasecmp(id, prefix, strlen(prefix)) == 0;
}

static inline bool trace_prefix_valid(const char *prefix)
{
    size_t length = strlen(prefix);
    for (size_t i = 0; i < length; i++) {
        if (!isxdigit((unsigned char)prefix[i]))
            return false;
    }
    return length > 0 && length <= TRACE_ID_DIGITS;
}
