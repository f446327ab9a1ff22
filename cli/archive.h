/* SPDX-License-Identifier: Apache-2.0 */
/* Walks through the files of the local store, oldest first. A directory that is not there is an
 * empty store. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { RUN_ID_BYTES = 17 };

/* payload is valid during the call only. False ends the walk. */
typedef bool archive_visit(const uint8_t *payload, size_t length, void *context);

struct archive_selection {
    const char *run_id;    /* only files of this run; NULL: of all */
    const char *file_name; /* only this file; NULL: all */
};

struct archive_result {
    uint32_t files;
    uint32_t torn;       /* damaged places passed over */
    uint32_t unreadable; /* files that could not be opened */
};

struct archive_result archive_walk(const char *directory, const struct archive_selection *selection,
    archive_visit *visit, void *context);

/* The newest run: its run id, or if the newest file belongs to none, that file's name. False: the
 * store is empty. Both buffers are written. */
bool archive_last(const char *directory, char run_id[RUN_ID_BYTES], char file_name[256]);

/* One line on stderr if anything was passed over. */
void archive_report(const struct archive_result *result);
