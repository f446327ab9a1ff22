/* SPDX-License-Identifier: Apache-2.0 */
#include "process_facts.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"

char *process_read(int pid, const char *name, size_t *length)
{
    char *path = format_text("/proc/%d/%s", pid, name), *text = NULL;
    FILE *file = fopen(path, "re");
    size_t room = 0;
    *length = 0;
    free(path);
    if (!file)
        return NULL;
    do {
        room = room ? room * 2 : 4096;
        text = reallocate(text, room + 1, 1);
        *length += fread(text + *length, 1, room - *length, file);
    } while (*length == room);
    int error = ferror(file) ? errno : 0;
    fclose(file);
    text[*length] = 0;
    if (!error)
        return text;
    free(text);
    errno = error;
    return NULL;
}

/* A list like argv of the texts in a block. Free the result. */
static char **list_of(char *block, size_t length)
{
    size_t count = 0;
    char **list = allocate(sizeof *list);
    for (char *at = block; at < block + length; at += strlen(at) + 1) {
        list = reallocate(list, count + 2, sizeof *list);
        list[count++] = at;
        list[count] = NULL;
    }
    return list;
}

bool process_settings(int pid, struct config *settings)
{
    size_t length, words_length = 0;
    char *block = process_read(pid, "environ", &length);
    if (!block)
        return false;
    char *words = process_read(pid, "cmdline", &words_length);
    char *path = format_text("/proc/%d/exe", pid), executable[PATH_MAX];
    ssize_t got = readlink(path, executable, sizeof executable - 1);
    char **variables = list_of(block, length), **arguments = list_of(words, words_length);
    executable[got > 0 ? got : 0] = 0;
    config_read(settings, variables, arguments, executable);
    free(path);
    free(arguments);
    free(variables);
    free(words);
    free(block);
    return true;
}

enum process_library process_library(int pid)
{
    size_t length;
    char *maps = process_read(pid, "maps", &length);
    enum process_library found = PROCESS_BARE;
    if (!maps)
        return PROCESS_UNREADABLE;
    if (strstr(maps, "/libburdock.so (deleted)"))
        found = PROCESS_REPLACED;
    else if (strstr(maps, "/libburdock.so\n"))
        found = PROCESS_LOADED;
    free(maps);
    return found;
}
