/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a SQL text says without its secrets: the text with every literal replaced by `?`, and a
 * summary of its operations and their targets. OpenTelemetry semantic conventions for database
 * client spans, "Sanitization of db.query.text" and "Generating a summary of the query".
 *
 * Pure functions of the text; any thread may call them. One pass over tokens: linear in the text,
 * no allocation. A text may hold any bytes and may be cut anywhere; what is open at its end, a
 * literal or a comment, is one to the end. No grammar: nothing is refused, and what is no SQL gives
 * a text without its literals and an empty summary.
 */
#pragma once

#include "protocol.h"

enum sql_dialect {
    SQL_POSTGRESQL,
    SQL_MYSQL, /* and MariaDB */
    SQL_SQLITE,
    SQL_OTHER,                /* unknown: where dialects differ, more is taken for a literal */
    SQL_POSTGRESQL_BACKSLASH, /* with standard_conforming_strings off */
    SQL_MYSQL_NO_BACKSLASH    /* with NO_BACKSLASH_ESCAPES, bit 512 of the server's status */
};

enum { SQL_SUMMARY_BYTES_MAX = 255 };

/* Appends the text to the open attribute, in pieces: literals are `?`, comments are gone, a list
 * after IN is `(?)`, what follows PASSWORD or the like in a statement about accounts is one `?`.
 * Parameters and white space stay. At most twice as long as the text; UTF-8 if the text is.
 *
 * Writes the summary, `SELECT orders customers`, cut between its words at SQL_SUMMARY_BYTES_MAX,
 * and returns its length; 0: no known operation. Of a sanitized text it is the same, but for a
 * 'name' in quotes of a string, which SQLite and others take for a table after FROM. */
size_t sql_tell(enum sql_dialect, const uint8_t *text, size_t length, struct describer *out,
    char summary[SQL_SUMMARY_BYTES_MAX]);
