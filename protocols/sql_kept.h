/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What was told of statements before: a program repeats its own, and what is told of one follows
 * from its text and dialect alone. By a hash of both, in each row the newest that came to it.
 *
 * For one thread at a time. All zero is empty; pages are touched as rows are used. Nothing points
 * into the texts that it is asked about.
 */
#pragma once

#include "sql.h"

enum { SQL_KEPT_ROWS = 64, SQL_KEPT_BYTES = 2024 };

struct sql_kept {
    struct sql_kept_row {
        uint64_t hash;
        uint16_t dialect, text, told, summary; /* lengths; text 0: empty */
        uint8_t bytes[SQL_KEPT_BYTES];         /* the three, one behind the other */
    } rows[SQL_KEPT_ROWS];
};

/* What sql_tell tells of the text, which is not empty: valid until the next call. False: together
 * they are too long to be kept; nothing was told. */
bool sql_kept_tell(
    struct sql_kept *, enum sql_dialect, struct fact text, struct fact *told, struct fact *summary);
