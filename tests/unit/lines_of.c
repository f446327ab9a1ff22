/* SPDX-License-Identifier: Apache-2.0 */
/* lines_of FILE: prints PATH:LINE for each address on stdin, as addr2line does; ?:0 if not known.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "source_lines.h"

enum { BATCH = 48 };

static int ascending(const void *left, const void *right)
{
    uint64_t one = ((const struct line_wanted *)left)->address;
    uint64_t other = ((const struct line_wanted *)right)->address;
    return (one > other) - (one < other);
}

static void tell(const struct elf_file *object, const char *path, struct line_wanted wanted[],
    struct source_line answers[], size_t count)
{
    memset(answers, 0, count * sizeof(answers[0]));
    qsort(wanted, count, sizeof(wanted[0]), ascending);
    while (!source_lines_find(object, path, wanted, count))
        nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL); /* until the next second */
    for (size_t i = 0; i < count; i++)
        if (answers[i].path[0] != '\0')
            printf("%s:%" PRIu32 "\n", answers[i].path, answers[i].line);
        else
            puts("?:0");
}

int main(int count, char **arguments)
{
    static struct source_line answers[BATCH];
    static struct line_wanted wanted[BATCH];
    struct elf_file object;
    char line[64];
    size_t asked = 0;
    if (count != 2 || !elf_open(&object, open(arguments[1], O_RDONLY)))
        return 2;
    while (fgets(line, sizeof(line), stdin) != NULL) {
        wanted[asked] =
            (struct line_wanted){.address = strtoull(line, NULL, 16), .answer = &answers[asked]};
        if (++asked < BATCH)
            continue;
        tell(&object, arguments[1], wanted, answers, asked);
        asked = 0;
    }
    tell(&object, arguments[1], wanted, answers, asked);
    return 0;
}
