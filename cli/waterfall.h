/* SPDX-License-Identifier: Apache-2.0 */
/* Draws one trace: a line for each span with its place in the tree and a bar in time. */
#pragma once

#include "terminal.h"
#include "tree.h"

struct waterfall {
    const struct terminal *terminal;
    const struct tree_row *rows;
    size_t count;
    uint64_t start_ns, end_ns;
    bool attributes;
};

void waterfall_print(const struct waterfall *waterfall);
