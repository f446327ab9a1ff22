/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file of text line by line, without an allocation. Not on a host thread: opening and reading
 * are system calls that may wait. Lines longer than the buffer are passed over.
 */
#pragma once

#include <fcntl.h>
#include <stdbool.h>
#include <string.h>

#include "sys.h"
#include "text.h"

struct lines {
    long descriptor; /* negative: could not be opened, which is a file without lines */
    size_t at, end;
    bool is_too_long; /* the line that is being read */
    char text[4096];
};

static inline void lines_open(struct lines *lines, const char *path)
{
    lines->at = lines->end = 0;
    lines->is_too_long = false;
    lines->descriptor = sys(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
}

static inline void lines_close(struct lines *lines)
{
    if (lines->descriptor >= 0)
        sys(SYS_close, lines->descriptor);
    lines->descriptor = -1;
}

/* More of the file behind what is not used up. False: there is no more. */
static inline bool lines_fill(struct lines *lines)
{
    memmove(lines->text, lines->text + lines->at, lines->end - lines->at);
    lines->end -= lines->at;
    lines->at = 0;
    if (lines->end == sizeof(lines->text)) {
        lines->is_too_long = true;
        lines->end = 0;
    }
    if (lines->descriptor < 0)
        return false;
    long got = sys(
        SYS_read, lines->descriptor, lines->text + lines->end, sizeof(lines->text) - lines->end);
    if (got > 0)
        lines->end += (size_t)got;
    return got > 0;
}

/* The next line without its end; it is valid until the next call. */
static inline bool lines_next(struct lines *lines, struct slice *line)
{
    for (;;) {
        char *from = lines->text + lines->at, *to = memchr(from, '\n', lines->end - lines->at);
        bool is_last = to == NULL && !lines_fill(lines);
        if (to == NULL && !is_last)
            continue;
        from = lines->text + lines->at;
        size_t length = to != NULL ? (size_t)(to - from) : lines->end - lines->at;
        bool is_kept = !lines->is_too_long;
        lines->at += length + (to != NULL);
        lines->is_too_long = false;
        *line = (struct slice){from, length};
        if (is_last)
            return is_kept && length > 0;
        if (is_kept)
            return true;
    }
}
