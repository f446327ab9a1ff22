/* SPDX-License-Identifier: Apache-2.0 */
#include "cli.h"

#include <getopt.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config_file.h"
#include "terminal.h"

static void print_safe(const char *text)
{
    char safe[2048];
    terminal_text(text, safe, sizeof safe, -1);
    fputs(safe, stderr);
}

void complain(const char *what, const char *why, const char *fix)
{
    fputs("burdock: ", stderr);
    print_safe(what);
    fputs(": ", stderr);
    print_safe(why);
    if (fix) {
        fputs("; ", stderr);
        print_safe(fix);
    }
    fputc('\n', stderr);
}

int complain_option(const char *verb, char **argv)
{
    /* getopt names a bad short option by optopt; a bad long one only by its place in argv. */
    const char *word = optind > 0 ? argv[optind - 1] : "";
    char letter[3] = {'-', (char)optopt, 0};
    const char *option = optopt && strncmp(word, "--", 2) != 0 ? letter : word;
    char *fix = format_text("see burdock help %s", verb);
    complain(verb, format_text("option %s is unknown or its value is wrong", option), fix);
    return STATUS_USAGE;
}

void settings_read(struct config *settings)
{
    config_file_apply(false);
    char *const arguments[] = {"burdock", NULL};
    config_read(settings, environ, arguments, "burdock");
}

static void *or_die(void *block)
{
    if (!block) {
        fputs("burdock: out of memory\n", stderr);
        exit(STATUS_LAUNCHER);
    }
    return block;
}

void *allocate(size_t bytes)
{
    return or_die(calloc(1, bytes ? bytes : 1));
}

void *reallocate(void *block, size_t count, size_t bytes)
{
    return or_die(reallocarray(block, count ? count : 1, bytes));
}

char *duplicate(const char *text)
{
    return or_die(strdup(text));
}

char *format_text(const char *format, ...)
{
    char *text = NULL;
    va_list arguments;
    va_start(arguments, format);
    if (vasprintf(&text, format, arguments) < 0)
        text = NULL;
    va_end(arguments);
    return or_die(text);
}
