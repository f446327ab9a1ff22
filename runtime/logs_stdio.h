/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lines that the host puts into streams of the C library (stdio) get the identity of the request
 * that the thread is at work on, as those that it writes itself do (logs.h). Host threads, outside
 * any observe block.
 *
 * What is edited is what is put, before the C library has it: buffers, their modes, their order and
 * the calls to the kernel stay stdio's own, and a line belongs to who put it, whenever it is
 * flushed. One call of the host's becomes one call of fwrite, so that lines of several threads stay
 * as whole as they were. The stream's lock is ours only while it is looked at: in fwrite the thread
 * may be cancelled, and only the C library gives it back then.
 *
 * A line that is put in pieces is kept here until it ends (a small table by stream): the last piece
 * gets ours, if all of them came from one thread in one request. What a program puts into a buffer
 * past all functions (putc_unlocked of a header) is seen by the buffer's end, and such a line gets
 * nothing.
 */
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "logs.h"
#include "ours.h"

/* Before the constructor; no logs are asked for, which is when hooks jump; some are. */
enum { LOGS_STDIO_UNKNOWN, LOGS_STDIO_OFF, LOGS_STDIO_ON };
OURS uint8_t logs_stdio;

__attribute__((always_inline)) static inline bool logs_stdio_is_off(void)
{
    return __builtin_expect(logs_stdio == LOGS_STDIO_OFF, 1);
}

/* A stream of bytes to a descriptor of the kernel's. The fields are glibc's ABI; what fopencookie
 * and open_memstream make has no descriptor. */
static inline bool logs_may_have_stream(const FILE *file)
{
    enum { NO_WRITES = 0x0008, IS_FILEBUF = 0x2000 };
    return file != NULL && (file->_flags & (NO_WRITES | IS_FILEBUF)) == IS_FILEBUF &&
           file->_mode <= 0 && file->_fileno >= 0;
}

/* What the host puts. */
struct logs_text {
    const char *data;
    size_t length;
    bool has_end; /* and the end of a line behind it (puts) */
};

/* fwrite or fwrite_unlocked */
typedef size_t logs_fwrite(const void *data, size_t size, size_t count, FILE *file);

/* Puts it by `fwrite`, which locks the stream or does not, with ours if it is to get something.
 * True: done; *went is how many of the host's bytes went, and errno is what the C library left.
 * False: nothing was done, the host's own call is to be made. */
bool logs_put(
    FILE *file, logs_fwrite *fwrite, bool locks, const struct logs_text *text, size_t *went);

/* The same for what is to be formatted. *result is what printf would have returned. */
bool logs_print(
    FILE *file, logs_fwrite *fwrite, const char *format, va_list arguments, int *result);

/* Can it be formatted twice, or by somebody else? Not %n, and not positions. */
bool logs_is_simple(const char *format);

/* Before a stream is closed or gets another file. */
void logs_closing(FILE *file);
