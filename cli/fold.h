/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Statements that one request sends again and again, as one row. Folded are rows of the same parent
 * that have no children, tell a statement to a database, and are alike in text, service and
 * outcome. The first of them stands for all; the others are gone.
 */
#pragma once

#include "tree.h"

/* The statement that a span tells, without its literals, or its name; NULL: it tells none. */
const char *statement_of(const struct stored_span *span);

/* Answers how many rows are left. */
size_t rows_fold(struct tree_row *rows, size_t count);
