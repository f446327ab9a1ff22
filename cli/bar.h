/* SPDX-License-Identifier: Apache-2.0 */
/* A span of time as a bar of exactly `cells` columns. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { BAR_CELLS_MAX = 400, BAR_BYTES_MAX = BAR_CELLS_MAX * 3 + 1 };

struct bar {
    uint64_t begin_ns, end_ns; /* the whole width */
    int cells;
    bool unicode;
};

void bar_draw(const struct bar *bar, uint64_t start_ns, uint64_t end_ns, char out[BAR_BYTES_MAX]);
