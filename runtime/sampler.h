/* SPDX-License-Identifier: Apache-2.0 */
/* The head sampler: OTEL_TRACES_SAMPLER of config. Pure but for the configuration; any thread. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* parent_flags: W3C flags of the parent, or -1 for a root. */
bool sampler_decide(const uint8_t trace_id[16], int parent_flags);
