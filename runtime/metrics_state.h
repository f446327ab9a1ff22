/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a process has measured, for who recovers it after a death: a file beside the ring file,
 * named as it with ".metrics.state" behind. Whenever room of rings is given back it first says
 * what was counted up to there, so that what it says and what the rings still hold beyond are all.
 *
 *   frame: struct state_frame | for each series that has changed: struct state_series, its numbers,
 *   those of its exponential histogram if there is one, its key, to a multiple of eight bytes
 *
 * Frames are appended; of those with one generation the last one says so, and they count together.
 * A file that has grown too long, or could not be written, is written anew, whole, and renamed.
 * Where it says generation g, counted[g % 2] of each ring is how far it reaches: the other one is
 * written for the next. So a death finds the state before or after, and none in between. What dies
 * between a collector's answer and the next frame is, of delta, sent again.
 *
 * The exporter thread writes, who recovers reads; nothing that is read is taken on trust.
 */
#pragma once

#include "metrics.h"
#include "ring.h"

/* The next state reaches as far in this ring. */
void metrics_state_reaches(struct ring *ring, uint64_t cursor);
/* Writes it, if something was counted, or if it is always wanted. Memory for it, without contents.
 */
void metrics_state_save(struct metrics *metrics, bool always, uint8_t *memory, size_t room);

/* Into metrics that are as metrics_init has left them: the generation; 0: there is no state. */
uint32_t metrics_state_load(struct metrics *metrics, int directory, const char *ring);
