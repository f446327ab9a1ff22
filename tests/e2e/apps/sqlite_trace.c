/* SPDX-License-Identifier: Apache-2.0 */
/* Preloaded beside the library: SQLite itself tells each statement that begins, by its own trace,
 * into the file that SQLITE_TRACE names: a line for each, in hexadecimal. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sqlite.h"

static int log_file = -1;

static int begins(unsigned kind, void *context, void *statement, void *text)
{
    static const char digits[] = "0123456789abcdef";
    const unsigned char *at = text;
    char line[8192];
    size_t used = 0;
    if (at[0] == '-' && at[1] == '-')
        return 0; /* not the program's: of a trigger, or of SQLite's own */
    for (; *at != '\0' && used < sizeof(line) - 3; at++) {
        line[used++] = digits[*at >> 4];
        line[used++] = digits[*at & 15];
    }
    line[used++] = '\n';
    return write(log_file, line, used) < 0;
}

static int opened(sqlite3 *db, char **message, const void *api)
{
    return sqlite3_trace_v2(db, SQLITE_TRACE_STMT, begins, NULL);
}

__attribute__((constructor)) static void start(void)
{
    const char *path = getenv("SQLITE_TRACE");
    if (path == NULL)
        return;
    log_file =
        fcntl(open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666), F_DUPFD_CLOEXEC, 200);
    sqlite3_auto_extension((void (*)(void))opened);
}
