/* SPDX-License-Identifier: Apache-2.0 */
/* What a run left in the store, in a few lines on stderr. */
#pragma once

#include "config.h"
#include "counters.h"

/* lost: as leftovers_recover and lost_end have told. */
void summary_print(
    const struct config *settings, const char *run_id, const uint64_t lost[COUNTER_COUNT]);
