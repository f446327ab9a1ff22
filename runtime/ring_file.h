/* SPDX-License-Identifier: Apache-2.0 */
/* Between ring.c, the rings, and ring_file.c, the file that they lie in. */
#pragma once

#include "ring.h"

/* ---- ring.c ---- */

/* A ring of the file becomes one of the process's; one that is not in use is anybody's. False: they
 * are too many. */
bool rings_offer(struct ring *ring);
/* Is none of the file's free? */
bool rings_need_spare(void);
/* The file is no longer ours: those in it are as private ones. */
void rings_disown(void);
void count_at_least(uint32_t *count, uint32_t wanted);

/* ---- ring_file.c ---- */

/* Host thread: adds a ring of its own to the file. NULL: there is no file, or no room in it. */
struct ring *rings_add_own(void);
void rings_file_forked(void);
