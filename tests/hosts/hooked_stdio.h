/* SPDX-License-Identifier: Apache-2.0 */
/* Hooked functions of stdio, for hooked_calls.h: what they put goes to /dev/null. */
#pragma once

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>

#include "host.h"

int __printf_chk(int flag, const char *format, ...);
int __fprintf_chk(FILE *file, int flag, const char *format, ...);
int __vprintf_chk(int flag, const char *format, va_list arguments);
int __vfprintf_chk(FILE *file, int flag, const char *format, va_list arguments);
int __dprintf_chk(int fd, int flag, const char *format, ...);
int __vdprintf_chk(int fd, int flag, const char *format, va_list arguments);

static FILE *sink; /* /dev/null, without a buffer */
static const char *volatile nothing = "", *volatile line = "a line\n";

static void open_sink(void)
{
    sink = fopen("/dev/null", "we");
    EXPECT(sink != NULL && setvbuf(sink, NULL, _IONBF, 0) == 0);
}

static long do_fwrite(void)
{
    return (long)fwrite(line, 1, 7, sink);
}

static long do_fwrite_unlocked(void)
{
    return (long)fwrite_unlocked(line, 7, 1, sink);
}

static long do_fputs(void)
{
    return fputs(line, sink);
}

static long do_fputs_unlocked(void)
{
    return fputs_unlocked(line, sink);
}

static long do_fputc(void)
{
    return fputc('\n', sink);
}

static long do_putc(void)
{
    return putc(0xff, sink);
}

static long do_overflow(void)
{
    return __overflow(sink, 'o');
}

static long do_fprintf(void)
{
    return fprintf(sink, "%s", line);
}

static long do_fprintf_chk(void)
{
    return __fprintf_chk(sink, 1, "%s", line);
}

/* A stream that dprintf has on its stack stays in the C library's list when it is cancelled. */
static long uncancelled(long (*call)(void))
{
    int before;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before);
    long result = call();
    pthread_setcancelstate(before, &before);
    return result;
}

static long by_dprintf(void)
{
    return dprintf(fileno(sink), "%s", line);
}

static long do_dprintf(void)
{
    return uncancelled(by_dprintf);
}

static long by_dprintf_chk(void)
{
    return __dprintf_chk(fileno(sink), 1, "%s", line);
}

static long do_dprintf_chk(void)
{
    return uncancelled(by_dprintf_chk);
}

/* Standard output is where the results are told. */
static long do_printf(void)
{
    return printf("%s", nothing);
}

static long do_printf_chk(void)
{
    return __printf_chk(1, "%s", nothing);
}

static long print(int (*how)(const char *format, va_list arguments), const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int result = how(format, arguments);
    va_end(arguments);
    return result;
}

static int by_vprintf(const char *format, va_list arguments)
{
    return vprintf(format, arguments);
}

static int by_vprintf_chk(const char *format, va_list arguments)
{
    return __vprintf_chk(1, format, arguments);
}

static int by_vfprintf(const char *format, va_list arguments)
{
    return vfprintf(sink, format, arguments);
}

static int by_vfprintf_chk(const char *format, va_list arguments)
{
    return __vfprintf_chk(sink, 1, format, arguments);
}

static int by_vdprintf(const char *format, va_list arguments)
{
    return vdprintf(fileno(sink), format, arguments);
}

static int by_vdprintf_chk(const char *format, va_list arguments)
{
    return __vdprintf_chk(fileno(sink), 1, format, arguments);
}

static long do_vprintf(void)
{
    return print(by_vprintf, "%s", nothing);
}

static long do_vprintf_chk(void)
{
    return print(by_vprintf_chk, "%s", nothing);
}

static long do_vfprintf(void)
{
    return print(by_vfprintf, "%s", line);
}

static long do_vfprintf_chk(void)
{
    return print(by_vfprintf_chk, "%s", line);
}

static long print_by_vdprintf(void)
{
    return print(by_vdprintf, "%s", line);
}

static long do_vdprintf(void)
{
    return uncancelled(print_by_vdprintf);
}

static long print_by_vdprintf_chk(void)
{
    return print(by_vdprintf_chk, "%s", line);
}

static long do_vdprintf_chk(void)
{
    return uncancelled(print_by_vdprintf_chk);
}
