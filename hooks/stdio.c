/* SPDX-License-Identifier: Apache-2.0 */
/* Text for streams of the C library. C++'s come here too, while they keep in step with it. */

#pragma GCC optimize("Os") /* nobody comes here who asks for no logs */

#include <string.h>

#include "stdio_log.h"

static bool put(FILE *file, logs_fwrite *fwrite, const struct logs_text *text, size_t *went)
{
    return stdio_is_log(file) && logs_put(file, fwrite, fwrite == original_fwrite, text, went);
}

__attribute__((noinline)) static size_t put_items(
    const void *data, size_t size, size_t count, FILE *file, logs_fwrite *original)
{
    struct logs_text text = {data, 0, false};
    size_t went;
    if (__builtin_mul_overflow(size, count, &text.length) || !put(file, original, &text, &went))
        return original(data, size, count, file);
    return went == text.length ? count : went / size;
}

HOOK_STREAM(size_t, fwrite, (const void *data, size_t size, size_t count, FILE *file),
    (data, size, count, file), logs_stdio_is_off())
{
    return put_items(data, size, count, file, ORIGINAL(fwrite));
}

HOOK_STREAM(size_t, fwrite_unlocked, (const void *data, size_t size, size_t count, FILE *file),
    (data, size, count, file), logs_stdio_is_off())
{
    return put_items(data, size, count, file, ORIGINAL(fwrite_unlocked));
}

__attribute__((noinline)) static int put_string(
    const char *string, FILE *file, logs_fwrite *fwrite, int (*original)(const char *, FILE *))
{
    struct logs_text text = {string, strlen(string), false};
    size_t went;
    if (!put(file, fwrite, &text, &went))
        return original(string, file);
    return went == text.length ? 1 : EOF;
}

HOOK_STREAM(int, fputs, (const char *string, FILE *file), (string, file), logs_stdio_is_off())
{
    return put_string(string, file, ORIGINAL(fwrite), ORIGINAL(fputs));
}

HOOK_STREAM(
    int, fputs_unlocked, (const char *string, FILE *file), (string, file), logs_stdio_is_off())
{
    return put_string(string, file, ORIGINAL(fwrite_unlocked), ORIGINAL(fputs_unlocked));
}

HOOK_STREAM(int, puts, (const char *string), (string), logs_stdio_is_off())
{
    struct logs_text text = {string, strlen(string), true};
    size_t went;
    if (!put(stdout, ORIGINAL(fwrite), &text, &went))
        return ORIGINAL(puts)(string);
    return went == text.length + 1 ? (int)went : EOF; /* what is put has 8 KB at most */
}

/* --- bytes ------------------------------------------------------------------------------------ */

__attribute__((noinline)) static int put_byte(
    int byte, FILE *file, logs_fwrite *fwrite, int (*original)(int, FILE *))
{
    char it = (char)byte;
    size_t went;
    if (!put(file, fwrite, &(struct logs_text){&it, 1, false}, &went))
        return original(byte, file);
    return went == 1 ? (unsigned char)it : EOF;
}

HOOK_STREAM(int, fputc, (int byte, FILE *file), (byte, file), logs_stdio_is_off())
{
    return put_byte(byte, file, ORIGINAL(fwrite), ORIGINAL(fputc));
}

HOOK_STREAM(int, putc, (int byte, FILE *file), (byte, file), logs_stdio_is_off())
{
    return put_byte(byte, file, ORIGINAL(fwrite), ORIGINAL(putc));
}

HOOK_STREAM(int, putchar, (int byte), (byte), logs_stdio_is_off())
{
    return put_byte(byte, stdout, ORIGINAL(fwrite), ORIGINAL(fputc));
}

static int overflow(int byte, FILE *file);

/* Of putc_unlocked and the like, which headers have, when there is no room in the buffer. */
HOOK_STREAM(int, __overflow, (FILE * file, int byte), (file, byte), logs_stdio_is_off())
{
    return byte == EOF ? overflow(byte, file)
                       : put_byte(byte, file, ORIGINAL(fwrite_unlocked), overflow);
}

static int overflow(int byte, FILE *file)
{
    return ORIGINAL(__overflow)(file, byte);
}
