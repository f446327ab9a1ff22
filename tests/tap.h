/* SPDX-License-Identifier: Apache-2.0 */
/* The Test Anything Protocol in thirty lines: CHECK(condition, "what must hold"), then tap_done(). */
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>

static int tap_count, tap_failures;

__attribute__((format(printf, 4, 5))) static inline bool tap_check(
    bool holds, const char *file, int line, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    printf("%s %d - ", holds ? "ok" : "not ok", ++tap_count);
    vprintf(format, arguments);
    va_end(arguments);
    if (!holds) {
        printf(" (%s:%d)", file, line);
        tap_failures++;
    }
    printf("\n");
    fflush(stdout);
    return holds;
}

#define CHECK(condition, ...) tap_check((condition), __FILE__, __LINE__, __VA_ARGS__)

static inline int tap_done(void)
{
    printf("1..%d\n", tap_count);
    return tap_failures != 0;
}
