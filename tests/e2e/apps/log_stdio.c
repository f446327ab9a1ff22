/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A daemon in C that logs by stdio and knows nothing of tracing: log_stdio PORT HOW. Standard
 * output is full (the default of a file), line or none, as HOW says; standard error never has a
 * buffer. Of each request it says by every function of stdio one line: what the functions gave back
 * and errno stand in the answer.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <wchar.h>

/* What the functions are where a program is built with _FORTIFY_SOURCE. */
extern int __printf_chk(int flag, const char *format, ...);
extern int __fprintf_chk(FILE *file, int flag, const char *format, ...);
extern int __vfprintf_chk(FILE *file, int flag, const char *format, va_list arguments);
extern int __vprintf_chk(int flag, const char *format, va_list arguments);
extern int __dprintf_chk(int fd, int flag, const char *format, ...);
extern int __vdprintf_chk(int fd, int flag, const char *format, va_list arguments);

static const char *volatile empty = "";
static FILE *cookie, *memory, *wide;
static char *in_memory;
static size_t in_memory_length;
static char from_cookie[256];

enum { RESULTS_MAX = 64 };
struct results {
    int count;
    long values[RESULTS_MAX];
};

static void note(struct results *results, long value)
{
    results->values[results->count++] = value;
    results->values[results->count++] = errno;
    errno = EPERM;
}

__attribute__((format(printf, 3, 4))) static void by_lists(
    struct results *results, FILE *file, const char *format, ...)
{
    va_list arguments, again;
    va_start(arguments, format);
    va_copy(again, arguments);
    note(results, vfprintf(file, format, again));
    va_end(again);
    va_copy(again, arguments);
    note(results, __vfprintf_chk(file, 1, format, again));
    va_end(again);
    if (file == stdout) {
        va_copy(again, arguments);
        note(results, vprintf(format, again));
        va_end(again);
        va_copy(again, arguments);
        note(results, __vprintf_chk(1, format, again));
        va_end(again);
    } else {
        va_copy(again, arguments);
        note(results, vdprintf(2, format, again));
        va_end(again);
        va_copy(again, arguments);
        note(results, __vdprintf_chk(2, 1, format, again));
        va_end(again);
    }
    va_end(arguments);
}

/* Lines that get their ids. */
static void say(struct results *r, FILE *file, const char *what)
{
    note(r, fprintf(file, "fprintf %s %d%%\n", what, 7));
    note(r, __fprintf_chk(file, 1, "fprintf_chk %s %5.2f\n", what, 3.14159));
    by_lists(r, file, "vfprintf %s %-5s|\n", what, "x");
    note(r, (long)fwrite(what, strlen(what), 1, file));
    note(r, fputc('\n', file));
    note(r, fputs(what, file));
    note(r, fputs(" fputs and ", file));
    note(r, putc('p', file));
    note(r, putc_unlocked('u', file));
    note(r, (long)fwrite_unlocked("\n", 1, 1, file));
    note(r, fprintf(file, "{\"object\":\"%s\"}\n", what));
    note(r, fprintf(file, "{\"pieces\":\"%s\"", what));
    note(r, fprintf(file, ",\"more\":{\"a\":%d}}\n", 1));
}

/* Lines that stay as they are. */
static void say_otherwise(struct results *r, FILE *file, const char *what)
{
    int count;
    note(r, fprintf(file, "kept %s%n\n", what, &count));
    note(r, fprintf(file, "kept %2$d %1$s\n", what, 5));
    note(r, fprintf(file, "kept %s\nkept, a second\n", what));
    note(r, fprintf(file, "kept %s %09000d\n", what, count));
    note(r, fprintf(file, "{\"kept\":\"%s\"", what));
    note(r, fprintf(file, "\n}\n"));
    note(r, fprintf(file, "%s", empty));
    note(r, fputs(empty, file));
    note(r, (long)fwrite(empty, 0, 1, file));
    note(r, fputs("\n", file));
}

static void say_elsewhere(struct results *r, const char *what)
{
    note(r, fprintf(cookie, "%s\n", what));
    note(r, fprintf(memory, "%s\n", what));
    note(r, fputs(what, memory));
    note(r, fwprintf(wide, L"kept wide %s\n", what));
    note(r, fputs(what, wide));
    note(r, fprintf(wide, "%s\n", what));
    fflush(wide);
}

/* What stands in a buffer is written by both. */
static void fork_with_buffer(const char *what)
{
    printf("forked %s\n", what);
    pid_t child = fork();
    if (child == 0) {
        printf("kept of a child %s\n", what);
        exit(0);
    }
    while (waitpid(child, NULL, 0) != child)
        continue;
}

static int answer_with(const struct results *first, const struct results *second,
    const struct results *third, char *body)
{
    const struct results *all[] = {first, second, third};
    int length = 0;
    for (int i = 0; i < 3; i++)
        for (int k = 0; k < all[i]->count; k++)
            length += sprintf(body + length, "%ld ", all[i]->values[k]);
    return length;
}

static void serve(int connection)
{
    char request[4096], body[4096], head[128];
    ssize_t length;
    while ((length = read(connection, request, sizeof(request) - 1)) > 0) {
        struct results out = {0}, error = {0}, rest = {0};
        request[length] = '\0';
        request[strcspn(request, "\r\n")] = '\0';
        char *what = strchr(request, '/');
        what[strcspn(what, " ")] = '\0';
        errno = EPERM;
        note(&out, printf("printf %s\n", what));
        note(&out, __printf_chk(1, "printf_chk %s\n", what));
        note(&out, puts(what));
        note(&out, putchar('\n'));
        fork_with_buffer(what);
        say(&out, stdout, what);
        say(&error, stderr, what);
        fputs("parts ", stderr);
        if (write(2, "between\n", 8) != 8)
            return;
        note(&rest, fprintf(stderr, "kept %s\n", "after"));
        perror(what);
        note(&rest, dprintf(2, "dprintf %s %m\n", what));
        note(&rest, __dprintf_chk(2, 1, "dprintf_chk %s\n", what));
        say_otherwise(&rest, stdout, what);
        say_elsewhere(&rest, what);
        fflush(stdout);
        int bytes = answer_with(&out, &error, &rest, body);
        sprintf(head, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", bytes);
        if (write(connection, head, strlen(head)) < 0 || write(connection, body, (size_t)bytes) < 0)
            return;
    }
}

static ssize_t write_cookie(void *unused, const char *data, size_t size)
{
    memcpy(from_cookie, data, size < sizeof(from_cookie) ? size : sizeof(from_cookie));
    return (ssize_t)size;
}

int main(int count, char **arguments)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    if (count != 3)
        return 1;
    cookie = fopencookie(NULL, "w", (cookie_io_functions_t){.write = write_cookie});
    memory = open_memstream(&in_memory, &in_memory_length);
    wide = fdopen(dup(2), "a");
    address.sin_port = htons((unsigned short)atoi(arguments[1]));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (strcmp(arguments[2], "full") != 0)
        setvbuf(stdout, NULL, strcmp(arguments[2], "line") == 0 ? _IOLBF : _IONBF, 0);
    int one = 1, listener = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(listener, (struct sockaddr *)&address, sizeof(address)) != 0 ||
        listen(listener, 128) != 0)
        return 1;
    for (;;) {
        int connection = accept(listener, NULL, NULL);
        serve(connection);
        close(connection);
    }
}
