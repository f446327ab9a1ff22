/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pieces of work that wait for a thread, by the identity hashes of their objects: 31 bits that an
 * object keeps for life. So nothing of ours holds an object, and no collector has to tell us of
 * one. Two objects with the same hash look like one that was given twice, by two: then it is
 * nobody's.
 *
 * An object that two requests have given, at once or one after the other, is no piece of work but
 * the end of somebody's own queue (a mailbox, a serial executor): nobody's from then on.
 *
 * | a bucket's entry | |
 * |---|---|
 * | hash == 0 | free |
 * | count > 0 | given, so often; handle is claimed (carrier_claim), or CARRIER_NONE |
 * | count == 0 | has run; kept to know it again, until the room is needed |
 * Any thread; a bucket that stays busy for long is as if it were full.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "carrier.h"

bool given_start(void); /* false: no memory */

/* The object is given to whoever runs it, by who made the claim, which goes with it. */
void given_put(uint32_t hash, struct carrier_claim claim);
/* It runs now: whose it is, to be given back by carrier_unclaim. False: nobody has given it. */
bool given_take(uint32_t hash, struct carrier_claim *claim);
/* The same, for what may run again; to be given back, too. */
bool given_look(uint32_t hash, struct carrier_claim *claim);
/* What has run is as if it had not been known. */
void given_renew(uint32_t hash);
/* It was given, and will not run. */
void given_forget(uint32_t hash);
