/* SPDX-License-Identifier: Apache-2.0 */
/* Memory that is freed all at once: a decoded request and what belongs to it. */
#pragma once

#include <stddef.h>

struct arena;

struct arena *arena_new(void);
/* Zeroed, aligned for any type; never NULL. */
void *arena_allocate(struct arena *arena, size_t bytes);
void arena_free(struct arena *arena);
