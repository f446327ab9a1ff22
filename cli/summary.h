/* SPDX-License-Identifier: Apache-2.0 */
/* What a run left in the store, in a few lines on stderr. */
#pragma once

#include "config.h"

void summary_print(const struct config *settings, const char *run_id);
