/* SPDX-License-Identifier: Apache-2.0 */
/* What crash guards have written down in the run directory (runtime/guard.h). */
#pragma once

#include "config.h"
#include "guard.h"

typedef void guard_visitor(const char *path, const struct guard *guard, void *argument);

/* Every one that we can read. Answers how many there are. */
int guards_visit(const struct config *settings, guard_visitor *visit, void *argument);

/* "5 times within 300 s it ended abruptly ...". Free the result. */
char *guard_reason(const struct guard *guard);
