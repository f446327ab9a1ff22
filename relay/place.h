/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a relay listens: a socket in a directory that only its user can write to, and a lock beside
 * it, held for as long as it lives, so that there is one relay for a user and a configuration. Both
 * files go with it.
 */
#pragma once

#include <stdbool.h>

enum place_outcome {
    PLACE_OURS,
    PLACE_TAKEN,  /* another relay listens there */
    PLACE_REFUSED /* see why */
};

struct place {
    char path[108];
    int lock, listener;
    char why[256];
};

enum place_outcome place_take(struct place *place, const char *path);

/* Nobody finds us any more; who has connected already can still be accepted. */
void place_hide(struct place *place);
void place_leave(struct place *place);
