/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Context as a comment in a statement, by the sqlcommenter specification:
 *
 *     traceparent='00-...-01',tracestate='vendor%3Dvalue'
 *
 * Written at its end; read where a program's own framework has written it, at its end or before it.
 * Pure functions of the text; any thread may call them.
 */
#pragma once

#include "sql.h"

/* Is a place for it looked for? See protocol_edit_statements. */
extern bool sql_is_commented;

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

enum {
    SQL_CONTEXT_TEXT_MAX = 8 * 1024, /* of a longer statement only what stands before it is read */
    SQL_CONTEXT_COMMENT_MAX = 2 * 1024 /* what a longer comment says is not read */
};

/* What a comment says, unescaped. */
struct sql_context {
    struct fact traceparent;
    struct fact tracestate; /* of length 0: none */
};

/* Can sql_context answer true? Asked first, since for nearly all statements it cannot. */
static inline bool sql_may_have_context(const uint8_t *text, size_t length)
{
    return length > 0 && (text[0] == '/' || text[0] <= ' ' || text[length - 1] == '/' ||
                             text[length - 1] <= ' ' || text[length - 1] == ';');
}

/* Does a comment that stands before the statement, or behind all of it, carry a context? Only a
 * list of key='value' and nothing else is believed, only once a traceparent, and only one comment
 * of the two; what merely looks like one, in a string, a name or another comment, is none. What a
 * traceparent says is not checked. room: twice SQL_CONTEXT_COMMENT_MAX, where out's texts lie. */
bool sql_context(enum sql_dialect dialect, const uint8_t *text, size_t length, uint8_t *room,
    struct sql_context *out);
