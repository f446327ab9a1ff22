/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The printf family: what goes to a log is formatted by us, as the C library would, and put as a
 * whole. What could come out otherwise (%n, positions) or is long goes to the original untouched.
 */

#pragma GCC optimize("Os") /* nobody comes here who asks for no logs */

#include <errno.h>
#include <stdarg.h>

#include "originals.h"
#include "stdio_log.h"

/* Fortified forms, which headers declare only to who is compiled so. */
extern int __printf_chk(int flag, const char *format, ...);
extern int __fprintf_chk(FILE *file, int flag, const char *format, ...);
extern int __vprintf_chk(int flag, const char *format, va_list arguments);
extern int __vfprintf_chk(FILE *file, int flag, const char *format, va_list arguments);
extern int __dprintf_chk(int fd, int flag, const char *format, ...);
extern int __vdprintf_chk(int fd, int flag, const char *format, va_list arguments);

/* A function of variable arguments cannot jump to its original in C. */
#if defined(__x86_64__)
#define JUMP(name)                \
    "endbr64\n"                   \
    "cmpb $1, logs_stdio(%rip)\n" \
    "jne observed_" #name "\n"    \
    "jmp *original_" #name "(%rip)\n"
#elif defined(__aarch64__)
#define JUMP(name)                               \
    "adrp x16, logs_stdio\n"                     \
    "ldrb w16, [x16, :lo12:logs_stdio]\n"        \
    "cmp w16, #1\n"                              \
    "b.ne observed_" #name "\n"                  \
    "adrp x16, original_" #name "\n"             \
    "ldr x16, [x16, :lo12:original_" #name "]\n" \
    "br x16\n"
#endif
_Static_assert(LOGS_STDIO_OFF == 1, "as the jumps have it");

#define HOOK_VARIADIC(name, parameters)                                                         \
    HOOK_ORIGINAL(name);                                                                        \
    HOOK_ROW(name, "hooks_missing - .");                                                        \
    int observed_##name parameters;                                                             \
    _Static_assert(__builtin_types_compatible_p(__typeof__(name), __typeof__(observed_##name)), \
        #name " is declared otherwise");                                                        \
    __asm__(".pushsection .text." #name ", \"ax\", %progbits\n"                                 \
            ".globl " #name "\n"                                                                \
            ".type " #name ", %function\n" #name ":\n"                                          \
            ".cfi_startproc\n" JUMP(name) ".cfi_endproc\n"                                      \
                                          ".size " #name ", . - " #name "\n"                    \
                                          ".popsection\n");                                     \
    int observed_##name parameters

enum { UNFORTIFIED = -1 }; /* for the flag */

__attribute__((format(printf, 3, 0))) static int print(
    FILE *file, int flag, const char *format, va_list arguments);

HOOK_STREAM(int, vfprintf, (FILE * file, const char *format, va_list arguments),
    (file, format, arguments), logs_stdio_is_off())
{
    return print(file, UNFORTIFIED, format, arguments);
}

HOOK_STREAM(int, __vfprintf_chk, (FILE * file, int flag, const char *format, va_list arguments),
    (file, flag, format, arguments), logs_stdio_is_off())
{
    return print(file, flag, format, arguments);
}

HOOK_STREAM(
    int, vprintf, (const char *format, va_list arguments), (format, arguments), logs_stdio_is_off())
{
    return print(stdout, UNFORTIFIED, format, arguments);
}

HOOK_STREAM(int, __vprintf_chk, (int flag, const char *format, va_list arguments),
    (flag, format, arguments), logs_stdio_is_off())
{
    return print(stdout, flag, format, arguments);
}

#define PASS_ON(call)            \
    va_list arguments;           \
    va_start(arguments, format); \
    int result = call;           \
    va_end(arguments);           \
    return result

HOOK_VARIADIC(printf, (const char *format, ...))
{
    PASS_ON(print(stdout, UNFORTIFIED, format, arguments));
}

HOOK_VARIADIC(__printf_chk, (int flag, const char *format, ...))
{
    PASS_ON(print(stdout, flag, format, arguments));
}

HOOK_VARIADIC(fprintf, (FILE * file, const char *format, ...))
{
    PASS_ON(print(file, UNFORTIFIED, format, arguments));
}

HOOK_VARIADIC(__fprintf_chk, (FILE * file, int flag, const char *format, ...))
{
    PASS_ON(print(file, flag, format, arguments));
}

static int print(FILE *file, int flag, const char *format, va_list arguments)
{
    int result;
    if (stdio_is_log(file) && logs_print(file, ORIGINAL(fwrite), format, arguments, &result))
        return result;
    return flag == UNFORTIFIED ? ORIGINAL(vfprintf)(file, format, arguments)
                               : ORIGINAL(__vfprintf_chk)(file, flag, format, arguments);
}

/* --- without a stream of the host's ----------------------------------------------------------- */

/* All of it, as the C library's stream for this one call would. */
static bool write_all(int fd, const char *text, size_t length)
{
    struct iovec iov = {(void *)text, length};
    ssize_t went = 1;
    if (!logs_write(fd, &iov, 1, &went)) {
        went = originals.write(fd, text, length);
        logs_written(fd, &iov, 1, went);
    }
    return went == (ssize_t)length ||
           (went > 0 && write_all(fd, text + went, length - (size_t)went));
}

/* False: it is to go as it is. */
__attribute__((noinline, format(printf, 2, 0))) static bool has_written(
    int fd, const char *format, va_list arguments, int *result)
{
    char text[LOGS_MESSAGE_MAX];
    struct sight sight;
    int saved_errno = errno; /* of %m, for the original too */
    va_list copy;
    if (format == NULL || stream_look(fd, &sight) || !logs_has(fd) || !logs_is_simple(format))
        return false;
    va_copy(copy, arguments);
    int length = vsnprintf(text, sizeof(text), format, copy);
    va_end(copy);
    errno = saved_errno;
    if (length <= 0 || length >= (int)sizeof(text))
        return false;
    *result = write_all(fd, text, (size_t)length) ? length : -1;
    return true;
}

__attribute__((format(printf, 3, 0))) static int write_formatted(
    int fd, int flag, const char *format, va_list arguments);

HOOK_STREAM(int, vdprintf, (int fd, const char *format, va_list arguments), (fd, format, arguments),
    logs_stdio_is_off())
{
    return write_formatted(fd, UNFORTIFIED, format, arguments);
}

HOOK_STREAM(int, __vdprintf_chk, (int fd, int flag, const char *format, va_list arguments),
    (fd, flag, format, arguments), logs_stdio_is_off())
{
    return write_formatted(fd, flag, format, arguments);
}

__attribute__((format(printf, 3, 0))) static int write_formatted(
    int fd, int flag, const char *format, va_list arguments)
{
    int result;
    if (has_written(fd, format, arguments, &result))
        return result;
    return flag == UNFORTIFIED ? ORIGINAL(vdprintf)(fd, format, arguments)
                               : ORIGINAL(__vdprintf_chk)(fd, flag, format, arguments);
}

HOOK_VARIADIC(dprintf, (int fd, const char *format, ...))
{
    PASS_ON(write_formatted(fd, UNFORTIFIED, format, arguments));
}

HOOK_VARIADIC(__dprintf_chk, (int fd, int flag, const char *format, ...))
{
    PASS_ON(write_formatted(fd, flag, format, arguments));
}

__attribute__((format(printf, 1, 2))) static bool has_complained(const char *format, ...)
{
    va_list arguments;
    int result;
    va_start(arguments, format);
    /* A stream that nothing was put into stays so: the C library takes another one. */
    bool done = stderr->_mode != 0
                    ? logs_print(stderr, ORIGINAL(fwrite), format, arguments, &result)
                    : has_written(stderr->_fileno, format, arguments, &result);
    va_end(arguments);
    return done;
}

HOOK_STREAM(void, perror, (const char *what), (what), logs_stdio_is_off())
{
    bool has_words = what != NULL && *what != '\0';
    if (!stdio_is_log(stderr) ||
        !has_complained("%s%s%m\n", has_words ? what : "", has_words ? ": " : ""))
        ORIGINAL(perror)(what);
}
