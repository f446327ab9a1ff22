/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Context as a comment at the end of a statement, by the sqlcommenter specification:
 *
 *     traceparent='00-...-01',tracestate='vendor%3Dvalue'
 *
 * Pure functions of the text; any thread may call them.
 */
#pragma once

#include "sql.h"

/* Writes insertion->replaced into out, whose statement is all that stands there from `at` on, and
 * the comment behind the statement's last byte that is neither white space nor a semicolon. Answers
 * the length; 0: this statement is to be left as it is. out has the room that protocol.h's insert
 * is given.
 *
 * Only single statements that read or change rows get one; none that has a comment already, is to
 * be prepared, defines something, or copies, and none that ends inside a string.
 * tracestate is left out if too much of it has to be escaped. Baggage is never written. */
size_t sql_comment(
    const struct insertion *insertion, size_t at, enum sql_dialect dialect, char *out);
